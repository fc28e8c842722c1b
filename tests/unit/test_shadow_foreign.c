/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables and data in foreign memory: memory to the guest, MMIO to the region map (mm/gpt.h, invariant S16).
 * The simulated machine opens one page of it for each slot that the engine asks for, and nothing else.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "lib/x86.h"
#include "tests/unit/machine.h"

#define FOREIGN (MACHINE_FOREIGN * PAGE_SIZE)
#define NOBODY 0x90000000ull /* MMIO that nothing answers for */
#define TABLES 0x100000ull   /* RAM */
#define DATA 0x180000ull
#define CODE 0x8080604000ull /* a user address, another index at each level */
#define NEIGHBOUR (CODE + PAGE_SIZE)
#define ELSEWHERE 0x4000000000ull
#define LINK (PTE_P | PTE_W | PTE_U)
#define USER (PTE_P | PTE_W | PTE_U)
#define MARKED (USER | PTE_A | PTE_D)
#define ROOT_LEVEL 4u

static const struct model_access user_read = {.user = true}, user_write = {.user = true, .write = true},
				 user_fetch = {.user = true, .fetch = true};
static struct machine *m;

static void check(void)
{
	if (m->broken)
		fail_msg("%s", m->failure);
}

static u64 slot_in(u64 table, u64 gva, u32 level)
{
	return table + ((gva >> (12 + 9 * (level - 1))) & 511) * 8;
}

/* The table of a level on the path of CODE; foreign: BIT(level) for those that are. */
static u64 table_of(u32 foreign, u32 level)
{
	return (foreign >> level & 1 ? FOREIGN : TABLES) + level * PAGE_SIZE;
}

/* A 4-level guest that maps CODE to DATA; its tables of the given levels are foreign. */
static void start_with(u32 foreign)
{
	static const struct machine_config config = {.seed = 1, .foreign = BIT(20) - 1};
	struct shadow_paging p;

	m = machine_create(&config);
	assert_non_null(m);
	m->audit = true;
	for (u32 level = ROOT_LEVEL; level > 1; level--)
		machine_dma(m, slot_in(table_of(foreign, level), CODE, level), table_of(foreign, level - 1) | LINK);
	machine_dma(m, slot_in(table_of(foreign, 1), CODE, 1), DATA | USER);
	p = machine_long_mode(table_of(foreign, ROOT_LEVEL));
	machine_set_paging(m, &p, true);
	check();
}

static void end(void)
{
	machine_destroy(m);
	m = NULL;
}

static struct machine_result act(u64 gva, struct model_access kind, u64 value)
{
	struct machine_result r =
		machine_access(m, (struct machine_access){.gva = gva, .kind = kind, .size = 8, .value = value});

	check();
	return r;
}

static u32 expect_ok(u64 gva, struct model_access kind, u64 gpa)
{
	struct machine_result r = act(gva, kind, 0x1122334455667788ull);

	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.gpa, gpa);
	return r.exits;
}

static void expect_fault(u64 gva, struct model_access kind, u32 error)
{
	struct machine_result r = act(gva, kind, 0);

	assert_int_equal(r.outcome, MACHINE_FAULT);
	assert_int_equal(r.error, error);
}

static u64 leaf_slot(u32 foreign, u64 gva)
{
	return slot_in(table_of(foreign, 1), gva, 1);
}

/* --- which levels are foreign -------------------------------------------------- */
#define for_each_mix(foreign) for (u32 foreign = 2; foreign < BIT(ROOT_LEVEL + 1); foreign += 2)

static void a_path_through_foreign_tables_translates(void **state)
{
	for_each_mix(foreign) {
		start_with(foreign);
		expect_ok(CODE, user_read, DATA);
		assert_int_equal(machine_peek(m, leaf_slot(foreign, CODE)), DATA | USER | PTE_A);
		expect_ok(CODE, user_write, DATA);
		assert_int_equal(machine_peek(m, leaf_slot(foreign, CODE)), DATA | MARKED);
		for (u32 level = 2; level <= ROOT_LEVEL; level++)
			assert_int_equal(machine_peek(m, slot_in(table_of(foreign, level), CODE, level)),
					 table_of(foreign, level - 1) | LINK | PTE_A);
		expect_fault(NEIGHBOUR, user_write, PF_W | PF_U);
		expect_ok(CODE, user_fetch, DATA);
		end();
	}
}

