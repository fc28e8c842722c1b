/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of a conversation with GDB; private to debug/gdb*.c. */
#ifndef DEBUG_GDB_SESSION_H
#define DEBUG_GDB_SESSION_H

#include "debug/gdb_packet.h"
#include "debug/gdb_target.h"

/* What the packets ask the guest's keeper for. */
enum gdb_wish {
	GDB_WISH_NOTHING, /* stay as you are, stopped or running */
	GDB_WISH_STOP,    /* stop the guest, then call gdb_stopped() */
	GDB_WISH_RUN,     /* let the guest go on as gdb_action() says; call gdb_stopped() when it stops */
	GDB_WISH_DETACH,  /* let the guest go on; the conversation is over */
};

struct gdb {
	struct gdb_link link;
	const struct gdb_target *target;
	void *context;
	bool attached;    /* a debugger has sent a packet and has not detached */
	bool running;     /* the guest is */
	bool waiting;     /* it was asked to stop */
	bool held;        /* a packet that came meanwhile waits in the link for that */
	bool tells_broke; /* GDB understands swbreak and hwbreak */
	u32 bits;         /* of the description that GDB has */
	u32 bits_asked;   /* 0, or what the next description is for: "monitor gdb bits" */
	u32 listed;       /* CPUs that the list of threads has had */
	u32 cpu;          /* of g, p, m and their like */
	u32 resume_cpu;   /* of s and c; GDB_CPUS_MAX: all */
	struct gdb_stop stop;
	u8 action[GDB_CPUS_MAX]; /* enum gdb_action */
	bool in_range;           /* steps go on while RIP is in from..to - 1 */
	u64 range_from, range_to;
};

#endif
