/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot menu on a screen that is an array: what keys do to it, that it is drawn
 * once and then only where it changes, that nothing leaves the screen, whatever its
 * size. Beside it the line editor against a naive one, and a terminal's bytes as keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/details.h"
#include "boot/menu_view.h"
#include "boot/utf16.h"
#include "tests/unit/rng.h"

#define F(n) (KEY_F1 + (n)-1)

static struct boot_entry storage[ENTRY_LIST_MAX];
static struct boot_entry *entries[ENTRY_LIST_MAX];
static uint32_t count;
static struct menu menu;
static struct menu_view view;

/* What is seen, and how much was drawn since last looked at. */
static struct {
	char rows[VIEW_ROWS_MAX][VIEW_ROW_BYTES];
	enum view_look looks[VIEW_ROWS_MAX];
	uint32_t drawn;
	uint32_t cursor_row, cursor_column;
} screen;

static uint32_t length_of(const char *text)
{
	uint32_t n = 0;

	while (*text) {
		utf8_next(&text);
		n++;
	}
	return n;
}

static void draw_row(void *context, uint32_t row, enum view_look look, const char *text)
{
	assert_ptr_equal(context, &screen);
	assert_true(row < view.rows);
	assert_true(length_of(text) <= view.columns - 1);
	assert_null(strpbrk(text, "\n\r\033"));
	strcpy(screen.rows[row], text);
	screen.looks[row] = look;
	screen.drawn++;
}

static void put_cursor(void *context, uint32_t row, uint32_t column)
{
	assert_true(row == UINT32_MAX || (row < view.rows && column < view.columns));
	screen.cursor_row = row;
	screen.cursor_column = column;
}

static const struct view_surface surface = {draw_row, put_cursor};

static struct boot_entry *add(const char *id, const char *text)
{
	struct boot_entry *entry = &storage[count];

	entry_parse(entry, id, text, strlen(text));
	entries[count++] = entry;
	return entry;
}

static uint32_t draw(void)
{
	screen.drawn = 0;
	view_draw(&view, &menu);
	return screen.drawn;
}

static void begin(uint32_t preset, uint32_t columns, uint32_t rows)
{
	memset(&screen, 0, sizeof(screen));
	menu_init(&menu, entries, count, preset);
	menu.may_edit = true;
	view_init(&view, &surface, &screen, columns, rows);
	menu.columns = view_text_columns(&view);
	menu.page = view_list_rows(&view);
}

static int set_up(void **state)
{
	count = 0;
	add("debian.conf", "title Debian GNU/Linux 12\nlinux /k\noptions root=/dev/sda1 ro\numbra loglevel=info\n");
	add("fedora.conf", "title Fedora\nversion 41\nlinux /f\ninitrd /i\n");
	add("groesse.conf", "title Größe\nlinux /g\n");
	add("broken.conf", "title Broken\nlinux /k\ncolour blue\n");
	add("program.conf", "title Program\nefi /EFI/x.efi\n");
	add("arm.conf", "title Arm\nlinux /k\narchitecture aa64\n");
	begin(0, 80, 25);
	return 0;
}

static enum menu_action press(uint32_t key)
{
	enum menu_action action = menu_key(&menu, key);

	draw();
	return action;
}

static void type(const char *text)
{
	while (*text)
		assert_int_equal(press(utf8_next(&text)), MENU_STAY);
}

/* The row that has this text, or -1. */
static int row_with(const char *text)
{
	for (uint32_t i = 0; i < view.rows; i++)
		if (strstr(screen.rows[i], text))
			return (int)i;
	return -1;
}

static const char *chosen(void)
{
	return menu_chosen(&menu) < count ? entries[menu_chosen(&menu)]->id : "none";
}

