/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversation with GDB by its remote serial protocol, over any line and about any guest: fed with the bytes that come
 * and told when the guest has stopped, it says what is to become of the guest. All-stop: every CPU stops when one does.
 * A debugger may go away without a word and another one begin at any time. No locks: one CPU at a time calls these.
 */
#ifndef DEBUG_GDB_H
#define DEBUG_GDB_H

#include "debug/gdb_session.h"

/* The guest runs and nobody has called. target, context and port are used as long as gdb is. */
void gdb_init(struct gdb *gdb, const struct gdb_target *target, void *context, const struct gdb_port *port);

/* A byte that came, while the guest runs or is stopped. */
MUST_CHECK enum gdb_wish gdb_feed(struct gdb *gdb, u8 byte);

/*
 * The guest has stopped, by GDB_WISH_STOP or by itself. Says GDB_WISH_RUN if it shall go on at once (a step whose range has not been left), else
 * reports it to GDB, if there is one that waits for it. It is not called again before a GDB_WISH_RUN or GDB_WISH_DETACH.
 */
MUST_CHECK enum gdb_wish gdb_stopped(struct gdb *gdb, const struct gdb_stop *stop);

/* Takes the bytes that have come and returns the first wish, GDB_WISH_NOTHING if there is none. */
MUST_CHECK enum gdb_wish gdb_poll(struct gdb *gdb);

/* Has a debugger begun, and not ended? Is a packet on its way? */
bool gdb_is_attached(const struct gdb *gdb);
bool gdb_is_inside(const struct gdb *gdb);

/* Behind GDB_WISH_RUN: what this CPU does. Each goes on when nobody debugs. */
enum gdb_action gdb_action(const struct gdb *gdb, u32 cpu);

#endif
