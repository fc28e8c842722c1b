/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting with a bound, before there is a guest: the time-stamp counter, measured once against the PC's timer. */
#ifndef ARCH_X86_CLOCK_H
#define ARCH_X86_CLOCK_H

#include "lib/types.h"

/* Takes 10 ms. Where there is no timer, every wait is longer than asked for, never shorter. */
void clock_init(void);

/* The time so many microseconds from now, for clock_passed(). */
u64 clock_after(u32 microseconds);
bool clock_passed(u64 time);

void clock_wait(u32 microseconds);

/* Of the time-stamp counter; too many where there is no timer. */
u32 clock_ticks_per_us(void);

#endif