static void it_is_drawn_once_and_then_where_it_changes(void **state)
{
	assert_int_equal(draw(), 25);
	assert_int_equal(draw(), 0);
	assert_int_equal(screen.looks[2], LOOK_CHOSEN);
	assert_int_equal(screen.looks[3], LOOK_BRIGHT);
	assert_non_null(strstr(screen.rows[2], "> Debian GNU/Linux 12"));
	assert_int_equal(menu_key(&menu, KEY_DOWN), MENU_STAY);
	assert_int_equal(draw(), 3); /* two entries and the number on top */
	assert_int_equal(screen.looks[2], LOOK_BRIGHT);
	assert_int_equal(screen.looks[3], LOOK_CHOSEN);
	menu_key(&menu, KEY_UP);
	menu_key(&menu, KEY_DOWN);
	assert_int_equal(draw(), 0);
	assert_int_equal(screen.cursor_row, UINT32_MAX);
}

static void arrows_and_pages_go_through_the_list(void **state)
{
	press(KEY_UP);
	assert_string_equal(chosen(), "arm.conf");
	press(KEY_DOWN);
	assert_string_equal(chosen(), "debian.conf");
	press(KEY_END);
	assert_string_equal(chosen(), "arm.conf");
	press(KEY_HOME);
	assert_string_equal(chosen(), "debian.conf");
	press(KEY_PAGE_DOWN);
	assert_string_equal(chosen(), "arm.conf");
	press(KEY_PAGE_UP);
	assert_string_equal(chosen(), "debian.conf");
}

static void a_long_list_scrolls_and_the_chosen_one_is_always_seen(void **state)
{
	char name[32], text[64];
	uint32_t rows;

	for (int i = 0; count < ENTRY_LIST_MAX; i++) {
		snprintf(name, sizeof(name), "more%02d.conf", i);
		snprintf(text, sizeof(text), "title More %02d\nlinux /k\n", i);
		add(name, text);
	}
	begin(0, 80, 25);
	rows = view_list_rows(&view);
	assert_in_range(rows, 12, 20);
	draw();
	for (uint32_t i = 1; i < count; i++) {
		press(KEY_DOWN);
		assert_true(row_with(entries[i]->title) >= 0);
		assert_int_equal(screen.looks[row_with(entries[i]->title)], LOOK_CHOSEN);
	}
	assert_int_equal(row_with("Debian"), -1);
	press(KEY_PAGE_UP);
	assert_int_equal(menu_chosen(&menu), count - 1 - rows);
	press(KEY_HOME);
	assert_int_equal(row_with("> Debian"), 2);
	assert_true(row_with("1 of 64") == 0);
}

static void enter_boots_what_can_be_booted(void **state)
{
	assert_int_equal(press(KEY_ENTER), MENU_BOOT);
	press(KEY_DOWN);
	assert_int_equal(press(KEY_ENTER), MENU_BOOT);
	assert_string_equal(chosen(), "fedora.conf");
}

static void a_broken_entry_says_why_and_the_menu_stays(void **state)
{
	begin(3, 80, 25);
	draw();
	assert_true(row_with("> Broken  (/loader/entries/broken.conf line 3: unknown key") == 5);
	assert_int_equal(press(KEY_ENTER), MENU_STAY);
	assert_true(row_with("error: /loader/entries/broken.conf line 3: unknown key \"colour\"; correct") > 10);
	press(KEY_UP);
	assert_int_equal(row_with("error: "), -1);
	assert_int_equal(press(KEY_ENTER), MENU_BOOT);
}

static void what_is_for_others_is_grey_with_its_reason(void **state)
{
	draw();
	assert_int_equal(row_with("  Program  (starts an EFI program, which cannot run under Umbra)"), 6);
	assert_int_equal(screen.looks[6], LOOK_PLAIN);
	assert_int_equal(row_with("  Arm  (is for another architecture)"), 7);
	assert_int_equal(screen.looks[7], LOOK_PLAIN);
	press(KEY_END);
	assert_true(row_with("arm.conf is for another architecture; Umbra boots x64 alone") > 10);
	assert_int_equal(press(KEY_ENTER), MENU_STAY);
	assert_int_equal(press(F(2)), MENU_STAY);
	assert_int_equal(menu.mode, MENU_LIST);
	assert_true(row_with("error: /loader/entries/arm.conf is for another") > 10);
}

