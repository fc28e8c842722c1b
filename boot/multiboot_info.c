/* SPDX-License-Identifier: BSD-2-Clause */
/* The information for multiboot kernels; see multiboot_info.h. */
#include "boot/multiboot_info.h"
#include "lib/string.h"

#define MIB (1ull << 20)
#define LOW_MEMORY_MAX (640u << 10)
#define UPPER_MAX 0xffffffffull  /* KiB in the field */

/* Multiboot 0.6.96, section 3.3: flags and offsets of the structure */
enum mb1_flag {
	MB1_MEMORY = 1 << 0, MB1_CMDLINE = 1 << 2, MB1_MODULES = 1 << 3, MB1_SECTIONS = 1 << 5,
	MB1_MAP = 1 << 6, MB1_LOADER = 1 << 9, MB1_FRAMEBUFFER = 1 << 12,
};
enum mb1_field {
	MB1_FLAGS = 0, MB1_MEM_LOWER = 4, MB1_MEM_UPPER = 8, MB1_CMDLINE_AT = 16,
	MB1_MODULE_COUNT = 20, MB1_MODULES_AT = 24, MB1_SYMS = 28, MB1_MAP_BYTES = 44,
	MB1_MAP_AT = 48, MB1_LOADER_AT = 64, MB1_FB_ADDRESS = 88, MB1_FB_PITCH = 96,
	MB1_FB_WIDTH = 100, MB1_FB_HEIGHT = 104, MB1_FB_DEPTH = 108, MB1_FB_TYPE = 109,
	MB1_FB_COLORS = 110, MB1_SIZE = 116,
};
#define MB1_MAP_ENTRY_REST 20u

/* Multiboot 2.0, section 3.6 */
enum mb2_tag {
	MB2_END, MB2_CMDLINE, MB2_LOADER, MB2_MODULE, MB2_MEMORY, MB2_MAP = 6, MB2_FRAMEBUFFER = 8,
	MB2_SECTIONS, MB2_EFI64 = 12, MB2_ACPI_OLD = 14, MB2_ACPI_NEW, MB2_EFI_MAP = 17,
	MB2_LOAD_BASE = 21,
};
#define MB2_MAP_ENTRY 24u

#define FRAMEBUFFER_RGB 1u

/* RSDP, ACPI 6.4 section 5.2.5.3 */
#define RSDP_REVISION 15
#define RSDP_LENGTH 20
#define RSDP_BYTES_1 20u
#define RSDP_BYTES_MAX 4096u

/* Section header: flag, and the fields of the two classes */
#define SHF_ALLOC 2u

/* The block as it grows. What does not fit is counted, so that the end can tell. */
struct writer {
	uint8_t *out;
	uint32_t address, used, max;
	bool full;
};

static void put_at(struct writer *w, uint32_t at, uint64_t v, uint32_t bytes)
{
	for (; bytes && at < w->max; bytes--, at++, v >>= 8)
		w->out[at] = (uint8_t)v;
}

static void put(struct writer *w, uint64_t v, uint32_t bytes)
{
	if (bytes > w->max - w->used) {
		w->full = true;
		return;
	}
	put_at(w, w->used, v, bytes);
	w->used += bytes;
}

static void put_bytes(struct writer *w, const void *from, uint32_t bytes)
{
	const uint8_t *p = from;

	while (bytes-- && !w->full)
		put(w, *p++, 1);
}

static void put_string(struct writer *w, const char *s)
{
	put_bytes(w, s, (uint32_t)strlen(s) + 1);
}

static void align(struct writer *w, uint32_t to)
{
	while (w->used % to && !w->full)
		put(w, 0, 1);
}

static uint32_t here(const struct writer *w)
{
	return w->address + w->used;
}

/* --- memory ------------------------------------------------------------------- */

/* The end of the RAM that at lies in (entries that touch are one), or at. */
static uint64_t ram_from(const struct e820_entry *e820, uint32_t count, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (e820[i].type == E820_RAM && e820[i].base <= at && e820[i].base + e820[i].size > at)
			at = e820[i].base + e820[i].size;
	return at;
}

/* Where the next RAM above at begins, or UINT64_MAX. */
static uint64_t next_ram(const struct e820_entry *e820, uint32_t count, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (e820[i].type == E820_RAM && e820[i].base > at)
			return e820[i].base;
	return UINT64_MAX;
}

uint32_t multiboot_mem_lower(const struct e820_entry *e820, uint32_t count)
{
	uint64_t end = ram_from(e820, count, 0);

	return (uint32_t)(end < LOW_MEMORY_MAX ? end : LOW_MEMORY_MAX) >> 10;
}

uint32_t multiboot_mem_upper(const struct e820_entry *e820, uint32_t count,
			     const struct multiboot_image *image)
{
	uint64_t end = ram_from(e820, count, MIB), next = next_ram(e820, count, end), kib;

	while (next != UINT64_MAX && multiboot_overlaps(image, end, next)) {
		end = ram_from(e820, count, next);
		next = next_ram(e820, count, end);
	}
	kib = (end - MIB) >> 10;
	return (uint32_t)(kib < UPPER_MAX ? kib : UPPER_MAX);
}

