/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's page tables against an oracle that keeps what every page of
 * a few windows maps to, with hostmap_check() after every step; the raw entries
 * are checked too. Every allocation is made to fail once.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "lib/x86.h"
#include "mm/hostmap.h"
#include "mm/phys.h"

#define SIZE_2M BIT(21)
#define SIZE_1G BIT(30)
#define CORE 0xffffffff80000000ull
#define DIRECT 0xffff800000000000ull
#define ARENA_BYTES (64ull << 20)

static struct hostmap map;

static int setup(void **state)
{
	host_arena_create(ARENA_BYTES);
	host_log_quiet = false;
	return hostmap_init(&map, true, host_arena_page, NULL);
}

static int teardown(void **state)
{
	host_arena_destroy();
	return 0;
}

static void assert_maps(u64 va, u64 pa, u64 rights)
{
	hpa_t found;
	u64 found_rights;

	assert_true(hostmap_query(&map, va, &found, &found_rights));
	assert_int_equal(found.v, pa);
	assert_int_equal(found_rights, rights);
}

static void assert_absent(u64 va)
{
	hpa_t pa;
	u64 rights;

	assert_false(hostmap_query(&map, va, &pa, &rights));
}

/* Counts leaves by level and checks the bits that every entry must have. */
static void check_entries(hpa_t table, u32 level, u64 leaves[4])
{
	const u64 *entries = phys_to_virt(table);

	for (u32 i = 0; i < 512; i++) {
		u64 e = entries[i];

		if (!(e & PTE_P)) {
			assert_int_equal(e, 0);
			continue;
		}
		assert_true(e & PTE_A);
		assert_false(e & (PTE_G | PTE_U));
		if (level > 1 && !(e & PTE_PS)) {
			assert_true(e & PTE_W);
			assert_false(e & PTE_NX);
			check_entries(hpa(e & PTE_ADDR_MASK), level - 1, leaves);
			continue;
		}
		assert_true(level >= 1 && level <= 3);
		assert_true(e & PTE_D);
		assert_false(e & (level == 1 ? PTE_PAT_4K : PTE_PAT_LARGE));
		assert_false((e & PTE_W) && !(e & PTE_NX));
		assert_int_equal(!!(e & PTE_PCD), !!(e & PTE_PWT));
		assert_int_equal(e & PTE_ADDR_MASK & ((PAGE_SIZE << (9 * (level - 1))) - 1), 0);
		leaves[level]++;
	}
}

static void check_all(void)
{
	u64 leaves[4] = {0};

	check_entries(map.root, 4, leaves);
	assert_int_equal(hostmap_check(&map), 0);
}

static void assert_leaves(u64 pages_4k, u64 pages_2m, u64 pages_1g)
{
	u64 leaves[4] = {0};

	check_entries(map.root, 4, leaves);
	assert_int_equal(leaves[1], pages_4k);
	assert_int_equal(leaves[2], pages_2m);
	assert_int_equal(leaves[3], pages_1g);
}

static void rights_are_what_was_asked_for(void **state)
{
	assert_int_equal(hostmap_map(&map, CORE, hpa(0x5000), 0x2000, HOSTMAP_X), 0);
	assert_int_equal(hostmap_map(&map, CORE + 0x2000, hpa(0x7000), 0x1000, 0), 0);
	assert_int_equal(hostmap_map(&map, CORE + 0x3000, hpa(0x8000), 0x1000, HOSTMAP_W), 0);
	assert_int_equal(hostmap_map(&map, DIRECT, hpa(0xfee00000), 0x1000, HOSTMAP_W | HOSTMAP_UC), 0);
	assert_maps(CORE + 0x1234, 0x6234, HOSTMAP_X);
	assert_maps(CORE + 0x2fff, 0x7fff, 0);
	assert_maps(CORE + 0x3000, 0x8000, HOSTMAP_W);
	assert_maps(DIRECT + 8, 0xfee00008, HOSTMAP_W | HOSTMAP_UC);
	assert_absent(CORE - 1);
	assert_absent(CORE + 0x4000);
	assert_absent(0);
	assert_absent(0x0000800000000000ull);
	check_all();
	assert_leaves(5, 0, 0);
}

