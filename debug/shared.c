/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See shared.h. A byte is read ahead only where nothing is held, so the hardware keeps its line up for the ones behind it. For one that is held
 * nothing would: the transmitter's interrupt, turned on while it is empty, raises the line until the guest has asked what it is for.
 */
#include "debug/shared.h"

#define IER_RECEIVED 0x01u
#define IER_TRANSMITTER 0x02u
#define IER_LINE_STATUS 0x04u
#define IER_DEFINED 0x0fu
#define IIR_NONE 0x01u
#define IIR_TRANSMITTER 0x02u
#define IIR_RECEIVED 0x04u
#define IIR_LINE_STATUS 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_SOURCE 0x0fu
#define IIR_FIFO 0xc0u
#define FCR_ENABLE 0x01u
#define FCR_RESET_RECEIVER 0x02u
#define LSR_ERRORS 0x1eu /* overrun, parity, framing, break */
#define LSR_ABSENT 0xffu

static u8 in(const struct shared_port *s, u32 reg)
{
	return s->uart->read(s->uart, reg);
}

static void out(const struct shared_port *s, u32 reg, u8 value)
{
	s->uart->write(s->uart, reg, value);
}

static bool latch_is_open(const struct shared_port *s)
{
	return in(s, UART_LCR) & UART_LCR_DLAB;
}

void shared_init(struct shared_port *s, const struct uart *uart, u8 escape)
{
	*s = (struct shared_port){.uart = uart, .escape = escape};
	if (!latch_is_open(s))
		s->ier = in(s, UART_IER) & IER_DEFINED;
	s->fifo = in(s, UART_FCR) & IIR_FIFO;
}

/* --- bytes that come ---------------------------------------------------------------------- */

static void hold(struct shared_port *s, u8 byte, u8 errors)
{
	s->held[s->count].byte = byte;
	s->held[s->count++].errors = errors;
}

static void take(struct shared_port *s, u8 byte, u8 errors)
{
	if (!s->escaped) {
		/* In loopback it is the guest itself that sends. */
		s->escaped = byte == s->escape && !errors && !(in(s, UART_MCR) & UART_MCR_LOOP);
		if (!s->escaped)
			hold(s, byte, errors);
		return;
	}
	s->escaped = false;
	if (byte == SHARED_COMMAND && !errors) {
		s->asked = true;
		return;
	}
	hold(s, s->escape, 0);
	if (byte != s->escape || errors)
		hold(s, byte, errors);
}

/* The interrupt of a transmitter that is empty comes when it is turned on (data sheet, section 8.6.4). */
static void settle_line(struct shared_port *s)
{
	bool raise = s->count && s->ier & IER_RECEIVED;

	if (raise == s->raised)
		return;
	s->raised = raise;
	if (raise)
		out(s, UART_IER, s->ier & (u8)~IER_TRANSMITTER);
	out(s, UART_IER, s->ier | (raise ? IER_TRANSMITTER : 0));
}

/* With the divisor latch closed. Ends: each turn takes a byte that has come, and holds one but for an escape. */
static void pull(struct shared_port *s)
{
	while (!s->count && !s->asked) {
		u8 status = in(s, UART_LSR);

		if (status == LSR_ABSENT || !(status & UART_LSR_DATA_READY))
			return;
		take(s, in(s, UART_DATA), status & LSR_ERRORS);
	}
}

void shared_look(struct shared_port *s)
{
	if (latch_is_open(s))
		return;
	pull(s);
	settle_line(s);
}

bool shared_take_question(struct shared_port *s)
{
	bool asked = s->asked;

	s->asked = false;
	return asked;
}

/* --- the guest's reads ---------------------------------------------------------------------- */

static u8 read_data(struct shared_port *s)
{
	u8 byte;

	pull(s);
	if (!s->count)
		return in(s, UART_DATA); /* what it holds when there is nothing */
	byte = s->held[0].byte;
	s->held[0] = s->held[1];
	s->count--;
	return byte;
}

/* Errors are told once (section 8.6.3). Those of a byte that was swallowed went with it. */
static u8 read_line_status(struct shared_port *s)
{
	u8 status;

	pull(s);
	status = in(s, UART_LSR);
	if (status == LSR_ABSENT || !s->count)
		return status & (u8) ~(s->asked ? UART_LSR_DATA_READY : 0);
	status |= UART_LSR_DATA_READY | s->held[0].errors;
	s->held[0].errors = 0;
	return status;
}

static u8 read_identification(struct shared_port *s)
{
	u8 value;

	pull(s);
	if (s->count && s->held[0].errors && s->ier & IER_LINE_STATUS)
		return IIR_LINE_STATUS | s->fifo;
	if (s->count && s->ier & IER_RECEIVED)
		return IIR_RECEIVED | s->fifo;
	value = in(s, UART_FCR);
	s->fifo = value & IIR_FIFO;
	/* A byte that has come since the pull is found by the next look; the line stays up for it. */
	if ((value & IIR_SOURCE) == IIR_TRANSMITTER && !(s->ier & IER_TRANSMITTER))
		return IIR_NONE | s->fifo;
	return value;
}

u8 shared_read(struct shared_port *s, u32 reg)
{
	u8 value;

	if (latch_is_open(s) && reg <= UART_IER)
		return in(s, reg);
	switch (reg) {
	case UART_DATA: value = read_data(s); break;
	case UART_IER: return s->ier;
	case UART_FCR: value = latch_is_open(s) ? in(s, reg) : read_identification(s); break;
	case UART_LSR: value = latch_is_open(s) ? in(s, reg) : read_line_status(s); break;
	default: return in(s, reg);
	}
	settle_line(s);
	return value;
}

void shared_write(struct shared_port *s, u32 reg, u8 value)
{
	bool latch = latch_is_open(s);

	if (reg == UART_IER && !latch) {
		s->ier = value & IER_DEFINED;
		s->raised = false;
		out(s, reg, s->ier);
		settle_line(s);
		return;
	}
	if (reg == UART_FCR && !(value & FCR_ENABLE))
		s->fifo = 0;
	if (reg == UART_FCR && value & FCR_RESET_RECEIVER)
		s->count = s->escaped = 0;
	out(s, reg, value);
	if (!latch && reg == UART_FCR)
		settle_line(s);
}

/* --- sessions ------------------------------------------------------------------------------ */

void shared_attend(struct shared_port *s, struct shared_kept *kept)
{
	kept->lcr = in(s, UART_LCR);
	kept->mcr = in(s, UART_MCR);
	out(s, UART_LCR, kept->lcr & (u8)~UART_LCR_DLAB);
	out(s, UART_MCR, kept->mcr & (u8)~UART_MCR_LOOP);
	out(s, UART_IER, 0);
}

/* What the guest waits for, an empty transmitter among it, interrupts anew. */
void shared_listen(struct shared_port *s, const struct shared_kept *kept)
{
	s->raised = false;
	out(s, UART_IER, s->ier);
	settle_line(s);
	out(s, UART_MCR, kept->mcr);
	out(s, UART_LCR, kept->lcr);
}
