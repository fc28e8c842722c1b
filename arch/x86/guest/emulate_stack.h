/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulation of PUSH, POP, LEAVE, CALL, near JMP, RET. */
#ifndef ARCH_X86_GUEST_EMULATE_STACK_H
#define ARCH_X86_GUEST_EMULATE_STACK_H

#include "arch/x86/guest/emulate_operand.h"

MUST_CHECK int emu_push_value(struct emu *e, u32 size, u64 value);
MUST_CHECK int emu_push_rm(struct emu *e);
MUST_CHECK int emu_pop_rm(struct emu *e);
MUST_CHECK int emu_pop_reg(struct emu *e);
MUST_CHECK int emu_leave(struct emu *e);
MUST_CHECK int emu_call(struct emu *e, u64 target);
MUST_CHECK int emu_call_rm(struct emu *e);
MUST_CHECK int emu_jump_rm(struct emu *e);
MUST_CHECK int emu_ret(struct emu *e);
MUST_CHECK int emu_jump(struct emu *e, u64 target);
u32 emu_stack_size(const struct emu *e);

/* Width of the stack pointer, in bytes. */
u32 emu_stack_width(const struct emu *e);
/* What RSP is with this value in it. */
static inline u64 emu_stack_pointer(const struct emu *e, u32 width, u64 value)
{
	return width == 2 ? (e->vcpu->gpr[GPR_RSP] & ~0xffffull) | (u16)value : insn_truncate(value, width);
}
void emu_set_stack_pointer(struct emu *e, u64 value);
/* Reads so many bytes above the top of the stack; the caller moves the stack pointer. */
MUST_CHECK int emu_peek_value(struct emu *e, u32 depth, u32 size, u64 *value);
/*
 * The same of count values, of 2 or 4 bytes each: pushed one after the other, the last one on top, all of them or none; read from depth
 * upwards. The registers may be among the values that are pushed, RSP as it is before.
 */
MUST_CHECK int emu_push_values(struct emu *e, u32 size, const u64 *values, u32 count);
MUST_CHECK int emu_peek_values(struct emu *e, u32 depth, u32 size, u64 *values, u32 count);
/* The same, if they lie in one piece of known RAM; false: they were not read. */
bool emu_peek_piece(struct emu *e, u32 depth, u32 size, u64 *values, u32 count);
/* Read from the top, and popped: all of them or none. */
MUST_CHECK int emu_pop_values(struct emu *e, u32 size, u64 *values, u32 count);
/* RIP changes only once nothing can fail any more. */
void emu_branch(struct emu *e, u64 target);

#endif
