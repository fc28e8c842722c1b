/* SPDX-License-Identifier: BSD-2-Clause */
/* Running a guest: the top of the neutral half, called by arch/x86/main.c and the backends. */
#ifndef ARCH_X86_GUEST_RUN_H
#define ARCH_X86_GUEST_RUN_H

#include "arch/x86/guest/vcpu.h"
#include "arch/x86/vendor.h"
#include "lib/log.h"
#include "mm/shadow.h"

/* Runs the guest for ever. */
NORETURN void guest_run(struct vcpu *vcpu);

/* On a processor that waits, when it was kicked: runs what the guest has started on it. Returns if that is nothing. */
void guest_run_other(struct vcpu *vcpu);

/* Handles vcpu->exit and all that is due before the next entry. */
void guest_exit(struct vcpu *vcpu);

/* Carries out what other processors ask of this one; a processor that waits for a start-up message does so here. */
void guest_messages(struct vcpu *vcpu);

/* False where the CPU took another CR3 than the shadow's: by a task switch that did not exit (docs/hardware.md). */
static ALWAYS_INLINE bool guest_root_is_ours(const struct vcpu *vcpu)
{
	return likely(vcpu->vendor->hardware_root(vcpu).v == vcpu->root.v);
}

/* Where it costs it is looked at only if the guest can do it, and in debug builds. */
static ALWAYS_INLINE bool guest_root_is_checked(const struct vcpu *vcpu)
{
	return unlikely(UMBRA_DEBUG_ENABLED || vcpu->check_root);
}

static ALWAYS_INLINE bool guest_root_is_foreign(const struct vcpu *vcpu)
{
	return guest_root_is_checked(vcpu) && !guest_root_is_ours(vcpu);
}

/* Must the fast path leave this exit alone? Also while an instruction is stepped over: debug/step.c has what is looked at set. */
static ALWAYS_INLINE bool guest_exit_is_slow(const struct vcpu *vcpu)
{
	return guest_root_is_checked(vcpu) && (vcpu->stepped || !guest_root_is_ours(vcpu));
}

/* Is anything due before the next entry? Then call guest_prepare_entry(). */
static ALWAYS_INLINE bool guest_entry_due(const struct vcpu *vcpu)
{
	return unlikely(shadow_entry_due(vcpu->mmu)) || unlikely(vcpu->exits >= vcpu->next_audit);
}

/* Audits if it is time, tells the backend a new root, has flushes done. */
void guest_prepare_entry(struct vcpu *vcpu);

#endif
