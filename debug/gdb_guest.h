/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of this machine as GDB's target (gdb.h): its sessions, at the port of debug/port.h. Breakpoints are armed on every
 * processor when the guest goes on, and a processor that the guest starts later gets them on its way into the guest.
 */
#ifndef DEBUG_GDB_GUEST_H
#define DEBUG_GDB_GUEST_H

#include "debug/stop.h"

/*
 * Once, with the port open. always: the port is GDB's for good (gdb=), not only from a command to the end of its session.
 * command carries out what GDB calls monitor commands.
 */
typedef void gdb_guest_command_fn(struct vcpu *vcpu, char *text, void (*put)(char c));
void gdb_guest_init(bool always, gdb_guest_command_fn *command);

/* From now on the port is GDB's. */
void gdb_guest_begin(void);

/* Is it? Is a debugger there? */
bool gdb_guest_is_on(void);
bool gdb_guest_is_attached(void);

/* See stop.h. */
enum stop_action gdb_guest_session(const struct stop_event *event, struct vcpu **step);

/* #BP or #DB has exited: true, it is not the guest's. A stop is asked for if it was a point. */
bool gdb_guest_filter(struct vcpu *vcpu, u8 vector);

/* On the way into the guest, behind a kick: this processor may have been started since points were armed. */
void gdb_guest_look(struct vcpu *vcpu);

#endif
