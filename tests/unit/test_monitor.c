/* SPDX-License-Identifier: BSD-2-Clause */
/* What the monitor does with lines, words and bits (debug/), and that nothing that is typed leads out of a line. */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "debug/console.h"
#include "debug/format.h"
#include "debug/line.h"
#include "debug/words.h"
#include "lib/x86.h"

/* --- a terminal ---------------------------------------------------------------------------- */

#define WIDTH 512u

static char row[WIDTH + 1];
static u32 column, written;

static void terminal(char c)
{
	written++;
	if (c == '\b') {
		assert_true(column > 0);
		column--;
	} else if (c == '\r' || c == '\n') {
		column = 0;
		if (c == '\n')
			memset(row, ' ', WIDTH);
	} else {
		assert_true(column < WIDTH);
		row[column++] = c;
	}
}

static void clear(void)
{
	memset(row, ' ', WIDTH);
	row[WIDTH] = '\0';
	column = 0;
}

/* The terminal shows the text, and its cursor stands where the line's does. */
static void assert_shown(const struct line *line)
{
	assert_memory_equal(row, line->text, line->length);
	for (u32 i = line->length; i < WIDTH; i++)
		assert_int_equal(row[i], ' ');
	assert_int_equal(column, line->cursor);
}

static struct line line;

static enum line_event type(const char *keys)
{
	enum line_event event = LINE_MORE;

	while (*keys)
		event = line_byte(&line, (u8)*keys++);
	return event;
}

static void begin(void)
{
	line = (struct line){.put = terminal};
	clear();
	line_begin(&line);
}

static void keys_edit_a_line(void **state)
{
	static const struct {
		const char *keys, *text;
		u32 cursor;
	} cases[] = {
		{"regs", "regs", 4},
		{"reg\bgs", "regs", 4},
		{"egs\x01r", "regs", 1},
		{"egs\x1b[Hr", "regs", 1},
		{"rgs\x1b[D\x1b[De", "regs", 2},
		{"xregs\x01\x04\x05", "regs", 4},
		{"xregs\x01\x1b[3~", "regs", 0},
		{"mem 10 20\x17", "mem 10 ", 7},
		{"mem 10 20\x15phys", "phys", 4},
		{"mem 10\x02\x02\x0b", "mem ", 4},
		{"\x1b[5~\x1bOHa\x1b[1;5Cb\x1b[Ac", "abc", 3},
		{"\x80\xff\x01\x1f", "", 0},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		assert_int_equal(type(cases[i].keys), LINE_MORE);
		assert_string_equal(line.text, cases[i].text);
		assert_int_equal(line.cursor, cases[i].cursor);
		assert_shown(&line);
	}
}

static void enter_ends_a_line_once(void **state)
{
	begin();
	assert_int_equal(type("cont\r"), LINE_DONE);
	assert_string_equal(line.text, "cont");
	line_begin(&line);
	assert_int_equal(type("\n"), LINE_MORE); /* of CR LF */
	assert_int_equal(type("\n"), LINE_DONE);
	line_begin(&line);
	assert_int_equal(type("half\x03"), LINE_CANCELLED);
	assert_string_equal(line.text, "");
	assert_int_equal(type("he\t"), LINE_COMPLETE);
}

static void lines_come_back(void **state)
{
	char text[16];

	begin();
	for (u32 i = 0; i < 2 * LINE_HISTORY; i++) {
		snprintf(text, sizeof(text), "line %u\r", i);
		type(text);
		line_begin(&line);
		clear();
	}
	for (u32 i = 1; i <= LINE_HISTORY; i++) {
		snprintf(text, sizeof(text), "line %u", 2 * LINE_HISTORY - i);
		type("\x1b[A");
		assert_string_equal(line.text, text);
		assert_shown(&line);
	}
	type("\x10"); /* no further */
	assert_string_equal(line.text, text);
	for (u32 i = 0; i <= LINE_HISTORY; i++)
		type("\x1b[B");
	assert_string_equal(line.text, "");
	assert_shown(&line);
}

static void a_line_has_an_end(void **state)
{
	begin();
	for (u32 i = 0; i < 2 * LINE_SIZE; i++)
		type("a");
	assert_int_equal(line.length, LINE_SIZE - 1);
	assert_shown(&line);
}

static void any_bytes_leave_the_line_and_the_terminal_alike(void **state)
{
	static const u8 likely[] = {'a', ' ', '\b', 0x7f, 0x1b, '[', 'A', 'B', 'C', 'D', 'H', '3',
				    '~', 1,   2,    4,    5,    6,   11,  14,  16,  21,  23};

	host_random_seed(1);
	begin();
	for (u32 i = 0; i < 200000; i++) {
		u8 byte = host_random_below(4) ? likely[host_random_below(ARRAY_SIZE(likely))] :
						 (u8)host_random_below(256);
		enum line_event event = line_byte(&line, byte);

		assert_true(line.length < LINE_SIZE && line.cursor <= line.length);
		assert_int_equal(strlen(line.text), line.length);
		if (event == LINE_DONE || event == LINE_CANCELLED) {
			clear();
			line_begin(&line);
		}
		assert_shown(&line);
	}
}

/* --- words ----------------------------------------------------------------------------------- */

static bool name(void *ctx, const char *text, u32 length, u64 *value)
{
	*value = 0x1000;
	return length == 3 && !memcmp(text, "rsp", 3);
}

