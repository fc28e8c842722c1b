/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buddy allocator against an oracle that keeps one flag a page, with
 * buddy_check() after every step. The arena starts at physical address 0 and
 * reaches beyond 4 GiB, so that all three zones are there.
 */
#include "tests/unit/host.h"

#include <stdlib.h>
#include <string.h>

#include "mm/buddy.h"
#include "mm/phys.h"

#define PFN_1M 0x100ull
#define PFN_4G 0x100000ull
#define ARENA_PAGES (PFN_4G + 0x100000ull)

static struct buddy buddy;

/* --- the oracle: the spans and one flag a page ------------------------------ */

enum page { PAGE_ABSENT, PAGE_FREE, PAGE_TAKEN };

static u8 *oracle; /* enum page, by pfn */
static u8 *states[8];
static u32 state_count;

static u64 oracle_count(enum page what, pfn_t base, pfn_t end)
{
	u64 n = 0;

	for (pfn_t pfn = base; pfn < end; pfn++)
		n += oracle[pfn] == what;
	return n;
}

static void check_all(void)
{
	assert_int_equal(buddy_check(&buddy), 0);
	assert_int_equal(buddy.lock.held, 0);
}

static void check_counts(void)
{
	assert_int_equal(buddy.free_pages[ZONE_LOW1M], oracle_count(PAGE_FREE, 0, PFN_1M));
	assert_int_equal(buddy.free_pages[ZONE_BELOW4G], oracle_count(PAGE_FREE, PFN_1M, PFN_4G));
	assert_int_equal(buddy.free_pages[ZONE_NORMAL], oracle_count(PAGE_FREE, PFN_4G, ARENA_PAGES));
}

static void add_span(pfn_t base, u64 pages)
{
	u8 *state = malloc(buddy_state_bytes(pages));

	assert_int_equal(buddy_add_span(&buddy, base, pages, state), 0);
	states[state_count++] = state;
	memset(oracle + base, PAGE_FREE, pages);
	check_all();
}

static int setup(void **state)
{
	host_arena_create_at(0, ARENA_PAGES * PAGE_SIZE);
	oracle = calloc(1, ARENA_PAGES);
	state_count = 0;
	host_log_quiet = false;
	buddy_init(&buddy);
	return 0;
}

static int teardown(void **state)
{
	while (state_count)
		free(states[--state_count]);
	free(oracle);
	host_arena_destroy();
	return 0;
}

/* --- tests ------------------------------------------------------------------ */

static void spans_are_checked(void **state)
{
	u8 bytes[16];

	add_span(0x200, 0x10);
	add_span(0x300, 0x10);
	add_span(0x220, 0x8);
	assert_int_equal(buddy_add_span(&buddy, 0x100, 0, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, 0x20f, 2, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, 0x1ff, 2, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, 0x1ff, 0x200, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, 0x205, 1, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, BIT(40) - 1, 2, bytes), -EINVAL);
	assert_int_equal(buddy_add_span(&buddy, 1, ~0ull, bytes), -EINVAL);
	check_all();
	assert_int_equal(buddy.total_pages, 0x28);
}

static void too_many_spans_are_refused(void **state)
{
	u8 bytes[BUDDY_MAX_SPANS + 1];

	for (u32 i = 0; i < BUDDY_MAX_SPANS; i++) {
		/* not in order of address */
		pfn_t base = 0x1000 + i * 37 % BUDDY_MAX_SPANS * 4;

		assert_int_equal(buddy_add_span(&buddy, base, 1, &bytes[i]), 0);
	}
	assert_int_equal(buddy_add_span(&buddy, 0x10, 1, &bytes[BUDDY_MAX_SPANS]), -ENOSPC);
	check_all();
	assert_int_equal(buddy_claim_all(&buddy), BUDDY_MAX_SPANS);
	check_all();
}

