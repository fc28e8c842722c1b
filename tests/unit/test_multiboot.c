/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot: headers of both versions and ELF files of both classes are read
 * right, every broken one is refused with its reason; the information is read
 * back field by field by the specifications' offsets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/multiboot.h"
#include "boot/multiboot_info.h"

#define FILE_BYTES 16384u
#define HEADER_AT 0x100u
#define MB1 0x1badb002u
#define MB2 0xe85250d6u

static uint8_t file[FILE_BYTES];
static struct multiboot_image image;
static struct boot_error error;

static void put(uint32_t offset, uint32_t bytes, uint64_t v)
{
	for (; bytes; bytes--, v >>= 8)
		file[offset++] = (uint8_t)v;
}

static bool parse(uint32_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	bool good;

	memcpy(copy, file, size);
	error.text[0] = '\0';
	good = multiboot_parse(&image, copy, size, "/kernel", &error);
	free(copy);
	if (!good)
		assert_non_null(strstr(error.text, "/kernel"));
	return good;
}

static void assert_refused(const char *reason)
{
	assert_false(parse(FILE_BYTES));
	if (!strstr(error.text, reason))
		fail_msg("\"%s\" is not in \"%s\"", reason, error.text);
}

static int clear(void **state)
{
	memset(file, 0, sizeof(file));
	return 0;
}

static void header_1(uint32_t at, uint32_t flags)
{
	put(at, 4, MB1);
	put(at + 4, 4, flags);
	put(at + 8, 4, -(MB1 + flags));
}

static void addresses_1(uint32_t header, uint32_t load, uint32_t load_end, uint32_t bss_end, uint32_t entry)
{
	header_1(HEADER_AT, 1u << 16);
	put(HEADER_AT + 12, 4, header);
	put(HEADER_AT + 16, 4, load);
	put(HEADER_AT + 20, 4, load_end);
	put(HEADER_AT + 24, 4, bss_end);
	put(HEADER_AT + 28, 4, entry);
}

/* The ELF header of a file with two segments and three section headers. */
static void elf(bool wide, uint64_t entry)
{
	put(0, 4, 0x464c457f);
	put(4, 1, wide ? 2 : 1);
	put(5, 1, 1);
	put(6, 1, 1);
	put(16, 2, 2);
	put(18, 2, wide ? 62 : 3);
	put(20, 4, 1);
	put(24, wide ? 8 : 4, entry);
	put(wide ? 32 : 28, wide ? 8 : 4, 0x800);
	put(wide ? 40 : 32, wide ? 8 : 4, 0xa00);
	put(wide ? 54 : 42, 2, wide ? 56 : 32);
	put(wide ? 56 : 44, 2, 2);
	put(wide ? 58 : 46, 2, wide ? 64 : 40);
	put(wide ? 60 : 48, 2, 3);
	put(wide ? 62 : 50, 2, 2);
}

static void segment(bool wide, uint32_t i, uint64_t offset, uint64_t virtual, uint64_t physical, uint64_t bytes,
		    uint64_t memory)
{
	uint32_t at = 0x800 + i * (wide ? 56 : 32), word = wide ? 8 : 4;

	put(at, 4, 1);
	at += word;
	put(at, word, offset);
	put(at + word, word, virtual);
	put(at + 2 * word, word, physical);
	put(at + 3 * word, word, bytes);
	put(at + 4 * word, word, memory);
}

static void good_elf(bool wide)
{
	clear(NULL);
	elf(wide, 0x100010);
	segment(wide, 0, 0x1000, 0x100000, 0x100000, 0x500, 0x500);
	segment(wide, 1, 0x2000, 0x200000, 0x200000, 0x100, 0x3000);
}

/* --- parsing --------------------------------------------------------------------- */

