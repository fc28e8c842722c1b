/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot information of version 1; see multiboot_info.h. */
#include "boot/multiboot_info1.h"

/* Multiboot 0.6.96, section 3.3: flags and offsets of the structure */
enum mb1_flag {
	MB1_MEMORY = 1 << 0,
	MB1_CMDLINE = 1 << 2,
	MB1_MODULES = 1 << 3,
	MB1_SECTIONS = 1 << 5,
	MB1_MAP = 1 << 6,
	MB1_LOADER = 1 << 9,
	MB1_FRAMEBUFFER = 1 << 12,
};
enum mb1_field {
	MB1_FLAGS = 0,
	MB1_MEM_LOWER = 4,
	MB1_MEM_UPPER = 8,
	MB1_CMDLINE_AT = 16,
	MB1_MODULE_COUNT = 20,
	MB1_MODULES_AT = 24,
	MB1_SYMS = 28,
	MB1_MAP_BYTES = 44,
	MB1_MAP_AT = 48,
	MB1_LOADER_AT = 64,
	MB1_FB_ADDRESS = 88,
	MB1_FB_PITCH = 96,
	MB1_FB_WIDTH = 100,
	MB1_FB_HEIGHT = 104,
	MB1_FB_DEPTH = 108,
	MB1_FB_TYPE = 109,
	MB1_FB_COLORS = 110,
	MB1_SIZE = 116,
};
#define MB1_MAP_ENTRY_REST 20u

static uint32_t modules_1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t table, i;

	write_zeros_to(w, 4);
	table = w->used;
	for (i = 0; i < in->module_count; i++) {
		write_number(w, in->modules[i].start, 4);
		write_number(w, in->modules[i].end, 4);
		write_number(w, 0, 8);
	}
	for (i = 0; i < in->module_count && !w->full; i++) {
		write_at(w, table + i * 16 + 8, write_address(w), 4);
		write_string(w, in->modules[i].string);
	}
	return w->address + table;
}

static void framebuffer_1(struct writer *w, const struct linux_screen_info *s)
{
	struct writer colors = *w;

	write_at(w, MB1_FB_ADDRESS, write_framebuffer_address(s), 8);
	write_at(w, MB1_FB_PITCH, s->lfb_line_length, 4);
	write_at(w, MB1_FB_WIDTH, s->lfb_width, 4);
	write_at(w, MB1_FB_HEIGHT, s->lfb_height, 4);
	write_at(w, MB1_FB_DEPTH, s->lfb_depth, 1);
	write_at(w, MB1_FB_TYPE, FRAMEBUFFER_RGB, 1);
	colors.used = MB1_FB_COLORS;
	write_colors(&colors, s);
}

static void map_1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t i;

	write_zeros_to(w, 8);
	write_at(w, MB1_MAP_AT, write_address(w), 4);
	write_at(w, MB1_MAP_BYTES, in->e820_count * (MB1_MAP_ENTRY_REST + 4), 4);
	for (i = 0; i < in->e820_count; i++) {
		write_number(w, MB1_MAP_ENTRY_REST, 4);
		write_number(w, in->e820[i].base, 8);
		write_number(w, in->e820[i].size, 8);
		write_number(w, write_map_type(in->e820[i].type), 4);
	}
}

static void sections_1(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;

	write_zeros_to(w, 8);
	write_at(w, MB1_SYMS, s->count, 4);
	write_at(w, MB1_SYMS + 4, s->entry_bytes, 4);
	write_at(w, MB1_SYMS + 8, write_address(w), 4);
	write_at(w, MB1_SYMS + 12, s->names, 4);
	write_sections(w, in);
}

void multiboot_info1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t flags = MB1_MEMORY | MB1_CMDLINE | MB1_MODULES | MB1_MAP | MB1_LOADER;

	while (w->used < MB1_SIZE && !w->full)
		write_number(w, 0, 1);
	if (w->full)
		return;
	write_at(w, MB1_MEM_LOWER, multiboot_mem_lower(in->e820, in->e820_count), 4);
	write_at(w, MB1_MEM_UPPER, multiboot_mem_upper(in->e820, in->e820_count, in->image), 4);
	write_at(w, MB1_CMDLINE_AT, write_address(w), 4);
	write_string(w, in->cmdline);
	write_at(w, MB1_LOADER_AT, write_address(w), 4);
	write_string(w, MULTIBOOT_LOADER_NAME);
	write_at(w, MB1_MODULE_COUNT, in->module_count, 4);
	write_at(w, MB1_MODULES_AT, modules_1(w, in), 4);
	if (in->image->sections.count) {
		flags |= MB1_SECTIONS;
		sections_1(w, in);
	}
	if (in->screen->is_vga) {
		flags |= MB1_FRAMEBUFFER;
		framebuffer_1(w, in->screen);
	}
	map_1(w, in);
	write_at(w, MB1_FLAGS, flags, 4);
}
