/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot headers and the ELF files behind them; see multiboot.h. */
#include "boot/multiboot.h"

#define ADDRESS_LIMIT (1ull << 32)

/* Multiboot 0.6.96, section 3.1 */
#define MB1_SEARCH 8192u
#define MB1_MAGIC 0x1badb002u
#define MB1_FLAGS_KNOWN 0x0007u  /* page-aligned modules, memory information, video mode */
#define MB1_FLAGS_REQUIRED 0xffffu
#define MB1_ADDRESSES (1u << 16)
enum { MB1_FLAGS = 4, MB1_HEADER_ADDR = 12, MB1_LOAD_ADDR = 16, MB1_LOAD_END = 20, MB1_BSS_END = 24,
       MB1_ENTRY = 28, MB1_BYTES = 12, MB1_BYTES_ADDRESSES = 32 };

/* Multiboot 2.0, section 3.1 */
#define MB2_SEARCH 32768u
#define MB2_MAGIC 0xe85250d6u
#define MB2_I386 0u
#define MB2_OPTIONAL 1u
#define MB2_LOAD_FROM_START 0xffffffffu
#define MB2_PREFER_HIGHEST 2u
enum { MB2_ARCHITECTURE = 4, MB2_LENGTH = 8, MB2_BYTES = 16 };
enum mb2_header_tag {
	MB2_END, MB2_REQUEST, MB2_ADDRESS, MB2_ENTRY, MB2_CONSOLE, MB2_FRAMEBUFFER, MB2_MODULE_ALIGN,
	MB2_BOOT_SERVICES, MB2_ENTRY_EFI32, MB2_ENTRY_EFI64, MB2_RELOCATABLE,
};
/* The last type of the information's tags that the specification knows. */
#define MB2_INFO_LAST 21u

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
	.machine = ELF_386, .header_bytes = 52, .segment_bytes = 32, .section_bytes = 40,
	.entry = {24, 4}, .segments = {28, 4}, .sections = {32, 4}, .segment_size = {42, 2},
	.segment_count = {44, 2}, .section_size = {46, 2}, .section_count = {48, 2},
	.section_names = {50, 2}, .offset = {4, 4}, .virtual = {8, 4}, .physical = {12, 4},
	.file_bytes = {16, 4}, .memory_bytes = {20, 4},
};

static const struct elf_class elf64 = {
	.machine = ELF_X86_64, .header_bytes = 64, .segment_bytes = 56, .section_bytes = 64,
	.entry = {24, 8}, .segments = {32, 8}, .sections = {40, 8}, .segment_size = {54, 2},
	.segment_count = {56, 2}, .section_size = {58, 2}, .section_count = {60, 2},
	.section_names = {62, 2}, .offset = {8, 8}, .virtual = {16, 8}, .physical = {24, 8},
	.file_bytes = {32, 8}, .memory_bytes = {40, 8},
};

/* The file with its name for messages. */
struct kernel {
	const uint8_t *file;
	uint64_t size;
	const char *name;
	struct boot_error *error;
};

/* The address fields of either header. */
struct addresses {
	bool given;
	uint32_t header, load, load_end, bss_end;
	bool has_entry;
	uint32_t entry;
};

static uint64_t read_le(const uint8_t *at, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | at[bytes];
	return v;
}

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)read_le(at, 4);
}

static uint64_t read_field(const uint8_t *at, struct field field)
{
	return read_le(at + field.at, field.bytes);
}

static bool damaged(const struct kernel *k, const char *what)
{
	return boot_error_set(k->error, "%s: %s; build or copy the kernel again", k->name, what);
}

static bool add_segment(struct multiboot_image *image, const struct kernel *k,
			struct multiboot_segment s)
{
	if (s.bytes + s.zero == 0)
		return true;
	if (image->segment_count == MULTIBOOT_SEGMENTS_MAX)
		return damaged(k, "it has more than 32 segments");
	if (s.offset > k->size || s.bytes > k->size - s.offset)
		return damaged(k, "a segment lies outside of the file, which is cut off or damaged");
	if (s.to >= ADDRESS_LIMIT || s.bytes > ADDRESS_LIMIT || s.zero > ADDRESS_LIMIT ||
	    s.to + s.bytes + s.zero > ADDRESS_LIMIT)
		return damaged(k, "a segment does not lie below 4 GiB");
	image->segment[image->segment_count++] = s;
	return true;
}

