/* SPDX-License-Identifier: BSD-2-Clause */
/* See execution.h. */
#include "arch/x86/guest/execution.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/entry_rules.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/interpret.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/page_fault.h"
#include "arch/x86/guest/segment_load.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"

#define REAL_LIMIT 0xffffu
#define TYPE_EXPAND_DOWN BIT(2)
#define TYPE_CODE BIT(3)

static bool is_expand_down(const struct segment *s)
{
	return (s->attributes & (TYPE_EXPAND_DOWN | TYPE_CODE)) == TYPE_EXPAND_DOWN;
}

/* D/B says how wide code and stack are; of data it says nothing that is used up to 64 KiB. */
static bool fits_virtual_8086(const struct segment *s, enum segment_name which)
{
	bool wide = (which == SEG_CS || which == SEG_SS) && s->attributes & SEG_ATTR_DB;

	return s->base == (u64)s->selector << 4 && s->limit >= REAL_LIMIT && !wide && !is_expand_down(s) &&
	       !(s->attributes & SEG_ATTR_UNUSABLE);
}

static enum execution decide_real(struct vcpu *vcpu)
{
	struct segment buf;

	for (u32 i = SEG_ES; i <= SEG_GS; i++)
		if (!fits_virtual_8086(known_segment(vcpu, (enum segment_name)i, &buf), (enum segment_name)i))
			vcpu->unfit |= (u32)BIT(i);
	return vcpu->unfit ? EXECUTION_INTERPRETED : EXECUTION_VIRTUAL_8086;
}

/* In IA-32e mode segments come from descriptors that were checked, or from an exit. */
enum execution execution_decide(struct vcpu *vcpu)
{
	struct entry_segments m = {.v8086 = vcpu->rflags & RFLAGS_VM};

	vcpu->unfit = 0;
	if (!(vcpu->cr0 & CR0_PE))
		return decide_real(vcpu);
	if (in_long_mode(vcpu))
		return EXECUTION_NATIVE;
	for (u32 i = 0; i < SEG_COUNT; i++)
		vcpu->vendor->get_segment(vcpu, (enum segment_name)i, &m.segment[i]);
	return entry_rules_check(&m, NULL, NULL) ? EXECUTION_INTERPRETED : EXECUTION_NATIVE;
}

/* Neither a null selector's RPL matters, nor that of conforming code. */
static bool has_rpl_of_entry(const struct segment *s, enum segment_name which)
{
	u32 rpl = s->selector & SELECTOR_RPL;

	if (which == SEG_CS || which == SEG_SS)
		return !rpl;
	if (s->attributes & SEG_ATTR_UNUSABLE || (s->attributes & DESCRIPTOR_TYPE) >= (TYPE_CODE | TYPE_CONFORMING))
		return true;
	return rpl <= SEG_ATTR_DPL(s->attributes);
}

/*
 * Real mode's selectors are any numbers, and a write of CR0 goes from there straight to IA-32e mode. What VM entries ask of their RPL
 * (SDM vol. 3 section 26.3.1.2) protected mode has by itself at privilege 0, and what is cleared here nothing but a store of the selector tells.
 */
void execution_fit_long_mode(struct vcpu *vcpu)
{
	struct segment s;

	if (!in_long_mode(vcpu) || vcpu->cpl)
		return;
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		vcpu->vendor->get_segment(vcpu, (enum segment_name)i, &s);
		if (has_rpl_of_entry(&s, (enum segment_name)i))
			continue;
		s.selector &= (u16)~SELECTOR_RPL;
		known_set_segment(vcpu, (enum segment_name)i, &s);
	}
}

void execution_interpret(struct vcpu *vcpu)
{
	if (interpret_one(vcpu) == INTERPRET_HALT)
		vcpu->halted = true;
}

static void handle_debug_exception(struct vcpu *vcpu)
{
	u64 causes = vcpu->dr6_set;

	vcpu->dr6_set = 0;
	if (causes)
		breakpoint_raise(vcpu, causes);
	else
		execution_interpret(vcpu);
}

/*
 * #GP and #SS are those of virtual-8086 mode, of an access that real mode's limit allows, or the guest's own: the instruction tells. So
 * it does of INT3, INTO and INT1, which the hardware has not executed. INT1's #DB alone comes without a bit for DR6.
 */
static void handle_exception(struct vcpu *vcpu)
{
	u8 vector = vcpu->exit.vector;

	switch (vector) {
	case VEC_GP:
	case VEC_SS:
	case VEC_OF: execution_interpret(vcpu); return;
	case VEC_BP:
		if (likely(!debug_hooks) || !debug_hooks->exception(vcpu))
			execution_interpret(vcpu);
		return;
	case VEC_DB:
		if (likely(!debug_hooks) || !debug_hooks->exception(vcpu))
			handle_debug_exception(vcpu);
		return;
	default: inject_exception(vcpu, vector, vcpu->exit.error);
	}
}

/* Of the shadow alone: paging is off. */
static void handle_page_fault(struct vcpu *vcpu)
{
	if (page_fault_handle(vcpu))
		execution_interpret(vcpu);
}

/* Nothing was cut short, for nothing is delivered there. vcpu->breakpoints_hit is what a MOV SS has left. */
void execution_exit(struct vcpu *vcpu)
{
	switch ((enum exit_kind)vcpu->exit.kind) {
	case EXIT_PAGE_FAULT: handle_page_fault(vcpu); return;
	case EXIT_EXCEPTION: handle_exception(vcpu); return;
	default: exit_dispatch(vcpu);
	}
}
