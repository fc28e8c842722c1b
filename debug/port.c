/* SPDX-License-Identifier: BSD-2-Clause */
/* See port.h. */
#include "debug/port.h"

#include "debug/shared.h"

#define IER_RECEIVED 0x01u
#define MCR_OUT2 0x08u /* lets the interrupt out of a PC's port */

static struct uart port;
static bool interrupts, is_shared, listens;
static struct shared_port shared;
static struct shared_kept kept;

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

bool port_share(const struct boot_uart *where, u8 escape)
{
	uart_on_ports(&port, (u16)where->base, where->stride);
	is_shared = uart_answers(&port);
	if (is_shared)
		shared_init(&shared, &port, escape);
	else
		port.read = NULL;
	return is_shared;
}

bool port_is_shared(void)
{
	return is_shared;
}

bool port_access(u32 reg, bool in, u8 *byte)
{
	if (in)
		*byte = shared_read(&shared, reg);
	else
		shared_write(&shared, reg, *byte);
	return shared_take_question(&shared);
}

bool port_is_open(void)
{
	return port.read;
}

bool port_is_asked(void)
{
	u8 status;

	if (is_shared) {
		shared_look(&shared);
		return shared_take_question(&shared);
	}
	status = port.read ? port.read(&port, UART_LSR) : 0;
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

/* The FIFO of a shared port is the guest's affair. */
bool port_put_bytes(const u8 *bytes, u32 count)
{
	if (!is_shared)
		return uart_put_bytes(&port, bytes, count);
	for (u32 i = 0; i < count; i++) {
		port.timeouts = 0;
		uart_put(&port, bytes[i]);
		if (port.timeouts)
			return false;
	}
	return true;
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

void port_begin(void)
{
	if (!is_shared)
		set_interrupt(true);
	listens = true;
}

bool port_listens(void)
{
	return __atomic_load_n(&listens, __ATOMIC_SEQ_CST);
}

void port_listen(void)
{
	__atomic_store_n(&listens, true, __ATOMIC_SEQ_CST);
	if (is_shared)
		shared_listen(&shared, &kept);
	else
		set_interrupt(true);
}

void port_attend(void)
{
	__atomic_store_n(&listens, false, __ATOMIC_SEQ_CST);
	if (is_shared)
		shared_attend(&shared, &kept);
	else
		set_interrupt(false);
}
