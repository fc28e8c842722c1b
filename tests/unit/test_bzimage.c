/* SPDX-License-Identifier: BSD-2-Clause */
/* The bzImage check: a good header is read right, every broken one is refused with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/bzimage.h"

#define SETUP_SECTORS 39u
#define PARAGRAPHS 0xd8220u
#define FILE_SIZE ((SETUP_SECTORS + 1) * 512ull + PARAGRAPHS * 16ull)

static uint8_t header[BZIMAGE_PROBE_BYTES];
static struct bzimage image;
static struct boot_error error;

static void put(uint32_t offset, uint32_t bytes, uint64_t v)
{
	for (; bytes; bytes--, v >>= 8)
		header[offset++] = (uint8_t)v;
}

/* The header of a Debian kernel, by the numbers. */
static int make_header(void **state)
{
	memset(header, 0, sizeof(header));
	put(0x000, 2, 0x5a4d); /* MZ: it has an EFI stub */
	put(0x1f1, 1, SETUP_SECTORS);
	put(0x1f4, 4, PARAGRAPHS);
	put(0x1fe, 2, 0xaa55);
	put(0x200, 2, 0x6aeb);
	put(0x202, 4, 0x53726448);
	put(0x206, 2, 0x020f);
	put(0x211, 1, 0x01);
	put(0x22c, 4, 0x7fffffff);
	put(0x230, 4, 0x200000);
	put(0x234, 1, 1);
	put(0x235, 1, 21);
	put(0x236, 2, 0x7f);
	put(0x238, 4, 2047);
	put(0x258, 8, 0x1000000);
	put(0x260, 4, 0x3378000);
	return 0;
}

static bool check(size_t probe_size, uint64_t file_size)
{
	uint8_t *copy = malloc(probe_size ? probe_size : 1);
	bool good;

	memcpy(copy, header, probe_size);
	error.text[0] = '\0';
	good = bzimage_check(&image, copy, probe_size, file_size, "/vmlinuz", &error);
	free(copy);
	if (!good)
		assert_non_null(strstr(error.text, "/vmlinuz"));
	return good;
}

static void assert_refused(const char *reason)
{
	assert_false(check(sizeof(header), FILE_SIZE));
	if (!strstr(error.text, reason))
		fail_msg("\"%s\" is not in \"%s\"", reason, error.text);
	make_header(NULL);
}

static void a_good_header_is_read(void **state)
{
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_int_equal(image.protocol, 0x020f);
	assert_int_equal(image.header_end, 0x26c);
	assert_int_equal(image.payload_offset, 20480);
	assert_int_equal(image.payload_size, PARAGRAPHS * 16);
	assert_int_equal(image.init_size, 0x3378000);
	assert_int_equal(image.pref_address, 0x1000000);
	assert_int_equal(image.alignment, 0x200000);
	assert_int_equal(image.initrd_max, 0x7fffffff);
	assert_int_equal(image.cmdline_max, 2047);
	assert_true(image.above_4g);
	put(0x236, 2, 0x01);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_false(image.above_4g);
}

static void a_signature_behind_the_kernel_is_allowed(void **state)
{
	assert_true(check(sizeof(header), FILE_SIZE + 1472));
}

static void no_setup_sectors_means_four(void **state)
{
	put(0x1f1, 1, 0);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_int_equal(image.payload_offset, 5 * 512);
}

static void another_file_is_not_a_kernel(void **state)
{
	put(0x202, 4, 0x53726449);
	assert_refused("not a Linux kernel");
	put(0x1fe, 2, 0);
	assert_refused("not a Linux kernel");
}

static void short_files_are_not_kernels(void **state)
{
	size_t size;

	for (size = 0; size < 0x264; size++) {
		assert_false(check(size, size));
		assert_non_null(strstr(error.text, "not a Linux kernel"));
	}
	assert_false(check(0x264, 0x264));
	assert_non_null(strstr(error.text, "is cut off: it has"));
}

static void a_truncated_kernel_is_refused(void **state)
{
	assert_false(check(sizeof(header), FILE_SIZE - 16));
	assert_non_null(strstr(error.text, "is cut off: it has"));
	assert_true(check(sizeof(header), FILE_SIZE - 15)); /* the last paragraph is a part of one */
	assert_int_equal(image.payload_size, PARAGRAPHS * 16 - 15);
	assert_false(check(sizeof(header), sizeof(header)));
}