static void alloc_is_aligned_and_falls_to_lower_zones(void **state)
{
	hpa_t page;

	add_span(0x10, 0x20);
	add_span(0x1003, 0x100);
	add_span(PFN_4G + 1, 0x7f);
	assert_int_equal(buddy_alloc(&buddy, 6, ZONE_NORMAL, &page), 0);
	assert_int_equal(page.v % (64 * PAGE_SIZE), 0);
	assert_true(hpa_to_pfn(page) >= PFN_4G);
	assert_int_equal(buddy_alloc(&buddy, 6, ZONE_NORMAL, &page), 0);
	assert_true(hpa_to_pfn(page) >= 0x1003 && hpa_to_pfn(page) <= 0x1103);
	assert_int_equal(buddy_alloc(&buddy, 4, ZONE_LOW1M, &page), 0);
	assert_true(hpa_to_pfn(page) >= 0x10 && hpa_to_pfn(page) <= 0x30);
	assert_int_equal(buddy_alloc(&buddy, 8, ZONE_NORMAL, &page), -ENOMEM);
	assert_int_equal(buddy_alloc(&buddy, BUDDY_ORDERS, ZONE_NORMAL, &page), -EINVAL);
	assert_int_equal(buddy_alloc(&buddy, 0, BUDDY_ZONES, &page), -EINVAL);
	check_all();
}

static void a_full_gigabyte_is_one_block(void **state)
{
	hpa_t page;

	add_span(PFN_4G - 5, 0x40000 + 10);
	assert_int_equal(buddy_alloc(&buddy, BUDDY_MAX_ORDER, ZONE_NORMAL, &page), 0);
	assert_int_equal(hpa_to_pfn(page), PFN_4G);
	check_all();
	assert_int_equal(buddy_alloc(&buddy, BUDDY_MAX_ORDER, ZONE_NORMAL, &page), -ENOMEM);
	/* freed page by page it must become one block again */
	for (pfn_t pfn = PFN_4G; pfn < PFN_4G + 0x40000; pfn++)
		assert_int_equal(buddy_free(&buddy, pfn_to_hpa(pfn), 0), 0);
	check_all();
	assert_int_equal(buddy_alloc(&buddy, BUDDY_MAX_ORDER, ZONE_NORMAL, &page), 0);
}

static void a_claimed_span_is_not_touched_until_it_is_freed(void **state)
{
	static u8 expected[0x40 * 4096];
	u8 *span = phys_to_virt(pfn_to_hpa(0x7f0)), *bytes = malloc(buddy_state_bytes(0x40));
	hpa_t page;

	states[state_count++] = bytes;
	memset(span, 0x5a, sizeof(expected));
	memset(expected, 0x5a, sizeof(expected));
	assert_int_equal(buddy_add_claimed(&buddy, 0x7f0, 0x40, bytes), 0);
	check_all();
	assert_int_equal(buddy_alloc(&buddy, 0, ZONE_NORMAL, &page), -ENOMEM);
	assert_int_equal(buddy_claim(&buddy, 0x7f3, 1), -EBUSY);
	assert_int_equal(buddy_claim_all(&buddy), 0);
	assert_memory_equal(span, expected, sizeof(expected));
	assert_int_equal(buddy_add_claimed(&buddy, 0x82f, 1, bytes), -EINVAL);
	assert_int_equal(buddy_free(&buddy, pfn_to_hpa(0x800), 5), 0);
	check_all();
	assert_int_equal(buddy_alloc(&buddy, 5, ZONE_NORMAL, &page), 0);
	assert_int_equal(hpa_to_pfn(page), 0x800);
	assert_int_equal(buddy.total_pages, 0x40);
}

static void page_zero_is_claimed_but_never_allocated(void **state)
{
	hpa_t page;
	u32 n = 0;

	add_span(0, 8);
	while (!buddy_alloc(&buddy, 0, ZONE_NORMAL, &page)) {
		assert_true(page.v != 0);
		n++;
	}
	assert_int_equal(n, 7);
	assert_int_equal(buddy.free_pages[ZONE_LOW1M], 1);
	assert_int_equal(buddy_claim(&buddy, 0, 1), 0);
	check_all();
	assert_int_equal(buddy_claim(&buddy, 0, 1), -EBUSY);
	assert_int_equal(buddy_free(&buddy, hpa(0), 3), 0);
	check_all();
	assert_int_equal(buddy_free(&buddy, hpa(0), 0), -EEXIST);
	assert_int_equal(buddy_free(&buddy, hpa(0), 3), -EEXIST);
	assert_int_equal(buddy_claim(&buddy, 0, 8), 0);
	assert_int_equal(buddy_free(&buddy, hpa(0), 0), 0);
	check_all();
	assert_int_equal(buddy_claim_all(&buddy), 1);
	assert_int_equal(buddy.free_pages[ZONE_LOW1M], 0);
	check_all();
}

