/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * External interrupts that the hypervisor takes for a guest that cannot take them by itself: one whose instructions are
 * interpreted, or that is in virtual-8086 mode in the place of real mode. The interrupt is in service as if the guest had
 * taken it, and its end is the guest's to tell. On this CPU, with interrupts off before and after.
 */
#ifndef ARCH_X86_INTERRUPT_H
#define ARCH_X86_INTERRUPT_H

#include "lib/types.h"

#define NO_INTERRUPT (-1)

/* The vector of the interrupt that comes first, 0 to 255, or NO_INTERRUPT if none waits. */
int interrupt_take(void);

/* The same, but halts for one. NO_INTERRUPT: an NMI came, or percpu->looks was set before. */
int interrupt_wait(void);

#endif
