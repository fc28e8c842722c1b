/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers as text: bits by their names, bytes as hexadecimal digits and characters. */
#ifndef DEBUG_FORMAT_H
#define DEBUG_FORMAT_H

#include "lib/types.h"

struct bit_name {
	u64 bit;
	const char *name;
};

/* The tables end with a name of NULL. */
extern const struct bit_name format_cr0[], format_cr4[], format_efer[], format_rflags[], format_dr6[];
/* Of an entry of a page table: a leaf, one that leads to a table. */
extern const struct bit_name format_leaf[], format_large[], format_link[];

/* "PG WP PE": the names of the bits that are set, the highest first, and "+0xBITS" for those without one. out is always terminated. */
void format_bits(char *out, u32 size, u64 value, const struct bit_name *names);

/* One line of up to 16 bytes: "ADDRESS  00 01 ...  |..|"; of those from `got` on "??". */
#define FORMAT_DUMP_BYTES 16u
#define FORMAT_DUMP_SIZE 96u
void format_dump(char out[FORMAT_DUMP_SIZE], u64 address, const u8 *bytes, u32 count, u32 got);

#endif
