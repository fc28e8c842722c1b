/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the emulator's own files: the instruction under way and its operands. */
#ifndef ARCH_X86_GUEST_EMULATE_INT_H
#define ARCH_X86_GUEST_EMULATE_INT_H

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/vcpu.h"

struct emu {
	struct vcpu *vcpu;
	struct insn insn;
	u32 size;            /* operand size in bytes of the form at hand */
	u32 bits;            /* 16, 32 or 64: kind of code */
	gva_t gva;           /* linear address of the memory operand */
	bool branched;       /* RIP is set already */
	bool again;          /* a string operation is not at its end */
};

/* What the functions below and the handlers return: 0; -EFAULT, an exception is
 * queued and nothing was changed; -ENOSYS, not an instruction known here. */

u64 emu_reg(const struct emu *e, u8 reg, u32 size);
void emu_set_reg(struct emu *e, u8 reg, u32 size, u64 value);
MUST_CHECK int emu_read_rm(struct emu *e, u64 *value);
MUST_CHECK int emu_write_rm(struct emu *e, u64 value);

/* emulate_string.c: MOVS, CMPS, STOS, LODS, SCAS with and without REP */
MUST_CHECK int emu_string(struct emu *e);
/* emulate_stack.c: PUSH, POP, CALL, RET */
MUST_CHECK int emu_push_value(struct emu *e, u32 size, u64 value);
MUST_CHECK int emu_push_rm(struct emu *e);
MUST_CHECK int emu_pop_rm(struct emu *e);
MUST_CHECK int emu_pop_reg(struct emu *e);
MUST_CHECK int emu_call(struct emu *e, u64 target);
MUST_CHECK int emu_call_rm(struct emu *e);
MUST_CHECK int emu_jump_rm(struct emu *e);
MUST_CHECK int emu_ret(struct emu *e);
u32 emu_stack_size(const struct emu *e);
/* emulate_bits.c: BT and its kin, CMPXCHG, CMPXCHG8B/16B, XADD */
MUST_CHECK int emu_bit_test(struct emu *e);
MUST_CHECK int emu_cmpxchg(struct emu *e);
MUST_CHECK int emu_cmpxchg_wide(struct emu *e);
MUST_CHECK int emu_xadd(struct emu *e);

#endif
