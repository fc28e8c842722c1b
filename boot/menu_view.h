/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Draws the menu as rows of text on a screen of any size, and again only the rows
 * that have changed. Where it is drawn is a table of functions. Pure but for them.
 *
 *	Umbra boot menu                                  2 of 40
 *	Search: debian_
 *	> Debian GNU/Linux 12                                     the list, or a line
 *	  Program  (starts an EFI program, ...)                   that is edited, or
 *	                                                          the details
 *	error: ...                                                what there is to say
 *	Enter boots, type to search, ...                          keys
 */
#ifndef BOOT_MENU_VIEW_H
#define BOOT_MENU_VIEW_H

#include "boot/menu_model.h"

#define VIEW_COLUMNS_MAX 240u
#define VIEW_ROWS_MAX 120u
/* Where nobody knows how large the screen is, and what a serial line's terminal has. */
#define VIEW_COLUMNS_USUAL 80u
#define VIEW_ROWS_USUAL 24u
#define VIEW_ROW_BYTES (4 * VIEW_COLUMNS_MAX + 1)

enum view_look {
	LOOK_PLAIN, /* also of an entry that cannot be booted: grey beside the others */
	LOOK_BRIGHT,
	LOOK_CHOSEN,
};

/* What a screen does. */
struct view_surface {
	/* Draws the whole row: text, in UTF-8, is as long as the row but for its last column. */
	void (*row)(void *context, uint32_t row, enum view_look look, const char *text);
	/* Puts the cursor there, or hides it (row UINT32_MAX). */
	void (*cursor)(void *context, uint32_t row, uint32_t column);
};

struct menu_view {
	const struct view_surface *surface;
	void *context;
	uint32_t columns, rows;
	uint32_t top; /* the first row of the list or of the edited line that is seen */
	uint64_t drawn[VIEW_ROWS_MAX]; /* what each row shows, as a number; 0: not known */
	uint32_t cursor_row, cursor_column;
};

/* A size of 0 is one that is not known. The screen is empty. */
void view_init(struct menu_view *view, const struct view_surface *surface, void *context,
	       uint32_t columns, uint32_t rows);

/* Columns of a text and rows of the list on that screen, for struct menu. */
uint32_t view_text_columns(const struct menu_view *view);
uint32_t view_list_rows(const struct menu_view *view);

/* Draws what has changed since the last time. */
void view_draw(struct menu_view *view, const struct menu *menu);

#endif
