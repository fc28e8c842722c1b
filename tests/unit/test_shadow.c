/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directed tests of the shadow engine on the simulated machine: what a hostile
 * or merely odd guest does, one test for each kind of behaviour. After every
 * exit the TLB model is compared with the shadow and shadow_audit() must find
 * nothing (machine.strict, machine.audit).
 *
 * The guest's memory in these tests: tables from 1 MiB on, each also mapped
 * through WINDOW, so that the guest edits its tables by ordinary writes; data
 * pages where the tests put them.
 */
#include "tests/unit/host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "lib/x86.h"
#include "mm/phys.h"
#include "mm/shadow/accessors.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/rmap.h"
#include "mm/shadow/sync.h"
#include "tests/unit/machine.h"

#define TABLES 0x100000ull
#define TABLES_END 0x180000ull
#define DATA 0x180000ull             /* and further */
#define WINDOW 0xffff900000000000ull /* + gpa, for the first 2 MiB */
#define CODE 0x400000ull             /* a user address to map things at */
#define LINK (PTE_P | PTE_W | PTE_U)
#define KERNEL (PTE_P | PTE_W)
#define USER (PTE_P | PTE_W | PTE_U)

struct guest {
	struct machine *m;
	u64 next; /* next free table */
	u64 root;
};

static struct guest g;

/* --- building ------------------------------------------------------------------- */
static void check(void)
{
	if (g.m->broken)
		fail_msg("%s", g.m->failure);
}

static u64 new_table(void)
{
	u64 table = g.next;

	assert_true(table < TABLES_END);
	g.next += PAGE_SIZE;
	memset(machine_ram(g.m, table), 0, PAGE_SIZE);
	return table;
}

static u64 slot_in(u64 table, u64 gva, u32 level)
{
	return table + ((gva >> (12 + 9 * (level - 1))) & 511) * 8;
}

/* Address of the entry of that level for gva, with tables made on the way down. */
static u64 slot(u64 root, u64 gva, u32 level)
{
	u64 table = root;

	for (u32 l = 4; l > level; l--) {
		u64 at = slot_in(table, gva, l);

		if (!(machine_peek(g.m, at) & PTE_P))
			machine_dma(g.m, at, new_table() | LINK);
		table = machine_peek(g.m, at) & PTE_ADDR_MASK;
	}
	return slot_in(table, gva, level);
}

/* Maps before anything was shadowed, or where nothing was present. */
static void map(u64 gva, u32 level, u64 entry)
{
	machine_dma(g.m, slot(g.root, gva, level), entry);
}

static u64 new_root(void)
{
	u64 root = new_table();

	machine_dma(g.m, slot_in(root, WINDOW, 4), machine_peek(g.m, slot_in(g.root, WINDOW, 4)));
	return root;
}

static void start(const struct machine_config *config, u64 more_cr4)
{
	struct shadow_paging p;

	g.m = machine_create(config);
	assert_non_null(g.m);
	g.m->audit = true;
	g.next = TABLES;
	g.root = new_table();
	for (u64 a = TABLES; a < 0x200000; a += PAGE_SIZE)
		map(WINDOW + a, 1, a | KERNEL);
	p = machine_long_mode(g.root);
	p.cr4 |= more_cr4;
	p.phys_bits = g.m->config.host_phys_bits;
	p.pages_1g = !g.m->config.no_1g;
	machine_set_paging(g.m, &p, true);
}

static int setup(void **state)
{
	static const struct machine_config plain = {.seed = 1};

	start(&plain, 0);
	return 0;
}

static int setup_shifted(void **state)
{
	static const struct machine_config shifted = {.seed = 1, .shift = 0x40000000};

	start(&shifted, 0);
	return 0;
}

static int setup_late(void **state)
{
	static const struct machine_config late = {.seed = 1, .cpus = 2, .late = true};

	start(&late, 0);
	return 0;
}

/* The second CPU has the number of the first, and there are two tags. */
static int setup_one_number(void **state)
{
	static const struct machine_config one_number = {
		.seed = 1, .cpus = 2, .late = true, .numbers = 2, .tags = 2};

	start(&one_number, 0);
	return 0;
}

static int setup_late_small(void **state)
{
	static const struct machine_config late_small = {
		.seed = 1, .cpus = 2, .late = true, .shadow_limit = 64 * PAGE_SIZE};

	start(&late_small, 0);
	return 0;
}

/* Tables and data lie outside of the main region. */
static int setup_far(void **state)
{
	static const struct machine_config far = {.seed = 1, .far = true};

	start(&far, 0);
	return 0;
}

/* A #PF drops nothing from the TLB. */
static int setup_keeping(void **state)
{
	static const struct machine_config keeping = {.seed = 1, .keeps = true};

	start(&keeping, 0);
	return 0;
}

static int setup_giant(void **state)
{
	static const struct machine_config giant = {.seed = 1, .giant = true};

	start(&giant, 0);
	g.m->audit = false; /* too many frames for one audit an exit */
	return 0;
}

static int setup_no_1g(void **state)
{
	static const struct machine_config no_1g = {.seed = 1, .giant = true, .no_1g = true};

	start(&no_1g, 0);
	g.m->audit = false;
	return 0;
}

static int setup_small(void **state)
{
	static const struct machine_config small = {.seed = 1, .shadow_limit = 64 * PAGE_SIZE};

	start(&small, 0);
	return 0;
}

static int setup_wide(void **state)
{
	static const struct machine_config wide = {.seed = 1, .host_phys_bits = 52};

	start(&wide, 0);
	return 0;
}

static int teardown(void **state)
{
	machine_destroy(g.m);
	return 0;
}

/* --- acting and expecting ------------------------------------------------------------ */
static struct machine_result act(u64 gva, struct model_access kind, u64 value)
{
	struct machine_result r =
		machine_access(g.m, (struct machine_access){.gva = gva, .kind = kind, .size = 8, .value = value});

	check();
	return r;
}

#define READ ((struct model_access){0})
#define WRITE ((struct model_access){.write = true})
#define FETCH ((struct model_access){.fetch = true})
#define USER_READ ((struct model_access){.user = true})
#define USER_WRITE ((struct model_access){.user = true, .write = true})
#define USER_FETCH ((struct model_access){.user = true, .fetch = true})

static void expect_ok(u64 gva, struct model_access kind, u64 gpa)
{
	struct machine_result r = act(gva, kind, 0x1122334455667788ull);

	if (r.outcome != MACHINE_OK)
		print_message("%#llx: outcome %u error %#x\n", (unsigned long long)gva, r.outcome, r.error);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.kind, REGION_RAM);
	assert_int_equal(r.gpa, gpa);
}

static void expect_fault(u64 gva, struct model_access kind, u32 error)
{
	struct machine_result r = act(gva, kind, 0);

	assert_int_equal(r.outcome, MACHINE_FAULT);
	assert_int_equal(r.error, error);
}

/* The guest writes to its own table. */
static void store(u64 gpa, u64 value)
{
	struct machine_result r = act(WINDOW + gpa, (struct model_access){.write = true, .ac = true}, value);

	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(machine_peek(g.m, gpa), value);
}

static void store_entry(u64 gva, u32 level, u64 entry)
{
	store(slot(g.root, gva, level), entry);
}

static u64 entry(u64 gva, u32 level)
{
	return machine_peek(g.m, slot(g.root, gva, level));
}

static void reload_cr3(void)
{
	machine_load_cr3(g.m, g.m->paging.cr3);
	check();
}

static void invlpg(u64 gva)
{
	machine_invlpg(g.m, gva);
	check();
}

static void set_control(u64 cr0_clear, u64 cr0_set, u64 cr4_clear, u64 cr4_set, bool flush)
{
	struct shadow_paging p = g.m->paging;

	p.cr0 = (p.cr0 & ~cr0_clear) | cr0_set;
	p.cr4 = (p.cr4 & ~cr4_clear) | cr4_set;
	machine_set_paging(g.m, &p, flush);
	check();
}

static void set_nxe(bool on)
{
	struct shadow_paging p = g.m->paging;

	p.efer = on ? p.efer | EFER_NXE : p.efer & ~EFER_NXE;
	machine_set_paging(g.m, &p, true);
	check();
}

/* --- rights and roles ------------------------------------------------------------------ */
/* adversarial: 1 */
static void one_table_under_two_parents_has_the_rights_of_each(void **state)
{
	u64 table = new_table(), page = DATA;

	machine_dma(g.m, slot_in(table, CODE, 1), page | USER | PTE_A | PTE_D);
	map(CODE, 2, table | LINK);
	map(CODE + 0x200000, 2, table | PTE_P | PTE_U);
	map(CODE + 0x400000, 2, table | PTE_P | PTE_W);
	map(CODE + 0x600000, 2, table | LINK | PTE_NX);
	expect_ok(CODE, USER_WRITE, page);
	expect_ok(CODE + 0x200000, USER_READ, page);
	expect_fault(CODE + 0x200000, USER_WRITE, PF_P | PF_W | PF_U);
	expect_fault(CODE + 0x400000, USER_READ, PF_P | PF_U);
	expect_ok(CODE + 0x400000, WRITE, page);
	expect_ok(CODE, USER_FETCH, page);
	expect_fault(CODE + 0x600000, USER_FETCH, PF_P | PF_U | PF_ID);
	expect_ok(CODE, USER_WRITE, page);
}

/* CVE-2026-53359: page number and frame of a reused child must both be compared. */
/* adversarial: 2 */
static void slot_changes_between_large_leaf_and_table_of_the_same_frame(void **state)
{
	u64 frame = 0x200000, page = DATA;

	for (u32 i = 0; i < 512; i++)
		machine_dma(g.m, frame + 8 * i, (page + (i % 8) * PAGE_SIZE) | USER);
	map(CODE, 2, frame | USER | PTE_PS);
	for (u32 round = 0; round < 20; round++) {
		store_entry(CODE, 2, frame | USER | PTE_PS);
		reload_cr3();
		expect_ok(CODE + 0x3000, USER_READ, frame + 0x3000);
		store_entry(CODE, 2, frame | LINK);
		if (round & 1)
			invlpg(CODE + 0x3000);
		else
			reload_cr3();
		expect_ok(CODE + 0x3000, USER_READ, page + 3 * PAGE_SIZE);
		if (round % 5 == 0)
			expect_ok(CODE + 0x2000, USER_WRITE, page + 2 * PAGE_SIZE);
	}
}

/* adversarial: 3 */
static void write_with_wp_clear_then_every_other_access(void **state)
{
	map(CODE, 1, DATA | PTE_P | PTE_U);
	for (u32 smep = 0; smep < 2; smep++) {
		set_control(CR0_WP, 0, smep ? 0 : CR4_SMEP, smep ? CR4_SMEP : 0, true);
		for (u32 round = 0; round < 3; round++) {
			expect_ok(CODE, WRITE, DATA);
			assert_true(entry(CODE, 1) & PTE_D);
			expect_ok(CODE, USER_READ, DATA);
			expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
			expect_ok(CODE, WRITE, DATA);
			expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
			expect_ok(CODE, WRITE, DATA);
			if (smep)
				expect_fault(CODE, FETCH, PF_P | PF_ID);
			else
				expect_ok(CODE, FETCH, DATA);
			expect_ok(CODE, USER_FETCH, DATA);
			expect_ok(CODE, READ, DATA);
		}
	}
	set_control(0, CR0_WP, 0, 0, false);
	expect_fault(CODE, WRITE, PF_P | PF_W);
	expect_ok(CODE, USER_READ, DATA);
}

/* adversarial: 4 */
static void write_with_wp_clear_dirties_the_right_large_alias(void **state)
{
	u64 other = CODE + 0x200000, frame = MACHINE_HIGH;

	map(CODE, 2, frame | PTE_P | PTE_U | PTE_PS);
	map(other, 2, frame | PTE_P | PTE_U | PTE_PS);
	set_control(CR0_WP, 0, 0, 0, false);
	expect_ok(CODE + 0x5000, READ, frame + 0x5000);
	expect_ok(other + 0x5000, READ, frame + 0x5000);
	expect_ok(other + 0x5000, WRITE, frame + 0x5000);
	assert_false(entry(CODE, 2) & PTE_D);
	assert_true(entry(other, 2) & PTE_D);
	expect_ok(CODE + 0x6000, WRITE, frame + 0x6000);
	assert_true(entry(CODE, 2) & PTE_D);
}

/* The same in a block that holds tables, so that the leaves are splintered. */
/* adversarial: 4 */
static void write_with_wp_clear_dirties_the_right_splintered_alias(void **state)
{
	u64 other = CODE + 0x200000;

	map(CODE, 2, PTE_P | PTE_U | PTE_PS);
	map(other, 2, PTE_P | PTE_U | PTE_PS);
	set_control(CR0_WP, 0, 0, 0, false);
	expect_ok(CODE + 0x5000, READ, 0x5000);
	expect_ok(other + 0x5000, WRITE, 0x5000);
	assert_false(entry(CODE, 2) & PTE_D);
	assert_true(entry(other, 2) & PTE_D);
	expect_ok(CODE + 0x5000, USER_READ, 0x5000);
	expect_fault(CODE + 0x5000, USER_WRITE, PF_P | PF_W | PF_U);
	expect_ok(CODE + 0x5000, WRITE, 0x5000);
	assert_true(entry(CODE, 2) & PTE_D);
}

/* adversarial: 5 */
static void readonly_and_clean_large_aliases(void **state)
{
	static const u64 frames[] = {MACHINE_HIGH, 0};

	for (u32 i = 0; i < 2; i++) {
		u64 read_only = 0x10000000 + 0x1000000ull * i, clean = read_only + 0x200000, frame = frames[i];

		map(read_only, 2, frame | PTE_P | PTE_U | PTE_PS);
		map(clean, 2, frame | USER | PTE_PS);
		expect_ok(read_only + 0x7000, USER_READ, frame + 0x7000);
		expect_ok(clean + 0x7000, USER_READ, frame + 0x7000);
		assert_false(entry(clean, 2) & PTE_D);
		expect_fault(read_only + 0x7000, USER_WRITE, PF_P | PF_W | PF_U);
		expect_ok(clean + 0x7000, USER_WRITE, frame + 0x7000);
		assert_true(entry(clean, 2) & PTE_D);
		assert_false(entry(read_only, 2) & PTE_D);
		expect_fault(read_only + 0x7000, USER_WRITE, PF_P | PF_W | PF_U);
		expect_fault(read_only + 0x8000, WRITE, PF_P | PF_W);
	}
}

/* A fetch and a write in one read-only user page, small and large, with WP clear. */
/* adversarial: 3 */
static void instruction_that_writes_to_its_own_page_with_wp_clear(void **state)
{
	static const struct {
		u64 gva, gpa;
		u32 level;
	} places[] = {
		{0x10000000, DATA, 1},
		{0x11000000, MACHINE_HIGH, 2},
		{0x12000000, 0, 2},
	};

	set_control(CR0_WP, 0, 0, 0, false);
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		u64 gva = places[i].gva, far = places[i].level == 2 ? 0x30000 : 0;
		struct machine_access list[] = {
			{.gva = gva, .kind = FETCH, .size = 8},
			{.gva = gva + far + 0x100, .kind = WRITE, .size = 8, .value = 7},
		};

		map(gva, places[i].level, places[i].gpa | PTE_P | PTE_U | (places[i].level > 1 ? PTE_PS : 0));
		for (u32 n = 0; n < 4; n++) {
			assert_int_equal(machine_instruction(g.m, list, 2).outcome, MACHINE_OK);
			check();
			expect_ok(gva, USER_READ, places[i].gpa);
		}
	}
}

#define KEY(n) ((u64)(n) << PTE_KEY_SHIFT)
#define KEY_AD(n) (1u << (2 * (n)))
#define KEY_WD(n) (2u << (2 * (n)))

static void expect_read_only_by_key(u64 gva, u64 gpa)
{
	expect_ok(gva, USER_READ, gpa);
	expect_ok(gva, READ, gpa);
	expect_fault(gva, USER_WRITE, PF_P | PF_W | PF_U | PF_PK);
	expect_fault(gva, WRITE, PF_P | PF_W | PF_PK);
}

/* Key 3 of a page, small, large and splintered; PKRU changes without an exit. */
static void protection_keys_guard_user_pages(void **state)
{
	static const struct {
		u64 gva, gpa;
		u32 level;
	} places[] = {
		{0x10000000, DATA, 1},
		{0x11000000, MACHINE_HIGH, 2},
		{0x12000000, 0, 2},
	};

	map(CODE, 1, DATA | KERNEL | KEY(3));
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER | KEY(3));
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		u64 gva = places[i].gva, gpa = places[i].gpa;

		map(gva, places[i].level, gpa | USER | KEY(3) | (places[i].level > 1 ? PTE_PS : 0));
		set_control(0, 0, CR4_PKE, 0, true);
		g.m->pkru = KEY_AD(3);
		expect_ok(gva, USER_WRITE, gpa);
		set_control(0, 0, 0, CR4_PKE, true);
		for (u32 round = 0; round < 3; round++) {
			g.m->pkru = KEY_AD(3);
			expect_fault(gva, USER_READ, PF_P | PF_U | PF_PK);
			expect_fault(gva, READ, PF_P | PF_PK);
			expect_fault(gva, USER_WRITE, PF_P | PF_W | PF_U | PF_PK);
			expect_ok(gva, USER_FETCH, gpa);
			expect_ok(CODE, WRITE, DATA);
			g.m->pkru = KEY_WD(3);
			expect_read_only_by_key(gva, gpa);
			g.m->pkru = ~(KEY_AD(3) | KEY_WD(3));
			expect_ok(gva, USER_WRITE, gpa);
			expect_ok(gva, WRITE, gpa);
		}
	}
	g.m->pkru = KEY_AD(3);
	expect_ok(CODE + PAGE_SIZE, USER_FETCH, DATA + PAGE_SIZE); /* not shadowed yet */
}

/* PKRU.WD does not stop the supervisor then; hardware, whose WP is set, would. */
static void protection_keys_with_wp_clear(void **state)
{
	static const struct {
		u64 gva, gpa;
		u32 level;
	} places[] = {
		{0x10000000, DATA, 1},
		{0x11000000, MACHINE_HIGH, 2},
		{0x12000000, 0, 2},
	};

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		u64 gva = places[i].gva, gpa = places[i].gpa;

		map(gva, places[i].level, gpa | USER | KEY(5) | (places[i].level > 1 ? PTE_PS : 0));
		for (u32 round = 0; round < 3; round++) {
			set_control(CR0_WP, 0, 0, CR4_PKE, true);
			g.m->pkru = KEY_WD(5);
			expect_ok(gva, WRITE, gpa);
			expect_ok(gva, USER_READ, gpa);
			expect_fault(gva, USER_WRITE, PF_P | PF_W | PF_U | PF_PK);
			expect_ok(gva, READ, gpa);
			expect_ok(gva, WRITE, gpa);
			expect_ok(gva, USER_READ, gpa);
			g.m->pkru = KEY_AD(5);
			expect_fault(gva, WRITE, PF_P | PF_W | PF_PK);
			set_control(0, CR0_WP, 0, 0, false);
			g.m->pkru = KEY_WD(5);
			expect_read_only_by_key(gva, gpa);
		}
	}
}

static void a_changed_key_counts_after_a_flush(void **state)
{
	map(CODE, 1, DATA | USER | KEY(1) | PTE_A | PTE_D);
	set_control(0, 0, 0, CR4_PKE, true);
	g.m->pkru = KEY_AD(2);
	for (u32 round = 0; round < 4; round++) {
		expect_ok(CODE, USER_WRITE, DATA);
		store_entry(CODE, 1, DATA | USER | KEY(2) | PTE_A | PTE_D);
		if (round & 1)
			invlpg(CODE);
		else
			reload_cr3();
		expect_fault(CODE, USER_READ, PF_P | PF_U | PF_PK);
		store_entry(CODE, 1, DATA | USER | KEY(1) | PTE_A | PTE_D);
		reload_cr3();
	}
}

