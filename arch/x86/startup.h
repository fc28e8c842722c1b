/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start-up page: the only 16-bit code of the hypervisor, copied to a hidden page below
 * 1 MiB, where a processor begins after a start-up message. It takes what is in `next` (an exchange, so that one
 * processor alone gets it, however many begin), goes to 64-bit mode on the hypervisor's tables and calls `entry` with
 * it on its own stack. Who comes when the page is closed halts there for good. In 16-bit code an NMI finds a vector in the page;
 * from there to the IDT, a few instructions, it would be a triple fault.
 */
#ifndef ARCH_X86_STARTUP_H
#define ARCH_X86_STARTUP_H

#include "lib/types.h"

/* Selectors of the page's own table; code and data are at SEL_CODE and SEL_DATA, as in the hypervisor's. */
#define STARTUP_SEL_CODE32 0x18
#define STARTUP_DESCRIPTORS 4

struct startup_far {
	u32 offset;
	u16 selector;
} PACKED;

struct startup_pointer {
	u16 limit;
	u32 base;
} PACKED;

struct startup_vector {
	u16 offset, segment;
} PACKED;

/* At startup_data in the page. */
struct startup {
	u32 next;   /* the stack to be taken, the low half of its top, where its struct percpu is; 0: none yet */
	u32 closed; /* not 0: who comes now halts there */
	u32 cr3;
	struct startup_far code32, code64;
	struct startup_pointer interrupts, gdt_pointer;
	struct startup_vector vectors[3]; /* of real mode, up to the NMI's; no other is raised */
	u64 entry;                        /* void entry(struct percpu *), does not return */
	u64 gdt[STARTUP_DESCRIPTORS];
} PACKED;

/* The uppermost bytes of the page: where an NMI pushes FLAGS, CS and IP. */
#define STARTUP_FRAME 6

/* In startup.asm; the code of the page and places in it. */
extern u8 startup_begin[], startup_nmi[], startup_code32[], startup_code64[], startup_data[], startup_end[];

#endif
