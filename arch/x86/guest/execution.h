/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a virtual CPU executes where the hardware does not run every state of a guest (struct vendor's real_mode is false, and there
 * alone): by the hardware itself; real mode in virtual-8086 mode, whose exceptions, interrupts and sensitive instructions all
 * exit; or by the interpreter (interpret.h), an instruction at a time. It follows from the guest's state before each entry.
 *
 *   CR0.PE = 1, a VM entry takes the segments (entry_rules.h) . . . . . . . . NATIVE
 *   CR0.PE = 0, every segment has its selector times 16 as base and 64 KiB  . VIRTUAL_8086
 *   else: between MOV CR0 and far jump, a base of protected mode, ROM . . . . INTERPRETED
 *
 * A limit beyond 64 KiB ("unreal mode") is no obstacle to virtual-8086 mode: an access beyond exits by its fault, and the interpreter does
 * it with the guest's own limit, which the backend keeps (SDM vol. 3 section 20.1: a load in real mode leaves it alone).
 */
#ifndef ARCH_X86_GUEST_EXECUTION_H
#define ARCH_X86_GUEST_EXECUTION_H

#include "arch/x86/guest/vcpu.h"

/* Selectors that IA-32e mode has from real mode get an RPL that an entry takes; before the decision. */
void execution_fit_long_mode(struct vcpu *vcpu);

/* From the registers alone; looks at segments. */
enum execution execution_decide(struct vcpu *vcpu);

/* Executes one instruction here, with all that becomes of it. */
void execution_interpret(struct vcpu *vcpu);

/* exit_dispatch() for an exit from virtual-8086 mode in the place of real mode. */
void execution_exit(struct vcpu *vcpu);

#endif