static void claims_cross_spans_but_not_gaps(void **state)
{
	add_span(0x100, 0x20);
	add_span(0x120, 0x13);
	add_span(0x140, 0x10);
	assert_int_equal(buddy_claim(&buddy, 0x11f, 0x10), 0);
	check_all();
	assert_int_equal(buddy_claim(&buddy, 0x130, 0x11), -EINVAL);
	assert_int_equal(buddy_claim(&buddy, 0xff, 2), -EINVAL);
	assert_int_equal(buddy_claim(&buddy, 0x150, 1), -EINVAL);
	assert_int_equal(buddy_claim(&buddy, 0x140, 0), -EINVAL);
	assert_int_equal(buddy_claim(&buddy, 0x140, ~0ull), -EINVAL);
	assert_int_equal(buddy_claim(&buddy, 0x12e, 2), -EBUSY);
	assert_int_equal(buddy_claim(&buddy, 0x12f, 4), 0);
	check_all();
	assert_int_equal(buddy.free_pages[ZONE_BELOW4G], 0x1f + 0x10);
}

static void wild_and_double_frees_change_nothing(void **state)
{
	hpa_t page;

	add_span(0x100, 0x100);
	assert_int_equal(buddy_alloc(&buddy, 4, ZONE_NORMAL, &page), 0);
	assert_int_equal(buddy_free(&buddy, hpa(page.v + 0x800), 0), -EINVAL);
	assert_int_equal(buddy_free(&buddy, hpa(page.v + PAGE_SIZE), 4), -EINVAL);
	assert_int_equal(buddy_free(&buddy, pfn_to_hpa(0x80), 0), -EINVAL);
	assert_int_equal(buddy_free(&buddy, pfn_to_hpa(0x200), 0), -EINVAL);
	assert_int_equal(buddy_free(&buddy, pfn_to_hpa(0x100), 9), -EINVAL);
	assert_int_equal(buddy_free(&buddy, page, BUDDY_ORDERS), -EINVAL);
	assert_int_equal(buddy_free(&buddy, page, 5), -EEXIST);
	assert_int_equal(buddy_free(&buddy, hpa(page.v + 3 * PAGE_SIZE), 0), 0);
	assert_int_equal(buddy_free(&buddy, hpa(page.v + 3 * PAGE_SIZE), 0), -EEXIST);
	assert_int_equal(buddy_free(&buddy, page, 4), -EEXIST);
	check_all();
	assert_int_equal(buddy.free_pages[ZONE_BELOW4G], 0x100 - 0x10 + 1);
}

static void check_finds_a_damaged_list(void **state)
{
	hpa_t page;

	add_span(0x100, 0x100);
	assert_int_equal(buddy_alloc(&buddy, 0, ZONE_NORMAL, &page), 0);
	host_log_quiet = true;
	*(u64 *)phys_to_virt(hpa(buddy.free_head[ZONE_BELOW4G][3])) = 0x123000;
	assert_true(buddy_check(&buddy) > 0);
	*(u64 *)phys_to_virt(hpa(buddy.free_head[ZONE_BELOW4G][3])) = 0;
	assert_int_equal(buddy_check(&buddy), 0);
	buddy.free_pages[ZONE_BELOW4G]++;
	assert_int_equal(buddy_check(&buddy), 1);
	buddy.free_pages[ZONE_BELOW4G]--;
	states[0][hpa_to_pfn(page) - 0x100] = 0xff;
	assert_true(buddy_check(&buddy) > 0);
	states[0][hpa_to_pfn(page) - 0x100] = 0;
	/* the next user of a free page that was written to panics instead of spreading the damage */
	*((u64 *)phys_to_virt(hpa(buddy.free_head[ZONE_BELOW4G][0])) + 1) = 0x77;
	assert_panics((void)!buddy_alloc(&buddy, 0, ZONE_NORMAL, &page));
}

/* --- random runs -------------------------------------------------------------- */

/* Few orders are large, and few places: collisions are wanted. */
static u32 random_order(void)
{
	return (u32)host_random_below(host_random_below(4) ? 3 : 9);
}

static pfn_t random_pfn(void)
{
	static const pfn_t around[] = {0, PFN_1M - 40, PFN_4G - 200, PFN_4G};

	return around[host_random_below(ARRAY_SIZE(around))] + host_random_below(0x200);
}

static bool oracle_all(enum page what, pfn_t base, u64 pages)
{
	return oracle_count(what, base, base + pages) == pages;
}

