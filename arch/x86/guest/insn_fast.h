/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder for the few instructions of 64-bit code that exit often, and those
 * between the two of a CR3 pair, in the encodings that compilers and kernels use
 * (SDM vol. 2). Whatever looks otherwise is left to decode.h.
 */
#ifndef ARCH_X86_GUEST_INSN_FAST_H
#define ARCH_X86_GUEST_INSN_FAST_H

#include "arch/x86/guest/vcpu.h"

/* Two-byte opcodes as the 16-bit number that they are in memory: 0F in the low half. */
#define OPCODE_GROUP7 0x010fu
#define OPCODE_LONG_NOP 0x1f0fu
#define OPCODE_MOV_FROM_CR 0x200fu
#define OPCODE_MOV_TO_CR 0x220fu
#define OPCODE_WRMSR 0x300fu
#define OPCODE_RDMSR 0x320fu
#define OPCODE_CPUID 0xa20fu
#define OPCODE_GROUP8 0xba0fu
#define GROUP7_INVLPG 7u

enum insn_fast_op {
	FAST_CPUID,
	FAST_RDMSR,
	FAST_WRMSR,
	FAST_MOV_FROM_CR,
	FAST_MOV_TO_CR,
	FAST_INVLPG,
	FAST_AND,
	FAST_OR,
	FAST_BTS,
	FAST_BTR,
	FAST_NOP,
	FAST_JUMP,
};

struct insn_fast {
	u8 op;   /* enum insn_fast_op */
	u8 cr;   /* MOV CR */
	u8 gpr;  /* the register operand; INVLPG: the register that has the address */
	u32 len; /* FAST_JUMP: as far as it jumps */
	u64 imm; /* AND, OR: the constant; BTS, BTR: the bit alone */
};

static ALWAYS_INLINE u32 insn_fast_opcode(const u8 *b)
{
	return b[0] | b[1] << 8;
}
static ALWAYS_INLINE u32 insn_fast_reg(u8 modrm)
{
	return modrm >> 3 & 7;
}
static ALWAYS_INLINE u32 insn_fast_rm(u8 modrm)
{
	return modrm & 7;
}

/* INVLPG's operand is [register] without displacement: neither SIB (4) nor relative to RIP (5). */
static ALWAYS_INLINE bool insn_fast_is_plain_address(u8 modrm)
{
	return !(modrm >> 6) && insn_fast_rm(modrm) != 4 && insn_fast_rm(modrm) != 5;
}

/*
 * For the fast path: the three bytes at RIP if they are this opcode without a prefix, and
 * its ModRM has this reg field; NULL: something else.
 */
static ALWAYS_INLINE const u8 *insn_fast_peek(struct vcpu *vcpu, u32 opcode, u32 reg)
{
	const u8 *b = shadow_peek_code(vcpu->mmu, vcpu->rip);

	return likely(b && insn_fast_opcode(b) == opcode && insn_fast_reg(b[2]) == reg) ? b : NULL;
}

/* One of those that exit, with or without REX. False: another one. Reads SHADOW_PEEK_BYTES at most. */
bool insn_fast_decode(struct insn_fast *insn, const u8 *b);

/*
 * One of those that kernels have between MOV from CR3 and MOV to CR3, with operands of
 * 64 bits: AND, OR, BTS, BTR of a register and a constant, NOP, a short JMP forward.
 * Reads INSN_FAST_BETWEEN_BYTES at most.
 */
#define INSN_FAST_BETWEEN_BYTES 15u
bool insn_fast_decode_between(struct insn_fast *insn, const u8 *b);

/* MOV of 32 bits between memory and a register, or of a constant to memory; its address is base + disp. */
struct insn_fast_move {
	u8 len;
	u8 gpr;     /* the register, unless the constant is stored */
	u8 base;    /* a register, or one of these: */
	bool store; /* to memory */
	bool constant;
	u32 imm;
	u64 disp; /* sign-extended */
};
#define INSN_FAST_RIP 0x10u  /* base: the address of the next instruction */
#define INSN_FAST_ZERO 0x11u /* base: none */

/* One of 89, 8B, C7, with REX or without, no other prefix and no index register. Reads INSN_FAST_MOVE_BYTES at most. */
#define INSN_FAST_MOVE_BYTES 12u
bool insn_fast_decode_move(struct insn_fast_move *move, const u8 *b);

#endif
