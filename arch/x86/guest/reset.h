/* SPDX-License-Identifier: BSD-2-Clause */
/* What INIT, start-up messages and NMIs of other processors do to a virtual CPU: its requests in the table of processors.h. */
#ifndef ARCH_X86_GUEST_RESET_H
#define ARCH_X86_GUEST_RESET_H

#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/vcpu.h"

/*
 * Between an exit whose state is in struct vcpu and the next entry, on the processor of vcpu->id: does what its requests ask
 * for. False: it waits for a start-up message and must not be entered. A machine that must be reset for it does not come back.
 */
bool reset_take(struct vcpu *vcpu, struct processors *t);
/* The same for requests that were taken by hand. */
void reset_do(struct vcpu *vcpu, struct processors *t, const struct processor_event *event);

#endif