/* --- ELF ---------------------------------------------------------------------- */

static const struct elf_class *elf_class_of(const struct kernel *k)
{
	const struct elf_class *class;
	uint64_t type;

	if (k->size < elf32.header_bytes || read_u32(k->file) != ELF_MAGIC || k->file[5] != ELF_LITTLE)
		return NULL;
	class = k->file[4] == 1 ? &elf32 : k->file[4] == 2 ? &elf64 : NULL;
	if (!class || k->size < class->header_bytes)
		return NULL;
	type = read_le(k->file + 16, 2);
	if ((type != ELF_EXEC && type != ELF_DYN) || read_le(k->file + 18, 2) != class->machine)
		return NULL;
	return class;
}

/* An array of count records at offset lies in the file. */
static bool in_file(const struct kernel *k, uint64_t offset, uint64_t count, uint64_t bytes)
{
	return offset <= k->size && count <= (k->size - offset) / bytes;
}

/* The kernel may be linked for other addresses than it is loaded at: so may its entry. */
static void find_entry(struct multiboot_image *image, const struct elf_class *class,
		       const uint8_t *segment, uint64_t entry)
{
	uint64_t virtual = read_field(segment, class->virtual);

	if (entry >= virtual && entry - virtual < read_field(segment, class->memory_bytes))
		image->entry = (uint32_t)(entry - virtual + read_field(segment, class->physical));
}

static bool read_segments(struct multiboot_image *image, const struct kernel *k,
			  const struct elf_class *class)
{
	uint64_t at = read_field(k->file, class->segments), entry = read_field(k->file, class->entry);
	uint64_t count = read_field(k->file, class->segment_count), i;

	if (read_field(k->file, class->segment_size) != class->segment_bytes ||
	    !in_file(k, at, count, class->segment_bytes))
		return damaged(k, "its program headers are damaged");
	for (i = 0; i < count; i++) {
		const uint8_t *p = k->file + at + i * class->segment_bytes;
		struct multiboot_segment s = {
			.offset = read_field(p, class->offset), .to = read_field(p, class->physical),
			.bytes = read_field(p, class->file_bytes),
		};

		if (read_u32(p) != ELF_LOAD)
			continue;
		if (read_field(p, class->memory_bytes) < s.bytes)
			return damaged(k, "its program headers are damaged");
		s.zero = read_field(p, class->memory_bytes) - s.bytes;
		if (!add_segment(image, k, s))
			return false;
		find_entry(image, class, p, entry);
	}
	return true;
}

/* Symbols are a courtesy: without good section headers there are none. */
static void read_sections(struct multiboot_image *image, const struct kernel *k,
			  const struct elf_class *class)
{
	struct multiboot_sections s = {
		.offset = read_field(k->file, class->sections),
		.count = (uint32_t)read_field(k->file, class->section_count),
		.entry_bytes = class->section_bytes,
		.names = (uint32_t)read_field(k->file, class->section_names),
		.elf64 = class == &elf64,
	};

	if (s.offset && read_field(k->file, class->section_size) == class->section_bytes &&
	    in_file(k, s.offset, s.count, s.entry_bytes) && s.names < s.count)
		image->sections = s;
}

static bool read_elf(struct multiboot_image *image, const struct kernel *k)
{
	const struct elf_class *class = elf_class_of(k);
	uint64_t entry;

	if (!class)
		return damaged(k, "it is no x86 ELF file, and its multiboot header has no address fields");
	entry = read_field(k->file, class->entry);
	image->entry = (uint32_t)entry;
	if (!read_segments(image, k, class))
		return false;
	if (!image->segment_count)
		return damaged(k, "it has nothing to load");
	read_sections(image, k, class);
	return true;
}

/* --- address fields ------------------------------------------------------------ */

static bool read_addresses(struct multiboot_image *image, const struct kernel *k, uint32_t header_at,
			   const struct addresses *a)
{
	bool from_start = a->load == MB2_LOAD_FROM_START && image->version == 2;
	uint32_t load = from_start ? a->header - header_at : a->load;
	struct multiboot_segment s = {.to = load};

	if (a->header < load || a->header - load > header_at || (from_start && a->header < header_at))
		return damaged(k, "the addresses in its multiboot header contradict its place in the file");
	s.offset = header_at - (a->header - load);
	s.bytes = k->size - s.offset;
	if (a->load_end) {
		if (a->load_end < load)
			return damaged(k, "its multiboot header ends the load before it begins");
		s.bytes = a->load_end - load;
	}
	if (a->bss_end > load + s.bytes)
		s.zero = a->bss_end - load - s.bytes;
	return add_segment(image, k, s) &&
		(image->segment_count || damaged(k, "it has nothing to load"));
}