static void typing_searches_titles_and_names(void **state)
{
	type("fed");
	assert_string_equal(chosen(), "fedora.conf");
	assert_int_equal(row_with("Search: fed_"), 1);
	assert_int_equal(row_with("Debian"), -1);
	assert_int_equal(row_with("1 of 1"), 0);
	press(KEY_BACKSPACE);
	press(KEY_DELETE); /* what many a terminal sends for Backspace */
	assert_int_equal(row_with("Search: f_"), 1);
	type("zz");
	assert_string_equal(chosen(), "none");
	assert_true(row_with("Nothing matches") > 0);
	assert_int_equal(press(KEY_ENTER), MENU_STAY);
	assert_int_equal(press(F(4)), MENU_STAY);
	assert_int_equal(menu.mode, MENU_LIST);
	assert_int_equal(press(KEY_UP), MENU_STAY);
	assert_int_equal(press(KEY_ESC), MENU_STAY);
	assert_int_equal(menu.shown_count, count);
	type("größe");
	assert_string_equal(chosen(), "groesse.conf");
	press(KEY_ESC);
	assert_string_equal(chosen(), "groesse.conf"); /* still, in the whole list */
	type("LINUX conf deb");
	assert_string_equal(chosen(), "debian.conf");
	assert_int_equal(press(KEY_ENTER), MENU_BOOT);
	press(KEY_ESC);
	assert_int_equal(press(KEY_ESC), MENU_LEAVE);
}

static void a_search_that_is_too_long_takes_no_more(void **state)
{
	for (int i = 0; i < 200; i++)
		type("ö");
	assert_int_equal(strlen(menu.search), sizeof(menu.search) - 2);
}

static void the_countdown_ends_in_the_boot_or_with_a_key(void **state)
{
	menu.seconds = 3;
	draw();
	assert_int_equal(row_with("umbra: booting \"Debian GNU/Linux 12\" in 3 s, any key for the menu"), 1);
	assert_int_equal(menu_second(&menu), MENU_STAY);
	assert_int_equal(draw(), 1);
	assert_int_equal(row_with("in 2 s"), 1);
	assert_int_equal(menu_second(&menu), MENU_STAY);
	assert_int_equal(menu_second(&menu), MENU_BOOT);
	menu.seconds = 1;
	press(KEY_DOWN);
	assert_int_equal(menu_second(&menu), MENU_STAY);
	assert_int_equal(row_with("any key"), -1);
}

static void a_broken_default_is_told_of_when_its_time_has_come(void **state)
{
	begin(3, 80, 25);
	menu.seconds = 1;
	assert_int_equal(menu_second(&menu), MENU_STAY);
	draw();
	assert_true(row_with("error: /loader/entries/broken.conf") > 10);
}

static void the_command_line_is_edited_for_this_start(void **state)
{
	assert_int_equal(press(F(2)), MENU_STAY);
	assert_int_equal(menu.mode, MENU_EDIT_OPTIONS);
	assert_int_equal(row_with("The command line of Debian GNU/Linux 12"), 0);
	assert_int_equal(row_with("root=/dev/sda1 ro"), 2);
	assert_int_equal(screen.cursor_row, 2);
	assert_int_equal(screen.cursor_column, 17);
	type(" quiet ü");
	press(KEY_ESC);
	assert_string_equal(entries[0]->options, "root=/dev/sda1 ro");
	press(KEY_CTRL('e'));
	type(" quiet ü");
	press(KEY_ENTER);
	assert_int_equal(menu.mode, MENU_LIST);
	assert_string_equal(entries[0]->options, "root=/dev/sda1 ro quiet ü");
	assert_true(row_with("Changed for this start alone") > 0);
	assert_int_equal(screen.cursor_row, UINT32_MAX);
	press(F(2));
	press(KEY_CTRL('u'));
	assert_int_equal(press(F(10)), MENU_BOOT);
	assert_string_equal(entries[0]->options, "");
}

