/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiboot information of version 2; see multiboot_info.h. */
#include "boot/multiboot_info2.h"
#include "boot/bytes.h"

/* Multiboot 2.0, section 3.6 */
enum mb2_tag {
	MB2_END,
	MB2_CMDLINE,
	MB2_LOADER,
	MB2_MODULE,
	MB2_MEMORY,
	MB2_MAP = 6,
	MB2_FRAMEBUFFER = 8,
	MB2_SECTIONS,
	MB2_EFI64 = 12,
	MB2_ACPI_OLD = 14,
	MB2_ACPI_NEW,
	MB2_EFI_MAP = 17,
	MB2_LOAD_BASE = 21,
};
#define MB2_MAP_ENTRY 24u

/* RSDP, ACPI 6.4 section 5.2.5.3 */
#define RSDP_REVISION 15
#define RSDP_LENGTH 20
#define RSDP_BYTES_1 20u
#define RSDP_BYTES_MAX 4096u

/* Begins a tag; its size is entered by end_tag(). */
static uint32_t begin_tag(struct writer *w, enum mb2_tag type)
{
	uint32_t at;

	write_zeros_to(w, 8);
	at = w->used;
	write_number(w, type, 4);
	write_number(w, 0, 4);
	return at;
}

static void end_tag(struct writer *w, uint32_t at)
{
	if (!w->full)
		write_at(w, at + 4, w->used - at, 4);
}

static void tag_string(struct writer *w, enum mb2_tag type, const char *s)
{
	uint32_t at = begin_tag(w, type);

	write_string(w, s);
	end_tag(w, at);
}

static void tag_u64(struct writer *w, enum mb2_tag type, uint64_t v, uint32_t bytes)
{
	uint32_t at = begin_tag(w, type);

	write_number(w, v, bytes);
	end_tag(w, at);
}

static void tag_module(struct writer *w, const struct multiboot_module *m)
{
	uint32_t at = begin_tag(w, MB2_MODULE);

	write_number(w, m->start, 4);
	write_number(w, m->end, 4);
	write_string(w, m->string);
	end_tag(w, at);
}

static void tag_memory(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_MEMORY);

	write_number(w, multiboot_mem_lower(in->e820, in->e820_count), 4);
	write_number(w, multiboot_mem_upper(in->e820, in->e820_count, in->image), 4);
	end_tag(w, at);
}

static void tag_map(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_MAP), i;

	write_number(w, MB2_MAP_ENTRY, 4);
	write_number(w, 0, 4);
	for (i = 0; i < in->e820_count; i++) {
		write_number(w, in->e820[i].base, 8);
		write_number(w, in->e820[i].size, 8);
		write_number(w, write_map_type(in->e820[i].type), 4);
		write_number(w, 0, 4);
	}
	end_tag(w, at);
}

static void tag_framebuffer(struct writer *w, const struct linux_screen_info *s)
{
	uint32_t at = begin_tag(w, MB2_FRAMEBUFFER);

	write_number(w, write_framebuffer_address(s), 8);
	write_number(w, s->lfb_line_length, 4);
	write_number(w, s->lfb_width, 4);
	write_number(w, s->lfb_height, 4);
	write_number(w, s->lfb_depth, 1);
	write_number(w, FRAMEBUFFER_RGB, 1);
	write_number(w, 0, 2);
	write_colors(w, s);
	end_tag(w, at);
}

static void tag_sections(struct writer *w, const struct multiboot_inputs *in)
{
	const struct multiboot_sections *s = &in->image->sections;
	uint32_t at = begin_tag(w, MB2_SECTIONS);

	write_number(w, s->count, 4);
	write_number(w, s->entry_bytes, 4);
	write_number(w, s->names, 4);
	write_sections(w, in);
	end_tag(w, at);
}

static void tag_acpi(struct writer *w, const uint8_t *rsdp)
{
	bool new = rsdp[RSDP_REVISION] >= 2;
	uint64_t bytes = new ? bytes_get(rsdp + RSDP_LENGTH, 4) : RSDP_BYTES_1;
	uint32_t at = begin_tag(w, new ? MB2_ACPI_NEW : MB2_ACPI_OLD);

	write_bytes(w, rsdp, (uint32_t)(bytes < RSDP_BYTES_MAX ? bytes : RSDP_BYTES_MAX));
	end_tag(w, at);
}

static void tag_efi_map(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t at = begin_tag(w, MB2_EFI_MAP);

	write_number(w, in->efi_stride, 4);
	write_number(w, in->efi_version, 4);
	write_bytes(w, in->efi_map, in->efi_map_bytes);
	end_tag(w, at);
}

void multiboot_info2(struct writer *w, const struct multiboot_inputs *in)
{
	uint32_t i;

	write_number(w, 0, 8); /* total size, reserved */
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
	write_at(w, 0, w->used, 4);
}
