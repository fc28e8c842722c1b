/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Far JMP, CALL, RET, and IRET: in real mode; in protected mode to a code segment of the same privilege, which may be a 64-bit one (SDM
 * vol. 3 section 5.8.1), through a call gate as well (section 5.8.3), to more privilege too; RET and IRET to one of less privilege; to
 * another task; IRET to virtual-8086 mode. Gates of IA-32e mode take the hardware.
 */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/inner_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/task.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

#define V86_LIMIT 0xffffu
#define COST_TASK 40u /* interpret.h */

enum far_way { FAR_JUMP, FAR_CALL, FAR_RETURN };

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

	if (!(s->attributes & DESCRIPTOR_S) || !(s->attributes & TYPE_CODE) || !is_allowed(e, way, selector, s) ||
	    (code64 && s->attributes & SEG_ATTR_DB))
		return selector_fault(e, VEC_GP, selector);
	if (!(s->attributes & DESCRIPTOR_P))
		return selector_fault(e, VEC_NP, selector);
	return 0;
}

static int real_segment(struct emu *e, u16 selector, u64 offset, struct segment *out)
{
	struct segment buf;

	*out = *known_segment(e->vcpu, SEG_CS, &buf);
	out->selector = selector;
	out->base = (u32)selector << 4;
	return offset > out->limit ? interpret_fault(e, VEC_GP, 0) : 0;
}

/* What a selector names, or #GP(selector). */
static int find_descriptor(struct emu *e, u16 selector, struct segment *out, gva_t *at)
{
	int err = descriptor_read(e->vcpu, selector, out, at);

	return err == -ENOENT ? selector_fault(e, VEC_GP, selector) : err;
}

/* The last steps, once the descriptor may be used at this privilege. */
static int take_code(struct emu *e, u32 cpl, u64 offset, struct segment *cs, gva_t at)
{
	if (!(cs->attributes & SEG_ATTR_L && in_long_mode(e->vcpu)) && offset > cs->limit)
		return interpret_fault(e, VEC_GP, 0);
	cs->selector = (u16)((cs->selector & ~SELECTOR_RPL) | cpl);
	return descriptor_mark_accessed(e->vcpu, cs, at);
}

/* --- call gates -------------------------------------------------------------------------------- */

#define TYPE_CALL_GATE16 4u
#define TYPE_TASK_GATE 5u
#define TYPE_CALL_GATE32 12u
#define GATE_PARAMS 31u
#define TYPE_SYSTEM (DESCRIPTOR_S | DESCRIPTOR_TYPE)

struct target {
	struct segment cs;
	u64 offset;
	u32 size;   /* of what CALL pushes */
	u32 cpl;    /* CALL through a gate: it may be more than now, */
	u32 params; /* and then so many values go from the old stack to the new one */
	bool task;  /* a task-state segment instead, */
	u16 tss;    /* with this selector */
};

static int check_gate_target(struct emu *e, enum far_way way, const struct segment *s)
{
	u32 dpl = DESCRIPTOR_DPL(s->attributes), cpl = e->vcpu->cpl;
	bool conforming = s->attributes & TYPE_CONFORMING;

	if (!(s->attributes & DESCRIPTOR_S) || !(s->attributes & TYPE_CODE) || dpl > cpl ||
	    (way == FAR_JUMP && !conforming && dpl != cpl))
		return selector_fault(e, VEC_GP, s->selector);
	if (!(s->attributes & DESCRIPTOR_P))
		return selector_fault(e, VEC_NP, s->selector);
	return 0;
}

static int through_call_gate(struct emu *e, enum far_way way, u64 raw, bool wide, struct target *t)
{
	gva_t at;
	int err;

	t->size = wide ? 4 : 2;
	t->offset = (raw & 0xffff) | (wide ? raw >> 48 << 16 : 0);
	t->params = raw >> 32 & GATE_PARAMS;
	err = find_descriptor(e, (u16)(raw >> 16), &t->cs, &at);
	if (!err)
		err = check_gate_target(e, way, &t->cs);
	if (err)
		return err;
	t->cpl = t->cs.attributes & TYPE_CONFORMING ? e->vcpu->cpl : DESCRIPTOR_DPL(t->cs.attributes);
	return take_code(e, t->cpl, t->offset, &t->cs, at);
}

/* A system descriptor: a gate is in the table at this address. */
static int through_gate(struct emu *e, enum far_way way, const struct segment *gate, gva_t at, struct target *t)
{
	u32 type = gate->attributes & TYPE_SYSTEM, dpl = DESCRIPTOR_DPL(gate->attributes);
	u64 raw;
	int err;

	if (dpl < MAX(e->vcpu->cpl, (u32)gate->selector & SELECTOR_RPL))
		return selector_fault(e, VEC_GP, gate->selector);
	if (!(gate->attributes & DESCRIPTOR_P))
		return selector_fault(e, VEC_NP, gate->selector);
	t->task = type != TYPE_CALL_GATE16 && type != TYPE_CALL_GATE32;
	t->tss = gate->selector;
	if (t->task && type != TYPE_TASK_GATE)
		return 0;
	err = system_read(e->vcpu, at, &raw, sizeof(raw));
	t->tss = (u16)(raw >> 16);
	return err || t->task ? err : through_call_gate(e, way, raw, type == TYPE_CALL_GATE32, t);
}

