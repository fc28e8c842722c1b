/* SPDX-License-Identifier: BSD-2-Clause */
/* Each character goes to the serial port, to the screen and into the report; see selftest.h. */
#include "selftest/selftest.h"

static struct {
	char text[256];
	u32 used, line;
} row; /* the line under way, and where it goes on the screen */

static u32 colour_of(const char *text)
{
	if (text[0] == 'P' && text[1] == 'A' && text[2] == 'S')
		return COLOUR_PASS;
	return text[0] == 'F' && text[1] == 'A' && text[2] == 'I' ? COLOUR_FAIL : COLOUR_TEXT;
}

/* The last line but one of the screen is the last that is written to; then they begin at the top. */
static void put_screen(char c)
{
	if (c != '\n' && row.used + 1 < sizeof(row.text))
		row.text[row.used++] = c;
	row.text[row.used] = '\0';
	if (c != '\n')
		return;
	if (row.line + 2 >= screen_lines()) {
		screen_clear();
		row.line = 0;
	}
	screen_line(row.line++, row.text, colour_of(row.text));
	row.used = 0;
}

static void put(char c)
{
	serial_put(c);
	put_screen(c);
	if (block->length < SELFTEST_TEXT_MAX)
		block->text[block->length++] = c;
}

void output_init(void)
{
	serial_init();
	for (u32 i = 0; i < block->length; i++)
		serial_put(block->text[i]);
	guest_put = put;
}

void output_replay(void)
{
	for (u32 i = 0; i < block->length; i++)
		put_screen(block->text[i]);
}

void output_keep(const char *text)
{
	for (; *text && block->length < SELFTEST_TEXT_MAX; text++)
		block->text[block->length++] = *text;
}

void output_progress(const char *name, u32 done, u32 of)
{
	char text[128];
	u32 n = 0;

	for (const char *p = "checking: "; *p; p++)
		text[n++] = *p;
	for (; *name && n + 16 < sizeof(text); name++)
		text[n++] = *name;
	text[n++] = ' ';
	text[n++] = (char)('0' + done / 10);
	text[n++] = (char)('0' + done % 10);
	text[n++] = '/';
	text[n++] = (char)('0' + of / 10);
	text[n++] = (char)('0' + of % 10);
	text[n] = '\0';
	screen_line(screen_lines() - 1, text, COLOUR_HINT);
}

void output_seal(enum selftest_state state)
{
	const struct selftest_machine *m = &block->machine;
	size_t bytes = sizeof(*block) + block->length;

	block->magic = SELFTEST_MAGIC;
	block->version = SELFTEST_VERSION;
	block->state = state;
	block->checksum = selftest_checksum(block);
	for (u32 i = 1; i < m->copy_count; i++)
		memcpy((void *)m->copy[i], block, bytes);
	asm volatile("wbinvd" : : : "memory"); /* a reset may drop what is in the caches alone */
}
