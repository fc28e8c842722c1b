/* SPDX-License-Identifier: BSD-2-Clause */
/* Bit tests, compare-and-exchange, exchange-and-add on emulated memory. */
#include "arch/x86/guest/emulate_bits.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "lib/string.h"

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static enum bit_op bit_op(const struct insn *insn)
{
	/* BA /4 to /7, or A3, AB, B3, BB */
	return insn->opcode == 0xba ? insn->reg & 3 : insn->opcode >> 3 & 3;
}

/* With a bit number in a register, memory is a bit string around the operand. Returns the bit's number in the operand. */
static u32 bit_operand(struct emu *e)
{
	const struct insn *insn = e->insn;
	u32 width = 8 * e->size, bit;
	u64 number;
	s64 index;

	if (insn->opcode == 0xba)
		return insn->imm & (width - 1);
	number = emu_reg(e, insn->reg, e->size);
	bit = number & (width - 1);
	index = (s64)(number << (64 - width)) >> (64 - width);
	index = (index - bit) / width;
	e->offset = insn_truncate(e->offset + index * e->size, insn->addrsize);
	return bit;
}

int emu_bit_test(struct emu *e)
{
	enum bit_op op = bit_op(e->insn);
	u32 bit = bit_operand(e);
	u64 value, mask;
	int err = op == BIT_TEST ? emu_read_rm(e, &value) : emu_read_rm_to_write(e, &value);

	if (err)
		return err;
	mask = BIT(bit);
	if (op != BIT_TEST)
		err = emu_write_rm(e, op == BIT_SET   ? value | mask :
				      op == BIT_RESET ? value & ~mask :
							value ^ mask);
	if (err)
		return err;
	e->vcpu->rflags = (e->vcpu->rflags & ~FLAG_CF) | (value & mask ? FLAG_CF : 0);
	return 0;
}

/* The destination is written either way, with its own value if unequal. */
int emu_cmpxchg(struct emu *e)
{
	u64 flags = e->vcpu->rflags, old;
	bool equal;
	int err = emu_read_rm_to_write(e, &old);

	if (err)
		return err;
	alu_binary(ALU_CMP, e->size, emu_reg(e, GPR_RAX, e->size), old, &flags);
	equal = flags & FLAG_ZF;
	err = emu_write_rm(e, equal ? emu_reg(e, e->insn->reg, e->size) : old);
	if (err)
		return err;
	if (!equal)
		emu_set_reg(e, GPR_RAX, e->size, old);
	e->vcpu->rflags = flags;
	return 0;
}

/* CMPXCHG8B and CMPXCHG16B */
int emu_cmpxchg_wide(struct emu *e)
{
	u64 *gpr = e->vcpu->gpr, old[2] = {0}, new[2];
	u32 half = e->insn->w ? 8 : 4;
	u8 bytes[16], before[8];
	bool equal;
	int err;

	if (!e->insn->has_mem)
		return -ENOSYS;
	err = emu_locate(e, 2 * half, SEGMENT_WRITE);
	if (err)
		return err;
	if (half == 8 && e->gva & 15) {
		inject_gp(e->vcpu);
		return -EFAULT;
	}
	err = emulate_probe_write(e->vcpu, e->gva, 2 * half);
	if (!err)
		err = emulate_read(e->vcpu, e->gva, bytes, 2 * half);
	if (err)
		return err;
	memcpy(before, bytes, sizeof(before));
	memcpy(&old[0], bytes, half);
	memcpy(&old[1], bytes + half, half);
	equal = old[0] == insn_truncate(gpr[GPR_RAX], half) && old[1] == insn_truncate(gpr[GPR_RDX], half);
	new[0] = equal ? gpr[GPR_RBX] : old[0];
	new[1] = equal ? gpr[GPR_RCX] : old[1];
	memcpy(bytes, &new[0], half);
	memcpy(bytes + half, &new[1], half);
	err = e->insn->lock && half == 4 ? emulate_exchange(e->vcpu, e->gva, before, bytes, sizeof(before)) :
					   emulate_write(e->vcpu, e->gva, bytes, 2 * half);
	if (err)
		return err;
	if (!equal) {
		gpr[GPR_RAX] = old[0];
		gpr[GPR_RDX] = old[1];
	}
	e->vcpu->rflags = (e->vcpu->rflags & ~FLAG_ZF) | (equal ? FLAG_ZF : 0);
	return 0;
}

int emu_xadd(struct emu *e)
{
	u64 flags = e->vcpu->rflags, old, sum;
	int err = emu_read_rm_to_write(e, &old);

	if (err)
		return err;
	sum = alu_binary(ALU_ADD, e->size, old, emu_reg(e, e->insn->reg, e->size), &flags);
	if (!e->insn->has_mem) {
		emu_set_reg(e, e->insn->reg, e->size, old);
		emu_set_reg(e, e->insn->rm, e->size, sum);
	} else {
		err = emu_write_rm(e, sum);
		if (err)
			return err;
		emu_set_reg(e, e->insn->reg, e->size, old);
	}
	e->vcpu->rflags = flags;
	return 0;
}
