/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux kernel's bzImage: its setup header checked and read. Linux x86
 * boot protocol (Documentation/arch/x86/boot.rst), "The Real-Mode Kernel
 * Header". A kernel with an EFI stub is a bzImage like any other here.
 */
#ifndef BOOT_BZIMAGE_H
#define BOOT_BZIMAGE_H

#include "boot/text.h"

/* The setup header begins here in the file and in boot_params. */
#define BZIMAGE_HEADER_START 0x1f1u
/* Nothing behind this offset belongs to the setup header in boot_params. */
#define BZIMAGE_HEADER_LIMIT 0x290u
/* Read this much of the file (or all of a shorter one) for bzimage_check(). */
#define BZIMAGE_PROBE_BYTES 4096u
/* From the load address to the 64-bit entry; the 32-bit entry is the load address. */
#define BZIMAGE_ENTRY_64 0x200u

struct bzimage {
	uint16_t protocol;       /* 0x020f is 2.15 */
	uint32_t header_end;     /* offset of the first byte behind the setup header */
	uint64_t payload_offset; /* where the protected-mode code starts in the file */
	uint64_t payload_size;   /* bytes to load */
	uint64_t init_size;      /* bytes of memory the kernel needs from its load address on */
	uint64_t pref_address;
	uint64_t alignment;   /* of any other load address, which must be above pref_address */
	uint64_t initrd_max;  /* highest address an initrd's byte may have */
	uint32_t cmdline_max; /* bytes without the NUL */
	bool entry_64;    /* it has a 64-bit entry; else it is entered in 32-bit protected mode */
	bool relocatable; /* else it runs at pref_address alone */
	bool above_4g;    /* kernel, initrd and command line may lie above 4 GiB */
};

/*
 * Checks the first probe_size bytes of a file of file_size bytes and fills
 * image. name is used in the message. False with error set when the file is
 * not a bzImage of protocol 2.10 or later, or cut off.
 */
bool bzimage_check(struct bzimage *image, const uint8_t *probe, size_t probe_size,
		   uint64_t file_size, const char *name, struct boot_error *error);

#endif