/* The page beside it has been walked to: what is known of the path must not make one mark A or D for an access that faults. */
static void a_key_that_forbids_leaves_the_entry_alone(void **state)
{
	u64 beside = CODE + 16 * PAGE_SIZE;

	map(CODE, 1, DATA | USER);
	map(beside, 1, (DATA + PAGE_SIZE) | USER | KEY(2));
	set_control(0, 0, 0, CR4_PKE, true);
	g.m->pkru = KEY_AD(2);
	expect_ok(CODE, USER_READ, DATA);
	expect_fault(beside, USER_READ, PF_P | PF_U | PF_PK);
	assert_false(entry(beside, 1) & (PTE_A | PTE_D));
	g.m->pkru = KEY_WD(2);
	expect_ok(CODE, USER_WRITE, DATA);
	expect_fault(beside, USER_WRITE, PF_P | PF_W | PF_U | PF_PK);
	assert_false(entry(beside, 1) & (PTE_A | PTE_D));
	expect_ok(beside, USER_READ, DATA + PAGE_SIZE);
	assert_true((entry(beside, 1) & (PTE_A | PTE_D)) == PTE_A);
}

static void the_engines_own_accesses_obey_keys(void **state)
{
	struct gpt_access user = {.user = true};
	u64 value = 0, gva = 0;
	u32 error = 0;

	map(CODE, 1, DATA | USER | KEY(15));
	set_control(0, 0, 0, CR4_PKE, true);
	g.m->pkru = KEY_AD(15);
	assert_int_equal(shadow_read_guest(g.m->mmu, CODE, &value, 8, user, &gva, &error), -EFAULT);
	assert_true(gva == CODE && error == (PF_P | PF_U | PF_PK));
	g.m->pkru = KEY_WD(15);
	assert_int_equal(shadow_read_guest(g.m->mmu, CODE, &value, 8, user, &gva, &error), 0);
	assert_int_equal(shadow_write_guest(g.m->mmu, CODE, &value, 8, user, &gva, &error), -EFAULT);
	assert_int_equal(error, PF_P | PF_W | PF_U | PF_PK);
	assert_false(entry(CODE, 1) & PTE_D);
}

/* adversarial: 6 */
static void nxe_toggled_with_bit_63_in_live_entries(void **state)
{
	map(CODE, 1, DATA | USER | PTE_NX);
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER);
	for (u32 round = 0; round < 3; round++) {
		set_nxe(true);
		expect_ok(CODE, USER_READ, DATA);
		expect_fault(CODE, USER_FETCH, PF_P | PF_U | PF_ID);
		expect_ok(CODE + PAGE_SIZE, USER_FETCH, DATA + PAGE_SIZE);
		set_nxe(false);
		expect_fault(CODE, USER_READ, PF_P | PF_U | PF_RSVD);
		expect_ok(CODE + PAGE_SIZE, USER_FETCH, DATA + PAGE_SIZE);
	}
}

/* adversarial: 6, 40 */
static void wp_smep_smap_toggled_under_the_same_cr3(void **state)
{
	map(CODE, 1, DATA | PTE_P | PTE_U);
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | PTE_P);
	for (u32 bits = 0; bits < 32; bits++) {
		bool wp = bits & 1, smep = bits & 2, smap = bits & 4, warm = bits & 8;
		struct machine_result r;

		set_control(CR0_WP, wp ? CR0_WP : 0, CR4_SMEP | CR4_SMAP,
			    (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0), bits & 16);
		if (warm)
			expect_ok(CODE, USER_READ, DATA);
		r = act(CODE, READ, 0);
		assert_int_equal(r.outcome, smap ? MACHINE_FAULT : MACHINE_OK);
		r = act(CODE, FETCH, 0);
		assert_int_equal(r.outcome, smep ? MACHINE_FAULT : MACHINE_OK);
		r = act(CODE, WRITE, 1);
		assert_int_equal(r.outcome, smap || wp ? MACHINE_FAULT : MACHINE_OK);
		r = act(CODE + PAGE_SIZE, WRITE, 1);
		assert_int_equal(r.outcome, wp ? MACHINE_FAULT : MACHINE_OK);
		expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
		expect_ok(CODE, USER_READ, DATA);
		expect_fault(CODE + PAGE_SIZE, USER_READ, PF_P | PF_U);
	}
}

/* adversarial: 6 */
static void pge_and_pse_toggled_flush_and_change_nothing_else(void **state)
{
	map(CODE, 1, DATA | USER | PTE_G);
	for (u32 i = 0; i < 4; i++) {
		expect_ok(CODE, USER_WRITE, DATA);
		store_entry(CODE, 1, (DATA + PAGE_SIZE) | USER | PTE_G);
		set_control(0, 0, i & 1 ? 0 : CR4_PGE, i & 1 ? CR4_PGE : 0, true);
		expect_ok(CODE, USER_READ, DATA + PAGE_SIZE);
		store_entry(CODE, 1, DATA | USER | PTE_G);
		set_control(0, 0, i & 1 ? 0 : CR4_PSE, i & 1 ? CR4_PSE : 0, true);
		expect_ok(CODE, USER_READ, DATA);
	}
}

/* adversarial: 7 */
static void implicit_supervisor_access_ignores_ac_under_smap(void **state)
{
	struct model_access implicit = {.implicit = true, .ac = true}, explicit = {.ac = true};

	set_control(0, 0, 0, CR4_SMAP, true);
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, explicit, DATA);
	expect_fault(CODE, implicit, PF_P);
	expect_ok(CODE, explicit, DATA);
	expect_fault(CODE, READ, PF_P);
}

/*
 * At CPL 0 to 2 hardware does not say which access is one to a descriptor table:
 * two faults in a row at one address do, and others in between are no proof.
 */
/* adversarial: 7 */
static void implicit_access_at_cpl_0_is_told_by_its_second_fault(void **state)
{
	struct machine_access table = {.gva = CODE, .kind = {.implicit = true, .ac = true}, .size = 8, .cpl0 = true};
	struct model_access explicit = {.ac = true}, explicit_write = {.ac = true, .write = true};
	const u64 ac = RFLAGS_FIXED | RFLAGS_AC;
	struct shadow_fault fault = {0};
	struct machine_result r;

	set_control(0, 0, 0, CR4_SMAP, true);
	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER);
	for (u32 i = 0; i < 4; i++) {
		expect_ok(CODE, explicit_write, DATA);
		expect_ok(CODE + PAGE_SIZE, explicit, DATA + PAGE_SIZE);
		table.kind.write = i & 1; /* a busy bit in a user page that holds the GDT */
		r = machine_access(g.m, table);
		check();
		assert_int_equal(r.outcome, MACHINE_FAULT);
		assert_int_equal(r.error, PF_P | (i & 1 ? PF_W : 0));
		expect_ok(CODE, explicit_write, DATA);
	}
	for (u32 i = 0; i < 4; i++) {
		u64 gva = CODE + (~i & 1) * PAGE_SIZE;

		assert_int_equal(shadow_handle_fault(g.m->mmu, gva, PF_P, 0, ac, &fault), SHADOW_FIXED);
	}
	assert_int_equal(shadow_handle_fault(g.m->mmu, CODE, PF_P, 0, RFLAGS_FIXED, &fault), SHADOW_INJECT);
	assert_int_equal(fault.error, PF_P);
	/* from ring 3 the first one is told */
	assert_int_equal(shadow_handle_fault(g.m->mmu, CODE, PF_P, 3, ac, &fault), SHADOW_INJECT);
	assert_int_equal(fault.error, PF_P);
}

/* The GDT, the IDT and the TSS in user pages: every step of a delivery from ring 3 and from ring 0. */
/* adversarial: 7 */
static void descriptor_tables_in_user_pages_under_smap(void **state)
{
	struct model_access table = {.implicit = true, .ac = true},
			    stack = {.write = true, .implicit = true, .ac = true};

	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER);
	for (u32 smap = 0; smap < 4; smap++) {
		struct machine_access steps[] = {
			{.gva = CODE + 0x80, .kind = table, .size = 8, .cpl0 = smap & 2},
			{.gva = CODE + PAGE_SIZE + 4, .kind = table, .size = 4, .cpl0 = smap & 2},
			{.gva = CODE + PAGE_SIZE + 0xff8, .kind = stack, .size = 8, .cpl0 = smap & 2},
		};
		struct machine_result r;

		set_control(0, 0, CR4_SMAP, smap & 1 ? CR4_SMAP : 0, false);
		r = machine_instruction(g.m, steps, ARRAY_SIZE(steps));
		check();
		assert_int_equal(r.outcome, smap & 1 ? MACHINE_FAULT : MACHINE_OK);
		if (smap & 1)
			assert_int_equal(r.error, PF_P);
		expect_ok(CODE, USER_READ, DATA);
		expect_ok(CODE + PAGE_SIZE, (struct model_access){.ac = true}, DATA + PAGE_SIZE);
	}
}

/* adversarial: 8 */
static void address_beyond_maxphyaddr_is_a_reserved_bit(void **state)
{
	map(CODE, 1, BIT(40) | USER);
	map(CODE + PAGE_SIZE, 1, BIT(51) | USER);
	map(CODE + 0x200000, 2, BIT(45) | USER | PTE_PS);
	map(0x8000000000, 3, BIT(41) | USER | PTE_PS);
	expect_fault(CODE, USER_READ, PF_P | PF_U | PF_RSVD);
	expect_fault(CODE + PAGE_SIZE, USER_WRITE, PF_P | PF_W | PF_U | PF_RSVD);
	expect_fault(CODE + 0x200000, READ, PF_P | PF_RSVD);
	expect_fault(0x8000000000, FETCH, PF_P | PF_RSVD | PF_ID);
}

/* adversarial: 8 */
static void large_leaf_at_a_huge_address_is_not_truncated(void **state)
{
	struct machine_result r;

	map(CODE, 2, (BIT(39) + 0x200000) | USER | PTE_PS);
	map(0x8000000000, 3, BIT(39) | USER | PTE_PS);
	r = act(CODE + 0x1234, USER_READ, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.kind, REGION_MMIO);
	assert_int_equal(r.gpa, BIT(39) + 0x201234);
	r = act(0x8000000000 + 0x12345678, USER_WRITE, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.gpa, BIT(39) + 0x12345678);
}

/* adversarial: 8 */
static void huge_addresses_with_52_bits(void **state)
{
	struct machine_result r;

	map(CODE, 1, BITS(51, 12) | USER);
	r = act(CODE, USER_READ, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.gpa, BITS(51, 12));
	map(CODE + 0x200000, 2, BITS(51, 21) | USER | PTE_PS);
	r = act(CODE + 0x200000 + 0x1ff000, USER_WRITE, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.gpa, BITS(51, 12));
	map(CODE + PAGE_SIZE, 1, DATA | USER);
	expect_ok(CODE + PAGE_SIZE, USER_WRITE, DATA);
}

/* adversarial: 9 */
static void every_reserved_bit_at_every_level_faults(void **state)
{
	static const u64 base[] = {0, DATA | USER, 0x200000 | USER | PTE_PS, USER | PTE_PS};

	for (u32 level = 1; level <= 4; level++)
		for (u32 bit = 7; bit < 64; bit++) {
			u64 gva = 0x10000000000 + ((u64)level << 40), e, old;
			struct model_state s = machine_model_state(g.m);

			(void)slot(g.root, gva, 1);
			old = machine_peek(g.m, slot(g.root, gva, level));
			e = (level < 4 ? base[level] : old) | BIT(bit);
			machine_dma(g.m, slot(g.root, gva, level), e);
			if (model_reserved(&s, level, e))
				expect_fault(gva, USER_READ, PF_P | PF_U | PF_RSVD);
			machine_dma(g.m, slot(g.root, gva, level), old);
			machine_drop_all(g.m);
		}
}

/* adversarial: 9 */
static void bit_7_of_a_lowest_entry_is_a_memory_type(void **state)
{
	map(CODE, 1, DATA | USER | PTE_PAT_4K);
	expect_ok(CODE, USER_WRITE, DATA);
}

/* --- accessed and dirty --------------------------------------------------------------------- */
static void reads_set_a_and_writes_set_d(void **state)
{
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_READ, DATA);
	for (u32 level = 1; level <= 4; level++) {
		assert_true(entry(CODE, level) & PTE_A);
		assert_false(entry(CODE, level) & PTE_D);
	}
	expect_ok(CODE, USER_WRITE, DATA);
	assert_true(entry(CODE, 1) & PTE_D);
	for (u32 level = 2; level <= 4; level++)
		assert_false(entry(CODE, level) & PTE_D);
}

static void refused_access_marks_nothing(void **state)
{
	map(CODE, 1, DATA | PTE_P);
	expect_fault(CODE, USER_READ, PF_P | PF_U);
	expect_fault(CODE, WRITE, PF_P | PF_W);
	for (u32 level = 1; level <= 4; level++)
		assert_false(entry(CODE, level) & (PTE_A | PTE_D));
}

static void cleared_marks_are_set_again_after_a_flush(void **state)
{
	map(CODE, 1, DATA | USER);
	for (u32 i = 0; i < 4; i++) {
		expect_ok(CODE, USER_WRITE, DATA);
		for (u32 level = 1; level <= 4; level++)
			store_entry(CODE, level, entry(CODE, level) & ~(PTE_A | PTE_D));
		if (i & 1)
			reload_cr3();
		else
			invlpg(CODE);
		for (u32 level = 1; level <= 4; level++)
			assert_false(entry(CODE, level) & (PTE_A | PTE_D));
		expect_ok(CODE, USER_READ, DATA);
		for (u32 level = 1; level <= 4; level++)
			assert_true(entry(CODE, level) & PTE_A);
		assert_false(entry(CODE, 1) & PTE_D);
		expect_ok(CODE, USER_WRITE, DATA);
		assert_true(entry(CODE, 1) & PTE_D);
	}
}

/* adversarial: 14 */
static void dirty_information_survives_protection_and_reload(void **state)
{
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	store_entry(CODE, 1, entry(CODE, 1) & ~PTE_W);
	reload_cr3();
	assert_true(entry(CODE, 1) & PTE_D);
	expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
	expect_ok(CODE, USER_READ, DATA);
	assert_true(entry(CODE, 1) & PTE_D);
}

static void neighbours_not_accessed_are_not_marked(void **state)
{
	for (u32 i = 0; i < 16; i++)
		map(CODE + i * PAGE_SIZE, 1, (DATA + i * PAGE_SIZE) | USER | (i & 1 ? PTE_A : 0));
	expect_ok(CODE, USER_READ, DATA);
	for (u32 i = 1; i < 16; i++) {
		assert_int_equal(!!(entry(CODE + i * PAGE_SIZE, 1) & PTE_A), i & 1);
		assert_false(entry(CODE + i * PAGE_SIZE, 1) & PTE_D);
	}
	for (u32 i = 0; i < 16; i++) {
		expect_ok(CODE + i * PAGE_SIZE, USER_WRITE, DATA + i * PAGE_SIZE);
		assert_true(entry(CODE + i * PAGE_SIZE, 1) & PTE_D);
	}
}

/* --- staleness and ordering --------------------------------------------------------------------- */
/* adversarial: 10 */
static void table_edited_while_unlinked_is_fresh_when_linked_again(void **state)
{
	u64 table, linked;

	for (u32 i = 0; i < 8; i++)
		map(CODE + i * PAGE_SIZE, 1, DATA | USER);
	for (u32 i = 0; i < 8; i++)
		expect_ok(CODE + i * PAGE_SIZE, USER_WRITE, DATA);
	linked = entry(CODE, 2);
	table = linked & PTE_ADDR_MASK;
	for (u32 i = 1; i < 30; i++) {
		u64 to = DATA + (i % 8) * PAGE_SIZE;

		store_entry(CODE, 2, 0);
		reload_cr3();
		expect_fault(CODE, USER_READ, PF_U);
		store(slot_in(table, CODE + PAGE_SIZE, 1), to | USER);
		store(slot_in(table, CODE, 1), to | USER);
		store_entry(CODE, 2, linked);
		expect_ok(CODE, USER_READ, to);              /* absent to present needs no flush */
		expect_ok(CODE + PAGE_SIZE, USER_WRITE, to); /* nor do the neighbours */
	}
}

/* The same one level further up, with the edit two levels below the link. */
/* adversarial: 10 */
static void subtree_edited_while_unlinked_is_fresh_when_linked_again(void **state)
{
	u64 linked, at, far;

	for (u32 i = 0; i < 4; i++) {
		map(CODE + i * PAGE_SIZE, 1, DATA | USER);
		map(CODE + i * 0x40200000ull, 1, DATA | USER);
	}
	for (u32 i = 0; i < 4; i++) {
		expect_ok(CODE + i * PAGE_SIZE, USER_WRITE, DATA);
		expect_ok(CODE + i * 0x40200000ull, USER_WRITE, DATA);
	}
	linked = entry(CODE, 4);
	at = slot(g.root, CODE, 1);
	far = slot(g.root, CODE + 0x40200000, 1);
	for (u32 i = 1; i < 30; i++) {
		u64 to = DATA + (i % 8) * PAGE_SIZE;

		store(slot_in(g.root, CODE, 4), 0);
		reload_cr3();
		expect_fault(CODE, USER_READ, PF_U);
		store(at, to | USER);
		store(far, to | USER);
		store(slot_in(g.root, CODE, 4), linked);
		expect_ok(CODE + PAGE_SIZE, USER_READ, DATA);
		expect_ok(CODE, USER_WRITE, to);
		expect_ok(CODE + 0x40200000, USER_WRITE, to);
	}
}

/* An edit under one root, then the other root, whose shadow of the table is older. */
/* adversarial: 10 */
static void table_shared_by_two_roots_is_fresh_under_both(void **state)
{
	u64 second = new_root();

	map(CODE, 1, DATA | USER);
	machine_dma(g.m, slot_in(second, CODE, 4), entry(CODE, 4));
	for (u32 i = 0; i < 20; i++) {
		u64 to = DATA + (i % 8) * PAGE_SIZE;

		store_entry(CODE, 1, to | USER);
		machine_load_cr3(g.m, i & 1 ? g.root : second);
		expect_ok(CODE, USER_WRITE, to);
		expect_ok(CODE, USER_READ, to);
	}
}

/*
 * A role that comes back without a flush: its new root takes over upper-half
 * tables whose shadows are older than the link that the guest just made.
 */
/* adversarial: 10 */
static void upper_half_taken_over_by_a_new_root_is_fresh(void **state)
{
	const u64 gva = 0xffffa00000000000;

	for (u64 i = 0; i < 4; i++) {
		u64 other = new_root(), to = DATA + (i + 1) * PAGE_SIZE;

		if (!i)
			map(gva, 1, DATA | USER);
		expect_ok(gva, USER_READ, DATA + i * PAGE_SIZE);
		set_control(CR0_WP, 0, 0, 0, false);
		machine_load_cr3(g.m, other);
		expect_fault(gva, USER_READ, PF_U);
		store(slot(g.root, gva, 1), to | USER);
		store(slot_in(other, gva, 4), entry(gva, 4) | PTE_A);
		set_control(0, CR0_WP, 0, 0, false);
		expect_ok(gva, USER_READ, to);
		machine_load_cr3(g.m, g.root);
	}
}

/* adversarial: 11 */
static void entry_retargeted_by_dma_harms_nobody(void **state)
{
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	g.m->audit = false;
	machine_dma(g.m, slot(g.root, CODE, 1), MACHINE_POOL | USER);
	expect_ok(CODE, USER_READ, DATA);
	machine_dma(g.m, slot(g.root, CODE, 2), MACHINE_TRAPPED | LINK | PTE_PS);
	machine_dma(g.m, slot(g.root, CODE, 3), BIT(50) | LINK);
	reload_cr3();
	(void)act(CODE, USER_WRITE, 1);
	machine_drop_all(g.m);
	machine_audit(g.m);
	expect_fault(CODE, USER_WRITE, PF_P | PF_U | PF_W | PF_RSVD);
}

static struct {
	void *page;
	u64 place, value;
} race;

/* The engine touches the root for the first time: the walk is over. A device strikes now. */
static void strike(int signal_number)
{
	u64 *entry = machine_ram(g.m, race.place);

	if (mprotect(race.page, PAGE_SIZE, PROT_READ | PROT_WRITE))
		abort();
	*entry = race.value;
}

