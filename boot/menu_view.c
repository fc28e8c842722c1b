/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the menu; see menu_view.h. */
#include "boot/menu_view.h"
#include "boot/details.h"
#include "boot/utf16.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

#define HEAD_ROWS 2u
#define HELP_ROWS 2u
#define COLUMNS_MIN 40u
#define ROWS_MIN 10u
#define NO_ROW UINT32_MAX

/* A row while it is put together; used are its columns. */
struct row {
	char text[VIEW_ROW_BYTES];
	size_t length;
	uint32_t used, columns;
	enum view_look look;
};

/* Unicode's wide characters, as far as a firmware's font may have them: they take two columns. */
static uint32_t width_of(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} wide[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
		    {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(wide); i++)
		if (c >= wide[i].first && c <= wide[i].last)
			return 2;
	return 1;
}

/* Takes the next character; a control character, which would move the cursor, is a question mark. */
static uint32_t next_shown(const char **text)
{
	uint32_t c = utf8_next(text);

	return c < 0x20 || (c >= 0x7f && c < 0xa0) ? '?' : c;
}

static void empty(struct row *row)
{
	row->length = 0;
	row->used = 0;
	row->text[0] = '\0';
}

/* As much of the text as there is room for; returns the rest. */
static const char *put(struct row *row, const char *text)
{
	while (*text) {
		const char *rest = text;
		uint32_t c = next_shown(&rest), width = width_of(c);

		if (row->used + width > row->columns)
			break;
		row->length += utf8_put(row->text + row->length, c);
		row->used += width;
		text = rest;
	}
	row->text[row->length] = '\0';
	return text;
}

static void pad(struct row *row, uint32_t column)
{
	while (row->used < column && row->used < row->columns)
		put(row, " ");
}

uint32_t view_text_columns(const struct menu_view *view)
{
	return view->columns - 1;
}

/* Enough for the longest message, but not more than a third. */
static uint32_t message_rows(const struct menu_view *view)
{
	uint32_t columns = MAX(view_text_columns(view), COLUMNS_MIN - 1);

	return MIN(MENU_MESSAGE_MAX / columns + 1, view->rows / 3);
}

uint32_t view_list_rows(const struct menu_view *view)
{
	return view->rows - HEAD_ROWS - HELP_ROWS - message_rows(view) - 1;
}

void view_init(struct menu_view *view, const struct view_surface *surface, void *context,
	       uint32_t columns, uint32_t rows)
{
	memset(view, 0, sizeof(*view));
	view->surface = surface;
	view->context = context;
	view->columns =
		MIN(columns ? MAX(columns, COLUMNS_MIN) : VIEW_COLUMNS_USUAL, VIEW_COLUMNS_MAX);
	view->rows = MIN(rows ? MAX(rows, ROWS_MIN) : VIEW_ROWS_USUAL, VIEW_ROWS_MAX);
	view->cursor_row = NO_ROW - 1; /* so that the first drawing hides it */
}

/* --- the list --- */

static void put_head(struct row *row, const struct menu *menu)
{
	static const char *const heads[] = {
		[MENU_LIST] = "Umbra boot menu",
		[MENU_EDIT_OPTIONS] = "The command line of ",
		[MENU_EDIT_UMBRA] = "The line \"umbra\" of ",
		[MENU_DETAILS] = "The entry ",
	};
	char number[32];

	row->look = LOOK_BRIGHT;
	put(row, heads[menu->mode]);
	if (menu->mode != MENU_LIST) {
		put(row, menu->entries[menu_chosen(menu)]->title);
		return;
	}
	snprintf(number, sizeof(number), "%u of %u", menu->shown_count ? menu->at + 1 : 0,
		 menu->shown_count);
	pad(row, row->columns - (uint32_t)strlen(number));
	put(row, number);
}

/* What is searched for, or how long there is time for it. */
static void put_search(struct row *row, const struct menu *menu)
{
	char text[sizeof(((struct boot_entry *)0)->title) + 64];

	if (menu->seconds) {
		snprintf(text, sizeof(text), "umbra: booting \"%s\" in %u s, any key for the menu",
			 menu->entries[menu_chosen(menu)]->title, menu->seconds);
		put(row, text);
	}
	if (menu->mode != MENU_LIST || !menu->search[0])
		return;
	put(row, "Search: ");
	put(row, menu->search);
	put(row, "_");
}

static void put_entry(struct row *row, const struct menu *menu, uint32_t n)
{
	const struct boot_entry *entry;

	if (n >= menu->shown_count)
		return;
	entry = menu->entries[menu->shown[n]];
	row->look = n == menu->at ? LOOK_CHOSEN : entry->broken ? LOOK_PLAIN : LOOK_BRIGHT;
	put(row, n == menu->at ? "> " : "  ");
	put(row, entry->title);
	if (!entry->broken)
		return;
	put(row, "  (");
	if (entry->efi_program)
		put(row, ENTRY_EFI_PROGRAM);
	else if (entry->other_architecture)
		put(row, "is for another architecture");
	else
		put(row, entry->error.text);
	put(row, ")");
}

/* --- a line that is edited: it goes on from row to row --- */

/* Where the byte at of the text is shown, in rows from the text's first. */
static void place_of(const struct menu *menu, size_t at, uint32_t columns, uint32_t *row,
		     uint32_t *column)
{
	const char *p = menu->text;

	*row = 0;
	*column = 0;
	while (*p) {
		const char *here = p;
		uint32_t width = width_of(next_shown(&p));

		if (*column + width > columns) {
			*column = 0;
			++*row;
		}
		if (here >= menu->text + at)
			return;
		*column += width;
	}
	if (*column == columns) {
		*column = 0;
		++*row;
	}
}

