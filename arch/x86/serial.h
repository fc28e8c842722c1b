/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550 UART, polled. Every wait is bounded, so that an absent or stuck port
 * costs some milliseconds once and is then left alone.
 */
#ifndef ARCH_X86_SERIAL_H
#define ARCH_X86_SERIAL_H

#include "lib/types.h"

/* Sets 8N1 at the given speed. port 0, or a port that does not answer: no serial log. */
void serial_init(u16 port, u32 baud);

/*
 * Sends one byte; \n becomes CR LF. Works on a port that the guest has set up:
 * its divisor latch bit is put aside for the moment.
 */
void serial_put(char c);

#endif
