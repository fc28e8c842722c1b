/* SPDX-License-Identifier: BSD-2-Clause */
/* The report page by page on the screen, and what then; see selftest.h. */
#include "selftest/selftest.h"

#define PAGE_SECONDS 12
#define LAST_SECONDS 60
#define LINES_MAX 1024

static const char *lines[LINES_MAX];
static u32 line_count;

static void divide(void)
{
	const char *p = block->text, *end = block->text + block->length;

	line_count = 0;
	for (const char *from = p; p < end; p++)
		if (*p == '\n' && line_count < LINES_MAX) {
			lines[line_count++] = from;
			from = p + 1;
		}
}

static u32 colour_of(const char *line)
{
	if (line[0] == 'F' && line[1] == 'A' && line[2] == 'I' && line[3] == 'L')
		return COLOUR_FAIL;
	return line[0] == 'P' && line[1] == 'A' && line[2] == 'S' && line[3] == 'S' ? COLOUR_PASS : COLOUR_TEXT;
}

/* The line that begins so; NULL if there is none. */
static const char *line_with(const char *begin)
{
	for (u32 i = line_count; i-- > 0;) {
		const char *p = lines[i], *b = begin;

		while (*b && *p == *b)
			p++, b++;
		if (!*b)
			return lines[i];
	}
	return NULL;
}

/* The verdict stands below each page. */
static void show_page(u32 first, u32 room)
{
	const char *verdict = line_with("self-test: ");

	screen_line(screen_lines() - 2, verdict ? verdict : "", block->failed ? COLOUR_FAIL : COLOUR_PASS);
	for (u32 i = 0; i < room; i++)
		screen_line(i, first + i < line_count ? lines[first + i] : "",
			    first + i < line_count ? colour_of(lines[first + i]) : COLOUR_TEXT);
}

/* 0: nobody pressed one in time. */
static char wait_key(u32 seconds)
{
	char c = 0;

	WAIT_MS((c = key_read()) != 0, seconds * 1000ull);
	return c;
}

static bool decides(char key, enum decision *what)
{
	*what = key == 'p' ? DECIDE_POWER_OFF : DECIDE_REBOOT;
	return key == 'p' || key == 'r';
}

enum decision pages_show(void)
{
	u32 room = screen_lines() > 4 ? screen_lines() - 3 : LINES_MAX, last = LAST_SECONDS, page = PAGE_SECONDS;
	enum decision what = DECIDE_REBOOT;

	page = (u32)option("page", page);
	room = MIN(room, MAX((u32)option("lines", room), 1u));
	last = (u32)option("last", last);
	divide();
	print("The report is kept in memory: start the stick again by R, and it is written to \\umbra\\report-N.txt there.\n");
	print("R starts the machine again, P switches it off; without a key it starts again.\n");
	for (;;) {
		char key = 0;

		for (u32 first = 0; first < line_count; first += room) {
			bool more = first + room < line_count;

			show_page(first, room);
			screen_line(screen_lines() - 1,
				    more ? "any key: the next page   R: start the machine again (the report goes to "
					   "the stick)   P: switch it off" :
					   "any key: the first page   R: start the machine again (the report goes to "
					   "the stick)   P: switch it off",
				    COLOUR_HINT);
			key = wait_key(more ? page : last);
			if (decides(key, &what))
				return what;
		}
		if (!key)
			return what;
	}
}
