/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM instructions, APM vol. 3 chapter 4; need EFER.SVME. */
#ifndef SVM_INSN_H
#define SVM_INSN_H

#include "lib/types.h"

static ALWAYS_INLINE void insn_clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

static ALWAYS_INLINE void insn_stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

static ALWAYS_INLINE void insn_vmsave(hpa_t vmcb)
{
	asm volatile("vmsave %0" : : "a"(vmcb.v) : "memory");
}

/* Drops the translations of one page in one ASID, global ones too. */
static ALWAYS_INLINE void insn_invlpga(gva_t gva, u32 asid)
{
	asm volatile("invlpga %0, %1" : : "a"(gva), "c"(asid) : "memory");
}

#endif
