/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer operations with their flags, SDM vol. 1 section 3.4.3.1. Pure functions. */
#ifndef ARCH_X86_GUEST_ALU_H
#define ARCH_X86_GUEST_ALU_H

#include "lib/types.h"

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_OF BIT(11)

/* Numbered as in opcodes 00 to 3f and group 1. */
enum alu_op { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* The result of a op b in size bytes; CMP gives a. Flags are updated in *flags. */
u64 alu_binary(enum alu_op op, u32 size, u64 a, u64 b, u64 *flags);
/* INC and DEC leave CF alone. */
u64 alu_increment(u32 size, u64 a, u64 *flags);
u64 alu_decrement(u32 size, u64 a, u64 *flags);
u64 alu_negate(u32 size, u64 a, u64 *flags);

/* Numbered as in D0 to D3 and group 2; count as in the instruction, not masked. */
enum shift_op { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR };
u64 alu_shift(enum shift_op op, u32 size, u64 a, u32 count, u64 *flags);

/* SHLD, SHRD: the bits that come in are b's. Of 16 bits, a count above 16 gives what is not defined. */
u64 alu_shift_double(bool right, u32 size, u64 a, u64 b, u32 count, u64 *flags);

/* A condition code 0 to 15 as in Jcc and SETcc. */
bool alu_condition(u32 code, u64 flags);

#endif
