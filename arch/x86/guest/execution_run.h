/* SPDX-License-Identifier: BSD-2-Clause */
/* The instructions that the hardware does not execute, between an exit and the next entry: see execution.h. */
#ifndef ARCH_X86_GUEST_EXECUTION_RUN_H
#define ARCH_X86_GUEST_EXECUTION_RUN_H

#include "arch/x86/guest/vcpu.h"

/*
 * For a guest whose vcpu->execution is not EXECUTION_NATIVE, with its state in struct vcpu: interprets, delivers events and waits in HLT
 * until it is NATIVE, or VIRTUAL_8086 with nothing to deliver. Carries out messages meanwhile; what is due before an entry is done.
 */
NOINLINE void execution_run(struct vcpu *vcpu);

#endif