static void elf_files_of_both_classes_are_read(void **state)
{
	int wide, version;

	for (version = 1; version <= 2; version++) {
		for (wide = 0; wide <= 1; wide++) {
			good_elf(wide);
			if (version == 1) {
				header_1(HEADER_AT, 3);
			} else {
				put(HEADER_AT, 4, MB2);
				put(HEADER_AT + 8, 4, 24);
				put(HEADER_AT + 12, 4, -(MB2 + 24));
				put(HEADER_AT + 20, 4, 8);
			}
			assert_true(parse(FILE_BYTES));
			assert_int_equal(image.version, version);
			assert_int_equal(image.entry, 0x100010);
			assert_int_equal(image.segment_count, 2);
			assert_int_equal(image.segment[1].offset, 0x2000);
			assert_int_equal(image.segment[1].to, 0x200000);
			assert_int_equal(image.segment[1].bytes, 0x100);
			assert_int_equal(image.segment[1].zero, 0x2f00);
			assert_int_equal(multiboot_base(&image), 0x100000);
			assert_int_equal(multiboot_end(&image), 0x203000);
			assert_int_equal(image.sections.count, 3);
			assert_int_equal(image.sections.entry_bytes, wide ? 64 : 40);
			assert_int_equal(image.sections.names, 2);
			assert_false(image.relocatable);
		}
	}
}

static void a_kernel_linked_high_is_entered_low(void **state)
{
	elf(true, 0xffffffff80100020);
	segment(true, 0, 0x1000, 0xffffffff80100000, 0x100000, 0x500, 0x500);
	segment(true, 1, 0x2000, 0xffffffff80200000, 0x200000, 0x100, 0x100);
	header_1(HEADER_AT, 0);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.entry, 0x100020);
	put(24, 8, 0xffffffff90000000);
	assert_refused("its entry lies outside of what is loaded");
}

static void address_fields_say_what_is_loaded(void **state)
{
	addresses_1(0x100100, 0x100000, 0x102000, 0x105000, 0x100200);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.segment_count, 1);
	assert_int_equal(image.segment[0].offset, 0);
	assert_int_equal(image.segment[0].to, 0x100000);
	assert_int_equal(image.segment[0].bytes, 0x2000);
	assert_int_equal(image.segment[0].zero, 0x3000);
	assert_int_equal(image.entry, 0x100200);
	assert_int_equal(image.sections.count, 0);
	/* load from the header on, to the file's end, without bss */
	addresses_1(0x100100, 0x100100, 0, 0, 0x100200);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.segment[0].offset, 0x100);
	assert_int_equal(image.segment[0].bytes, FILE_BYTES - 0x100);
	assert_int_equal(image.segment[0].zero, 0);
}

static void address_fields_go_before_elf(void **state)
{
	good_elf(false);
	addresses_1(0x300100, 0x300000, 0, 0, 0x300200);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(multiboot_base(&image), 0x300000);
}

static void address_fields_that_contradict_are_refused(void **state)
{
	addresses_1(0x100100, 0x100101, 0, 0, 0x100200); /* header before load */
	assert_refused("contradict");
	addresses_1(0x100100, 0x0fff00, 0, 0, 0x100200); /* begins before the file */
	assert_refused("contradict");
	addresses_1(0x100100, 0x100000, 0x0ff000, 0, 0x100200);
	assert_refused("ends the load before");
	addresses_1(0x100100, 0x100000, 0x102000, 0x105000, 0x100200);
	assert_false(parse(HEADER_AT + 20));
	assert_non_null(strstr(error.text, "its multiboot header is cut off"));
	addresses_1(0x100100, 0x100000, 0x100000 + FILE_BYTES + 1, 0, 0x100200);
	assert_refused("outside of the file");
	addresses_1(0x100100, 0x100000, 0, 0, 0x900200);
	assert_refused("entry");
	addresses_1(0xfffff100, 0xfffff000, 0, 0, 0xfffff200);
	assert_refused("4 GiB");
}

