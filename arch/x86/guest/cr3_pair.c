/* SPDX-License-Identifier: BSD-2-Clause */
/* See cr3_pair.h. */
#include "arch/x86/guest/cr3_pair.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/insn_fast.h"

#define STEPS_MAX 8u

/* Does what lies between; false: it is not on gpr. */
static bool execute(const struct insn_fast *insn, u32 gpr, u64 *value, u64 *flags)
{
	if (insn->op == FAST_NOP || insn->op == FAST_JUMP)
		return true;
	if (insn->gpr != gpr)
		return false;
	if (insn->op == FAST_AND || insn->op == FAST_OR) {
		*value = alu_binary(insn->op == FAST_AND ? ALU_AND : ALU_OR, 8, *value, insn->imm, flags);
		return true;
	}
	/* CF is the bit as it was, the other flags stay. */
	*flags = (*flags & ~FLAG_CF) | (*value & insn->imm ? FLAG_CF : 0);
	*value = insn->op == FAST_BTS ? *value | insn->imm : *value & ~insn->imm;
	return true;
}

u32 cr3_pair_length(const u8 *code, u32 room, u32 gpr, u64 *value, u64 *flags)
{
	const u8 *b = code, *end = code + room;
	u64 v = *value, f = *flags;
	struct insn_fast insn;

	for (u32 steps = 0; steps < STEPS_MAX && end - b >= INSN_FAST_BETWEEN_BYTES; steps++) {
		if (insn_fast_decode(&insn, b)) {
			if (insn.op != FAST_MOV_TO_CR || insn.cr != 3 || insn.gpr != gpr)
				return 0;
			*value = v;
			*flags = f;
			return (u32)(b + insn.len - code);
		}
		if (!insn_fast_decode_between(&insn, b) || !execute(&insn, gpr, &v, &f))
			return 0;
		b += insn.len;
	}
	return 0;
}
