/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot headers; see multiboot.h. */
#include "boot/multiboot.h"
#include "boot/bytes.h"
#include "boot/multiboot_elf.h"

/* Multiboot 0.6.96, section 3.1 */
#define MB1_SEARCH 8192u
#define MB1_MAGIC 0x1badb002u
#define MB1_FLAGS_KNOWN 0x0007u /* page-aligned modules, memory information, video mode */
#define MB1_FLAGS_REQUIRED 0xffffu
#define MB1_ADDRESSES (1u << 16)
enum {
	MB1_FLAGS = 4,
	MB1_HEADER_ADDR = 12,
	MB1_LOAD_ADDR = 16,
	MB1_LOAD_END = 20,
	MB1_BSS_END = 24,
	MB1_ENTRY = 28,
	MB1_BYTES = 12,
	MB1_BYTES_ADDRESSES = 32
};

/* Multiboot 2.0, section 3.1 */
#define MB2_SEARCH 32768u
#define MB2_MAGIC 0xe85250d6u
#define MB2_I386 0u
#define MB2_OPTIONAL 1u
#define MB2_LOAD_FROM_START 0xffffffffu
#define MB2_PREFER_HIGHEST 2u
enum { MB2_ARCHITECTURE = 4, MB2_LENGTH = 8, MB2_BYTES = 16 };
enum mb2_header_tag {
	MB2_END,
	MB2_REQUEST,
	MB2_ADDRESS,
	MB2_ENTRY,
	MB2_CONSOLE,
	MB2_FRAMEBUFFER,
	MB2_MODULE_ALIGN,
	MB2_BOOT_SERVICES,
	MB2_ENTRY_EFI32,
	MB2_ENTRY_EFI64,
	MB2_RELOCATABLE,
};
/* The last type of the information's tags that the specification knows. */
#define MB2_INFO_LAST 21u

/* The address fields of either header. */
struct addresses {
	bool given;
	uint32_t header, load, load_end, bss_end;
	bool has_entry;
	uint32_t entry;
};

/* --- address fields ------------------------------------------------------------ */

static bool read_addresses(struct multiboot_image *image, const struct multiboot_file *k,
			   uint32_t header_at, const struct addresses *a)
{
	bool from_start = a->load == MB2_LOAD_FROM_START && image->version == 2;
	uint32_t load = from_start ? a->header - header_at : a->load;
	struct multiboot_segment s = {.to = load};

	if (a->header < load || a->header - load > header_at || (from_start && a->header < header_at))
		return multiboot_damaged(
			k, "the addresses in its multiboot header contradict its place in the file");
	s.offset = header_at - (a->header - load);
	s.bytes = k->size - s.offset;
	if (a->load_end) {
		if (a->load_end < load)
			return multiboot_damaged(
				k, "its multiboot header ends the load before it begins");
		s.bytes = a->load_end - load;
	}
	if (a->bss_end > load + s.bytes)
		s.zero = a->bss_end - load - s.bytes;
	return multiboot_add_segment(image, k, s) &&
	       (image->segment_count || multiboot_damaged(k, "it has nothing to load"));
}

static bool load(struct multiboot_image *image, const struct multiboot_file *k, uint32_t header_at,
		 const struct addresses *a)
{
	if (!(a->given ? read_addresses(image, k, header_at, a) : multiboot_read_elf(image, k)))
		return false;
	if (a->has_entry)
		image->entry = a->entry;
	if (!multiboot_overlaps(image, image->entry, (uint64_t)image->entry + 1))
		return multiboot_damaged(k, "its entry lies outside of what is loaded");
	return true;
}

/* --- version 1 ------------------------------------------------------------------ */

/* Offset of the header, or UINT32_MAX. */
static uint32_t find_header_1(const struct multiboot_file *k)
{
	uint64_t limit = k->size < MB1_SEARCH ? k->size : MB1_SEARCH;
	uint32_t at;

	for (at = 0; at + MB1_BYTES <= limit; at += 4) {
		const uint8_t *h = k->at + at;

		if (bytes_get_u32(h) == MB1_MAGIC &&
		    !(uint32_t)(MB1_MAGIC + bytes_get_u32(h + 4) + bytes_get_u32(h + 8)))
			return at;
	}
	return UINT32_MAX;
}

static bool parse_1(struct multiboot_image *image, const struct multiboot_file *k, uint32_t at)
{
	const uint8_t *h = k->at + at;
	uint32_t flags = bytes_get_u32(h + MB1_FLAGS);
	struct addresses a = {.given = flags & MB1_ADDRESSES};

	image->version = 1;
	if (flags & MB1_FLAGS_REQUIRED & ~MB1_FLAGS_KNOWN)
		return boot_error_set(k->error,
				      "%s asks for multiboot features 0x%x, which nobody has"
				      " defined; build it without them",
				      k->name, flags & MB1_FLAGS_REQUIRED & ~MB1_FLAGS_KNOWN);
	if (a.given) {
		if (!multiboot_in_file(k, at, 1, MB1_BYTES_ADDRESSES))
			return multiboot_damaged(k, "its multiboot header is cut off");
		a.header = bytes_get_u32(h + MB1_HEADER_ADDR);
		a.load = bytes_get_u32(h + MB1_LOAD_ADDR);
		a.load_end = bytes_get_u32(h + MB1_LOAD_END);
		a.bss_end = bytes_get_u32(h + MB1_BSS_END);
		a.has_entry = true;
		a.entry = bytes_get_u32(h + MB1_ENTRY);
	}
	return load(image, k, at, &a);
}

