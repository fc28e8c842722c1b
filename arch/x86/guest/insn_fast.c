/* SPDX-License-Identifier: BSD-2-Clause */
/* See insn_fast.h. */
#include "arch/x86/guest/insn_fast.h"

#define REX_B BIT(0)
#define REX_X BIT(1)
#define REX_R BIT(2)
#define REX_W BIT(3)

static u8 rex_of(const u8 *b)
{
	return (b[0] & 0xf0) == 0x40 ? b[0] : 0;
}

static u8 gpr_of(u8 modrm, u8 rex)
{
	return insn_fast_rm(modrm) | (rex & REX_B ? 8 : 0);
}

/* These return the length without REX, 0: another instruction. */
static u32 done(struct insn_fast *insn, enum insn_fast_op op, u32 gpr, u64 imm, u32 len)
{
	insn->op = op;
	insn->gpr = gpr;
	insn->imm = imm;
	return len;
}

/* --- those that exit ---------------------------------------------------------- */

/* The mod field of MOV CR means nothing. */
static u32 mov_cr(struct insn_fast *insn, enum insn_fast_op op, u8 modrm, u8 rex)
{
	insn->cr = insn_fast_reg(modrm) | (rex & REX_R ? 8 : 0);
	return done(insn, op, gpr_of(modrm, rex), 0, 3);
}

static u32 group7(struct insn_fast *insn, u8 modrm, u8 rex)
{
	if (insn_fast_reg(modrm) != GROUP7_INVLPG || !insn_fast_is_plain_address(modrm))
		return 0;
	return done(insn, FAST_INVLPG, gpr_of(modrm, rex), 0, 3);
}

static u32 exiting(struct insn_fast *insn, const u8 *b, u8 rex)
{
	switch (insn_fast_opcode(b)) {
	case OPCODE_CPUID: return done(insn, FAST_CPUID, 0, 0, 2);
	case OPCODE_RDMSR: return done(insn, FAST_RDMSR, 0, 0, 2);
	case OPCODE_WRMSR: return done(insn, FAST_WRMSR, 0, 0, 2);
	case OPCODE_MOV_FROM_CR: return mov_cr(insn, FAST_MOV_FROM_CR, b[2], rex);
	case OPCODE_MOV_TO_CR: return mov_cr(insn, FAST_MOV_TO_CR, b[2], rex);
	case OPCODE_GROUP7: return group7(insn, b[2], rex);
	default: return 0;
	}
}

bool insn_fast_decode(struct insn_fast *insn, const u8 *b)
{
	u8 rex = rex_of(b);
	u32 len = exiting(insn, b + !!rex, rex);

	insn->len = len + !!rex;
	return len;
}

/* --- those between the two of a CR3 pair ------------------------------------------ */

static u64 signed8(u8 v)
{
	return ((u64)v ^ 0x80) - 0x80;
}

static u64 signed32(const u8 *b)
{
	s32 v;

	__builtin_memcpy(&v, b, sizeof(v)); /* wherever it lies */
	return (u64)(s64)v;
}

static bool is_wide_register(u8 modrm, u8 rex)
{
	return modrm >> 6 == 3 && rex & REX_W;
}

/* AND and OR of group 1 (81, 83). */
static u32 group1(struct insn_fast *insn, const u8 *b, u8 rex)
{
	u64 imm = b[0] == 0x83 ? signed8(b[2]) : signed32(b + 2);
	u32 len = b[0] == 0x83 ? 3 : 6;

	if (!is_wide_register(b[1], rex))
		return 0;
	switch (insn_fast_reg(b[1])) {
	case 1: return done(insn, FAST_OR, gpr_of(b[1], rex), imm, len);
	case 4: return done(insn, FAST_AND, gpr_of(b[1], rex), imm, len);
	default: return 0;
	}
}

/* BTS and BTR of group 8 (0F BA). */
static u32 group8(struct insn_fast *insn, const u8 *b, u8 rex)
{
	u64 bit = BIT(b[3] & 63);

	if (!is_wide_register(b[2], rex))
		return 0;
	switch (insn_fast_reg(b[2])) {
	case 5: return done(insn, FAST_BTS, gpr_of(b[2], rex), bit, 4);
	case 6: return done(insn, FAST_BTR, gpr_of(b[2], rex), bit, 4);
	default: return 0;
	}
}

