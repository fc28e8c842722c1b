/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port that guest and monitor share (debug/shared.c), over a 16550 that is as strict as the data sheet: a guest's driver that goes by its
 * interrupts alone gets every byte that is not the escape's, in order, whatever comes when.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "debug/shared.h"

#define ESCAPE 1
#define FIFO 16u

/* --- the hardware --------------------------------------------------------------------------- */

static struct {
	u8 fifo[FIFO];
	u32 count;
	u8 ier, lcr, mcr, fcr, divisor[2], last;
	bool empty_pending; /* the transmitter's interrupt */
	u8 sent[64];
	u32 sent_count;
} hw;

static u8 source(void)
{
	if (hw.ier & 1 && hw.count)
		return 4;
	return hw.ier & 2 && hw.empty_pending ? 2 : 1;
}

static u8 read_hw(const struct uart *uart, u32 reg)
{
	u8 value;

	switch (reg) {
	case UART_DATA:
		if (hw.lcr & UART_LCR_DLAB)
			return hw.divisor[0];
		if (hw.count) {
			hw.last = hw.fifo[0];
			memmove(hw.fifo, hw.fifo + 1, --hw.count);
		}
		return hw.last;
	case UART_IER: return hw.lcr & UART_LCR_DLAB ? hw.divisor[1] : hw.ier;
	case UART_FCR:
		value = source();
		if (value == 2)
			hw.empty_pending = false;
		return value | (hw.fcr & 1 ? 0xc0 : 0);
	case UART_LCR: return hw.lcr;
	case UART_MCR: return hw.mcr;
	case UART_LSR: return UART_LSR_THR_EMPTY | UART_LSR_IDLE | (hw.count ? UART_LSR_DATA_READY : 0);
	default: return 0;
	}
}

static void write_hw(const struct uart *uart, u32 reg, u8 value)
{
	switch (reg) {
	case UART_DATA:
		if (hw.lcr & UART_LCR_DLAB)
			hw.divisor[0] = value;
		else if (hw.sent_count < sizeof(hw.sent))
			hw.sent[hw.sent_count++] = value;
		hw.empty_pending = true;
		break;
	case UART_IER:
		if (hw.lcr & UART_LCR_DLAB) {
			hw.divisor[1] = value;
			break;
		}
		if (value & ~hw.ier & 2)
			hw.empty_pending = true;
		hw.ier = value & 0xf;
		break;
	case UART_FCR:
		hw.fcr = value;
		if (value & 2)
			hw.count = 0;
		break;
	case UART_LCR: hw.lcr = value; break;
	case UART_MCR: hw.mcr = value; break;
	default: break;
	}
}

static const struct uart uart = {.read = read_hw, .write = write_hw};
static struct shared_port port;

static bool line_is_up(void)
{
	return source() != 1;
}

static bool come(u8 byte)
{
	if (hw.count == FIFO)
		return false;
	hw.fifo[hw.count++] = byte;
	return true;
}

static void begin(void)
{
	memset(&hw, 0, sizeof(hw));
	hw.lcr = UART_LCR_8N1;
	shared_init(&port, &uart, ESCAPE);
	shared_write(&port, UART_FCR, 1);
	assert_int_equal(shared_read(&port, UART_FCR), 0xc1);
	shared_write(&port, UART_IER, 1);
}

/* --- a driver that only goes by interrupts: one byte for each ------------------------------------ */

static u8 got[4096];
static u32 got_count;

static void interrupt(void)
{
	u8 why = shared_read(&port, UART_FCR) & 0xf;

	if (why == 4 || why == 0xc) {
		assert_true(shared_read(&port, UART_LSR) & UART_LSR_DATA_READY);
		got[got_count++] = shared_read(&port, UART_DATA);
	}
}

static void serve(void)
{
	u32 turns = 0;

	while (line_is_up()) {
		assert_true(++turns < 200);
		interrupt();
	}
}

static void type(const char *text)
{
	for (; *text; text++) {
		while (!come((u8)*text))
			serve();
	}
	serve();
}

static void assert_got(const char *text)
{
	assert_int_equal(got_count, strlen(text));
	assert_memory_equal(got, text, got_count);
	got_count = 0;
}

static void what_is_no_escape_arrives(void **state)
{
	begin();
	type("hello");
	assert_got("hello");
	assert_false(shared_take_question(&port));
}

static void an_escape_is_invisible(void **state)
{
	begin();
	come(ESCAPE);
	assert_int_equal(shared_read(&port, UART_LSR) & UART_LSR_DATA_READY, 0);
	assert_int_equal(shared_read(&port, UART_FCR), 0xc1);
	assert_false(line_is_up());
	come(SHARED_COMMAND);
	assert_int_equal(shared_read(&port, UART_FCR), 0xc1);
	assert_true(shared_take_question(&port));
	assert_false(shared_take_question(&port));
	type("x");
	assert_got("x");
}