/* --- version 2 ------------------------------------------------------------------ */

static uint32_t find_header_2(const struct multiboot_file *k)
{
	uint64_t limit = k->size < MB2_SEARCH ? k->size : MB2_SEARCH;
	uint32_t at;

	for (at = 0; at + MB2_BYTES <= limit; at += 8) {
		const uint8_t *h = k->at + at;

		if (bytes_get_u32(h) == MB2_MAGIC && bytes_get_u32(h + MB2_ARCHITECTURE) == MB2_I386 &&
		    !(uint32_t)(MB2_MAGIC + MB2_I386 + bytes_get_u32(h + MB2_LENGTH) +
				bytes_get_u32(h + 12)))
			return at;
	}
	return UINT32_MAX;
}

static bool check_requests(const struct multiboot_file *k, const uint8_t *tag, uint32_t size)
{
	uint32_t i;

	for (i = 8; i + 4 <= size; i += 4)
		if (bytes_get_u32(tag + i) > MB2_INFO_LAST)
			return boot_error_set(k->error,
					      "%s asks for multiboot2 information of type"
					      " %u, which is unknown; build it without",
					      k->name, bytes_get_u32(tag + i));
	return true;
}

static bool read_relocatable(struct multiboot_image *image, const struct multiboot_file *k,
			     const uint8_t *tag)
{
	image->relocatable = true;
	image->min = bytes_get_u32(tag + 8);
	image->max = bytes_get_u32(tag + 12);
	image->alignment = bytes_get_u32(tag + 16);
	image->highest = bytes_get_u32(tag + 20) == MB2_PREFER_HIGHEST;
	if (image->alignment < 4096)
		image->alignment = 4096;
	if (image->min > image->max || (image->alignment & (image->alignment - 1)))
		return multiboot_damaged(k, "its tag for relocation contradicts itself");
	return true;
}

static bool read_tag(struct multiboot_image *image, const struct multiboot_file *k,
		     const uint8_t *tag, uint32_t size, struct addresses *a)
{
	/* Smallest sizes by type; those of the others do not matter. */
	static const uint8_t sizes[] = {[MB2_ADDRESS] = 24, [MB2_ENTRY] = 12, [MB2_RELOCATABLE] = 24};
	uint32_t type = (uint32_t)bytes_get(tag, 2);
	bool optional = bytes_get(tag + 2, 2) & MB2_OPTIONAL;

	if (type < sizeof(sizes) && size < sizes[type])
		return multiboot_damaged(k, "a tag in its multiboot2 header is too short");
	switch (type) {
	case MB2_REQUEST: return optional || check_requests(k, tag, size);
	case MB2_ADDRESS:
		a->given = true;
		a->header = bytes_get_u32(tag + 8);
		a->load = bytes_get_u32(tag + 12);
		a->load_end = bytes_get_u32(tag + 16);
		a->bss_end = bytes_get_u32(tag + 20);
		return true;
	case MB2_ENTRY:
		a->has_entry = true;
		a->entry = bytes_get_u32(tag + 8);
		return true;
	case MB2_RELOCATABLE: return read_relocatable(image, k, tag);
	case MB2_CONSOLE:
	case MB2_FRAMEBUFFER:  /* it gets the mode that the firmware has set */
	case MB2_MODULE_ALIGN: /* they always are */
	case MB2_ENTRY_EFI32:  /* for kernels that keep the boot services */
	case MB2_ENTRY_EFI64: return true;
	default:
		return optional ||
		       boot_error_set(k->error,
				      "%s needs %s (multiboot2 header tag %u);"
				      " build it without",
				      k->name,
				      type == MB2_BOOT_SERVICES ?
					      "EFI boot services, which end before it starts" :
					      "something unknown",
				      type);
	}
}

static bool parse_2(struct multiboot_image *image, const struct multiboot_file *k, uint32_t header_at)
{
	uint64_t end = (uint64_t)header_at + bytes_get_u32(k->at + header_at + MB2_LENGTH), at;
	struct addresses a = {.given = false};

	image->version = 2;
	if (end > k->size)
		return multiboot_damaged(k, "its multiboot2 header is cut off");
	for (at = header_at + MB2_BYTES; at + 8 <= end;) {
		const uint8_t *tag = k->at + at;
		uint32_t size = bytes_get_u32(tag + 4);

		if (bytes_get(tag, 2) == MB2_END)
			break;
		if (size < 8 || size > end - at)
			return multiboot_damaged(k,
						 "a tag in its multiboot2 header has a wrong size");
		if (!read_tag(image, k, tag, size, &a))
			return false;
		at += (size + 7ull) & ~7ull;
	}
	return load(image, k, header_at, &a);
}

bool multiboot_parse(struct multiboot_image *image, const uint8_t *file, uint64_t size,
		     const char *name, struct boot_error *error)
{
	struct multiboot_file k = {file, size, name, error};
	uint32_t at;

	*image = (struct multiboot_image){.version = 0};
	at = find_header_2(&k);
	if (at != UINT32_MAX)
		return parse_2(image, &k, at);
	at = find_header_1(&k);
	if (at != UINT32_MAX)
		return parse_1(image, &k, at);
	return boot_error_set(error,
			      "%s is not a multiboot kernel (no header of version 1 or 2);"
			      " give one in the line \"multiboot\"",
			      name);
}
