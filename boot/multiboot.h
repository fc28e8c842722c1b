/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels by the Multiboot specifications, version 0.6.96 ("1") and 2.0: the
 * header found and read, and what is to be loaded where, from an ELF file of
 * either class or from the header's own address fields. Pure functions over the
 * file in memory. A file with both headers is taken by the newer one.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

#include "boot/guest_map.h"
#include "boot/text.h"

#define MULTIBOOT_SEGMENTS_MAX 32

/* Everything here lies below 4 GiB: the kernel is entered in 32-bit protected mode. */
struct multiboot_segment {
	uint64_t offset;             /* in the file */
	uint64_t to;                 /* physical address */
	uint64_t bytes, zero;        /* from the file, and zeros behind them */
};

/* The ELF file's section headers, for the kernel's symbols. */
struct multiboot_sections {
	uint64_t offset;             /* in the file */
	uint32_t count, entry_bytes; /* count 0: none */
	uint32_t names;              /* index of the section with the names */
	bool elf64;
};

struct multiboot_image {
	uint32_t version;            /* 1 or 2 */
	uint32_t entry;              /* physical address */
	struct multiboot_segment segment[MULTIBOOT_SEGMENTS_MAX];
	uint32_t segment_count;
	struct multiboot_sections sections;
	/* Version 2's relocatable header tag */
	bool relocatable, highest;
	uint32_t min, max, alignment; /* of the load address; max is that of its last byte */
};

/*
 * Reads the kernel. name is used in the message. False with error set when there
 * is no header, when it asks for something that is not offered, or when file
 * and header contradict themselves.
 */
bool multiboot_parse(struct multiboot_image *image, const uint8_t *file, uint64_t size,
		     const char *name, struct boot_error *error);

/* The lowest and the highest address (exclusive) of all segments. */
uint64_t multiboot_base(const struct multiboot_image *image);
uint64_t multiboot_end(const struct multiboot_image *image);

/* Does a segment overlap [base, end)? */
bool multiboot_overlaps(const struct multiboot_image *image, uint64_t base, uint64_t end);

/* Moves a relocatable image as a whole. */
void multiboot_move(struct multiboot_image *image, uint64_t base);

#endif
