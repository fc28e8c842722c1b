/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which UART the serial log goes to, for boot loader and core alike: the one of the option
 * "serial", else the one that the ACPI table SPCR or DBG2 names, else COM1; in each case if it answers.
 */
#ifndef BOOT_SERIAL_H
#define BOOT_SERIAL_H

#include "boot/serial_option.h"
#include "lib/uart.h"

struct serial_port {
	struct boot_uart where; /* space BOOT_UART_NONE: none */
	struct uart uart;
	bool firmware_uses; /* the firmware's console reaches it */
	char text[96];      /* where it is and who says so, or why there is none */
};

/* Finds the port; unless the firmware's console goes there it is taken from the firmware's drivers and made ready. */
void serial_find(const struct serial_option *option, struct serial_port *port);

/* The firmware's drivers may have it again. */
void serial_give_back(const struct serial_port *port);

#endif
