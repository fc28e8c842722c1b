/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See step.h. TF goes in before the entry and out at the first exit that ends the step: #DB, an instruction that was executed here, or an
 * event to deliver. That one would put TF into its frame, so TF goes first, and the entry that delivers it is left at once
 * (struct vendor's exit_soon). Of DR6 the guest keeps what it had.
 */
#include "debug/step.h"

#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "debug/memory.h"

#define CAUSES (DR6_BREAKPOINTS | DR6_BS)
#define INSN_BYTES 15

static struct step {
	u64 tf, dr6;     /* as the guest has them */
	bool delivers;   /* an event, in place of an instruction */
	bool loads;      /* POPF and IRET: TF is what they load */
	u8 pushed_bytes; /* PUSHF: what it pushes; else 0 */
	u8 int_bytes;    /* INT n: its length; else 0 */
	u8 int_vector;
} steps[PROCESSORS_MAX];

static struct step *step_of(const struct vcpu *vcpu)
{
	return &steps[vcpu->id];
}

void step_intercept(struct vcpu *vcpu, u32 mask, bool on)
{
	vcpu->debug_intercepts = on ? vcpu->debug_intercepts | mask : vcpu->debug_intercepts & ~mask;
	cr_set_read_intercepts(vcpu);
}

/* --- the instruction ------------------------------------------------------------------- */

static u64 code_at(const struct vcpu *vcpu, enum segment_name which, u64 offset, bool *bits64)
{
	struct segment cs, segment;

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	vcpu->vendor->get_segment(vcpu, which, &segment);
	*bits64 = in_long_mode(vcpu) && cs.attributes & SEG_ATTR_L;
	return *bits64 ? offset : (u32)(segment.base + offset);
}

static u32 default_bytes(const struct vcpu *vcpu, bool bits64, bool other_size)
{
	struct segment cs;
	bool wide;

	if (bits64)
		return other_size ? 2 : 8;
	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	wide = cs.attributes & SEG_ATTR_DB;
	return wide != other_size ? 4 : 2;
}

static bool is_prefix(u8 byte, bool bits64)
{
	/* clang-format off */
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67: case 0xf2: case 0xf3: return true;
	default: return bits64 && (byte & 0xf0) == 0x40; /* REX */
	}
	/* clang-format on */
}

static void look_at_instruction(struct vcpu *vcpu, struct step *s)
{
	bool bits64, other_size = false;
	u64 at = code_at(vcpu, SEG_CS, vcpu->rip, &bits64);
	u8 bytes[INSN_BYTES];
	u32 got = memory_copy(vcpu, at, false, bytes, sizeof(bytes), false), i;

	s->loads = false;
	s->pushed_bytes = s->int_bytes = 0;
	for (i = 0; i < got && is_prefix(bytes[i], bits64); i++)
		other_size |= bytes[i] == 0x66;
	if (i == got)
		return;
	s->loads = bytes[i] == 0x9d || bytes[i] == 0xcf;
	if (bytes[i] == 0xcd && i + 1 < got) {
		s->int_bytes = (u8)(i + 2);
		s->int_vector = bytes[i + 1];
	}
	if (bytes[i] == 0x9c)
		s->pushed_bytes = (u8)default_bytes(vcpu, bits64, other_size);
}

/* The stack is as its address size has it; a 16-bit one is taken from SP alone. */
static void clear_pushed(struct vcpu *vcpu)
{
	bool bits64;
	struct segment ss;
	u64 sp = vcpu->gpr[GPR_RSP], at;
	u8 byte;

	vcpu->vendor->get_segment(vcpu, SEG_SS, &ss);
	at = code_at(vcpu, SEG_SS, ss.attributes & SEG_ATTR_DB ? sp : (u16)sp, &bits64);
	if (bits64)
		at = sp;
	at++; /* TF is bit 0 of the second byte */
	if (memory_copy(vcpu, at, false, &byte, 1, false) != 1)
		return;
	byte &= (u8) ~(RFLAGS_TF >> 8);
	memory_copy(vcpu, at, false, &byte, 1, true);
}

/*
 * Meanwhile no exit takes the fast path, which would deliver a page fault of the guest's with our TF in its frame: it looks closer
 * where the root is checked.
 */
static void set_stepped(struct vcpu *vcpu, bool on)
{
	vcpu->stepped = on;
	cr_set_check_root(vcpu);
}

/* --- begin and end ---------------------------------------------------------------------- */

