/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit of a page fault, up to the question who executes the instruction. */
#ifndef ARCH_X86_GUEST_PAGE_FAULT_H
#define ARCH_X86_GUEST_PAGE_FAULT_H

#include "arch/x86/guest/vcpu.h"

/*
 * Has the shadow engine handle vcpu->exit, unless the fast path has asked it already, and queues the #PF if it is the guest's own. True: the
 * instruction, on trapped or hidden memory (vcpu->mmio.fault), is to be emulated.
 */
bool page_fault_handle(struct vcpu *vcpu);

#endif