/* S2: an entry of any level that changes between the walk and the fill is not used any more. */
/* adversarial: 11 */
static void entry_changed_by_dma_during_a_fault(void **state)
{
	struct sigaction act_then = {.sa_handler = strike}, before;
	struct shadow_fault fault = {0};

	sigaction(SIGSEGV, &act_then, &before);
	for (u64 n = 0; n < 8; n++) {
		u64 gva = CODE + (n << 39), other = 0x400000000000 + gva;
		u32 level = 1 + n % 4;

		map(gva, 1, DATA | USER);
		map(other, 1, (DATA + PAGE_SIZE) | USER);
		machine_reenter(g.m);
		check();
		race.page = phys_to_virt(g.m->root);
		race.place = slot(g.root, gva, level);
		race.value = n < 4 ? machine_peek(g.m, slot(g.root, other, level)) : 0;
		assert_int_equal(mprotect(race.page, PAGE_SIZE, PROT_NONE), 0);
		assert_int_equal(shadow_handle_fault(g.m->mmu, gva, PF_U, 3, RFLAGS_FIXED, &fault), SHADOW_RETRY);
		g.m->running = false;
		assert_true(machine_peek(g.m, race.place) == race.value);
		if (n < 4)
			expect_ok(gva, USER_READ, DATA + PAGE_SIZE);
		else
			expect_fault(gva, USER_READ, PF_U);
		machine_audit(g.m);
		check();
	}
	sigaction(SIGSEGV, &before, NULL);
}

/* adversarial: 12 */
static void entry_goes_from_ram_to_mmio_and_back(void **state)
{
	struct machine_result r;

	map(CODE, 1, DATA | USER);
	for (u32 i = 0; i < 6; i++) {
		expect_ok(CODE, USER_WRITE, DATA);
		store_entry(CODE, 1, (i & 1 ? MACHINE_MMIO : MACHINE_TRAPPED) | USER);
		invlpg(CODE);
		r = act(CODE + 8, USER_WRITE, 0);
		assert_int_equal(r.outcome, i & 1 ? MACHINE_OK : MACHINE_EMULATED);
		assert_int_equal(r.gpa, (i & 1 ? MACHINE_MMIO : MACHINE_TRAPPED) + 8);
		assert_int_equal(r.kind, i & 1 ? REGION_MMIO : REGION_TRAPPED);
		store_entry(CODE, 1, DATA | USER);
		reload_cr3();
	}
}

/* adversarial: 13 */
static void two_unsync_leaf_tables_map_each_other(void **state)
{
	u64 a = CODE, b = CODE + 0x200000, table_a, table_b;

	table_a = slot(g.root, a, 1) & PAGE_MASK;
	table_b = slot(g.root, b, 1) & PAGE_MASK;
	map(a, 1, table_b | USER); /* a shows the table of b's block, and the reverse */
	map(b, 1, table_a | USER);
	map(a + PAGE_SIZE, 1, DATA | USER);
	map(b + PAGE_SIZE, 1, DATA | USER);
	for (u32 i = 0; i < 20; i++) {
		u64 to = DATA + (1 + i % 7) * PAGE_SIZE;

		assert_int_equal(act(a + 8, USER_WRITE, to | USER).outcome, MACHINE_OK);
		assert_int_equal(act(b + 8, USER_WRITE, (to + PAGE_SIZE) | USER).outcome, MACHINE_OK);
		reload_cr3();
		expect_ok(b + PAGE_SIZE, USER_READ, to);
		expect_ok(a + PAGE_SIZE, USER_READ, to + PAGE_SIZE);
	}
}

/* adversarial: 15, 28 */
static void invlpg_of_large_splintered_and_unmapped_pages(void **state)
{
	static const u64 frames[] = {MACHINE_HIGH, 0x200000, 0};

	for (u32 i = 0; i < 3; i++) {
		u64 gva = 0x20000000 + i * 0x200000ull;

		map(gva, 2, frames[i] | USER | PTE_PS);
		expect_ok(gva + 0x3000, USER_WRITE, frames[i] + 0x3000);
		expect_ok(gva + 0x9000, USER_READ, frames[i] + 0x9000);
		store_entry(gva, 2, (MACHINE_HIGH + 0x200000) | USER | PTE_PS);
		invlpg(gva + 0x1ff000); /* anywhere in the page */
		expect_ok(gva + 0x3000, USER_WRITE, MACHINE_HIGH + 0x203000);
		expect_ok(gva + 0x9000, USER_READ, MACHINE_HIGH + 0x209000);
		store_entry(gva, 2, 0);
		invlpg(gva);
		expect_fault(gva + 0x3000, USER_READ, PF_U);
		expect_fault(gva + 0x9000, USER_READ, PF_U);
		invlpg(gva);
	}
	invlpg(0x800000000000);
	invlpg(~0ull);
	invlpg(0x123456789abcdef0);
	invlpg(0x7000000000);
}

/* adversarial: 15 */
static void invlpg_takes_effect_for_one_small_page(void **state)
{
	for (u32 i = 0; i < 8; i++)
		map(CODE + i * PAGE_SIZE, 1, (DATA + i * PAGE_SIZE) | USER | PTE_A | PTE_D);
	for (u32 i = 0; i < 8; i++)
		expect_ok(CODE + i * PAGE_SIZE, USER_WRITE, DATA + i * PAGE_SIZE);
	for (u32 i = 0; i < 8; i++) {
		store_entry(CODE + i * PAGE_SIZE, 1, (DATA + 0x10000) | PTE_P | PTE_U);
		invlpg(CODE + i * PAGE_SIZE + 0x123);
		expect_fault(CODE + i * PAGE_SIZE, USER_WRITE, PF_P | PF_W | PF_U);
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, DATA + 0x10000);
	}
}

/* SDM vol. 2, INVLPG: such an address makes it a NOP, so the flush of the real address is still to come. */
/* adversarial: 28 */
static void invlpg_of_an_address_that_is_not_canonical(void **state)
{
	static const u32 bits[] = {48, 62}; /* the latter is no part of the key of a cached path */

	for (u32 i = 0; i < 2; i++) {
		map(CODE, 1, DATA | USER | PTE_A | PTE_D);
		map(CODE + 9 * PAGE_SIZE, 1, DATA | USER | PTE_A | PTE_D);
		reload_cr3();
		expect_ok(CODE, USER_WRITE, DATA);
		expect_ok(CODE + 9 * PAGE_SIZE, USER_WRITE, DATA);
		store_entry(CODE, 1, (DATA + PAGE_SIZE) | USER);
		invlpg(CODE | BIT(bits[i]));
		invlpg(CODE);
		expect_ok(CODE, USER_WRITE, DATA + PAGE_SIZE);
	}
}

/* INVLPG of any address empties the caches of upper entries: an old one must not meet a new leaf. */
/* adversarial: 15 */
static void invlpg_of_another_page_forgets_upper_entries(void **state)
{
	u64 a = CODE, b = CODE + 0x200000, one, two = new_table(), j = 5 * PAGE_SIZE;

	one = slot(g.root, a, 1) & PAGE_MASK;
	map(b, 2, one | LINK);
	machine_dma(g.m, slot_in(one, a, 1), DATA | USER);
	machine_dma(g.m, slot_in(one, a + j, 1), (DATA + PAGE_SIZE) | USER);
	machine_dma(g.m, slot_in(two, a + j, 1), (DATA + 2 * PAGE_SIZE) | USER);
	expect_ok(a, USER_WRITE, DATA);
	expect_ok(b, USER_WRITE, DATA);
	expect_ok(b + j, USER_WRITE, DATA + PAGE_SIZE);
	store_entry(a, 2, two | LINK);
	invlpg(0x7000000000);
	store(slot_in(one, a + j, 1), (DATA + 3 * PAGE_SIZE) | USER);
	invlpg(b + j);
	expect_ok(b + j, USER_WRITE, DATA + 3 * PAGE_SIZE);
	assert_int_not_equal(act(a + j, USER_READ, 0).gpa, DATA + 3 * PAGE_SIZE);
}

/* --- copy-on-write ------------------------------------------------------------------------ */
#define SHARED (PTE_P | PTE_U | PTE_A)
#define PRIVATE (USER | PTE_A | PTE_D)
#define COPY (DATA + 0x70000) /* 8 pages */

static u64 exits(void)
{
	return shadow_stat(g.m->shadow, SHADOW_STAT_walks);
}

/* Pages as a fork leaves them; count of them are in the TLB. */
static void share(u32 pages, u32 count)
{
	for (u32 i = 0; i < pages; i++)
		map(CODE + i * PAGE_SIZE, 1, (DATA + i * PAGE_SIZE) | SHARED);
	reload_cr3();
	for (u32 i = 0; i < count; i++)
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, DATA + i * PAGE_SIZE);
}

/* A write is refused, and INVLPG is the guest's own then; maybe after a pause, if the last time was for nothing. */
static void refuse(u64 gva)
{
	for (u32 i = 0; i < 40 && (i == 0 || g.m->invlpg_traps); i++)
		expect_fault(gva, USER_WRITE, PF_P | PF_W | PF_U);
	assert_false(g.m->invlpg_traps);
}

/* The store to the table and INVLPG need no exit, the retried write needs one. */
static void copy_on_write_has_two_exits(void **state)
{
	share(100, 1);
	for (u32 i = 0; i < 100; i++) {
		u64 gva = CODE + i * PAGE_SIZE, page = COPY + i % 8 * PAGE_SIZE, before;
		struct machine_result r;

		refuse(gva);
		before = exits();
		store_entry(gva, 1, 0);
		invlpg(gva);
		store_entry(gva, 1, page | PRIVATE);
		assert_true(i == 0 || exits() == before); /* once the table is not writable yet */
		r = act(gva, USER_WRITE, 0);
		assert_true(r.outcome == MACHINE_OK && r.gpa == page && r.exits == 1);
		assert_true(g.m->invlpg_traps);
		if (i % 9 == 8)
			expect_ok(gva - 8 * PAGE_SIZE, USER_READ, COPY + (i - 8) % 8 * PAGE_SIZE);
	}
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_detaches), 100);
}

/* A range with many pages in use, which is not gone through, keeps them. */
static void a_full_table_is_not_detached(void **state)
{
	share(64, 64);
	for (u32 i = 0; i < 64; i += 3)
		expect_fault(CODE + i * PAGE_SIZE, USER_WRITE, PF_P | PF_W | PF_U);
	assert_true(g.m->invlpg_traps);
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_detaches), 0);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(act(CODE + i * PAGE_SIZE, USER_READ, 0).exits, 0);
}

/* A refused write that a signal handler answers, say: then detaching only costs. */
static void what_is_not_mended_is_not_detached_again(void **state)
{
	share(8, 4);
	refuse(CODE);
	expect_ok(CODE + 6 * PAGE_SIZE, USER_READ, DATA + 6 * PAGE_SIZE);
	assert_true(g.m->invlpg_traps);
	expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
	assert_true(g.m->invlpg_traps);
}

/* adversarial: 15 */
static void another_page_flushed_during_copy_on_write(void **state)
{
	share(4, 4);
	refuse(CODE);
	store_entry(CODE + PAGE_SIZE, 1, COPY | SHARED);
	invlpg(CODE + PAGE_SIZE);
	expect_ok(CODE + PAGE_SIZE, USER_READ, COPY);
	assert_true(g.m->invlpg_traps);
	store_entry(CODE + PAGE_SIZE, 1, (COPY + PAGE_SIZE) | SHARED);
	invlpg(CODE + PAGE_SIZE);
	expect_ok(CODE + PAGE_SIZE, USER_READ, COPY + PAGE_SIZE);
}

/* Changed while detached, flushed when no longer: the shadow has no difference to find then. */
/* adversarial: 15 */
static void pages_changed_during_copy_on_write_and_flushed_later(void **state)
{
	share(4, 4);
	refuse(CODE);
	store_entry(CODE + PAGE_SIZE, 1, COPY | SHARED);
	store_entry(CODE + 2 * PAGE_SIZE, 1, 0);
	store_entry(CODE, 1, (COPY + PAGE_SIZE) | PRIVATE);
	machine_speculate(g.m, CODE);
	expect_ok(CODE, USER_WRITE, COPY + PAGE_SIZE);
	assert_true(g.m->invlpg_traps);
	invlpg(CODE + PAGE_SIZE);
	expect_ok(CODE + PAGE_SIZE, USER_READ, COPY);
	invlpg(CODE + 2 * PAGE_SIZE);
	expect_fault(CODE + 2 * PAGE_SIZE, USER_READ, PF_U);
}

/* The refused page alone is taken away and not flushed, and the write is tried again: INVLPG would find nothing to change. */
/* adversarial: 15 */
static void the_refused_page_taken_away_and_flushed_later(void **state)
{
	share(8, 4);
	refuse(CODE + PAGE_SIZE); /* once as it should be, so that the table can be written */
	store_entry(CODE + PAGE_SIZE, 1, 0);
	invlpg(CODE + PAGE_SIZE);
	store_entry(CODE + PAGE_SIZE, 1, COPY | PRIVATE);
	expect_ok(CODE + PAGE_SIZE, USER_WRITE, COPY);
	expect_ok(CODE, USER_READ, DATA);
	refuse(CODE);
	store_entry(CODE, 1, 0);
	expect_fault(CODE, USER_WRITE, PF_W | PF_U);
	assert_true(g.m->invlpg_traps);
	invlpg(CODE);
	for (u32 i = 0; i < 20; i++)
		expect_fault(CODE, USER_READ, PF_U);
}

/* --- windows of the kernel ------------------------------------------------------------------ */
#define FIXED 0xffffffffff200000ull /* a range of its own */
#define LOOKED_AT (KERNEL | PTE_A | PTE_D)
static u32 flush_exits;

static void flush_fixed(u64 gva)
{
	flush_exits += g.m->invlpg_traps;
	invlpg(gva);
}

static void map_fixed(u64 pages, u64 from)
{
	for (u64 i = 0; i < pages; i++) {
		store_entry(FIXED + i * PAGE_SIZE, 1, (from + i * PAGE_SIZE) | LOOKED_AT);
		flush_fixed(FIXED + i * PAGE_SIZE);
	}
}

static void unmap_fixed(u64 pages)
{
	for (u64 i = 0; i < pages; i++) {
		store_entry(FIXED + i * PAGE_SIZE, 1, 0);
		flush_fixed(FIXED + i * PAGE_SIZE);
	}
}

/* So often that its pages are detached. */
static void open_window(void)
{
	map(FIXED + 511 * PAGE_SIZE, 1, 0);
	for (u32 i = 0; i < 8 && g.m->invlpg_traps; i++) {
		map_fixed(8, DATA);
		expect_ok(FIXED, READ, DATA);
		unmap_fixed(8);
	}
	assert_false(g.m->invlpg_traps);
}

/* As Linux looks for its MP table: many pages are mapped, one is looked at, all are taken away. */
static void a_window_has_two_exits_a_round(void **state)
{
	open_window();
	flush_exits = 0;
	for (u32 i = 0; i < 50; i++) {
		u64 page = DATA + i * PAGE_SIZE, before = exits();
		struct machine_result r;

		map_fixed(16, page);
		r = act(FIXED, READ, 0);
		assert_true(r.outcome == MACHINE_OK && r.gpa == page && r.exits == 1);
		unmap_fixed(16);
		assert_int_equal(exits() - before, 1);
		expect_fault(FIXED, READ, 0);
		expect_fault(FIXED + 15 * PAGE_SIZE, READ, 0);
		unmap_fixed(1);
	}
	assert_true(flush_exits <= 2 * 50);
	assert_false(shadow_audit(g.m->mmu));
}

/* User addresses are flushed in rows too, by munmap; their pages stay where they are. */
static void user_ranges_are_no_windows(void **state)
{
	share(16, 4);
	for (u32 round = 0; round < 4; round++) {
		for (u32 i = 0; i < 16; i++) {
			store_entry(CODE + i * PAGE_SIZE, 1, 0);
			invlpg(CODE + i * PAGE_SIZE);
			assert_true(g.m->invlpg_traps);
		}
	}
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_detaches), 0);
}

/* Changed in the open window, flushed when INVLPG exits again. */
static void pages_changed_in_a_window_and_flushed_later(void **state)
{
	open_window();
	map_fixed(4, DATA);
	expect_ok(FIXED, READ, DATA);
	expect_ok(FIXED + PAGE_SIZE, READ, DATA + PAGE_SIZE);
	unmap_fixed(1);
	assert_false(g.m->invlpg_traps);
	store_entry(FIXED + PAGE_SIZE, 1, COPY | LOOKED_AT);
	store_entry(FIXED + 2 * PAGE_SIZE, 1, 0);
	for (u32 i = 0; i < 32; i++)
		machine_speculate(g.m, FIXED + i % 4 * PAGE_SIZE);
	expect_ok(FIXED + 3 * PAGE_SIZE, READ, DATA + 3 * PAGE_SIZE);
	assert_true(g.m->invlpg_traps);
	invlpg(FIXED + PAGE_SIZE);
	expect_ok(FIXED + PAGE_SIZE, READ, COPY);
	invlpg(FIXED + 2 * PAGE_SIZE);
	expect_fault(FIXED + 2 * PAGE_SIZE, READ, 0);
}

/*
 * The first CPU runs with INVLPG its own and pages detached. It cannot be told from elsewhere: it is taken out, and before it
 * enters again INVLPG exits. From then on nothing is detached.
 */
/* adversarial: 15 */
static void a_second_cpu_is_made_while_pages_are_detached(void **state)
{
	struct shadow_paging paging;

	share(8, 4);
	refuse(CODE);
	store_entry(CODE + PAGE_SIZE, 1, COPY | SHARED);
	for (u32 i = 0; i < 32; i++)
		machine_speculate(g.m, CODE + i % 8 * PAGE_SIZE);
	assert_true(g.m->running && !g.m->invlpg_traps);
	paging = g.m->paging;
	machine_make_cpu(g.m, 1);
	machine_use(g.m, 0);
	assert_true(!g.m->running && !g.m->invlpg_traps); /* it was not told */
	invlpg(CODE + PAGE_SIZE);
	assert_true(g.m->invlpg_traps);
	expect_ok(CODE + PAGE_SIZE, USER_READ, COPY);
	machine_use(g.m, 1);
	assert_true(g.m->invlpg_traps);
	machine_set_paging(g.m, &paging, true);
	for (u32 i = 0; i < 8; i++)
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, i == 1 ? COPY : DATA + i * PAGE_SIZE);
	for (u32 i = 0; i < 80; i++) {
		machine_use(g.m, i % 2);
		expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
		assert_true(g.m->invlpg_traps);
	}
	machine_use(g.m, 0);
}

/* A window that is given up by a flush of everything must show again that it is one. */
static void a_window_that_is_given_up_is_not_opened_at_once(void **state)
{
	open_window();
	reload_cr3();
	assert_true(g.m->invlpg_traps);
	map_fixed(2, DATA);
	expect_ok(FIXED, READ, DATA);
	unmap_fixed(2);
	assert_true(g.m->invlpg_traps);
	expect_fault(FIXED, READ, 0);
}

/* The CPU may go on reading a detached page by way of what it keeps of upper levels. */
static void the_refused_page_read_ahead_before_it_is_mended(void **state)
{
	share(8, 4);
	refuse(CODE);
	for (u32 i = 0; i < 32; i++)
		machine_speculate(g.m, CODE);
	store_entry(CODE, 1, COPY | PRIVATE);
	expect_ok(CODE + 6 * PAGE_SIZE, USER_READ, DATA + 6 * PAGE_SIZE);
	invlpg(CODE);
	expect_ok(CODE, USER_READ, COPY);
	expect_ok(CODE, USER_WRITE, COPY);
}

