/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names for addresses, from the table that tools/ksyms makes of the first link,
 * and the build id that the linker puts into the image.
 */
#ifndef ARCH_X86_SYMBOLS_H
#define ARCH_X86_SYMBOLS_H

#include "lib/types.h"

#define BUILD_ID_TEXT 41 /* 20 bytes of SHA-1 in hexadecimal, and NUL */

/*
 * The table, in section .ksyms: functions in ascending order of address, as
 * offsets from CORE_VIRT_BASE, and the offsets of their names in the string pool.
 */
struct ksym {
	u32 offset, name;
};

extern const struct ksym ksyms_table[];
extern const u32 ksyms_count;
extern const char ksyms_names[];

/* "function+0x12", or "?" for an address that is not in a function. */
void symbols_describe(u64 address, char *buf, u32 size);

void symbols_build_id(char *buf, u32 size);

#endif
