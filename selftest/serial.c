/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port that the loader has found; the driver is lib/uart.c. Registers in memory lie where the image maps them, below 4 GiB. */
#include "selftest/selftest.h"
#include "lib/uart.h"

#define MAPPED_END (4ull << 30)

static struct uart serial;

void serial_init(void)
{
	const struct boot_uart *port = &block->machine.uart;

	if (port->space == BOOT_UART_PORTS)
		uart_on_ports(&serial, (u16)port->base, port->stride);
	else if (port->space == BOOT_UART_MEMORY && port->base < MAPPED_END)
		uart_in_memory(&serial, (void *)port->base, port->stride, port->width);
}

void serial_put(char c)
{
	uart_put_char(&serial, c);
}

char serial_get(void)
{
	int c = uart_get(&serial);

	return c < 0 ? 0 : (char)c;
}
