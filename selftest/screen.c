/* SPDX-License-Identifier: BSD-2-Clause */
/* Text cells of 8x16 pixels on the framebuffer, with the font of the panic screen; see selftest.h. */
#include "selftest/selftest.h"

#include "arch/x86/font.h"

#define CELL_WIDTH 8u
#define CELL_HEIGHT 16u
#define TEXT_TOP 1u
#define COLOUR_BACK 0x401000u
#define PAGE_2M (2ull << 20)

static struct {
	volatile u32 *pixels;
	u32 pitch, columns, lines;
	bool swap;
} screen;

/* The tables of the self-test map the first 4 GiB; a framebuffer above is mapped beside them. */
static void map_high(u64 base, u64 bytes)
{
	struct space space = {(u64 *)(read_cr3() & PTE_ADDR_MASK)};

	for (u64 at = base & ~(PAGE_2M - 1); at < base + bytes; at += PAGE_2M)
		space_map(&space, at, at, PTE_P | PTE_W | PTE_A | PTE_D, 2);
}

void screen_init(const struct boot_framebuffer *fb)
{
	u64 bytes = (u64)fb->pitch * fb->height;

	if (!fb->size || bytes > fb->size || fb->width > fb->pitch / 4)
		return;
	if (fb->base + fb->size > 1ull << 32)
		map_high(fb->base, fb->size);
	screen.pixels = (volatile u32 *)fb->base;
	screen.pitch = fb->pitch / 4;
	screen.columns = fb->width / CELL_WIDTH;
	screen.lines = fb->height / CELL_HEIGHT;
	screen.swap = fb->bgr; /* blue is the lowest byte: 0xRRGGBB as it is */
	screen_clear();
}

u32 screen_columns(void)
{
	return screen.columns;
}

u32 screen_lines(void)
{
	return screen.lines;
}

/* Colours here have red in their lowest byte. */
static u32 pixel(u32 colour)
{
	return screen.swap ? (colour & 0xff) << 16 | (colour & 0xff00) | (colour >> 16 & 0xff) : colour;
}

void screen_clear(void)
{
	for (u32 line = 0; line < screen.lines; line++)
		screen_line(line, "", COLOUR_TEXT);
}

static void draw(volatile u32 *cell, char c, u32 colour)
{
	const u8 *rows = font[(c < FONT_FIRST || c > FONT_LAST ? '?' : c) - FONT_FIRST];
	u32 back = pixel(COLOUR_BACK), text = pixel(colour);

	for (u32 y = 0; y < CELL_HEIGHT; y++, cell += screen.pitch)
		for (u32 x = 0; x < CELL_WIDTH; x++) {
			u32 dot = y - TEXT_TOP < 2 * FONT_ROWS && x - 1 < FONT_COLUMNS ?
					  rows[(y - TEXT_TOP) / 2] >> (FONT_COLUMNS - x) & 1 :
					  0;

			cell[x] = dot ? text : back;
		}
}

void screen_line(u32 line, const char *text, u32 colour)
{
	volatile u32 *at;

	if (line >= screen.lines)
		return;
	at = screen.pixels + (u64)line * CELL_HEIGHT * screen.pitch;
	for (u32 i = 0; i < screen.columns; i++, at += CELL_WIDTH) {
		char c = *text && *text != '\n' ? *text++ : ' ';

		draw(at, c, colour);
	}
}
