/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text between boot entries (UTF-8) and the firmware (UTF-16, UCS-2): every
 * character there and back, every malformed form of the Unicode standard's
 * section 3.9, paths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uchar.h>

#include <cmocka.h>

#include "boot/utf16.h"

static void every_character_goes_there_and_back(void **state)
{
	char utf8[8];
	uint32_t c;

	for (c = 1; c <= 0x10ffff; c++) {
		uint16_t name[3] = {(uint16_t)c};
		const char *at = utf8;

		if (c >= 0xd800 && c < 0xe000)
			continue;
		if (c > 0xffff) {
			name[0] = (uint16_t)(0xd7c0 + (c >> 10));
			name[1] = (uint16_t)(0xdc00 | (c & 0x3ff));
		}
		assert_true(utf16_to_utf8(utf8, sizeof(utf8), name));
		assert_int_equal(utf8_next(&at), c);
		assert_int_equal(*at, 0);
		at = utf8;
		assert_int_equal(utf8_next_ucs2(&at), c > 0xffff ? UTF16_REPLACEMENT : c);
	}
}

static void known_characters_have_their_bytes(void **state)
{
	static const uint16_t name[] = {u'G', u'\u00f6', u'\u20ac', 0xd83d, 0xde00, 0};
	char utf8[16];

	assert_true(utf16_to_utf8(utf8, sizeof(utf8), name));
	assert_string_equal(utf8, "G\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_true(utf16_to_utf8(utf8, 11, name));
	assert_false(utf16_to_utf8(utf8, 10, name));
}

/* Bytes in a block of their own size, so that a read beyond the end is caught. */
static void malformed_bytes_are_replaced_one_by_one(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t replaced; /* then an 'x' follows */
	} cases[] = {
		{"\x80x", 1},
		{"\xbf\xbfx", 2},
		{"\xc3x", 1},
		{"\xe2\x82x", 2},
		{"\xf0\x9f\x98x", 3},
		{"\xc0\xafx", 2},
		{"\xc1\xbfx", 2},
		{"\xe0\x9f\xbfx", 3},
		{"\xf0\x8f\xbf\xbfx", 4},
		{"\xed\xa0\x80x", 3},
		{"\xed\xbf\xbfx", 3},
		{"\xf4\x90\x80\x80x", 4},
		{"\xf5\x80\x80\x80x", 4},
		{"\xf8\x88\x80\x80\x80x", 5},
		{"\xfex", 1},
		{"\xffx", 1},
	};
	static const char *const cut_off[] = {"\xc3", "\xe2\x82", "\xf0\x9f\x98"};
	size_t i;
	uint32_t k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = cases[i].bytes;

		for (k = 0; k < cases[i].replaced; k++)
			assert_int_equal(utf8_next(&at), UTF16_REPLACEMENT);
		assert_int_equal(utf8_next(&at), 'x');
		assert_int_equal(*at, 0);
	}
	for (i = 0; i < sizeof(cut_off) / sizeof(cut_off[0]); i++) {
		char *copy = strdup(cut_off[i]);
		const char *at = copy;

		while (*at)
			assert_int_equal(utf8_next(&at), UTF16_REPLACEMENT);
		assert_ptr_equal(at, copy + strlen(copy));
		free(copy);
	}
}

static void lone_surrogates_are_replaced(void **state)
{
	static const uint16_t names[][3] = {{0xd83d, 0}, {0xde00, 0}, {0xd83d, 'x', 0}, {0xde00, 0xd83d, 0}};
	static const char *const wanted[] = {"\xef\xbf\xbd", "\xef\xbf\xbd", "\xef\xbf\xbdx",
					     "\xef\xbf\xbd\xef\xbf\xbd"};
	char utf8[16];
	size_t i;

	for (i = 0; i < 4; i++) {
		assert_true(utf16_to_utf8(utf8, sizeof(utf8), names[i]));
		assert_string_equal(utf8, wanted[i]);
	}
}

static void assert_path(const char *path, const char16_t *wanted)
{
	uint16_t wide[32];
	size_t n = 0;

	assert_true(utf16_from_path(wide, 32, path));
	while (wanted[n])
		n++;
	assert_memory_equal(wide, wanted, (n + 1) * sizeof(*wide));
}

static void paths_are_as_the_firmware_wants_them(void **state)
{
	assert_path("/kernel", u"\\kernel");
	assert_path("kernel", u"\\kernel");
	assert_path("//kernel", u"\\kernel");
	assert_path("\\a/\\//b c", u"\\a\\b c");
	assert_path("/a/", u"\\a");
	assert_path("/", u"\\");
	assert_path("", u"\\");
	assert_path("/gr\u00f6\u00dfe/\U0001f600", u"\\gr\u00f6\u00dfe\\\U0001f600");
}

static void long_paths_are_refused(void **state)
{
	uint16_t wide[8];

	assert_true(utf16_from_path(wide, 8, "/123456"));
	assert_int_equal(wide[7], 0);
	assert_false(utf16_from_path(wide, 8, "/1234567"));
	assert_false(utf16_from_path(wide, 8, "/12345\U0001f600"));
	assert_true(utf16_from_path(wide, 8, "////////////1///////2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_goes_there_and_back),
		cmocka_unit_test(known_characters_have_their_bytes),
		cmocka_unit_test(malformed_bytes_are_replaced_one_by_one),
		cmocka_unit_test(lone_surrogates_are_replaced),
		cmocka_unit_test(paths_are_as_the_firmware_wants_them),
		cmocka_unit_test(long_paths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
