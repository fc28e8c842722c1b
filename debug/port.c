/* SPDX-License-Identifier: BSD-2-Clause */
/* See port.h. */
#include "debug/port.h"

#include "lib/uart.h"

#define IER_RECEIVED 0x01u
#define MCR_OUT2 0x08u /* lets the interrupt out of a PC's port */

static struct uart port;
static bool interrupts;

bool port_open(const struct boot_uart *where)
{
	struct uart uart;

	uart_on_ports(&uart, (u16)where->base, where->stride);
	if (!uart_answers(&uart))
		return false;
	uart_start(&uart, where->baud);
	port = uart;
	return true;
}

bool port_is_open(void)
{
	return port.read;
}

bool port_has_byte(void)
{
	u8 status = port.read ? port.read(&port, UART_LSR) : 0;

	return status != 0xff && status & UART_LSR_DATA_READY;
}

int port_get(void)
{
	return uart_get(&port);
}

void port_put(char c)
{
	uart_put_char(&port, c);
}

void port_put_byte(u8 byte)
{
	uart_put(&port, byte);
}

static void set_interrupt(bool on)
{
	u8 lines;

	if (!port.read || !interrupts)
		return;
	lines = port.read(&port, UART_MCR);
	port.write(&port, UART_MCR, (u8)(on ? lines | MCR_OUT2 : lines & ~MCR_OUT2));
	port.write(&port, UART_IER, on ? IER_RECEIVED : 0);
}

void port_use_interrupt(void)
{
	interrupts = true;
}

void port_listen(void)
{
	set_interrupt(true);
}

void port_attend(void)
{
	set_interrupt(false);
}