static void words_are_split_at_blanks(void **state)
{
	char text[] = "  write  10+4 \"two words\" 0f05\t", many[2 * WORDS_MAX + 4];
	struct words w;

	assert_true(words_split(text, &w));
	assert_int_equal(w.count, 4);
	assert_string_equal(w.word[0], "write");
	assert_string_equal(w.word[1], "10+4");
	assert_string_equal(w.word[2], "\"two words");
	assert_string_equal(w.word[3], "0f05");
	for (u32 i = 0; i <= WORDS_MAX; i++)
		memcpy(many + 2 * i, "a ", 3);
	assert_false(words_split(many, &w));
}

static void numbers_are_hexadecimal_sums(void **state)
{
	static const struct {
		const char *text;
		u64 value;
		bool ok;
	} cases[] = {
		{"10", 0x10, true},
		{"0x10", 0x10, true},
		{"rsp", 0x1000, true},
		{"rsp+8-10", 0xff8, true},
		{"ffffffffffffffff", ~0ull, true},
		{"0-1", ~0ull, true},
		{"10000000000000000", 0, false},
		{"", 0, false},
		{"+", 0, false},
		{"1+", 0, false},
		{"zz", 0, false},
		{"0x", 0, false},
		{"rsq", 0, false},
		{"1 2", 0, false},
	};
	u64 value;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(words_number(cases[i].text, name, NULL, &value), cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(value, cases[i].value);
	}
}

static void bytes_are_digits_or_text(void **state)
{
	u8 out[4];

	assert_int_equal(words_bytes("0f05", out, 4), 2);
	assert_int_equal(out[0], 0x0f);
	assert_int_equal(out[1], 0x05);
	assert_int_equal(words_bytes("\"abcd", out, 4), 4);
	assert_memory_equal(out, "abcd", 4);
	assert_int_equal(words_bytes("\"abcde", out, 4), 0);
	assert_int_equal(words_bytes("0102030405", out, 4), 0);
	assert_int_equal(words_bytes("0f0", out, 4), 0);
	assert_int_equal(words_bytes("xx", out, 4), 0);
	assert_int_equal(words_bytes("", out, 4), 0);
}

static void random_lines_are_split_and_read(void **state)
{
	char text[LINE_SIZE];
	struct words w;
	u8 bytes[16];
	u64 value;

	host_random_seed(1);
	for (u32 i = 0; i < 100000; i++) {
		u32 length = host_random_below(LINE_SIZE);

		for (u32 k = 0; k < length; k++)
			text[k] = "0123456789abcdefx+- \t\"rsp~"[host_random_below(26)];
		text[length] = '\0';
		if (!words_split(text, &w))
			continue;
		for (u32 k = 0; k < w.count; k++) {
			assert_true(w.word[k] >= text && w.word[k] + strlen(w.word[k]) <= text + length);
			words_number(w.word[k], name, NULL, &value);
			assert_true(words_bytes(w.word[k], bytes, sizeof(bytes)) <= sizeof(bytes));
		}
	}
}

/* --- formats ----------------------------------------------------------------------------------- */

static void bits_are_named_and_others_told(void **state)
{
	char text[64], small[8];

	format_bits(text, sizeof(text), CR0_PG | CR0_PE, format_cr0);
	assert_string_equal(text, "PG PE");
	format_bits(text, sizeof(text), PTE_NX | PTE_W | PTE_P | BIT(52), format_link);
	assert_string_equal(text, "NX W P +10000000000000");
	format_bits(text, sizeof(text), 0, format_cr0);
	assert_string_equal(text, "");
	format_bits(small, sizeof(small), ~0ull, format_cr4);
	assert_int_equal(strnlen(small, sizeof(small)), sizeof(small) - 1);
}

static void a_dump_shows_what_could_be_read(void **state)
{
	char text[FORMAT_DUMP_SIZE];
	u8 bytes[FORMAT_DUMP_BYTES] = "0123456789abcde";

	format_dump(text, 0x1230, bytes, 16, 16);
	assert_string_equal(
		text, "0000000000001230  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 00  |0123456789abcde.|");
	format_dump(text, ~0ull, bytes, 4, 2);
	assert_string_equal(text, "ffffffffffffffff  30 31 ?? ??                                       |01??|");
}

/* --- pages ---------------------------------------------------------------------------------------- */

static const char *answers;

static u8 answer(void)
{
	return *answers ? (u8)*answers++ : 'q';
}

static u32 lines_shown(const char *keys)
{
	u32 shown = 0;

	clear();
	answers = keys;
	console_init(terminal, answer);
	console_set_page(5);
	console_begin();
	for (; shown < 100 && !console_is_over(); shown++)
		console_printf("%u\n", shown);
	return shown;
}

static void long_answers_come_in_pages(void **state)
{
	assert_int_equal(lines_shown("q"), 4);
	assert_int_equal(lines_shown("\rq"), 5);
	assert_int_equal(lines_shown(" q"), 8);
	assert_int_equal(lines_shown("zz\x03"), 4);
	console_set_page(0);
	console_begin();
	written = 0;
	for (u32 i = 0; i < 1000; i++)
		console_printf("x\n");
	assert_int_equal(written, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_edit_a_line),
		cmocka_unit_test(enter_ends_a_line_once),
		cmocka_unit_test(lines_come_back),
		cmocka_unit_test(a_line_has_an_end),
		cmocka_unit_test(any_bytes_leave_the_line_and_the_terminal_alike),
		cmocka_unit_test(words_are_split_at_blanks),
		cmocka_unit_test(numbers_are_hexadecimal_sums),
		cmocka_unit_test(bytes_are_digits_or_text),
		cmocka_unit_test(random_lines_are_split_and_read),
		cmocka_unit_test(bits_are_named_and_others_told),
		cmocka_unit_test(a_dump_shows_what_could_be_read),
		cmocka_unit_test(long_answers_come_in_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
