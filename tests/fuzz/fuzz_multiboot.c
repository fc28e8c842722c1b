/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot and ELF files: any file is taken or refused; the segments of one
 * that is taken lie inside the file and below 4 GiB, the information fits in the
 * buffer that multiboot_info_build() asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/multiboot.h"
#include "boot/multiboot_info.h"
#include "tests/fuzz/fuzz.h"

#define MB1 0x1badb002u
#define MB2 0xe85250d6u
#define INFO_BYTES 16384u

void fuzz_setup(void) {}

static void check_image(const struct multiboot_image *image, size_t size)
{
	u64 base = multiboot_base(image), end = multiboot_end(image);

	if (image->version != 1 && image->version != 2)
		abort();
	if (image->segment_count > MULTIBOOT_SEGMENTS_MAX || base > end || end > 1ull << 32)
		abort();
	for (u32 i = 0; i < image->segment_count; i++) {
		const struct multiboot_segment *s = &image->segment[i];

		if (s->offset > size || s->bytes > size - s->offset)
			abort();
		if (s->to < base || s->to + s->bytes + s->zero > end)
			abort();
	}
	if (image->sections.count &&
	    (image->sections.offset > size ||
	     (u64)image->sections.count * image->sections.entry_bytes > size - image->sections.offset))
		abort();
}

static void build_info(const struct multiboot_image *image, const u8 *file)
{
	static const struct e820_entry e820[] = {{0, 0x9f000, E820_RAM}, {0x100000, 0x7f00000, E820_RAM}};
	static const struct linux_screen_info screen;
	static const struct multiboot_module module = {0x2000000, 0x2001000, "string"};
	struct multiboot_inputs in = {
		.image = image,
		.cmdline = "a b",
		.modules = &module,
		.module_count = 1,
		.e820 = e820,
		.e820_count = 2,
		.screen = &screen,
		.file = file,
		.file_address = 0x3000000,
	};
	static const u32 rooms[] = {INFO_BYTES, 512, 64, 8, 0};

	for (u32 i = 0; i < ARRAY_SIZE(rooms); i++) {
		u8 *out = malloc(rooms[i] ? rooms[i] : 1);

		if (multiboot_info_build(&in, out, 0x10000, rooms[i]) > rooms[i])
			abort();
		free(out);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u8 *file = fuzz_rest(&in);
	struct multiboot_image image;
	struct boot_error error = {""};

	if (multiboot_parse(&image, file, size, "/kernel", &error)) {
		check_image(&image, size);
		build_info(&image, file);
		(void)multiboot_overlaps(&image, 0x100000, 0x200000);
	} else if (!error.text[0] || !memchr(error.text, 0, sizeof(error.text)) || strchr(error.text, '\n')) {
		abort();
	}
	free(file);
	return 0;
}

static void put(u8 *out, u32 offset, u32 bytes, u64 v)
{
	for (; bytes; bytes--, v >>= 8)
		out[offset++] = (u8)v;
}

/* The ELF header of a file with two segments and three section headers. */
static void put_elf(u8 *out, bool wide)
{
	put(out, 0, 4, 0x464c457f);
	put(out, 4, 1, wide ? 2 : 1);
	put(out, 5, 1, 1);
	put(out, 6, 1, 1);
	put(out, 16, 2, 2);
	put(out, 18, 2, wide ? 62 : 3);
	put(out, 20, 4, 1);
	put(out, 24, wide ? 8 : 4, 0x100010);
	put(out, wide ? 32 : 28, wide ? 8 : 4, 0x200);
	put(out, wide ? 40 : 32, wide ? 8 : 4, 0x300);
	put(out, wide ? 54 : 42, 2, wide ? 56 : 32);
	put(out, wide ? 56 : 44, 2, 2);
	put(out, wide ? 58 : 46, 2, wide ? 64 : 40);
	put(out, wide ? 60 : 48, 2, 3);
	put(out, wide ? 62 : 50, 2, 2);
	for (u32 i = 0; i < 2; i++) {
		u32 at = 0x200 + i * (wide ? 56 : 32), w = wide ? 8 : 4;

		put(out, at, 4, 1);
		put(out, wide ? at + 8 : at + 4, w, 0x400 * i);               /* offset */
		put(out, wide ? at + 24 : at + 12, w, 0x100000 + 0x1000 * i); /* physical */
		put(out, wide ? at + 16 : at + 8, w, 0x100000 + 0x1000 * i);
		put(out, wide ? at + 32 : at + 16, w, 0x400);
		put(out, wide ? at + 40 : at + 20, w, 0x500);
	}
}

static void put_header_1(u8 *out, u32 flags)
{
	put(out, 0x100, 4, MB1);
	put(out, 0x104, 4, flags);
	put(out, 0x108, 4, -(MB1 + flags));
}

static void put_header_2(u8 *out)
{
	put(out, 0x100, 4, MB2);
	put(out, 0x108, 4, 48);
	put(out, 0x10c, 4, -(MB2 + 48));
	put(out, 0x110, 2, 10); /* relocatable */
	put(out, 0x114, 4, 24);
	put(out, 0x118, 4, 0x100000);
	put(out, 0x11c, 4, 0x7fffffff);
	put(out, 0x120, 4, 0x1000);
	put(out, 0x124, 4, 1);
	put(out, 0x12c, 4, 8); /* end */
}

/* Version 1 as ELF and as a flat file with addresses; version 2 in both ELF classes. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	if (n >= 4)
		return 0;
	memset(out, 0, 0x1000);
	if (n != 1)
		put_elf(out, n == 3);
	if (n < 2)
		put_header_1(out, n ? 1u << 16 : 3);
	else
		put_header_2(out);
	if (n == 1)
		for (u32 i = 0; i < 5; i++)
			put(out, 0x10c + 4 * i, 4, (const u32[]){0x100100, 0x100000, 0, 0x102000, 0x100110}[i]);
	return 0x1000;
}
