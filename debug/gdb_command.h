/* SPDX-License-Identifier: BSD-2-Clause */
/* GDB's packets beside queries: registers, memory, breakpoints, how the guest goes on. */
#ifndef DEBUG_GDB_COMMAND_H
#define DEBUG_GDB_COMMAND_H

#include "debug/gdb_session.h"

/* Carries out the packet in the link and replies to it, but for one that lets the guest go on: that is what it says then. */
enum gdb_wish gdb_command(struct gdb *gdb);

/* Tells GDB why the guest stopped, from gdb->stop: packet T. */
void gdb_reply_stop(struct gdb *gdb);

#endif