static void the_umbra_line_is_checked_before_it_is_kept(void **state)
{
	press(F(3));
	assert_int_equal(menu.mode, MENU_EDIT_UMBRA);
	type(" colour=blue");
	press(KEY_ENTER);
	assert_int_equal(menu.mode, MENU_EDIT_UMBRA);
	assert_true(row_with("error: unknown umbra option \"colour=blue\"") > 0);
	assert_int_equal(press(KEY_CTRL('x')), MENU_STAY);
	press(KEY_CTRL('w'));
	type("bare");
	assert_int_equal(press(KEY_CTRL('x')), MENU_BOOT);
	assert_string_equal(entries[0]->umbra, "loglevel=info bare");
}

static void where_editing_is_off_no_line_is_changed(void **state)
{
	menu.may_edit = false;
	press(F(2));
	assert_int_equal(menu.mode, MENU_LIST);
	assert_true(row_with("Editing is switched off in loader.conf") > 0);
	press(F(3));
	assert_int_equal(menu.mode, MENU_LIST);
}

/* Of its rows the one with the cursor is seen, and the cursor stands at its character. */
static void a_long_line_is_edited_over_several_rows(void **state)
{
	char *options = entries[0]->options;

	for (uint32_t i = 0; i < sizeof(entries[0]->options) - 1; i++)
		options[i] = (char)('a' + i / 79 % 26);
	options[sizeof(entries[0]->options) - 1] = '\0';
	press(F(2));
	type("x"); /* no room */
	assert_int_equal(strlen(menu.text), sizeof(menu.text) - 1);
	assert_int_equal(screen.cursor_column, 4095 % 79);
	assert_int_equal(screen.rows[screen.cursor_row][0], 'a' + 4095 / 79 % 26);
	press(KEY_HOME);
	assert_int_equal(screen.cursor_row, 2);
	assert_int_equal(screen.rows[2][0], 'a');
	assert_int_equal(screen.rows[2][78], 'a');
	for (uint32_t i = 0; i < 79; i++)
		press(KEY_RIGHT);
	assert_int_equal(screen.cursor_row, 3);
	assert_int_equal(screen.cursor_column, 0);
	assert_int_equal(screen.rows[3][0], 'b');
}

static void details_tell_every_key_and_scroll(void **state)
{
	char text[6000] = "title T\nversion 7\nmachine-id abc\nsort-key deb\nforce\nacpi /a.aml /b.aml\numbra bare\n"
			  "multiboot /mb one\nmodule /m1 first\nmodule /m2\noptions ";
	static const char *const seen[] = {"title         T",
					   "file          full+2-1.conf",
					   "version       7",
					   "machine-id    abc",
					   "sort-key      deb",
					   "2 left, 1 done",
					   "multiboot     /mb",
					   "module        /m1",
					   "              first",
					   "acpi          /b.aml",
					   "umbra         bare",
					   "force         over",
					   "that Umbra was started from"};
	char line[VIEW_ROW_BYTES];
	uint32_t lines;

	memset(text + strlen(text), 'o', 3000);
	add("full+2-1.conf", text);
	begin(count - 1, 80, 25);
	lines = details_count(entries[count - 1], 79);
	for (uint32_t k = 0; k < sizeof(seen) / sizeof(seen[0]); k++) {
		uint32_t i = 0;

		while (i < lines && details_line(entries[count - 1], i, 79, line, sizeof(line)) &&
		       !strstr(line, seen[k]))
			i++;
		if (i == lines)
			fail_msg("no line has \"%s\"", seen[k]);
	}
	assert_false(details_line(entries[count - 1], lines, 79, line, sizeof(line)));
	press(F(4));
	assert_int_equal(row_with("The entry T"), 0);
	assert_int_equal(row_with("title         T"), 2);
	press(KEY_PAGE_DOWN);
	assert_int_equal(row_with("title         T"), -1);
	press(KEY_END);
	press(KEY_DOWN);
	assert_true(row_with("force         over") > 2);
	press(KEY_HOME);
	assert_int_equal(row_with("title         T"), 2);
	press(KEY_ESC);
	assert_int_equal(menu.mode, MENU_LIST);
	begin(3, 80, 25);
	press(KEY_CTRL('d'));
	assert_int_equal(row_with("error         /loader/entries/broken.conf line 3"), 2);
}