static void a_header_must_lie_early_and_aligned(void **state)
{
	good_elf(false);
	assert_refused("no header");
	header_1(8192 - 12, 0);
	assert_true(parse(FILE_BYTES));
	clear(NULL);
	good_elf(false);
	header_1(8192 - 8, 0);
	assert_refused("no header");
	good_elf(false);
	header_1(HEADER_AT + 2, 0);
	assert_refused("no header");
	good_elf(false);
	header_1(HEADER_AT, 0);
	put(HEADER_AT + 8, 4, 1); /* checksum */
	assert_refused("no header");
}

static void unknown_requirements_are_refused(void **state)
{
	good_elf(false);
	header_1(HEADER_AT, 8);
	assert_refused("0x8");
	header_1(HEADER_AT, 0xfffe0007); /* bits 17 on are optional */
	assert_true(parse(FILE_BYTES));
}

static void bad_elf_files_are_refused(void **state)
{
	good_elf(false);
	header_1(HEADER_AT, 0);
	put(18, 2, 40); /* ARM */
	assert_refused(
		"it is no x86 ELF file, and its multiboot header has no address fields; build or copy the kernel again");
	good_elf(false);
	header_1(HEADER_AT, 0);
	put(28, 4, FILE_BYTES - 32);
	assert_refused("program headers");
	good_elf(true);
	header_1(HEADER_AT, 0);
	put(32, 8, UINT64_MAX);
	assert_refused("program headers");
	good_elf(false);
	header_1(HEADER_AT, 0);
	segment(false, 1, FILE_BYTES, 0x200000, 0x200000, 1, 1);
	assert_refused("outside of the file");
	segment(false, 1, 0, 0x200000, 0x200000, 2, 1);
	assert_refused("program headers");
	good_elf(true);
	header_1(HEADER_AT, 0);
	segment(true, 1, 0, 0, 0x100000000, 2, 2);
	assert_refused("4 GiB");
	segment(true, 1, 0, 0, 0xfffff000, 2, 0x1001);
	assert_refused("4 GiB");
	segment(true, 1, 0, 0, 0xfffff000, 2, UINT64_MAX);
	assert_refused("4 GiB");
	put(0x800, 4, 2);
	put(0x838, 4, 2);
	assert_refused("nothing to load");
}

static void more_segments_than_there_is_room_for_are_refused(void **state)
{
	good_elf(false);
	header_1(HEADER_AT, 0);
	for (uint32_t i = 1; i < 33; i++)
		segment(false, i, 0x2000, 0x200000 + i * 0x1000, 0x200000 + i * 0x1000, 0x10, 0x10);
	put(44, 2, 32);
	assert_true(parse(FILE_BYTES));
	put(44, 2, 33);
	assert_refused("it has more than 32 segments");
}

static void bad_section_headers_only_cost_the_symbols(void **state)
{
	good_elf(true);
	header_1(HEADER_AT, 0);
	put(40, 8, FILE_BYTES - 64);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.sections.count, 0);
}

/* --- version 2's tags ------------------------------------------------------------- */

static uint32_t tag_at;

static void begin_2(void)
{
	good_elf(false);
	put(HEADER_AT, 4, MB2);
	tag_at = HEADER_AT + 16;
}

static void tag(uint32_t type, uint32_t flags, uint32_t size, ...)
{
	va_list values;
	uint32_t at;

	put(tag_at, 2, type);
	put(tag_at + 2, 2, flags);
	put(tag_at + 4, 4, size);
	va_start(values, size);
	for (at = 8; at < size; at += 4)
		put(tag_at + at, 4, va_arg(values, uint32_t));
	va_end(values);
	tag_at += (size + 7) & ~7u;
}

static void end_2(void)
{
	uint32_t length;

	tag(0, 0, 8);
	length = tag_at - HEADER_AT;
	put(HEADER_AT + 8, 4, length);
	put(HEADER_AT + 12, 4, -(MB2 + length));
}

