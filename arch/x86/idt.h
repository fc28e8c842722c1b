/* SPDX-License-Identifier: BSD-2-Clause */
/* The interrupt descriptor tables: one for all CPUs, constant after idt_init(). */
#ifndef ARCH_X86_IDT_H
#define ARCH_X86_IDT_H

/* Fills the tables; once, on the boot CPU. */
void idt_init(void);

/* Loads it on this CPU. */
void idt_load(void);

/* In its place one whose gates note an interrupt, on this CPU: interrupt.h. */
void idt_load_taking(void);

#endif
