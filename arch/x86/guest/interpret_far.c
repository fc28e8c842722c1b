/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Far JMP, CALL, RET, and IRET: in real mode, and in protected mode to a code segment of the same privilege, which may be a
 * 64-bit one (SDM vol. 3 section 5.8.1). Call gates, tasks and other privileges take the hardware.
 */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

static int selector_fault(struct emu *e, u8 vector, u16 selector)
{
	return interpret_fault(e, vector, selector & ~SELECTOR_RPL);
}

/* --- the code segment ------------------------------------------------------------------------ */

/* Privilege, once it is a code segment. */
static bool is_allowed(const struct emu *e, enum far_way way, u16 selector, const struct segment *s)
{
	u32 rpl = selector & SELECTOR_RPL, dpl = DESCRIPTOR_DPL(s->attributes), cpl = e->vcpu->cpl;
	bool conforming = s->attributes & TYPE_CONFORMING;

	if (way == FAR_RETURN)
		return rpl >= cpl && (conforming ? dpl <= rpl : dpl == rpl);
	return conforming ? dpl <= cpl : rpl <= cpl && dpl == cpl;
}

static int check_descriptor(struct emu *e, enum far_way way, u16 selector, const struct segment *s)
{
	bool code64 = s->attributes & SEG_ATTR_L && in_long_mode(e->vcpu);

	if (!(s->attributes & DESCRIPTOR_S))
		interpret_stop(e, ": a gate or a task");
	if (!(s->attributes & TYPE_CODE) || !is_allowed(e, way, selector, s) ||
	    (code64 && s->attributes & SEG_ATTR_DB))
		return selector_fault(e, VEC_GP, selector);
	if (!(s->attributes & DESCRIPTOR_P))
		return selector_fault(e, VEC_NP, selector);
	if (way == FAR_RETURN && (selector & SELECTOR_RPL) > e->vcpu->cpl)
		interpret_stop(e, ": a return to less privilege");
	return 0;
}

static int real_segment(struct emu *e, u16 selector, u64 offset, struct segment *out)
{
	e->vcpu->vendor->get_segment(e->vcpu, SEG_CS, out);
	out->selector = selector;
	out->base = (u32)selector << 4;
	return offset > out->limit ? interpret_fault(e, VEC_GP, 0) : 0;
}

int interpret_code_segment(struct emu *e, enum far_way way, u16 selector, u64 offset, struct segment *out)
{
	gva_t at;
	int err;

	if (interpret_is_real(e))
		return real_segment(e, selector, offset, out);
	err = descriptor_read(e->vcpu, selector, out, &at);
	if (err == -ENOENT)
		return selector_fault(e, VEC_GP, selector);
	if (!err)
		err = check_descriptor(e, way, selector, out);
	if (err)
		return err;
	if (!(out->attributes & SEG_ATTR_L && in_long_mode(e->vcpu)) && offset > out->limit)
		return interpret_fault(e, VEC_GP, 0);
	out->selector = (u16)((selector & ~SELECTOR_RPL) | e->vcpu->cpl);
	return descriptor_mark_accessed(e->vcpu, out, at);
}

static void enter(struct emu *e, const struct segment *cs, u64 offset)
{
	known_set_segment(e->vcpu, SEG_CS, cs);
	emu_branch(e, offset);
}

/* --- JMP, CALL ------------------------------------------------------------------------------- */

/* Where to: in the instruction, or in memory. */
static int read_target(struct emu *e, u16 *selector, u64 *offset)
{
	if (e->insn->has_modrm)
		return interpret_read_pointer(e, selector, offset);
	*selector = e->insn->imm2;
	*offset = insn_truncate(e->insn->imm, e->insn->opsize);
	return 0;
}

static int jump_or_call(struct emu *e, enum far_way way)
{
	struct vcpu *vcpu = e->vcpu;
	u64 rsp = vcpu->gpr[GPR_RSP];
	u32 size = e->insn->opsize;
	struct segment cs;
	u16 selector;
	u64 offset;
	int err = read_target(e, &selector, &offset);

	if (!err)
		err = interpret_code_segment(e, way, selector, offset, &cs);
	if (!err && way == FAR_CALL)
		err = emu_push_value(e, size, insn_selector(vcpu, SEG_CS));
	if (!err && way == FAR_CALL)
		err = emu_push_value(e, size, vcpu->rip + e->insn->len);
	if (err)
		vcpu->gpr[GPR_RSP] = rsp;
	else
		enter(e, &cs, offset);
	return err;
}

/* --- RET, IRET ------------------------------------------------------------------------------- */

/* Offset and selector are on top of the stack, under them what is dropped, too. */
static int return_far(struct emu *e, u32 drop)
{
	struct vcpu *vcpu = e->vcpu;
	u32 size = e->insn->opsize;
	u64 offset, selector;
	struct segment cs;
	int err = emu_peek_value(e, 0, size, &offset);

	if (!err)
		err = emu_peek_value(e, size, size, &selector);
	if (!err)
		err = interpret_code_segment(e, FAR_RETURN, (u16)selector, offset, &cs);
	if (err)
		return err;
	emu_set_stack_pointer(e, vcpu->gpr[GPR_RSP] + 2 * size + drop);
	enter(e, &cs, offset);
	return 0;
}

/* The flags that IRET takes from the stack, at privilege 0 as in real mode; the others stay. */
#define IRET_FLAGS32 (RFLAGS_DEFINED & ~(RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP))
#define IRET_FLAGS16 (RFLAGS_DEFINED & 0xffff)

static int return_from_interrupt(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;
	u64 taken = interpret_loaded_flags(e, e->insn->opsize == 4 ? IRET_FLAGS32 : IRET_FLAGS16), flags;
	int err;

	vcpu->nmi_blocked = false; /* even if it faults: SDM vol. 3 section 6.7.1 */
	if (!interpret_is_real(e) && (vcpu->rflags & RFLAGS_NT || in_long_mode(vcpu)))
		interpret_stop(e, ": a return to another task, or in IA-32e mode");
	err = emu_peek_value(e, 2 * e->insn->opsize, e->insn->opsize, &flags);
	if (err)
		return err;
	if (!interpret_is_real(e) && e->insn->opsize == 4 && flags & RFLAGS_VM)
		interpret_stop(e, ": a return to virtual-8086 mode");
	err = return_far(e, e->insn->opsize);
	if (!err)
		interpret_set_flags(e, (vcpu->rflags & ~taken) | (flags & taken));
	return err;
}

/* clang-format off */
int interpret_far(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x9a: return jump_or_call(e, FAR_CALL);
	case 0xca: case 0xcb: return return_far(e, (u16)e->insn->imm);
	case 0xcf: return return_from_interrupt(e);
	case 0xea: return jump_or_call(e, FAR_JUMP);
	default: break;
	}
	switch (e->insn->reg & 7) {
	case 3: return jump_or_call(e, FAR_CALL);
	case 5: return jump_or_call(e, FAR_JUMP);
	case 7: return interpret_undefined(e);
	default: return -ENOSYS;
	}
}
/* clang-format on */
