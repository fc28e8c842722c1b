/* SPDX-License-Identifier: BSD-2-Clause */
/* Task-state segments outside IA-32e mode, SDM vol. 3 figures 7-2 and 7-10. */
#ifndef ARCH_X86_GUEST_TSS_H
#define ARCH_X86_GUEST_TSS_H

#include "lib/types.h"

#define TSS_SEGMENTS 6u /* ES to GS, in the order of enum segment_name; a 16-bit one has no FS and GS */
#define TSS_GPRS 8u

/* A task switch saves eip to segment[], and loads cr3 to trap. */
struct tss32 {
	u32 link, stacks[6], cr3;
	u32 eip, eflags, gpr[TSS_GPRS], segment[TSS_SEGMENTS];
	u32 ldt;
	u16 trap, iomap;
} PACKED;
struct tss16 {
	u16 link, stacks[6];
	u16 ip, flags, gpr[TSS_GPRS], segment[TSS_SEGMENTS - 2];
	u16 ldt;
} PACKED;
_Static_assert(sizeof(struct tss32) == 0x68 && offsetof(struct tss32, eip) == 0x20 &&
		       offsetof(struct tss32, ldt) == 0x60,
	       "SDM vol. 3 figure 7-2");
_Static_assert(sizeof(struct tss16) == 0x2c && offsetof(struct tss16, ip) == 0xe &&
		       offsetof(struct tss16, ldt) == 0x2a,
	       "SDM vol. 3 figure 7-10");

#endif