static void an_old_protocol_is_refused(void **state)
{
	put(0x206, 2, 0x0209);
	assert_refused("uses boot protocol 2.9");
	put(0x206, 2, 0x020a);
	assert_true(check(sizeof(header), FILE_SIZE));
}

static void a_32_bit_kernel_has_its_32_bit_entry_alone(void **state)
{
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_true(image.entry_64);
	put(0x236, 2, 0x7e);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_false(image.entry_64);
	assert_false(image.above_4g);
	put(0x206, 2, 0x020b); /* the field xloadflags means nothing yet */
	put(0x236, 2, 0x7f);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_false(image.entry_64);
	assert_false(image.above_4g);
}

static void a_zimage_is_refused(void **state)
{
	put(0x211, 1, 0);
	assert_refused("zImage");
}

static void a_kernel_that_is_not_relocatable_says_so(void **state)
{
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_true(image.relocatable);
	put(0x234, 1, 0);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_false(image.relocatable);
}

static void headers_that_contradict_themselves_are_refused(void **state)
{
	put(0x200, 2, 0x10eb); /* ends before init_size */
	assert_refused("has a damaged header");
	put(0x200, 2, 0xffeb); /* ends behind boot_params' space */
	assert_refused("has a damaged header");
	put(0x1f4, 4, 0);
	assert_refused("has a damaged header");
	put(0x260, 4, 0);
	assert_refused("has a damaged header");
	put(0x260, 4, PARAGRAPHS * 16 - 4096);
	assert_refused("has a damaged header");
	put(0x230, 4, 0);
	assert_refused("has a damaged header");
	put(0x230, 4, 0x300000);
	assert_refused("has a damaged header");
	put(0x230, 4, 0x800);
	assert_refused("has a damaged header");
	put(0x258, 8, 0x1000001);
	assert_refused("has a damaged header");
	put(0x258, 8, 0xfffffffffffff000ull);
	assert_refused("has a damaged header");
}

static void sizes_do_not_overflow(void **state)
{
	put(0x1f4, 4, 0xffffffff);
	assert_refused("has a damaged header");
	put(0x260, 4, 0xffffffff);
	assert_true(check(sizeof(header), FILE_SIZE));
	assert_true(image.init_size == 1ull << 32);
}

/* Random headers: nothing is read outside the probe, an accepted one keeps its promises. */
static void random_headers_are_survived(void **state)
{
	unsigned int round, i;

	srand(2);
	for (round = 0; round < 20000; round++) {
		make_header(NULL);
		for (i = 0; i < 4; i++)
			header[0x1f1 + rand() % 0x80] = (uint8_t)rand();
		if (!check(sizeof(header), FILE_SIZE))
			continue;
		assert_true(image.init_size >= image.payload_size);
		assert_true(image.payload_offset + image.payload_size <= FILE_SIZE);
		assert_true(image.header_end <= BZIMAGE_HEADER_LIMIT);
		assert_int_equal(image.alignment & (image.alignment - 1), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_good_header_is_read, make_header),
		cmocka_unit_test_setup(a_signature_behind_the_kernel_is_allowed, make_header),
		cmocka_unit_test_setup(no_setup_sectors_means_four, make_header),
		cmocka_unit_test_setup(another_file_is_not_a_kernel, make_header),
		cmocka_unit_test_setup(short_files_are_not_kernels, make_header),
		cmocka_unit_test_setup(a_truncated_kernel_is_refused, make_header),
		cmocka_unit_test_setup(an_old_protocol_is_refused, make_header),
		cmocka_unit_test_setup(a_32_bit_kernel_has_its_32_bit_entry_alone, make_header),
		cmocka_unit_test_setup(a_zimage_is_refused, make_header),
		cmocka_unit_test_setup(a_kernel_that_is_not_relocatable_says_so, make_header),
		cmocka_unit_test_setup(headers_that_contradict_themselves_are_refused, make_header),
		cmocka_unit_test_setup(sizes_do_not_overflow, make_header),
		cmocka_unit_test_setup(random_headers_are_survived, make_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
