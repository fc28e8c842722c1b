/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hw_execute() for the host: the hypervisor's own code runs the instruction here, and a signal
 * stands for the exception. host_guest_state plays the vector and x87 state that a guest
 * has in the CPU.
 */
#ifndef TESTS_UNIT_HOST_EXECUTE_H
#define TESTS_UNIT_HOST_EXECUTE_H

#include "arch/x86/execute.h"

/* XSAVE area, SDM vol. 1 section 13.4: x87, SSE, AVX. */
#define HOST_STATE_COMPONENTS 7u
struct host_state {
	u16 fcw, fsw;
	u8 ftw, zero;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 unused[96];
	u64 xstate_bv, xcomp_bv;
	u8 header[48];
	u8 ymm_high[16][16];
} ALIGNED(64);
_Static_assert(sizeof(struct host_state) == 832, "SDM vol. 1 section 13.4");

extern struct host_state host_guest_state;
extern u32 host_executed; /* calls of hw_execute() */

/* As after FNINIT and with MXCSR's reset value. */
void host_state_reset(struct host_state *s);
/* Runs the instruction that stands at e->at with this state. */
void host_run(struct execute *e, struct host_state *s);
/* Two pages that may be executed; hw_execute() has its code in the first and its bounce in the other. */
u8 *host_execute_pages(void);
bool host_has_avx2(void);

#endif
