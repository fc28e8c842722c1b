/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segment registers and selectors: MOV, PUSH, POP, LDS and its like, which load a base in real mode and a descriptor in
 * protected mode; ARPL, LAR, LSL; and POPF, which is as easy as these.
 */
#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

int interpret_load_segment(struct emu *e, enum segment_name which, u16 selector)
{
	if (!interpret_is_real(e))
		return segment_move(e->vcpu, which, selector);
	segment_load_real(e->vcpu, which, selector);
	return 0;
}

/* --- MOV, PUSH, POP ----------------------------------------------------------------------------- */

static int move_to_segment(struct emu *e)
{
	u32 which = e->insn->reg & 7;
	u64 selector;
	int err;

	if (which == SEG_CS || which > SEG_GS)
		return interpret_undefined(e);
	e->size = sizeof(u16);
	err = emu_read_rm(e, &selector);
	if (!err)
		err = interpret_load_segment(e, which, (u16)selector);
	e->new_stack = which == SEG_SS;
	return err;
}

/* Of 16 bits to memory, of the operand's size to a register. */
static int move_from_segment(struct emu *e)
{
	u32 which = e->insn->reg & 7;

	if (which > SEG_GS)
		return interpret_undefined(e);
	e->size = e->insn->has_mem ? sizeof(u16) : e->insn->opsize;
	return emu_write_rm(e, insn_selector(e->vcpu, which));
}

static enum segment_name pushed_segment(const struct insn *insn)
{
	if (insn->map == 1)
		return insn->opcode & 8 ? SEG_GS : SEG_FS;
	return insn->opcode >> 3;
}

static int pop_segment(struct emu *e)
{
	enum segment_name which = pushed_segment(e->insn);
	u64 rsp = e->vcpu->gpr[GPR_RSP], selector;
	int err = emu_peek_value(e, 0, e->insn->opsize, &selector);

	if (err)
		return err;
	emu_set_stack_pointer(e, rsp + e->insn->opsize);
	err = interpret_load_segment(e, which, (u16)selector);
	if (err)
		e->vcpu->gpr[GPR_RSP] = rsp;
	e->new_stack = which == SEG_SS;
	return err;
}

/* --- LDS, LES, LSS, LFS, LGS ----------------------------------------------------------------------- */

int interpret_read_pointer(struct emu *e, u16 *selector, u64 *offset)
{
	u32 size = e->insn->opsize;
	u8 bytes[6];
	int err;

	if (!e->insn->has_mem)
		return interpret_undefined(e);
	err = emu_locate(e, size + 2, SEGMENT_READ);
	if (!err)
		err = emulate_read(e->vcpu, e->gva, bytes, size + 2);
	if (err)
		return err;
	*offset = 0;
	memcpy(offset, bytes, size);
	memcpy(selector, bytes + size, sizeof(*selector));
	return 0;
}

static int load_pointer(struct emu *e, enum segment_name which)
{
	u16 selector;
	u64 offset;
	int err = interpret_read_pointer(e, &selector, &offset);

	if (!err)
		err = interpret_load_segment(e, which, selector);
	if (!err)
		emu_set_reg(e, e->insn->reg, e->insn->opsize, offset);
	return err;
}

/* --- selectors in protected mode ---------------------------------------------------------------------- */

static int set_zero_flag(struct emu *e, bool on)
{
	u64 *flags = &e->vcpu->rflags;

	*flags = on ? *flags | FLAG_ZF : *flags & ~FLAG_ZF;
	return 0;
}

static int adjust_rpl(struct emu *e)
{
	u64 rpl = e->vcpu->gpr[e->insn->reg] & SELECTOR_RPL, selector;
	int err;

	if (interpret_is_real(e))
		return interpret_undefined(e);
	e->size = sizeof(u16);
	err = emu_read_rm_to_write(e, &selector);
	if (err || (selector & SELECTOR_RPL) >= rpl)
		return err ? err : set_zero_flag(e, false);
	err = emu_write_rm(e, (selector & ~(u64)SELECTOR_RPL) | rpl);
	return err ? err : set_zero_flag(e, true);
}

