/* SPDX-License-Identifier: BSD-2-Clause */
/* See nmi.h. */
#include "svm/nmi.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "svm/svm.h"

#define EXCEPTIONS (SVM_EXIT_EXCP_FIRST / 32) /* word of the intercepts */

/* What a debug exception adds to DR6 that tells its causes apart */
#define CAUSES (DR6_BREAKPOINTS | DR6_BS)

void svm_nmi_set_intercepts(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	u32 asked = (u32)((svm->requested & INTERCEPT_DB ? BIT(VEC_DB) : 0) |
			  (svm->requested & INTERCEPT_BP ? BIT(VEC_BP) : 0));

	svm_set_intercept_word(vmcb, EXCEPTIONS, svm->step ? ~(u32)BIT(VEC_NMI) : (u32)BIT(VEC_PF) | asked);
	svm_set_intercept(vmcb, SVM_EXIT_SWINT, asked & BIT(VEC_BP) && svm_features()->int3_as_int);
	svm_set_intercept(vmcb, SVM_EXIT_IRET, vcpu->several && vcpu->nmi_blocked && !svm->step);
	svm_set_intercept(vmcb, SVM_EXIT_NMI, vcpu->several || svm->requested & INTERCEPT_NMI);
}

/* --- stepping over an IRET ------------------------------------------------------------- */

static void step_begin(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	svm->step = true;
	svm->step_rip = vcpu->rip;
	svm->step_tf = vcpu->rflags & RFLAGS_TF;
}

/*
 * Of the guest's, those that are on and wait for data: the IRET's own. One on the instruction that it returned to comes when
 * that begins, or never if IRET has set RF; QEMU tells of it here too.
 */
static u64 breakpoints_hit(const struct vmcb *vmcb, u64 causes)
{
	u64 hits = 0;

	for (u32 i = 0; i < 4; i++)
		if (causes >> i & 1 && vmcb->dr7 >> 2 * i & 3 && vmcb->dr7 >> (16 + 4 * i) & 3)
			hits |= BIT(i);
	return hits;
}

/* IRET is done, RFLAGS are what it loaded. The single step is ours unless the guest steps too. */
static void step_done(struct vcpu *vcpu, struct svm_vcpu *svm, u64 causes)
{
	u64 hits = breakpoints_hit(svm->vmcb, causes);

	svm->step = vcpu->nmi_blocked = false;
	if (svm->step_tf)
		return;
	if (hits) {
		svm->vmcb->dr6 = svm->step_dr6 | hits;
	} else {
		svm->vmcb->dr6 = svm->step_dr6;
		vcpu->exit.kind = EXIT_WINDOW;
	}
}

/*
 * Any exit: the flag goes before anybody sees it, and DR6 is the guest's again. A #DB that is no single step is a breakpoint on the IRET;
 * that and an interrupt come before it: it exits once more, behind their handlers.
 */
static void step_exit(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	bool debug = vcpu->exit.kind == EXIT_EXCEPTION && vcpu->exit.vector == VEC_DB;
	u64 causes = svm->vmcb->dr6 & CAUSES;

	svm->vmcb->dr6 |= svm->step_dr6 & CAUSES;
	svm_dirty(svm->vmcb, CLEAN_DR);
	if (debug && (causes & DR6_BS || vcpu->rip != svm->step_rip)) {
		step_done(vcpu, svm, causes);
	} else if (vcpu->rip == svm->step_rip) {
		vcpu->rflags = (vcpu->rflags & ~RFLAGS_TF) | svm->step_tf;
		svm->step = !debug && vcpu->exit.kind != EXIT_INTERRUPT;
	}
}

/*
 * IRET is still to be done; or it has faulted, which ends the blocking too (SDM vol. 3 section 25.3); or a task switch or a
 * machine check has brought the guest away. An INIT ends the blocking, and with it the step.
 */
static void step_entry(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	if (vcpu->inject.type == EVENT_EXCEPTION || vcpu->rip != svm->step_rip)
		vcpu->nmi_blocked = false;
	svm->step = vcpu->nmi_blocked && vcpu->inject.type == EVENT_NONE;
	if (!svm->step)
		return;
	vcpu->rflags |= RFLAGS_TF;
	svm->step_dr6 = svm->vmcb->dr6;
	svm->vmcb->dr6 &= ~CAUSES; /* so that the exit tells which there are */
	svm_dirty(svm->vmcb, CLEAN_DR);
}

/* --- exits and entries -------------------------------------------------------------------- */

static void note_nmis(struct vcpu *vcpu, struct svm_vcpu *svm, u64 count)
{
	vcpu->nmi_waits = vcpu->nmi_waits || count != svm->nmi_seen;
	svm->nmi_seen = count;
}

void svm_nmi_exit(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (svm->step)
		step_exit(vcpu, svm);
	if (vcpu->exit.kind == EXIT_NMI) {
		note_nmis(vcpu, svm, hw_nmis(vcpu->vendor));
		vcpu->exit.kind = EXIT_WINDOW;
	} else if ((u32)svm->vmcb->exit_code == SVM_EXIT_IRET) {
		step_begin(vcpu, svm);
	}
}

/* The exit that lets an NMI in behind the shadow of an instruction, or behind another event, is one that we send. */
static void take_turn(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	bool shadow = vcpu->interrupt_shadow && (u32)svm->vmcb->exit_code != SVM_EXIT_NMI;

	if (vcpu->inject.type != EVENT_NONE || shadow) {
		hw_kick(vcpu->cpu);
		return;
	}
	inject_nmi(vcpu);
	vcpu->nmi_waits = false;
}

void svm_nmi_entry(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);
	bool again = vcpu->exit.interrupted.type == EVENT_NMI;

	/* One of another processor waits its turn as those of the hardware do. */
	if (vcpu->inject.type == EVENT_NMI && !again) {
		vcpu->inject.type = EVENT_NONE;
		vcpu->nmi_waits = true;
	}
	if (vcpu->several) /* one that came while the processor waited for a start-up message, or for its interrupts to be dropped */
		note_nmis(vcpu, svm, hw_nmi_count());
	if (svm->step)
		step_entry(vcpu, svm);
	if (vcpu->nmi_waits && !vcpu->nmi_blocked)
		take_turn(vcpu, svm);
	if (vcpu->inject.type == EVENT_NMI)
		vcpu->nmi_blocked = true;
	svm_nmi_set_intercepts(vcpu);
}
