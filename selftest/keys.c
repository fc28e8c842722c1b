/* SPDX-License-Identifier: BSD-2-Clause */
/* A key, by polling: the PS/2 controller (which firmware often imitates for USB keyboards) or the serial port. */
#include "selftest/selftest.h"

#define PS2_DATA 0x60
#define PS2_STATUS 0x64
#define STATUS_FULL 0x01
#define STATUS_MOUSE 0x20
#define ABSENT 0xff
#define RELEASED 0x80

static char ps2_key(void)
{
	u8 status = inb(PS2_STATUS), code;

	if (status == ABSENT || !(status & STATUS_FULL))
		return 0;
	code = inb(PS2_DATA);
	if (status & STATUS_MOUSE || code & RELEASED)
		return 0;
	switch (code) { /* set 1, as every controller translates */
	case 0x13: return 'r';
	case 0x19: return 'p';
	case 0x1c: return '\n';
	default: return ' ';
	}
}

static char serial_key(void)
{
	switch (serial_get()) {
	case 0: return 0;
	case 'r':
	case 'R': return 'r';
	case 'p':
	case 'P': return 'p';
	case '\r':
	case '\n': return '\n';
	default: return ' ';
	}
}

char key_read(void)
{
	char c = ps2_key();

	return c ? c : serial_key();
}
