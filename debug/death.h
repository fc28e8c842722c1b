/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a guest: what is told of it, and what follows (option death=, docs/debugging.md). */
#ifndef DEBUG_DEATH_H
#define DEBUG_DEATH_H

#include "arch/x86/guest/vcpu.h"
#include "boot/boot_info.h"

/* monitor: there is a port for it. */
void death_init(enum boot_death wanted, bool monitor);

/* In the session of a death: all that is known of every processor, to the log. */
struct stop_event;
void death_report(const struct stop_event *event);
bool death_wants_monitor(void);

/* See arch/x86/debug_hooks.h. */
void death_tell(struct vcpu *vcpu, const char *why, bool shutdown);

#endif