static void keys_leave_for_the_firmware_restart_and_power_off(void **state)
{
	static const struct {
		uint32_t function, control;
		enum menu_action action;
	} cases[] = {{F(7), KEY_CTRL('f'), MENU_SETUP},
		     {F(8), KEY_CTRL('r'), MENU_REBOOT},
		     {F(9), KEY_CTRL('o'), MENU_POWER_OFF}};

	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(press(cases[i].function), cases[i].action);
		assert_int_equal(press(cases[i].control), cases[i].action);
	}
	assert_int_equal(press(F(12)), MENU_STAY);
	assert_int_equal(press(KEY_INSERT), MENU_STAY);
	assert_int_equal(press(KEY_CTRL('y')), MENU_STAY);
	assert_int_equal(press(KEY_NONE), MENU_STAY);
}

/* draw_row() judges. */
static void no_size_of_a_screen_draws_beyond_it(void **state)
{
	static const uint32_t columns[] = {0, 1, 40, 79, 80, 100, 132, 240, 300, 100000};
	static const uint32_t rows[] = {0, 1, 9, 10, 24, 25, 31, 67, 120, 500, 100000};
	static const uint32_t keys[] = {KEY_END, 'o', KEY_ENTER, F(2), 'x', KEY_ESC, F(4), KEY_END, KEY_ESC};

	add("long.conf",
	    "title \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xff\x01 0123456789"
	    "01234567890123456789012345678901234567890123456789012345678901234567890123456789\nlinux /k\n");
	for (uint32_t c = 0; c < 10; c++) {
		for (uint32_t r = 0; r < 11; r++) {
			begin(0, columns[c], rows[r]);
			assert_true(view_list_rows(&view) >= 1 && view_list_rows(&view) < view.rows);
			menu_say(&menu, "%0300d", 7);
			assert_int_equal(draw(), view.rows);
			for (uint32_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
				press(keys[k]);
		}
	}
	begin(0, 0, 0);
	assert_int_equal(view.columns, 80);
	assert_int_equal(view.rows, 24);
}

static void any_keys_at_all_leave_the_menu_sane(void **state)
{
	static const uint32_t special[] = {KEY_UP,        KEY_DOWN,      KEY_LEFT, KEY_RIGHT,     KEY_HOME,
					   KEY_END,       KEY_DELETE,    KEY_ESC,  KEY_PAGE_DOWN, KEY_PAGE_UP,
					   KEY_ENTER,     F(2),          F(3),     F(4),          KEY_BACKSPACE,
					   KEY_CTRL('u'), KEY_CTRL('w'), F(10)};
	struct rng seed;

	rng_seed(&seed, 1);
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t r = (uint32_t)rng_next(&seed);

		press(r % 3 ? special[r / 3 % (sizeof(special) / sizeof(special[0]))] : r >> 8 & 0x1fffff);
		assert_true(menu.shown_count == 0 || menu.at < menu.shown_count);
		assert_true(menu.edit.at <= menu.edit.length || menu.mode == MENU_LIST || menu.mode == MENU_DETAILS);
		if (menu.mode == MENU_EDIT_OPTIONS || menu.mode == MENU_EDIT_UMBRA) {
			assert_int_equal(strlen(menu.text), menu.edit.length);
			assert_true(menu.edit.length < menu.edit.size);
		}
	}
}

/* --- the line editor, beside one that keeps an array of characters --- */

static struct {
	uint32_t c[32];
	uint32_t length, at;
} naive;

static bool naive_cut(uint32_t from, uint32_t to)
{
	if (from >= to)
		return false;
	memmove(naive.c + from, naive.c + to, (naive.length - to) * sizeof(naive.c[0]));
	naive.length -= to - from;
	naive.at = from;
	return true;
}