/* A device makes the entry above a detached table one of a large page, and takes that back. */
/* adversarial: 11 */
static void a_large_page_by_dma_in_place_of_a_detached_table(void **state)
{
	u64 other = CODE + 0x80200000, at, pde;

	share(8, 4);
	refuse(CODE);
	at = slot(g.root, CODE, 2);
	pde = machine_peek(g.m, at);
	machine_dma(g.m, at, MACHINE_HIGH | KERNEL | PTE_PS | PTE_A | PTE_D);
	expect_ok(CODE + 0x100000, WRITE, MACHINE_HIGH + 0x100000);
	machine_audit(g.m);
	check();
	machine_dma(g.m, at, pde);
	g.m->audit = false; /* the shadow is older than the entry until the next flush */
	(void)act(CODE + 0x100000, USER_READ, 0);
	/* a frame of the large page becomes a table */
	machine_dma(g.m, slot(g.root, other, 2), (MACHINE_HIGH + 0x3000) | LINK);
	machine_dma(g.m, slot_in(MACHINE_HIGH + 0x3000, other, 1), DATA | USER);
	expect_ok(other, USER_READ, DATA);
	machine_flush(g.m);
	machine_drop_all(g.m);
	machine_audit(g.m);
	check();
}

static void what_ends_detaching(void **state)
{
	u64 other = CODE + 0x40200000, root = new_root();

	for (u32 way = 0; way < 6; way++) {
		map(other, 1, DATA | USER);
		share(4, 4);
		expect_ok(other, USER_READ, DATA);
		refuse(CODE);
		store_entry(CODE + PAGE_SIZE, 1, COPY | SHARED);
		switch (way) {
		case 0:
			machine_load_cr3(g.m, root);
			check();
			machine_load_cr3(g.m, g.root);
			check();
			break;
		case 1:
			set_control(CR0_WP, 0, 0, 0, false);
			expect_ok(WINDOW + TABLES, READ, TABLES);
			assert_true(g.m->invlpg_traps);
			set_control(0, CR0_WP, 0, 0, false);
			break;
		case 2:
			machine_flush(g.m);
			check();
			break;
		case 3:
			machine_drop_all(g.m);
			check();
			break;
		case 4:
			store_entry(other, 1, (DATA + PAGE_SIZE) | USER); /* another table */
			break;
		default:
			store_entry(other, 3, entry(other, 3)); /* one of an upper level */
			break;
		}
		assert_true(g.m->invlpg_traps);
		invlpg(CODE + PAGE_SIZE);
		expect_ok(CODE + PAGE_SIZE, USER_READ, COPY);
		store_entry(CODE, 1, (COPY + PAGE_SIZE) | PRIVATE);
		expect_ok(CODE, USER_WRITE, COPY + PAGE_SIZE);
		machine_drop_all(g.m); /* map() is seen by nobody */
	}
}

/* A first fault has no cached path and no table in the shadow: nothing is unsync, and nothing has to be detached. */
static void copy_on_write_of_a_new_address_space(void **state)
{
	map(CODE, 1, DATA | SHARED);
	expect_ok(WINDOW + DATA, WRITE, DATA);
	expect_ok(WINDOW + slot(g.root, CODE, 1), READ, slot(g.root, CODE, 1));
	refuse(CODE);
	store_entry(CODE, 1, 0);
	invlpg(CODE);
	store_entry(CODE, 1, COPY | PRIVATE);
	expect_ok(CODE, USER_WRITE, COPY);
	assert_true(g.m->invlpg_traps);
}

/* adversarial: 15 */
static void reload_takes_effect_at_every_level(void **state)
{
	u64 other = 0x700000000000;

	map(CODE, 1, DATA | USER);
	map(other + CODE, 1, (DATA + PAGE_SIZE) | USER);
	for (u32 level = 1; level <= 4; level++) {
		u64 mine = entry(CODE, level), theirs = entry(other + CODE, level);

		expect_ok(CODE, USER_WRITE, DATA);
		store(slot(g.root, CODE, level), theirs);
		reload_cr3();
		expect_ok(CODE, USER_WRITE, DATA + PAGE_SIZE);
		store(slot(g.root, CODE, level), mine);
		invlpg(CODE);
		expect_ok(CODE, USER_WRITE, DATA);
		expect_ok(other + CODE, USER_WRITE, DATA + PAGE_SIZE);
	}
}

/* adversarial: 17 */
static void absent_to_present_needs_no_flush_at_any_level(void **state)
{
	struct rng r;
	u64 places[8], saved[8];

	rng_seed(&r, 7);
	g.m->audit = false;
	for (u32 i = 0; i < 8; i++)
		map(CODE + (u64)i * 0x40200000, 1, (DATA + i * PAGE_SIZE) | USER);
	for (u32 n = 0; n < 10000; n++) {
		u32 i = rng_below(&r, 8), level = 1 + rng_below(&r, 4);
		u64 gva = CODE + (u64)i * 0x40200000;

		places[i] = slot(g.root, gva, level);
		saved[i] = machine_peek(g.m, places[i]);
		store(places[i], 0);
		if (rng_chance(&r, 50))
			invlpg(gva);
		else
			reload_cr3();
		expect_fault(gva, USER_READ, PF_U);
		store(places[i], saved[i]);
		if (rng_chance(&r, 50))
			expect_ok(gva, USER_READ, DATA + i * PAGE_SIZE);
		expect_ok(gva, USER_WRITE, DATA + i * PAGE_SIZE);
		if (n % 100 == 0)
			machine_audit(g.m);
	}
	check();
}

/* adversarial: 18, 41 */
static void recursive_mapping(void **state)
{
	const u64 self = 0x1ff;                          /* slot of the root that points at itself */
	u64 tables = 0xffff000000000000ull | self << 39; /* the leaf tables, as pages */
	u64 root_page, old;

	machine_dma(g.m, g.root + 8 * self, g.root | LINK);
	map(CODE, 1, DATA | USER);
	for (u32 i = 0; i < 20; i++) {
		u64 at = tables + (CODE >> 12) * 8, to = DATA + (i % 8) * PAGE_SIZE;

		assert_int_equal(act(at, USER_WRITE, to | USER).outcome, MACHINE_OK);
		assert_int_equal(entry(CODE, 1) & ~(PTE_A | PTE_D), to | USER);
		if (i & 1)
			invlpg(CODE);
		else
			reload_cr3();
		expect_ok(CODE, USER_WRITE, to);
		assert_int_equal(act(at, USER_READ, 0).value & ~(PTE_A | PTE_D), to | USER);
	}
	/* the root as a page: the guest takes its own mapping away and gets it back */
	root_page = (tables | self << 30 | self << 21 | self << 12) + 8 * ((CODE >> 39) & 511);
	old = machine_peek(g.m, slot_in(g.root, CODE, 4));
	assert_int_equal(act(root_page, USER_WRITE, 0).outcome, MACHINE_OK);
	reload_cr3();
	expect_fault(CODE, USER_READ, PF_U);
	assert_int_equal(act(root_page, USER_WRITE, old).outcome, MACHINE_OK);
	expect_ok(CODE, USER_READ, DATA + 3 * PAGE_SIZE);
}

/* adversarial: 18 */
static void tables_mapped_writable_for_the_user(void **state)
{
	u64 view = 0x8050000000;

	map(CODE, 1, DATA | USER);
	for (u32 level = 1; level <= 4; level++)
		map(view + level * PAGE_SIZE, 1, (slot(g.root, CODE, level) & PAGE_MASK) | USER);
	for (u32 round = 0; round < 3; round++)
		for (u32 level = 1; level <= 4; level++) {
			u64 at = view + level * PAGE_SIZE + (slot(g.root, CODE, level) & 0xfff);
			u64 old = machine_peek(g.m, slot(g.root, CODE, level));

			expect_ok(CODE, USER_WRITE, DATA);
			assert_int_equal(act(at, USER_WRITE, old & ~PTE_W).outcome, MACHINE_OK);
			invlpg(CODE);
			expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
			expect_ok(CODE, USER_READ, DATA);
			assert_int_equal(act(at, USER_WRITE, old).outcome, MACHINE_OK);
			invlpg(CODE);
			expect_ok(CODE, USER_WRITE, DATA);
		}
}

/* adversarial: 19 */
static void leaf_table_promoted_to_an_upper_level_and_back(void **state)
{
	u64 table, upper = 0x40000000;

	map(CODE, 1, DATA | USER);
	table = slot(g.root, CODE, 1) & PAGE_MASK;

	for (u32 i = 0; i < 10; i++) {
		expect_ok(CODE, USER_WRITE, DATA);
		store(slot_in(table, CODE + PAGE_SIZE, 1), (DATA + PAGE_SIZE) | USER); /* unsync now */
		/* the same table as a level 2 table: its entries are links to what they mapped */
		memset(machine_ram(g.m, DATA), 0, PAGE_SIZE);
		machine_dma(g.m, DATA, (DATA + 0x5000) | USER);
		store_entry(upper, 3, table | LINK);
		reload_cr3();
		expect_ok(upper + ((CODE >> 12) & 511) * 0x200000, USER_WRITE, DATA + 0x5000);
		expect_fault(upper + ((CODE >> 12) & 511) * 0x200000 + PAGE_SIZE, USER_WRITE, PF_W | PF_U);
		expect_ok(CODE, USER_READ, DATA);
		/* the page that it maps is a table now: writes to it must be seen */
		assert_int_equal(act(CODE + 8, USER_WRITE, (DATA + 0x6000) | USER).outcome, MACHINE_OK);
		expect_ok(upper + ((CODE >> 12) & 511) * 0x200000 + PAGE_SIZE, USER_WRITE, DATA + 0x6000);
		store_entry(upper, 3, 0);
		reload_cr3();
		assert_int_equal(act(CODE + 8, USER_WRITE, 0).outcome, MACHINE_OK);
	}
}

/* --- writes to tables ------------------------------------------------------------------------- */
/* adversarial: 20 */
static void entry_written_in_halves_and_bytes(void **state)
{
	map(CODE, 1, DATA | USER);
	for (u32 order = 0; order < 2; order++)
		for (u32 size = 1; size <= 4; size *= 4) {
			u64 at = slot(g.root, CODE, 1), want = (DATA + 0x3000) | USER | PTE_NX;

			expect_ok(CODE, USER_WRITE, DATA);
			for (u32 i = 0; i < 8; i += size) {
				u32 byte = order ? 8 - size - i : i;
				struct machine_access a = {.gva = WINDOW + at + byte,
							   .kind = WRITE,
							   .size = size,
							   .value = want >> (8 * byte)};

				assert_int_equal(machine_access(g.m, a).outcome, MACHINE_OK);
				check();
			}
			assert_int_equal(machine_peek(g.m, at), want);
			invlpg(CODE);
			expect_ok(CODE, USER_WRITE, DATA + 0x3000);
			expect_fault(CODE, USER_FETCH, PF_P | PF_U | PF_ID);
			store(at, DATA | USER);
			reload_cr3();
		}
}

/* adversarial: 20 */
static void write_across_two_entries_and_two_tables(void **state)
{
	u64 a = CODE + 0x1ff000, b = CODE + 0x200000, at;
	struct machine_access list[2];

	map(a, 1, DATA | USER);
	map(b, 1, (DATA + PAGE_SIZE) | USER);
	map(b + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER);
	expect_ok(a, USER_READ, DATA);
	expect_ok(b, USER_READ, DATA + PAGE_SIZE);
	expect_ok(b + PAGE_SIZE, USER_READ, DATA + PAGE_SIZE);
	at = slot(g.root, b, 1);
	/* the upper half of entry 0 and the lower half of entry 1 */
	assert_int_equal(act(WINDOW + at + 4, WRITE, (DATA + 0x2000) << 32 | USER << 32).outcome, MACHINE_OK);
	reload_cr3();
	expect_ok(b + PAGE_SIZE, USER_READ, DATA + 0x2000);
	/* one instruction that crosses from one table's page into the next one's */
	list[0] = (struct machine_access){
		.gva = WINDOW + slot(g.root, a, 1) + 4, .kind = WRITE, .size = 4, .value = 0};
	list[1] = (struct machine_access){
		.gva = WINDOW + at, .kind = WRITE, .size = 4, .value = (DATA + 0x4000) | USER};
	assert_int_equal(machine_instruction(g.m, list, 2).outcome, MACHINE_OK);
	reload_cr3();
	expect_ok(b, USER_READ, DATA + 0x4000);
	expect_ok(a, USER_READ, DATA);
}

/* What one instruction does to a table: its accesses, all in one go. */
static void run_instruction(const struct machine_access *list, u32 count)
{
	struct machine_result r = machine_instruction(g.m, list, count);

	check();
	assert_int_equal(r.outcome, MACHINE_OK);
}

/* clang-format off */
#define READS(at) {.gva = WINDOW + (at), .kind = READ, .size = 8}
#define WRITES(at, what) {.gva = WINDOW + (at), .kind = WRITE, .size = 8, .value = (what)}
/* clang-format on */

/* XCHG, BTS, CMPXCHG16B, a 32-byte AVX store over two tables, REP MOVS, PUSH, CALL. */
/* adversarial: 20 */
static void tables_written_by_wide_locked_and_repeated_instructions(void **state)
{
	u64 at, low, page = DATA;

	for (u32 i = 0; i < 514; i++)
		map(CODE + i * PAGE_SIZE, 1, page | USER);
	at = slot(g.root, CODE + 0x200000, 1); /* the second table's first entry */
	low = slot(g.root, CODE, 1);
	for (u64 n = 0; n < 24; n++) {
		u64 to = DATA + (n % 12 + 1) * PAGE_SIZE, e = to | USER;
		const struct machine_access locked[] = {READS(low), WRITES(low, e)};
		const struct machine_access wide[] = {READS(low), READS(low + 8), WRITES(low, e),
						      WRITES(low + 8, e)};
		const struct machine_access vector[] = {WRITES(low + 510 * 8, e), WRITES(low + 511 * 8, e),
							WRITES(at, e), WRITES(at + 8, e)};
		const struct machine_access call[] = {{.gva = CODE + 7 * PAGE_SIZE, .kind = FETCH, .size = 8},
						      WRITES(low + 8, e)};

		for (u32 i = 0; i < 514; i += 1 + 508 * (i == 1)) /* 0, 1, 510 to 513 */
			expect_ok(CODE + i * PAGE_SIZE, i & 1 ? USER_READ : USER_WRITE, page);
		switch (n % 4) {
		case 0:
			run_instruction(locked, 2);
			run_instruction(call, 2);
			break;
		case 1: run_instruction(wide, 4); break;
		default:
			for (u64 i = 0; i < 2; i++) {
				const struct machine_access move[] = {READS(low + 16), WRITES(low + 8 * i, e)};

				run_instruction(move, 2);
			}
			break;
		}
		run_instruction(vector, 4);
		page = to;
		if (n & 1) {
			reload_cr3();
			continue;
		}
		for (u32 i = 0; i < 514; i += 1 + 508 * (i == 1))
			invlpg(CODE + i * PAGE_SIZE);
	}
}

/* Five words pushed at once onto a table, from ring 3 and from ring 0, with SMAP on or off. */
/* adversarial: 20 */
static void interrupt_frame_pushed_onto_a_table(void **state)
{
	for (u32 i = 0; i < 8; i++)
		map(CODE + i * PAGE_SIZE, 1, DATA | USER);
	for (u64 n = 0; n < 12; n++) {
		u64 to = DATA + (n + 1) * PAGE_SIZE, at = slot(g.root, CODE, 1);
		struct machine_access frame[6];

		set_control(0, 0, CR4_SMAP, n & 2 ? CR4_SMAP : 0, false);
		frame[0] = (struct machine_access){
			.gva = WINDOW + DATA + 0x70000, .kind = {.implicit = true}, .size = 8, .cpl0 = n & 1};
		for (u32 i = 1; i < 6; i++)
			frame[i] = (struct machine_access){.gva = WINDOW + at + 8 * (5 - i),
							   .kind = {.write = true, .implicit = true},
							   .size = 8,
							   .value = to | USER,
							   .cpl0 = n & 1};
		run_instruction(frame, 6);
		reload_cr3();
		for (u32 i = 0; i < 8; i++)
			expect_ok(CODE + i * PAGE_SIZE, USER_WRITE, i < 5 ? to : DATA);
	}
}

/* The code that writes to a table lies in that table's page, for both rings, and in a page with D clear. */
/* adversarial: 21 */
static void code_that_lies_in_the_table_it_writes(void **state)
{
	for (u32 ring = 0; ring < 2; ring++) {
		u64 view = CODE + ring * 0x200000, table = slot(g.root, view, 1) & PAGE_MASK;
		struct model_access fetch = {.fetch = true, .user = ring}, write = {.write = true, .user = ring};

		map(view, 1, table | LINK);
		map(view + PAGE_SIZE, 1, DATA | LINK);
		for (u64 n = 1; n < 16; n++) {
			u64 to = DATA + n * PAGE_SIZE;
			const struct machine_access list[] = {
				{.gva = view + 0x800, .kind = fetch, .size = 8},
				{.gva = view + 8, .kind = write, .size = 8, .value = to | LINK},
			};

			run_instruction(list, 2);
			if (n & 1)
				invlpg(view + PAGE_SIZE);
			else
				reload_cr3();
			expect_ok(view + PAGE_SIZE, USER_WRITE, to);
		}
	}
}

/* An instruction takes its own page away: it completes, and the next fetch faults once flushed. */
/* adversarial: 21 */
static void instruction_that_unmaps_its_own_page(void **state)
{
	map(CODE, 1, DATA | USER);
	for (u32 level = 1; level <= 4; level++) {
		u64 at = slot(g.root, CODE, level), old = machine_peek(g.m, at);
		const struct machine_access list[] = {{.gva = CODE, .kind = FETCH, .size = 8}, WRITES(at, 0)};

		for (u32 n = 0; n < 4; n++) {
			run_instruction(list, 2);
			if (n & 1)
				invlpg(CODE);
			else
				reload_cr3();
			expect_fault(CODE, FETCH, PF_ID);
			store(at, old);
			expect_ok(CODE, FETCH, DATA);
		}
	}
}

/* The hypervisor's own write goes to the entry that maps what it writes. */
/* adversarial: 21 */
static void hypervisor_write_that_unmaps_its_target(void **state)
{
	u64 at, view = 0x70000000, value = 0, gva = 0;
	u32 error = 0;

	map(view, 1, (slot(g.root, view, 1) & PAGE_MASK) | LINK);
	at = slot(g.root, view, 1);
	expect_ok(view, USER_READ, at & PAGE_MASK);
	assert_int_equal(shadow_write_guest(g.m->mmu, view + (at & 0xfff), &value, 8,
					    (struct gpt_access){.write = true}, &gva, &error),
			 0);
	assert_true(machine_peek(g.m, at) == 0);
	machine_reenter(g.m);
	invlpg(view);
	expect_fault(view, USER_READ, PF_U);
	assert_int_equal(
		shadow_write_guest(g.m->mmu, view + 8, &value, 8, (struct gpt_access){.write = true}, &gva, &error),
		-EFAULT);
	assert_int_equal(error, PF_W);
}

/* The same by a locked operation, which has the memory as it was, or writes nothing. */
static void locked_write_that_unmaps_its_target(void **state)
{
	const struct gpt_access kind = {.write = true};
	u64 at, view = 0x70000000, value = 0, gva = 0, old, wrong;
	u32 error = 0;

	map(view, 1, (slot(g.root, view, 1) & PAGE_MASK) | LINK);
	at = slot(g.root, view, 1);
	expect_ok(view, USER_READ, at & PAGE_MASK);
	wrong = machine_peek(g.m, at) ^ BIT(40);
	assert_int_equal(shadow_exchange_guest(g.m->mmu, view + (at & 0xfff), &wrong, &value, 8, kind, &gva, &error),
			 -EAGAIN);
	old = machine_peek(g.m, at);
	assert_true(old);
	assert_int_equal(shadow_exchange_guest(g.m->mmu, view + (at & 0xfff), &old, &value, 8, kind, &gva, &error),
			 0);
	assert_true(machine_peek(g.m, at) == 0);
	machine_reenter(g.m);
	invlpg(view);
	expect_fault(view, USER_READ, PF_U);
	assert_int_equal(shadow_exchange_guest(g.m->mmu, view + 8, &old, &value, 8, kind, &gva, &error), -EFAULT);
	assert_int_equal(error, PF_W);
}

