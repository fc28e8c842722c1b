/* SPDX-License-Identifier: BSD-2-Clause */
/* See console.h. */
#include "debug/console.h"

#include "lib/printf.h"

#define TEXT_SIZE 256u
#define PAGE_LINES 24u
#define CTRL_C 3

static struct {
	void (*put)(char c);
	u8 (*get)(void);
	u32 page, lines;
	bool over;
} console = {.page = PAGE_LINES};

static const char more[] = "-- more: blank, Enter, q --";

void console_init(void (*put)(char c), u8 (*get)(void))
{
	console.put = put;
	console.get = get;
}

u32 console_set_page(u32 lines)
{
	u32 old = console.page;

	console.page = lines;
	return old;
}

void console_begin(void)
{
	console.lines = 0;
	console.over = false;
}

bool console_is_over(void)
{
	return console.over;
}

static void put_all(const char *text)
{
	while (*text)
		console.put(*text++);
}

/* The line of the question is wiped out again. */
static void ask_for_more(void)
{
	u8 key;

	put_all(more);
	do
		key = console.get();
	while (key != ' ' && key != '\r' && key != '\n' && key != 'q' && key != CTRL_C);
	console.put('\r');
	for (u32 i = 0; i + 1 < sizeof(more); i++)
		console.put(' ');
	console.put('\r');
	console.over = key == 'q' || key == CTRL_C;
	console.lines = key == ' ' ? 0 : console.page - 2;
}

void console_put(char c)
{
	if (console.over)
		return;
	console.put(c);
	if (c != '\n' || !console.page)
		return;
	if (++console.lines + 1 >= console.page)
		ask_for_more();
}

void console_printf(const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *p = text; *p; p++)
		console_put(*p);
}