static bool naive_key(uint32_t key, uint32_t room)
{
	uint32_t at = naive.at, bytes = 0;
	char to[4];

	switch (key) {
	case KEY_LEFT: naive.at -= !!at; return at != naive.at;
	case KEY_RIGHT: naive.at += at < naive.length; return at != naive.at;
	case KEY_HOME: naive.at = 0; return at != 0;
	case KEY_END: naive.at = naive.length; return at != naive.length;
	case KEY_BACKSPACE: return at && naive_cut(at - 1, at);
	case KEY_DELETE: at -= at == naive.length && at; return naive.length && naive_cut(at, at + 1);
	case KEY_CTRL('d'): return at < naive.length && naive_cut(at, at + 1);
	case KEY_CTRL('k'): return naive_cut(at, naive.length);
	case KEY_CTRL('u'): return naive_cut(0, at);
	case KEY_CTRL('w'):
		while (at && naive.c[at - 1] == ' ')
			at--;
		while (at && naive.c[at - 1] != ' ')
			at--;
		return naive_cut(at, naive.at);
	}
	for (uint32_t i = 0; i < naive.length; i++)
		bytes += utf8_put(to, naive.c[i]);
	if (bytes + utf8_put(to, key) >= room)
		return false;
	memmove(naive.c + at + 1, naive.c + at, (naive.length - at) * sizeof(naive.c[0]));
	naive.c[at] = key;
	naive.length++;
	naive.at++;
	return true;
}

static void the_line_editor_does_what_a_naive_one_does(void **state)
{
	static const uint32_t keys[] = {
		KEY_LEFT,      KEY_RIGHT,     KEY_HOME,      KEY_END,       KEY_BACKSPACE, KEY_DELETE,
		KEY_CTRL('d'), KEY_CTRL('k'), KEY_CTRL('u'), KEY_CTRL('w'), 'a',           ' ',
		'b',           0xfc,          0x20ac,        0x1f600,       'c',           'd'};
	char text[32] = "", wanted[64];
	struct line_edit edit;
	struct rng seed;

	memset(&naive, 0, sizeof(naive));
	line_edit_init(&edit, text, sizeof(text));
	rng_seed(&seed, 1);
	for (uint32_t i = 0; i < 50000; i++) {
		uint32_t key = keys[rng_next(&seed) % (sizeof(keys) / sizeof(keys[0]))], n = 0, at = 0;

		if (key >= KEY_CTRL('d') && key < ' ' && key != KEY_BACKSPACE && rng_next(&seed) % 4)
			continue; /* or the text stays short */
		assert_int_equal(line_edit_key(&edit, key), naive_key(key, sizeof(text)));
		for (uint32_t k = 0; k < naive.length; k++) {
			n += utf8_put(wanted + n, naive.c[k]);
			if (k + 1 == naive.at)
				at = n;
		}
		wanted[n] = '\0';
		assert_string_equal(text, wanted);
		assert_int_equal(edit.at, at);
		assert_int_equal(edit.length, n);
	}
	assert_false(line_edit_key(&edit, KEY_UP));
	assert_false(line_edit_key(&edit, '\t'));
	assert_false(line_edit_key(&edit, 0xd800));
}

static void bytes_that_are_no_utf8_are_edited_one_by_one(void **state)
{
	char text[16] = "a\xff\xc3z";
	struct line_edit edit;

	line_edit_init(&edit, text, sizeof(text));
	assert_true(line_edit_key(&edit, KEY_LEFT));
	assert_true(line_edit_key(&edit, KEY_BACKSPACE));
	assert_string_equal(text, "a\xffz");
	assert_true(line_edit_key(&edit, KEY_BACKSPACE));
	assert_string_equal(text, "az");
}

/* --- a terminal's bytes --- */

static uint32_t decode(const char *bytes)
{
	struct key_decoder decoder = {.count = 0};
	uint32_t key = KEY_NONE;

	for (; *bytes; bytes++) {
		assert_int_equal(key, KEY_NONE);
		key = key_decode(&decoder, (uint8_t)*bytes);
	}
	return key ? key : key_decode_end(&decoder);
}

