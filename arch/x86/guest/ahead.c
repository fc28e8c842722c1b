/* SPDX-License-Identifier: BSD-2-Clause */
/* See ahead.h. Encodings: SDM vol. 2. */
#include "arch/x86/guest/ahead.h"

#include "arch/x86/guest/alu.h"

#define STEPS_MAX 8u
#define CODE_MAX 15u             /* bytes of one instruction */

#define REX_W 8u
#define REX_B 1u

#define MOD_REGISTER 3u
struct modrm {
	u32 mod, reg, rm;        /* rm with REX.B */
};

/* What the code at hand means for value and flags. */
struct step {
	u32 len;                 /* 0: not one of those known */
	bool ends;               /* MOV to CR3 */
};

static struct modrm modrm_of(u8 byte, u32 rex)
{
	return (struct modrm){ byte >> 6, byte >> 3 & 7, (byte & 7) | (rex & REX_B) << 3 };
}

static u64 signed8(u8 v) { return ((u64)v ^ 0x80) - 0x80; }

static u64 signed32(const u8 *b)
{
	u64 v = b[0] | b[1] << 8 | b[2] << 16 | (u64)b[3] << 24;

	return (v ^ BIT(31)) - BIT(31);
}

/* AND and OR of group 1 with a constant of size bytes behind the ModRM. */
static u32 group1(const u8 *b, u32 size, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	struct modrm m = modrm_of(b[0], rex);

	if (m.mod != MOD_REGISTER || m.rm != gpr || !(rex & REX_W) || (m.reg != ALU_AND && m.reg != ALU_OR))
		return 0;
	*value = alu_binary((enum alu_op)m.reg, 8, *value, size == 1 ? signed8(b[1]) : signed32(b + 1), flags);
	return 1 + size;
}

/* BTS and BTR of group 8: CF is the bit as it was, the other flags stay. */
static u32 group8(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	struct modrm m = modrm_of(b[0], rex);
	u64 bit = BIT(b[1] & 63);

	if (m.mod != MOD_REGISTER || m.rm != gpr || !(rex & REX_W) || (m.reg != 5 && m.reg != 6))
		return 0;
	*flags = (*flags & ~FLAG_CF) | (*value & bit ? FLAG_CF : 0);
	*value = m.reg == 5 ? *value | bit : *value & ~bit;
	return 2;
}

/* The operand of a NOP (0F 1F /0) in bytes, ModRM included. */
static u32 nop_operand_len(const u8 *b)
{
	struct modrm m = modrm_of(b[0], 0);
	u32 len = 1;

	if (m.mod == MOD_REGISTER)
		return len;
	if (m.rm == 4)
		len++;
	if (m.mod == 1)
		len += 1;
	else if (m.mod == 2 || m.rm == 5 || (m.rm == 4 && (b[1] & 7) == 5))
		len += 4;
	return len;
}

/* Two-byte opcodes, b behind the 0F. */
static struct step step_0f(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	struct modrm m = modrm_of(b[1], rex);
	u32 len;

	switch (b[0]) {
	case 0x1f:
		return (struct step){ .len = m.reg == 0 ? 1 + nop_operand_len(b + 1) : 0 };
	case 0x22: /* REX.R would name CR11: it was refused. The mod field means nothing. */
		return (struct step){ .len = m.reg == 3 && m.rm == gpr ? 2 : 0, .ends = true };
	case 0xba:
		len = group8(b + 1, rex, gpr, value, flags);
		return (struct step){ .len = len ? 1 + len : 0 };
	default:
		return (struct step){ .len = 0 };
	}
}

static struct step step_opcode(const u8 *b, u32 rex, u32 gpr, u64 *value, u64 *flags)
{
	bool accumulator = (rex & REX_W) && gpr == 0;
	struct step step;
	u32 len;

	switch (b[0]) {
	case 0x0f:
		step = step_0f(b + 1, rex, gpr, value, flags);
		step.len += step.len ? 1 : 0;
		return step;
	case 0x0d: /* OR rAX, imm32 */
	case 0x25: /* AND rAX, imm32 */
		if (!accumulator)
			break;
		*value = alu_binary(b[0] == 0x0d ? ALU_OR : ALU_AND, 8, *value, signed32(b + 1), flags);
		return (struct step){ .len = 5 };
	case 0x81:
	case 0x83:
		len = group1(b + 1, b[0] == 0x81 ? 4 : 1, rex, gpr, value, flags);
		return (struct step){ .len = len ? 1 + len : 0 };
	case 0x90:
		return (struct step){ .len = rex ? 0 : 1 }; /* with REX.B it is an XCHG */
	case 0xeb: /* JMP rel8, forward */
		return (struct step){ .len = b[1] & 0x80 ? 0 : 2u + b[1] };
	default:
		break;
	}
	return (struct step){ .len = 0 };
}

u32 ahead_to_cr3_write(const u8 *code, u32 room, u32 gpr, u64 *value, u64 *flags)
{
	u64 v = *value, f = *flags;
	u32 at = 0;

	for (u32 steps = 0; steps < STEPS_MAX && at + CODE_MAX <= room; steps++) {
		const u8 *b = code + at;
		u32 prefix = 0, rex = 0;
		struct step step;

		if (b[0] == 0x66 && (b[1] == 0x90 || (b[1] == 0x0f && b[2] == 0x1f)))
			prefix = 1; /* longer NOPs alone */
		else if ((b[0] & 0xf4) == 0x40) { /* REX without R; X means nothing here */
			rex = b[0];
			prefix = 1;
		}
		step = step_opcode(b + prefix, rex, gpr, &v, &f);
		if (!step.len)
			return 0;
		at += prefix + step.len;
		if (step.ends) {
			*value = v;
			*flags = f;
			return at;
		}
	}
	return 0;
}
