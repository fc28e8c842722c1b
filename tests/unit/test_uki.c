/* SPDX-License-Identifier: BSD-2-Clause */
/* Unified kernel images: what is taken out of a PE file, and that no header leads beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/uki.h"

#define PE 0x80u
#define SECTIONS (PE + 24 + 0xf0)
#define FILE_BYTES 100000u

static uint8_t head[UKI_HEAD_BYTES];
static struct uki uki;
static struct boot_error error;
static struct boot_entry entry;
static uint32_t profile;

static void put(size_t at, uint64_t value, size_t bytes)
{
	while (bytes--) {
		head[at++] = (uint8_t)value;
		value >>= 8;
	}
}

static void section(uint32_t i, const char *name, uint32_t virtual_size, uint32_t raw_size, uint32_t offset)
{
	size_t at = SECTIONS + 40 * i;

	memset(head + at, 0, 40);
	for (size_t n = 0; name[n]; n++)
		head[at + n] = (uint8_t)name[n];
	put(at + 8, virtual_size, 4);
	put(at + 16, raw_size, 4);
	put(at + 20, offset, 4);
	put(PE + 6, i + 1, 2);
}

static int make(void **state)
{
	profile = 0;
	memset(head, 0, sizeof(head));
	head[0] = 'M';
	head[1] = 'Z';
	put(0x3c, PE, 4);
	memcpy(head + PE, "PE\0", 4);
	put(PE + 4, 0x8664, 2);
	put(PE + 20, 0xf0, 2);
	section(0, ".text", 1, 0x200, 0x1000);
	section(1, ".osrel", 30, 0x200, 0x2000);
	section(2, ".cmdline", 9, 0x200, 0x2200);
	section(3, ".linux", 0x5001, 0x5200, 0x3000);
	section(4, ".initrd", 0x300, 0x300, FILE_BYTES - 0x300);
	return 0;
}

/* In a block of its own size, so that a read beyond it is caught. */
static enum uki_result parse(size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	enum uki_result result;

	memcpy(copy, head, size);
	memset(&uki, 0xa5, sizeof(uki));
	result = uki_parse(&uki, copy, size, FILE_BYTES, profile, &error);
	free(copy);
	return result;
}

static bool make_entry(const char *file, const char *cmdline, size_t length, const char *osrel)
{
	memset(&entry, 0xa5, sizeof(entry));
	return uki_entry(&entry, file, &uki, profile,
			 &(struct uki_texts){.cmdline = {cmdline, length}, .osrel = {osrel, strlen(osrel)}});
}

static const char *title_with(const char *text)
{
	memset(&entry, 0xa5, sizeof(entry));
	assert_true(
		uki_entry(&entry, "a+3-1.efi", &uki, profile,
			  &(struct uki_texts){.osrel = {"PRETTY_NAME=D\n", 14}, .profile = {text, strlen(text)}}));
	return entry.title;
}

static void kernel_initrd_and_texts_are_found(void **state)
{
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_int_equal(uki.kernel.offset, 0x3000);
	assert_int_equal(uki.kernel.size, 0x5001);
	assert_int_equal(uki.initrd.offset, FILE_BYTES - 0x300);
	assert_int_equal(uki.initrd.size, 0x300);
	assert_int_equal(uki.cmdline.size, 9);
	assert_int_equal(uki.osrel.offset, 0x2000);
}

static void what_is_no_image_with_a_kernel_is_no_entry(void **state)
{
	section(3, ".linuy", 1, 1, 0x3000);
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
	make(state);
	put(PE + 4, 0xaa64, 2);
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
	make(state);
	head[0] = 'N';
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
	make(state);
	head[PE] = 'X';
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
	make(state);
	put(0x3c, 0xfffffff0, 4);
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
}

