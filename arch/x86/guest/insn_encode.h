/* SPDX-License-Identifier: BSD-2-Clause */
/* Encodes an instruction again, as 64-bit code whose memory operand is at an absolute address. */
#ifndef ARCH_X86_GUEST_INSN_ENCODE_H
#define ARCH_X86_GUEST_INSN_ENCODE_H

#include "arch/x86/guest/insn_shape.h"

struct insn_code {
	u8 bytes[INSN_MAX];
	u8 len;
	u8 disp_at; /* where the 4 bytes of the address are; 0: no memory operand in ModRM */
};

/*
 * insn has a shape; bits: the code that it comes from. reg and v take the place of
 * insn->reg and insn->v. Segment, LOCK and address-size prefixes are left out.
 */
void insn_encode(const struct insn *insn, const struct insn_shape *shape, u32 bits, u8 reg, u8 v,
		 struct insn_code *out);

#endif