static bool load(struct multiboot_image *image, const struct kernel *k, uint32_t header_at,
		 const struct addresses *a)
{
	if (!(a->given ? read_addresses(image, k, header_at, a) : read_elf(image, k)))
		return false;
	if (a->has_entry)
		image->entry = a->entry;
	if (!multiboot_overlaps(image, image->entry, (uint64_t)image->entry + 1))
		return damaged(k, "its entry lies outside of what is loaded");
	return true;
}

/* --- version 1 ------------------------------------------------------------------ */

/* Offset of the header, or UINT32_MAX. */
static uint32_t find_header_1(const struct kernel *k)
{
	uint64_t limit = k->size < MB1_SEARCH ? k->size : MB1_SEARCH;
	uint32_t at;

	for (at = 0; at + MB1_BYTES <= limit; at += 4) {
		const uint8_t *h = k->file + at;

		if (read_u32(h) == MB1_MAGIC && !(uint32_t)(MB1_MAGIC + read_u32(h + 4) + read_u32(h + 8)))
			return at;
	}
	return UINT32_MAX;
}

static bool parse_1(struct multiboot_image *image, const struct kernel *k, uint32_t at)
{
	const uint8_t *h = k->file + at;
	uint32_t flags = read_u32(h + MB1_FLAGS);
	struct addresses a = {.given = flags & MB1_ADDRESSES};

	image->version = 1;
	if (flags & MB1_FLAGS_REQUIRED & ~MB1_FLAGS_KNOWN)
		return boot_error_set(k->error, "%s asks for multiboot features 0x%x, which nobody has"
				      " defined; build it without them", k->name,
				      flags & MB1_FLAGS_REQUIRED & ~MB1_FLAGS_KNOWN);
	if (a.given) {
		if (!in_file(k, at, 1, MB1_BYTES_ADDRESSES))
			return damaged(k, "its multiboot header is cut off");
		a.header = read_u32(h + MB1_HEADER_ADDR);
		a.load = read_u32(h + MB1_LOAD_ADDR);
		a.load_end = read_u32(h + MB1_LOAD_END);
		a.bss_end = read_u32(h + MB1_BSS_END);
		a.has_entry = true;
		a.entry = read_u32(h + MB1_ENTRY);
	}
	return load(image, k, at, &a);
}

/* --- version 2 ------------------------------------------------------------------ */

static uint32_t find_header_2(const struct kernel *k)
{
	uint64_t limit = k->size < MB2_SEARCH ? k->size : MB2_SEARCH;
	uint32_t at;

	for (at = 0; at + MB2_BYTES <= limit; at += 8) {
		const uint8_t *h = k->file + at;

		if (read_u32(h) == MB2_MAGIC && read_u32(h + MB2_ARCHITECTURE) == MB2_I386 &&
		    !(uint32_t)(MB2_MAGIC + MB2_I386 + read_u32(h + MB2_LENGTH) + read_u32(h + 12)))
			return at;
	}
	return UINT32_MAX;
}

static bool check_requests(const struct kernel *k, const uint8_t *tag, uint32_t size)
{
	uint32_t i;

	for (i = 8; i + 4 <= size; i += 4)
		if (read_u32(tag + i) > MB2_INFO_LAST)
			return boot_error_set(k->error, "%s asks for multiboot2 information of type"
					      " %u, which is unknown; build it without", k->name,
					      read_u32(tag + i));
	return true;
}

static bool read_relocatable(struct multiboot_image *image, const struct kernel *k, const uint8_t *tag)
{
	image->relocatable = true;
	image->min = read_u32(tag + 8);
	image->max = read_u32(tag + 12);
	image->alignment = read_u32(tag + 16);
	image->highest = read_u32(tag + 20) == MB2_PREFER_HIGHEST;
	if (image->alignment < 4096)
		image->alignment = 4096;
	if (image->min > image->max || (image->alignment & (image->alignment - 1)))
		return damaged(k, "its tag for relocation contradicts itself");
	return true;
}

