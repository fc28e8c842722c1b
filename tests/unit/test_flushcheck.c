/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flush checker (mm/shadow/flushcheck.h): each kind of flush that is forgotten is told of once, by its entry and both ends, and
 * the same guest with the flush, or with a change that needs none, is silent. Random guests are in test_tlb_model.c.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "mm/shadow/accessors.h"
#include "tests/unit/machine.h"

#define ROOT 0x100000ull
#define UPPER (ROOT + 1 * PAGE_SIZE)
#define MIDDLE (ROOT + 2 * PAGE_SIZE)
#define LOWER (ROOT + 3 * PAGE_SIZE)        /* of addresses from 0 on */
#define KERNEL_UPPER (ROOT + 4 * PAGE_SIZE) /* of addresses from KERNEL on, and below */
#define KERNEL_MIDDLE (ROOT + 5 * PAGE_SIZE)
#define KERNEL_LOWER (ROOT + 6 * PAGE_SIZE)
#define SPARE (ROOT + 7 * PAGE_SIZE)
#define DATA 0x180000ull
#define OTHER_DATA 0x1c0000ull
#define KERNEL 0xffff800000000000ull
#define WINDOW (KERNEL + 0x40000000) /* where the guest sees its tables: ROOT and seven more */
#define WINDOW_MIDDLE (ROOT + 8 * PAGE_SIZE)
#define WINDOW_LOWER (ROOT + 9 * PAGE_SIZE)
#define USER (PTE_P | PTE_W | PTE_U)

static struct machine *m;
static struct shadow_stale told[8];
static u32 told_count;

static void on_stale(struct machine *machine, const struct shadow_stale *stale)
{
	(void)machine;
	if (told_count < ARRAY_SIZE(told))
		told[told_count] = *stale;
	told_count++;
}

static void put(u64 gpa, u64 entry)
{
	machine_dma(m, gpa, entry);
}

/* The guest's own store to a table. */
static void edit(u64 gpa, u64 entry)
{
	struct machine_result r = machine_write(m, WINDOW + gpa - ROOT, entry);

	if (m->broken)
		fail_msg("%s", m->failure);
	assert_int_equal(r.outcome, MACHINE_OK);
}

static u64 entry_of(u64 gva)
{
	return (gva >= KERNEL ? KERNEL_LOWER : LOWER) + (gva >> PAGE_SHIFT & 511) * 8;
}

static void start_as(enum shadow_flushes how, u32 cpus)
{
	const struct machine_config config = {.seed = 1, .cpus = cpus, .flush_check = how};
	struct shadow_paging p = machine_long_mode(ROOT);

	p.cr4 |= CR4_PGE;
	m = machine_create(&config);
	assert_non_null(m);
	m->audit = true;
	m->stale_use = on_stale;
	told_count = 0;
	put(ROOT, UPPER | USER);
	put(UPPER, MIDDLE | USER);
	put(MIDDLE, LOWER | USER);
	put(ROOT + 256 * 8, KERNEL_UPPER | USER);
	put(KERNEL_UPPER, KERNEL_MIDDLE | USER);
	put(KERNEL_MIDDLE, KERNEL_LOWER | USER);
	put(KERNEL_UPPER + 8, WINDOW_MIDDLE | USER);
	put(WINDOW_MIDDLE, WINDOW_LOWER | USER);
	for (u64 i = 0; i < 32; i++) {
		put(LOWER + i * 8, (DATA + i * PAGE_SIZE) | USER);
		put(KERNEL_LOWER + i * 8, (DATA + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_G);
		put(WINDOW_LOWER + i * 8, (ROOT + i * PAGE_SIZE) | PTE_P | PTE_W);
	}
	for (u32 i = 0; i < cpus; i++) {
		machine_use(m, cpus - 1 - i);
		machine_set_paging(m, &p, true);
	}
}

static void start(void)
{
	start_as(SHADOW_FLUSHES_CHECKED, 1);
}

static u32 told_now(void)
{
	if (m->broken)
		fail_msg("%s", m->failure);
	return told_count;
}

static int end(void **state)
{
	machine_destroy(m);
	return 0;
}

/* --- one processor -------------------------------------------------------------------------- */
static void an_unmapped_page_that_is_used_without_a_flush_is_told(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), 0);
	assert_int_equal(machine_user_read(m, 0x3000).outcome, MACHINE_FAULT);
	assert_int_equal(told_now(), 1);
	assert_true(told[0].gva == 0x3000 && told[0].bytes == PAGE_SIZE && told[0].level == 1 &&
		    told[0].entry.v == entry_of(0x3000));
	assert_true((told[0].old & (PTE_P | PTE_W | PTE_ADDR_MASK)) == ((DATA + 0x3000) | PTE_P | PTE_W) &&
		    !told[0].new);
	assert_true(told[0].proved && told[0].user && !told[0].write && !told[0].global);
	assert_true(told[0].changed.rip < told[0].used.rip && told[0].changed.cr3 == ROOT &&
		    told[0].used.cr3 == ROOT);
	assert_true(told[0].changed.tsc <= told[0].used.tsc);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_stale_uses), 1);
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_stale_changes), 1);
}

