/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event injection. An exception raised while another event was being delivered
 * is merged as the hardware does it (SDM vol. 3 section 6.15, "Interrupt 8"):
 * contributory after contributory, or contributory or page fault after a page
 * fault, is a double fault; either of them after a double fault shuts down.
 * After a benign first event the second one is delivered alone, and the first
 * is lost as on hardware.
 */
#include "arch/x86/guest/inject.h"

#include "arch/x86/guest/stop.h"
#include "arch/x86/vendor.h"

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum fault_class classify(u8 vector)
{
	switch (vector) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP: return CONTRIBUTORY;
	case VEC_PF:
	case VEC_VE: return PAGE_FAULT;
	case VEC_DF: return DOUBLE_FAULT;
	default: return BENIGN;
	}
}

static bool has_error_code(u8 vector)
{
	switch (vector) {
	case VEC_DF:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_PF:
	case VEC_AC:
	case VEC_CP: return true;
	default: return false;
	}
}

/* #DB is raised here as a trap only; #BP and #OF come from their instructions. */
static bool is_fault(u8 vector)
{
	switch (vector) {
	case VEC_NMI:
	case VEC_DB:
	case VEC_BP:
	case VEC_OF:
	case VEC_DF:
	case VEC_MC: return false;
	default: return true;
	}
}

/* What is pushed of RFLAGS is up to us; a fault sets RF in it (SDM vol. 3 section 17.3.1.1, APM vol. 2 section 13.1.3). */
static void set_resume_flag(struct vcpu *vcpu, u8 vector)
{
	if (is_fault(vector))
		vcpu->rflags |= RFLAGS_RF;
}

static void set_exception(struct vcpu *vcpu, u8 vector, u32 error)
{
	set_resume_flag(vcpu, vector);
	vcpu->inject = (struct vcpu_event){
		.type = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error_code(vector),
		.error = has_error_code(vector) ? error : 0,
	};
}

/* The event under way when this exception came up, if it was an exception. */
static bool first_exception(const struct vcpu *vcpu, u8 *vector)
{
	const struct vcpu_event *first = vcpu->inject.type == EVENT_NONE ? &vcpu->exit.interrupted : &vcpu->inject;

	*vector = first->vector;
	return first->type == EVENT_EXCEPTION;
}

/* #GP and its like tell that the event came from outside the program (EXT). */
static u32 external_bit(const struct vcpu *vcpu, u8 vector)
{
	u8 type = vcpu->exit.interrupted.type;
	bool external = type == EVENT_INTERRUPT || type == EVENT_NMI || type == EVENT_EXCEPTION;

	return external && classify(vector) == CONTRIBUTORY && vector != VEC_CP;
}

void inject_exception(struct vcpu *vcpu, u8 vector, u32 error)
{
	enum fault_class second = classify(vector), first = BENIGN;
	u8 first_vector;

	if (first_exception(vcpu, &first_vector))
		first = classify(first_vector);
	if (first == DOUBLE_FAULT && second != BENIGN)
		guest_shutdown(vcpu);
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
	    (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT)))
		set_exception(vcpu, VEC_DF, 0);
	else
		set_exception(vcpu, vector, error | external_bit(vcpu, vector));
}

void inject_pf(struct vcpu *vcpu, gva_t gva, u32 error)
{
	vcpu->cr2 = gva;
	inject_exception(vcpu, VEC_PF, error);
}

void inject_nmi(struct vcpu *vcpu)
{
	if (vcpu->inject.type == EVENT_NONE)
		vcpu->inject = (struct vcpu_event){.type = EVENT_NMI, .vector = VEC_NMI};
}

/*
 * An IRET that faults has ended the blocking of NMIs (SDM vol. 3 section 25.3). If the fault was the shadow's alone the
 * guest has executed nothing yet, and they are blocked again until it has.
 */
static void restore_nmi_blocking(struct vcpu *vcpu)
{
	if (vcpu->exit.nmi_unblocked && vcpu->inject.type != EVENT_EXCEPTION)
		vcpu->nmi_blocked = true;
}

/*
 * Soft events (INT n, INT3, INTO, INT1) are not queued again: RIP still points
 * at the instruction, which raises its event by itself when it runs again.
 */
void inject_finish(struct vcpu *vcpu)
{
	const struct vcpu_event *cut = &vcpu->exit.interrupted;

	restore_nmi_blocking(vcpu);
	if (vcpu->inject.type != EVENT_NONE)
		return;
	if (cut->type == EVENT_EXCEPTION)
		set_resume_flag(vcpu, cut->vector);
	if (cut->type == EVENT_INTERRUPT || cut->type == EVENT_NMI || cut->type == EVENT_EXCEPTION)
		vcpu->inject = *cut;
}
