/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550 UART, polled: registers as in the National Semiconductor PC16550D data sheet, on I/O ports or in memory, one
 * behind the other or with a distance. Boot loader and core drive the same port by this. Every wait is bounded, so
 * that an absent or stuck port costs some milliseconds and is then left alone. No locks.
 */
#ifndef LIB_UART_H
#define LIB_UART_H

#include "lib/types.h"

enum uart_register {
	UART_DATA = 0, /* DLAB: the divisor's low byte */
	UART_IER = 1,  /* DLAB: its high byte */
	UART_FCR = 2,  /* written */
	UART_IIR = 2,  /* read */
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCRATCH = 7,
	UART_REGISTERS = 8
};

#define UART_LCR_8N1 0x03u
#define UART_LCR_DLAB 0x80u
#define UART_MCR_DTR_RTS 0x03u
#define UART_MCR_LOOP 0x10u
#define UART_LSR_DATA_READY 0x01u
#define UART_LSR_THR_EMPTY 0x20u
#define UART_LSR_IDLE 0x40u

/* Baud with divisor 1, at the usual clock of 1.8432 MHz. */
#define UART_CLOCK_BAUD 115200u

struct uart {
	u8 (*read)(const struct uart *uart, u32 reg); /* NULL: no port */
	void (*write)(const struct uart *uart, u32 reg, u8 value);
	u64 base;          /* I/O port, or the address at which the registers are mapped */
	u32 stride, width; /* bytes from a register to the next, and of an access: 1, 2 or 4 */
	u32 timeouts;      /* in uart_put(), so far */
};

/* Registers on I/O ports, accessed by bytes. */
void uart_on_ports(struct uart *uart, u16 port, u32 stride);

/* Registers in device memory, mapped at base. */
void uart_in_memory(struct uart *uart, void *base, u32 stride, u32 width);

/*
 * Is a UART there? It keeps what is written to its scratch register, or, an old one without, its modem lines in
 * loopback mode; what is not there does neither. What was in these registers is put back.
 */
bool uart_answers(const struct uart *uart);

/*
 * Makes it ready to send: no interrupts, FIFOs on, DTR and RTS. Speed and format stay as they are if baud is 0 and
 * somebody has set them (8 data bits; after a reset it is 5); else they become 8N1 at baud, or at 115200.
 */
void uart_start(const struct uart *uart, u32 baud);

/*
 * Sends one byte, also on a port that somebody else has set up: the divisor latch bit is put aside for the moment. A
 * port that does not take a byte in time for the third time is given up.
 */
void uart_put(struct uart *uart, u8 byte);

/*
 * Many bytes at a port that uart_start() has set up, as many at once as its FIFO holds. False: it has stopped taking them; it is not
 * given up for that.
 */
bool uart_put_bytes(const struct uart *uart, const u8 *bytes, u32 count);

/* The next byte that has come, or -1: none, or there is no port. */
int uart_get(const struct uart *uart);

/* As text: \n becomes CR LF. */
void uart_put_char(struct uart *uart, char c);

#endif
