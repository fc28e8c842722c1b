/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each model-specific register is to the guest: one const table, from which msr.c
 * works, the backends' permission maps are made and docs/msrs.md is written. A register
 * that has no row reads as the hardware has it, and no write reaches it.
 */
#ifndef ARCH_X86_GUEST_MSR_TABLE_H
#define ARCH_X86_GUEST_MSR_TABLE_H

#include "arch/x86/cpuid_bits.h"

enum msr_class {
	MSR_PASSED,    /* the hardware's own register, without an exit */
	MSR_READ_ONLY, /* reads as in hardware; a write is #GP, and is so in hardware */
	MSR_MASKED,    /* reads as in hardware; a write changes the bits in .write, the others stay */
	MSR_EMULATED,  /* msr.c has code of its own */
	MSR_ABSENT,    /* #GP for both */
	MSR_IGNORED, /* reads as in hardware (#GP where that is); a write is dropped and logged. Also where no row is */
	MSR_CLASSES
};

#define MSR_ANNOUNCED_MAX 6u

struct msr_row {
	u32 first, last;
	u8 class; /* enum msr_class */
	const char *name;
	const char *why;
	const char *manual;
	u64 write;     /* MASKED: bits that a write changes */
	u64 zero, one; /* bits that a read shows as 0 and as 1, whatever the hardware has */
	/*
	 * CPUID bits that say that the register exists. ABSENT: none of them is shown to the guest. Any other class: where
	 * none is shown, the register is absent too, as on a processor that lacks the feature.
	 */
	struct cpuid_bit announced[MSR_ANNOUNCED_MAX];
};

/* Ascending, without overlaps. */
#define MSR_ROWS_MAX 256u
extern const struct msr_row msr_table[];
extern const u32 msr_rows;

/* The row that a register is in, or NULL. */
const struct msr_row *msr_row_of(u32 msr);

#endif
