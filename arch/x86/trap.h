/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions taken by the hypervisor itself. Interrupts are always off, so all
 * that can arrive is an exception (a bug, or a _safe access that has a fix-up),
 * an NMI before the guest runs, or a machine check.
 */
#ifndef ARCH_X86_TRAP_H
#define ARCH_X86_TRAP_H

#include "lib/types.h"

#define TRAP_VECTORS 32

/* What isr.asm pushes; the CPU's part begins at rip. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* Called by isr.asm; returns to resume at frame->rip. */
void trap_handle(struct trap_frame *frame);

/* "page fault" for VEC_PF; "" for reserved vectors. */
const char *trap_name(u64 vector);

#endif