/* Linux's E820 has types that multiboot does not define. */
static uint32_t map_type(uint32_t e820_type)
{
	return e820_type <= E820_UNUSABLE ? e820_type : E820_RESERVED;
}

/* --- the kernel's section headers ----------------------------------------------- */

static uint64_t get(const uint8_t *at, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

/* Sections that are not loaded (symbols, strings) are found in the file, which stays in memory. */
static void put_sections(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;
	uint32_t word = s->elf64 ? 8 : 4, i;

	for (i = 0; i < s->count; i++) {
		const uint8_t *from = in->file + s->offset + (uint64_t)i * s->entry_bytes;
		uint32_t at = w->used;
		uint64_t flags = get(from + 8, word), offset = get(from + 8 + 2 * word, word);

		put_bytes(w, from, s->entry_bytes);
		if (i && !(flags & SHF_ALLOC) && !w->full)
			put_at(w, at + 8 + word, in->file_address + offset, word);
	}
}

/* --- framebuffer ---------------------------------------------------------------- */

static uint64_t framebuffer_address(const struct linux_screen_info *s)
{
	return s->lfb_base | (uint64_t)s->ext_lfb_base << 32;
}

static void put_colors(struct writer *w, const struct linux_screen_info *s)
{
	put(w, s->red_position, 1);
	put(w, s->red_size, 1);
	put(w, s->green_position, 1);
	put(w, s->green_size, 1);
	put(w, s->blue_position, 1);
	put(w, s->blue_size, 1);
}

/* --- version 1 ------------------------------------------------------------------ */

static uint32_t modules_1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t table, i;

	align(w, 4);
	table = w->used;
	for (i = 0; i < in->module_count; i++) {
		put(w, in->modules[i].start, 4);
		put(w, in->modules[i].end, 4);
		put(w, 0, 8);
	}
	for (i = 0; i < in->module_count && !w->full; i++) {
		put_at(w, table + i * 16 + 8, here(w), 4);
		put_string(w, in->modules[i].string);
	}
	return w->address + table;
}

static void framebuffer_1(struct writer *w, const struct linux_screen_info *s)
{
	struct writer colors = *w;

	put_at(w, MB1_FB_ADDRESS, framebuffer_address(s), 8);
	put_at(w, MB1_FB_PITCH, s->lfb_line_length, 4);
	put_at(w, MB1_FB_WIDTH, s->lfb_width, 4);
	put_at(w, MB1_FB_HEIGHT, s->lfb_height, 4);
	put_at(w, MB1_FB_DEPTH, s->lfb_depth, 1);
	put_at(w, MB1_FB_TYPE, FRAMEBUFFER_RGB, 1);
	colors.used = MB1_FB_COLORS;
	put_colors(&colors, s);
}

static void map_1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t i;

	align(w, 8);
	put_at(w, MB1_MAP_AT, here(w), 4);
	put_at(w, MB1_MAP_BYTES, in->e820_count * (MB1_MAP_ENTRY_REST + 4), 4);
	for (i = 0; i < in->e820_count; i++) {
		put(w, MB1_MAP_ENTRY_REST, 4);
		put(w, in->e820[i].base, 8);
		put(w, in->e820[i].size, 8);
		put(w, map_type(in->e820[i].type), 4);
	}
}

static void sections_1(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;

	align(w, 8);
	put_at(w, MB1_SYMS, s->count, 4);
	put_at(w, MB1_SYMS + 4, s->entry_bytes, 4);
	put_at(w, MB1_SYMS + 8, here(w), 4);
	put_at(w, MB1_SYMS + 12, s->names, 4);
	put_sections(w, in);
}

static void build_1(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t flags = MB1_MEMORY | MB1_CMDLINE | MB1_MODULES | MB1_MAP | MB1_LOADER;

	while (w->used < MB1_SIZE && !w->full)
		put(w, 0, 1);
	if (w->full)
		return;
	put_at(w, MB1_MEM_LOWER, multiboot_mem_lower(in->e820, in->e820_count), 4);
	put_at(w, MB1_MEM_UPPER, multiboot_mem_upper(in->e820, in->e820_count, in->image), 4);
	put_at(w, MB1_CMDLINE_AT, here(w), 4);
	put_string(w, in->cmdline);
	put_at(w, MB1_LOADER_AT, here(w), 4);
	put_string(w, MULTIBOOT_LOADER_NAME);
	put_at(w, MB1_MODULE_COUNT, in->module_count, 4);
	put_at(w, MB1_MODULES_AT, modules_1(w, in), 4);
	if (in->image->sections.count) {
		flags |= MB1_SECTIONS;
		sections_1(w, in);
	}
	if (in->screen->is_vga) {
		flags |= MB1_FRAMEBUFFER;
		framebuffer_1(w, in->screen);
	}
	map_1(w, in);
	put_at(w, MB1_FLAGS, flags, 4);
}

