/* SPDX-License-Identifier: BSD-2-Clause */
/* A breakpoint or watchpoint of debug/ in a debug register (SDM vol. 3 section 17.2.4); debug_registers.h arms them. */
#ifndef ARCH_X86_GUEST_DEBUG_POINT_H
#define ARCH_X86_GUEST_DEBUG_POINT_H

#include "lib/types.h"

struct vcpu;

#define DEBUG_POINTS_MAX 4u

/* DR7, R/Wn: what a breakpoint waits for. */
enum debug_point_type { DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_PORT, DEBUG_ACCESS };

struct debug_point {
	u64 address; /* linear; a multiple of length */
	u8 type;     /* enum debug_point_type, not DEBUG_PORT */
	u8 length;   /* 1, 2, 4 or 8; of DEBUG_EXECUTE 1 */
};

/* Points were met: bits by their number in what was armed. An instruction was executed by the hypervisor, or #DB exited. */
typedef void debug_points_hit_fn(struct vcpu *vcpu, u32 points);

#endif
