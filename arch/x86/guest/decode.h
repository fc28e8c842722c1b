/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instruction decoder: the length of any instruction, and the operand form of
 * what the emulator executes. Knows the legacy, VEX, EVEX and XOP encodings in
 * 16-, 32- and 64-bit code (SDM vol. 2 chapter 2 and appendix A).
 */
#ifndef ARCH_X86_GUEST_DECODE_H
#define ARCH_X86_GUEST_DECODE_H

#include "lib/types.h"

#define INSN_MAX 15

enum insn_encoding { INSN_LEGACY, INSN_VEX, INSN_EVEX, INSN_XOP };
#define INSN_NO_REG 0xff

struct insn {
	u8 len;
	u8 encoding; /* enum insn_encoding */
	u8 map;      /* 0: one-byte, 1: 0F, 2: 0F 38, 3: 0F 3A; else the VEX, EVEX or XOP map */
	u8 opcode;
	u8 prefix;     /* mandatory or REP prefix: 0, 0xf2, 0xf3; VEX: pp as 0, 0x66, 0xf3, 0xf2 */
	bool opsize16; /* 66 prefix present */
	bool lock;
	bool rex;            /* a REX prefix is in force: SPL..DIL instead of AH..BH */
	bool w;              /* REX.W; VEX.W in any mode */
	u8 v, l;             /* VEX and XOP: vvvv (a register number), L; EVEX: L'L */
	u8 segment;          /* override: enum segment_name, or INSN_NO_REG */
	u8 opsize, addrsize; /* bytes: 2, 4, 8 */
	bool has_modrm, has_mem;
	u8 mod, reg, rm;       /* extended by REX; rm is a register if mod is 3, and for PUSH r and its like */
	u8 base, index, scale; /* memory operand; base and index may be INSN_NO_REG; scale is a shift */
	bool rip_relative;
	s64 disp; /* memory operand, moffs too; sign-extended; EVEX: of 8 bits not scaled yet */
	u64 imm;  /* sign-extended from imm_len bytes */
	u8 imm_len;
	u16 imm2; /* behind it: the selector of a far pointer, the level of ENTER */
};

/*
 * Decodes the instruction at bytes for code of bits (16, 32 or 64). Returns 0;
 * -ERANGE if len bytes are not enough (with len == INSN_MAX: longer than the
 * architecture allows, #GP); -EINVAL for what no CPU has there (#UD).
 */
MUST_CHECK int insn_decode(struct insn *insn, const u8 *bytes, u32 len, u32 bits);

#endif