static void tags_of_version_2_are_followed(void **state)
{
	begin_2();
	tag(1, 0, 16, 6u, 8u);
	tag(3, 0, 12, 0x100040u);
	tag(6, 0, 8);
	tag(4, 0, 12, 3u);
	tag(99, 1, 12, 7u);
	tag(10, 0, 24, 0x200000u, 0x3fffffffu, 0x10000u, 2u);
	end_2();
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.entry, 0x100040);
	assert_true(image.relocatable && image.highest);
	assert_int_equal(image.min, 0x200000);
	assert_int_equal(image.max, 0x3fffffff);
	assert_int_equal(image.alignment, 0x10000);
	multiboot_move(&image, 0x10000000);
	assert_int_equal(image.entry, 0x10000040);
	assert_int_equal(image.segment[1].to, 0x10100000);
	assert_true(multiboot_overlaps(&image, 0x10102fff, 0x10103000));
	assert_false(multiboot_overlaps(&image, 0x10103000, 0x20000000));
	assert_false(multiboot_overlaps(&image, 0x10000500, 0x10100000));
}

static void address_tags_say_what_is_loaded(void **state)
{
	begin_2();
	tag(2, 0, 24, 0x400100u, 0xffffffffu, 0x400800u, 0x401000u);
	tag(3, 0, 12, 0x400300u);
	end_2();
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.segment[0].to, 0x400000);
	assert_int_equal(image.segment[0].offset, 0);
	assert_int_equal(image.segment[0].bytes, 0x800);
	assert_int_equal(image.segment[0].zero, 0x800);
	begin_2();
	tag(2, 0, 24, 0x80u, 0xffffffffu, 0u, 0u);
	end_2();
	assert_refused("contradict");
}

static void what_version_2_cannot_have_is_refused(void **state)
{
	begin_2();
	tag(7, 0, 8);
	end_2();
	assert_refused("needs EFI boot services, which end before it starts (multiboot2 header tag");
	begin_2();
	tag(7, 1, 8);
	tag(8, 0, 12, 0x100000u);
	tag(9, 0, 12, 0x100000u);
	end_2();
	assert_true(parse(FILE_BYTES));
	begin_2();
	tag(1, 0, 12, 77u);
	end_2();
	assert_refused("asks for multiboot2 information of type 77, which is unknown");
	begin_2();
	tag(1, 1, 12, 77u);
	end_2();
	assert_true(parse(FILE_BYTES));
	begin_2();
	tag(55, 0, 8);
	end_2();
	assert_refused("tag 55");
}

static void broken_tags_are_refused(void **state)
{
	begin_2();
	tag(10, 0, 16, 0u, 0u);
	end_2();
	assert_refused("a tag in its multiboot2 header is too short");
	begin_2();
	tag(10, 0, 24, 5u, 4u, 4096u, 0u);
	end_2();
	assert_refused("relocation");
	begin_2();
	tag(10, 0, 24, 0u, 4096u, 12288u, 0u);
	end_2();
	assert_refused("relocation");
	begin_2();
	tag(6, 0, 8);
	end_2();
	put(HEADER_AT + 20, 4, 0);
	assert_refused("wrong size");
	put(HEADER_AT + 20, 4, 0x7fffffff);
	assert_refused("wrong size");
	begin_2();
	put(HEADER_AT + 8, 4, 0x7fffffff);
	put(HEADER_AT + 12, 4, -(MB2 + 0x7fffffff));
	assert_refused("its multiboot2 header is cut off");
}

static void the_newer_header_is_taken(void **state)
{
	begin_2();
	end_2();
	header_1(0x80, 0);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(image.version, 2);
}

static void short_files_are_survived(void **state)
{
	uint32_t size;

	begin_2();
	tag(10, 0, 24, 0u, 0x3fffffffu, 4096u, 0u);
	end_2();
	for (size = 0; size < 0x2000; size++)
		assert_false(parse(size));
	good_elf(true);
	addresses_1(0x100100, 0x100000, 0, 0, 0x100000);
	for (size = 0; size < HEADER_AT + 32; size++)
		assert_false(parse(size));
}

