/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack of more privilege, which gates of calls and interrupts change to outside IA-32e mode (SDM vol. 3 sections 5.8.5 and 6.12.1). */
#ifndef ARCH_X86_GUEST_INNER_STACK_H
#define ARCH_X86_GUEST_INNER_STACK_H

#include "arch/x86/guest/emulate_operand.h"

/*
 * Changes SS, the stack pointer and the CPL to those that the current task-state segment has for privilege cpl, which is more than now
 * (SDM vol. 3 figures 7-2 and 7-10), and pushes count values of size bytes there, the last one on top. 0, or -EFAULT with #TS, #SS or #PF
 * queued and nothing changed but a descriptor's accessed flag.
 */
MUST_CHECK int inner_stack_push(struct emu *e, u32 cpl, u32 size, const u64 *values, u32 count);

#endif
