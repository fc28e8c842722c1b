/* SPDX-License-Identifier: BSD-2-Clause */
/* See percpu.h. */
#include "arch/x86/percpu.h"

#include "arch/x86/cpu.h"

struct percpu percpu_boot;
struct cpu_stacks percpu_boot_stacks __attribute__((section(".bss.stacks")));

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