/* Random damage: nothing outside the file is read; what is accepted lies in file and memory. */
static void random_damage_is_survived(void **state)
{
	uint32_t round, i;

	srand(3);
	for (round = 0; round < 60000; round++) {
		if (round % 3 == 0) {
			begin_2();
			tag(1, 0, 16, 6u, 8u);
			tag(3, 0, 12, 0x100040u);
			tag(10, 0, 24, 0u, 0x3fffffffu, 4096u, 0u);
			end_2();
		} else {
			good_elf(round % 3 == 1);
			header_1(HEADER_AT, 0);
		}
		for (i = 0; i < 3; i++)
			file[(i         ? 0x800 :
			      round & 1 ? HEADER_AT + 12 :
					  0) +
			     (uint32_t)rand() % 128] = (uint8_t)rand();
		if (!parse(FILE_BYTES))
			continue;
		for (i = 0; i < image.segment_count; i++) {
			const struct multiboot_segment *s = &image.segment[i];

			assert_true(s->offset + s->bytes <= FILE_BYTES || !s->bytes);
			assert_true(s->to + s->bytes + s->zero <= 1ull << 32);
		}
		assert_true(image.entry >= multiboot_base(&image) && image.entry < multiboot_end(&image));
	}
}

/* --- the information ---------------------------------------------------------------- */

#define INFO_AT 0x20000u
static uint8_t out[8192];

static uint64_t get(uint64_t address, uint32_t bytes)
{
	uint64_t v = 0;

	assert_true(address >= INFO_AT && address + bytes <= INFO_AT + sizeof(out));
	while (bytes--)
		v = v << 8 | out[address - INFO_AT + bytes];
	return v;
}

static const char *string_at(uint64_t address)
{
	get(address, 1);
	return (const char *)out + (address - INFO_AT);
}

static const struct e820_entry e820[] = {
	{0, 0x9f000, E820_RAM},
	{0x9f000, 0x1000, E820_RESERVED},
	{0x100000, 0x700000, E820_RAM},
	{0x800000, 0x8000, E820_NVS},
	{0x808000, 0x17f8000, E820_RAM},
	{0x2000000, 0x1000, E820_PMEM},
	{0x100000000, 0x40000000, E820_RAM},
};
#define E820_COUNT (sizeof(e820) / sizeof(e820[0]))
static const struct multiboot_module modules[] = {{0x300000, 0x300123, "first one"}, {0x400000, 0x400000, ""}};
static const struct linux_screen_info screen = {
	.is_vga = LINUX_VIDEO_TYPE_EFI,
	.lfb_width = 1024,
	.lfb_height = 768,
	.lfb_depth = 32,
	.lfb_base = 0xc0000000,
	.ext_lfb_base = 1,
	.lfb_line_length = 4096,
	.red_size = 8,
	.red_position = 16,
	.green_size = 8,
	.green_position = 8,
	.blue_size = 8,
	.blue_position = 0,
};
static const uint8_t efi_map[96] = "the EFI map";

static struct multiboot_inputs inputs(void)
{
	static uint8_t rsdp[36] = "RSD PTR ";

	rsdp[15] = 2;
	rsdp[20] = 36;
	return (struct multiboot_inputs){
		.image = &image,
		.cmdline = "a=1 b",
		.modules = modules,
		.module_count = 2,
		.e820 = e820,
		.e820_count = E820_COUNT,
		.screen = &screen,
		.rsdp = rsdp,
		.efi_system_table = 0x123456789,
		.efi_map = efi_map,
		.efi_map_bytes = 96,
		.efi_stride = 48,
		.efi_version = 1,
		.file = file,
		.file_address = 0x7000000,
	};
}

static uint32_t build(uint32_t max)
{
	struct multiboot_inputs in = inputs();
	uint8_t *buffer = malloc(max ? max : 1);
	uint32_t size = multiboot_info_build(&in, buffer, INFO_AT, max);

	assert_true(size <= max);
	memset(out, 0xcc, sizeof(out));
	memcpy(out, buffer, size);
	free(buffer);
	return size;
}

