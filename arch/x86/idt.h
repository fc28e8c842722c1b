/* SPDX-License-Identifier: BSD-2-Clause */
/* The interrupt descriptor table: one for all CPUs, constant after idt_init(). */
#ifndef ARCH_X86_IDT_H
#define ARCH_X86_IDT_H

/* Fills the table; once, on the boot CPU. */
void idt_init(void);

/* Loads it on this CPU. */
void idt_load(void);

#endif
