/* SPDX-License-Identifier: BSD-2-Clause */
/* See cr3_pair.h. Encodings: SDM vol. 2. */
#include "arch/x86/guest/cr3_pair.h"

#include "arch/x86/guest/alu.h"

#define STEPS_MAX 8u
#define CODE_MAX 15              /* bytes of one instruction */

#define REX_W 8u
#define REX_B 1u

#define MODRM_REG(m) ((m) >> 3 & 7u)
/* Does the ModRM name register gpr, with this REX prefix? */
static ALWAYS_INLINE bool names(u8 modrm, u32 rex, u32 gpr)
{
	return modrm >> 6 == 3 && ((modrm & 7u) | (rex & REX_B) << 3) == gpr;
}

static ALWAYS_INLINE u64 signed8(u8 v) { return ((u64)v ^ 0x80) - 0x80; }

static ALWAYS_INLINE u64 signed32(const u8 *b)
{
	u64 v = b[0] | b[1] << 8 | b[2] << 16 | (u64)b[3] << 24;

	return (v ^ BIT(31)) - BIT(31);
}

/* AND and OR of group 1 (81, 83) with a constant. Each of these returns the length without prefix, 0: another instruction. */
static ALWAYS_INLINE u32 group1(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	u32 op = MODRM_REG(b[1]);

	if (!names(b[1], rex, gpr) || !(rex & REX_W) || (op != ALU_AND && op != ALU_OR))
		return 0;
	*value = alu_binary((enum alu_op)op, 8, *value, b[0] == 0x83 ? signed8(b[2]) : signed32(b + 2), flags);
	return b[0] == 0x83 ? 3 : 6;
}

/* BTS and BTR of group 8 (0F BA): CF is the bit as it was, the other flags stay. */
static ALWAYS_INLINE u32 group8(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	u32 op = MODRM_REG(b[2]);
	u64 bit = BIT(b[3] & 63);

	if (!names(b[2], rex, gpr) || !(rex & REX_W) || (op != 5 && op != 6))
		return 0;
	*flags = (*flags & ~FLAG_CF) | (*value & bit ? FLAG_CF : 0);
	*value = op == 5 ? *value | bit : *value & ~bit;
	return 4;
}

/* NOP with an operand in memory (0F 1F /0), which is not accessed. */
static u32 long_nop(const u8 *b)
{
	u32 mod = b[2] >> 6, rm = b[2] & 7u, len = 3;

	if (MODRM_REG(b[2]))
		return 0;
	if (mod == 3)
		return len;
	if (rm == 4)
		len++;
	if (mod == 1)
		len++;
	else if (mod == 2 || rm == 5 || (rm == 4 && (b[3] & 7) == 5))
		len += 4;
	return len;
}

static ALWAYS_INLINE u32 two_bytes(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	if (b[1] == 0xba)
		return group8(b, rex, gpr, value, flags);
	return b[1] == 0x1f ? long_nop(b) : 0;
}

static ALWAYS_INLINE u32 accumulator(const u8 *b, enum alu_op op, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	if (!(rex & REX_W) || gpr)
		return 0;
	*value = alu_binary(op, 8, *value, signed32(b + 1), flags);
	return 5;
}

static ALWAYS_INLINE u32 step(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	switch (b[0]) {
	case 0x0f:
		return two_bytes(b, rex, gpr, value, flags);
	case 0x0d:
		return accumulator(b, ALU_OR, rex, gpr, value, flags);
	case 0x25:
		return accumulator(b, ALU_AND, rex, gpr, value, flags);
	case 0x66: /* longer NOPs alone */
		if (b[1] == 0x90)
			return 2;
		return b[1] == 0x0f && b[2] == 0x1f && long_nop(b + 1) ? 1 + long_nop(b + 1) : 0;
	case 0x81:
	case 0x83:
		return group1(b, rex, gpr, value, flags);
	case 0x90:
		return rex ? 0 : 1; /* with REX.B it is an XCHG */
	case 0xeb: /* JMP rel8, forward */
		return b[1] & 0x80 ? 0 : 2u + b[1];
	default:
		return 0;
	}
}

u32 cr3_pair_length(const u8 *code, u32 room, u32 gpr, u64 *value, u64 *flags)
{
	const u8 *b = code, *end = code + room;
	u64 v = *value, f = *flags;

	for (u32 steps = 0; steps < STEPS_MAX && end - b >= CODE_MAX; steps++) {
		u32 rex = (b[0] & 0xf4) == 0x40 ? *b++ : 0, len; /* REX.R names other registers; X means nothing here */

		if (b[0] == 0x0f && b[1] == 0x22) { /* MOV to CRn; the mod field means nothing */
			if (MODRM_REG(b[2]) != 3 || !names(b[2] | 0xc0, rex, gpr))
				return 0;
			*value = v;
			*flags = f;
			return (u32)(b + 3 - code);
		}
		len = step(b, rex, gpr, &v, &f);
		if (!len)
			return 0;
		b += len;
	}
	return 0;
}
