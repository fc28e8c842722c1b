/* SPDX-License-Identifier: BSD-2-Clause */
/* See percpu.h. */
#include "arch/x86/percpu.h"

#include "arch/x86/cpu.h"

struct percpu percpu_boot;
static struct percpu *percpu_table[PERCPU_MAX];
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
	p->stack_top = (u64)stacks->main + STACK_MAIN_SIZE;
}

void percpu_load(struct percpu *p)
{
	gdt_load(&p->gdt, &p->tss);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (u64)p);
}

void percpu_publish(struct percpu *p)
{
	__atomic_store_n(&percpu_table[p->id], p, __ATOMIC_RELEASE);
}

struct percpu *percpu_of(u32 id)
{
	return id < PERCPU_MAX ? __atomic_load_n(&percpu_table[id], __ATOMIC_ACQUIRE) : NULL;
}

bool percpu_is_taken(const struct percpu *p)
{
	return p->id == 0 || (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == CPU_WAITS && !p->given_up);
}

bool percpu_runs_guest(const struct percpu *p)
{
	return __atomic_load_n(&p->runs_guest, __ATOMIC_RELAXED);
}

/* The CPU whose stack we stand on. */
static struct percpu *from_stack(void)
{
	struct percpu *p = percpu_of(percpu_id_by_stack());

	return p ? p : &percpu_boot;
}

void percpu_restore(void)
{
	wrmsr(MSR_GS_BASE, (u64)from_stack());
}
