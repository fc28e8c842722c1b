/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events for the guest. Whatever is queued goes in at the next entry, merged
 * with a delivery that the last exit cut short by the rules of SDM vol. 3
 * table 6-5.
 */
#ifndef ARCH_X86_GUEST_INJECT_H
#define ARCH_X86_GUEST_INJECT_H

#include "arch/x86/guest/vcpu.h"

/* Queues an exception; error is ignored for the vectors that have none. */
void inject_exception(struct vcpu *vcpu, u8 vector, u32 error);
static inline void inject_ud(struct vcpu *vcpu)
{
	inject_exception(vcpu, VEC_UD, 0);
}
static inline void inject_gp(struct vcpu *vcpu)
{
	inject_exception(vcpu, VEC_GP, 0);
}
/* #PF; sets CR2. */
void inject_pf(struct vcpu *vcpu, gva_t gva, u32 error);
void inject_nmi(struct vcpu *vcpu);

/*
 * The last step of every exit: delivers again what was cut short, unless
 * something else took its place.
 */
void inject_finish(struct vcpu *vcpu);

#endif
