/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens at each exit, and the two ways in which a guest ends. */
#ifndef ARCH_X86_GUEST_EXITS_H
#define ARCH_X86_GUEST_EXITS_H

#include "arch/x86/guest/guest.h"
#include "lib/log.h"

/* Handles vcpu->exit. */
void exit_dispatch(struct vcpu *vcpu);

/* Handles vcpu->exit and all that is due before the next entry. */
void guest_exit(struct vcpu *vcpu);

/* False where the CPU took another CR3 than the shadow's: by a task switch that did not exit (docs/hardware.md). */
static ALWAYS_INLINE bool guest_root_is_ours(const struct vcpu *vcpu)
{
	return likely(vcpu->vendor->hardware_root(vcpu).v == vcpu->root.v);
}

/* The same, where it costs: looked at only if the guest can do it, and in debug builds. */
static ALWAYS_INLINE bool guest_root_is_foreign(const struct vcpu *vcpu)
{
	return unlikely(UMBRA_DEBUG_ENABLED || vcpu->check_root) && !guest_root_is_ours(vcpu);
}

/* Is anything due before the next entry? Then call guest_prepare_entry(). */
static ALWAYS_INLINE bool guest_entry_due(const struct vcpu *vcpu)
{
	return unlikely(shadow_entry_due(vcpu->mmu)) || unlikely(vcpu->exits >= vcpu->next_audit);
}

/* Audits if it is time, tells the backend a new root, has flushes done. */
void guest_prepare_entry(struct vcpu *vcpu);

/* Shutdown by triple fault: the machine resets, as the hardware would. */
NORETURN void guest_shutdown(struct vcpu *vcpu);

#endif
