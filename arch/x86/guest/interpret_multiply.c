/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiplication, division and decimal numbers. */
#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"

static s64 extend(u64 value, u32 size)
{
	u32 shift = 64 - 8 * size;

	return (s64)(value << shift) >> shift;
}

/* CF and OF alone are defined. */
static void set_overflow(struct emu *e, bool on)
{
	u64 *flags = &e->vcpu->rflags;

	*flags = on ? *flags | FLAG_CF | FLAG_OF : *flags & ~(FLAG_CF | FLAG_OF);
}

/* AX, or DX:AX, EDX:EAX. */
static u64 wide_accumulator(const struct emu *e)
{
	if (e->size == 1)
		return emu_reg(e, GPR_RAX, 2);
	return emu_reg(e, GPR_RDX, e->size) << 8 * e->size | emu_reg(e, GPR_RAX, e->size);
}

static void set_wide_accumulator(struct emu *e, u64 low, u64 high)
{
	if (e->size == 1) {
		emu_set_reg(e, GPR_RAX, 2, (low & 0xff) | (high & 0xff) << 8);
		return;
	}
	emu_set_reg(e, GPR_RAX, e->size, low);
	emu_set_reg(e, GPR_RDX, e->size, high);
}

static int multiply(struct emu *e, bool is_signed)
{
	u64 a = emu_reg(e, GPR_RAX, e->size), b, product;
	int err = emu_read_rm(e, &b);

	if (err)
		return err;
	product = is_signed ? (u64)(extend(a, e->size) * extend(b, e->size)) : a * b;
	set_wide_accumulator(e, product, product >> 8 * e->size);
	set_overflow(e, is_signed ? extend(product, e->size) != (s64)product : product >> 8 * e->size);
	return 0;
}

/* By the magnitudes: no quotient overflows the hypervisor's own division. */
static int divide(struct emu *e, bool is_signed)
{
	u64 dividend = wide_accumulator(e), divisor, quotient, rest, limit;
	bool minus = false, minus_rest = false;
	int err = emu_read_rm(e, &divisor);

	if (err)
		return err;
	if (is_signed && extend(dividend, 2 * e->size) < 0) {
		dividend = 0 - (u64)extend(dividend, 2 * e->size);
		minus = minus_rest = true;
	}
	if (is_signed && extend(divisor, e->size) < 0) {
		divisor = 0 - (u64)extend(divisor, e->size);
		minus = !minus;
	}
	if (!divisor)
		return interpret_fault(e, VEC_DE, 0);
	quotient = dividend / divisor;
	rest = dividend % divisor;
	limit = (BIT(8 * e->size - 1) << (is_signed ? 0 : 1)) - (minus ? 0 : 1);
	if (quotient > limit)
		return interpret_fault(e, VEC_DE, 0);
	set_wide_accumulator(e, minus ? 0 - quotient : quotient, minus_rest ? 0 - rest : rest);
	return 0;
}

/* IMUL of two operands, or three. */
static int multiply_register(struct emu *e, bool by_constant)
{
	s64 a, product;
	u64 b;
	int err;

	e->size = e->insn->opsize;
	err = emu_read_rm(e, &b);
	if (err)
		return err;
	a = by_constant ? extend(e->insn->imm, e->size) : extend(emu_reg(e, e->insn->reg, e->size), e->size);
	product = a * extend(b, e->size);
	emu_set_reg(e, e->insn->reg, e->size, (u64)product);
	set_overflow(e, extend((u64)product, e->size) != product);
	return 0;
}

static int group3(struct emu *e)
{
	switch (e->insn->reg & 7) {
	case 4: return multiply(e, false);
	case 5: return multiply(e, true);
	case 6: return divide(e, false);
	case 7: return divide(e, true);
	default: return -ENOSYS;
	}
}

/* --- decimal numbers, SDM vol. 2 --------------------------------------------------------------- */

static u8 al(const struct emu *e)
{
	return (u8)e->vcpu->gpr[GPR_RAX];
}

/* AL, with SF, ZF and PF of it, and these. */
static int set_al(struct emu *e, u8 value, u64 flags)
{
	u64 before = e->vcpu->rflags;

	emu_set_reg(e, GPR_RAX, 1, value);
	alu_binary(ALU_OR, 1, value, 0, &e->vcpu->rflags);
	e->vcpu->rflags = (e->vcpu->rflags & ~(FLAG_CF | FLAG_AF | FLAG_OF)) | (before & FLAG_OF) | flags;
	return 0;
}

/* DAA, DAS */
static int adjust_packed(struct emu *e, bool subtract)
{
	u64 flags = e->vcpu->rflags;
	u8 old = al(e), by = 0;
	bool low = (old & 15) > 9 || flags & FLAG_AF, high = old > 0x99 || flags & FLAG_CF, carry = high;

	if (low)
		by = 6;
	if (subtract && low && old < 6)
		carry = true;
	if (high)
		by += 0x60;
	return set_al(e, (u8)(subtract ? old - by : old + by), (low ? FLAG_AF : 0) | (carry ? FLAG_CF : 0));
}

/* AAA, AAS */
static int adjust_unpacked(struct emu *e, bool subtract)
{
	u64 *flags = &e->vcpu->rflags;
	u16 ax = (u16)e->vcpu->gpr[GPR_RAX];
	bool adjust = (ax & 15) > 9 || *flags & FLAG_AF;

	if (adjust)
		ax = (u16)(subtract ? ax - 0x106 : ax + 0x106);
	emu_set_reg(e, GPR_RAX, 2, ax & 0xff0f);
	*flags = adjust ? *flags | FLAG_AF | FLAG_CF : *flags & ~(FLAG_AF | FLAG_CF);
	return 0;
}

/* AAM, AAD: the base is an immediate. */
static int adjust_base(struct emu *e, bool divide)
{
	u8 base = (u8)e->insn->imm, low = al(e), high = (u8)(e->vcpu->gpr[GPR_RAX] >> 8);

	if (divide && !base)
		return interpret_fault(e, VEC_DE, 0);
	emu_set_reg(e, GPR_RAX, 2, divide ? (u64)(low / base) << 8 : 0);
	return set_al(e, (u8)(divide ? low % base : low + high * base), 0);
}

/* clang-format off */
int interpret_multiply(struct emu *e)
{
	if (e->insn->map == 1)
		return multiply_register(e, false);
	switch (e->insn->opcode) {
	case 0x27: case 0x2f: return adjust_packed(e, e->insn->opcode & 8);
	case 0x37: case 0x3f: return adjust_unpacked(e, e->insn->opcode & 8);
	case 0x69: case 0x6b: return multiply_register(e, true);
	case 0xd4: case 0xd5: return adjust_base(e, !(e->insn->opcode & 1));
	case 0xf6: case 0xf7: return group3(e);
	default: return -ENOSYS;
	}
}
/* clang-format on */