static void mem_upper_skips_the_holes_the_image_sits_in(void **state)
{
	good_elf(false);
	header_1(HEADER_AT, 0);
	assert_true(parse(FILE_BYTES));
	assert_int_equal(multiboot_mem_lower(e820, E820_COUNT), 0x9f000 >> 10);
	assert_int_equal(multiboot_mem_upper(e820, E820_COUNT, &image), 0x700000 >> 10);
	image.segment[1].to = 0x7ff000; /* reaches into the hole at 8 MiB */
	assert_int_equal(multiboot_mem_upper(e820, E820_COUNT, &image), 0x1f00000 >> 10);
	image.segment[1].to = 0x808000; /* behind it */
	assert_int_equal(multiboot_mem_upper(e820, E820_COUNT, &image), 0x700000 >> 10);
	image.segment[1].to = 0x7fd000; /* before it */
	assert_int_equal(multiboot_mem_upper(e820, E820_COUNT, &image), 0x700000 >> 10);
	assert_int_equal(multiboot_mem_upper(e820, 2, &image), 0);
}

static void information_of_version_1_reads_back(void **state)
{
	uint64_t map, at;
	uint32_t i, size;

	good_elf(true);
	header_1(HEADER_AT, 0);
	put(0xa00 + 64 + 4, 4, 3);          /* a section that is not loaded, */
	put(0xa00 + 64 + 24, 8, 0x555);     /* at this offset */
	put(0xa00 + 128 + 8, 8, 2);         /* one that is, */
	put(0xa00 + 128 + 16, 8, 0x100000); /* there */
	assert_true(parse(FILE_BYTES));
	size = build(sizeof(out));
	assert_true(size > 116);
	assert_int_equal(get(INFO_AT, 4), 1 | 4 | 8 | 32 | 64 | 512 | 4096);
	assert_int_equal(get(INFO_AT + 4, 4), 636);
	assert_int_equal(get(INFO_AT + 8, 4), 7168);
	assert_string_equal(string_at(get(INFO_AT + 16, 4)), "a=1 b");
	assert_string_equal(string_at(get(INFO_AT + 64, 4)), "Umbra");
	assert_int_equal(get(INFO_AT + 20, 4), 2);
	at = get(INFO_AT + 24, 4);
	assert_int_equal(get(at, 4), 0x300000);
	assert_int_equal(get(at + 4, 4), 0x300123);
	assert_string_equal(string_at(get(at + 8, 4)), "first one");
	assert_string_equal(string_at(get(at + 24, 4)), "");
	assert_int_equal(get(INFO_AT + 28, 4), 3);
	assert_int_equal(get(INFO_AT + 32, 4), 64);
	assert_int_equal(get(INFO_AT + 40, 4), 2);
	at = get(INFO_AT + 36, 4);
	assert_true(get(at + 64 + 16, 8) == 0x7000555);
	assert_true(get(at + 128 + 16, 8) == 0x100000);
	assert_int_equal(get(INFO_AT + 44, 4), E820_COUNT * 24);
	map = get(INFO_AT + 48, 4);
	for (i = 0; i < E820_COUNT; i++) {
		assert_int_equal(get(map + i * 24, 4), 20);
		assert_true(get(map + i * 24 + 4, 8) == e820[i].base);
		assert_true(get(map + i * 24 + 12, 8) == e820[i].size);
		assert_int_equal(get(map + i * 24 + 20, 4),
				 e820[i].type == E820_PMEM ? E820_RESERVED : e820[i].type);
	}
	assert_true(get(INFO_AT + 88, 8) == 0x1c0000000);
	assert_int_equal(get(INFO_AT + 96, 4), 4096);
	assert_int_equal(get(INFO_AT + 100, 4), 1024);
	assert_int_equal(get(INFO_AT + 104, 4), 768);
	assert_int_equal(get(INFO_AT + 108, 2), 32 | 1 << 8);
	assert_true(get(INFO_AT + 110, 6) == 0x080008080810);
}

