/* SPDX-License-Identifier: BSD-2-Clause */
/* What a dump is made of (debug/dump_pack.c): every page comes back as it was, and no change of a byte stays unseen. */
#include "tests/unit/host.h"

#include <string.h>

#include "debug/dump_pack.h"
#include "tests/unit/rng.h"

static struct rng rng = {7};

/* As tools/umbra-dump has it. */
static void unpack(const u8 *packed, u32 count, u8 page[PAGE_SIZE])
{
	u32 used = 0;

	if (count == PAGE_SIZE) {
		memcpy(page, packed, PAGE_SIZE);
		return;
	}
	for (u32 at = 0; at < count;) {
		u32 token = packed[at++], length = (token & 127) + (token < 128 ? 1 : DUMP_MATCH_MIN), distance;

		assert_true(used + length <= PAGE_SIZE);
		if (token < 128) {
			assert_true(at + length <= count);
			memcpy(page + used, packed + at, length);
			at += length;
			used += length;
			continue;
		}
		distance = packed[at] | (u32)packed[at + 1] << 8;
		at += 2;
		assert_true(distance && distance <= used);
		for (u32 i = 0; i < length; i++, used++)
			page[used] = page[used - distance];
	}
	assert_int_equal(used, PAGE_SIZE);
}

static u32 round_trip(const u8 page[PAGE_SIZE])
{
	u8 packed[DUMP_PACKED_MAX], back[PAGE_SIZE];
	u32 count = dump_pack(page, packed);

	assert_true(count <= DUMP_PACKED_MAX);
	unpack(packed, count, back);
	assert_memory_equal(page, back, PAGE_SIZE);
	return count;
}

static void pages_come_back(void **state)
{
	u8 page[PAGE_SIZE] = {0};

	assert_true(dump_is_zero(page));
	assert_true(round_trip(page) < 120);
	page[PAGE_SIZE - 1] = 1;
	assert_false(dump_is_zero(page));
	assert_true(round_trip(page) < 120);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		page[i] = (u8)rng_next(&rng);
	assert_int_equal(round_trip(page), PAGE_SIZE); /* noise is sent as it is */
	for (u32 i = 0; i < PAGE_SIZE; i++)
		page[i] = (u8)(i % 24 ? i % 24 : i / 24);
	assert_true(round_trip(page) < PAGE_SIZE / 4);
}

/* Pieces that come again, of all lengths and distances. */
static void random_pages_come_back(void **state)
{
	u8 page[PAGE_SIZE];

	for (u32 round = 0; round < 3000; round++) {
		for (u32 at = 0; at < PAGE_SIZE;) {
			u32 wish = 1 + rng_below(&rng, round % 300 + 1), length = MIN(wish, (u32)PAGE_SIZE - at);
			u32 from = at ? (u32)rng_below(&rng, at) : 0;
			bool again = at && rng_below(&rng, 3);

			for (u32 i = 0; i < length; i++)
				page[at + i] = again ? page[from + i] : (u8)rng_next(&rng);
			at += length;
		}
		round_trip(page);
	}
}

static void the_checksum_is_that_of_zlib(void **state)
{
	assert_int_equal(dump_crc(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(dump_crc(dump_crc(0, "1234", 4), "56789", 5), 0xcbf43926);
	assert_int_equal(dump_crc(0, "", 0), 0);
}

static void a_changed_header_is_seen(void **state)
{
	struct dump_header h = dump_make_header(DUMP_PAGES, 0x12345678, 8192), other;

	for (u32 bit = 0; bit < 8 * sizeof(h); bit++) {
		other = h;
		((u8 *)&other)[bit / 8] ^= (u8)(1u << bit % 8);
		assert_int_not_equal((u16)dump_crc(0, &other, offsetof(struct dump_header, check)), other.check);
	}
}

static void an_answer_is_for_its_frame_alone(void **state)
{
	const u8 good[] = {'A', 5, (u8)~5}, behind_noise[] = {'A', 'A', 5, (u8)~5}, other[] = {'A', 4, (u8)~4},
		 damaged[] = {'A', 5, 5};
	u32 window = 0;
	u8 answer = 0;

	for (u32 i = 0; i < sizeof(good); i++)
		answer = dump_take_answer(&window, good[i], 0x105);
	assert_int_equal(answer, DUMP_GOOD);
	assert_int_equal(window, 0);
	for (u32 i = 0; i < sizeof(behind_noise); i++)
		answer = dump_take_answer(&window, behind_noise[i], 5);
	assert_int_equal(answer, DUMP_GOOD);
	for (u32 i = 0; i < sizeof(other); i++)
		assert_int_equal(dump_take_answer(&window, other[i], 5), 0);
	for (u32 i = 0; i < sizeof(damaged); i++)
		assert_int_equal(dump_take_answer(&window, damaged[i], 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_back),
		cmocka_unit_test(random_pages_come_back),
		cmocka_unit_test(the_checksum_is_that_of_zlib),
		cmocka_unit_test(a_changed_header_is_seen),
		cmocka_unit_test(an_answer_is_for_its_frame_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
