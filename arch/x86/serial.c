/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550 driver: registers as in the National Semiconductor PC16550D data sheet. */
#include "arch/x86/serial.h"

#include "arch/x86/cpu.h"

enum { REG_DATA = 0, REG_IER = 1, REG_FCR = 2, REG_LCR = 3, REG_MCR = 4, REG_LSR = 5, REG_SCRATCH = 7 };

#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define FCR_ENABLE_CLEAR 0x07
#define MCR_DTR_RTS 0x03
#define LSR_THR_EMPTY 0x20
#define LSR_ABSENT 0xff

#define CLOCK 115200u      /* baud with divisor 1 */
#define WAIT_POLLS 200000u /* each is a port access of about 1 us: more than any byte takes */
#define TIMEOUTS_MAX 3u

static struct {
	u16 port;
	u32 timeouts;
} serial;

/* A UART keeps what is written to its scratch register; a floating bus does not. */
static bool answers(u16 port)
{
	out8(port + REG_SCRATCH, 0x5a);
	if (in8(port + REG_SCRATCH) != 0x5a)
		return false;
	out8(port + REG_SCRATCH, 0xa5);
	return in8(port + REG_SCRATCH) == 0xa5;
}

void serial_init(u16 port, u32 baud)
{
	u32 divisor = baud && baud <= CLOCK ? CLOCK / baud : 1;

	serial.port = 0;
	serial.timeouts = 0;
	if (!port || !answers(port))
		return;
	out8(port + REG_IER, 0);
	out8(port + REG_LCR, LCR_8N1 | LCR_DLAB);
	out8(port + REG_DATA, (u8)divisor);
	out8(port + REG_IER, (u8)(divisor >> 8));
	out8(port + REG_LCR, LCR_8N1);
	out8(port + REG_FCR, FCR_ENABLE_CLEAR);
	out8(port + REG_MCR, MCR_DTR_RTS);
	serial.port = port;
}

static bool wait_empty(void)
{
	for (u32 i = 0; i < WAIT_POLLS; i++) {
		u8 status = in8(serial.port + REG_LSR);

		if (status == LSR_ABSENT)
			break;
		if (status & LSR_THR_EMPTY)
			return true;
		cpu_relax();
	}
	if (++serial.timeouts >= TIMEOUTS_MAX)
		serial.port = 0;
	return false;
}

static void put_raw(u8 byte)
{
	u8 lcr;

	if (!serial.port || !wait_empty())
		return;
	lcr = in8(serial.port + REG_LCR);
	if (lcr & LCR_DLAB)
		out8(serial.port + REG_LCR, lcr & ~LCR_DLAB);
	out8(serial.port + REG_DATA, byte);
	if (lcr & LCR_DLAB)
		out8(serial.port + REG_LCR, lcr);
}

void serial_put(char c)
{
	if (c == '\n')
		put_raw('\r');
	put_raw((u8)c);
}