/* The tag of a type, the n-th of them; its address. */
static uint64_t find_tag(uint32_t type, uint32_t n)
{
	uint64_t at = INFO_AT + 8, end = INFO_AT + get(INFO_AT, 4);

	while (at < end) {
		assert_int_equal(at % 8, 0);
		if (get(at, 4) == type && !n--)
			return at;
		at += (get(at + 4, 4) + 7) & ~7u;
	}
	assert_true(at == end);
	return 0;
}

static void information_of_version_2_reads_back(void **state)
{
	uint32_t i, size;
	uint64_t at;

	begin_2();
	tag(10, 0, 24, 0u, 0x3fffffffu, 4096u, 0u);
	end_2();
	assert_true(parse(FILE_BYTES));
	multiboot_move(&image, 0x2000000);
	size = build(sizeof(out));
	assert_int_equal(size, get(INFO_AT, 4));
	assert_string_equal(string_at(find_tag(1, 0) + 8), "a=1 b");
	assert_int_equal(get(find_tag(1, 0) + 4, 4), 8 + 6);
	assert_string_equal(string_at(find_tag(2, 0) + 8), "Umbra");
	at = find_tag(3, 0);
	assert_int_equal(get(at + 8, 4), 0x300000);
	assert_int_equal(get(at + 12, 4), 0x300123);
	assert_string_equal(string_at(at + 16), "first one");
	assert_int_equal(get(find_tag(3, 1) + 4, 4), 17);
	assert_int_equal(get(find_tag(4, 0) + 8, 4), 636);
	assert_int_equal(get(find_tag(4, 0) + 12, 4), 7168);
	at = find_tag(6, 0);
	assert_int_equal(get(at + 4, 4), 16 + 24 * E820_COUNT);
	assert_int_equal(get(at + 8, 4), 24);
	for (i = 0; i < E820_COUNT; i++) {
		assert_true(get(at + 16 + i * 24, 8) == e820[i].base);
		assert_true(get(at + 24 + i * 24, 8) == e820[i].size);
	}
	at = find_tag(8, 0);
	assert_int_equal(get(at + 4, 4), 38);
	assert_true(get(at + 8, 8) == 0x1c0000000);
	assert_int_equal(get(at + 28, 2), 32 | 1 << 8);
	assert_true(get(at + 32, 6) == 0x080008080810);
	at = find_tag(9, 0);
	assert_int_equal(get(at + 8, 4), 3);
	assert_int_equal(get(at + 12, 4), 40);
	assert_int_equal(get(find_tag(15, 0) + 4, 4), 8 + 36);
	assert_int_equal(find_tag(14, 0), 0);
	assert_true(get(find_tag(12, 0) + 8, 8) == 0x123456789);
	at = find_tag(17, 0);
	assert_int_equal(get(at + 4, 4), 16 + 96);
	assert_int_equal(get(at + 8, 4), 48);
	assert_memory_equal(string_at(at + 16), efi_map, 96);
	assert_int_equal(find_tag(18, 0), 0);
	assert_int_equal(get(find_tag(21, 0) + 8, 4), 0x2000000);
	assert_int_equal(get(find_tag(0, 0) + 4, 4), 8);
}

static void an_old_root_pointer_has_20_bytes(void **state)
{
	struct multiboot_inputs in;
	static const uint8_t rsdp[36] = "RSD PTR ";

	begin_2();
	end_2();
	assert_true(parse(FILE_BYTES));
	in = inputs();
	in.rsdp = rsdp;
	assert_true(multiboot_info_build(&in, out, INFO_AT, sizeof(out)));
	assert_int_equal(get(find_tag(14, 0) + 4, 4), 28);
	assert_int_equal(find_tag(15, 0), 0);
}

