/* SPDX-License-Identifier: BSD-2-Clause */
/* What a multiboot kernel's file says is to be loaded. Pure functions. */
#ifndef BOOT_MULTIBOOT_IMAGE_H
#define BOOT_MULTIBOOT_IMAGE_H

#include "boot/text.h"

#define MULTIBOOT_SEGMENTS_MAX 32

/* Everything here lies below 4 GiB: the kernel is entered in 32-bit protected mode. */
struct multiboot_segment {
	uint64_t offset;      /* in the file */
	uint64_t to;          /* physical address */
	uint64_t bytes, zero; /* from the file, and zeros behind them */
};

/* The ELF file's section headers, for the kernel's symbols. */
struct multiboot_sections {
	uint64_t offset;             /* in the file */
	uint32_t count, entry_bytes; /* count 0: none */
	uint32_t names;              /* index of the section with the names */
	bool elf64;
};

struct multiboot_image {
	uint32_t version; /* 1 or 2 */
	uint32_t entry;   /* physical address */
	struct multiboot_segment segment[MULTIBOOT_SEGMENTS_MAX];
	uint32_t segment_count;
	struct multiboot_sections sections;
	/* Version 2's relocatable header tag */
	bool relocatable, highest;
	uint32_t min, max, alignment; /* of the load address; max is that of its last byte */
};

/* The kernel's file in memory, its name for messages, and where they go. */
struct multiboot_file {
	const uint8_t *at;
	uint64_t size;
	const char *name;
	struct boot_error *error;
};

/* Sets the error "NAME: what; build or copy the kernel again"; false. */
bool multiboot_damaged(const struct multiboot_file *k, const char *what);

/* An array of count records of so many bytes at offset lies in the file. */
bool multiboot_in_file(const struct multiboot_file *k, uint64_t offset, uint64_t count,
		       uint64_t bytes);

/* Adds a segment, if it is not empty; false when it does not lie in the file or below 4 GiB. */
bool multiboot_add_segment(struct multiboot_image *image, const struct multiboot_file *k,
			   struct multiboot_segment s);

/* The lowest and the highest address (exclusive) of all segments. */
uint64_t multiboot_base(const struct multiboot_image *image);
uint64_t multiboot_end(const struct multiboot_image *image);

/* Does a segment overlap [base, end)? */
bool multiboot_overlaps(const struct multiboot_image *image, uint64_t base, uint64_t end);

/* Moves a relocatable image as a whole. */
void multiboot_move(struct multiboot_image *image, uint64_t base);

#endif
