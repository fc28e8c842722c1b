/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF files as multiboot kernels; see multiboot_elf.h. */
#include "boot/multiboot_elf.h"
#include "boot/bytes.h"

/* ELF, gABI: the same fields at other places in the two classes. */
#define ELF_MAGIC 0x464c457fu
#define ELF_LITTLE 1
#define ELF_EXEC 2
#define ELF_DYN 3
#define ELF_386 3
#define ELF_X86_64 62
#define ELF_LOAD 1

struct field {
	uint8_t at, bytes;
};

struct elf_class {
	uint8_t machine, header_bytes, segment_bytes, section_bytes;
	struct field entry, segments, sections, segment_size, segment_count, section_size,
		section_count, section_names;
	struct field offset, virtual, physical, file_bytes, memory_bytes;
};

static const struct elf_class elf32 = {
	.machine = ELF_386,
	.header_bytes = 52,
	.segment_bytes = 32,
	.section_bytes = 40,
	.entry = {24, 4},
	.segments = {28, 4},
	.sections = {32, 4},
	.segment_size = {42, 2},
	.segment_count = {44, 2},
	.section_size = {46, 2},
	.section_count = {48, 2},
	.section_names = {50, 2},
	.offset = {4, 4},
	.virtual = {8, 4},
	.physical = {12, 4},
	.file_bytes = {16, 4},
	.memory_bytes = {20, 4},
};

static const struct elf_class elf64 = {
	.machine = ELF_X86_64,
	.header_bytes = 64,
	.segment_bytes = 56,
	.section_bytes = 64,
	.entry = {24, 8},
	.segments = {32, 8},
	.sections = {40, 8},
	.segment_size = {54, 2},
	.segment_count = {56, 2},
	.section_size = {58, 2},
	.section_count = {60, 2},
	.section_names = {62, 2},
	.offset = {8, 8},
	.virtual = {16, 8},
	.physical = {24, 8},
	.file_bytes = {32, 8},
	.memory_bytes = {40, 8},
};

static uint64_t read_field(const uint8_t *at, struct field field)
{
	return bytes_get(at + field.at, field.bytes);
}

static const struct elf_class *elf_class_of(const struct multiboot_file *k)
{
	const struct elf_class *class;
	uint64_t type;

	if (k->size < elf32.header_bytes || bytes_get_u32(k->at) != ELF_MAGIC ||
	    k->at[5] != ELF_LITTLE)
		return NULL;
	class = k->at[4] == 1 ? &elf32 : k->at[4] == 2 ? &elf64 : NULL;
	if (!class || k->size < class->header_bytes)
		return NULL;
	type = bytes_get(k->at + 16, 2);
	if ((type != ELF_EXEC && type != ELF_DYN) || bytes_get(k->at + 18, 2) != class->machine)
		return NULL;
	return class;
}

/* The kernel may be linked for other addresses than it is loaded at: so may its entry. */
static void find_entry(struct multiboot_image *image, const struct elf_class *class,
		       const uint8_t *segment, uint64_t entry)
{
	uint64_t virtual = read_field(segment, class->virtual);

	if (entry >= virtual && entry - virtual < read_field(segment, class->memory_bytes))
		image->entry = (uint32_t)(entry - virtual + read_field(segment, class->physical));
}

static bool read_segments(struct multiboot_image *image, const struct multiboot_file *k,
			  const struct elf_class *class)
{
	uint64_t at = read_field(k->at, class->segments), entry = read_field(k->at, class->entry);
	uint64_t count = read_field(k->at, class->segment_count), i;

	if (read_field(k->at, class->segment_size) != class->segment_bytes ||
	    !multiboot_in_file(k, at, count, class->segment_bytes))
		return multiboot_damaged(k, "its program headers are damaged");
	for (i = 0; i < count; i++) {
		const uint8_t *p = k->at + at + i * class->segment_bytes;
		struct multiboot_segment s = {
			.offset = read_field(p, class->offset),
			.to = read_field(p, class->physical),
			.bytes = read_field(p, class->file_bytes),
		};

		if (bytes_get_u32(p) != ELF_LOAD)
			continue;
		if (read_field(p, class->memory_bytes) < s.bytes)
			return multiboot_damaged(k, "its program headers are damaged");
		s.zero = read_field(p, class->memory_bytes) - s.bytes;
		if (!multiboot_add_segment(image, k, s))
			return false;
		find_entry(image, class, p, entry);
	}
	return true;
}

/* Symbols are a courtesy: without good section headers there are none. */
static void read_sections(struct multiboot_image *image, const struct multiboot_file *k,
			  const struct elf_class *class)
{
	struct multiboot_sections s = {
		.offset = read_field(k->at, class->sections),
		.count = (uint32_t)read_field(k->at, class->section_count),
		.entry_bytes = class->section_bytes,
		.names = (uint32_t)read_field(k->at, class->section_names),
		.elf64 = class == &elf64,
	};

	if (s.offset && read_field(k->at, class->section_size) == class->section_bytes &&
	    multiboot_in_file(k, s.offset, s.count, s.entry_bytes) && s.names < s.count)
		image->sections = s;
}

bool multiboot_read_elf(struct multiboot_image *image, const struct multiboot_file *k)
{
	const struct elf_class *class = elf_class_of(k);
	uint64_t entry;

	if (!class)
		return multiboot_damaged(
			k, "it is no x86 ELF file, and its multiboot header has no address fields");
	entry = read_field(k->at, class->entry);
	image->entry = (uint32_t)entry;
	if (!read_segments(image, k, class))
		return false;
	if (!image->segment_count)
		return multiboot_damaged(k, "it has nothing to load");
	read_sections(image, k, class);
	return true;
}
