/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables as the processor wants them: SDM vol. 3 sections 3.5, 6.14 and 7.7. */
#ifndef TESTS_GUEST_LIB_TABLES_H
#define TESTS_GUEST_LIB_TABLES_H

#include "lib/types.h"

#define CODE64 0x08
#define TSS_SELECTOR 0x28
#define GDT_TSS (TSS_SELECTOR / 8) /* two entries */

struct tss {
	u32 zero;
	u64 rsp[3];
	u64 zero2;
	u64 ist[7];
	u64 zero3;
	u16 zero4, iomap;
} PACKED;

struct descriptor {
	u16 limit;
	u64 base;
} PACKED;

static inline void set_tss_descriptor(u64 *entry, const struct tss *tss)
{
	u64 t = (u64)(uintptr_t)tss;

	entry[0] = (sizeof(*tss) - 1) | (t & 0xffffff) << 16 | 0x89ull << 40 | (t >> 24 & 0xff) << 56;
	entry[1] = t >> 32;
}

/* Loads the GDT, its segments and the task register. */
void load_gdt(const struct descriptor *d, u32 tss_selector);

#endif