static void an_escape_twice_is_one(void **state)
{
	begin();
	type("a\x01\x01"
	     "b\x01z");
	assert_got("a\x01"
		   "b\x01z");
	assert_false(shared_take_question(&port));
}

/* Nobody reads a byte that was read ahead: the line comes up for it, and the guest is told what it is for. */
static void a_byte_that_is_held_interrupts(void **state)
{
	begin();
	come('q');
	assert_true(shared_read(&port, UART_LSR) & UART_LSR_DATA_READY);
	assert_int_equal(hw.count, 0);
	assert_true(line_is_up());
	assert_int_equal(shared_read(&port, UART_FCR), 0xc4);
	assert_int_equal(shared_read(&port, UART_IER), 1);
	assert_int_equal(shared_read(&port, UART_DATA), 'q');
	assert_false(line_is_up());
	assert_int_equal(hw.ier, 1);
}

static void the_divisor_is_the_guests(void **state)
{
	begin();
	come('q');
	shared_write(&port, UART_LCR, UART_LCR_8N1 | UART_LCR_DLAB);
	shared_write(&port, UART_DATA, 12);
	shared_write(&port, UART_IER, 34);
	assert_int_equal(shared_read(&port, UART_DATA), 12);
	assert_int_equal(shared_read(&port, UART_IER), 34);
	assert_int_equal(hw.count, 1);
	shared_write(&port, UART_LCR, UART_LCR_8N1);
	assert_int_equal(shared_read(&port, UART_DATA), 'q');
}

static void a_session_gives_the_port_back(void **state)
{
	struct shared_kept kept;

	begin();
	shared_write(&port, UART_IER, 3);
	shared_read(&port, UART_FCR);
	shared_write(&port, UART_MCR, UART_MCR_LOOP | 3);
	shared_write(&port, UART_LCR, UART_LCR_8N1 | UART_LCR_DLAB);
	shared_attend(&port, &kept);
	assert_int_equal(hw.ier, 0);
	assert_int_equal(hw.mcr, 3);
	assert_int_equal(hw.lcr, UART_LCR_8N1);
	shared_listen(&port, &kept);
	assert_int_equal(hw.ier, 3);
	assert_int_equal(hw.mcr, UART_MCR_LOOP | 3);
	assert_int_equal(hw.lcr, UART_LCR_8N1 | UART_LCR_DLAB);
}

static void what_is_sent_passes(void **state)
{
	begin();
	for (const char *p = "out"; *p; p++)
		shared_write(&port, UART_DATA, (u8)*p);
	assert_memory_equal(hw.sent, "out", 3);
}

/* What arrives is what was sent less the escapes, computed the simple way; reads of the status and sends come in between. */
static void random_traffic_arrives(void **state)
{
	u8 wanted[sizeof(got)];
	u32 count = 0, questions = 0, asked = 0;
	bool escaped = false;

	host_random_seed(7);
	begin();
	got_count = 0;
	while (count + 4 < sizeof(wanted)) {
		static const u8 bytes[] = {ESCAPE, SHARED_COMMAND, 'x', 'y', '\r', ESCAPE};
		u8 byte = bytes[host_random_below(sizeof(bytes))];

		while (!come(byte))
			serve();
		if (escaped) {
			escaped = false;
			questions += byte == SHARED_COMMAND;
			if (byte != SHARED_COMMAND)
				wanted[count++] = ESCAPE;
			if (byte != SHARED_COMMAND && byte != ESCAPE)
				wanted[count++] = byte;
		} else if (byte == ESCAPE) {
			escaped = true;
		} else {
			wanted[count++] = byte;
		}
		switch (host_random_below(6)) {
		case 0: shared_look(&port); break;
		case 1: shared_read(&port, UART_LSR); break;
		case 2: shared_write(&port, UART_DATA, 'o'); break;
		case 3: serve(); break;
		default: break;
		}
		asked += shared_take_question(&port);
		if (questions != asked) { /* a question stops the reading until it is taken */
			serve();
			asked += shared_take_question(&port);
		}
	}
	for (u32 i = 0; i < 2 * FIFO; i++) {
		shared_look(&port);
		serve();
		asked += shared_take_question(&port);
	}
	assert_int_equal(asked, questions);
	assert_int_equal(got_count, count);
	assert_memory_equal(got, wanted, count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_escape_arrives), cmocka_unit_test(an_escape_is_invisible),
		cmocka_unit_test(an_escape_twice_is_one),    cmocka_unit_test(a_byte_that_is_held_interrupts),
		cmocka_unit_test(the_divisor_is_the_guests), cmocka_unit_test(a_session_gives_the_port_back),
		cmocka_unit_test(what_is_sent_passes),       cmocka_unit_test(random_traffic_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
