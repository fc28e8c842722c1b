/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory-type range registers: copies taken from the hardware at
 * the start. The hardware's own stay as the firmware set them.
 */
#ifndef ARCH_X86_GUEST_MTRR_H
#define ARCH_X86_GUEST_MTRR_H

#include "arch/x86/guest/vcpu.h"

void mtrr_init(struct vcpu *vcpu);
bool mtrr_owns(const struct vcpu *vcpu, u32 msr);
/* Only for MSRs that mtrr_owns(): 0, or -EFAULT where the guest gets #GP(0). */
MUST_CHECK int mtrr_read(const struct vcpu *vcpu, u32 msr, u64 *value);
MUST_CHECK int mtrr_write(struct vcpu *vcpu, u32 msr, u64 value);

#endif
