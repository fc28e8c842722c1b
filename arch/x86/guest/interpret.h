/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Execution of a guest whose state the hardware does not run: in real mode, or in protected mode with segments that
 * a VM entry refuses, as between MOV CR0 and the far jump (SDM vol. 3 sections 9.9 and 26.3.1.2). It is the emulator of memory
 * accesses (emulate.h) with all other instructions beside.
 *
 * In 64-bit code, virtual-8086 mode and user mode of protected mode the hardware runs a guest: those never come here.
 */
#ifndef ARCH_X86_GUEST_INTERPRET_H
#define ARCH_X86_GUEST_INTERPRET_H

#include "arch/x86/guest/vcpu.h"

enum interpreted {
	INTERPRETED,
	INTERPRET_EVENT, /* vcpu->inject holds an event, which the caller delivers; if a soft one, RIP is still at its instruction */
	INTERPRET_HALT, /* HLT; RIP is behind it */
};

/*
 * The instruction at CS:RIP, or a few elements of a repeated string instruction. Does not look for interrupts, to which
 * vcpu->interrupt_shadow and RFLAGS.IF apply, nor for what the new state may mean for the next entry. Overwrites vcpu->exit.
 *
 * Adds to vcpu->interpreted what it cost, in units of 400 host instructions or less, at least one: a caller that has a bound looks
 * there, for ENTER, repeated strings and whatever a handler of exits does are many times what others are.
 */
enum interpreted interpret_one(struct vcpu *vcpu);

static inline bool interpret_takes_interrupts(const struct vcpu *vcpu)
{
	return vcpu->rflags & RFLAGS_IF && !vcpu->interrupt_shadow;
}

/*
 * At most so many, as long as that changes nothing of what the caller looks at between two: who executes the guest, whether
 * it takes interrupts, what a handler of exits does. What it finds out about the guest's state (known.h) serves the next call: in between
 * nothing but this changes that state, or known_forget() is called, as it is behind the last one.
 */
#define INTERPRET_SOME 16u
enum interpreted interpret_some(struct vcpu *vcpu);

/*
 * Delivers an event as the processor does (SDM vol. 3 sections 6.12.1 and 20.1.4): through the table of interrupt vectors, or
 * through a gate if CR0.PE is set. A soft event's RIP is at its instruction, and the one behind is pushed. An
 * exception meanwhile is delivered instead by the rules of table 6-5, up to the shutdown; one in the new task behind a task gate is left in
 * vcpu->inject. An NMI blocks others (nmi_blocked). IA-32e mode, which only the
 * hardware has, ends the guest with a line that says so.
 */
void interpret_deliver(struct vcpu *vcpu, const struct vcpu_event *event);

#endif