static void bad_requests_are_refused(void **state)
{
	const u64 wx = HOSTMAP_W | HOSTMAP_X;

	assert_int_equal(hostmap_map(&map, CORE, hpa(0), PAGE_SIZE, wx), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE, hpa(0), PAGE_SIZE, BIT(7)), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE + 1, hpa(0), PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE, hpa(1), PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE, hpa(0), 0, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE, hpa(0), 1, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, CORE, hpa(0), 3 * SIZE_1G, 0), -EINVAL); /* wraps */
	assert_int_equal(hostmap_map(&map, BIT(47), hpa(0), PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, BIT(47) - PAGE_SIZE, hpa(0), 2 * PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, DIRECT - PAGE_SIZE, hpa(0), 2 * PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, 0, hpa(BIT(52)), PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_map(&map, 0, hpa(BIT(52) - PAGE_SIZE), 2 * PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(hostmap_unmap(&map, CORE, 0), -EINVAL);
	assert_int_equal(hostmap_unmap(&map, BIT(47), PAGE_SIZE), -EINVAL);
	assert_leaves(0, 0, 0);
	assert_int_equal(host_arena_pages_used, 1);
	/* the very last page is fine */
	assert_int_equal(hostmap_map(&map, -PAGE_SIZE, hpa(0), PAGE_SIZE, 0), 0);
	assert_maps(~0ull, 0xfff, 0);
}

static void the_largest_pages_that_fit_are_used(void **state)
{
	assert_int_equal(hostmap_map(&map, DIRECT, hpa(0), 4 * SIZE_1G, HOSTMAP_W), 0);
	assert_leaves(0, 0, 4);
	assert_int_equal(host_arena_pages_used, 2);
	/* aligned to 2 MiB only */
	assert_int_equal(hostmap_map(&map, 0, hpa(SIZE_2M), SIZE_1G, HOSTMAP_W), 0);
	assert_leaves(0, 512, 4);
	/* one page too low, one page too long */
	assert_int_equal(hostmap_map(&map, CORE + SIZE_2M - PAGE_SIZE, hpa(SIZE_2M - PAGE_SIZE),
				     SIZE_2M + 2 * PAGE_SIZE, HOSTMAP_W),
			 0);
	assert_leaves(2, 513, 4);
	check_all();
}

static void without_1g_pages_2m_pages_are_used(void **state)
{
	map.pages_1g = false;
	assert_int_equal(hostmap_map(&map, DIRECT, hpa(0), SIZE_1G, HOSTMAP_W), 0);
	assert_leaves(0, 512, 0);
	assert_maps(DIRECT + SIZE_1G - 1, SIZE_1G - 1, HOSTMAP_W);
}

static void a_hole_in_a_large_page_splits_it(void **state)
{
	const u64 hole = 5 * SIZE_2M + 7 * PAGE_SIZE;

	assert_int_equal(hostmap_map(&map, DIRECT, hpa(0), 2 * SIZE_1G, HOSTMAP_W | HOSTMAP_UC), 0);
	assert_int_equal(hostmap_unmap(&map, DIRECT + hole, PAGE_SIZE), 0);
	assert_leaves(511, 511, 1);
	assert_absent(DIRECT + hole);
	assert_maps(DIRECT + hole - 1, hole - 1, HOSTMAP_W | HOSTMAP_UC);
	assert_maps(DIRECT + hole + PAGE_SIZE, hole + PAGE_SIZE, HOSTMAP_W | HOSTMAP_UC);
	assert_int_equal(hostmap_map(&map, DIRECT + hole, hpa(0), PAGE_SIZE, HOSTMAP_X), 0);
	assert_maps(DIRECT + hole, 0, HOSTMAP_X);
	check_all();
	/* tables stay, so neither filling the hole nor unmapping everything needs memory */
	host_arena_fail_at = 1;
	assert_int_equal(hostmap_map(&map, DIRECT, hpa(0), 2 * SIZE_1G, HOSTMAP_W), 0);
	assert_leaves(512, 511, 1);
	assert_maps(DIRECT + hole, hole, HOSTMAP_W);
	assert_int_equal(hostmap_unmap(&map, DIRECT, 4 * SIZE_1G), 0);
	assert_leaves(0, 0, 0);
}

static void unmapping_nothing_takes_no_memory(void **state)
{
	assert_int_equal(hostmap_unmap(&map, 0, BIT(47)), 0);
	assert_int_equal(hostmap_unmap(&map, DIRECT, BIT(47)), 0);
	assert_int_equal(hostmap_unmap(&map, CORE + PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_int_equal(host_arena_pages_used, 1);
}

static void check_counts_writable_code(void **state)
{
	u64 *table;

	assert_int_equal(hostmap_map(&map, 0, hpa(0), SIZE_1G, HOSTMAP_X), 0);
	table = phys_to_virt(map.root);
	table = phys_to_virt(hpa(table[0] & PTE_ADDR_MASK));
	table[0] |= PTE_W;
	host_log_quiet = true;
	assert_int_equal(hostmap_check(&map), 1);
}

/* --- the oracle: what each page of three windows maps to ---------------------- */

#define WINDOW_PAGES 2048u /* 8 MiB */

static const u64 windows[] = {DIRECT + SIZE_1G - WINDOW_PAGES / 2 * PAGE_SIZE, CORE, 0x7fffff800000ull};
struct page {
	bool mapped;
	u64 pa, rights;
};
static struct page oracle[ARRAY_SIZE(windows)][WINDOW_PAGES];

static void check_window(u32 w)
{
	for (u32 i = 0; i < WINDOW_PAGES; i++) {
		const struct page *page = &oracle[w][i];

		if (page->mapped)
			assert_maps(windows[w] + i * PAGE_SIZE, page->pa, page->rights);
		else
			assert_absent(windows[w] + i * PAGE_SIZE);
	}
}

static void oracle_set(u32 w, u32 first, u32 pages, bool mapped, u64 pa, u64 rights)
{
	for (u32 i = 0; i < pages; i++)
		oracle[w][first + i] = (struct page){mapped, pa + i * PAGE_SIZE, rights};
}

/* A random piece of a window; half of them begin and end at 2 MiB. */
static void random_piece(u32 *first, u32 *pages)
{
	*first = (u32)host_random_below(WINDOW_PAGES);
	*pages = 1 + (u32)host_random_below(host_random_below(2) ? 20 : WINDOW_PAGES);
	if (host_random_below(2)) {
		*first &= ~511u;
		*pages = ALIGN_UP(*pages, 512u);
	}
	*pages = MIN(*pages, WINDOW_PAGES - *first);
}

static u64 random_rights(void)
{
	static const u64 legal[] = {0, HOSTMAP_W, HOSTMAP_X, HOSTMAP_W | HOSTMAP_UC, HOSTMAP_UC};

	return legal[host_random_below(ARRAY_SIZE(legal))];
}

static void random_step(u32 w)
{
	u32 first, pages;
	u64 va, pa, rights = random_rights();

	random_piece(&first, &pages);
	va = windows[w] + first * PAGE_SIZE;
	if (host_random_below(3) == 0) {
		assert_int_equal(hostmap_unmap(&map, va, pages * PAGE_SIZE), 0);
		oracle_set(w, first, pages, false, 0, 0);
		return;
	}
	/* mostly with the same offset to 2 MiB as va */
	pa = (host_random_below(1000) << 21) + (va & (SIZE_2M - 1));
	if (host_random_below(4) == 0)
		pa += PAGE_SIZE;
	assert_int_equal(hostmap_map(&map, va, hpa(pa), pages * PAGE_SIZE, rights), 0);
	oracle_set(w, first, pages, true, pa, rights);
}

static void random_runs_match_the_oracle(void **state)
{
	host_random_seed(9);
	for (int round = 0; round < 10; round++) {
		host_arena_reset();
		memset(oracle, 0, sizeof(oracle));
		assert_int_equal(hostmap_init(&map, round % 2, host_arena_page, NULL), 0);
		for (int step = 0; step < 60; step++) {
			u32 w = (u32)host_random_below(ARRAY_SIZE(windows));

			random_step(w);
			check_all();
			check_window(w);
		}
		for (u32 w = 0; w < ARRAY_SIZE(windows); w++)
			check_window(w);
	}
}

/* --- running out of memory ----------------------------------------------------- */

/* A first part of [first, first + pages) is as after the operation, the rest as before. */
static void check_cut_short(const struct page *before, u32 first, u32 pages, u64 pa, bool mapped)
{
	bool done = true;

	for (u32 i = 0; i < WINDOW_PAGES; i++) {
		struct page is = {0};
		hpa_t found = {0};
		bool after;

		is.mapped = hostmap_query(&map, windows[0] + i * PAGE_SIZE, &found, &is.rights);
		is.pa = found.v;
		after = i >= first && i < first + pages && is.mapped == mapped &&
			(!mapped || is.pa == pa + (i - first) * PAGE_SIZE);
		if (i >= first && done && after)
			continue;
		if (i >= first)
			done = false;
		assert_int_equal(is.mapped, before[i].mapped);
		if (is.mapped) {
			assert_int_equal(is.pa, before[i].pa);
			assert_int_equal(is.rights, before[i].rights);
		}
	}
}

/* 1 GiB pages under the first window, which straddles two of them. */
static void map_ground(void)
{
	u64 base = windows[0] & ~(SIZE_1G - 1);

	host_arena_reset();
	assert_int_equal(hostmap_init(&map, true, host_arena_page, NULL), 0);
	assert_int_equal(hostmap_map(&map, base, hpa(SIZE_1G), 2 * SIZE_1G, HOSTMAP_W), 0);
	for (u32 i = 0; i < WINDOW_PAGES; i++)
		oracle[0][i] = (struct page){true, SIZE_1G + (windows[0] - base) + i * PAGE_SIZE, HOSTMAP_W};
}

/* Fails the n-th allocation for n = 1, 2, ... until the operation needs fewer. */
static void fail_every_allocation(bool mapped, u32 first, u32 pages, u32 expected_failures)
{
	u64 va = windows[0] + first * PAGE_SIZE, pa = 0x7000000000ull + PAGE_SIZE;
	int err = -ENOMEM;
	u32 n;

	for (n = 1; err; n++) {
		map_ground();
		host_arena_fail_at = n;
		err = mapped ? hostmap_map(&map, va, hpa(pa), pages * PAGE_SIZE, HOSTMAP_X) :
			       hostmap_unmap(&map, va, pages * PAGE_SIZE);
		check_all();
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		check_cut_short(oracle[0], first, pages, pa, mapped);
		/* the memory is there now: the same call succeeds */
		err = mapped ? hostmap_map(&map, va, hpa(pa), pages * PAGE_SIZE, HOSTMAP_X) :
			       hostmap_unmap(&map, va, pages * PAGE_SIZE);
		assert_int_equal(err, 0);
		oracle_set(0, first, pages, mapped, pa, HOSTMAP_X);
		check_window(0);
		check_all();
		err = -ENOMEM;
	}
	assert_int_equal(n - 1, expected_failures);
}

static void running_out_of_memory_leaves_the_rest_alone(void **state)
{
	/* inside one 2 MiB page: a table for the 1 GiB page, one for the 2 MiB page */
	fail_every_allocation(true, 3, 5, 2);
	fail_every_allocation(false, 3, 5, 2);
	/* across the border of two 1 GiB pages: twice that */
	fail_every_allocation(true, 1000, 100, 4);
	fail_every_allocation(false, 1000, 100, 4);
	/* a whole 2 MiB page that is misaligned physically, and one that is just unmapped */
	fail_every_allocation(true, 512, 512, 2);
	fail_every_allocation(false, 512, 512, 1);
}

static void a_new_map_can_fail_for_want_of_memory(void **state)
{
	host_arena_fail_at = 1;
	assert_int_equal(hostmap_init(&map, true, host_arena_page, NULL), -ENOMEM);
	assert_int_equal(hostmap_init(&map, true, host_arena_page, NULL), 0);
	/* three levels of tables are missing; what was made stays, so each try gets one further */
	for (u64 n = 1; n <= 3; n++) {
		host_arena_fail_at = 2;
		assert_int_equal(hostmap_map(&map, CORE, hpa(0), PAGE_SIZE, 0), n < 3 ? -ENOMEM : 0);
		check_all();
	}
	assert_maps(CORE, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rights_are_what_was_asked_for),
		TEST(bad_requests_are_refused),
		TEST(the_largest_pages_that_fit_are_used),
		TEST(without_1g_pages_2m_pages_are_used),
		TEST(a_hole_in_a_large_page_splits_it),
		TEST(unmapping_nothing_takes_no_memory),
		TEST(check_counts_writable_code),
		TEST(random_runs_match_the_oracle),
		TEST(running_out_of_memory_leaves_the_rest_alone),
		TEST(a_new_map_can_fail_for_want_of_memory),
	};

	return cmocka_run_group_tests_name("hostmap", tests, NULL, NULL);
}
