/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot 0.6.96: the information structure of section 3.3, read by its offsets. */
#include "tests/guest/multiboot/kernel.h"

#define MAGIC 0x2badb002u
#define HAS_MEMORY (1u << 0)
#define HAS_CMDLINE (1u << 2)
#define HAS_MODULES (1u << 3)
#define HAS_SECTIONS (1u << 5)
#define HAS_MAP (1u << 6)
#define HAS_LOADER (1u << 9)
#define HAS_FRAMEBUFFER (1u << 12)

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, module_count, modules;
	uint32_t section_count, section_bytes, sections, section_names;
	uint32_t map_bytes, map, drives_bytes, drives, config, loader, apm;
	uint32_t vbe[4];
	uint64_t framebuffer;
	uint32_t pitch, width, height;
	uint8_t depth, type, colors[6];
} __attribute__((packed));
_Static_assert(offsetof(struct info, framebuffer) == 88, "section 3.3");

struct map_entry {
	uint32_t size;
	uint64_t base, bytes;
	uint32_t type;
} __attribute__((packed));

struct module_entry {
	uint32_t start, end, string, zero;
};

static void read_map(const struct info *info)
{
	uint32_t i;

	for (i = 0; i < info->map_bytes;) {
		const struct map_entry *e = at(info->map + i);

		add_map_entry(e->base, e->bytes, e->type);
		i += e->size + 4;
	}
}

static void read_modules(const struct info *info)
{
	const struct module_entry *m = at(info->modules);

	for (; given.module_count < info->module_count && given.module_count < MAX_MODULES; m++)
		given.module[given.module_count++] = (struct module){{m->start, m->end}, at(m->string)};
}

void kernel_main(uint32_t magic, uint32_t address)
{
	const struct info *info = at(address);
	uint32_t wanted = HAS_MEMORY | HAS_CMDLINE | HAS_MODULES | HAS_MAP | HAS_LOADER;

	given.map_sorted = true;
	check_equal(magic, MAGIC, "the magic number is that of version 1");
	check_equal(info->flags & wanted, wanted, "memory, command line, modules, map and loader's name are given");
	given.cmdline = at(info->cmdline);
	given.loader = at(info->loader);
	given.mem_lower = info->mem_lower;
	given.mem_upper = info->mem_upper;
	given.info = (struct range){address, address + sizeof(*info)};
	read_map(info);
	read_modules(info);
	if (info->flags & HAS_FRAMEBUFFER)
		given.framebuffer = (struct framebuffer){
			info->framebuffer, info->pitch,     info->width,     info->height,
			info->depth,       info->type,      info->colors[0], info->colors[1],
			info->colors[2],   info->colors[3], info->colors[4], info->colors[5],
		};
	if (info->flags & HAS_SECTIONS) {
		given.sections = at(info->sections);
		given.section_count = info->section_count;
		given.section_bytes = info->section_bytes;
	}
	check_given_and_finish();
}
