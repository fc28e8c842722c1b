/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor: a session (debug/stop.h) with somebody at the port (debug/port.h). docs/debugging.md has its commands. */
#ifndef DEBUG_MONITOR_H
#define DEBUG_MONITOR_H

#include "debug/stop.h"

#define MONITOR_PROMPT "umbra> "

/* One command about vcpu, of a session that another debugger holds: its output goes to put. text is changed. */
void monitor_command(struct vcpu *vcpu, char *text, void (*put)(char c));

enum stop_action monitor_session(const struct stop_event *event, struct vcpu **step);

#endif