static void locked_writes_of_every_size_and_place(void **state)
{
	static const u32 sizes[] = {1, 2, 4, 8};
	const struct gpt_access kind = {.write = true};
	u8 before[32], after[32], value[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
	gva_t gva = 0;
	u32 error = 0;

	map(CODE, 1, DATA | USER);
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		for (u32 at = 0; at < 16; at++) {
			u32 len = sizes[i];

			assert_int_equal(shadow_read_guest(g.m->mmu, CODE, before, 32, kind, &gva, &error), 0);
			before[at]++; /* not what is there */
			assert_int_equal(shadow_exchange_guest(g.m->mmu, CODE + at, before + at, value, len, kind,
							       &gva, &error),
					 -EAGAIN);
			before[at]--;
			assert_int_equal(shadow_exchange_guest(g.m->mmu, CODE + at, before + at, value, len, kind,
							       &gva, &error),
					 0);
			memcpy(before + at, value, len);
			assert_int_equal(shadow_read_guest(g.m->mmu, CODE, after, 32, kind, &gva, &error), 0);
			assert_memory_equal(after, before, 32);
		}
}

static void code_is_found_in_place(void **state)
{
	const struct gpt_access kind = {.fetch = true, .user = true};

	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, DATA | USER | PTE_NX);
	assert_ptr_equal(shadow_find_code(g.m->mmu, CODE + 0x123, kind), machine_ram(g.m, DATA + 0x123));
	assert_true(entry(CODE, 1) & PTE_A);
	assert_null(shadow_find_code(g.m->mmu, CODE + PAGE_SIZE, kind));
	assert_null(shadow_find_code(g.m->mmu, CODE + 2 * PAGE_SIZE, kind));
}

/* The write goes to the table that maps it, to the one above, and so on. */
/* adversarial: 20 */
static void write_to_the_tables_that_map_the_write(void **state)
{
	u64 view = 0x50000000;

	for (u32 level = 1; level <= 4; level++)
		map(view + level * PAGE_SIZE, 1, (slot(g.root, view, level) & PAGE_MASK) | USER);
	for (u32 round = 0; round < 10; round++)
		for (u32 level = 1; level <= 4; level++) {
			u64 free_slot = 8 * (300 + round), to = DATA | USER;

			assert_int_equal(act(view + level * PAGE_SIZE + free_slot, USER_WRITE, to).outcome,
					 MACHINE_OK);
			assert_int_equal(machine_peek(g.m, (slot(g.root, view, level) & PAGE_MASK) + free_slot), to);
			assert_int_equal(act(view + level * PAGE_SIZE + free_slot, USER_WRITE, 0).outcome,
					 MACHINE_OK);
			if (round & 1)
				reload_cr3();
		}
}

/* adversarial: 22 */
static void user_write_to_a_readonly_page_that_is_a_table(void **state)
{
	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, (slot(g.root, CODE, 1) & PAGE_MASK) | PTE_P | PTE_U);
	expect_ok(CODE, USER_READ, DATA);
	for (u32 i = 0; i < 5; i++) {
		expect_fault(CODE + PAGE_SIZE, USER_WRITE, PF_P | PF_W | PF_U);
		expect_fault(CODE + PAGE_SIZE, WRITE, PF_P | PF_W);
		expect_ok(CODE + PAGE_SIZE, USER_READ, slot(g.root, CODE, 1) & PAGE_MASK);
	}
}

/* adversarial: 20 */
static void hypervisor_writes_to_a_table_for_the_guest(void **state)
{
	struct gpt_access a = {.write = true};
	u64 at, value, gva = 0;
	u32 error = 0;

	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, MACHINE_POOL | USER);
	map(CODE + 2 * PAGE_SIZE, 1, MACHINE_TRAPPED | USER);
	at = slot(g.root, CODE, 1);
	for (u32 i = 0; i < 10; i++) {
		expect_ok(CODE, USER_WRITE, DATA + (i % 4) * PAGE_SIZE);
		value = (DATA + ((i + 1) % 4) * PAGE_SIZE) | USER;
		assert_int_equal(shadow_write_guest(g.m->mmu, WINDOW + at, &value, 8, a, &gva, &error), 0);
		machine_reenter(g.m);
		reload_cr3();
	}
	value = 5;
	assert_int_equal(shadow_write_guest(g.m->mmu, CODE + PAGE_SIZE, &value, 8, a, &gva, &error), 0);
	assert_int_equal(
		shadow_read_guest(g.m->mmu, CODE + PAGE_SIZE, &value, 8, (struct gpt_access){0}, &gva, &error), 0);
	assert_true(value == ~0ull);
	assert_int_equal(
		shadow_read_guest(g.m->mmu, CODE + 2 * PAGE_SIZE, &value, 8, (struct gpt_access){0}, &gva, &error),
		-EIO);
	assert_int_equal(shadow_read_guest(g.m->mmu, CODE + 3 * PAGE_SIZE - 4, &value, 8, (struct gpt_access){0},
					   &gva, &error),
			 -EIO);
	map(CODE + 5 * PAGE_SIZE, 1, DATA | USER);
	assert_int_equal(shadow_read_guest(g.m->mmu, CODE + 6 * PAGE_SIZE - 4, &value, 8, (struct gpt_access){0},
					   &gva, &error),
			 -EFAULT);
	assert_int_equal(gva, CODE + 6 * PAGE_SIZE);
	assert_int_equal(error, 0);
}

/* adversarial: 20 */
static void hypervisor_writes_to_a_table_in_a_frame_that_it_has_found_before(void **state)
{
	struct shadow_ram ram;
	u64 at, value;

	map(CODE, 1, DATA | USER);
	at = slot(g.root, CODE, 1);
	assert_true(shadow_find_ram(g.m->mmu, at >> PAGE_SHIFT, &ram));
	assert_false(shadow_find_ram(g.m->mmu, MACHINE_HIDDEN >> PAGE_SHIFT, &ram));
	assert_false(shadow_find_ram(g.m->mmu, MACHINE_TRAPPED >> PAGE_SHIFT, &ram));
	assert_false(shadow_find_ram(g.m->mmu, MACHINE_MMIO >> PAGE_SHIFT, &ram));
	assert_true(shadow_find_ram(g.m->mmu, at >> PAGE_SHIFT, &ram));
	for (u32 i = 0; i < 10; i++) {
		expect_ok(CODE, USER_WRITE, DATA + (i % 4) * PAGE_SIZE);
		value = (DATA + ((i + 1) % 4) * PAGE_SIZE) | USER;
		if (i & 1) {
			shadow_open_ram(g.m->mmu, &ram);
			*(u64 *)(void *)(ram.at + (at & ~PAGE_MASK)) = value;
			shadow_close_ram(g.m->mmu);
		} else {
			shadow_write_ram(g.m->mmu, &ram, at & ~PAGE_MASK, &value, 8);
		}
		shadow_read_ram(&ram, at & ~PAGE_MASK, &value, 4);
		assert_int_equal(value, (DATA + ((i + 1) % 4) * PAGE_SIZE) | USER);
		machine_reenter(g.m);
		reload_cr3();
	}
}

/* --- bounds --------------------------------------------------------------------------------------- */
/* adversarial: 23 */
static void cr3_anywhere_faults_only_on_access(void **state)
{
	static const u64 places[] = {
		MACHINE_MMIO, MACHINE_HIDDEN, MACHINE_POOL, MACHINE_TRAPPED,
		0x8000000000, 0xfffffff000,   BIT(45),      BITS(51, 12),
	};

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		machine_load_cr3(g.m, places[i]);
		check();
		expect_fault(CODE, READ, PF_P | PF_RSVD);
		expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U | PF_RSVD);
		invlpg(CODE);
		machine_load_cr3(g.m, g.root);
		expect_ok(WINDOW + DATA, WRITE, DATA);
	}
}

/* adversarial: 24 */
static void tables_that_name_hidden_memory(void **state)
{
	static const u64 places[] = {MACHINE_HIDDEN, MACHINE_HIDDEN + 0x1000, MACHINE_HIDDEN + 0x2000,
				     MACHINE_POOL, MACHINE_POOL + 0x10000};
	u64 reads = shadow_stat(g.m->shadow, SHADOW_STAT_hidden_reads);
	u64 writes = shadow_stat(g.m->shadow, SHADOW_STAT_hidden_writes), value = 0x55;
	const struct gpt_access user = {.user = true}, store = {.user = true, .write = true};
	gva_t fault_gva;
	u32 error;

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		u64 gva = CODE + i * PAGE_SIZE;
		struct machine_result r;

		map(gva, 1, places[i] | USER);
		r = act(gva, USER_READ, 0);
		assert_true(r.value == ~0ull);
		r = act(gva, USER_WRITE, 0x55);
		assert_int_equal(r.outcome, MACHINE_EMULATED);
		assert_int_equal(r.kind, REGION_HIDDEN);
		assert_int_equal(r.gpa, places[i]);
		assert_int_equal(shadow_write_guest(g.m->mmu, gva, &value, 8, user, &fault_gva, &error), 0);
		assert_int_equal(shadow_find_hidden(g.m->mmu, gva, store, &fault_gva, &error), 0);
		assert_true(act(gva, USER_READ, 0).value == ~0ull);
		assert_true(act(gva, USER_FETCH, 0).outcome == MACHINE_OK);
		assert_int_equal(shadow_read_guest(g.m->mmu, gva, &value, 8, user, &fault_gva, &error), 0);
		assert_true(value == ~0ull);
	}
	map(CODE + ARRAY_SIZE(places) * PAGE_SIZE, 1, DATA | USER);
	assert_int_equal(
		shadow_find_hidden(g.m->mmu, CODE + ARRAY_SIZE(places) * PAGE_SIZE, store, &fault_gva, &error),
		-EIO);
	map(CODE, 1, 0);
	assert_int_equal(shadow_find_hidden(g.m->mmu, CODE + 8, store, &fault_gva, &error), -EFAULT);
	assert_true(fault_gva == CODE + 8 && error == (PF_W | PF_U));
	/* Once where it was mapped, once where the emulator read or wrote; the others did not exit. */
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_hidden_reads), reads + 2 * ARRAY_SIZE(places));
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_hidden_writes), writes + ARRAY_SIZE(places));
}

/* A table pointer into hidden memory: it reads as all-ones, which has reserved bits. */
/* adversarial: 24 */
static void table_pointers_into_hidden_memory(void **state)
{
	for (u32 level = 2; level <= 4; level++) {
		u64 gva = (u64)level << 42;

		machine_dma(g.m, slot(g.root, gva, level), (MACHINE_POOL + 0x4000) | LINK);
		expect_fault(gva, USER_READ, PF_P | PF_U | PF_RSVD);
		expect_fault(gva, WRITE, PF_P | PF_W | PF_RSVD);
	}
}

/* adversarial: 24 */
static void large_leaf_over_hidden_trapped_and_ram(void **state)
{
	u64 low = 0x10000000, high = 0x10200000;
	struct machine_result r;

	map(low, 2, 0x600000 | USER | PTE_PS);
	map(high, 2, 0x800000 | USER | PTE_PS);
	expect_ok(low + 0x1000, USER_WRITE, 0x601000);
	expect_ok(low + 0x7f000, USER_WRITE, 0x67f000);
	r = act(low + 0x80000, USER_WRITE, 0);
	assert_int_equal(r.outcome, MACHINE_EMULATED);
	assert_int_equal(r.kind, REGION_HIDDEN);
	assert_true(act(low + 0x80000, USER_READ, 0).value == ~0ull);
	r = act(high + 0x100000, USER_READ, 0);
	assert_int_equal(r.outcome, MACHINE_EMULATED);
	assert_int_equal(r.kind, REGION_TRAPPED);
	assert_int_equal(r.gpa, MACHINE_TRAPPED);
	r = act(high + 0x101000, USER_READ, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.kind, REGION_MMIO);
	assert_int_equal(r.gpa, MACHINE_TRAPPED + 0x1000);
}

/* An access to a page that traps; was it known before the shadow engine was asked? */
static bool recalls(u64 gva, struct model_access kind)
{
	u64 before = g.m->recalls, counted = shadow_stat(g.m->shadow, SHADOW_STAT_emulations);
	struct machine_result r = act(gva, kind, 0);

	assert_int_equal(r.outcome, MACHINE_EMULATED);
	assert_int_equal(r.gpa, MACHINE_TRAPPED + (gva & ~PAGE_MASK));
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_emulations) - counted, 1 + g.m->recalls - before);
	return g.m->recalls > before;
}

/* Each time the walk is not the one that is known it becomes so. page_fault() in machine.c compares what was recalled. */
static void a_trapped_page_is_known_while_the_walk_to_it_is_the_same(void **state)
{
	u64 gva = WINDOW + 0x3ff000, at = slot(g.root, gva, 1), root = new_root();

	machine_dma(g.m, at, MACHINE_TRAPPED | PTE_P | PTE_W | PTE_NX);
	assert_false(recalls(gva + 0x20, READ));
	assert_true(recalls(gva + 0xb0, READ) && recalls(gva, READ) && recalls(gva + 0xff8, READ));
	assert_true(!recalls(gva, WRITE) && recalls(gva + 0x300, WRITE) && recalls(gva, READ)); /* it set D */
	expect_fault(gva, USER_READ, PF_P | PF_U);
	expect_fault(gva, FETCH, PF_P | PF_ID);
	assert_true(recalls(gva, WRITE));
	store(at, MACHINE_TRAPPED | PTE_P | PTE_NX | PTE_A | PTE_D);
	expect_fault(gva, WRITE, PF_P | PF_W);
	assert_true(!recalls(gva, READ) && recalls(gva, READ));
	expect_fault(gva, WRITE, PF_P | PF_W);
	store(at, MACHINE_TRAPPED | PTE_P | PTE_W | PTE_NX | PTE_D); /* A is clear */
	assert_true(!recalls(gva, READ) && entry(gva, 1) & PTE_A && recalls(gva, WRITE));
	for (u32 level = 2; level <= 3; level++) {
		u64 old = entry(gva, level);

		store_entry(gva, level, old & ~PTE_A);
		assert_true(!recalls(gva, READ) && entry(gva, level) == old && recalls(gva, READ));
		store_entry(gva, level, 0);
		expect_fault(gva, READ, 0);
		store_entry(gva, level, old);
		assert_true(recalls(gva, READ));
	}
	machine_load_cr3(g.m, root); /* the entry of its root is as it was there when there was no A */
	machine_dma(g.m, slot_in(root, gva, 4), entry(gva, 4));
	assert_true(recalls(gva, WRITE));
	machine_dma(g.m, slot_in(root, gva, 4), entry(gva, 4) & ~PTE_A);
	assert_true(!recalls(gva, WRITE) && recalls(gva, WRITE));
	machine_load_cr3(g.m, g.root);
	store(at, DATA | KERNEL);
	machine_flush(g.m);
	expect_ok(gva, WRITE, DATA);
	check();
}

/* The rights go by the CPU's control state, and the walk by its format. */
static void a_trapped_page_is_known_in_one_control_state(void **state)
{
	u64 gva = WINDOW + 0x3ff000, other = WINDOW + 0x3fd000;

	machine_dma(g.m, slot(g.root, gva, 1), MACHINE_TRAPPED | PTE_P | PTE_U | PTE_A | PTE_D);
	machine_dma(g.m, slot(g.root, other, 1), MACHINE_TRAPPED | KERNEL | PTE_A | PTE_D);
	set_control(CR0_WP, 0, CR4_SMAP, 0, true);
	assert_true(!recalls(gva, READ) && recalls(gva, READ) && recalls(gva, WRITE));
	set_control(0, CR0_WP, 0, 0, true);
	expect_fault(gva, WRITE, PF_P | PF_W);
	assert_true(!recalls(gva, READ) && recalls(gva, READ));
	set_control(0, 0, 0, CR4_SMAP, true);
	expect_fault(gva, READ, PF_P);
	assert_true(!recalls(gva, (struct model_access){.ac = true}) &&
		    recalls(gva, (struct model_access){.ac = true}));
	expect_fault(gva, READ, PF_P);
	assert_true(!recalls(other, READ) && recalls(other, WRITE)); /* one page is known */
	assert_false(recalls(gva, (struct model_access){.ac = true}));
	set_control(0, 0, 0, CR4_PKE, true);
	assert_true(!recalls(other, READ) && !recalls(other, READ)); /* nothing with keys */
	set_control(0, 0, CR4_PKE, 0, true);
	assert_true(!recalls(other, READ) && recalls(other, READ));
	map(CODE, 2, 0x800000 | LINK | PTE_PS | PTE_A | PTE_D); /* nor a large leaf */
	for (u32 i = 0; i < 2; i++)
		assert_true(act(CODE + 0x100020, USER_READ, 0).gpa == MACHINE_TRAPPED + 0x20 &&
			    !recalls(other, READ));
}

/* adversarial: 24 */
static void giant_leaf_over_everything(void **state)
{
	u64 gva = 0x8000000000;

	map(gva, 3, USER | PTE_PS);
	expect_ok(gva + DATA, USER_WRITE, DATA);
	assert_int_equal(act(gva + MACHINE_POOL, USER_WRITE, 0).outcome, MACHINE_EMULATED);
	assert_true(act(gva + MACHINE_POOL + 0x5008, USER_READ, 0).value == ~0ull);
	assert_int_equal(act(gva + MACHINE_TRAPPED, USER_READ, 0).outcome, MACHINE_EMULATED);
	assert_int_equal(act(gva + MACHINE_MMIO, USER_WRITE, 0).kind, REGION_MMIO);
	/* a table seen through it is written, and the write is noticed */
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_READ, DATA);
	assert_int_equal(act(gva + slot(g.root, CODE, 1), USER_WRITE, (DATA + PAGE_SIZE) | USER).outcome,
			 MACHINE_OK);
	reload_cr3();
	expect_ok(CODE, USER_READ, DATA + PAGE_SIZE);
}

static void one_gigabyte_pages_stay_large(void **state)
{
	u64 gva = 0x8000000000, table = MACHINE_GIANT + 0x123000;
	struct tlb_entry e;

	map(gva, 3, MACHINE_GIANT | USER | PTE_PS);
	map(gva + 0x40000000, 3, (MACHINE_GIANT + 0x40000000) | USER | PTE_PS);
	expect_ok(gva + 0x12345678, USER_WRITE, MACHINE_GIANT + 0x12345678);
	assert_true(machine_shadow_lookup(g.m, gva, &e));
	assert_int_equal(e.bytes, 1 << 30);
	/* one frame of it becomes a table: no writable large leaf may cover it any more */
	memset(machine_ram(g.m, table), 0, PAGE_SIZE);
	machine_dma(g.m, table, DATA | USER);
	store_entry(CODE, 2, table | LINK);
	expect_ok(CODE, USER_WRITE, DATA);
	assert_int_equal(act(gva + 0x123000, USER_WRITE, (DATA + PAGE_SIZE) | USER).outcome, MACHINE_OK);
	reload_cr3();
	expect_ok(CODE, USER_WRITE, DATA + PAGE_SIZE);
	expect_ok(gva + 0x30000000, USER_WRITE, MACHINE_GIANT + 0x30000000);
	expect_ok(gva + 0x40000000, USER_WRITE, MACHINE_GIANT + 0x40000000);
	assert_true(machine_shadow_lookup(g.m, gva + 0x40000000, &e));
	assert_int_equal(e.bytes, 1 << 30);
	machine_audit(g.m);
	check();
}

/* The guest is told of 1 GiB pages; the processor that walks the shadow has none. */
static void one_gigabyte_pages_where_the_processor_has_none(void **state)
{
	u64 gva = 0x8000000000;
	struct shadow_paging p = g.m->paging;
	struct tlb_entry e;

	p.pages_1g = true;
	machine_set_paging(g.m, &p, true);
	map(gva, 3, MACHINE_GIANT | USER | PTE_PS);
	expect_ok(gva + 0x12345678, USER_READ, MACHINE_GIANT + 0x12345678);
	expect_ok(gva + 0x12345678, USER_WRITE, MACHINE_GIANT + 0x12345678);
	assert_true(machine_shadow_lookup(g.m, gva + 0x12345678, &e));
	assert_int_equal(e.bytes, 0x200000);
	machine_audit(g.m);
	check();
}

