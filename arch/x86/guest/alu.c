/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer operations with their flags; see alu.h. */
#include "arch/x86/guest/alu.h"

#define ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static u64 truncate(u64 v, u32 size)
{
	return size >= 8 ? v : v & (BIT(8 * size) - 1);
}
static bool sign(u64 v, u32 size)
{
	return v >> (8 * size - 1) & 1;
}

/* SF, ZF and PF of a result. */
static ALWAYS_INLINE u64 result_flags(u64 r, u32 size)
{
	u64 flags = 0;

	if (sign(r, size))
		flags |= FLAG_SF;
	if (!r)
		flags |= FLAG_ZF;
	if (!__builtin_parity(r & 0xff))
		flags |= FLAG_PF;
	return flags;
}

static ALWAYS_INLINE u64 add(u32 size, u64 a, u64 b, u32 carry, u64 *flags)
{
	u64 r = truncate(a + b + carry, size);
	u64 f = result_flags(r, size);

	if (carry ? r <= a : r < a)
		f |= FLAG_CF;
	if ((a ^ b ^ r) & 0x10)
		f |= FLAG_AF;
	if (sign((a ^ r) & (b ^ r), size))
		f |= FLAG_OF;
	*flags = (*flags & ~ARITHMETIC) | f;
	return r;
}

static ALWAYS_INLINE u64 subtract(u32 size, u64 a, u64 b, u32 borrow, u64 *flags)
{
	u64 r = truncate(a - b - borrow, size);
	u64 f = result_flags(r, size);

	if (borrow ? a <= b : a < b)
		f |= FLAG_CF;
	if ((a ^ b ^ r) & 0x10)
		f |= FLAG_AF;
	if (sign((a ^ b) & (a ^ r), size))
		f |= FLAG_OF;
	*flags = (*flags & ~ARITHMETIC) | f;
	return r;
}

static u64 logical(u32 size, u64 r, u64 *flags)
{
	*flags = (*flags & ~ARITHMETIC) | result_flags(r, size);
	return r;
}

u64 alu_binary(enum alu_op op, u32 size, u64 a, u64 b, u64 *flags)
{
	u32 carry = *flags & FLAG_CF;

	a = truncate(a, size);
	b = truncate(b, size);
	switch (op) {
	case ALU_ADD: return add(size, a, b, 0, flags);
	case ALU_ADC: return add(size, a, b, carry, flags);
	case ALU_SUB: return subtract(size, a, b, 0, flags);
	case ALU_SBB: return subtract(size, a, b, carry, flags);
	case ALU_OR: return logical(size, a | b, flags);
	case ALU_AND: return logical(size, a & b, flags);
	case ALU_XOR: return logical(size, a ^ b, flags);
	case ALU_CMP: subtract(size, a, b, 0, flags); return a;
	}
	return a;
}

static u64 keep_carry(u64 *flags, u64 before, u64 result)
{
	*flags = (*flags & ~FLAG_CF) | (before & FLAG_CF);
	return result;
}

u64 alu_increment(u32 size, u64 a, u64 *flags)
{
	u64 before = *flags;

	return keep_carry(flags, before, alu_binary(ALU_ADD, size, a, 1, flags));
}

u64 alu_decrement(u32 size, u64 a, u64 *flags)
{
	u64 before = *flags;

	return keep_carry(flags, before, alu_binary(ALU_SUB, size, a, 1, flags));
}

u64 alu_negate(u32 size, u64 a, u64 *flags)
{
	return alu_binary(ALU_SUB, size, 0, a, flags);
}

static void set_flag(u64 *flags, u64 flag, bool on)
{
	*flags = on ? *flags | flag : *flags & ~flag;
}

/* One step to the left; CF is the bit that leaves. */
static u64 step_left(enum shift_op op, u32 size, u64 a, u64 *flags)
{
	bool out = sign(a, size), in = op == SHIFT_ROL ? out : op == SHIFT_RCL ? *flags & FLAG_CF : false;

	set_flag(flags, FLAG_CF, out);
	return truncate(a << 1 | in, size);
}

static u64 step_right(enum shift_op op, u32 size, u64 a, u64 *flags)
{
	bool out = a & 1, in = false;

	if (op == SHIFT_ROR)
		in = out;
	else if (op == SHIFT_RCR)
		in = *flags & FLAG_CF;
	else if (op == SHIFT_SAR)
		in = sign(a, size);
	set_flag(flags, FLAG_CF, out);
	return a >> 1 | (u64)in << (8 * size - 1);
}

/* OF is defined for a count of 1; it is computed alike for all counts. */
u64 alu_shift(enum shift_op op, u32 size, u64 a, u32 count, u64 *flags)
{
	bool left = op == SHIFT_ROL || op == SHIFT_RCL || op == SHIFT_SHL || op == SHIFT_SAL;
	bool rotate = op <= SHIFT_RCR;
	u64 before;

	a = truncate(a, size);
	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	before = a;
	for (u32 i = 0; i < count; i++) {
		before = a;
		a = left ? step_left(op, size, a, flags) : step_right(op, size, a, flags);
	}
	set_flag(flags, FLAG_OF, left ? sign(a, size) != !!(*flags & FLAG_CF) : sign(a, size) != sign(before, size));
	if (!rotate)
		*flags = (*flags & ~(FLAG_SF | FLAG_ZF | FLAG_PF | FLAG_AF)) | result_flags(a, size);
	return a;
}

u64 alu_shift_double(bool right, u32 size, u64 a, u64 b, u32 count, u64 *flags)
{
	u32 width = 8 * size;
	u64 r = a = truncate(a, size);

	count &= size == 8 ? 63 : 31;
	b = truncate(b, size);
	if (!count)
		return a;
	if (count > width) { /* 16 bits alone: not defined; as processors do it, the same again */
		count -= width;
		a = b;
		b = r;
	}
	r = right ? a >> count | b << (width - count) : a << count | b >> (width - count);
	r = truncate(r, size);
	*flags = (*flags & ~ARITHMETIC) | result_flags(r, size);
	set_flag(flags, FLAG_CF, right ? a >> (count - 1) & 1 : a >> (width - count) & 1);
	set_flag(flags, FLAG_OF, sign(a ^ r, size));
	return r;
}

bool alu_condition(u32 code, u64 flags)
{
	bool sf_is_of = !(flags & FLAG_SF) == !(flags & FLAG_OF), r;

	switch (code >> 1) {
	case 0: r = flags & FLAG_OF; break;
	case 1: r = flags & FLAG_CF; break;
	case 2: r = flags & FLAG_ZF; break;
	case 3: r = flags & (FLAG_CF | FLAG_ZF); break;
	case 4: r = flags & FLAG_SF; break;
	case 5: r = flags & FLAG_PF; break;
	case 6: r = !sf_is_of; break;
	default: r = !sf_is_of || flags & FLAG_ZF; break;
	}
	return r != (code & 1);
}
