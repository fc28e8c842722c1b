/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a line of the log goes: serial port and screen before the guest and after its end, the ring always; what a reader of
 * the ring gets. With the real screen on a framebuffer of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/screen.h"
#include "arch/x86/serial.h"
#include "mm/phys.h"

/* The host tests have a log_printf() of their own, which this one must not be taken for. */
#define log_printf core_log_printf
#include "arch/x86/log.c"

#define WIDTH 320u
#define HEIGHT 64u
#define PITCH 330u /* pixels */
#define OUTSIDE 0x123456u

static u32 pixels[PITCH * HEIGHT];
static char sent[4096];
static u32 sent_bytes;

void serial_put(char c)
{
	assert_true(sent_bytes < sizeof(sent));
	sent[sent_bytes++] = c;
}

static void forget(void)
{
	memset(sent, 0, sizeof(sent));
	sent_bytes = 0;
	for (u32 i = 0; i < ARRAY_SIZE(pixels); i++)
		pixels[i] = OUTSIDE;
}

static u32 count(u32 colour)
{
	u32 n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(pixels); i++)
		n += pixels[i] == colour;
	return n;
}

static int start(void **state)
{
	struct boot_framebuffer fb = {.size = sizeof(pixels), .width = WIDTH, .height = HEIGHT, .pitch = 4 * PITCH};

	phys_map_offset = (u64)(uintptr_t)pixels;
	log_init(LOG_INFO);
	screen_init(&fb);
	forget();
	return 0;
}

static void before_the_guest_the_log_is_on_serial_port_and_screen(void **state)
{
	log_info("hello\n");
	log_debug("not asked for\n");
	assert_string_equal(sent, "umbra: hello\n");
	assert_true(count(0xffffff) > 100);
	assert_int_equal(count(OUTSIDE), (PITCH - WIDTH) * HEIGHT);
	assert_int_equal(count(0), WIDTH * HEIGHT - count(0xffffff));
}

static void while_the_guest_runs_the_screen_is_its_own_and_the_serial_port_gets_errors_alone(void **state)
{
	char text[19];
	u64 before;

	log_release_console();
	forget();
	before = log_written();
	log_info("refused\n");
	log_warn("odd\n");
	assert_int_equal(sent_bytes, 0);
	log_error("bad\n");
	assert_string_equal(sent, "umbra: bad\n");
	assert_int_equal(count(OUTSIDE), ARRAY_SIZE(pixels));
	assert_int_equal(log_written(), before + strlen("umbra: refused\numbra: odd\numbra: bad\n"));
	log_read(before + 7, text, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_string_equal(text, "refused\numbra: odd");
}

static void something_fatal_takes_both_again_in_other_colours(void **state)
{
	log_take_console();
	log_info("the end\n");
	assert_non_null(strstr(sent, "the end"));
	assert_int_equal(count(0x400000), WIDTH * HEIGHT - count(0xffffff));
	screen_off();
	forget();
	log_info("no screen\n");
	assert_int_equal(count(OUTSIDE), ARRAY_SIZE(pixels));
}

static void a_reader_gets_what_the_ring_holds_and_nothing_else(void **state)
{
	char part[16], zeroes[16] = "";
	u64 end;

	end = log_written();
	log_read(end, part, sizeof(part)); /* still to be written */
	assert_memory_equal(part, zeroes, sizeof(part));
	log_read(UINT64_MAX - 8, part, sizeof(part));
	assert_int_equal(part[0], 0);
	log_read(end - 4, part, sizeof(part));
	assert_memory_equal(part, "een\n", 4);
	assert_memory_equal(part + 4, zeroes, 12);
	for (u32 i = 0; i < LOG_RING_SIZE / 8; i++) {
		sent_bytes = 0;
		log_info("%05u\n", i);
	}
	end = log_written();
	log_read(end - LOG_RING_SIZE - 8, part, sizeof(part));
	assert_memory_equal(part, zeroes, 8); /* overwritten */
	assert_int_not_equal(part[8], 0);
	log_read(0, part, sizeof(part));
	assert_memory_equal(part, zeroes, sizeof(part));
	log_read(end - 13, part, 13);
	assert_memory_equal(part, "umbra: 08191\n", 13);
}

static void no_screen_is_no_trouble(void **state)
{
	struct boot_framebuffer none = {.size = 0}, wrong = {.size = 4096, .width = 64, .height = 64, .pitch = 256};

	screen_init(&none);
	sent_bytes = 0;
	log_error("x\n");
	screen_init(&wrong); /* it would reach beyond its end */
	forget();
	log_error("x\n");
	assert_int_equal(count(OUTSIDE), ARRAY_SIZE(pixels));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(before_the_guest_the_log_is_on_serial_port_and_screen, start),
		cmocka_unit_test_setup(
			while_the_guest_runs_the_screen_is_its_own_and_the_serial_port_gets_errors_alone, start),
		cmocka_unit_test_setup(something_fatal_takes_both_again_in_other_colours, start),
		cmocka_unit_test_setup(a_reader_gets_what_the_ring_holds_and_nothing_else, start),
		cmocka_unit_test_setup(no_screen_is_no_trouble, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
