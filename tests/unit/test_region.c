/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest-physical space against an oracle that keeps kind and host frame of
 * every gfn of a small space.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "mm/region.h"

#define GFNS 600u
#define GFN_END BIT(52)

static struct region_map map;

struct page {
	bool covered;
	u32 kind;
	pfn_t pfn;
};
static struct page oracle[GFNS];

static int setup(void **state)
{
	region_init(&map);
	memset(oracle, 0, sizeof(oracle));
	return 0;
}

static void add(gfn_t base, u64 pages, pfn_t pfn, enum region_kind kind)
{
	assert_int_equal(region_add(&map, base, pages, pfn, kind), 0);
	for (u64 i = 0; i < pages && base + i < GFNS; i++)
		oracle[base + i] = (struct page){true, kind, pfn + i};
}

static bool same_region(const struct page *a, const struct page *b)
{
	return a->covered == b->covered && (!a->covered || (a->kind == b->kind && b->pfn == a->pfn + 1));
}

/* Where the run of equal pages around gfn begins and ends. */
static void oracle_extent(gfn_t gfn, gfn_t *first, gfn_t *end)
{
	*first = gfn;
	while (*first && same_region(&oracle[*first - 1], &oracle[*first]))
		--*first;
	*end = gfn + 1;
	while (*end < GFNS && same_region(&oracle[*end - 1], &oracle[*end]))
		++*end;
	if (*end == GFNS && !oracle[GFNS - 1].covered)
		*end = GFN_END;
}

static u8 numbered[4 * GFNS]; /* [frame index]: 1 has a frame, 2 is in a gap */

/* Frame indexes go up; in the span they follow the frames. */
static void check_frame_number(gfn_t gfn, const struct region_hit *hit, u64 *next)
{
	if (hit->kind != REGION_RAM)
		return;
	assert_true(hit->frame_index >= *next && hit->frame_index < map.frame_count);
	if (gfn - map.span.base < map.span.pages)
		assert_int_equal(hit->frame_index, map.span.frame_index + (gfn - map.span.base));
	else
		assert_true(hit->frame_index == *next || *next > map.span.frame_index);
	numbered[hit->frame_index] = 1;
	*next = hit->frame_index + 1;
}

static void mark_gap(void *ctx, u64 first, u64 count)
{
	*(u64 *)ctx += count;
	for (u64 i = first; i < first + count; i++) {
		assert_true(i < map.frame_count && !numbered[i]);
		assert_true(i - map.span.frame_index < map.span.pages);
		numbered[i] = 2;
	}
}

/* Every gfn is looked up; a frame index has a frame or is in a gap. */
static void check_all(void)
{
	u64 next = 0, ram = 0, gaps = 0;

	region_seal(&map);
	memset(numbered, 0, sizeof(numbered));
	for (gfn_t gfn = 0; gfn < GFNS; gfn++) {
		const struct page *page = &oracle[gfn];
		struct region_hit hit;
		gfn_t first, end;

		region_lookup(&map, gfn, &hit);
		assert_int_equal(hit.kind, page->covered ? page->kind : REGION_MMIO);
		assert_int_equal(hit.pfn, page->covered ? page->pfn : gfn);
		oracle_extent(gfn, &first, &end);
		assert_int_equal(hit.first, first);
		assert_int_equal(hit.end, end);
		check_frame_number(gfn, &hit, &next);
		assert_true(!region_in_whole(&map, gfn) || (hit.kind == REGION_RAM && hit.pfn == gfn));
		ram += hit.kind == REGION_RAM;
	}
	region_each_gap(&map, mark_gap, &gaps);
	assert_int_equal(map.ram_frames, ram);
	assert_int_equal(map.frame_count, ram + gaps);
	assert_int_equal(map.frame_count, next);
	assert_true(gaps <= map.span.pages / 4);
}