static void changes_hold_from_the_flush_on(void **state)
{
	for_each_mix(foreign) {
		u64 spare = FOREIGN + 8 * PAGE_SIZE;

		start_with(foreign);
		expect_ok(CODE, user_write, DATA);
		machine_dma(m, leaf_slot(foreign, NEIGHBOUR), (DATA + PAGE_SIZE) | USER);
		expect_ok(NEIGHBOUR, user_write, DATA + PAGE_SIZE); /* absent to present: no flush */
		machine_dma(m, leaf_slot(foreign, CODE), (DATA + 2 * PAGE_SIZE) | MARKED);
		machine_invlpg(m, CODE);
		if (foreign & BIT(1)) /* DMA to a protected table is not seen */
			expect_ok(CODE, user_write, DATA + 2 * PAGE_SIZE);
		for (u32 level = 2; level <= ROOT_LEVEL; level++) {
			/* Another table of the level below, foreign, with the same in it. */
			u64 below = table_of(foreign, level - 1);

			if (!(foreign & BIT(level)))
				continue;
			for (u32 i = 0; i < 512; i++)
				machine_dma(m, spare + 8 * i, machine_peek(m, below + 8 * i));
			if (level == 2)
				machine_dma(m, slot_in(spare, CODE, 1), (DATA + 3 * PAGE_SIZE) | USER);
			machine_dma(m, slot_in(table_of(foreign, level), CODE, level), spare | LINK);
			if (level & 1)
				machine_load_cr3(m, m->paging.cr3);
			else
				machine_invlpg(
					m, ELSEWHERE); /* drops all upper entries (SDM vol. 3 section 4.10.4.1) */
			machine_invlpg(m, CODE);
			if (level == 2)
				expect_ok(CODE, user_read, DATA + 3 * PAGE_SIZE);
			machine_dma(m, slot_in(table_of(foreign, level), CODE, level), below | LINK);
			machine_load_cr3(m, m->paging.cr3);
			if (foreign & BIT(1))
				expect_ok(CODE, user_read, DATA + 2 * PAGE_SIZE);
		}
		end();
	}
}

/* --- what is looked at -------------------------------------------------------------- */
static void a_foreign_table_is_read_once_in_a_walk(void **state)
{
	u64 maps;

	start_with(BIT(1));
	expect_ok(CODE, user_read, DATA);
	maps = m->foreign_maps;
	expect_fault(NEIGHBOUR, user_read, PF_U);
	assert_int_equal(m->foreign_maps, maps + 1);
	end();
}

/* The machine fails where the engine opens a frame that is not MMIO. */
/* adversarial: 24 */
static void hidden_and_trapped_tables_stay_closed(void **state)
{
	static const u64 places[] = {MACHINE_HIDDEN, MACHINE_POOL + 0x4000, MACHINE_TRAPPED};

	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		for (u32 level = 2; level <= ROOT_LEVEL; level++) {
			u64 maps;

			start_with(0);
			machine_dma(m, slot_in(table_of(0, level), CODE, level), places[i] | LINK);
			maps = m->foreign_maps;
			expect_fault(CODE, user_read, PF_P | PF_U | PF_RSVD);
			machine_load_cr3(m, places[i]);
			expect_fault(CODE, user_write, PF_P | PF_W | PF_U | PF_RSVD);
			assert_int_equal(m->foreign_maps, maps);
			end();
		}
}

/* adversarial: 23 */
static void a_table_that_answers_nobody_reads_as_all_ones(void **state)
{
	for (u32 level = 2; level <= ROOT_LEVEL; level++) {
		start_with(0);
		machine_dma(m, slot_in(table_of(0, level), CODE, level), NOBODY | LINK);
		expect_fault(CODE, user_read, PF_P | PF_U | PF_RSVD);
		end();
	}
}

