/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unified kernel images: the Boot Loader Specification's type 2 entries
 * (\EFI\Linux\*.efi), PE files that carry kernel, initrd, command line and
 * os-release in sections (UAPI specification "Unified Kernel Image"). The EFI
 * program in them is not run: kernel and initrd are taken out. Pure functions.
 */
#ifndef BOOT_UKI_H
#define BOOT_UKI_H

#include "boot/entry.h"

#define UKI_FOLDER "/EFI/Linux"
#define UKI_HEAD_BYTES 4096u     /* what is read of the file for its headers */
#define UKI_TEXT_MAX (16u << 10) /* of the section .osrel and of .cmdline */

/* Where the sections lie in the file; size 0: it has none. */
struct uki {
	struct entry_piece kernel, initrd, cmdline, osrel;
};

enum uki_result {
	UKI_GOOD,
	UKI_OTHER,  /* no PE file for x86-64 with a section .linux: not an entry at all */
	UKI_BROKEN, /* error says why */
};

/*
 * Reads the headers: head is the first size bytes of a file of file_size. All
 * pieces of a good one lie within the file.
 */
enum uki_result uki_parse(struct uki *uki, const uint8_t *head, size_t size, uint64_t file_size,
			  struct boot_error *error);

/*
 * Makes the entry of the file (its name without the folder) from the texts of
 * .cmdline and .osrel. Like entry_parse() it marks the entry broken when
 * something is too long.
 */
bool uki_entry(struct boot_entry *entry, const char *file, const struct uki *uki,
	       struct text_span cmdline, struct text_span osrel);

#endif
