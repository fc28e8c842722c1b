/* SPDX-License-Identifier: BSD-2-Clause */
/* MOV to and from debug registers, where the hardware does not execute it: SDM vol. 2, MOV, and vol. 3 section 17.2. */
#ifndef ARCH_X86_GUEST_DEBUG_MOVE_H
#define ARCH_X86_GUEST_DEBUG_MOVE_H

#include "arch/x86/guest/vcpu.h"

/*
 * Which register is meant: reg as the instruction has it. 0 to 3, 6 or 7; or -EFAULT, an exception is queued: #UD for what
 * is none, #DB by general detect.
 */
MUST_CHECK int debug_move_register(struct vcpu *vcpu, u32 reg);

/* An EXIT_DEBUG_REGISTER. */
void debug_move_handle(struct vcpu *vcpu);

#endif