static bool read_tag(struct multiboot_image *image, const struct kernel *k, const uint8_t *tag,
		     uint32_t size, struct addresses *a)
{
	/* Smallest sizes by type; those of the others do not matter. */
	static const uint8_t sizes[] = {[MB2_ADDRESS] = 24, [MB2_ENTRY] = 12, [MB2_RELOCATABLE] = 24};
	uint32_t type = (uint32_t)read_le(tag, 2);
	bool optional = read_le(tag + 2, 2) & MB2_OPTIONAL;

	if (type < sizeof(sizes) && size < sizes[type])
		return damaged(k, "a tag in its multiboot2 header is too short");
	switch (type) {
	case MB2_REQUEST:
		return optional || check_requests(k, tag, size);
	case MB2_ADDRESS:
		a->given = true;
		a->header = read_u32(tag + 8);
		a->load = read_u32(tag + 12);
		a->load_end = read_u32(tag + 16);
		a->bss_end = read_u32(tag + 20);
		return true;
	case MB2_ENTRY:
		a->has_entry = true;
		a->entry = read_u32(tag + 8);
		return true;
	case MB2_RELOCATABLE:
		return read_relocatable(image, k, tag);
	case MB2_CONSOLE:
	case MB2_FRAMEBUFFER:   /* it gets the mode that the firmware has set */
	case MB2_MODULE_ALIGN:  /* they always are */
	case MB2_ENTRY_EFI32:   /* for kernels that keep the boot services */
	case MB2_ENTRY_EFI64:
		return true;
	default:
		return optional || boot_error_set(k->error, "%s needs %s (multiboot2 header tag %u);"
			" build it without", k->name, type == MB2_BOOT_SERVICES ?
			"EFI boot services, which end before it starts" : "something unknown", type);
	}
}

static bool parse_2(struct multiboot_image *image, const struct kernel *k, uint32_t header_at)
{
	uint64_t end = (uint64_t)header_at + read_u32(k->file + header_at + MB2_LENGTH), at;
	struct addresses a = {.given = false};

	image->version = 2;
	if (end > k->size)
		return damaged(k, "its multiboot2 header is cut off");
	for (at = header_at + MB2_BYTES; at + 8 <= end;) {
		const uint8_t *tag = k->file + at;
		uint32_t size = read_u32(tag + 4);

		if (read_le(tag, 2) == MB2_END)
			break;
		if (size < 8 || size > end - at)
			return damaged(k, "a tag in its multiboot2 header has a wrong size");
		if (!read_tag(image, k, tag, size, &a))
			return false;
		at += (size + 7ull) & ~7ull;
	}
	return load(image, k, header_at, &a);
}

bool multiboot_parse(struct multiboot_image *image, const uint8_t *file, uint64_t size,
		     const char *name, struct boot_error *error)
{
	struct kernel k = {file, size, name, error};
	uint32_t at;

	*image = (struct multiboot_image){.version = 0};
	at = find_header_2(&k);
	if (at != UINT32_MAX)
		return parse_2(image, &k, at);
	at = find_header_1(&k);
	if (at != UINT32_MAX)
		return parse_1(image, &k, at);
	return boot_error_set(error, "%s is not a multiboot kernel (no header of version 1 or 2);"
			      " give one in the line \"multiboot\"", name);
}

/* --- the image as a whole --------------------------------------------------------- */

static uint64_t segment_end(const struct multiboot_segment *s)
{
	return s->to + s->bytes + s->zero;
}

uint64_t multiboot_base(const struct multiboot_image *image)
{
	uint64_t base = ADDRESS_LIMIT;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (image->segment[i].to < base)
			base = image->segment[i].to;
	return base;
}

uint64_t multiboot_end(const struct multiboot_image *image)
{
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (segment_end(&image->segment[i]) > end)
			end = segment_end(&image->segment[i]);
	return end;
}

bool multiboot_overlaps(const struct multiboot_image *image, uint64_t base, uint64_t end)
{
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		if (image->segment[i].to < end && segment_end(&image->segment[i]) > base)
			return true;
	return false;
}

void multiboot_move(struct multiboot_image *image, uint64_t base)
{
	uint64_t from = multiboot_base(image);
	uint32_t i;

	for (i = 0; i < image->segment_count; i++)
		image->segment[i].to += base - from;
	image->entry += (uint32_t)(base - from);
}
