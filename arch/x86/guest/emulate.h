/* SPDX-License-Identifier: BSD-2-Clause */
/* Execution of one guest instruction that touches trapped or hidden memory. */
#ifndef ARCH_X86_GUEST_EMULATE_H
#define ARCH_X86_GUEST_EMULATE_H

#include "arch/x86/guest/vcpu.h"

/*
 * The shadow engine answered EMULATE to the page fault in vcpu->exit, with vcpu->mmio.fault:
 * executes the instruction at RIP, or queues the exception that it raises.
 */
void emulate_access(struct vcpu *vcpu);

#endif