static void a_terminals_bytes_become_keys(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t key;
	} cases[] = {
		{"a", 'a'},
		{"\r", KEY_ENTER},
		{"\n", KEY_ENTER},
		{"\x7f", KEY_BACKSPACE},
		{"\b", KEY_BACKSPACE},
		{"\x05", KEY_CTRL('e')},
		{"\033", KEY_ESC},
		{"\033[A", KEY_UP},
		{"\033OB", KEY_DOWN},
		{"\033[C", KEY_RIGHT},
		{"\033[1;5D", KEY_LEFT},
		{"\033[H", KEY_HOME},
		{"\033OF", KEY_END},
		{"\033[1~", KEY_HOME},
		{"\033[4~", KEY_END},
		{"\033[2~", KEY_INSERT},
		{"\033[3~", KEY_DELETE},
		{"\033[5~", KEY_PAGE_UP},
		{"\033[6~", KEY_PAGE_DOWN},
		{"\033OP", F(1)},
		{"\033[12~", F(2)},
		{"\033OR", F(3)},
		{"\033[14~", F(4)},
		{"\033[15~", F(5)},
		{"\033[18~", F(7)},
		{"\033[19~", F(8)},
		{"\033[20~", F(9)},
		{"\033[21;2~", F(10)},
		{"\033[24~", F(12)},
		{"\033[[B", F(2)},
		{"\303\274", 0xfc},
		{"\342\202\254", 0x20ac},
		{"\360\237\230\200", 0x1f600},
		{"\377", KEY_NONE},
		{"\200", KEY_NONE},
		{"\300\200", KEY_NONE},
		{"\033[99~", KEY_NONE},
		{"\033[Z", KEY_NONE},
		{"\033x", KEY_NONE},
		{"\303", KEY_NONE},
		{"\303a", 'a'},
		{"\033\033", KEY_ESC},
		{"\033[", KEY_NONE},
		{"\033[3333333333333~", KEY_NONE},
		{"\355\240\200", KEY_NONE},
		{"\302\205", KEY_NONE},
	};

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (decode(cases[i].bytes) != cases[i].key)
			fail_msg("case %u is %x, not %x", i, decode(cases[i].bytes), cases[i].key);
}

static void noise_on_the_line_is_survived_and_does_not_block_it(void **state)
{
	struct key_decoder decoder = {.count = 0};
	struct rng seed;

	rng_seed(&seed, 1);
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t r = (uint32_t)rng_next(&seed);

		key_decode(&decoder, r % 5 ? (uint8_t)(r >> 8) : (uint8_t) "\033[;O~"[r >> 8 & 3]);
		assert_true(decoder.count <= sizeof(decoder.bytes));
	}
	key_decode_end(&decoder);
	assert_int_equal(key_decode(&decoder, 'q'), 'q');
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_drawn_once_and_then_where_it_changes),
		TEST(arrows_and_pages_go_through_the_list),
		TEST(a_long_list_scrolls_and_the_chosen_one_is_always_seen),
		TEST(enter_boots_what_can_be_booted),
		TEST(a_broken_entry_says_why_and_the_menu_stays),
		TEST(what_is_for_others_is_grey_with_its_reason),
		TEST(typing_searches_titles_and_names),
		TEST(a_search_that_is_too_long_takes_no_more),
		TEST(the_countdown_ends_in_the_boot_or_with_a_key),
		TEST(a_broken_default_is_told_of_when_its_time_has_come),
		TEST(the_command_line_is_edited_for_this_start),
		TEST(the_umbra_line_is_checked_before_it_is_kept),
		TEST(where_editing_is_off_no_line_is_changed),
		TEST(a_long_line_is_edited_over_several_rows),
		TEST(details_tell_every_key_and_scroll),
		TEST(keys_leave_for_the_firmware_restart_and_power_off),
		TEST(no_size_of_a_screen_draws_beyond_it),
		TEST(any_keys_at_all_leave_the_menu_sane),
		TEST(the_line_editor_does_what_a_naive_one_does),
		TEST(bytes_that_are_no_utf8_are_edited_one_by_one),
		TEST(a_terminals_bytes_become_keys),
		TEST(noise_on_the_line_is_survived_and_does_not_block_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
