/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text cells of 8x16 pixels: the font's 5x7 dots at double height. The first
 * byte clears the screen; after the last line writing goes on at the top, over
 * a cleared line, so nothing is ever read back from the slow framebuffer.
 */
#include "arch/x86/screen.h"

#include "arch/x86/font.h"
#include "lib/types.h"
#include "mm/phys.h"

#define CELL_WIDTH 8u
#define CELL_HEIGHT 16u
#define TEXT_TOP 1u /* pixel lines above the dots */
#define COLOUR_TEXT 0xffffffu
#define COLOUR_LOG 0u
#define COLOUR_FATAL 0x400000u /* dark red, or dark blue on a BGR screen */

static struct {
	u32 *pixels;
	u32 pitch, columns, lines; /* pitch in pixels */
	u32 column, line, back;
	bool started;
} screen;

void screen_init(const struct boot_framebuffer *fb)
{
	u64 bytes = (u64)fb->pitch * fb->height;

	screen.pixels = NULL;
	if (!fb->size || bytes > fb->size || fb->width > fb->pitch / 4)
		return;
	screen.pixels = phys_to_virt(hpa(fb->base));
	screen.pitch = fb->pitch / 4;
	screen.columns = fb->width / CELL_WIDTH;
	screen.lines = fb->height / CELL_HEIGHT;
	screen.back = COLOUR_LOG;
	screen.started = false;
}

static void clear_line(u32 line)
{
	volatile u32 *row = screen.pixels + (u64)line * CELL_HEIGHT * screen.pitch;

	for (u32 y = 0; y < CELL_HEIGHT; y++, row += screen.pitch) {
		for (u32 x = 0; x < screen.columns * CELL_WIDTH; x++)
			row[x] = screen.back;
	}
}

static void start(void)
{
	screen.started = true;
	screen.column = 0;
	screen.line = 0;
	for (u32 line = 0; line < screen.lines; line++)
		clear_line(line);
}

static void next_line(void)
{
	screen.column = 0;
	screen.line = (screen.line + 1) % screen.lines;
	clear_line(screen.line);
}

static void draw(char c)
{
	const u8 *rows = font[(c < FONT_FIRST || c > FONT_LAST ? '?' : c) - FONT_FIRST];
	volatile u32 *cell =
		screen.pixels + (u64)screen.line * CELL_HEIGHT * screen.pitch + screen.column * CELL_WIDTH;

	for (u32 y = 0; y < 2 * FONT_ROWS; y++) {
		volatile u32 *row = cell + (TEXT_TOP + y) * screen.pitch;

		for (u32 x = 0; x < FONT_COLUMNS; x++) {
			if (rows[y / 2] >> (FONT_COLUMNS - 1 - x) & 1)
				row[x + 1] = COLOUR_TEXT;
		}
	}
}

void screen_put(char c)
{
	if (!screen.pixels || !screen.columns || !screen.lines)
		return;
	if (!screen.started)
		start();
	if (c == '\n') {
		next_line();
		return;
	}
	if (screen.column == screen.columns)
		next_line();
	draw(c);
	screen.column++;
}

void screen_release(void)
{
	screen.back = COLOUR_FATAL;
	screen.started = false;
}

void screen_off(void)
{
	screen.pixels = NULL;
}
