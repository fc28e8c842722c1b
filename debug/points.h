/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints and watchpoints of a debugger, and where each is kept while the guest runs (docs/debugging.md, "Breakpoints"): in a debug
 * register, or, a software breakpoint that finds none, as an INT3 in the guest's memory. The guest sees nothing of
 * the former. The latter is in memory only while the guest runs: it is patched in when the guest goes on and lifted when it stops.
 * No locks: in a session alone.
 */
#ifndef DEBUG_POINTS_H
#define DEBUG_POINTS_H

#include "arch/x86/guest/debug_registers.h"
#include "debug/gdb_target.h"

#define POINTS_MAX 128u
#define INT3 0xccu

enum point_place { POINT_NOWHERE, POINT_REGISTER, POINT_MEMORY };

struct point {
	bool used;
	u8 type;     /* enum gdb_point */
	u8 place;    /* enum point_place */
	u8 original; /* POINT_MEMORY, patched: the byte that the guest has there */
	bool patched;
	u8 length;    /* of this piece: 1, 2, 4 or 8 */
	u64 address;  /* linear; of this piece, a multiple of its length */
	u64 physical; /* POINT_MEMORY, patched: where */
	u64 whole;    /* what the debugger asked for; a watchpoint may be several pieces */
	u32 whole_length;
};

struct points {
	u32 count; /* point[] from here on is free */
	struct point point[POINTS_MAX];
};

/* The guest's memory, of one byte: 0 or -EFAULT. */
struct points_memory {
	void *context;
	int (*translate)(void *context, u64 linear, u64 *physical);
	int (*read)(void *context, u64 physical, u8 *byte);
	int (*write)(void *context, u64 physical, u8 byte);
};

/*
 * registers: how many the guest leaves. 0, also for one that is there; -ENOSYS: of no such type (a watchpoint for reads alone); -EINVAL:
 * a length of 0 or beyond 32 bytes; -ENOSPC: no register for it, or too many points.
 */
MUST_CHECK int points_insert(struct points *p, enum gdb_point type, u64 address, u32 length, u32 registers);
/* All pieces; nothing where there is none. */
void points_remove(struct points *p, enum gdb_point type, u64 address, u32 length);

/*
 * Decides where each is kept: in registers what must be, then software breakpoints while there are any; out and which (numbers of
 * points) have as many as it returns.
 */
u32 points_place(struct points *p, u32 registers, struct debug_point out[DEBUG_POINTS_MAX],
		 u8 which[DEBUG_POINTS_MAX]);

/* Writes an INT3 for each that is in memory; how many could not be written, since nothing is mapped there. */
u32 points_patch(struct points *p, const struct points_memory *memory);
/* Takes them out again, unless the guest has written something else there. */
void points_lift(struct points *p, const struct points_memory *memory);

/* The breakpoint whose INT3 the guest has executed: by linear address, else by physical; NULL: it is the guest's own. */
const struct point *points_find_int3(const struct points *p, u64 linear, u64 physical);

#endif