/* --- what is written ------------------------------------------------------------------ */
/* Its page is never write-protected: a mapping of it is a device's to the engine. */
/* adversarial: 12 */
static void the_guest_writes_to_foreign_tables_without_an_exit(void **state)
{
	const u64 view = CODE + 8 * PAGE_SIZE;

	start_with(BIT(1));
	machine_dma(m, leaf_slot(BIT(1), view), table_of(BIT(1), 1) | MARKED);
	expect_ok(CODE, user_write, DATA);
	assert_true(act(view, user_write, 0).exits > 0);
	for (u32 i = 0; i < 20; i++) {
		u64 page = DATA + (1 + i % 4) * PAGE_SIZE, at = view + leaf_slot(BIT(1), CODE) % PAGE_SIZE;

		assert_int_equal(act(at, user_write, page | MARKED).exits, 0);
		machine_invlpg(m, CODE);
		expect_ok(CODE, user_write, page);
		if (i % 8 == 7)
			machine_load_cr3(m, m->paging.cr3);
		act(view, user_read, 0);
	}
	end();
}

static void idle_foreign_tables_are_let_go(void **state)
{
	const u64 other = TABLES + 16 * PAGE_SIZE;
	u64 zaps;

	start_with(BIT(1) | BIT(2));
	expect_ok(CODE, user_read, DATA);
	zaps = shadow_stat(m->shadow, SHADOW_STAT_zaps);
	for (u32 i = 0; i < 80; i++)
		machine_load_cr3(m, other);
	check();
	assert_int_equal(shadow_stat(m->shadow, SHADOW_STAT_zaps), zaps + 2);
	machine_load_cr3(m, table_of(BIT(1) | BIT(2), ROOT_LEVEL));
	expect_ok(CODE, user_read, DATA);
	end();
}

/* --- the hypervisor's accesses for the guest ---------------------------------------------- */
static void the_hypervisor_reads_and_writes_foreign_memory_for_the_guest(void **state)
{
	const u64 page = FOREIGN + 10 * PAGE_SIZE;
	u8 bytes[15], *memory;
	gva_t gva;
	u32 error;

	start_with(0);
	machine_dma(m, leaf_slot(0, CODE), page | USER);
	machine_dma(m, leaf_slot(0, NEIGHBOUR), (page + PAGE_SIZE) | USER);
	machine_dma(m, leaf_slot(0, NEIGHBOUR + PAGE_SIZE), NOBODY | USER);
	machine_dma(m, leaf_slot(0, NEIGHBOUR + 2 * PAGE_SIZE), MACHINE_TRAPPED | USER);
	memory = machine_ram(m, page);
	for (u32 offset = PAGE_SIZE - 40; offset <= PAGE_SIZE; offset++)
		for (u32 len = 1; len <= sizeof(bytes); len++) {
			for (u32 i = 0; i < 2 * PAGE_SIZE; i++)
				memory[i] = (u8)(i * 7 + offset);
			assert_int_equal(
				shadow_read_guest(m->mmu, CODE + offset, bytes, len,
						  (struct gpt_access){.user = true, .fetch = true}, &gva, &error),
				0);
			assert_memory_equal(bytes, memory + offset, len);
			memset(bytes, 0xa5, sizeof(bytes));
			assert_int_equal(shadow_write_guest(m->mmu, CODE + offset, bytes, len,
							    (struct gpt_access){.user = true}, &gva, &error),
					 0);
			assert_memory_equal(bytes, memory + offset, len);
			assert_int_equal(memory[offset - 1], (u8)((offset - 1) * 7 + offset));
			assert_int_equal(memory[offset + len], (u8)((offset + len) * 7 + offset));
		}
	gva = NEIGHBOUR + PAGE_SIZE;
	assert_int_equal(shadow_read_guest(m->mmu, gva, bytes, 8, (struct gpt_access){.user = true}, &gva, &error),
			 0);
	assert_memory_equal(bytes, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	gva = NEIGHBOUR + 2 * PAGE_SIZE;
	assert_int_equal(shadow_read_guest(m->mmu, gva, bytes, 8, (struct gpt_access){.user = true}, &gva, &error),
			 -EIO);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_through_foreign_tables_translates),
		cmocka_unit_test(changes_hold_from_the_flush_on),
		cmocka_unit_test(a_foreign_table_is_read_once_in_a_walk),
		cmocka_unit_test(hidden_and_trapped_tables_stay_closed),
		cmocka_unit_test(a_table_that_answers_nobody_reads_as_all_ones),
		cmocka_unit_test(the_guest_writes_to_foreign_tables_without_an_exit),
		cmocka_unit_test(idle_foreign_tables_are_let_go),
		cmocka_unit_test(the_hypervisor_reads_and_writes_foreign_memory_for_the_guest),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
