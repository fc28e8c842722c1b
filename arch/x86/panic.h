/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ways into a panic; panic() itself is declared in lib/log.h. */
#ifndef ARCH_X86_PANIC_H
#define ARCH_X86_PANIC_H

#include "arch/x86/trap_frame.h"
#include "lib/types.h"

/* An exception of the hypervisor's own: prints the frame's registers. */
NORETURN void panic_trap(const struct trap_frame *frame);

/* Logs the callers found through frame pointers from rbp on, with their names. */
void backtrace(u64 rip, u64 rbp);

/* Stops this CPU for ever. */
NORETURN void cpu_stop(void);

#endif