static bool is_system(struct emu *e, enum far_way way, const struct segment *s)
{
	static const u32 known = BIT(1) | BIT(4) | BIT(5) | BIT(9) | BIT(TYPE_CALL_GATE32); /* SDM vol. 3 table 3-2 */

	if (s->attributes & DESCRIPTOR_S || way == FAR_RETURN)
		return false;
	if (in_long_mode(e->vcpu))
		interpret_stop(e, ": a gate in IA-32e mode");
	return known & BIT(s->attributes & DESCRIPTOR_TYPE);
}

/* Where a transfer to selector:offset leads, nothing changed but the descriptor's accessed flag. 0 or -EFAULT. */
static int find_target(struct emu *e, enum far_way way, u16 selector, struct target *t)
{
	gva_t at;
	int err;

	if (interpret_is_real(e))
		return real_segment(e, selector, t->offset, &t->cs);
	err = find_descriptor(e, selector, &t->cs, &at);
	if (err)
		return err;
	if (is_system(e, way, &t->cs)) {
		struct segment gate = t->cs;

		return through_gate(e, way, &gate, at, t);
	}
	err = check_descriptor(e, way, selector, &t->cs);
	if (err)
		return err;
	return take_code(e, way == FAR_RETURN ? selector & SELECTOR_RPL : e->vcpu->cpl, t->offset, &t->cs, at);
}

