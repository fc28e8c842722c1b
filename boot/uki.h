/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unified kernel images: the Boot Loader Specification's type 2 entries
 * (\EFI\Linux\*.efi), PE files that carry kernel, initrd, command line and
 * os-release in sections (UAPI specification "Unified Kernel Image"). The EFI
 * program in them is not run: kernel and initrd are taken out. Pure functions.
 *
 * A section .profile begins a profile, an entry of its own: what it lacks is that of
 * the sections before the first one. They count from 0; a file without any has one.
 */
#ifndef BOOT_UKI_H
#define BOOT_UKI_H

#include "boot/entry.h"

#define UKI_FOLDER "/EFI/Linux"
#define UKI_HEAD_BYTES 4096u     /* what is read of the file for its headers */
#define UKI_TEXT_MAX (16u << 10) /* of the sections .osrel, .cmdline and .profile */

/* Where the sections lie in the file; size 0: it has none. */
struct uki {
	struct entry_piece kernel, initrd, cmdline, osrel, profile;
};

/* What the sections say, each a text that may hold several lines. */
struct uki_texts {
	struct text_span cmdline, osrel, profile;
};

enum uki_result {
	UKI_GOOD,
	UKI_OTHER,  /* no PE file for x86-64 with a section .linux, or no such profile: no entry */
	UKI_BROKEN, /* error says why */
};

/*
 * Reads the headers: head is the first size bytes of a file of file_size. All
 * pieces of a good one lie within the file.
 */
enum uki_result uki_parse(struct uki *uki, const uint8_t *head, size_t size, uint64_t file_size,
			  uint32_t profile, struct boot_error *error);

/*
 * Makes the entry of that profile of the file (its name without the folder). Like
 * entry_parse() it marks the entry broken when something is too long.
 */
bool uki_entry(struct boot_entry *entry, const char *file, const struct uki *uki, uint32_t profile,
	       const struct uki_texts *texts);

/* Whether the whole file has the kernel, the initrd and the command line of an entry that was made from it; else error says so. */
bool uki_is_entry(const struct boot_entry *entry, const uint8_t *file, uint64_t size,
		  struct boot_error *error);

#endif
