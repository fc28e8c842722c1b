/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack of the hypervisor's own exception. */
#ifndef ARCH_X86_TRAP_FRAME_H
#define ARCH_X86_TRAP_FRAME_H

#include "lib/types.h"

#define TRAP_VECTORS 32
#define TRAP_INTERRUPT 32 /* stands for all vectors from 32 on */

/* The stubs of isr_taken[], one for each vector, are so far apart. */
#define ISR_TAKEN_BYTES 8

/* What isr.asm pushes; the CPU's part begins at rip. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

#endif