static void large_pages_stay_large_where_nothing_forbids_it(void **state)
{
	struct tlb_entry e;

	map(CODE, 2, MACHINE_HIGH | USER | PTE_PS);
	expect_ok(CODE + 0x1000, USER_READ, MACHINE_HIGH + 0x1000);
	assert_true(machine_shadow_lookup(g.m, CODE, &e));
	assert_int_equal(e.bytes, 0x200000);
	assert_false(e.w);
	expect_ok(CODE + 0x1000, USER_WRITE, MACHINE_HIGH + 0x1000);
	assert_true(machine_shadow_lookup(g.m, CODE, &e));
	assert_int_equal(e.bytes, 0x200000);
	assert_true(e.w);
}

static void large_page_is_splintered_when_a_frame_of_it_becomes_a_table(void **state)
{
	u64 view = CODE + 0x200000, table = MACHINE_HIGH + 0x5000;

	map(view, 2, MACHINE_HIGH | USER | PTE_PS);
	expect_ok(view + 0x5000, USER_WRITE, MACHINE_HIGH + 0x5000);
	for (u32 i = 0; i < 6; i++) {
		memset(machine_ram(g.m, table), 0, PAGE_SIZE);
		assert_int_equal(act(view + 0x5000, USER_WRITE, (DATA + i * PAGE_SIZE) | USER).outcome, MACHINE_OK);
		store_entry(CODE, 2, table | LINK);
		reload_cr3();
		expect_ok(CODE, USER_WRITE, DATA + i * PAGE_SIZE);
		expect_ok(view + 0x6000, USER_WRITE, MACHINE_HIGH + 0x6000);
		assert_int_equal(act(view + 0x5000, USER_WRITE, (DATA + 0x8000) | USER).outcome, MACHINE_OK);
		reload_cr3();
		expect_ok(CODE, USER_WRITE, DATA + 0x8000);
		store_entry(CODE, 2, 0);
		reload_cr3();
	}
}

/* The tables that map a large page lie in it, and nothing of it was a table before the first write. */
/* adversarial: 41 */
static void large_leaf_over_its_own_tables(void **state)
{
	u64 gva = 0x8000000000, upper = MACHINE_HIGH + 0x3000, middle = MACHINE_HIGH + 0x4000;

	memset(machine_ram(g.m, upper), 0, 2 * PAGE_SIZE);
	machine_dma(g.m, slot_in(g.root, gva, 4), upper | LINK);
	machine_dma(g.m, slot_in(upper, gva, 3), middle | LINK);
	machine_dma(g.m, slot_in(middle, gva, 2), MACHINE_HIGH | USER | PTE_PS);
	machine_dma(g.m, slot_in(middle, gva + 0x200000, 2), MACHINE_HIGH | USER | PTE_PS);
	expect_ok(gva + 0x9000, USER_WRITE, MACHINE_HIGH + 0x9000);
	expect_ok(gva + 0x200000, USER_READ, MACHINE_HIGH);
	for (u32 i = 0; i < 6; i++) {
		u64 to = MACHINE_HIGH + (i & 1 ? 0 : 0x200000);
		struct machine_result r = act(gva + 0x4008, USER_WRITE, to | USER | PTE_PS);

		assert_int_equal(r.outcome, MACHINE_OK);
		reload_cr3();
		expect_ok(gva + 0x209000, USER_READ, to + 0x9000);
	}
}

/* adversarial: 25 */
static void one_table_referenced_from_every_slot(void **state)
{
	u64 leaf = new_table(), middle = new_table(), upper = new_table();
	clock_t began;

	g.m->audit = false;
	for (u32 i = 0; i < 512; i++) {
		machine_dma(g.m, leaf + 8 * i, DATA | USER);
		machine_dma(g.m, middle + 8 * i, leaf | LINK);
		machine_dma(g.m, upper + 8 * i, middle | LINK);
	}
	for (u32 i = 0; i < 256; i++)
		machine_dma(g.m, g.root + 8 * i, upper | LINK);
	for (u64 i = 0; i < 512; i++) {
		u64 gva = ((i * 7) % 256) << 39 | i << 30 | ((i * 3) % 512) << 21 | ((i * 5) % 512) << 12;

		expect_ok(gva, USER_WRITE, DATA);
		expect_ok(i << 12, USER_WRITE, DATA);
		expect_ok(i << 21, USER_WRITE, DATA);
		expect_ok((i % 256) << 39, USER_WRITE, DATA);
	}
	machine_audit(g.m);
	check();
	/* 2^26 ways lead to the table that is written: none of the engine's steps may take them all (S14) */
	began = clock();
	store(leaf, (DATA + PAGE_SIZE) | USER);
	assert_true(clock() - began < CLOCKS_PER_SEC / 10);
	store(middle, 0);
	reload_cr3();
	expect_fault(0, USER_READ, PF_U);
	expect_ok(0x200000, USER_READ, DATA + PAGE_SIZE);
	machine_drop_all(g.m);
	machine_audit(g.m);
	check();
}

/* One frame mapped writable from everywhere: its list has a limit, and then it becomes a table. */
/* adversarial: 25 */
static void frame_with_more_mappings_than_its_list_holds(void **state)
{
	u64 gva = 0x8000000000, table = DATA + 0x10000;
	u64 tables[5];

	g.m->audit = false;
	for (u32 t = 0; t < 5; t++) {
		tables[t] = slot(g.root, gva + t * 0x200000ull, 1) & PAGE_MASK;
		for (u32 i = 0; i < 512; i++)
			machine_dma(g.m, tables[t] + 8 * i, table | USER);
	}
	for (u32 i = 0; i < 5 * 512; i++)
		expect_ok(gva + i * PAGE_SIZE, USER_WRITE, table);
	machine_audit(g.m);
	machine_dma(g.m, table, DATA | USER);
	machine_dma(g.m, slot(g.root, CODE, 2), table | LINK);
	expect_ok(CODE, USER_READ, DATA);
	machine_audit(g.m);
	for (u32 i = 0; i < 5 * 512; i += 300) {
		u64 to = DATA + (i / 300) * PAGE_SIZE;

		assert_int_equal(act(gva + i * PAGE_SIZE, USER_WRITE, to | USER).outcome, MACHINE_OK);
		reload_cr3();
		expect_ok(CODE, USER_READ, to);
	}
	machine_audit(g.m);
	check();
}

/* INVLPG makes a leaf for a frame whose list is full: the mapping that gives way is flushed, too. */
static void push_out_by_invlpg(u64 one)
{
	u64 gva = 0x8000000000, shared = DATA + 0x10000, evictions = 0;
	struct tlb_entry e;

	g.m->audit = false;
	for (u32 t = 0; t < 2; t++) {
		u64 table = slot(g.root, gva + t * 0x200000ull, 1) & PAGE_MASK;

		for (u32 i = 0; i < 512; i++)
			machine_dma(g.m, table + 8 * i, shared | USER);
	}
	map(one, 1, DATA | USER);
	map(one + 9 * PAGE_SIZE, 1, DATA | USER);
	store_entry(one, 2, entry(one, 2)); /* the window is mapped from now on */
	expect_ok(one, USER_WRITE, DATA);   /* else its tables are protected later, and that flushes */
	reload_cr3();
	for (u32 i = 0; i < 1024; i++)
		expect_ok(gva + i * PAGE_SIZE, USER_WRITE, shared);
	expect_ok(one, USER_WRITE, DATA);
	expect_ok(one + 9 * PAGE_SIZE, USER_WRITE, DATA); /* remembers the path */
	store_entry(one, 1, shared | USER | PTE_A | PTE_D);
	invlpg(one);
	for (u32 i = 0; i < 1024; i++)
		evictions += !machine_shadow_lookup(g.m, gva + i * PAGE_SIZE, &e);
	assert_int_equal(evictions, 1);
	expect_ok(one, USER_WRITE, shared); /* at this entry the TLB is compared with the shadow */
	machine_audit(g.m);
	check();
}

/* adversarial: 25 */
static void invlpg_that_pushes_a_mapping_out_of_a_full_list(void **state)
{
	push_out_by_invlpg(CODE);
}

/* In the upper half nothing but the lowest table is released, so the remembered path serves. */
static void short_invlpg_that_pushes_a_mapping_out_of_a_full_list(void **state)
{
	push_out_by_invlpg(0xffffa00000400000);
}

/* adversarial: 26, 42 */
static void more_address_spaces_than_the_pool_holds(void **state)
{
	u64 roots[20];

	for (u32 i = 0; i < 20; i++) {
		roots[i] = new_root();
		machine_dma(g.m, slot(roots[i], CODE, 1), (DATA + i * PAGE_SIZE) | USER);
		machine_dma(g.m, slot(roots[i], CODE + 0x200000, 2), MACHINE_HIGH | USER | PTE_PS);
	}
	for (u32 round = 0; round < 5; round++)
		for (u32 i = 0; i < 20; i++) {
			machine_load_cr3(g.m, roots[(i * 7 + round) % 20]);
			expect_ok(CODE, USER_WRITE, DATA + ((i * 7 + round) % 20) * PAGE_SIZE);
			expect_ok(CODE + 0x200000, USER_WRITE, MACHINE_HIGH);
			store(slot(roots[i], CODE, 1), (DATA + i * PAGE_SIZE) | USER);
		}
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_reclaims) > 0);
}

/* One address space that alone needs more than the pool has, with wide instructions. */
/* adversarial: 26 */
static void one_address_space_larger_than_the_pool(void **state)
{
	struct machine_access list[6];

	for (u64 i = 0; i < 40; i++)
		map(CODE + (i << 30), 1, (DATA + i * PAGE_SIZE) | USER);
	for (u64 round = 0; round < 40; round++) {
		for (u64 i = 0; i < 6; i++)
			list[i] = (struct machine_access){.gva = CODE + (((round * 5 + i * 7) % 40) << 30),
							  .kind = USER_WRITE,
							  .size = 8,
							  .value = i};
		assert_int_equal(machine_instruction(g.m, list, 6).outcome, MACHINE_OK);
		check();
	}
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_reclaims) > 0);
}

/* A path that was remembered and then reclaimed is not believed again, however many links come and go. */
/* adversarial: 26 */
static void paths_remembered_before_they_were_reclaimed(void **state)
{
	g.m->audit = false;
	for (u64 i = 0; i < 40; i++)
		for (u64 j = 0; j < 2; j++)
			map(i << 30 | (i % 16) << 21 | j << 15, 1, (DATA + (2 * i + j) * PAGE_SIZE) | USER);
	for (u64 round = 0; round < 60; round++)
		for (u64 n = 0; n < 40; n++) {
			u64 i = (n * 7 + n * n * round) % 40;

			for (u64 j = 0; j < 2; j++)
				expect_ok(i << 30 | (i % 16) << 21 | j << 15, USER_WRITE,
					  DATA + (2 * i + j) * PAGE_SIZE);
		}
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_reclaims) > 1000);
	machine_audit(g.m);
	check();
}

/* adversarial: 27 */
static void everything_dropped_at_once(void **state)
{
	g.m->audit = false;
	for (u64 i = 0; i < 40; i++)
		map(CODE + (i << 24), 1, (DATA + i * PAGE_SIZE) | USER);
	for (u32 round = 0; round < 5; round++) {
		for (u64 i = 0; i < 40; i++)
			expect_ok(CODE + (i << 24), USER_WRITE, DATA + i * PAGE_SIZE);
		machine_audit(g.m);
		machine_drop_all(g.m);
		machine_audit(g.m);
		check();
	}
}

static void flush_of_everything_resyncs(void **state)
{
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	store_entry(CODE, 1, (DATA + PAGE_SIZE) | USER);
	machine_flush(g.m);
	expect_ok(CODE, USER_WRITE, DATA + PAGE_SIZE);
}

/* --- memory types -------------------------------------------------------------------------------- */
static u64 with_type(u32 index, bool large)
{
	return (index & 1 ? PTE_PWT : 0) | (index & 2 ? PTE_PCD : 0) |
	       (index & 4 ? (large ? PTE_PAT_LARGE : PTE_PAT_4K) : 0);
}

/* adversarial: 32 */
static void every_memory_type_reaches_the_hardware(void **state)
{
	static const u64 pats[] = {PAT_RESET, 0x0706050401000406ull, 0x0000010407060506ull};

	for (u32 p = 0; p < ARRAY_SIZE(pats); p++) {
		struct shadow_paging paging = g.m->paging;

		paging.pat = pats[p];
		machine_set_paging(g.m, &paging, true);
		for (u32 i = 0; i < 8; i++) {
			u64 small = 0x30000000 + (i << 12), large = 0x40000000 + (i << 21),
			    split = 0x50000000 + (i << 21);
			u32 want = (pats[p] >> (8 * i)) & 7;

			if (p == 0) {
				map(small, 1, (DATA + i * PAGE_SIZE) | USER | with_type(i, false));
				map(large, 2, MACHINE_HIGH | USER | PTE_PS | with_type(i, true));
				map(split, 2, USER | PTE_PS | with_type(i, true));
			}
			assert_int_equal(act(small, USER_WRITE, 0).memtype, want);
			assert_int_equal(act(large + 0x3000, USER_WRITE, 0).memtype, want);
			assert_int_equal(act(split + 0x3000, USER_READ, 0).memtype, want);
			assert_int_equal(act(split + 0x4000, USER_READ, 0).memtype, want);
		}
	}
}

/* adversarial: 32 */
static void conflicting_types_for_one_frame_are_the_guests_affair(void **state)
{
	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, DATA | USER | PTE_PCD | PTE_PWT);
	for (u32 i = 0; i < 4; i++) {
		assert_int_equal(act(CODE, USER_WRITE, 1).memtype, MT_WB);
		assert_int_equal(act(CODE + PAGE_SIZE, USER_WRITE, 1).memtype, MT_UC);
	}
}

/* --- paging off ----------------------------------------------------------------------------------- */
static void set_paging_off(void)
{
	struct shadow_paging p = g.m->paging;

	p.cr0 &= ~CR0_PG;
	p.efer &= ~EFER_LMA;
	machine_set_paging(g.m, &p, true);
	check();
}

static void set_paging_on(void)
{
	struct shadow_paging p = machine_long_mode(g.root);

	machine_set_paging(g.m, &p, true);
	check();
}

/* adversarial: 28 */
static void paging_off_is_the_identity(void **state)
{
	struct machine_result r;

	set_paging_off();
	expect_ok(DATA + 8, WRITE, DATA + 8);
	expect_ok(MACHINE_HIGH + 0x123000, USER_WRITE, MACHINE_HIGH + 0x123000);
	expect_ok(DATA, USER_FETCH, DATA);
	expect_ok(DATA, FETCH, DATA);
	r = act(MACHINE_TRAPPED + 0x20, WRITE, 0);
	assert_int_equal(r.outcome, MACHINE_EMULATED);
	assert_int_equal(r.gpa, MACHINE_TRAPPED + 0x20);
	r = act(0xfee00020, WRITE, 0);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.kind, REGION_MMIO);
	assert_int_equal(r.gpa, 0xfee00020);
	assert_true(act(MACHINE_POOL + 0x3000, READ, 0).value == ~0ull);
	assert_int_equal(act(MACHINE_POOL + 0x3000, WRITE, 0).outcome, MACHINE_EMULATED);
	invlpg(DATA);
	reload_cr3();
	expect_ok(DATA, WRITE, DATA);
}

static void tables_written_with_paging_off_hold_when_it_is_on(void **state)
{
	map(CODE, 1, DATA | USER);
	for (u32 i = 0; i < 12; i++) {
		u64 to = DATA + (i % 5) * PAGE_SIZE;

		if (i) {
			set_paging_off();
			assert_int_equal(act(slot(g.root, CODE, 1), WRITE, to | USER).outcome, MACHINE_OK);
			set_paging_on();
		}
		expect_ok(CODE, USER_WRITE, to);
	}
}

static void smep_and_smap_mean_nothing_with_paging_off(void **state)
{
	set_control(0, 0, 0, CR4_SMEP | CR4_SMAP, true);
	set_paging_off();
	expect_ok(DATA, READ, DATA);
	expect_ok(DATA, FETCH, DATA);
	expect_ok(DATA, USER_WRITE, DATA);
}

/* --- tags and creation ------------------------------------------------------------------------------ */
static void roots_share_few_tags(void **state)
{
	struct machine_config config = {.seed = 3, .tags = 2};
	u64 roots[5];

	teardown(state);
	start(&config, 0);
	for (u32 i = 0; i < 5; i++) {
		roots[i] = new_root();
		machine_dma(g.m, slot(roots[i], CODE, 1), (DATA + i * PAGE_SIZE) | USER);
	}
	for (u32 n = 0; n < 60; n++) {
		u32 i = (n * n + n / 3) % 5;

		machine_load_cr3(g.m, roots[i]);
		expect_ok(CODE, USER_WRITE, DATA + i * PAGE_SIZE);
	}
}

static void pool_that_is_too_small_is_refused(void **state)
{
	static const u64 sizes[] = {PAGE_SIZE, 16 * PAGE_SIZE, 40 * PAGE_SIZE};

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct machine_config config = {.pool_bytes = sizes[i]};

		assert_null(machine_create(&config));
	}
}

static void least_pool_that_is_promised_works(void **state)
{
	struct machine_config config = {
		.seed = 4,
		.pool_bytes = ALIGN_UP(SHADOW_POOL_MIN + MACHINE_RAM_FRAMES * PAGE_SIZE / 500, PAGE_SIZE)};

	start(&config, 0);
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	teardown(state);
}

static void counters_have_names_and_count(void **state)
{
	u64 walks = shadow_stat(g.m->shadow, SHADOW_STAT_walks);

	for (u32 i = 0; i < SHADOW_STAT_COUNT; i++)
		assert_true(strlen(shadow_stat_name(i)) > 0);
	assert_string_equal(shadow_stat_name(SHADOW_STAT_walks), "walks");
	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_walks) > walks);
	shadow_stat_add(g.m->shadow, SHADOW_STAT_emulations, 3);
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_emulations), 3);
}

/* --- no page left, at any step ------------------------------------------------------ */
#define SPACES 8u
static u64 space_root[SPACES + 4]; /* the last ones were never loaded before the test begins */
static u32 taken[64], taken_flags[64], taken_count;

/* Takes free pages of the pool away until few are left. */
static void take_pages(u32 left)
{
	while (g.m->shadow->free_count > left) {
		taken[taken_count] = page_alloc_raw(g.m->shadow);
		assert_int_not_equal(taken[taken_count], 0);
		taken_flags[taken_count] = g.m->shadow->pages[taken[taken_count]].flags;
		taken_count++;
	}
}

static void give_pages_back(void)
{
	while (taken_count) {
		u32 page = taken[--taken_count];

		page_free_raw(g.m->shadow, page);
		g.m->shadow->pages[page].flags = (u8)taken_flags[taken_count];
	}
}

static u64 space_data(u32 i)
{
	return DATA + i * 2 * PAGE_SIZE;
}

static void make_spaces(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(space_root); i++) {
		space_root[i] = new_root();
		machine_dma(g.m, slot(space_root[i], CODE, 1), space_data(i) | USER);
		machine_dma(g.m, slot(space_root[i], CODE + (1ull << 30), 1), (space_data(i) + PAGE_SIZE) | USER);
		machine_dma(g.m, slot(space_root[i], CODE + 0x200000, 2), MACHINE_HIGH | USER | PTE_PS);
	}
}

static void use_space(u32 i)
{
	g.root = space_root[i];
	machine_load_cr3(g.m, g.root);
	expect_ok(CODE, USER_WRITE, space_data(i));
	expect_ok(CODE + (1ull << 30), USER_WRITE, space_data(i) + PAGE_SIZE);
}

/* Reclaim has something to take, wherever the guest is. */
static void fill_pool(void)
{
	u64 root = g.root;

	if (!(g.m->paging.cr0 & CR0_PG))
		return;
	for (u32 i = 0; i < SPACES; i++)
		use_space(i);
	g.root = root;
	machine_load_cr3(g.m, root);
}

