/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550 that the guest's driver and the monitor have together (docs/debugging.md, D7). The guest's accesses go through here; bytes that
 * come are looked at for the escape before it sees them. What is read ahead is held here, two bytes at most, and the guest's line
 * status, its interrupt identification and the interrupt itself agree with what is held. Registers as in the PC16550D's data sheet.
 */
#ifndef DEBUG_SHARED_H
#define DEBUG_SHARED_H

#include "lib/uart.h"

#define SHARED_HELD 2u
#define SHARED_COMMAND 'c' /* behind the escape: asks for the monitor */

struct shared_port {
	const struct uart *uart;
	u8 escape;    /* the byte */
	bool escaped; /* it came, and nothing behind it yet */
	bool asked;   /* for the monitor */
	bool raised;  /* the hardware's transmitter interrupt is on, to keep the line up for what is held */
	u8 ier;       /* as the guest has it */
	u8 fifo;      /* bits 7:6 of the identification: FIFOs are on */
	u32 count;
	struct {
		u8 byte, errors; /* errors: of the line status */
	} held[SHARED_HELD];
};

/* uart: as the guest is to find it. */
void shared_init(struct shared_port *s, const struct uart *uart, u8 escape);

/* The guest's accesses. */
u8 shared_read(struct shared_port *s, u32 reg);
void shared_write(struct shared_port *s, u32 reg, u8 value);

/* Looks at what has come, without the guest. */
void shared_look(struct shared_port *s);

/* Has the monitor been asked for since the last call? */
bool shared_take_question(struct shared_port *s);

/* A session has the port to itself: registers that it needs otherwise are kept, and put back. */
struct shared_kept {
	u8 lcr, mcr;
};
void shared_attend(struct shared_port *s, struct shared_kept *kept);
void shared_listen(struct shared_port *s, const struct shared_kept *kept);

#endif
