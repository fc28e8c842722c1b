/* SPDX-License-Identifier: BSD-2-Clause */
/* A stopped processor as lines on the console: for commands, and for a guest that has died. */
#ifndef DEBUG_SHOW_H
#define DEBUG_SHOW_H

#include "arch/x86/guest/vcpu.h"

/* One line: where it is. */
void show_where(struct vcpu *vcpu);

void show_registers(struct vcpu *vcpu);
void show_control(struct vcpu *vcpu);

/* The last exits, oldest first, `most` of them at most. */
void show_exits(const struct vcpu *vcpu, u32 most);

/* The last branch and the last interrupt, where the processor records them for the guest. */
void show_branches(struct vcpu *vcpu);

/* Is it running, halted, waiting for a start-up message, off? */
const char *show_state(const struct vcpu *vcpu);

#endif
