/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments, the TSS and the per-CPU structure they live in. 64-bit mode ignores
 * nearly all of a descriptor; what is left: present, type, L (APM vol. 2
 * section 4.8).
 */
#include "arch/x86/gdt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"

#define DESC_CODE64 0x00af9b000000ffffull  /* code, readable, accessed, DPL 0, L */
#define DESC_DATA 0x00cf93000000ffffull    /* data, writable, accessed, DPL 0 */
#define DESC_TSS_AVAILABLE (0x89ull << 40)
#define TSS_LIMIT 0x67ull

struct percpu percpu_boot;
struct cpu_stacks percpu_boot_stacks __attribute__((section(".bss.stacks")));

static void fill_tss_descriptor(u64 *entry, u64 base)
{
	entry[0] = TSS_LIMIT | (base & BITS(23, 0)) << 16 | DESC_TSS_AVAILABLE |
		   (base >> 24 & 0xff) << 56;
	entry[1] = base >> 32;
}

/* CS changes by a far return only. */
static void load_code_segment(void)
{
	asm volatile("pushq %0\n\t"
		     "leaq 1f(%%rip), %%rax\n\t"
		     "pushq %%rax\n\t"
		     "lretq\n"
		     "1:" : : "i"(SEL_CODE) : "rax", "memory");
}

static void load_data_segments(void)
{
	asm volatile("movw %w0, %%ds\n\tmovw %w0, %%es\n\tmovw %w0, %%ss" : : "r"(SEL_DATA) : "memory");
	asm volatile("movw %w0, %%fs\n\tmovw %w0, %%gs" : : "r"(0) : "memory");
}

void gdt_load(struct gdt *gdt, struct tss *tss)
{
	struct table_pointer pointer = { sizeof(gdt->entry) - 1, (u64)gdt->entry };

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

void percpu_init(struct percpu *p, u32 id, struct cpu_stacks *stacks)
{
	p->self = p;
	p->id = id;
	p->stacks = stacks;
	p->tss.iomap = sizeof(p->tss);
	p->tss.ist[IST_NMI - 1] = (u64)stacks->nmi + STACK_IST_SIZE;
	p->tss.ist[IST_DF - 1] = (u64)stacks->df + STACK_IST_SIZE;
	p->tss.ist[IST_MC - 1] = (u64)stacks->mc + STACK_IST_SIZE;
	gdt_load(&p->gdt, &p->tss);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (u64)p);
}

/* There is one CPU so far; with several, the stack that RSP is in tells which. */
void percpu_restore(void)
{
	wrmsr(MSR_GS_BASE, (u64)&percpu_boot);
}
