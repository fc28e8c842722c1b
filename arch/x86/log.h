/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where log_printf() (lib/log.h) goes: the ring in memory always; serial port and
 * screen until the guest owns them, errors to the serial port even then; both again
 * once something fatal has happened.
 */
#ifndef ARCH_X86_LOG_H
#define ARCH_X86_LOG_H

#include "lib/log.h"

#define LOG_RING_SIZE (64u << 10)

/* Messages above this level are dropped. */
void log_init(enum log_level level);

/* The guest starts: from now on only errors go to the serial port, and nothing to the screen. */
void log_release_console(void);

/*
 * Something fatal: everything goes to serial and screen from now on, and no
 * lock is taken any more.
 */
void log_take_console(void);

/* Bytes ever written to the ring, which holds the last LOG_RING_SIZE of them. */
u64 log_written(void);

/* Bytes from the at-th on, as far as the ring holds them; zeroes in the place of the others. Takes no lock. */
void log_read(u64 at, char *to, u32 bytes);

#endif