static void with_its_flush_it_is_not(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), 0);
	machine_invlpg(m, 0x3008);
	machine_user_read(m, 0x3000);
	machine_user_write(m, 0x4000, 1);
	edit(entry_of(0x4000), 0);
	machine_load_cr3(m, ROOT);
	machine_user_read(m, 0x4000);
	machine_user_write(m, 0x5000, 1);
	edit(entry_of(0x5000), 0);
	machine_flush(m);
	machine_user_read(m, 0x5000);
	assert_int_equal(told_now(), 0);
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_stale_changes), 3);
}

static void a_flush_of_another_page_is_none(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	machine_user_write(m, 0x4000, 1);
	edit(entry_of(0x3000), OTHER_DATA | USER);
	machine_invlpg(m, 0x4000);
	machine_user_read(m, 0x4000);
	assert_int_equal(told_now(), 0);
	machine_user_write(m, 0x3000, 1);
	assert_int_equal(told_now(), 1);
	assert_true(told[0].write && (told[0].new &PTE_ADDR_MASK) == OTHER_DATA);
}

static void what_is_not_used_is_not_told(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	machine_user_write(m, 0x4000, 1);
	edit(entry_of(0x3000), 0);
	machine_user_read(m, 0x4000);
	machine_user_read(m, 0x5000);
	assert_int_equal(told_now(), 0);
}

static void more_rights_need_no_flush(void **state)
{
	start();
	put(entry_of(0x3000), (DATA + 0x3000) | PTE_P | PTE_U | PTE_NX);
	machine_user_read(m, 0x3000);
	edit(entry_of(0x3000), (DATA + 0x3000) | USER | PTE_A);
	machine_user_write(m, 0x3000, 1);
	machine_user_fetch(m, 0x3000);
	edit(entry_of(0x28000), DATA | USER); /* from absent */
	machine_user_write(m, 0x28000, 1);
	assert_int_equal(told_now(), 0);
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_stale_changes), 0);
}

static void accessed_and_dirty_bits_need_no_flush(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), (DATA + 0x3000) | USER);
	machine_user_write(m, 0x3000, 1);
	assert_int_equal(told_now(), 0);
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_stale_changes), 0);
}

static void a_right_that_went_matters_to_who_uses_it(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), (DATA + 0x3000) | PTE_P | PTE_U | PTE_A | PTE_D);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 0);
	machine_user_write(m, 0x3000, 1);
	assert_int_equal(told_now(), 1);
	/* The processor would have refused that by the old entry as well, and have forgotten it. */
	edit(entry_of(0x5000), (DATA + 0x5000) | PTE_P | PTE_W | PTE_A);
	machine_read(m, 0x5000);
	edit(entry_of(0x5000), 0);
	machine_user_read(m, 0x5000);
	machine_read(m, 0x5000);
	assert_int_equal(told_now(), 1);
}

static void global_pages_outlive_a_load_of_cr3(void **state)
{
	start();
	machine_write(m, KERNEL + 0x3000, 1);
	machine_write(m, KERNEL + 0x4000, 1);
	machine_write(m, KERNEL + 0x5000, 1);
	edit(entry_of(KERNEL + 0x3000), 0);
	edit(entry_of(KERNEL + 0x4000), 0);
	edit(entry_of(KERNEL + 0x5000), 0);
	machine_load_cr3(m, ROOT);
	machine_invlpg(m, KERNEL + 0x4000);
	machine_read(m, KERNEL + 0x4000);
	assert_int_equal(told_now(), 0);
	machine_read(m, KERNEL + 0x3000);
	assert_int_equal(told_now(), 1);
	assert_true(told[0].global);
	machine_flush(m);
	machine_read(m, KERNEL + 0x5000);
	assert_int_equal(told_now(), 1);
}

