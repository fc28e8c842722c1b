/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line that is typed at a terminal: what is typed is echoed, with the keys of a shell. Bytes come one at a time; what has to
 * appear goes to a function. No more than LINE_SIZE - 1 bytes are kept, whatever comes.
 */
#ifndef DEBUG_LINE_H
#define DEBUG_LINE_H

#include "lib/types.h"

#define LINE_SIZE 128u
#define LINE_HISTORY 16u

enum line_event {
	LINE_MORE,      /* nothing yet */
	LINE_DONE,      /* Enter: text is a whole line */
	LINE_CANCELLED, /* Ctrl-C: it is empty again */
	LINE_COMPLETE,  /* Tab: line_insert() what is missing, or show what there is and line_draw() */
};

struct line {
	void (*put)(char c);
	char text[LINE_SIZE]; /* NUL-terminated */
	u32 length, cursor;
	u8 escape;                             /* how far an escape sequence has come */
	u8 last;                               /* byte */
	char history[LINE_HISTORY][LINE_SIZE]; /* line n is at n % LINE_HISTORY */
	u32 lines, shown;                      /* so many were typed; the one that Up has brought back, or lines */
};

/* Forgets all but what was typed before. */
void line_begin(struct line *line);

enum line_event line_byte(struct line *line, u8 byte);

/* At the cursor, echoed; what does not fit is left out. */
void line_insert(struct line *line, const char *text, u32 length);

/* Prompt and text once more, on a line of their own. */
void line_draw(const struct line *line, const char *prompt);

#endif