/* Each step is what a guest does in between: a switch, a fault, a flush, another role. */
static void step_of_a_guest(u32 step)
{
	switch (step) {
	case 0: use_space(1); break;
	case 1: use_space(SPACES); break;
	case 2: expect_ok(CODE + 0x3ff000, USER_WRITE, MACHINE_HIGH + 0x1ff000); break;
	case 3:
		store_entry(CODE, 1, (DATA + 0x30000) | USER);
		invlpg(CODE);
		expect_ok(CODE, USER_WRITE, DATA + 0x30000);
		break;
	case 4:
		set_control(CR0_WP, 0, 0, 0, false);
		expect_ok(CODE, WRITE, DATA + 0x30000);
		break;
	case 5:
		set_control(0, CR0_WP, 0, 0, false);
		expect_ok(CODE, WRITE, DATA + 0x30000);
		break;
	case 6:
		store_entry(CODE, 1, (DATA + 0x30000) | PTE_P | PTE_U);
		invlpg(CODE);
		expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
		store_entry(CODE, 1, space_data(SPACES) | USER);
		invlpg(CODE);
		expect_ok(CODE, USER_WRITE, space_data(SPACES));
		break;
	case 7: /* a table within the large page */
		memset(machine_ram(g.m, MACHINE_HIGH + 0x4000), 0, PAGE_SIZE);
		map(CODE + 0x600000, 2, (MACHINE_HIGH + 0x4000) | LINK);
		machine_dma(g.m, MACHINE_HIGH + 0x4000, (DATA + 0x31000) | USER);
		expect_ok(CODE + 0x600000, USER_WRITE, DATA + 0x31000);
		expect_ok(CODE + 0x200000, USER_WRITE, MACHINE_HIGH);
		break;
	case 8:
		set_paging_off();
		expect_ok(DATA, WRITE, DATA);
		break;
	case 9:
		set_paging_on();
		use_space(SPACES);
		break;
	case 10: use_space(SPACES + 1); break;
	case 11: machine_flush(g.m); break;
	case 12: use_space(2); break;
	default: use_space(SPACES + 2); break;
	}
}

/*
 * Whatever step finds the pool with so many free pages, the guest goes on in the space it asked for:
 * what the hardware walks is judged by the oracle and the TLB model after each.
 */
/* adversarial: 42 */
static void every_step_of_a_switch_with_few_pages_left(void **state)
{
	u32 reclaimed = 0;

	for (u32 left = 0; left <= 14; left++) {
		u64 before;

		if (left) {
			machine_destroy(g.m);
			setup_small(state);
		}
		g.m->audit = false;
		make_spaces();
		fill_pool();
		before = shadow_stat(g.m->shadow, SHADOW_STAT_reclaims);
		for (u32 step = 0; step < 14; step++) {
			fill_pool();
			take_pages(left);
			g.m->witness = step != 7; /* DMA to tables in use */
			step_of_a_guest(step);
			check();
			give_pages_back();
			machine_audit(g.m);
			check();
		}
		reclaimed += shadow_stat(g.m->shadow, SHADOW_STAT_reclaims) > before;
	}
	assert_true(reclaimed > 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* clang-format off */
#define TEST_ON(how, name) {#name " (" #how ")", name, setup_##how, teardown, NULL}
/* clang-format on */

/* The argument, if there is one: which tests to run, with * and ?. */
/* --- several CPUs ----------------------------------------------------------------------- */
#define MODULES 0xffffa00000000000ull /* a kernel's address beside the window */

/* CPU 1 runs on a root of its own, with the same upper half; both have a page at CODE. */
static u64 second_address_space(void)
{
	struct shadow_paging paging = g.m->paging;
	u64 own = g.root, other;

	map(CODE, 1, DATA | USER);
	map(MODULES, 1, (DATA + 2 * PAGE_SIZE) | KERNEL);
	other = new_root();
	machine_dma(g.m, slot_in(other, MODULES, 4), machine_peek(g.m, slot_in(own, MODULES, 4)));
	g.root = other;
	map(CODE, 1, (DATA + PAGE_SIZE) | USER);
	g.root = own;
	machine_make_cpu(g.m, 1);
	paging.cr3 = other;
	machine_set_paging(g.m, &paging, true);
	machine_use(g.m, 0);
	g.m->audit = false; /* an audit takes everybody out */
	return other;
}

/* The page at CODE of the CPU's own root changes its frame, with a flush of one page or of all. */
static void edit_own(u32 cpu, u64 root, u32 round)
{
	u64 data = DATA + (4 * cpu + round % 4) * PAGE_SIZE;

	machine_use(g.m, cpu);
	store(slot_in(machine_peek(g.m, slot(root, CODE, 2)) & PTE_ADDR_MASK, CODE, 1), data | USER);
	if (round & 1)
		invlpg(CODE);
	else
		reload_cr3();
	expect_ok(CODE, USER_WRITE, data);
	expect_ok(MODULES, WRITE, DATA + 2 * PAGE_SIZE);
	assert_true(g.m->running);
}

/* Each CPU edits, flushes and faults in its own address space: no other is stopped, and none flushes for it. */
static void cpus_with_address_spaces_of_their_own_stop_no_other(void **state)
{
	u64 roots[2] = {g.root, second_address_space()}, kicks = 0, flushes = 0;

	for (u32 round = 0; round < 40; round++) {
		if (round == 8) {
			kicks = shadow_stat(g.m->shadow, SHADOW_STAT_kicks);
			flushes = shadow_stat(g.m->shadow, SHADOW_STAT_flushes);
		}
		edit_own(0, roots[0], round);
		edit_own(1, roots[1], round);
	}
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_kicks), kicks);
	/* A CR3 load each, and at most one more for what it found changed. */
	assert_in_range(shadow_stat(g.m->shadow, SHADOW_STAT_flushes) - flushes, 1, 2 * 32 * 2);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* Two CPUs in one address space, of which each has the right to write to the table: that has to be taken from both. */
static void cpus_that_share_a_table_are_stopped_for_it(void **state)
{
	u64 kicks, at;

	second_address_space();
	at = slot(g.root, CODE, 1);
	machine_use(g.m, 1);
	machine_load_cr3(g.m, g.root);
	expect_ok(CODE, USER_READ, DATA);
	machine_use(g.m, 0);
	store(at, (DATA + PAGE_SIZE) | USER);
	machine_use(g.m, 1);
	store(at, (DATA + 2 * PAGE_SIZE) | USER);
	assert_true(g.m->running);
	kicks = shadow_stat(g.m->shadow, SHADOW_STAT_kicks);
	machine_use(g.m, 0);
	reload_cr3();
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_kicks) > kicks);
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	machine_use(g.m, 1);
	invlpg(CODE);
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	machine_use(g.m, 0);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* A table that is none any more is its CPU's memory again, whichever that is: no fault for the next store. */
static void what_was_a_table_may_be_written_to_by_its_cpu(void **state)
{
	u64 roots[2] = {g.root, second_address_space()};

	for (u32 cpu = 0; cpu < 2; cpu++) {
		struct shadow *s = g.m->shadow;
		u64 table;

		machine_use(g.m, cpu);
		g.root = roots[cpu];
		expect_ok(CODE, USER_READ, DATA + cpu * PAGE_SIZE);
		table = slot(g.root, CODE, 1) & PAGE_MASK;
		store_entry(CODE, 1, 0);
		assert_true(s->frames[table >> PAGE_SHIFT] & FRAME_TRACKED);
		reload_cr3();
		assert_false(s->frames[table >> PAGE_SHIFT] & FRAME_TRACKED);
		assert_int_equal(act(WINDOW + table, (struct model_access){.write = true, .ac = true}, 0).exits, 0);
	}
	machine_use(g.m, 0);
	g.root = roots[0];
}

/* The other CPU writes to all of them, with the right that it has. */
static void write_from_cpu_1(u32 tables, u64 entry)
{
	machine_use(g.m, 1);
	for (u32 i = 0; i < tables; i++)
		store_entry(CODE + i * 0x200000ull, 1, entry);
	assert_true(g.m->running);
	machine_use(g.m, 0);
}

/* A piece of a flush takes that right from everyone before it reads. */
static void pieces_of_a_flush_stop_who_may_write(void **state)
{
	enum { PIECES = 24 };
	u64 kicks;

	second_address_space();
	for (u32 i = 0; i < PIECES; i++)
		map(CODE + i * 0x200000ull, 1, DATA | USER);
	for (u32 cpu = 0; cpu < 2; cpu++) {
		machine_use(g.m, !cpu);
		machine_load_cr3(g.m, g.root);
		for (u32 i = 0; i < PIECES; i++)
			expect_ok(CODE + i * 0x200000ull, USER_READ, DATA);
	}
	for (u32 i = 0; i < PIECES; i++)
		store_entry(CODE + i * 0x200000ull, 1, (DATA + PAGE_SIZE) | USER);
	write_from_cpu_1(PIECES, (DATA + 2 * PAGE_SIZE) | USER);
	kicks = shadow_stat(g.m->shadow, SHADOW_STAT_kicks);
	machine_leave(g.m);
	assert_false(shadow_set_cr3(g.m->mmu, g.m->paging.cr3));
	assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_kicks) > kicks);
	machine_reenter(g.m);
	write_from_cpu_1(PIECES, (DATA + 3 * PAGE_SIZE) | USER);
	reload_cr3();
	for (u32 i = 0; i < PIECES; i++)
		expect_ok(CODE + i * 0x200000ull, USER_READ, DATA + 3 * PAGE_SIZE);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* An upper table that INVLPG after INVLPG finds as it was is protected, from everyone; a flush of one page needs no more. */
static void a_quiet_upper_table_is_protected_from_all(void **state)
{
	u64 syncs, tables[2];

	second_address_space();
	for (u32 i = 0; i < 2; i++) {
		map(CODE + 0x40000000, 1, (DATA + i * PAGE_SIZE) | USER);
		tables[i] = slot(g.root, CODE + 0x40000000, 1) & PAGE_MASK;
		machine_dma(g.m, slot(g.root, CODE + 0x40000000, 2), i ? tables[0] | USER : 0);
	}
	machine_use(g.m, 1);
	machine_load_cr3(g.m, g.root);
	expect_ok(CODE + 0x40000000, USER_READ, DATA);
	machine_use(g.m, 0);
	machine_load_cr3(g.m, g.root);
	expect_ok(CODE + 0x40000000, USER_READ, DATA);
	store_entry(CODE + 0x40000000, 2, tables[0] | USER | PTE_A);
	machine_use(g.m, 1);
	store_entry(CODE + 0x40000000, 2, tables[0] | USER | PTE_A);
	assert_true(g.m->running);
	machine_use(g.m, 0);
	for (u32 i = 0; i < 2 * 9; i++)
		invlpg(CODE + 0x80000000);
	syncs = shadow_stat(g.m->shadow, SHADOW_STAT_syncs);
	invlpg(CODE + 0x80000000);
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_syncs), syncs);
	machine_use(g.m, 1);
	store_entry(CODE + 0x40000000, 2, tables[1] | USER);
	machine_use(g.m, 0);
	invlpg(CODE + 0x40000000);
	expect_ok(CODE + 0x40000000, USER_READ, DATA + PAGE_SIZE);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* A table that another CPU wrote to, of the half that is everybody's: found as it is by each flush, and in the end protected. */
static void the_table_of_a_cpu_that_does_not_flush_is_taken_over(void **state)
{
	u64 at, syncs = 0;

	second_address_space();
	at = slot(g.root, MODULES, 1);
	expect_ok(MODULES, READ, DATA + 2 * PAGE_SIZE);
	machine_use(g.m, 1);
	expect_ok(MODULES, READ, DATA + 2 * PAGE_SIZE);
	for (u32 round = 0; round < 16; round++) {
		if (round < 6) {
			machine_use(g.m, 1);
			store(at, (DATA + round * PAGE_SIZE) | KERNEL);
			assert_true(g.m->running);
		}
		machine_use(g.m, 0);
		syncs = shadow_stat(g.m->shadow, SHADOW_STAT_syncs);
		reload_cr3();
		expect_ok(MODULES, READ, DATA + MIN(round, 5u) * PAGE_SIZE);
		if (round < 9)
			assert_true(shadow_stat(g.m->shadow, SHADOW_STAT_syncs) > syncs);
	}
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_syncs), syncs);
	machine_use(g.m, 1);
	store(at, DATA | KERNEL);
	invlpg(MODULES);
	expect_ok(MODULES, READ, DATA);
	machine_use(g.m, 0);
	invlpg(MODULES);
	expect_ok(MODULES, READ, DATA);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* A page of the pool gets another use: writable large leaves over tables, of all keys and rights, each have a direct page. */
#define LARGE_LEAVES 64u
#define LARGE_BASE 0x40000000ull

static void use_a_page(u32 i)
{
	assert_true(i < LARGE_LEAVES);
	expect_ok(LARGE_BASE + i * 0x200000ull + (i & 7) * PAGE_SIZE, READ, (i & 7) * PAGE_SIZE);
}

static void map_large_leaves(void)
{
	for (u32 i = 0; i < LARGE_LEAVES; i++)
		map(LARGE_BASE + i * 0x200000ull, 2,
		    KERNEL | PTE_A | PTE_D | PTE_PS | (i & 1 ? PTE_U : 0) | (i & 2 ? PTE_NX : 0) |
			    (u64)(i >> 2) << PTE_KEY_SHIFT);
}

/*
 * A page is dropped, and used again, while the other CPU is inside and has an entry that leads to it in its TLB (S19).
 * Of several that are dropped it is the one whose turn comes first, before anything has to be reclaimed.
 */
static void a_page_that_a_cpu_inside_may_walk_is_not_used_again(void **state)
{
	enum { DROPPED = 12 };
	struct shadow_paging paging;
	u32 pages[DROPPED], at, which = DROPPED;

	for (u32 i = 0; i < DROPPED; i++)
		map(CODE + i * 0x200000, 1, DATA | USER);
	map_large_leaves();
	paging = g.m->paging;
	g.m->audit = false;
	machine_make_cpu(g.m, 1);
	machine_set_paging(g.m, &paging, true);
	for (u32 i = 0; i < DROPPED; i++)
		expect_ok(CODE + i * 0x200000, USER_READ, DATA);
	machine_use(g.m, 0);
	use_a_page(0); /* and the tables on its path */
	for (u32 i = 0; i < DROPPED; i++) {
		expect_ok(CODE + i * 0x200000, USER_READ, DATA);
		store_entry(CODE + i * 0x200000, 1, 0);
		pages[i] = page_first_of_gfn(g.m->shadow, slot(g.root, CODE + i * 0x200000, 1) >> PAGE_SHIFT);
	}
	reload_cr3(); /* the tables are empty: their pages go */
	machine_use(g.m, 1);
	assert_true(g.m->running);
	machine_use(g.m, 0);
	for (at = g.m->shadow->free_head; which == DROPPED; at = g.m->shadow->pages[at].hash_next)
		for (u32 i = 0; i < DROPPED; i++)
			which = pages[i] == at ? i : which;
	for (u32 i = 1; g.m->shadow->pages[pages[which]].state == PAGE_FREE; i++)
		use_a_page(i);
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_reclaims), 0);
	machine_use(g.m, 1);
	for (u32 i = 0; i < 64; i++)
		machine_speculate(g.m, CODE + which * 0x200000 + (1 + i % 7) * PAGE_SIZE);
	for (u32 i = 1; i < 8; i++)
		expect_fault(CODE + which * 0x200000 + i * PAGE_SIZE, READ, 0);
	machine_use(g.m, 0);
}

static u32 pages_never_used(void)
{
	u32 count = 0;

	for (u32 at = g.m->shadow->raw_head; at; at = g.m->shadow->pages[at].hash_next)
		count++;
	return count;
}