static void a_table_that_is_exchanged_takes_its_range_along(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	put(SPARE + 3 * 8, (OTHER_DATA + 0x3000) | USER);
	edit(MIDDLE, SPARE | USER);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
	assert_true(told[0].level == 2 && told[0].bytes == 0x200000 && told[0].entry.v == MIDDLE);
	edit(MIDDLE, LOWER | USER);
	machine_invlpg(m, 0x3000);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
}

static void a_change_that_is_taken_back_was_none(void **state)
{
	start();
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), 0);
	machine_user_read(m, 0x8000); /* now it is seen */
	edit(entry_of(0x3000), (DATA + 0x3000) | USER);
	machine_user_write(m, 0x3000, 1);
	assert_int_equal(told_now(), 0);
}

/* --- threads, and how strict it is --------------------------------------------------------------- */
static void another_thread_may_come_before_the_flush(void **state)
{
	start();
	m->thread = 0x1000;
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), 0);
	m->thread = 0x2000;
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 0);
	m->thread = 0x1000;
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
}

static void strictly_it_may_not(void **state)
{
	start_as(SHADOW_FLUSHES_STRICT, 1);
	m->thread = 0x1000;
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), 0);
	m->thread = 0x2000;
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
	assert_false(told[0].proved);
}

/* --- two processors ---------------------------------------------------------------------------------- */
static void begin_two(enum shadow_flushes how)
{
	start_as(how, 2);
	machine_use(m, 1);
	machine_user_write(m, 0x3000, 1);
	machine_use(m, 0);
	machine_user_write(m, 0x3000, 1);
	edit(entry_of(0x3000), OTHER_DATA | USER);
	machine_invlpg(m, 0x3000);
}

static void a_processor_that_is_not_told_is_named(void **state)
{
	begin_two(SHADOW_FLUSHES_CHECKED);
	machine_use(m, 1);
	machine_user_read(m, 0x3000);
	for (u32 i = 0; i < 1000; i++)
		machine_reenter(m); /* the grace is 0: any time will do */
	machine_user_read(m, 0x6000);
	assert_int_equal(told_now(), 1);
	assert_true(told[0].gva == 0x3000 && told[0].changed.cpu == 0 && told[0].used.cpu == 1 && told[0].proved);
}

static void one_that_is_told_later_is_not(void **state)
{
	begin_two(SHADOW_FLUSHES_CHECKED);
	machine_use(m, 1);
	machine_user_read(m, 0x3000); /* the message is on its way */
	machine_invlpg(m, 0x3000);
	machine_user_read(m, 0x6000);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 0);
}

static void strictly_it_has_to_be_told_before(void **state)
{
	begin_two(SHADOW_FLUSHES_STRICT);
	machine_use(m, 1);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 1);
	assert_true(!told[0].proved && told[0].used.cpu == 1);
}

static void one_in_another_address_space_needs_not_be_told(void **state)
{
	start_as(SHADOW_FLUSHES_STRICT, 2);
	machine_user_write(m, 0x3000, 1);
	machine_use(m, 1);
	for (u64 i = 0; i < 512; i++)
		put(SPARE + i * 8, machine_peek(m, ROOT + i * 8));
	machine_user_write(m, 0x3000, 1);
	machine_load_cr3(m, SPARE);
	machine_use(m, 0);
	edit(entry_of(0x3000), OTHER_DATA | USER);
	machine_invlpg(m, 0x3000);
	machine_use(m, 1);
	machine_load_cr3(m, ROOT);
	machine_user_read(m, 0x3000);
	assert_int_equal(told_now(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, end)
	const struct CMUnitTest tests[] = {
		TEST(an_unmapped_page_that_is_used_without_a_flush_is_told),
		TEST(with_its_flush_it_is_not),
		TEST(a_flush_of_another_page_is_none),
		TEST(what_is_not_used_is_not_told),
		TEST(more_rights_need_no_flush),
		TEST(accessed_and_dirty_bits_need_no_flush),
		TEST(a_right_that_went_matters_to_who_uses_it),
		TEST(global_pages_outlive_a_load_of_cr3),
		TEST(a_table_that_is_exchanged_takes_its_range_along),
		TEST(a_change_that_is_taken_back_was_none),
		TEST(another_thread_may_come_before_the_flush),
		TEST(strictly_it_may_not),
		TEST(a_processor_that_is_not_told_is_named),
		TEST(one_that_is_told_later_is_not),
		TEST(strictly_it_has_to_be_told_before),
		TEST(one_in_another_address_space_needs_not_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
