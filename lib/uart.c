/* SPDX-License-Identifier: BSD-2-Clause */
/* See uart.h. */
#include "lib/uart.h"

#define FCR_ENABLE 0x01u
#define IIR_FIFOS 0xc0u /* a 16550A with its FIFOs on */
#define FIFO_BYTES 16u
#define LCR_8_BITS 0x03u
#define LSR_ABSENT 0xffu
/* OUT2 and RTS, looped back to DCD and CTS: bits 7 and 4 of the modem status. */
#define LOOP_OUT2_RTS 0x1au
#define LOOP_DCD_CTS 0x90u
#define LOOP_LINES 0xf0u

#define WAIT_POLLS 200000u /* each is a device access of about 1 us: more than any byte takes */
#define TIMEOUTS_MAX 3u

static u8 read_port(const struct uart *uart, u32 reg)
{
	u16 port = (u16)(uart->base + reg * uart->stride);
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void write_port(const struct uart *uart, u32 reg, u8 value)
{
	u16 port = (u16)(uart->base + reg * uart->stride);

	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static u8 read_memory(const struct uart *uart, u32 reg)
{
	const volatile void *at = (const volatile void *)(uintptr_t)(uart->base + reg * uart->stride);

	switch (uart->width) {
	case 4: return (u8) * (const volatile u32 *)at;
	case 2: return (u8) * (const volatile u16 *)at;
	default: return *(const volatile u8 *)at;
	}
}

static void write_memory(const struct uart *uart, u32 reg, u8 value)
{
	volatile void *at = (volatile void *)(uintptr_t)(uart->base + reg * uart->stride);

	switch (uart->width) {
	case 4: *(volatile u32 *)at = value; break;
	case 2: *(volatile u16 *)at = value; break;
	default: *(volatile u8 *)at = value;
	}
}

void uart_on_ports(struct uart *uart, u16 port, u32 stride)
{
	*uart = (struct uart){.read = read_port, .write = write_port, .base = port, .stride = stride, .width = 1};
}

void uart_in_memory(struct uart *uart, void *base, u32 stride, u32 width)
{
	*uart = (struct uart){
		.read = read_memory, .write = write_memory, .base = (uintptr_t)base, .stride = stride, .width = width};
}

static bool keeps_scratch(const struct uart *uart)
{
	u8 saved = uart->read(uart, UART_SCRATCH);
	bool kept;

	uart->write(uart, UART_SCRATCH, 0x5a);
	kept = uart->read(uart, UART_SCRATCH) == 0x5a;
	uart->write(uart, UART_SCRATCH, 0xa5);
	kept &= uart->read(uart, UART_SCRATCH) == 0xa5;
	uart->write(uart, UART_SCRATCH, saved);
	return kept;
}

static bool loops_back(const struct uart *uart)
{
	u8 saved = uart->read(uart, UART_MCR);
	bool looped;

	uart->write(uart, UART_MCR, LOOP_OUT2_RTS);
	looped = (uart->read(uart, UART_MSR) & LOOP_LINES) == LOOP_DCD_CTS;
	uart->write(uart, UART_MCR, saved);
	return looped;
}

bool uart_answers(const struct uart *uart)
{
	return uart->read(uart, UART_LSR) != LSR_ABSENT && (keeps_scratch(uart) || loops_back(uart));
}

static bool wait_for(const struct uart *uart, u8 bit)
{
	for (u32 i = 0; i < WAIT_POLLS; i++) {
		u8 status = uart->read(uart, UART_LSR);

		if (status == LSR_ABSENT)
			return false;
		if (status & bit)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void set_speed(const struct uart *uart, u32 baud)
{
	u32 divisor = baud && baud <= UART_CLOCK_BAUD ? UART_CLOCK_BAUD / baud : 1;

	uart->write(uart, UART_LCR, UART_LCR_8N1 | UART_LCR_DLAB);
	uart->write(uart, UART_DATA, (u8)divisor);
	uart->write(uart, UART_IER, (u8)(divisor >> 8));
	uart->write(uart, UART_LCR, UART_LCR_8N1);
}

void uart_start(const struct uart *uart, u32 baud)
{
	u8 lcr = uart->read(uart, UART_LCR);

	wait_for(uart, UART_LSR_IDLE); /* what is still under way would be spoilt */
	if (lcr & UART_LCR_DLAB)
		uart->write(uart, UART_LCR, lcr & ~UART_LCR_DLAB);
	uart->write(uart, UART_IER, 0);
	if (baud || (lcr & LCR_8_BITS) != LCR_8_BITS)
		set_speed(uart, baud);
	uart->write(uart, UART_FCR, FCR_ENABLE);
	uart->write(uart, UART_MCR, (uart->read(uart, UART_MCR) & ~UART_MCR_LOOP) | UART_MCR_DTR_RTS);
}

void uart_put(struct uart *uart, u8 byte)
{
	u8 lcr;

	if (!uart->read)
		return;
	if (!wait_for(uart, UART_LSR_THR_EMPTY)) {
		if (++uart->timeouts >= TIMEOUTS_MAX)
			uart->read = NULL;
		return;
	}
	lcr = uart->read(uart, UART_LCR);
	if (lcr & UART_LCR_DLAB)
		uart->write(uart, UART_LCR, lcr & ~UART_LCR_DLAB);
	uart->write(uart, UART_DATA, byte);
	if (lcr & UART_LCR_DLAB)
		uart->write(uart, UART_LCR, lcr);
}

bool uart_put_bytes(const struct uart *uart, const u8 *bytes, u32 count)
{
	u32 burst;

	if (!uart->read)
		return false;
	burst = (uart->read(uart, UART_IIR) & IIR_FIFOS) == IIR_FIFOS ? FIFO_BYTES : 1;
	for (u32 done = 0; done < count; done++) {
		if (!(done % burst) && !wait_for(uart, UART_LSR_THR_EMPTY))
			return false;
		uart->write(uart, UART_DATA, bytes[done]);
	}
	return true;
}

int uart_get(const struct uart *uart)
{
	u8 status = uart->read ? uart->read(uart, UART_LSR) : LSR_ABSENT;

	return status == LSR_ABSENT || !(status & UART_LSR_DATA_READY) ? -1 : uart->read(uart, UART_DATA);
}

void uart_put_char(struct uart *uart, char c)
{
	if (c == '\n')
		uart_put(uart, '\r');
	uart_put(uart, (u8)c);
}
