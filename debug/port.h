/* SPDX-License-Identifier: BSD-2-Clause */
/* The UART that the monitor speaks on: polled, every wait of it bounded (lib/uart.h). One processor at a time, but for port_has_byte(). */
#ifndef DEBUG_PORT_H
#define DEBUG_PORT_H

#include "boot/boot_info.h"
#include "lib/types.h"

/* False: no UART answers there. */
bool port_open(const struct boot_uart *where);

bool port_is_open(void);

/* Has a byte come? Changes nothing. */
bool port_has_byte(void);

/* The next byte, or -1. */
int port_get(void);

/* As text: \n becomes CR LF. */
void port_put(char c);
/* As it is. */
void port_put_byte(u8 byte);

/* A byte that comes interrupts from now on, while nobody attends; whether it ever does is up to port_use_interrupt(). */
void port_use_interrupt(void);
void port_listen(void);
/* Somebody reads what comes. */
void port_attend(void);

#endif
