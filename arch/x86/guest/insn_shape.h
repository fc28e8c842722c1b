/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an instruction does with its memory operand: how many bytes it loads or
 * stores. Only what is listed may be executed on the guest's behalf
 * (emulate_bounce.c): instructions that need no privilege, and reach no memory but that operand.
 */
#ifndef ARCH_X86_GUEST_INSN_SHAPE_H
#define ARCH_X86_GUEST_INSN_SHAPE_H

#include "arch/x86/guest/decode.h"

#define SHAPE_LOAD BIT(0)
#define SHAPE_STORE BIT(1)
#define SHAPE_REG_GPR BIT(2) /* ModRM.reg is a general register */
#define SHAPE_V_GPR BIT(3)   /* VEX.vvvv is one */
#define SHAPE_OPSIZE BIT(4)  /* as wide as the operand size: 66 is no part of the opcode */
#define SHAPE_X87 BIT(5)
#define SHAPE_MASKED BIT(6) /* only the elements that a mask names */

#define SHAPE_SIZE_MAX 32u

struct insn_shape {
	u8 size; /* bytes of the memory operand */
	u8 flags;
	bool w; /* REX.W or VEX.W, as far as it counts for code of that kind */
};

/* bits: 16, 32 or 64. False: another instruction. */
MUST_CHECK bool insn_shape(const struct insn *insn, u32 bits, struct insn_shape *out);

/* MASKMOVQ, MASKMOVDQU: the memory operand is [rDI] and has no ModRM. */
bool insn_is_maskmov(const struct insn *insn);

/* CLFLUSH, CLFLUSHOPT, CLWB: the address is checked as by a load of one byte, and nothing is moved. */
bool insn_is_cache_hint(const struct insn *insn);

#endif