static void put_edited(struct row *row, const struct menu *menu, uint32_t n)
{
	const char *text = put(row, menu->text);

	row->look = LOOK_BRIGHT;
	while (n) {
		empty(row);
		if (!*text)
			return;
		text = put(row, text);
		n--;
	}
}

/* --- below --- */

static void put_help(struct row *row, const struct menu *menu, uint32_t n)
{
	static const char *const help[][HELP_ROWS] = {
		[MENU_LIST] = {"Enter boots. Type to search. F2/^E command line, F3/^U umbra line,",
			       "F4/^D details, F7/^F firmware set-up, F8/^R restart, F9/^O off, Esc leave"},
		[MENU_EDIT_OPTIONS] = {"Enter keeps the line, F10/^X boots with it, Esc takes it back.",
				       "^A/^E start/end, ^U/^K delete to start/end, ^W a word"},
		[MENU_EDIT_UMBRA] = {"Enter keeps the line, F10/^X boots with it, Esc takes it back.",
				     "^A/^E start/end, ^U/^K delete to start/end, ^W a word"},
		[MENU_DETAILS] = {"Arrows and Page Up/Down scroll, Esc goes back.", ""},
	};

	put(row, help[menu->mode][n]);
}

static void make_message(const struct menu *menu, char *text, size_t size)
{
	uint32_t chosen = menu_chosen(menu);

	text[0] = '\0';
	if (menu->message[0])
		snprintf(text, size, "%s", menu->message);
	else if (menu->mode == MENU_LIST && chosen == menu->count)
		snprintf(text, size, "Nothing matches; Esc clears the search.");
	else if (menu->mode == MENU_LIST && menu->entries[chosen]->broken)
		snprintf(text, size, "%s", menu->entries[chosen]->error.text);
}

static void put_message(struct row *row, const struct menu *menu, uint32_t n)
{
	char message[MENU_MESSAGE_MAX];
	const char *text = message;

	make_message(menu, message, sizeof(message));
	row->look = menu->message[0] ? LOOK_BRIGHT : LOOK_PLAIN;
	for (text = put(row, text); n; n--) {
		empty(row);
		text = put(row, text);
	}
}

static void put_body(struct row *row, const struct menu_view *view, const struct menu *menu,
		     uint32_t n)
{
	char line[VIEW_ROW_BYTES];

	switch (menu->mode) {
	case MENU_LIST: put_entry(row, menu, view->top + n); break;
	case MENU_DETAILS:
		if (details_line(menu->entries[menu_chosen(menu)], menu->details_top + n,
				 menu->columns, line, sizeof(line)))
			put(row, line);
		break;
	default: put_edited(row, menu, view->top + n);
	}
}

static void compose(struct row *row, const struct menu_view *view, const struct menu *menu, uint32_t n)
{
	uint32_t list = view_list_rows(view), help = view->rows - HELP_ROWS;

	empty(row);
	row->columns = view_text_columns(view);
	row->look = LOOK_PLAIN;
	if (n == 0)
		put_head(row, menu);
	else if (n == 1)
		put_search(row, menu);
	else if (n < HEAD_ROWS + list)
		put_body(row, view, menu, n - HEAD_ROWS);
	else if (n >= help)
		put_help(row, menu, n - help);
	else if (n > HEAD_ROWS + list)
		put_message(row, menu, n - HEAD_ROWS - list - 1);
	pad(row, row->columns);
}

/* FNV-1a, never 0. */
static uint64_t number_of(const struct row *row)
{
	uint64_t number = (0xcbf29ce484222325ull ^ (uint64_t)row->look) * 0x100000001b3ull;
	size_t i;

	for (i = 0; i < row->length; i++)
		number = (number ^ (uint8_t)row->text[i]) * 0x100000001b3ull;
	return number | 1;
}

/* Row n of the list or the text is to be seen, of count. */
static void scroll(struct menu_view *view, uint32_t n, uint32_t count)
{
	uint32_t rows = view_list_rows(view);

	if (n < view->top)
		view->top = n;
	if (n >= view->top + rows)
		view->top = n - rows + 1;
	if (view->top + rows > count)
		view->top = count > rows ? count - rows : 0;
}

static void place_cursor(struct menu_view *view, uint32_t row, uint32_t column)
{
	if (row == view->cursor_row && column == view->cursor_column)
		return;
	view->cursor_row = row;
	view->cursor_column = column;
	view->surface->cursor(view->context, row, column);
}

void view_draw(struct menu_view *view, const struct menu *menu)
{
	static struct row row; /* too large for a small stack */
	uint32_t cursor_row = 0, cursor_column = 0, end_row, end_column, i;
	bool edits = menu->mode == MENU_EDIT_OPTIONS || menu->mode == MENU_EDIT_UMBRA;

	if (edits) {
		place_of(menu, menu->edit.at, view_text_columns(view), &cursor_row, &cursor_column);
		place_of(menu, menu->edit.length, view_text_columns(view), &end_row, &end_column);
		scroll(view, cursor_row, end_row + 1);
	} else {
		scroll(view, menu->at, menu->shown_count);
	}
	for (i = 0; i < view->rows; i++) {
		compose(&row, view, menu, i);
		if (number_of(&row) == view->drawn[i])
			continue;
		view->drawn[i] = number_of(&row);
		view->cursor_row = NO_ROW - 1; /* drawing moves it */
		view->surface->row(view->context, i, row.look, row.text);
	}
	if (edits)
		place_cursor(view, HEAD_ROWS + cursor_row - view->top, cursor_column);
	else
		place_cursor(view, NO_ROW, 0);
}
