/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shadow_audit() itself: a shadow that is broken in one place must be found out,
 * whatever stands there, and the audit must come back from it. Each test breaks
 * one thing, counts mismatches, and mends it: then the audit finds nothing.
 */
#include "tests/unit/host.h"

#include <stdio.h>

#include "mm/shadow/accessors.h"
#include "tests/unit/machine.h"

#define ROOT 0x100000ull
#define UPPER 0x101000ull /* the tables of levels 3 to 1: this and the two after it */
#define LARGE 0x104000ull /* a table of level 2 with large leaves, in entry 1 of level 3 */
#define DATA 0x180000ull
#define BASE 0x0ull /* gva: entry 0 of every level */
#define LARGE_GVA (1ull << 30)
#define USER (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)

static struct machine *m;

/* Entries of the lowest table, by what they lead to. */
enum { WRITABLE, READONLY, DEVICE, HIDDEN };

static int setup(void **state)
{
	static const struct machine_config config = {.seed = 1};
	struct shadow_paging paging = machine_long_mode(ROOT);

	m = machine_create(&config);
	assert_non_null(m);
	for (u32 i = 0; i < 3; i++)
		machine_dma(m, (i ? UPPER + (i - 1) * PAGE_SIZE : ROOT), (UPPER + i * PAGE_SIZE) | USER);
	machine_dma(m, UPPER + 8, LARGE | USER);
	machine_dma(m, LARGE, MACHINE_HIGH | USER | PTE_PS);
	machine_dma(m, LARGE + 8, MACHINE_MMIO | USER | PTE_PS);
	machine_dma(m, UPPER + 2 * PAGE_SIZE + 8 * WRITABLE, DATA | USER);
	machine_dma(m, UPPER + 2 * PAGE_SIZE + 8 * READONLY, (DATA + PAGE_SIZE) | (USER & ~PTE_W));
	machine_dma(m, UPPER + 2 * PAGE_SIZE + 8 * DEVICE, MACHINE_MMIO | USER);
	machine_dma(m, UPPER + 2 * PAGE_SIZE + 8 * HIDDEN, MACHINE_HIDDEN | USER);
	machine_set_paging(m, &paging, true);
	for (u32 i = WRITABLE; i <= HIDDEN; i++)
		machine_read(m, BASE + i * PAGE_SIZE);
	machine_read(m, LARGE_GVA);
	machine_read(m, LARGE_GVA + (1ull << 21));
	host_log_quiet = true;
	assert_int_equal(shadow_audit(m->mmu), 0);
	return 0;
}

static int teardown(void **state)
{
	host_log_quiet = false;
	machine_destroy(m);
	return 0;
}

/* The shadow page of a level on the path of an address. */
static u32 page_at(gva_t gva, u32 level)
{
	u32 page = m->mmu->root[0];

	for (u32 l = 4; l > level; l--)
		page = page_of_link(m->shadow, page_table(m->shadow, page)[level_index(l, gva)]);
	return page;
}

static u64 *entry_at(gva_t gva, u32 level)
{
	return &page_table(m->shadow, page_at(gva, level))[level_index(level, gva)];
}

/* The entry reads value for one audit, which must find that out. */
static void broken_entry_is_found(u64 *spte, u64 value)
{
	u64 old = *spte;

	assert_true(old & PTE_P);
	*spte = value;
	assert_true(shadow_audit(m->mmu) > 0);
	*spte = old;
	assert_int_equal(shadow_audit(m->mmu), 0);
}

/* --- the tests --------------------------------------------------------------------------- */
static void list_bit_on_device_memory(void **state)
{
	u64 *small = entry_at(BASE + DEVICE * PAGE_SIZE, 1), *large = entry_at(LARGE_GVA + (1ull << 21), 2);

	assert_true(*large & PTE_PS);
	broken_entry_is_found(small, *small | SPTE_RMAP);
	broken_entry_is_found(large, *large | SPTE_RMAP);
}

static void list_bit_on_the_page_of_all_ones(void **state)
{
	u64 *spte = entry_at(BASE + HIDDEN * PAGE_SIZE, 1);

	broken_entry_is_found(spte, *spte | SPTE_RMAP);
	broken_entry_is_found(spte, *spte | PTE_W);
}

static void leaf_that_leads_out_of_the_guests_memory(void **state)
{
	u64 *spte = entry_at(BASE, 1), *large = entry_at(LARGE_GVA, 2);

	assert_true(*large & PTE_PS);
	broken_entry_is_found(spte, (*spte & ~PTE_ADDR_MASK) | MACHINE_HIDDEN);
	broken_entry_is_found(spte, (*spte & ~PTE_ADDR_MASK) | MACHINE_POOL);
	/* begins in RAM, with the right list bit, and runs into hidden memory */
	broken_entry_is_found(large, (*large & ~PTE_ADDR_MASK) | (MACHINE_LOW_END & ~0x1fffffull));
	/* more frames than there are */
	broken_entry_is_found(entry_at(BASE, 3), DATA | USER | PTE_PS | SPTE_RMAP);
}