/* Of several CPUs too a page that is free goes before one that was never used, unless somebody would have to be stopped for it. */
static void pages_are_used_again(void **state)
{
	u32 before;

	for (u32 i = 0; i < 16; i++)
		map(CODE + i * 0x200000, 1, DATA | USER);
	second_address_space();
	expect_ok(CODE, USER_READ, DATA);
	before = pages_never_used();
	for (u32 i = 0; i < 15; i++) {
		store_entry(CODE + i * 0x200000, 1, 0);
		reload_cr3(); /* the table is empty: its page goes */
		expect_ok(CODE + (i + 1) * 0x200000, USER_READ, DATA);
	}
	assert_in_range(before - pages_never_used(), 0, 5);
	assert_int_equal(shadow_stat(g.m->shadow, SHADOW_STAT_kicks), 0);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* The root of a CPU that is inside and has found nothing yet is dropped, and its page used again (S12, S19). */
static void the_root_of_a_cpu_inside_is_dropped(void **state)
{
	struct shadow_paging paging;
	u64 other = new_root();

	map_large_leaves();
	paging = g.m->paging;
	paging.cr3 = other;
	machine_make_cpu(g.m, 1);
	g.m->audit = false;
	machine_set_paging(g.m, &paging, true);
	expect_fault(CODE, USER_READ, PF_U);
	machine_speculate(g.m, CODE); /* it enters the guest */
	assert_true(g.m->running);
	machine_use(g.m, 0);
	/* What the root's page becomes leads there, and as tables these frames lead to themselves. */
	for (u32 i = 0; i < 8 * 512; i++)
		machine_dma(g.m, 8 * i, USER | PTE_A | PTE_D);
	shadow_drop_all(g.m->shadow);
	for (u32 i = 0; i < LARGE_LEAVES; i++)
		use_a_page(i);
	machine_use(g.m, 1);
	for (u64 at = 0; at < 8; at++)
		expect_fault(at << 39, USER_READ, PF_U);
	machine_use(g.m, 0);
}

/* A tag goes from one root to another: on the CPUs that share its number as well (S20). */
static void a_tag_changes_hands_on_all_cpus_of_a_number(void **state)
{
	u64 roots[3] = {g.root, new_root(), new_root()};
	struct shadow_paging paging;

	for (u32 i = 0; i < 3; i++) {
		g.root = roots[i];
		map(CODE, 1, (DATA + i * PAGE_SIZE) | USER);
	}
	paging = g.m->paging;
	machine_make_cpu(g.m, 1);
	machine_set_paging(g.m, &paging, true);
	for (u32 cpu = 0; cpu < 2; cpu++) {
		machine_use(g.m, cpu);
		g.m->audit = false;
		machine_load_cr3(g.m, roots[0]);
		expect_ok(CODE, USER_READ, DATA);
		machine_load_cr3(g.m, roots[1]);
		expect_ok(CODE, USER_READ, DATA + PAGE_SIZE);
	}
	machine_use(g.m, 0);
	machine_load_cr3(g.m, roots[2]);
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	machine_use(g.m, 1);
	machine_load_cr3(g.m, roots[2]);
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	machine_use(g.m, 0);
}

/* --- what one exit may do (S14, S26) ------------------------------------------------------- */
#define SPREAD 40u
#define SPREAD_AT(i) (CODE + (i)*0x200000ull)

/* Pages in so many tables, all in the shadow; then the guest has written to each table. */
static void write_to_tables(u32 tables, u32 pages)
{
	for (u32 i = 0; i < tables; i++)
		for (u32 j = 0; j < pages; j++)
			map(SPREAD_AT(i) + j * PAGE_SIZE, 1, (DATA + j % 8 * PAGE_SIZE) | USER | PTE_A | PTE_D);
	for (u32 i = 0; i < tables; i++)
		for (u32 j = 0; j < pages; j += 8)
			expect_ok(SPREAD_AT(i) + j * PAGE_SIZE, USER_WRITE, DATA + j % 8 * PAGE_SIZE);
	for (u32 i = 0; i < tables; i++)
		for (u32 j = 0; j < pages; j++)
			store_entry(SPREAD_AT(i) + j * PAGE_SIZE, 1,
				    (DATA + (j + 1) % 8 * PAGE_SIZE) | USER | PTE_A | PTE_D);
}

static void expect_written(u32 tables, u32 pages)
{
	for (u32 i = 0; i < tables; i++)
		for (u32 j = 0; j < pages; j += 3)
			expect_ok(SPREAD_AT(i) + j * PAGE_SIZE, USER_WRITE, DATA + (j + 1) % 8 * PAGE_SIZE);
}

/* A flush changes so many entries; what it had no time for is there, and right, when it is used. */
/* adversarial: 43 */
static void a_flush_has_a_bound(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 changes;

	g.m->audit = false;
	s->sync_work = 100;
	write_to_tables(SPREAD, 64);
	changes = s->sync_changes;
	assert_true(s->unsync_count >= SPREAD);
	set_control(0, 0, 0, CR4_PGE, true);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	assert_true(s->sync_changes - changes >= 64 && s->sync_changes - changes <= 100 + 64);
	assert_true(shadow_stat(s, SHADOW_STAT_dormants) >= SPREAD - 4);
	assert_true(s->dormant && !s->unsync_count);
	/* What a CR3 is remembered by is a number, which a page of a lower level may have now: it is not believed. */
	g.m->mmu->root_cache[root_slot(s->pages[s->dormant].gfn)] = s->dormant;
	assert_int_equal(s->pages[s->dormant].role.level, 1);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	expect_written(SPREAD, 64);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* One that can be executed again is, for each so many tables; of these, those that changed much are put off as ever. */
static void a_flush_in_pieces_has_a_bound(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 changes;

	g.m->audit = false;
	s->sync_work = 200;
	write_to_tables(SPREAD, 64);
	changes = s->sync_changes;
	g.m->repeats = 0;
	reload_cr3();
	assert_in_range(g.m->repeats, 1, SPREAD);
	assert_in_range(s->sync_changes - changes, 64 * (g.m->repeats + 1), (200 + 64) * (g.m->repeats + 1));
	assert_int_equal(s->unsync_count, 0);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	expect_written(SPREAD, 64);
	/* Of tables that did not change none is put off. */
	for (u32 i = 0; i < SPREAD; i++)
		store_entry(SPREAD_AT(i), 1, slot(g.root, SPREAD_AT(i), 1));
	changes = shadow_stat(s, SHADOW_STAT_dormants);
	reload_cr3();
	assert_int_equal(shadow_stat(s, SHADOW_STAT_dormants), changes);
}

/* A table that lost a part: with no right to write to it there is no flush but for what it lost. */
/* adversarial: 43 */
static void what_a_large_table_lost_is_flushed(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 table = slot(g.root, CODE, 1) & PAGE_MASK;

	for (u32 i = 0; i < 80; i++)
		map(CODE + i * PAGE_SIZE, 1, (DATA + i % 8 * PAGE_SIZE) | USER | PTE_A);
	for (u32 i = 0; i < 80; i++)
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, DATA + i % 8 * PAGE_SIZE);
	for (u32 i = 0; i < 10; i++)
		store_entry(CODE + i * PAGE_SIZE, 1, 0);
	machine_leave(g.m);
	while (s->frames[table >> PAGE_SHIFT] & LIST_VALUE)
		page_drop_id(s, list_first(s, s->frames[table >> PAGE_SHIFT]));
	machine_reenter(g.m);
	for (u32 i = 0; i < 80; i++)
		assert_int_equal(act(CODE + i * PAGE_SIZE, USER_READ, 0).exits, 0);
	reload_cr3();
	for (u32 i = 0; i < 80; i++)
		if (i < 10)
			expect_fault(CODE + i * PAGE_SIZE, USER_READ, PF_U);
		else
			expect_ok(CODE + i * PAGE_SIZE, USER_READ, DATA + i % 8 * PAGE_SIZE);
}

/* With as much time as there is by default, a few small tables are brought up to date as ever. */
static void small_tables_stay_in_the_shadow(void **state)
{
	struct shadow *s = g.m->shadow;

	write_to_tables(SPREAD, 8);
	reload_cr3();
	assert_int_equal(shadow_stat(s, SHADOW_STAT_dormants), 0);
	for (u32 i = 0; i < SPREAD; i++)
		assert_int_equal(act(SPREAD_AT(i), USER_WRITE, 0).exits, 0);
}

/* Writes without a flush make only so many tables unsync. */
static void few_tables_are_unsync(void **state)
{
	struct shadow *s = g.m->shadow;

	s->unsync_max = s->unsync_looks = 16;
	write_to_tables(SPREAD, 8);
	assert_true(s->unsync_count <= 16 && s->dormant);
	expect_written(SPREAD, 8);
	reload_cr3();
	expect_written(SPREAD, 8);
}

/* The table of another CR3, which nothing links to, is not taken for one in step when CR3 comes back. */
/* adversarial: 43 */
static void a_dormant_root_is_read_again(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 first = g.root, other = new_root();
	u32 page;

	map(CODE, 1, DATA | USER);
	expect_ok(CODE, USER_WRITE, DATA);
	expect_ok(WINDOW + DATA, READ, DATA); /* else it would be empty, and dropped */
	machine_load_cr3(g.m, other);
	store(slot_in(first, CODE, 4), 0);
	s->sync_work = 0;
	machine_load_cr3(g.m, other);
	for (page = s->dormant; page && s->pages[page].gfn != first >> PAGE_SHIFT; page = s->pages[page].unsync_next)
		;
	assert_true(page && s->pages[page].role.level == 4);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	g.m->mmu->root_cache[root_slot(first >> PAGE_SHIFT)] = page;
	host_log_quiet = true;
	assert_int_not_equal(shadow_audit(g.m->mmu), 0);
	host_log_quiet = false;
	g.m->mmu->root_cache[root_slot(first >> PAGE_SHIFT)] = 0;
	machine_load_cr3(g.m, first);
	expect_fault(CODE, USER_READ, PF_U);
	g.root = first;
}

/* What the guest took down leaves the lists of its frames by and by, as it has other uses for them. */
static void a_dormant_table_that_is_emptied_goes(void **state)
{
	struct shadow *s = g.m->shadow;

	g.m->audit = false;
	write_to_tables(SPREAD, 64);
	s->sync_work = 0;
	reload_cr3();
	assert_true(s->dormant);
	for (u32 i = 0; i < SPREAD; i++)
		for (u32 j = 0; j < 64; j++)
			machine_dma(g.m, slot(g.root, SPREAD_AT(i) + j * PAGE_SIZE, 1), 0);
	for (u32 i = 0; i < SPREAD * 2 + 20 && s->dormant; i++) {
		store_entry(CODE + 0x40000000, 1, i % 2 ? DATA | USER : 0);
		if (i % 2)
			expect_ok(CODE + 0x40000000, USER_READ, DATA);
		reload_cr3();
	}
	for (u64 frame = DATA / PAGE_SIZE; frame < DATA / PAGE_SIZE + 8; frame++)
		assert_true(list_count(s, s->frames[frame]) <= 8);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* All of it goes in a few exits, none of which does more than one may; nothing is set aside for later. */
static void large_tables_that_are_emptied_go_with_the_flush(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 leaf_table = slot(g.root, SPREAD_AT(0), 1) & PAGE_MASK;

	g.m->audit = false;
	write_to_tables(SPREAD, 256);
	for (u32 i = 0; i < SPREAD; i++)
		for (u32 j = 0; j < 256; j++)
			store_entry(SPREAD_AT(i) + j * PAGE_SIZE, 1, 0);
	assert_true(s->frames[leaf_table >> PAGE_SHIFT] & FRAME_UNSYNC);
	g.m->repeats = 0;
	reload_cr3();
	assert_in_range(g.m->repeats, SPREAD * 256 / (AHEAD_TIMES * EMPTIED_MAX), SPREAD * 256 / EMPTIED_MAX);
	assert_false(s->dormant);
	assert_false(s->frames[leaf_table >> PAGE_SHIFT] & FRAME_TRACKED);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	for (u32 i = 0; i < SPREAD; i++)
		expect_fault(SPREAD_AT(i), USER_READ, PF_U);
	g.m->repeats = 0;
	reload_cr3();
	assert_int_equal(g.m->repeats, 0);
}

/* Dropping everything drops the root; the rest goes when its place or its frame is wanted. */
/* adversarial: 43 */
static void everything_is_dropped_at_once(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 root = g.root, other = new_root(), zaps, reuses, before = s->generation;

	write_to_tables(SPREAD, 8);
	machine_load_cr3(g.m, other);
	machine_load_cr3(g.m, root);
	machine_load_cr3(g.m, other);
	zaps = shadow_stat(s, SHADOW_STAT_zaps);
	machine_drop_all(g.m);
	assert_int_equal(shadow_stat(s, SHADOW_STAT_zaps), zaps + 1);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
	reuses = shadow_stat(s, SHADOW_STAT_reuses);
	machine_load_cr3(g.m, root);
	assert_int_equal(s->pages[g.m->mmu->root[0]].generation, before + 1);
	for (u32 i = 0; i < SPREAD; i++)
		expect_ok(SPREAD_AT(i), USER_WRITE, DATA + PAGE_SIZE);
	assert_int_equal(shadow_stat(s, SHADOW_STAT_reuses), reuses);
	expect_written(SPREAD, 8);
	machine_leave(g.m);
	shadow_set_paging(g.m->mmu, &g.m->paging, false); /* no root is loaded */
	assert_int_equal(g.m->mmu->root[0], 0);
	shadow_drop_all(s);
	expect_ok(WINDOW + DATA, READ, DATA);
	/* A write to a table that only an old page stands for: that goes. */
	machine_drop_all(g.m);
	zaps = shadow_stat(s, SHADOW_STAT_zaps);
	for (u32 i = 0; i < SPREAD; i++)
		store(slot(g.root, SPREAD_AT(i), 1), DATA | USER | PTE_A | PTE_D);
	assert_true(shadow_stat(s, SHADOW_STAT_zaps) - zaps >= SPREAD);
	reload_cr3();
	for (u32 i = 0; i < SPREAD; i++)
		expect_ok(SPREAD_AT(i), USER_WRITE, DATA);
	assert_int_equal(shadow_audit(g.m->mmu), 0);
}

/* No fault pays for a whole pass of the clock, nor for more pages than it takes. */
static void a_fault_drops_few_pages(void **state)
{
	struct shadow *s = g.m->shadow;
	u64 most = 0;

	for (u32 round = 0; round < 3; round++)
		for (u32 i = 0; i < SPREAD; i++) {
			u64 zaps = shadow_stat(s, SHADOW_STAT_zaps);

			if (!round)
				map(SPREAD_AT(i) * 512, 1, DATA | USER);
			expect_ok(SPREAD_AT(i) * 512, USER_WRITE, DATA);
			most = MAX(most, shadow_stat(s, SHADOW_STAT_zaps) - zaps);
		}
	assert_true(most && most <= 12);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(one_table_under_two_parents_has_the_rights_of_each),
		TEST(slot_changes_between_large_leaf_and_table_of_the_same_frame),
		TEST(write_with_wp_clear_then_every_other_access),
		TEST(write_with_wp_clear_dirties_the_right_large_alias),
		TEST(write_with_wp_clear_dirties_the_right_splintered_alias),
		TEST(readonly_and_clean_large_aliases),
		TEST(instruction_that_writes_to_its_own_page_with_wp_clear),
		TEST(nxe_toggled_with_bit_63_in_live_entries),
		TEST(wp_smep_smap_toggled_under_the_same_cr3),
		TEST(pge_and_pse_toggled_flush_and_change_nothing_else),
		TEST(implicit_supervisor_access_ignores_ac_under_smap),
		TEST(protection_keys_guard_user_pages),
		TEST(protection_keys_with_wp_clear),
		TEST(a_changed_key_counts_after_a_flush),
		TEST(a_key_that_forbids_leaves_the_entry_alone),
		TEST(the_engines_own_accesses_obey_keys),
		TEST(implicit_access_at_cpl_0_is_told_by_its_second_fault),
		TEST(descriptor_tables_in_user_pages_under_smap),
		TEST(address_beyond_maxphyaddr_is_a_reserved_bit),
		TEST(large_leaf_at_a_huge_address_is_not_truncated),
		TEST_ON(wide, huge_addresses_with_52_bits),
		TEST(every_reserved_bit_at_every_level_faults),
		TEST(bit_7_of_a_lowest_entry_is_a_memory_type),
		TEST(reads_set_a_and_writes_set_d),
		TEST(refused_access_marks_nothing),
		TEST(cleared_marks_are_set_again_after_a_flush),
		TEST(dirty_information_survives_protection_and_reload),
		TEST(neighbours_not_accessed_are_not_marked),
		TEST(table_edited_while_unlinked_is_fresh_when_linked_again),
		TEST(subtree_edited_while_unlinked_is_fresh_when_linked_again),
		TEST(table_shared_by_two_roots_is_fresh_under_both),
		TEST(upper_half_taken_over_by_a_new_root_is_fresh),
		TEST(entry_retargeted_by_dma_harms_nobody),
		TEST(entry_changed_by_dma_during_a_fault),
		TEST(entry_goes_from_ram_to_mmio_and_back),
		TEST_ON(far, entry_goes_from_ram_to_mmio_and_back),
		TEST(two_unsync_leaf_tables_map_each_other),
		TEST(invlpg_of_large_splintered_and_unmapped_pages),
		TEST(invlpg_takes_effect_for_one_small_page),
		TEST_ON(far, invlpg_takes_effect_for_one_small_page),
		TEST(invlpg_of_an_address_that_is_not_canonical),
		TEST(invlpg_of_another_page_forgets_upper_entries),
		TEST(copy_on_write_has_two_exits),
		TEST(a_full_table_is_not_detached),
		TEST(what_is_not_mended_is_not_detached_again),
		TEST(another_page_flushed_during_copy_on_write),
		TEST_ON(keeping, the_refused_page_taken_away_and_flushed_later),
		TEST(pages_changed_during_copy_on_write_and_flushed_later),
		TEST_ON(keeping, the_refused_page_read_ahead_before_it_is_mended),
		TEST(a_window_has_two_exits_a_round),
		TEST_ON(keeping, a_window_has_two_exits_a_round),
		TEST_ON(far, a_window_has_two_exits_a_round),
		TEST(user_ranges_are_no_windows),
		TEST(pages_changed_in_a_window_and_flushed_later),
		TEST_ON(keeping, pages_changed_in_a_window_and_flushed_later),
		TEST_ON(late, a_second_cpu_is_made_while_pages_are_detached),
		TEST_ON(late, pages_are_used_again),
		TEST_ON(late, cpus_with_address_spaces_of_their_own_stop_no_other),
		TEST_ON(late, cpus_that_share_a_table_are_stopped_for_it),
		TEST_ON(late, what_was_a_table_may_be_written_to_by_its_cpu),
		TEST_ON(late, pieces_of_a_flush_stop_who_may_write),
		TEST_ON(late, a_quiet_upper_table_is_protected_from_all),
		TEST_ON(late, the_table_of_a_cpu_that_does_not_flush_is_taken_over),
		TEST_ON(late_small, a_page_that_a_cpu_inside_may_walk_is_not_used_again),
		TEST_ON(late_small, the_root_of_a_cpu_inside_is_dropped),
		TEST_ON(one_number, a_tag_changes_hands_on_all_cpus_of_a_number),
		TEST(a_window_that_is_given_up_is_not_opened_at_once),
		TEST(a_large_page_by_dma_in_place_of_a_detached_table),
		TEST(what_ends_detaching),
		TEST(copy_on_write_of_a_new_address_space),
		TEST_ON(far, copy_on_write_has_two_exits),
		TEST(reload_takes_effect_at_every_level),
		TEST_ON(far, reload_takes_effect_at_every_level),
		TEST(absent_to_present_needs_no_flush_at_any_level),
		TEST_ON(far, absent_to_present_needs_no_flush_at_any_level),
		TEST_ON(small, absent_to_present_needs_no_flush_at_any_level),
		TEST(recursive_mapping),
		TEST_ON(far, recursive_mapping),
		TEST_ON(shifted, recursive_mapping),
		TEST(tables_mapped_writable_for_the_user),
		TEST_ON(far, tables_mapped_writable_for_the_user),
		TEST(leaf_table_promoted_to_an_upper_level_and_back),
		TEST(entry_written_in_halves_and_bytes),
		TEST(write_across_two_entries_and_two_tables),
		TEST(tables_written_by_wide_locked_and_repeated_instructions),
		TEST(interrupt_frame_pushed_onto_a_table),
		TEST(code_that_lies_in_the_table_it_writes),
		TEST(instruction_that_unmaps_its_own_page),
		TEST(hypervisor_write_that_unmaps_its_target),
		TEST(locked_write_that_unmaps_its_target),
		TEST(locked_writes_of_every_size_and_place),
		TEST(code_is_found_in_place),
		TEST(write_to_the_tables_that_map_the_write),
		TEST(user_write_to_a_readonly_page_that_is_a_table),
		TEST(hypervisor_writes_to_a_table_for_the_guest),
		TEST(hypervisor_writes_to_a_table_in_a_frame_that_it_has_found_before),
		TEST(cr3_anywhere_faults_only_on_access),
		TEST_ON(shifted, cr3_anywhere_faults_only_on_access),
		TEST(tables_that_name_hidden_memory),
		TEST(table_pointers_into_hidden_memory),
		TEST_ON(wide, table_pointers_into_hidden_memory),
		TEST(large_leaf_over_hidden_trapped_and_ram),
		TEST(a_trapped_page_is_known_while_the_walk_to_it_is_the_same),
		TEST_ON(far, a_trapped_page_is_known_while_the_walk_to_it_is_the_same),
		TEST_ON(shifted, a_trapped_page_is_known_while_the_walk_to_it_is_the_same),
		TEST(a_trapped_page_is_known_in_one_control_state),
		TEST_ON(giant, giant_leaf_over_everything),
		TEST_ON(giant, one_gigabyte_pages_stay_large),
		TEST_ON(no_1g, one_gigabyte_pages_where_the_processor_has_none),
		TEST(large_pages_stay_large_where_nothing_forbids_it),
		TEST(large_page_is_splintered_when_a_frame_of_it_becomes_a_table),
		TEST(large_leaf_over_its_own_tables),
		TEST(one_table_referenced_from_every_slot),
		TEST_ON(small, one_table_referenced_from_every_slot),
		TEST(frame_with_more_mappings_than_its_list_holds),
		TEST_ON(far, frame_with_more_mappings_than_its_list_holds),
		TEST(invlpg_that_pushes_a_mapping_out_of_a_full_list),
		TEST(short_invlpg_that_pushes_a_mapping_out_of_a_full_list),
		TEST_ON(far, invlpg_that_pushes_a_mapping_out_of_a_full_list),
		TEST_ON(small, frame_with_more_mappings_than_its_list_holds),
		TEST_ON(small, more_address_spaces_than_the_pool_holds),
		TEST_ON(small, every_step_of_a_switch_with_few_pages_left),
		TEST_ON(small, one_address_space_larger_than_the_pool),
		TEST_ON(small, paths_remembered_before_they_were_reclaimed),
		TEST(everything_dropped_at_once),
		TEST(flush_of_everything_resyncs),
		TEST(every_memory_type_reaches_the_hardware),
		TEST(conflicting_types_for_one_frame_are_the_guests_affair),
		TEST(paging_off_is_the_identity),
		TEST(tables_written_with_paging_off_hold_when_it_is_on),
		TEST(smep_and_smap_mean_nothing_with_paging_off),
		TEST(roots_share_few_tags),
		cmocka_unit_test(pool_that_is_too_small_is_refused),
		cmocka_unit_test(least_pool_that_is_promised_works),
		TEST(counters_have_names_and_count),
		TEST(a_flush_has_a_bound),
		TEST(a_flush_in_pieces_has_a_bound),
		TEST(what_a_large_table_lost_is_flushed),
		TEST(small_tables_stay_in_the_shadow),
		TEST(few_tables_are_unsync),
		TEST_ON(far, few_tables_are_unsync),
		TEST(a_dormant_root_is_read_again),
		TEST(a_dormant_table_that_is_emptied_goes),
		TEST(large_tables_that_are_emptied_go_with_the_flush),
		TEST(everything_is_dropped_at_once),
		TEST_ON(small, everything_is_dropped_at_once),
		TEST_ON(small, a_fault_drops_few_pages),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
