/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions taken by the hypervisor itself. Interrupts are always off, so all
 * that can arrive is an exception (a bug, or a _safe access that has a fix-up),
 * an NMI before the guest runs, or a machine check.
 */
#ifndef ARCH_X86_TRAP_H
#define ARCH_X86_TRAP_H

#include "arch/x86/trap_frame.h"

/*
 * Of a backend in whose hypervisor NMIs are not held back: from the look whether there was a kick to the entry into the guest. An NMI
 * in [begin, end) goes on at back instead. All zeroes: there is none.
 */
extern struct trap_entry {
	u64 begin, end, back;
} trap_entry;

/* Called by isr.asm; returns to resume at frame->rip. */
void trap_handle(struct trap_frame *frame);

#endif
