/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address line A20. Masked, it would change the addresses of the hypervisor's own accesses too, so the guest
 * cannot mask it: it reads back what it wrote, and memory stays whole.
 */
#ifndef ARCH_X86_GUEST_A20_H
#define ARCH_X86_GUEST_A20_H

#include "arch/x86/guest/vcpu.h"

/* Traps the ports that mask A20, unless the processor has been told to ignore it. 0 or -ENOSPC. */
MUST_CHECK int a20_init(struct vcpu *vcpu);

#endif
