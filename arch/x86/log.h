/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where log_printf() (lib/log.h) goes: the ring in memory always; the serial
 * port until the guest owns it, errors even then; the screen once something
 * fatal happened.
 */
#ifndef ARCH_X86_LOG_H
#define ARCH_X86_LOG_H

#include "lib/log.h"

#define LOG_RING_SIZE (64u << 10)

/* Messages above this level are dropped. */
void log_init(enum log_level level);

/* The guest starts: from now on only errors go to the serial port. */
void log_release_console(void);

/*
 * Something fatal: everything goes to serial and screen from now on, and no
 * lock is taken any more.
 */
void log_take_console(void);

/* The ring: its buffer, and the number of bytes ever written (modulo its size: the next one). */
const char *log_ring(u64 *written);

#endif