/* Types of system descriptors that have rights, and those that have a limit, SDM vol. 2. */
#define RIGHTS_TYPES (BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(11) | BIT(12))
#define LIMIT_TYPES (BIT(1) | BIT(2) | BIT(3) | BIT(9) | BIT(11))

static bool is_visible(const struct emu *e, u16 selector, const struct segment *s, u64 system_types)
{
	u32 type = s->attributes & DESCRIPTOR_TYPE, dpl = DESCRIPTOR_DPL(s->attributes);
	bool conforming = (type & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);

	if (!(s->attributes & DESCRIPTOR_S))
		return system_types >> type & 1 && dpl >= MAX(e->vcpu->cpl, selector & SELECTOR_RPL);
	return conforming || dpl >= MAX(e->vcpu->cpl, selector & SELECTOR_RPL);
}

/* LAR, LSL */
static int load_descriptor_part(struct emu *e, bool limit)
{
	u32 size = e->insn->opsize;
	struct segment s;
	u64 selector;
	gva_t at;
	int err;

	if (interpret_is_real(e))
		return interpret_undefined(e);
	e->size = sizeof(u16);
	err = emu_read_rm(e, &selector);
	if (!err)
		err = descriptor_read(e->vcpu, (u16)selector, &s, &at);
	if (err == -ENOENT)
		return set_zero_flag(e, false);
	if (err || !is_visible(e, (u16)selector, &s, limit ? LIMIT_TYPES : RIGHTS_TYPES))
		return err ? err : set_zero_flag(e, false);
	emu_set_reg(e, e->insn->reg, size, limit ? s.limit : (s.attributes & 0xf0ff) << 8);
	return set_zero_flag(e, true);
}

/* --- POPF -------------------------------------------------------------------------------------------------- */

/* At privilege 0 as in real mode; VM stays, RF is cleared by any instruction but IRET. */
#define POPF_FLAGS32 (RFLAGS_DEFINED & ~(RFLAGS_VM | RFLAGS_RF | RFLAGS_VIF | RFLAGS_VIP))
#define POPF_FLAGS16 (RFLAGS_DEFINED & 0xffff)

static int pop_flags(struct emu *e)
{
	u64 taken = interpret_loaded_flags(e, e->insn->opsize == 4 ? POPF_FLAGS32 : POPF_FLAGS16), flags;
	int err = emu_peek_value(e, 0, e->insn->opsize, &flags);

	if (err)
		return err;
	emu_set_stack_pointer(e, e->vcpu->gpr[GPR_RSP] + e->insn->opsize);
	interpret_set_flags(e, (e->vcpu->rflags & ~(taken | RFLAGS_RF)) | (flags & taken));
	return 0;
}

/* clang-format off */
static int one_byte(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x06: case 0x0e: case 0x16: case 0x1e:
		return emu_push_value(e, e->insn->opsize, insn_selector(e->vcpu, pushed_segment(e->insn)));
	case 0x07: case 0x17: case 0x1f: return pop_segment(e);
	case 0x63: return adjust_rpl(e);
	case 0x8c: return move_from_segment(e);
	case 0x8e: return move_to_segment(e);
	case 0x9d: return pop_flags(e);
	case 0xc4: return load_pointer(e, SEG_ES);
	case 0xc5: return load_pointer(e, SEG_DS);
	default: return -ENOSYS;
	}
}

int interpret_segment(struct emu *e)
{
	if (e->insn->map == 0)
		return one_byte(e);
	switch (e->insn->opcode) {
	case 0x02: case 0x03: return load_descriptor_part(e, e->insn->opcode & 1);
	case 0xa0: case 0xa8: return emu_push_value(e, e->insn->opsize, insn_selector(e->vcpu, pushed_segment(e->insn)));
	case 0xa1: case 0xa9: return pop_segment(e);
	case 0xb2: return load_pointer(e, SEG_SS);
	case 0xb4: return load_pointer(e, SEG_FS);
	case 0xb5: return load_pointer(e, SEG_GS);
	default: return -ENOSYS;
	}
}
/* clang-format on */
