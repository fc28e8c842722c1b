/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one way to reach another processor: a word that says why, then a message that makes it look. The word
 * is set first and taken whole, so no reason is lost, and a message that finds none is not ours.
 */
#ifndef ARCH_X86_KICK_H
#define ARCH_X86_KICK_H

#include "arch/x86/percpu.h"

#define KICK_ANSWER BIT(0) /* nothing but to count it, at its start: can it be reached? */
#define KICK_STOP BIT(1)   /* for good: a panic somewhere */

/* To a processor that waits, by an NMI. */
void kick_send(struct percpu *cpu, u32 reasons);

/* KICK_STOP for all others; does not wait for them. One that runs a guest gets an INIT, which makes an exit. */
void kick_stop_others(void);

/* This processor's reasons, which are its own from now on. */
u32 kick_take(void);

/* Has this processor been told to stop? For loops that no message may interrupt. */
bool kick_stop_asked(void);

#endif