static void too_little_room_is_noticed(void **state)
{
	uint32_t version, size, needed;

	for (version = 1; version <= 2; version++) {
		begin_2();
		end_2();
		if (version == 1) {
			good_elf(false);
			header_1(HEADER_AT, 0);
		}
		assert_true(parse(FILE_BYTES));
		needed = build(sizeof(out));
		assert_int_not_equal(needed, 0);
		for (size = 0; size < needed; size++)
			assert_int_equal(build(size), 0);
		assert_int_equal(build(needed), needed);
	}
}

/* --- places ------------------------------------------------------------------------- */

static void conflicts_are_named(void **state)
{
	static const struct boot_range ranges[] = {
		{0x0, 0xa0000, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL},
		{0x100000, 0x700000, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL},
		{0x800000, 0x8000, BOOT_MEM_FIRMWARE, EFI_KIND_ACPI_NVS},
		{0x808000, 0x100000, BOOT_MEM_USABLE, EFI_KIND_BOOT_DATA},
		{0x908000, 0x100000, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL},
	};
	struct boot_range c;

	assert_false(map_find_conflict(ranges, 5, 0x100000, 0x800000, &c));
	assert_false(map_find_conflict(ranges, 5, 0x808000, 0xa08000, &c));
	assert_false(map_find_conflict(ranges, 5, 0x100000, 0x100000, &c));
	assert_true(map_find_conflict(ranges, 5, 0x7fffff, 0x800001, &c));
	assert_int_equal(c.base, 0x800000);
	assert_int_equal(c.size, 0x8000);
	assert_string_equal(map_type_name(&c), "ACPI NVS");
	assert_true(map_find_conflict(ranges, 5, 0x90000, 0x180000, &c));
	assert_int_equal(c.base, 0xa0000);
	assert_int_equal(c.size, 0x60000);
	assert_string_equal(map_type_name(&c), "no memory");
	assert_true(map_find_conflict(ranges, 5, 0xa00000, 0xb00000, &c));
	assert_int_equal(c.base, 0xa08000);
	assert_int_equal(c.size, 0xf8000);
	assert_true(map_find_conflict(ranges, 5, 0xc00000, 0xd00000, &c));
	assert_int_equal(c.base, 0xc00000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(elf_files_of_both_classes_are_read, clear),
		cmocka_unit_test_setup(a_kernel_linked_high_is_entered_low, clear),
		cmocka_unit_test_setup(address_fields_say_what_is_loaded, clear),
		cmocka_unit_test_setup(address_fields_go_before_elf, clear),
		cmocka_unit_test_setup(address_fields_that_contradict_are_refused, clear),
		cmocka_unit_test_setup(a_header_must_lie_early_and_aligned, clear),
		cmocka_unit_test_setup(unknown_requirements_are_refused, clear),
		cmocka_unit_test_setup(bad_elf_files_are_refused, clear),
		cmocka_unit_test_setup(more_segments_than_there_is_room_for_are_refused, clear),
		cmocka_unit_test_setup(bad_section_headers_only_cost_the_symbols, clear),
		cmocka_unit_test_setup(tags_of_version_2_are_followed, clear),
		cmocka_unit_test_setup(address_tags_say_what_is_loaded, clear),
		cmocka_unit_test_setup(what_version_2_cannot_have_is_refused, clear),
		cmocka_unit_test_setup(broken_tags_are_refused, clear),
		cmocka_unit_test_setup(the_newer_header_is_taken, clear),
		cmocka_unit_test_setup(short_files_are_survived, clear),
		cmocka_unit_test_setup(random_damage_is_survived, clear),
		cmocka_unit_test_setup(mem_upper_skips_the_holes_the_image_sits_in, clear),
		cmocka_unit_test_setup(information_of_version_1_reads_back, clear),
		cmocka_unit_test_setup(information_of_version_2_reads_back, clear),
		cmocka_unit_test_setup(an_old_root_pointer_has_20_bytes, clear),
		cmocka_unit_test_setup(too_little_room_is_noticed, clear),
		cmocka_unit_test_setup(conflicts_are_named, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