static bool oracle_can_alloc(u32 order, enum buddy_zone highest)
{
	static const pfn_t ends[] = {PFN_1M, PFN_4G, ARENA_PAGES};

	for (u32 i = 0; i < buddy.span_count; i++) {
		const struct buddy_span *span = &buddy.spans[i];
		pfn_t end = MIN(span->base + span->pages, ends[highest]);

		for (pfn_t pfn = ALIGN_UP(MAX(span->base, 1ull), BIT(order)); pfn + BIT(order) <= end;
		     pfn += BIT(order)) {
			if (oracle_all(PAGE_FREE, pfn, BIT(order)))
				return true;
		}
	}
	return false;
}

static void random_alloc(void)
{
	u32 order = random_order();
	enum buddy_zone zone = (enum buddy_zone)host_random_below(BUDDY_ZONES);
	hpa_t page;
	int err = buddy_alloc(&buddy, order, zone, &page);

	assert_int_equal(err, oracle_can_alloc(order, zone) ? 0 : -ENOMEM);
	if (err)
		return;
	assert_int_equal(page.v & ((PAGE_SIZE << order) - 1), 0);
	assert_true(oracle_all(PAGE_FREE, hpa_to_pfn(page), BIT(order)));
	assert_true(zone == ZONE_NORMAL || hpa_to_pfn(page) < (zone == ZONE_LOW1M ? PFN_1M : PFN_4G));
	memset(oracle + hpa_to_pfn(page), PAGE_TAKEN, BIT(order));
	/* the owner may write all of it */
	memset(phys_to_virt(page), 0xcc, PAGE_SIZE << order);
}

static void random_claim(void)
{
	pfn_t base = random_pfn();
	u64 pages = 1 + host_random_below(host_random_below(2) ? 4 : 60);
	int expected = oracle_count(PAGE_ABSENT, base, base + pages) ? -EINVAL :
		       oracle_count(PAGE_TAKEN, base, base + pages)  ? -EBUSY :
								       0;

	assert_int_equal(buddy_claim(&buddy, base, pages), expected);
	if (!expected)
		memset(oracle + base, PAGE_TAKEN, pages);
}

static bool in_one_span(pfn_t base, u64 pages)
{
	for (u32 i = 0; i < buddy.span_count; i++) {
		const struct buddy_span *span = &buddy.spans[i];

		if (base >= span->base && base + pages <= span->base + span->pages)
			return true;
	}
	return false;
}

static void random_free(void)
{
	u32 order = random_order();
	pfn_t base = random_pfn() & ~(BIT(order) - 1);
	int expected = !in_one_span(base, BIT(order))            ? -EINVAL :
		       !oracle_all(PAGE_TAKEN, base, BIT(order)) ? -EEXIST :
								   0;

	assert_int_equal(buddy_free(&buddy, pfn_to_hpa(base), order), expected);
	if (!expected)
		memset(oracle + base, PAGE_FREE, BIT(order));
}

static void random_runs_match_the_oracle(void **state)
{
	host_random_seed(7);
	add_span(0, 0x9f);
	add_span(PFN_1M - 0x20, 0x133);
	add_span(PFN_4G - 0x83, 0x83 + 0x55);
	add_span(PFN_4G + 0x55, 0x107);
	for (int step = 0; step < 60000; step++) {
		switch (host_random_below(step / 2000 % 2 ? 4 : 6)) {
		case 0: random_claim(); break;
		case 1: random_alloc(); break;
		default: random_free(); break;
		}
		check_all();
		/* counting 2 M flags is slow under the sanitizers */
		if (step % 5000 == 0)
			check_counts();
	}
	assert_int_equal(buddy_claim_all(&buddy), oracle_count(PAGE_FREE, 0, ARENA_PAGES));
	check_all();
	assert_int_equal(buddy_claim_all(&buddy), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(spans_are_checked),
		TEST(too_many_spans_are_refused),
		TEST(alloc_is_aligned_and_falls_to_lower_zones),
		TEST(a_full_gigabyte_is_one_block),
		TEST(a_claimed_span_is_not_touched_until_it_is_freed),
		TEST(page_zero_is_claimed_but_never_allocated),
		TEST(claims_cross_spans_but_not_gaps),
		TEST(wild_and_double_frees_change_nothing),
		TEST(check_finds_a_damaged_list),
		TEST(random_runs_match_the_oracle),
	};

	return cmocka_run_group_tests_name("buddy", tests, NULL, NULL);
}
