/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See execution_run.h. All that the hardware does between two instructions is done here for a guest that it does not run: first an
 * event that an instruction raised, then an NMI, then an interrupt, which is taken from the hardware and delivered by the
 * interpreter. As this processor is not inside (docs/several-cpus.md, section 3) nobody waits for it; what others ask of it is
 * looked at after so many instructions, so that an INIT does not wait for a guest that is interpreted for ever.
 */
#include "arch/x86/guest/execution_run.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/execution.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/interpret.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/run.h"

/* Simple instructions between two looks at messages: fewer than 300,000 of the hypervisor's if all load and store (C15). */
#define ROUND 150u

static void deliver(struct vcpu *vcpu, struct vcpu_event event)
{
	vcpu->inject.type = EVENT_NONE;
	vcpu->halted = false;
	interpret_deliver(vcpu, &event);
}

static bool take_nmi(struct vcpu *vcpu)
{
	vcpu->vendor->look(vcpu);
	if (likely(!vcpu->nmi_waits) || vcpu->nmi_blocked || vcpu->interrupt_shadow)
		return false;
	vcpu->nmi_waits = false;
	deliver(vcpu, (struct vcpu_event){.type = EVENT_NMI, .vector = VEC_NMI});
	return true;
}

static bool take_interrupt(struct vcpu *vcpu, int vector)
{
	if (vector < 0)
		return false;
	deliver(vcpu, (struct vcpu_event){.type = EVENT_INTERRUPT, .vector = (u8)vector});
	return true;
}

/* Virtual-8086 mode has no shadow of an STI, nor more than 64 KiB of code. */
static bool may_enter(const struct vcpu *vcpu)
{
	return vcpu->execution == EXECUTION_VIRTUAL_8086 && !vcpu->halted && !vcpu->interrupt_shadow &&
	       !(vcpu->rip >> 16);
}

/* Where the guest can be entered the entry finds it, and exits for it. */
static bool may_come_here(const struct vcpu *vcpu)
{
	return interpret_takes_interrupts(vcpu) && (vcpu->exit.kind == EXIT_INTERRUPT || !may_enter(vcpu));
}

/* True if something was delivered. */
static bool take_event(struct vcpu *vcpu)
{
	if (unlikely(vcpu->inject.type != EVENT_NONE)) {
		deliver(vcpu, vcpu->inject);
		return true;
	}
	return take_nmi(vcpu) || (may_come_here(vcpu) && take_interrupt(vcpu, hw_take_interrupt()));
}

static void look_at_messages(struct vcpu *vcpu)
{
	if (hw_stop_asked())
		hw_stop();
	if (unlikely(debug_hooks)) /* its timer does not run here */
		debug_hooks->timer(vcpu);
	if (vcpu->several)
		guest_messages(vcpu);
	known_forget(vcpu);
}

/*
 * In the hypervisor: an interrupt, an NMI or an INIT ends it. A kick that comes behind the look at the messages is there before the
 * wait begins. An INIT of a device is blocked here (SDM vol. 3 section 23.8): it comes with the next entry.
 */
static void wait_halted(struct vcpu *vcpu)
{
	if (!vcpu->several)
		hw_was_kicked();
	look_at_messages(vcpu);
	if (!vcpu->halted || take_nmi(vcpu))
		return;
	if (interpret_takes_interrupts(vcpu))
		take_interrupt(vcpu, hw_wait_interrupt());
	else
		hw_wait(vcpu->vendor);
}

static bool is_native(struct vcpu *vcpu)
{
	if (vcpu->execution == EXECUTION_UNDECIDED) {
		execution_fit_long_mode(vcpu);
		vcpu->execution = (u8)execution_decide(vcpu);
	}
	return vcpu->execution == EXECUTION_NATIVE;
}

static void interpret(struct vcpu *vcpu)
{
	switch (interpret_some(vcpu)) {
	case INTERPRETED: break;
	case INTERPRET_EVENT: /* none if it was a point of debug/, which is stopped at by the next look */
		if (likely(vcpu->execution != EXECUTION_UNDECIDED && vcpu->inject.type != EVENT_NONE))
			deliver(vcpu, vcpu->inject);
		break;
	case INTERPRET_HALT: vcpu->halted = true; break;
	}
}

/* One step; false: the hardware goes on. An event for a guest that is NATIVE again is the entry's to deliver. */
static bool step(struct vcpu *vcpu)
{
	if (is_native(vcpu))
		return false;
	if (take_event(vcpu))
		return true;
	if (unlikely(vcpu->halted))
		wait_halted(vcpu);
	else if (may_enter(vcpu))
		return false;
	else
		interpret(vcpu);
	return true;
}

void execution_run(struct vcpu *vcpu)
{
	u32 looked = vcpu->interpreted;

	if (is_native(vcpu))
		return;
	vcpu->exit = (struct vcpu_exit){.kind = vcpu->exit.kind}; /* an event that it cut short is in vcpu->inject */
	known_forget(vcpu);
	while (step(vcpu)) {
		if (vcpu->interpreted - looked < ROUND)
			continue;
		look_at_messages(vcpu);
		looked = vcpu->interpreted;
	}
	known_forget(vcpu);
	vcpu->code_bits = 0;
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
}
