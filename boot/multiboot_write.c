/* SPDX-License-Identifier: BSD-2-Clause */
/* The block that a multiboot kernel is told by; see multiboot_write.h. */
#include "boot/multiboot_write.h"
#include "boot/bytes.h"
#include "lib/string.h"

#define MIB (1ull << 20)
#define LOW_MEMORY_MAX (640u << 10)
#define UPPER_MAX 0xffffffffull /* KiB in the field */

/* Section header: flag, and the fields of the two classes */
#define SHF_ALLOC 2u

void write_at(struct writer *w, uint32_t at, uint64_t v, uint32_t bytes)
{
	for (; bytes && at < w->max; bytes--, at++, v >>= 8)
		w->out[at] = (uint8_t)v;
}

void write_number(struct writer *w, uint64_t v, uint32_t bytes)
{
	if (bytes > w->max - w->used) {
		w->full = true;
		return;
	}
	write_at(w, w->used, v, bytes);
	w->used += bytes;
}

void write_bytes(struct writer *w, const void *from, uint32_t bytes)
{
	const uint8_t *p = from;

	while (bytes-- && !w->full)
		write_number(w, *p++, 1);
}

void write_string(struct writer *w, const char *s)
{
	write_bytes(w, s, (uint32_t)strlen(s) + 1);
}

void write_zeros_to(struct writer *w, uint32_t to)
{
	while (w->used % to && !w->full)
		write_number(w, 0, 1);
}

uint32_t write_address(const struct writer *w)
{
	return w->address + w->used;
}

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

uint32_t write_map_type(uint32_t e820_type)
{
	return e820_type <= E820_UNUSABLE ? e820_type : E820_RESERVED;
}

void write_sections(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;
	uint32_t word = s->elf64 ? 8 : 4, i;

	for (i = 0; i < s->count; i++) {
		const uint8_t *from = in->file + s->offset + (uint64_t)i * s->entry_bytes;
		uint32_t at = w->used;
		uint64_t flags = bytes_get(from + 8, word),
			 offset = bytes_get(from + 8 + 2 * word, word);

		write_bytes(w, from, s->entry_bytes);
		if (i && !(flags & SHF_ALLOC) && !w->full)
			write_at(w, at + 8 + word, in->file_address + offset, word);
	}
}

uint64_t write_framebuffer_address(const struct linux_screen_info *s)
{
	return s->lfb_base | (uint64_t)s->ext_lfb_base << 32;
}

void write_colors(struct writer *w, const struct linux_screen_info *s)
{
	write_number(w, s->red_position, 1);
	write_number(w, s->red_size, 1);
	write_number(w, s->green_position, 1);
	write_number(w, s->green_size, 1);
	write_number(w, s->blue_position, 1);
	write_number(w, s->blue_size, 1);
}
