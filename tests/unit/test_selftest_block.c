/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test's report in memory: what is whole, and lines that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/selftest_text.h"

static struct selftest_block *block;

static int set_up(void **state)
{
	block = malloc(SELFTEST_BLOCK_BYTES);
	memset(block, 0, SELFTEST_BLOCK_BYTES);
	return 0;
}

static int tear_down(void **state)
{
	free(block);
	return 0;
}

static void seal(void)
{
	block->magic = SELFTEST_MAGIC;
	block->version = SELFTEST_VERSION;
	block->state = SELFTEST_DONE;
	block->checksum = selftest_checksum(block);
}

static void lines_are_put_behind_each_other(void **state)
{
	selftest_line(block, "processor: %u", 7);
	selftest_line(block, "%s", "");
	selftest_line(block, "end");
	assert_int_equal(block->length, strlen("processor: 7\n\nend\n"));
	assert_memory_equal(block->text, "processor: 7\n\nend\n", block->length);
}

static void a_line_that_does_not_fit_is_left_out_whole(void **state)
{
	uint32_t length;

	block->length = SELFTEST_TEXT_MAX - 5;
	selftest_line(block, "12345");
	assert_int_equal(block->length, SELFTEST_TEXT_MAX - 5);
	selftest_line(block, "1234");
	assert_int_equal(block->length, SELFTEST_TEXT_MAX);
	length = block->length;
	selftest_line(block, "%s", "");
	assert_int_equal(block->length, length);
	seal();
	assert_true(selftest_is_whole(block));
}

/* Whatever firmware may have put over a copy, of what is looked at, is found out. */
static void a_change_of_any_byte_is_found_out(void **state)
{
	uint8_t *bytes = (uint8_t *)block;
	uint32_t i, end;

	assert_false(selftest_is_whole(block));
	selftest_line(block, "PASS: something");
	seal();
	assert_true(selftest_is_whole(block));
	end = (uint32_t)offsetof(struct selftest_block, text) + block->length;
	for (i = 0; i < end; i++) {
		bytes[i] ^= 0x40;
		assert_false(selftest_is_whole(block));
		bytes[i] ^= 0x40;
	}
	bytes[end] ^= 0x40; /* behind the text nothing counts */
	assert_true(selftest_is_whole(block));
}

static void a_length_beyond_the_block_is_refused_before_it_is_read(void **state)
{
	block->length = UINT32_MAX;
	block->magic = SELFTEST_MAGIC;
	block->version = SELFTEST_VERSION;
	assert_false(selftest_is_whole(block));
	block->length = SELFTEST_TEXT_MAX + 1;
	assert_false(selftest_is_whole(block));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_are_put_behind_each_other),
		TEST(a_line_that_does_not_fit_is_left_out_whole),
		TEST(a_change_of_any_byte_is_found_out),
		TEST(a_length_beyond_the_block_is_refused_before_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
