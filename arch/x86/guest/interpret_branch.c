/* SPDX-License-Identifier: BSD-2-Clause */
/* Near branches that the emulator has no memory operand for, and the instructions that raise an event. */
#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"

static int branch_if(struct emu *e, bool taken)
{
	return taken ? emu_jump(e, e->vcpu->rip + e->insn->len + e->insn->imm) : 0;
}

/* LOOPNE, LOOPE, LOOP, JCXZ: rCX is as wide as an address. */
static int loop(struct emu *e)
{
	u32 kind = e->insn->opcode & 3, size = e->insn->addrsize;
	u64 before = emu_reg(e, GPR_RCX, size), count = insn_truncate(before - 1, size);
	bool zero = e->vcpu->rflags & FLAG_ZF;
	int err;

	if (kind == 3)
		return branch_if(e, !before);
	err = branch_if(e, count && (kind == 2 || zero == kind));
	if (!err)
		emu_set_reg(e, GPR_RCX, size, count);
	return err;
}

/* The index against two numbers in memory, both signed. */
static int bound(struct emu *e)
{
	u32 size = e->insn->opsize, shift = 64 - 8 * size;
	u64 index = emu_reg(e, e->insn->reg, size), limits[2] = {0};
	u8 bytes[8];
	int err;

	if (!e->insn->has_mem)
		return interpret_undefined(e);
	err = emu_locate(e, 2 * size, SEGMENT_READ);
	if (!err)
		err = emulate_read(e->vcpu, e->gva, bytes, 2 * size);
	if (err)
		return err;
	for (u32 i = 0; i < 2 * size; i++)
		limits[i / size] |= (u64)bytes[i] << 8 * (i % size);
	if ((s64)(index << shift) < (s64)(limits[0] << shift) || (s64)(index << shift) > (s64)(limits[1] << shift))
		return interpret_fault(e, VEC_BR, 0);
	return 0;
}

/* clang-format off */
int interpret_branch(struct emu *e)
{
	const struct insn *insn = e->insn;

	if (insn->map == 1)
		return branch_if(e, alu_condition(insn->opcode & 15, e->vcpu->rflags));
	switch (insn->opcode) {
	case 0x62: return bound(e);
	case 0x70 ... 0x7f: return branch_if(e, alu_condition(insn->opcode & 15, e->vcpu->rflags));
	case 0xcc: return interpret_soft_event(e, EVENT_SOFT_EXCEPTION, VEC_BP);
	case 0xce: return e->vcpu->rflags & FLAG_OF ? interpret_soft_event(e, EVENT_SOFT_EXCEPTION, VEC_OF) : 0;
	case 0xe0 ... 0xe3: return loop(e);
	case 0xe9: case 0xeb: return branch_if(e, true);
	case 0xf1: return interpret_soft_event(e, EVENT_PRIV_SOFT_EXCEPTION, VEC_DB);
	default: return -ENOSYS;
	}
}
/* clang-format on */
