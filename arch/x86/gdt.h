/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's segments and its task-state segment, one of each per CPU. */
#ifndef ARCH_X86_GDT_H
#define ARCH_X86_GDT_H

#include "lib/types.h"

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* Interrupt stacks, numbers as in the IDT gates. */
enum ist { IST_NONE, IST_NMI, IST_DF, IST_MC };

struct gdt {
	u64 entry[5]; /* null, code, data, TSS (16 bytes) */
} ALIGNED(16);

/* 64-bit TSS, APM vol. 2 section 12.2.5. */
struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7]; /* ist[0] is IST 1 */
	u64 reserved2;
	u16 reserved3;
	u16 iomap;
} PACKED ALIGNED(16);
_Static_assert(offsetof(struct tss, ist) == 0x24, "APM vol. 2 figure 12-8");
_Static_assert(offsetof(struct tss, iomap) == 0x66, "APM vol. 2 figure 12-8");

/* Fills the GDT (its TSS descriptor points at tss) and loads both on this CPU. */
void gdt_load(struct gdt *gdt, struct tss *tss);

#endif
