/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMSR and WRMSR of the guest. */
#ifndef ARCH_X86_GUEST_MSR_H
#define ARCH_X86_GUEST_MSR_H

#include "arch/x86/guest/vcpu.h"

/* Lets through what the guest may touch without an exit; reads the MTRRs of the hardware. */
void msr_init(struct vcpu *vcpu);

/* 0, or -EFAULT where the guest gets #GP(0). Any index and value is survivable. */
MUST_CHECK int msr_guest_read(struct vcpu *vcpu, u32 msr, u64 *value);
MUST_CHECK int msr_guest_write(struct vcpu *vcpu, u32 msr, u64 value);

#endif