static void a_section_beyond_the_end_breaks_it(void **state)
{
	uint32_t i;

	for (i = 1; i < 5; i++) {
		size_t at = SECTIONS + 40 * i;

		make(state);
		put(at + 8, 0xffffffff, 4);
		put(at + 16, 0xffffffff, 4);
		assert_int_equal(parse(sizeof(head)), UKI_BROKEN);
		make(state);
		put(at + 20, 0xfffffff0, 4);
		assert_int_equal(parse(sizeof(head)), UKI_BROKEN);
	}
	make(state);
	section(4, ".initrd", 0x301, 0x301, FILE_BYTES - 0x300);
	assert_int_equal(parse(sizeof(head)), UKI_BROKEN);
	assert_non_null(strstr(error.text, "beyond the file's end: it is cut off"));
}

static void any_length_and_any_changed_byte_is_survived(void **state)
{
	size_t n;

	for (n = 0; n < SECTIONS + 200; n++)
		assert_int_equal(parse(n), n >= SECTIONS + 160 ? UKI_GOOD : UKI_OTHER);
	for (n = 0; n < SECTIONS + 200; n++) {
		head[n] ^= 0xff;
		if (parse(SECTIONS + 200) == UKI_GOOD) {
			assert_true(uki.kernel.offset + uki.kernel.size <= FILE_BYTES);
			assert_true(uki.initrd.offset + uki.initrd.size <= FILE_BYTES);
			assert_true(uki.cmdline.offset + uki.cmdline.size <= FILE_BYTES);
			assert_true(uki.osrel.offset + uki.osrel.size <= FILE_BYTES);
		}
		head[n] ^= 0xff;
	}
}

static void the_entry_has_title_order_and_command_line(void **state)
{
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_true(make_entry(
		"debian-6.1.efi", "root=/dev/sda1\n quiet \n\0x", 24,
		"NAME=x\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION=3"));
	assert_string_equal(entry.title, "Debian GNU/Linux 12");
	assert_string_equal(entry.sort_key, "debian");
	assert_string_equal(entry.version, "12");
	assert_string_equal(entry.options, "root=/dev/sda1 quiet");
	assert_string_equal(entry.kernel, "/EFI/Linux/debian-6.1.efi");
	assert_string_equal(entry.initrd[0], entry.kernel);
	assert_int_equal(entry.initrd_count, 1);
	assert_int_equal(entry.kernel_piece.offset, 0x3000);
	assert_int_equal(entry.initrd_piece.size, 0x300);
	assert_int_equal(entry_stem_length(entry.id), strlen("debian-6.1"));
	uki.initrd.size = 0;
	assert_true(make_entry("plain.EFI", "", 0, ""));
	assert_string_equal(entry.title, "plain");
	assert_int_equal(entry.initrd_count, 0);
	assert_false(entry.broken);
}

static void what_is_too_long_breaks_the_entry(void **state)
{
	static char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_false(make_entry("a.efi", text, 4096, ""));
	assert_true(entry.broken && strstr(entry.error.text, "too long"));
	assert_true(make_entry("a.efi", text, 4095, ""));
	memcpy(text, "ID=", 3);
	assert_false(make_entry("a.efi", "", 0, text));
	text[200] = '\0';
	assert_false(make_entry(text + 3, "", 0, ""));
}

static void the_file_is_still_what_its_entry_was_made_of(void **state)
{
	static uint8_t file[FILE_BYTES];
	static const char cmdline[] = "a b\n c";
	size_t i;

	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_true(make_entry("a.efi", cmdline, sizeof(cmdline), ""));
	memcpy(file, head, sizeof(head));
	memcpy(file + 0x2200, cmdline, sizeof(cmdline));
	assert_true(uki_is_entry(&entry, file, sizeof(file), &error));
	for (i = 0; i < 2; i++) { /* of the kernel, of the initrd: its size */
		file[SECTIONS + 40 * (3 + i) + 9] ^= 1;
		assert_false(uki_is_entry(&entry, file, sizeof(file), &error));
		assert_non_null(strstr(error.text, "has changed since it was listed; start Umbra again"));
		file[SECTIONS + 40 * (3 + i) + 9] ^= 1;
	}
	file[0x2200] = 'c';
	assert_false(uki_is_entry(&entry, file, sizeof(file), &error));
	file[0x2200] = 'a';
	assert_false(uki_is_entry(&entry, file, sizeof(file) - 1, &error));
	file[0] = 0;
	assert_false(uki_is_entry(&entry, file, sizeof(file), &error));
}

