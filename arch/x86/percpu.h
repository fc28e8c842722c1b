/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each CPU has of its own. GS.base points at it while the hypervisor runs;
 * this_cpu() is the only way to it, so nothing else is a hidden global. SVM
 * restores GS.base only for exits that take the slow path (svm/enter.asm).
 *
 *   low  +-------+ guard page, not mapped
 *        | main  | 32 KiB
 *        +-------+ guard page
 *        | nmi   | 8 KiB     (IST 1)
 *        +-------+ guard page
 *        | df    | 8 KiB     (IST 2)
 *        +-------+ guard page
 *        | mc    | 8 KiB     (IST 3)
 *   high +-------+
 */
#ifndef ARCH_X86_PERCPU_H
#define ARCH_X86_PERCPU_H

#include "arch/x86/gdt.h"
#include "lib/types.h"

#define STACK_MAIN_SIZE (32u << 10)
#define STACK_IST_SIZE (8u << 10)

struct cpu_stacks {
	u8 guard_main[4096];
	u8 main[STACK_MAIN_SIZE];
	u8 guard_nmi[4096];
	u8 nmi[STACK_IST_SIZE];
	u8 guard_df[4096];
	u8 df[STACK_IST_SIZE];
	u8 guard_mc[4096];
	u8 mc[STACK_IST_SIZE];
} ALIGNED(4096);

struct vcpu;

struct percpu {
	struct percpu *self; /* at GS:0 */
	u32 id;
	u64 nmi_count;     /* NMIs that arrived while the hypervisor ran */
	void *backend;     /* the vendor's state of this CPU: struct svm_cpu */
	struct vcpu *vcpu; /* the guest's CPU that runs here, NULL before it is made */
	struct cpu_stacks *stacks;
	struct gdt gdt;
	struct tss tss;
};

/* The boot CPU's; the other CPUs' will come from memory_alloc(). */
extern struct percpu percpu_boot;
extern struct cpu_stacks percpu_boot_stacks;

/* Fills p, loads its GDT, TSS and GS.base on this CPU. */
void percpu_init(struct percpu *p, u32 id, struct cpu_stacks *stacks);

/*
 * Makes this_cpu() work again where GS.base may still be the guest's: in a panic
 * during the fast path of an exit (svm/enter.asm).
 */
void percpu_restore(void);

static ALWAYS_INLINE struct percpu *this_cpu(void)
{
	struct percpu *p;

	asm("movq %%gs:0, %0" : "=r"(p));
	return p;
}

#endif