/* NOP with an operand in memory (0F 1F /0), which is not accessed. */
static u32 long_nop(struct insn_fast *insn, const u8 *b)
{
	u32 mod = b[2] >> 6, rm = insn_fast_rm(b[2]), len = 3;

	if (insn_fast_reg(b[2]))
		return 0;
	if (mod == 3)
		return done(insn, FAST_NOP, 0, 0, len);
	if (rm == 4)
		len++;
	if (mod == 1)
		len++;
	else if (mod == 2 || rm == 5 || (rm == 4 && (b[3] & 7) == 5))
		len += 4;
	return done(insn, FAST_NOP, 0, 0, len);
}

static u32 two_bytes(struct insn_fast *insn, const u8 *b, u8 rex)
{
	switch (insn_fast_opcode(b)) {
	case OPCODE_LONG_NOP: return long_nop(insn, b);
	case OPCODE_GROUP8: return group8(insn, b, rex);
	default: return 0;
	}
}

/* 66 is a prefix of longer NOPs alone. */
static u32 prefixed_nop(struct insn_fast *insn, const u8 *b)
{
	u32 len = 0;

	if (b[0] == 0x90)
		len = done(insn, FAST_NOP, 0, 0, 1);
	else if (insn_fast_opcode(b) == OPCODE_LONG_NOP)
		len = long_nop(insn, b);
	return len ? 1 + len : 0;
}

static u32 accumulator(struct insn_fast *insn, enum insn_fast_op op, const u8 *b, u8 rex)
{
	return rex & REX_W ? done(insn, op, GPR_RAX, signed32(b + 1), 5) : 0;
}

static u32 between(struct insn_fast *insn, const u8 *b, u8 rex)
{
	switch (b[0]) {
	case 0x0d: return accumulator(insn, FAST_OR, b, rex);
	case 0x0f: return two_bytes(insn, b, rex);
	case 0x25: return accumulator(insn, FAST_AND, b, rex);
	case 0x66: return prefixed_nop(insn, b + 1);
	case 0x81:
	case 0x83: return group1(insn, b, rex);
	case 0x90: return rex ? 0 : done(insn, FAST_NOP, 0, 0, 1); /* with REX.B it is an XCHG */
	case 0xeb: return b[1] & 0x80 ? 0 : done(insn, FAST_JUMP, 0, 0, 2u + b[1]);
	default: return 0;
	}
}

bool insn_fast_decode_between(struct insn_fast *insn, const u8 *b)
{
	u8 rex = rex_of(b);
	u32 len = rex & REX_R ? 0 : between(insn, b + !!rex, rex); /* no compiler sets it: it means nothing here */

	insn->len = len + !!rex;
	return len;
}

/* --- those that access device memory --------------------------------------------- */

#define SIB_NO_INDEX 4u

/* ModRM, SIB and displacement, from b on. Returns their length, 0: not in memory, or with an index. */
static u32 address(struct insn_fast_move *move, const u8 *b, u8 rex)
{
	u32 mod = b[0] >> 6, rm = insn_fast_rm(b[0]), len = 1;

	if (mod == 3)
		return 0;
	move->base = gpr_of(b[0], rex);
	if (rm == 4) {
		if (insn_fast_reg(b[1]) != SIB_NO_INDEX)
			return 0;
		rm = insn_fast_rm(b[1]);
		move->base = !mod && rm == 5 ? INSN_FAST_ZERO : gpr_of(b[1], rex);
		len = 2;
	} else if (!mod && rm == 5) {
		move->base = INSN_FAST_RIP;
	}
	move->disp = 0;
	if (mod == 1) {
		move->disp = signed8(b[len]);
		return len + 1;
	}
	if (mod == 0 && rm != 5)
		return len;
	move->disp = signed32(b + len);
	return len + 4;
}

bool insn_fast_decode_move(struct insn_fast_move *move, const u8 *b)
{
	u8 rex = rex_of(b), opcode = b[!!rex];
	u32 at = 1u + !!rex, len;

	if (rex & (REX_W | REX_X) || (opcode != 0x89 && opcode != 0x8b && opcode != 0xc7))
		return false;
	len = address(move, b + at, rex);
	if (!len)
		return false;
	move->store = opcode != 0x8b;
	move->constant = opcode == 0xc7;
	move->gpr = (u8)(insn_fast_reg(b[at]) | (rex & REX_R ? 8 : 0));
	if (move->constant) {
		if (insn_fast_reg(b[at]))
			return false;
		move->imm = (u32)signed32(b + at + len);
		len += 4;
	}
	move->len = (u8)(at + len);
	return true;
}
