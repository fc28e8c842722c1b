/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments and the TSS. 64-bit mode ignores nearly all of a descriptor; what is
 * left: present, type, L (APM vol. 2 section 4.8).
 */
#include "arch/x86/gdt.h"

#include "arch/x86/cpu.h"

#define DESC_CODE64 0x00af9b000000ffffull /* code, readable, accessed, DPL 0, L */
#define DESC_DATA 0x00cf93000000ffffull   /* data, writable, accessed, DPL 0 */
#define DESC_TSS_AVAILABLE (0x89ull << 40)
#define TSS_LIMIT 0x67ull

static void fill_tss_descriptor(u64 *entry, u64 base)
{
	entry[0] = TSS_LIMIT | (base & BITS(23, 0)) << 16 | DESC_TSS_AVAILABLE | (base >> 24 & 0xff) << 56;
	entry[1] = base >> 32;
}

/* CS changes by a far return only. */
static void load_code_segment(void)
{
	asm volatile("pushq %0\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:"
		     :
		     : "i"(SEL_CODE)
		     : "rax", "memory");
}

static void load_data_segments(void)
{
	asm volatile("movw %w0, %%ds\n\tmovw %w0, %%es\n\tmovw %w0, %%ss" : : "r"(SEL_DATA) : "memory");
	asm volatile("movw %w0, %%fs\n\tmovw %w0, %%gs" : : "r"(0) : "memory");
}

void gdt_load(struct gdt *gdt, struct tss *tss)
{
	struct table_pointer pointer = {sizeof(gdt->entry) - 1, (u64)gdt->entry};

	gdt->entry[0] = 0;
	gdt->entry[SEL_CODE / 8] = DESC_CODE64;
	gdt->entry[SEL_DATA / 8] = DESC_DATA;
	fill_tss_descriptor(&gdt->entry[SEL_TSS / 8], (u64)tss);
	lgdt(&pointer);
	load_code_segment();
	load_data_segments();
	lldt(0);
	ltr(SEL_TSS);
}
