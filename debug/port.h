/* SPDX-License-Identifier: BSD-2-Clause */
/* The UART that the monitor speaks on: polled, every wait of it bounded (lib/uart.h). One processor at a time, but for port_is_asked() of its own port. */
#ifndef DEBUG_PORT_H
#define DEBUG_PORT_H

#include "boot/boot_info.h"
#include "lib/types.h"

/* False: no UART answers there. */
bool port_open(const struct boot_uart *where);

/* The same for one that the guest has as well, and that is set up; escape: debug/shared.h. */
bool port_share(const struct boot_uart *where, u8 escape);

bool port_is_open(void);
bool port_is_shared(void);

/* The guest's accesses to a shared port; true: somebody there asks for the monitor. */
bool port_access(u32 reg, bool in, u8 *byte);

/* Does somebody ask for the monitor? At a port of its own any byte does, and this changes nothing; a shared one needs the lock of port_access(). */
bool port_is_asked(void);

/* The next byte, or -1. */
int port_get(void);

/* As text: \n becomes CR LF. */
void port_put(char c);
/* As it is. */
void port_put_byte(u8 byte);

/* Many as they are. False: the port has stopped taking them, and is not given up for that. */
bool port_put_bytes(const u8 *bytes, u32 count);

/* A byte that comes interrupts from now on, while nobody attends; whether it ever does is up to port_use_interrupt(). */
void port_use_interrupt(void);
void port_listen(void);
bool port_listens(void);
/* The first time. */
void port_begin(void);
/* Somebody reads what comes. */
void port_attend(void);

#endif