static void an_empty_map_is_all_mmio(void **state)
{
	struct region_hit hit;

	check_all();
	region_lookup(&map, BIT(52) - 1, &hit);
	assert_int_equal(hit.kind, REGION_MMIO);
	assert_int_equal(hit.pfn, BIT(52) - 1);
	assert_int_equal(hit.first, 0);
	assert_int_equal(hit.end, GFN_END);
}

static void neighbours_of_one_kind_merge(void **state)
{
	add(100, 10, 100, REGION_RAM);
	add(120, 10, 120, REGION_RAM);
	assert_int_equal(map.count, 2);
	add(110, 10, 110, REGION_RAM);
	assert_int_equal(map.count, 1);
	check_all();
	add(130, 5, 500, REGION_RAM); /* touches, other host frames */
	add(95, 5, 95, REGION_MMIO);  /* touches, other kind */
	assert_int_equal(map.count, 3);
	check_all();
	add(105, 5, 105, REGION_RAM); /* says what was said before */
	assert_int_equal(map.count, 3);
	check_all();
}

static void a_hole_splits_and_refilling_joins(void **state)
{
	add(0, 400, 0, REGION_RAM);
	add(100, 50, 100, REGION_HIDDEN);
	assert_int_equal(map.count, 3);
	check_all();
	assert_int_equal(map.ram_frames, 350);
	add(100, 50, 100, REGION_RAM);
	assert_int_equal(map.count, 1);
	check_all();
	add(50, 1, 50, REGION_TRAPPED);
	add(0, 400, 0, REGION_MMIO);
	assert_int_equal(map.count, 1);
	check_all();
}

static void a_layout_that_is_not_identical_translates(void **state)
{
	add(0, 100, 5000, REGION_RAM);
	add(100, 100, 0x123456789, REGION_RAM);
	add(300, 100, BIT(40) - 100, REGION_RAM);
	check_all();
	assert_int_equal(map.ram_frames, 300);
}

static void bad_ranges_are_refused(void **state)
{
	add(10, 10, 10, REGION_RAM);
	assert_int_equal(region_add(&map, 0, 0, 0, REGION_RAM), -EINVAL);
	assert_int_equal(region_add(&map, 1, ~0ull, 1, REGION_RAM), -EINVAL);
	assert_int_equal(region_add(&map, BIT(40) - 1, 2, 0, REGION_RAM), -EINVAL);
	assert_int_equal(region_add(&map, BIT(40), 1, 0, REGION_RAM), -EINVAL);
	assert_int_equal(region_add(&map, 0, 2, BIT(40) - 1, REGION_RAM), -EINVAL);
	assert_int_equal(region_add(&map, 0, 1, 0, (enum region_kind)(REGION_HIDDEN + 1)), -EINVAL);
	assert_int_equal(map.count, 1);
	check_all();
}

static void a_full_map_refuses_and_keeps_what_it_has(void **state)
{
	struct region_hit hit;

	for (u32 i = 0; i < REGION_MAX; i++)
		assert_int_equal(region_add(&map, i * 4 + 4, 3, i * 4 + 4, REGION_RAM), 0);
	assert_int_equal(region_add(&map, 0, 1, 0, REGION_RAM), -ENOSPC);
	assert_int_equal(region_add(&map, 5, 1, 5, REGION_HIDDEN), -ENOSPC);
	assert_int_equal(region_add(&map, 4, 1, 4, REGION_HIDDEN), -ENOSPC);
	assert_int_equal(map.count, REGION_MAX);
	/* what needs no more room is taken: the same again, a whole region, a gap that joins two */
	assert_int_equal(region_add(&map, 5, 1, 5, REGION_RAM), 0);
	assert_int_equal(region_add(&map, 4, 3, 4, REGION_HIDDEN), 0);
	assert_int_equal(map.count, REGION_MAX);
	assert_int_equal(region_add(&map, 11, 1, 11, REGION_RAM), 0);
	assert_int_equal(map.count, REGION_MAX - 1);
	region_seal(&map);
	for (u32 i = 0; i < REGION_MAX; i++) {
		region_lookup(&map, i * 4 + 6, &hit);
		assert_int_equal(hit.kind, i ? REGION_RAM : REGION_HIDDEN);
		assert_int_equal(hit.pfn, i * 4 + 6);
	}
	assert_int_equal(map.ram_frames, REGION_MAX * 3 - 3 + 1);
}

