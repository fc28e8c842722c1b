/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does this processor leave the guest when it is asked to? Some emulators do not
 * (docs/hardware.md), and then a guest reads the shadow's root or writes the
 * hypervisor's registers. So before there is a guest, a probe guest of a few instructions at
 * a time, in hidden memory, shows what isolation rests on.
 */
#ifndef ARCH_X86_GUEST_SELFCHECK_H
#define ARCH_X86_GUEST_SELFCHECK_H

#include "arch/x86/vendor.h"

#define SELFCHECK_WORDS 96
#define SELFCHECK_CPU 80

struct selfcheck {
	const char *missing;         /* what this CPU lets a guest do without an exit; NULL: all is well */
	char words[SELFCHECK_WORDS]; /* ", " and what was worked round, for the boot log; "" if nothing was */
	bool task_switches_unseen;   /* a hardware task switch makes no exit */
	char cpu[SELFCHECK_CPU];     /* the processor's name, and the hypervisor's above us */
};

/*
 * Runs every probe on this CPU, on which vendor->cpu_enable() has been called. vcpu is all
 * zeroes; all that is left in it is vcpu->hw, which the next vendor->vcpu_init() takes over.
 * 0, or -errno (logged) if the probe guest cannot be made.
 */
MUST_CHECK int selfcheck_run(struct vcpu *vcpu, const struct vendor *vendor, struct selfcheck *out);

/* The probes, for tests. */
enum probe_rule {
	PROBE_EXITS,    /* must exit; isolation needs it */
	PROBE_TOLD,     /* should exit; if not, the boot log says so: isolation does not rest on it alone */
	PROBE_SHADOWED, /* exits, or reads the guest's own value */
};

struct probe {
	const char *name;
	u8 bytes[8];
	u8 len;
	u8 rule;      /* enum probe_rule */
	u8 kind;      /* enum exit_kind */
	u8 cr;        /* CR_READ and CR_WRITE: which */
	u8 needs;     /* enum probe_needs */
	u8 cpu_state; /* enum probe_state */
	u64 rax;
	u32 rcx;
};

enum probe_needs { NEEDS_NOTHING, NEEDS_XSAVE, NEEDS_SVM };
/* 64-bit code where the hardware holds CR0 as the guest sees it; where it does not; 32-bit code with CR4 different too. */
enum probe_state { STATE_SAME, STATE_DIFFERENT, STATE_CODE32 };

extern const struct probe selfcheck_probes[];
extern const u32 selfcheck_probe_count;

/* The probe guest's memory: one page of code, one of data; everything else is absent. */
#define PROBE_CODE 0x1000u
#define PROBE_DATA 0x2000u
#define PROBE_STOP 0x7000u /* a read of this, behind the instruction, ends a probe that did not exit */

#endif
