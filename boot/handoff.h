/* SPDX-License-Identifier: BSD-2-Clause */
/* The last instructions of boot/: into the hypervisor, or straight into the guest. */
#ifndef BOOT_HANDOFF_H
#define BOOT_HANDOFF_H

#include <stdint.h>

/* Operand of LGDT */
struct handoff_gdt {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct handoff_gdt) == 10, "SDM vol. 3 section 2.4.1");

/*
 * Both need this code mapped at its own address by cr3, turn interrupts off
 * and do not return.
 * handoff_core: jumps to entry with rdi = info, the stack given and every other
 * register as it is.
 * handoff_guest: loads the GDT, an empty IDT, cs and the data selectors (cs in
 * bits 15:0, data in 31:16) and jumps to rip with rsi set, the others zero.
 */
__attribute__((noreturn)) void handoff_core(uint64_t cr3, uint64_t entry, uint64_t info,
					    uint64_t stack);
__attribute__((noreturn)) void handoff_guest(uint64_t cr3, uint64_t rip, uint64_t rsi,
					     uint64_t stack, const struct handoff_gdt *gdt,
					     uint32_t selectors);

#endif
