/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction of a stopped processor, by RFLAGS.TF (docs/debugging.md, D6). Interrupts are as they are: one that waits comes first, and
 * the step ends behind its handler. An exception is a step of its own: it ends in front of the handler's first
 * instruction. What the guest could see of TF is put right: PUSHF's word, and R11 of SYSCALL.
 */
#ifndef DEBUG_STEP_H
#define DEBUG_STEP_H

#include "arch/x86/guest/vcpu.h"

/* On the processor of vcpu. */
void step_begin(struct vcpu *vcpu);
/* No longer, wherever the guest is. */
void step_cancel(struct vcpu *vcpu);

/* While vcpu->stepped, see arch/x86/debug_hooks.h: */
/* Of a #DB: true, it is the step's, which is done. Else the guest has one of its own coming, whose delivery ends the step. */
bool step_exception(struct vcpu *vcpu);
/* True: the step is done. *dr6 is what the guest shall have. */
bool step_emulated(struct vcpu *vcpu, u64 *dr6);
void step_leaving(struct vcpu *vcpu);
/* Before an entry: true, an event has been delivered, which was the step. */
bool step_is_delivered(struct vcpu *vcpu);

/* INTERCEPT_* on or off. */
void step_intercept(struct vcpu *vcpu, u32 mask, bool on);

#endif