/* --- version 2 ------------------------------------------------------------------ */

/* Begins a tag; its size is entered by end_tag(). */
static uint32_t begin_tag(struct writer *w, enum mb2_tag type)
{
	uint32_t at;

	align(w, 8);
	at = w->used;
	put(w, type, 4);
	put(w, 0, 4);
	return at;
}

static void end_tag(struct writer *w, uint32_t at)
{
	if (!w->full)
		put_at(w, at + 4, w->used - at, 4);
}

static void tag_string(struct writer *w, enum mb2_tag type, const char *s)
{
	uint32_t at = begin_tag(w, type);

	put_string(w, s);
	end_tag(w, at);
}

static void tag_u64(struct writer *w, enum mb2_tag type, uint64_t v, uint32_t bytes)
{
	uint32_t at = begin_tag(w, type);

	put(w, v, bytes);
	end_tag(w, at);
}

static void tag_module(struct writer *w, const struct multiboot_module *m)
{
	uint32_t at = begin_tag(w, MB2_MODULE);

	put(w, m->start, 4);
	put(w, m->end, 4);
	put_string(w, m->string);
	end_tag(w, at);
}

static void tag_memory(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_MEMORY);

	put(w, multiboot_mem_lower(in->e820, in->e820_count), 4);
	put(w, multiboot_mem_upper(in->e820, in->e820_count, in->image), 4);
	end_tag(w, at);
}

static void tag_map(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_MAP), i;

	put(w, MB2_MAP_ENTRY, 4);
	put(w, 0, 4);
	for (i = 0; i < in->e820_count; i++) {
		put(w, in->e820[i].base, 8);
		put(w, in->e820[i].size, 8);
		put(w, map_type(in->e820[i].type), 4);
		put(w, 0, 4);
	}
	end_tag(w, at);
}

static void tag_framebuffer(struct writer *w, const struct linux_screen_info *s)
{
	uint32_t at = begin_tag(w, MB2_FRAMEBUFFER);

	put(w, framebuffer_address(s), 8);
	put(w, s->lfb_line_length, 4);
	put(w, s->lfb_width, 4);
	put(w, s->lfb_height, 4);
	put(w, s->lfb_depth, 1);
	put(w, FRAMEBUFFER_RGB, 1);
	put(w, 0, 2);
	put_colors(w, s);
	end_tag(w, at);
}

static void tag_sections(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;
	uint32_t at = begin_tag(w, MB2_SECTIONS);

	put(w, s->count, 4);
	put(w, s->entry_bytes, 4);
	put(w, s->names, 4);
	put_sections(w, in);
	end_tag(w, at);
}

static void tag_acpi(struct writer *w, const uint8_t *rsdp)
{
	bool new = rsdp[RSDP_REVISION] >= 2;
	uint64_t bytes = new ? get(rsdp + RSDP_LENGTH, 4) : RSDP_BYTES_1;
	uint32_t at = begin_tag(w, new ? MB2_ACPI_NEW : MB2_ACPI_OLD);

	put_bytes(w, rsdp, (uint32_t)(bytes < RSDP_BYTES_MAX ? bytes : RSDP_BYTES_MAX));
	end_tag(w, at);
}

static void tag_efi_map(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_EFI_MAP);

	put(w, in->efi_stride, 4);
	put(w, in->efi_version, 4);
	put_bytes(w, in->efi_map, in->efi_map_bytes);
	end_tag(w, at);
}

static void build_2(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t i;

	put(w, 0, 8); /* total size, reserved */
	tag_string(w, MB2_CMDLINE, in->cmdline);
	tag_string(w, MB2_LOADER, MULTIBOOT_LOADER_NAME);
	for (i = 0; i < in->module_count; i++)
		tag_module(w, &in->modules[i]);
	tag_memory(w, in);
	tag_map(w, in);
	if (in->screen->is_vga)
		tag_framebuffer(w, in->screen);
	if (in->image->sections.count)
		tag_sections(w, in);
	if (in->rsdp)
		tag_acpi(w, in->rsdp);
	tag_u64(w, MB2_EFI64, in->efi_system_table, 8);
	tag_efi_map(w, in);
	if (in->image->relocatable)
		tag_u64(w, MB2_LOAD_BASE, multiboot_base(in->image), 4);
	end_tag(w, begin_tag(w, MB2_END));
	put_at(w, 0, w->used, 4);
}

uint32_t multiboot_info_build(const struct multiboot_inputs *in, uint8_t *out, uint32_t address,
			      uint32_t max)
{
	struct writer w = {.out = out, .address = address, .max = max};

	if (in->image->version == 1)
		build_1(&w, in);
	else
		build_2(&w, in);
	return w.full ? 0 : w.used;
}