static void leaf_that_is_in_no_list(void **state)
{
	u64 *spte = entry_at(BASE, 1), *readonly = entry_at(BASE + READONLY * PAGE_SIZE, 1);

	assert_true(*spte & SPTE_RMAP);
	broken_entry_is_found(spte, *spte & ~SPTE_RMAP);
	broken_entry_is_found(readonly, *readonly | PTE_W | SPTE_RMAP);
}

static void writable_leaf_over_a_table(void **state)
{
	u64 *spte = entry_at(BASE, 1);

	broken_entry_is_found(spte, (*spte & ~PTE_ADDR_MASK) | UPPER);
}

static void link_to_no_shadow_page(void **state)
{
	u64 *link = entry_at(BASE, 2);

	broken_entry_is_found(link, DATA | SPTE_LINK);
	broken_entry_is_found(link, page_hpa(m->shadow, m->shadow->page_count).v | SPTE_LINK);
	broken_entry_is_found(link, page_hpa(m->shadow, 0).v | SPTE_LINK);
	broken_entry_is_found(link, PTE_ADDR_MASK | SPTE_LINK);
}

static void link_that_is_wrong(void **state)
{
	u64 *link = entry_at(BASE, 2);

	broken_entry_is_found(link, *link & ~PTE_U);
	broken_entry_is_found(link, page_hpa(m->shadow, page_at(BASE, 3)).v | SPTE_LINK);
}

static void absent_entry_that_is_not_zero(void **state)
{
	u64 *spte = entry_at(BASE, 1);

	broken_entry_is_found(spte, *spte & ~PTE_P);
}

static void counts_of_a_page(void **state)
{
	struct shadow_page *sp = &m->shadow->pages[page_at(BASE, 1)];

	sp->live++;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->live--;
	sp->live_words ^= 2;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->live_words ^= 2;
	m->shadow->free_count++;
	assert_true(shadow_audit(m->mmu) > 0);
	m->shadow->free_count--;
	m->shadow->unsync_count++;
	assert_true(shadow_audit(m->mmu) > 0);
	m->shadow->unsync_count--;
	assert_int_equal(shadow_audit(m->mmu), 0);
}

static void name_of_a_page(void **state)
{
	struct shadow_page *sp = &m->shadow->pages[page_at(BASE, 1)];

	sp->gfn++;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->gfn = MACHINE_MMIO >> PAGE_SHIFT; /* no RAM: not to be looked up */
	assert_true(shadow_audit(m->mmu) > 0);
	sp->gfn = (UPPER + 2 * PAGE_SIZE) >> PAGE_SHIFT;
	sp->flags ^= PAGE_UNSYNC;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->flags ^= PAGE_UNSYNC;
	assert_int_equal(shadow_audit(m->mmu), 0);
}

static void root_that_is_not_pinned(void **state)
{
	struct shadow_page *sp = &m->shadow->pages[m->mmu->root[0]];
	u16 tag = sp->tag;

	sp->pins = 0;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->pins = 1;
	sp->tag = tag == 1 ? 2 : 1;
	assert_true(shadow_audit(m->mmu) > 0);
	sp->tag = tag;
	assert_int_equal(shadow_audit(m->mmu), 0);
}

static void remembered_path_that_leads_elsewhere(void **state)
{
	u32 found = 0;

	/* one more fault there sees that the path still leads where it did */
	machine_dma(m, UPPER + 2 * PAGE_SIZE + 8 * 9, (DATA + 2 * PAGE_SIZE) | USER);
	machine_read(m, BASE + 9 * PAGE_SIZE);
	for (u32 i = 0; i < PATH_CACHE_SIZE; i++) {
		struct cached_path *path = &m->mmu->paths[i];

		if (path->page != page_at(BASE, 1) || path->links != m->shadow->link_changes)
			continue;
		found++;
		path->page = page_at(LARGE_GVA, 2);
		assert_true(shadow_audit(m->mmu) > 0);
		path->page = page_at(BASE, 1);
	}
	assert_int_equal(found, 1);
	assert_int_equal(shadow_audit(m->mmu), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(list_bit_on_device_memory),
		TEST(list_bit_on_the_page_of_all_ones),
		TEST(leaf_that_leads_out_of_the_guests_memory),
		TEST(leaf_that_is_in_no_list),
		TEST(writable_leaf_over_a_table),
		TEST(link_to_no_shadow_page),
		TEST(link_that_is_wrong),
		TEST(absent_entry_that_is_not_zero),
		TEST(counts_of_a_page),
		TEST(name_of_a_page),
		TEST(root_that_is_not_pinned),
		TEST(remembered_path_that_leads_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
