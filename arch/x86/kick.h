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
#define KICK_LOOK BIT(2)   /* something was asked of its virtual CPU */
#define KICK_FLUSH BIT(3)  /* it leaves the guest; there is nothing else to it */
#define KICK_DEBUG BIT(4)  /* the monitor stops the guest */

/* By an NMI, to a processor that waits or runs a guest whose NMIs exit; or to this one. */
void kick_send(struct percpu *cpu, u32 reasons);

/* Behind a time in which this processor's APIC was off: the message of reasons that were not taken yet may be lost. */
void kick_again(void);

/* Where NMIs are let through: until there is a KICK_LOOK that percpu->looks has not been cleared behind. */
void kick_wait(void);

/* In kick_wait.asm: halts until the byte is not 0, which the handler of an NMI sets. */
void kick_wait_for(const bool *byte);
extern u8 kick_wait_end[];
/* The same with interrupts let in, by interrupt_wait(): until one or an NMI comes, unless the byte is not 0. */
void interrupt_wait_for(const bool *byte);
extern u8 interrupt_wait_end[];

/* KICK_STOP for all others; does not wait for them. One that runs a guest whose NMIs do not exit gets an INIT, which does. */
void kick_stop_others(void);

/* This processor's reasons, which are its own from now on. */
u32 kick_take(void);

/* Has this processor been told to stop? For loops that no message may interrupt. */
bool kick_stop_asked(void);

#endif