/* What is between the main region and its neighbours may be a quarter of the whole. */
static void the_span_goes_over_small_gaps(void **state)
{
	add(10, 30, 10, REGION_RAM);
	add(160, 200, 160, REGION_RAM);
	add(400, 30, 400, REGION_RAM);
	add(450, 50, 450, REGION_RAM);
	add(410, 10, 410, REGION_HIDDEN);
	check_all();
	assert_int_equal(map.span.base, 160);
	assert_int_equal(map.span.pages, 340);
	assert_int_equal(map.span.frame_index, 30);
	assert_int_equal(map.frame_count, 370);
	add(140, 20, 140, REGION_MMIO);
	add(500, 50, 500, REGION_MMIO);
	add(550, 50, 550, REGION_RAM);
	check_all();
	assert_int_equal(map.span.pages, 340);
	add(360, 40, 360, REGION_RAM);
	check_all();
	assert_int_equal(map.span.pages, 440);
}

/* Every MiB that is RAM as a whole, and where it is in the host, is known; nothing else. */
static void a_whole_mib_is_known_at_once(void **state)
{
	const u64 mib = 1u << REGION_WHOLE_SHIFT;

	assert_int_equal(region_add(&map, 1, 4 * mib, 1, REGION_RAM), 0);
	assert_int_equal(region_add(&map, 8 * mib, mib, 9 * mib, REGION_RAM), 0);
	assert_int_equal(region_add(&map, 10 * mib, mib, 10 * mib, REGION_HIDDEN), 0);
	assert_int_equal(region_add(&map, (REGION_WHOLE - 1) * mib, 3 * mib, (REGION_WHOLE - 1) * mib, REGION_RAM),
			 0);
	region_seal(&map);
	for (u64 i = 0; i < REGION_WHOLE + 4; i++)
		for (u64 gfn = i * mib; gfn < (i + 1) * mib; gfn += mib - 1)
			assert_int_equal(region_in_whole(&map, gfn), (i >= 1 && i < 4) || i == REGION_WHOLE - 1);
	assert_int_equal(region_add(&map, 2 * mib + 7, 1, 2 * mib + 7, REGION_MMIO), 0);
	assert_false(region_in_whole(&map, 2 * mib));
	region_seal(&map);
	assert_false(region_in_whole(&map, 2 * mib));
	assert_true(region_in_whole(&map, mib));
}

static void random_maps_match_the_oracle(void **state)
{
	host_random_seed(8);
	for (int round = 0; round < 60; round++) {
		setup(state);
		for (int step = 0; step < 40; step++) {
			gfn_t base = host_random_below(GFNS - 1);
			u64 pages = 1 + host_random_below(MIN(GFNS - base - 1, step % 3 ? 12ull : 200ull) + 1);
			pfn_t pfn = base + (host_random_below(3) ? 0 : host_random_below(3) * 1000);

			pages = MIN(pages, GFNS - base);
			add(base, pages, pfn, (enum region_kind)host_random_below(REGION_HIDDEN + 1));
			check_all();
		}
	}
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_map_is_all_mmio),
		TEST(neighbours_of_one_kind_merge),
		TEST(a_hole_splits_and_refilling_joins),
		TEST(a_layout_that_is_not_identical_translates),
		TEST(bad_ranges_are_refused),
		TEST(a_full_map_refuses_and_keeps_what_it_has),
		TEST(the_span_goes_over_small_gaps),
		TEST(a_whole_mib_is_known_at_once),
		TEST(random_maps_match_the_oracle),
	};

	return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
