/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each CPU has of its own. GS.base points at it while the hypervisor runs;
 * this_cpu() is the way to it. SVM restores GS.base only for exits that take the slow
 * path (svm/enter.asm). Others reach it as percpu_of() from the moment it is laid out; once it is
 * reachable they write nothing there but kicks, and that it was given up.
 *
 * The boot CPU's stacks are in the image. Those of CPU n are mapped at PERCPU_STACKS[n],
 * so that RSP alone tells which CPU it is:
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

/* CPUs that can be taken over, the boot CPU among them. */
#define PERCPU_MAX 256

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

/* How far a CPU is that is being taken over. */
enum cpu_state {
	CPU_READY,  /* all is laid out for it, it has not come */
	CPU_BEGUN,  /* it runs our code */
	CPU_WAITS,  /* taken: SVM or VMX is on, it waits for kicks */
	CPU_FAILED, /* SVM or VMX cannot be turned on */
};

struct percpu {
	struct percpu *self; /* at GS:0 */
	u32 id;              /* 0: the boot CPU; percpu_of(id) */
	u32 apic_id;
	u32 state;           /* enum cpu_state */
	bool reachable;      /* an NMI finds its handler, and apic_id is right */
	bool given_up;       /* it did not come up as it should: it may run our code, but nothing is asked of it */
	u32 kicks;           /* KICK_*, not taken yet */
	u64 kicks_taken;     /* messages that were kicks */
	u64 nmi_count;       /* other NMIs that arrived while the hypervisor ran */
	u64 init_count;      /* INITs that came as an exception */
	u64 stack_top;       /* of the main stack */
	void *backend;       /* the vendor's state of this CPU: struct svm_cpu */
	struct vcpu *vcpu;   /* the guest's CPU that runs here or may be started here; NULL: none */
	bool runs_guest;     /* it does, since some time */
	bool stop_by_init;   /* it runs the guest, to which NMIs go without an exit */
	bool looks;          /* a KICK_LOOK came, and nobody has looked yet */
	int interrupt;       /* what interrupt_take() took */
	bool kicked;         /* an NMI came since this was cleared, before an entry */
	const char *trouble; /* what the vendor could not do on it; text for who may log: the boot CPU */
	struct cpu_stacks *stacks;
	struct gdt gdt;
	struct tss tss;
};

/* The boot CPU's; the other CPUs' come from memory_take(). */
extern struct percpu percpu_boot;
extern struct cpu_stacks percpu_boot_stacks;

#define PERCPU_STACKS ((struct cpu_stacks *)0xffffffffc0000000ull)

/* Fills p, which is all zeroes, for any CPU. */
void percpu_init(struct percpu *p, u32 id, struct cpu_stacks *stacks);

/* Loads p's GDT, TSS and GS.base on this CPU. */
void percpu_load(struct percpu *p);

/* Makes p what percpu_of(p->id) gives, for good: before it runs on its stacks, by which a panic finds its CPU. */
void percpu_publish(struct percpu *p);

/* NULL: nothing was laid out for such a CPU. */
struct percpu *percpu_of(u32 id);

/* Is the hypervisor in charge of it: does it run the guest, or wait for kicks? */
bool percpu_is_taken(const struct percpu *p);
bool percpu_runs_guest(const struct percpu *p);

/*
 * Makes this_cpu() work again where GS.base may still be the guest's: in a panic
 * during the fast path of an exit (svm/enter.asm).
 */
void percpu_restore(void);

/* The number of the CPU whose stack we stand on, where GS.base may be the guest's: in the fast path of an exit. */
static inline u32 percpu_id_by_stack(void)
{
	u64 id = ((u64)__builtin_frame_address(0) - (u64)PERCPU_STACKS) / sizeof(struct cpu_stacks);

	return id < PERCPU_MAX ? (u32)id : 0; /* the boot CPU's are in the image */
}

static ALWAYS_INLINE struct percpu *this_cpu(void)
{
	struct percpu *p;

	asm("movq %%gs:0, %0" : "=r"(p));
	return p;
}

#endif