static void enter(struct emu *e, const struct segment *cs, u64 offset)
{
	if (interpret_is_real(e))
		segment_load_real(e->vcpu, SEG_CS, cs->selector);
	else
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

static int push_return(struct emu *e, u32 size)
{
	const u64 values[] = {known_selector(e->vcpu, SEG_CS), e->vcpu->rip + e->insn->len};

	return emu_push_values(e, size, values, ARRAY_SIZE(values));
}

/* On the new stack: the old one's pointer, its topmost values, the return address. */
static int push_inner(struct emu *e, const struct target *t)
{
	struct vcpu *vcpu = e->vcpu;
	u64 values[2 + GATE_PARAMS + 2] = {known_selector(vcpu, SEG_SS), vcpu->gpr[GPR_RSP]};
	u32 n = 2;
	int err = 0;

	for (u32 i = t->params; i-- && !err; n++)
		err = emu_peek_value(e, i * t->size, t->size, &values[n]);
	values[n++] = known_selector(vcpu, SEG_CS);
	values[n++] = vcpu->rip + e->insn->len;
	vcpu->interpreted += t->params;
	return err ? err : inner_stack_push(e, t->cpl, t->size, values, n);
}

bool interpret_switch_task(struct vcpu *vcpu, enum task_source source, u16 selector, u8 insn_len)
{
	vcpu->exit.task_source = (u8)source;
	vcpu->exit.task_selector = selector;
	vcpu->exit.task_rf = false;
	vcpu->exit.insn_len = insn_len;
	vcpu->interpreted += COST_TASK;
	known_forget(vcpu);
	return task_handle_switch(vcpu);
}

static int switch_task(struct emu *e, enum task_source source, u16 selector)
{
	e->done = true;
	interpret_switch_task(e->vcpu, source, selector, e->insn->len);
	return e->vcpu->inject.type == EVENT_NONE ? 0 : -EFAULT;
}

static int jump_or_call(struct emu *e, enum far_way way)
{
	struct target t = {.size = e->insn->opsize, .cpl = e->vcpu->cpl};
	u16 selector;
	int err = read_target(e, &selector, &t.offset);

	if (!err)
		err = find_target(e, way, selector, &t);
	if (!err && t.task)
		return switch_task(e, way == FAR_CALL ? TASK_CALL : TASK_JUMP, t.tss);
	if (!err && way == FAR_CALL)
		err = t.cpl == e->vcpu->cpl ? push_return(e, t.size) : push_inner(e, &t);
	if (!err)
		enter(e, &t.cs, t.offset);
	return err;
}

/* --- RET, IRET ------------------------------------------------------------------------------- */

/* Its pointer is this far up on the old one; from the new one, too, something is dropped. */
static int take_outer_stack(struct emu *e, u32 up, u32 drop, u32 cpl)
{
	struct vcpu *vcpu = e->vcpu;
	u32 size = e->insn->opsize;
	u64 rsp, selector;
	int err = emu_peek_value(e, up, size, &rsp);

	if (!err)
		err = emu_peek_value(e, up + size, size, &selector);
	if (!err)
		err = segment_load_outer_stack(vcpu, (u16)selector, cpl);
	if (err)
		return err;
	vcpu->cpl = (u8)cpl;
	known_forget(vcpu);
	emu_set_stack_pointer(e, rsp + drop);
	segment_drop_inner(vcpu, cpl);
	return 0;
}

/* Offset and selector are on top of the stack, under them what is dropped, and, to less privilege, the other stack's pointer. */
static int return_far(struct emu *e, u32 drop, u32 drop_outer)
{
	struct vcpu *vcpu = e->vcpu;
	u32 size = e->insn->opsize, up = 2 * size + drop, cpl;
	u64 values[2], selector;
	struct target t;
	int err = emu_peek_values(e, 0, size, values, ARRAY_SIZE(values));

	selector = values[1];
	t.offset = values[0];
	if (!err)
		err = find_target(e, FAR_RETURN, (u16)selector, &t);
	if (err)
		return err;
	cpl = interpret_is_real(e) ? 0 : selector & SELECTOR_RPL;
	if (cpl != vcpu->cpl && in_long_mode(vcpu))
		interpret_stop(e, ": a return to less privilege in IA-32e mode");
	if (cpl == vcpu->cpl)
		emu_set_stack_pointer(e, vcpu->gpr[GPR_RSP] + up);
	else
		err = take_outer_stack(e, up, drop_outer, cpl);
	if (!err)
		enter(e, &t.cs, t.offset);
	return err;
}

/* The flags that IRET takes from the stack, at privilege 0 as in real mode; the others stay. */
#define IRET_FLAGS32 (RFLAGS_DEFINED & ~(RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP))
#define IRET_FLAGS16 (RFLAGS_DEFINED & 0xffff)

static int return_real(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;
	u64 taken = e->insn->opsize == 4 ? IRET_FLAGS32 : IRET_FLAGS16, before = vcpu->gpr[GPR_RSP], values[3];
	struct segment buf;
	int err = emu_pop_values(e, e->insn->opsize, values, ARRAY_SIZE(values));

	if (err)
		return err;
	if (unlikely(values[0] > known_segment(vcpu, SEG_CS, &buf)->limit)) {
		vcpu->gpr[GPR_RSP] = before;
		return interpret_fault(e, VEC_GP, 0);
	}
	segment_load_real(vcpu, SEG_CS, (u16)values[1]);
	emu_branch(e, values[0]);
	interpret_set_flags(e, (vcpu->rflags & ~taken) | (values[2] & taken));
	return 0;
}

/* The interrupted program's stack and segment registers lie behind EFLAGS: SDM vol. 3 section 20.2.3. */
static int return_to_v86(struct emu *e)
{
	static const u8 order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	struct vcpu *vcpu = e->vcpu;
	u64 values[9];
	int err = emu_peek_values(e, 0, 4, values, ARRAY_SIZE(values));

	if (err)
		return err;
	if (values[0] > V86_LIMIT)
		return interpret_fault(e, VEC_GP, 0);
	vcpu->gpr[GPR_RSP] = values[3];
	segment_load_v86(vcpu, SEG_CS, (u16)values[1]);
	for (u32 i = 0; i < ARRAY_SIZE(order); i++)
		segment_load_v86(vcpu, (enum segment_name)order[i], (u16)values[4 + i]);
	vcpu->cpl = 3;
	known_forget(vcpu);
	emu_branch(e, values[0]);
	interpret_set_flags(e, values[2]);
	return 0;
}

static int return_to_task(struct emu *e)
{
	struct segment buf;
	const struct segment *tr = known_segment(e->vcpu, SEG_TR, &buf);
	u16 link;
	int err = system_read(e->vcpu, tr->base, &link, sizeof(link));

	return err ? err : switch_task(e, TASK_IRET, link);
}

static NOINLINE int return_protected(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;
	u64 taken = interpret_loaded_flags(e, e->insn->opsize == 4 ? IRET_FLAGS32 : IRET_FLAGS16), flags;
	int err;

	if (in_long_mode(vcpu))
		interpret_stop(e, ": a return in IA-32e mode");
	if (vcpu->rflags & RFLAGS_NT)
		return return_to_task(e);
	err = emu_peek_value(e, 2 * e->insn->opsize, e->insn->opsize, &flags);
	if (err)
		return err;
	if (e->insn->opsize == 4 && flags & RFLAGS_VM && !vcpu->cpl)
		return return_to_v86(e);
	err = return_far(e, e->insn->opsize, 0);
	if (!err)
		interpret_set_flags(e, (vcpu->rflags & ~taken) | (flags & taken));
	return err;
}

int interpret_iret(struct emu *e)
{
	e->vcpu->nmi_blocked = false; /* even if it faults: SDM vol. 3 section 6.7.1 */
	return likely(interpret_is_real(e)) ? return_real(e) : return_protected(e);
}

/* clang-format off */
int interpret_far(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x9a: return jump_or_call(e, FAR_CALL);
	case 0xca: case 0xcb: return return_far(e, (u16)e->insn->imm, (u16)e->insn->imm);
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
