/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot 2.0: the tags of section 3.6; those of ACPI and EFI are checked here. */
#include "tests/guest/multiboot/kernel.h"

#define MAGIC 0x36d76289u
#define TAG_MAX 22
#define CONVENTIONAL 7

enum {
	TAG_END,
	TAG_CMDLINE,
	TAG_LOADER,
	TAG_MODULE,
	TAG_MEMORY,
	TAG_BOOT_DEVICE,
	TAG_MAP,
	TAG_VBE,
	TAG_FRAMEBUFFER,
	TAG_SECTIONS,
	TAG_EFI64 = 12,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW,
	TAG_EFI_MAP = 17,
	TAG_BOOT_SERVICES,
};

struct tag {
	uint32_t type, size;
	union {
		char string[1];
		struct {
			uint32_t start, end;
			char string[1];
		} module;
		struct {
			uint32_t lower, upper;
		} memory;
		struct {
			uint32_t entry_bytes, version;
			uint8_t entries[1];
		} map;
		struct {
			uint64_t address;
			uint32_t pitch, width, height;
			uint8_t depth, type, zero[2], colors[6];
		} framebuffer;
		struct {
			uint32_t count, bytes, names;
			uint8_t headers[1];
		} sections;
		uint64_t system_table;
		uint8_t rsdp[36];
	};
};

struct map_entry {
	uint64_t base, size;
	uint32_t type, zero;
};

static const struct tag *tags[TAG_MAX];

static void read_map(const struct tag *tag)
{
	const uint8_t *entry = tag->map.entries, *end = (const uint8_t *)tag + tag->size;

	for (; entry < end; entry += tag->map.entry_bytes) {
		const struct map_entry *e = (const struct map_entry *)entry;

		add_map_entry(e->base, e->size, e->type);
	}
}

static void read_framebuffer(const struct tag *tag)
{
	const uint8_t *c = tag->framebuffer.colors;

	given.framebuffer = (struct framebuffer){
		tag->framebuffer.address,
		tag->framebuffer.pitch,
		tag->framebuffer.width,
		tag->framebuffer.height,
		tag->framebuffer.depth,
		tag->framebuffer.type,
		c[0],
		c[1],
		c[2],
		c[3],
		c[4],
		c[5],
	};
}

static void read_tag(const struct tag *tag)
{
	switch (tag->type) {
	case TAG_CMDLINE: given.cmdline = tag->string; break;
	case TAG_LOADER: given.loader = tag->string; break;
	case TAG_MODULE:
		if (given.module_count < MAX_MODULES)
			given.module[given.module_count++] =
				(struct module){{tag->module.start, tag->module.end}, tag->module.string};
		break;
	case TAG_MEMORY:
		given.mem_lower = tag->memory.lower;
		given.mem_upper = tag->memory.upper;
		break;
	case TAG_MAP: read_map(tag); break;
	case TAG_FRAMEBUFFER: read_framebuffer(tag); break;
	case TAG_SECTIONS:
		given.sections = tag->sections.headers;
		given.section_count = tag->sections.count;
		given.section_bytes = tag->sections.bytes;
		break;
	}
	if (tag->type < TAG_MAX)
		tags[tag->type] = tag;
}

static void read_tags(uint32_t address)
{
	const uint32_t *head = at(address);
	uint32_t next = address + 8, end = address + head[0];
	const struct tag *tag = NULL;

	given.info = (struct range){address, end};
	check(!(address & 7), "the information is aligned");
	while (next + 8 <= end) {
		tag = at(next);
		if (tag->type == TAG_END || tag->size < 8)
			break;
		read_tag(tag);
		next += (tag->size + 7) & ~7u;
	}
	check(tag && tag->type == TAG_END && tag->size == 8 && next + 8 == end,
	      "the tags end where the information ends");
}

static bool sums_to_zero(const uint8_t *p, uint32_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *p++);
	return !sum;
}

static void check_acpi(void)
{
	const struct tag *tag = tags[TAG_ACPI_NEW];

	if (!tag && !number_of(given.cmdline, "acpi"))
		return;
	check(tag && tag->size == 8 + 36 && bytes_equal(tag->rsdp, "RSD PTR ", 8) && sums_to_zero(tag->rsdp, 36),
	      "there is a root pointer of ACPI 2");
}

/* EFI descriptors: type in the first four bytes, at least 40 bytes each. */
static void check_efi(void)
{
	const struct tag *map = tags[TAG_EFI_MAP], *system = tags[TAG_EFI64];
	const uint8_t *d, *end;
	uint32_t conventional = 0;

	check(system && system->size == 16 && bytes_equal(at(system->system_table), "IBI SYST", 8),
	      "there is a 64-bit EFI system table");
	check(!tags[TAG_BOOT_SERVICES], "EFI boot services are not offered");
	if (!check(map && map->map.entry_bytes >= 40 && !((map->size - 16) % map->map.entry_bytes),
		   "there is an EFI memory map"))
		return;
	end = (const uint8_t *)map + map->size;
	for (d = map->map.entries; d < end; d += map->map.entry_bytes)
		conventional += *(const uint32_t *)d == CONVENTIONAL;
	check(conventional, "the EFI memory map has free memory");
}

void kernel_main(uint32_t magic, uint32_t info)
{
	given.map_sorted = true;
	check_equal(magic, MAGIC, "the magic number is that of version 2");
	read_tags(info);
	check_acpi();
	check_efi();
	check_given_and_finish();
}
