/* SPDX-License-Identifier: BSD-2-Clause */
/* See serial.h; the driver is lib/uart.c. */
#include "arch/x86/serial.h"

#include "lib/uart.h"
#include "mm/phys.h"

static struct uart serial;

void serial_init(const struct boot_uart *port)
{
	serial = (struct uart){NULL};
	switch (port->space) {
	case BOOT_UART_PORTS: uart_on_ports(&serial, (u16)port->base, port->stride); break;
	case BOOT_UART_MEMORY:
		uart_in_memory(&serial, phys_to_virt(hpa(port->base)), port->stride, port->width);
		break;
	default: return;
	}
	if (uart_answers(&serial))
		uart_start(&serial, port->baud);
	else
		serial.read = NULL;
}

void serial_put(char c)
{
	uart_put_char(&serial, c);
}
