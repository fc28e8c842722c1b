/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack of more privilege, which gates of calls and interrupts change to outside IA-32e mode (SDM vol. 3 sections 5.8.5 and 6.12.1). */
#ifndef ARCH_X86_GUEST_INNER_STACK_H
#define ARCH_X86_GUEST_INNER_STACK_H

#include "arch/x86/guest/emulate_operand.h"

/* As it was before: to go back, or to push. */
struct outer_stack {
	struct segment ss;
	u64 rsp;
	u32 cpl;
};

/*
 * Changes SS, the stack pointer and the CPL to those that the current task-state segment has for privilege cpl, which is more than now
 * (SDM vol. 3 figures 7-2 and 7-10), where so many bytes can be pushed. 0, or -EFAULT with #TS, #SS or #PF queued and nothing changed but
 * a descriptor's accessed flag.
 */
MUST_CHECK int inner_stack_enter(struct emu *e, u32 cpl, u32 bytes, struct outer_stack *old);
/* Back again: what was to be pushed raised an exception. */
void inner_stack_leave(struct emu *e, const struct outer_stack *old);

#endif