/* Three: the main one, one with a command line of its own, one with a kernel and an initrd of its own. */
static void make_profiles(void)
{
	section(5, ".profile", 10, 0x200, 0x2400);
	section(6, ".profile", 11, 0x200, 0x2600);
	section(7, ".cmdline", 12, 0x200, 0x2800);
	section(8, ".profile", 13, 0x200, 0x2a00);
	section(9, ".linux", 14, 0x200, 0x2c00);
	section(10, ".initrd", 15, 0x200, 0x2e00);
}

static void a_profile_takes_from_the_main_one_what_it_lacks(void **state)
{
	make_profiles();
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_int_equal(uki.profile.size, 10);
	assert_int_equal(uki.cmdline.size, 9);
	assert_int_equal(uki.kernel.size, 0x5001);
	profile = 1;
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_int_equal(uki.profile.size, 11);
	assert_int_equal(uki.cmdline.size, 12);
	assert_int_equal(uki.kernel.size, 0x5001);
	assert_int_equal(uki.initrd.size, 0x300);
	profile = 2;
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_int_equal(uki.profile.size, 13);
	assert_int_equal(uki.cmdline.size, 9);
	assert_int_equal(uki.kernel.size, 14);
	assert_int_equal(uki.initrd.size, 15);
	assert_int_equal(uki.osrel.size, 30);
	profile = 3;
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
	make(state);
	profile = 1;
	assert_int_equal(parse(sizeof(head)), UKI_OTHER);
}

static void a_profile_beyond_the_end_breaks_its_entry_alone(void **state)
{
	make_profiles();
	section(9, ".linux", 14, 0x200, FILE_BYTES);
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	profile = 2;
	assert_int_equal(parse(sizeof(head)), UKI_BROKEN);
	assert_non_null(strstr(error.text, "beyond the file's end: it is cut off"));
}

static void a_profile_has_a_name_and_a_title_of_its_own(void **state)
{
	assert_int_equal(parse(sizeof(head)), UKI_GOOD);
	assert_string_equal(title_with(""), "D");
	assert_string_equal(entry.id, "a+3-1.efi");
	assert_int_equal(entry.tries_left, 3);
	assert_int_equal(entry.tries_done, 1);
	assert_string_equal(title_with("ID=main\nTITLE='Regular boot'"), "D (Regular boot)");
	profile = 2;
	assert_string_equal(title_with("ID=reset\n"), "D (reset)");
	assert_string_equal(title_with("X=y"), "D (profile 2)");
	assert_string_equal(entry.id, "a+3-1.efi@2");
	assert_string_equal(entry.kernel, "/EFI/Linux/a+3-1.efi");
	assert_int_equal(entry_stem_length(entry.id), 1);
}

#define TEST(name) cmocka_unit_test_setup(name, make)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kernel_initrd_and_texts_are_found),
		TEST(what_is_no_image_with_a_kernel_is_no_entry),
		TEST(a_section_beyond_the_end_breaks_it),
		TEST(any_length_and_any_changed_byte_is_survived),
		TEST(the_entry_has_title_order_and_command_line),
		TEST(what_is_too_long_breaks_the_entry),
		TEST(the_file_is_still_what_its_entry_was_made_of),
		TEST(a_profile_takes_from_the_main_one_what_it_lacks),
		TEST(a_profile_beyond_the_end_breaks_its_entry_alone),
		TEST(a_profile_has_a_name_and_a_title_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