/* Virtual-8086 mode has rules of its own for INT n. */
static bool can_deliver(const struct vcpu *vcpu)
{
	return vcpu->execution == EXECUTION_NATIVE && vcpu->cr0 & CR0_PE && !(vcpu->rflags & RFLAGS_VM);
}

void step_begin(struct vcpu *vcpu)
{
	struct step *s = step_of(vcpu);

	*s = (struct step){.tf = vcpu->rflags & RFLAGS_TF, .dr6 = vcpu->vendor->get_dr6(vcpu)};
	set_stepped(vcpu, true);
	if (vcpu->inject.type != EVENT_NONE && vcpu->execution == EXECUTION_NATIVE) {
		s->delivers = true;
		vcpu->vendor->exit_soon(vcpu);
		return;
	}
	look_at_instruction(vcpu, s);
	if (s->int_bytes && can_deliver(vcpu)) { /* done by its delivery, as an event */
		vcpu->inject = (struct vcpu_event){
			.type = EVENT_SOFT_INTERRUPT,
			.vector = s->int_vector,
			.insn_len = s->int_bytes,
		};
		s->delivers = true;
		vcpu->vendor->exit_soon(vcpu);
		return;
	}
	vcpu->vendor->set_dr6(vcpu, s->dr6 & ~CAUSES); /* so that the exit tells which there are */
	vcpu->rflags |= RFLAGS_TF;
	step_intercept(vcpu, INTERCEPT_DB, true);
}

/* TF is the guest's again. */
static void take_flag_back(struct vcpu *vcpu, struct step *s)
{
	if (!s->loads)
		vcpu->rflags = (vcpu->rflags & ~RFLAGS_TF) | s->tf;
	step_intercept(vcpu, INTERCEPT_DB, false);
}

void step_cancel(struct vcpu *vcpu)
{
	struct step *s = step_of(vcpu);

	set_stepped(vcpu, false);
	if (s->delivers)
		return;
	s->loads = false; /* it may not have been executed */
	take_flag_back(vcpu, s);
	vcpu->vendor->set_dr6(vcpu, s->dr6);
}

static void end_instruction(struct vcpu *vcpu, struct step *s)
{
	take_flag_back(vcpu, s);
	if (s->pushed_bytes && !s->tf)
		clear_pushed(vcpu);
	vcpu->vendor->set_dr6(vcpu, s->dr6);
	set_stepped(vcpu, false);
}

/* The guest has a #DB of its own, which is about to be queued. */
static void go_on_with_delivery(struct vcpu *vcpu, struct step *s)
{
	set_stepped(vcpu, true);
	s->delivers = true;
}

bool step_exception(struct vcpu *vcpu)
{
	struct step *s = step_of(vcpu);
	u64 causes = (vcpu->dr6_set | vcpu->vendor->get_dr6(vcpu)) & CAUSES;
	u64 guests;

	if (s->delivers)
		return false;
	causes = debug_registers_sort(vcpu, causes);
	guests = (causes & DR6_BREAKPOINTS) | (s->tf ? causes & DR6_BS : 0);
	vcpu->dr6_set = 0;
	end_instruction(vcpu, s);
	if (!guests)
		return true;
	vcpu->dr6_set = guests;
	go_on_with_delivery(vcpu, s);
	return false;
}

bool step_emulated(struct vcpu *vcpu, u64 *dr6)
{
	struct step *s = step_of(vcpu);

	if (s->delivers)
		return false;
	end_instruction(vcpu, s);
	if (!s->tf)
		*dr6 &= ~DR6_BS;
	if (!*dr6)
		return true;
	go_on_with_delivery(vcpu, s);
	return false;
}

/* An exception that the instruction has raised, or an event that was cut short. */
void step_leaving(struct vcpu *vcpu)
{
	struct step *s = step_of(vcpu);

	if (vcpu->inject.type == EVENT_NONE || vcpu->execution != EXECUTION_NATIVE)
		return;
	if (!s->delivers) {
		s->loads = false;
		take_flag_back(vcpu, s);
		vcpu->vendor->set_dr6(vcpu, s->dr6);
		s->delivers = true;
	}
	vcpu->vendor->exit_soon(vcpu);
}

bool step_is_delivered(struct vcpu *vcpu)
{
	if (!step_of(vcpu)->delivers || vcpu->inject.type != EVENT_NONE)
		return false;
	set_stepped(vcpu, false);
	return true;
}
