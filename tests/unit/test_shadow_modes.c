/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directed tests of the shadow engine with guests of every paging format, and
 * with guests that change it while shadows live: see machine.h. What is alike in
 * all formats is tested in test_shadow.c with 4 levels. After every exit the TLB
 * model is compared with the shadow and shadow_audit() must find nothing.
 *
 * A guest has one address space per format (struct space), with tables of its
 * own; each sees the first 2 MiB of its memory through a window.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>

#include "lib/bits.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "tests/unit/machine.h"

#define TABLES 0x100000ull
#define TABLES_END 0x180000ull
#define DATA 0x180000ull /* and further, up to 2 MiB */
#define CODE 0x400000ull /* an address to map things at; 4 MiB aligned */
#define LINK (PTE_P | PTE_W | PTE_U)
#define KERNEL (PTE_P | PTE_W)
#define USER (PTE_P | PTE_W | PTE_U)
#define MARKS (PTE_A | PTE_D)

#define READ ((struct model_access){0})
#define WRITE ((struct model_access){.write = true})
#define FETCH ((struct model_access){.fetch = true})
#define USER_READ ((struct model_access){.user = true})
#define USER_WRITE ((struct model_access){.user = true, .write = true})
#define USER_FETCH ((struct model_access){.user = true, .fetch = true})

struct space {
	enum model_mode mode;
	u64 root; /* CR3 */
};

static struct machine *m;
static u64 next_table;
static struct space spaces[MODEL_5L + 1];
static const struct space *now; /* the space in use */

static const enum model_mode all_modes[] = {MODEL_32, MODEL_PAE, MODEL_4L, MODEL_5L};

/* --- tables ---------------------------------------------------------------------------- */
static void check(void)
{
	if (m->broken)
		fail_msg("mode %u: %s", now ? now->mode : MODEL_OFF, m->failure);
}

static u64 new_table(void)
{
	u64 table = next_table;

	assert_true(table < TABLES_END);
	next_table += PAGE_SIZE;
	memset(machine_ram(m, table), 0, PAGE_SIZE);
	return table;
}

static bool is_long(enum model_mode mode)
{
	return mode == MODEL_4L || mode == MODEL_5L;
}
static u32 entry_bytes(enum model_mode mode)
{
	return mode == MODEL_32 ? 4 : 8;
}

/* The level of the table that CR3 names, a PDPT being level 3. */
static u32 top_of(enum model_mode mode)
{
	return mode == MODEL_5L ? 5 : mode == MODEL_4L ? 4 : mode == MODEL_PAE ? 3 : 2;
}

static u64 bytes_of(enum model_mode mode, u32 level)
{
	return 1ull << (12 + (mode == MODEL_32 ? 10 : 9) * (level - 1));
}

static u64 slot_in(enum model_mode mode, u64 table, u64 gva, u32 level)
{
	u64 size = entry_bytes(mode), count = mode == MODEL_PAE && level == 3 ? 4 : PAGE_SIZE / size;

	return table + gva / bytes_of(mode, level) % count * size;
}

/* Guest memory as a device sees it. */
static u64 peek(u64 gpa, u32 size)
{
	u64 value = 0;

	memcpy(&value, machine_ram(m, gpa), size);
	return value;
}

static void poke(u64 gpa, u64 value, u32 size)
{
	memcpy(machine_ram(m, gpa), &value, size);
}

static u64 table_address(u64 entry)
{
	return entry & PTE_ADDR_MASK;
}

/* Address of the entry of that level for gva, with tables made on the way down. */
static u64 slot_of(const struct space *s, u64 gva, u32 level)
{
	u64 table = s->root;
	u32 size = entry_bytes(s->mode);

	for (u32 l = top_of(s->mode); l > level; l--) {
		u64 at = slot_in(s->mode, table, gva, l);

		if (!(peek(at, size) & PTE_P))
			poke(at, new_table() | (s->mode == MODEL_PAE && l == 3 ? PTE_P : LINK), size);
		table = table_address(peek(at, size));
	}
	return slot_in(s->mode, table, gva, level);
}

static u64 slot(u64 gva, u32 level)
{
	return slot_of(now, gva, level);
}
static u64 entry(u64 gva, u32 level)
{
	return peek(slot(gva, level), entry_bytes(now->mode));
}

/* Maps before anything was shadowed, or where nothing was present. */
static void map_in(const struct space *s, u64 gva, u32 level, u64 e)
{
	poke(slot_of(s, gva, level), e, entry_bytes(s->mode));
}

/* Where the guest sees its first 2 MiB. */
static u64 window_of(enum model_mode mode)
{
	return mode == MODEL_5L ? 0xff22000000000000ull : mode == MODEL_4L ? 0xffff900000000000ull : 0xf0000000ull;
}

/* --- the guest's registers ------------------------------------------------------------- */
static bool mov(enum machine_register which, u64 value)
{
	bool flushed, good = machine_mov(m, which, value, &flushed);

	check();
	return good;
}

static void toggle_cr0(u64 bits)
{
	assert_true(mov(MACHINE_CR0, m->paging.cr0 ^ bits));
}
static void toggle_cr4(u64 bits)
{
	assert_true(mov(MACHINE_CR4, m->paging.cr4 ^ bits));
}
static void reload_cr3(void)
{
	assert_true(mov(MACHINE_CR3, m->paging.cr3));
}

static void invlpg(u64 gva)
{
	machine_invlpg(m, gva);
	check();
}

/* Into another space, by way of paging off where the format changes. */
static void enter_space(const struct space *s)
{
	u64 cr4 = m->paging.cr4 & ~(CR4_PAE | CR4_LA57);

	if (machine_model_state(m).mode != s->mode) {
		assert_true(mov(MACHINE_CR0, m->paging.cr0 & ~CR0_PG));
		assert_true(mov(MACHINE_EFER, (m->paging.efer & ~EFER_LME) | (is_long(s->mode) ? EFER_LME : 0)));
		assert_true(mov(MACHINE_CR4,
				cr4 | (s->mode != MODEL_32 ? CR4_PAE : 0) | (s->mode == MODEL_5L ? CR4_LA57 : 0)));
	}
	now = s;
	assert_true(mov(MACHINE_CR3, s->root));
	assert_true(mov(MACHINE_CR0, m->paging.cr0 | CR0_PG));
	assert_int_equal(machine_model_state(m).mode, s->mode);
	assert_true(m->paging.cr3 == s->root);
}

/* Likewise, with no shadow left of what was there before. */
static void enter_mode(enum model_mode mode)
{
	enter_space(&spaces[mode]);
	machine_drop_all(m);
}

/* In the present space. A directory that is new to a PAE guest must be loaded, too. */
static void map(u64 gva, u32 level, u64 e)
{
	map_in(now, gva, level, e);
	if (now->mode == MODEL_PAE && !(m->paging.pdpte[(gva >> 30) & 3] & PTE_P))
		reload_cr3();
}

static void make_space(struct space *s, enum model_mode mode)
{
	*s = (struct space){.mode = mode, .root = new_table()};
	for (u64 a = TABLES; a < 0x200000; a += PAGE_SIZE)
		map_in(s, window_of(mode) + a, 1, a | KERNEL);
}

static void start(const struct machine_config *config)
{
	struct shadow_paging p;

	m = machine_create(config);
	assert_non_null(m);
	m->audit = true;
	next_table = TABLES;
	now = NULL;
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++)
		make_space(&spaces[all_modes[i]], all_modes[i]);
	p = m->paging;
	p.cr0 |= CR0_WP;
	p.cr4 = CR4_PGE | CR4_PSE;
	p.efer = EFER_NXE;
	machine_set_paging(m, &p, true);
}

static int setup(void **state)
{
	static const struct machine_config plain = {.seed = 1};

	start(&plain);
	return 0;
}

static int setup_shifted(void **state)
{
	static const struct machine_config shifted = {.seed = 1, .shift = 0x40000000};

	start(&shifted);
	return 0;
}

static int setup_small(void **state)
{
	static const struct machine_config small = {.seed = 1, .shadow_limit = 64 * PAGE_SIZE};

	start(&small);
	return 0;
}

static int setup_narrow(void **state)
{
	static const struct machine_config narrow = {.seed = 1, .host_phys_bits = 36};

	start(&narrow);
	return 0;
}

/* The second CPU has the number of the first, and there are three tags. */
static int setup_one_number(void **state)
{
	static const struct machine_config one_number = {
		.seed = 1, .cpus = 2, .late = true, .numbers = 2, .tags = 3};

	start(&one_number);
	return 0;
}

static int teardown(void **state)
{
	machine_destroy(m);
	return 0;
}

/* --- acting and expecting ---------------------------------------------------------------- */
static struct machine_result act(u64 gva, struct model_access kind, u32 size, u64 value)
{
	struct machine_result r =
		machine_access(m, (struct machine_access){.gva = gva, .kind = kind, .size = size, .value = value});

	check();
	return r;
}

static void expect_reach(u64 gva, struct model_access kind, u32 region, u64 gpa)
{
	struct machine_result r = act(gva, kind, 8, 0x1122334455667788ull);

	if (r.outcome != MACHINE_OK || r.gpa != gpa)
		print_message("mode %u, %#llx: outcome %u error %#x gpa %#llx\n", now->mode,
			      (unsigned long long)gva, r.outcome, r.error, (unsigned long long)r.gpa);
	assert_int_equal(r.outcome, MACHINE_OK);
	assert_int_equal(r.kind, region);
	assert_true(r.gpa == gpa);
}

static void expect_ok(u64 gva, struct model_access kind, u64 gpa)
{
	expect_reach(gva, kind, REGION_RAM, gpa);
}

static void expect_fault(u64 gva, struct model_access kind, u32 error)
{
	struct machine_result r = act(gva, kind, 8, 0);

	if (r.outcome != MACHINE_FAULT || r.error != error)
		print_message("mode %u, %#llx: outcome %u error %#x, wanted a fault of %#x\n", now->mode,
			      (unsigned long long)gva, r.outcome, r.error, error);
	assert_int_equal(r.outcome, MACHINE_FAULT);
	assert_int_equal(r.error, error);
}

/* What the naive walk says, whatever that is. */
static void expect_as_naive(u64 gva, struct model_access kind)
{
	struct model_result n = machine_naive(m, gva, kind);

	if (n.fault) {
		expect_fault(gva, kind, n.error);
	} else {
		struct region_hit hit;

		region_lookup(&m->regions, n.physical >> 12, &hit);
		if (hit.kind == REGION_RAM || hit.kind == REGION_MMIO)
			expect_reach(gva, kind, hit.kind, n.physical);
		else
			assert_int_equal(act(gva, kind, 8, 0).kind, hit.kind);
	}
}

/* The guest writes to an entry through the window, with one store of its size. */
static void store(u64 gpa, u64 value)
{
	struct machine_result r = act(window_of(now->mode) + gpa, (struct model_access){.write = true, .ac = true},
				      entry_bytes(now->mode), value);

	assert_int_equal(r.outcome, MACHINE_OK);
	assert_true(peek(gpa, entry_bytes(now->mode)) == value);
}

static void store_entry(u64 gva, u32 level, u64 e)
{
	store(slot(gva, level), e);
}

/* Error bits of a fetch in this format, with EFER.NXE set and CR4.SMEP clear. */
static u32 fetch_bits(void)
{
	return now->mode == MODEL_32 ? 0 : PF_ID;
}

/* --- every format ----------------------------------------------------------------------------- */
static const u64 places_32[] = {0x1000,     CODE,       0x3ffff000, 0x40000000,
				0x7fe00000, 0x80000000, 0xc0000000, 0xe0000000};
static const u64 places_4l[] = {CODE,           0x7fc0000000,       0x8000000000,
				0x7fffffe00000, 0xffff800000000000, 0xfffffffffff00000};
static const u64 places_5l[] = {CODE,
				0x1000000000000,
				0xff800000000000,
				0xffffffffe00000,
				0xff00000000000000,
				0xfffff00000000000,
				0xfffffffffff00000};

static u32 places_of(enum model_mode mode, const u64 **places)
{
	*places = mode == MODEL_5L ? places_5l : mode == MODEL_4L ? places_4l : places_32;
	return mode == MODEL_5L ? ARRAY_SIZE(places_5l) :
	       mode == MODEL_4L ? ARRAY_SIZE(places_4l) :
				  ARRAY_SIZE(places_32);
}

static void each_format_maps_and_marks_all_over_its_addresses(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		const u64 *at;
		u32 count = places_of(all_modes[i], &at);

		enter_mode(all_modes[i]);
		for (u32 n = 0; n < count; n++)
			map(at[n], 1, (DATA + n * PAGE_SIZE) | USER);
		for (u32 n = 0; n < count; n++) {
			expect_ok(at[n], USER_READ, DATA + n * PAGE_SIZE);
			assert_int_equal(entry(at[n], 1) & MARKS, PTE_A);
			expect_ok(at[n] + 8, USER_WRITE, DATA + n * PAGE_SIZE + 8);
			assert_int_equal(entry(at[n], 1) & MARKS, MARKS);
			for (u32 level = 2; level <= MIN(top_of(now->mode), now->mode == MODEL_PAE ? 2u : 5u);
			     level++)
				assert_int_equal(entry(at[n], level) & MARKS, PTE_A);
			expect_ok(at[n], USER_FETCH, DATA + n * PAGE_SIZE);
			expect_fault(at[n] ^ 0x10000, USER_READ, PF_U);
		}
		for (u32 n = 0; n < count; n++) {
			store_entry(at[n], 1, (DATA + (n + 1) * PAGE_SIZE) | PTE_P | PTE_U);
			invlpg(at[n]);
			expect_fault(at[n], USER_WRITE, PF_P | PF_W | PF_U);
			expect_ok(at[n], USER_READ, DATA + (n + 1) * PAGE_SIZE);
		}
	}
}

/* adversarial: 15 */
static void each_level_of_each_format_takes_rights_away(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		enter_mode(all_modes[i]);
		map(CODE, 1, DATA | USER);
		for (u32 level = 1; level <= (now->mode == MODEL_PAE ? 2 : top_of(now->mode)); level++) {
			u64 full = entry(CODE, level);

			expect_ok(CODE, USER_WRITE, DATA);
			store_entry(CODE, level, full & ~PTE_W);
			reload_cr3();
			expect_fault(CODE, USER_WRITE, PF_P | PF_W | PF_U);
			expect_ok(CODE, USER_READ, DATA);
			store_entry(CODE, level, full & ~PTE_U);
			invlpg(CODE);
			expect_fault(CODE, USER_READ, PF_P | PF_U);
			expect_ok(CODE, WRITE, DATA);
			store_entry(CODE, level, 0);
			invlpg(CODE);
			expect_fault(CODE, READ, 0);
			store_entry(CODE, level, full);
		}
		expect_ok(CODE, USER_WRITE, DATA);
	}
}

/* adversarial: 17 */
static void absent_to_present_in_each_format(void **state)
{
	struct rng r;

	rng_seed(&r, 17);
	m->audit = false;
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		enter_mode(all_modes[i]);
		for (u32 n = 0; n < 4; n++)
			map(CODE + n * 0x20800000ull, 1, (DATA + n * PAGE_SIZE) | USER);
		for (u32 n = 0; n < 2500; n++) {
			u32 which = rng_below(&r, 4),
			    level = 1 + rng_below(&r, now->mode == MODEL_PAE ? 2 : top_of(now->mode));
			u64 gva = CODE + which * 0x20800000ull, saved = entry(gva, level), place = slot(gva, level);

			store(place, 0);
			if (rng_chance(&r, 50))
				invlpg(gva);
			else
				reload_cr3();
			expect_fault(gva, USER_READ, PF_U);
			store(place, saved);
			expect_ok(gva, rng_chance(&r, 50) ? USER_WRITE : USER_READ, DATA + which * PAGE_SIZE);
			if (n % 100 == 0)
				machine_audit(m);
		}
		check();
	}
}

/* Turns one bit of a live entry over and back; gpa: where gva leads before and after. */
static void change_bit(u64 gva, u32 level, u32 bit, u64 gpa)
{
	const u64 last = 0xff8; /* of a page: where no table has an entry, should the page be one */
	u64 old = entry(gva, level);

	expect_ok(gva + last, USER_WRITE, gpa + last);
	store_entry(gva, level, old ^ BIT(bit));
	if (bit & 1)
		invlpg(gva);
	else
		reload_cr3();
	expect_as_naive(gva + last, USER_READ);
	expect_as_naive(gva + last, USER_WRITE);
	expect_as_naive(gva + last, USER_FETCH);
	store_entry(gva, level, old);
	reload_cr3();
	expect_ok(gva + last, USER_WRITE, gpa + last);
}

/* A reserved bit (or any other) that appears in a live entry holds after the flush. */
/* adversarial: 9 */
static void each_bit_changed_in_a_live_entry_of_each_format(void **state)
{
	m->audit = false;
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		enter_mode(all_modes[i]);
		map(CODE, 1, (MACHINE_HIGH + 0x100000) | USER | MARKS);
		map(2 * CODE, 2, MACHINE_HIGH | USER | PTE_PS | MARKS);
		for (u32 large = 0; large < 2; large++)
			for (u32 level = 1 + large; level <= (now->mode == MODEL_PAE ? 2 : top_of(now->mode));
			     level++)
				for (u32 bit = 0; bit < 8 * entry_bytes(now->mode); bit++)
					change_bit(CODE << large, level, bit, MACHINE_HIGH + (large ? 0 : 0x100000));
		machine_audit(m);
		check();
	}
}

/* adversarial: 18 */
static void tables_of_each_format_written_through_their_own_mapping(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u64 view;

		enter_mode(all_modes[i]);
		view = CODE + 0x10000;
		map(CODE, 1, DATA | USER);
		map(view, 1, (slot(CODE, 1) & PAGE_MASK) | USER);
		for (u32 n = 1; n < 12; n++) {
			u64 at = view + (slot(CODE, 1) & ~PAGE_MASK), to = DATA + n * PAGE_SIZE;

			assert_int_equal(act(at, USER_WRITE, entry_bytes(now->mode), to | USER).outcome, MACHINE_OK);
			if (n & 1)
				reload_cr3();
			else
				invlpg(CODE);
			expect_ok(CODE, USER_WRITE, to);
		}
	}
}

/* adversarial: 3, 6, 40 */
static void wp_smep_smap_in_each_format(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		enter_mode(all_modes[i]);
		map(CODE, 1, DATA | PTE_P | PTE_U);
		map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | PTE_P);
		map(2 * CODE, 2, MACHINE_HIGH | PTE_P | PTE_U | PTE_PS);
		for (u32 bits = 0; bits < 16; bits++) {
			static const struct model_access kinds[] = {READ,      WRITE,      FETCH,
								    USER_READ, USER_WRITE, USER_FETCH};
			u64 cr4 = m->paging.cr4 & ~(CR4_SMEP | CR4_SMAP);

			assert_true(mov(MACHINE_CR0, (m->paging.cr0 & ~CR0_WP) | (bits & 1 ? CR0_WP : 0)));
			assert_true(mov(MACHINE_CR4, cr4 | (bits & 2 ? CR4_SMEP : 0) | (bits & 4 ? CR4_SMAP : 0)));
			for (u32 n = 0; n < 2 * ARRAY_SIZE(kinds); n++) {
				u32 which = (n * (bits & 8 ? 5 : 1)) % ARRAY_SIZE(kinds);

				expect_as_naive(CODE, kinds[which]);
				expect_as_naive(CODE + PAGE_SIZE, kinds[which]);
				expect_as_naive(2 * CODE + 0x205000, kinds[which]);
			}
		}
		assert_true(mov(MACHINE_CR4, m->paging.cr4 & ~(CR4_SMEP | CR4_SMAP)));
		assert_true(mov(MACHINE_CR0, m->paging.cr0 | CR0_WP));
	}
}

/* NX is a bit of the formats with 8-byte entries alone, and so is the I/D bit of the error code. */
/* adversarial: 6 */
static void nx_where_the_format_has_it(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		bool has = all_modes[i] != MODEL_32;

		enter_mode(all_modes[i]);
		map(CODE, 1, DATA | USER | (has ? PTE_NX : 0));
		map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | KERNEL);
		for (u32 round = 0; round < 3; round++) {
			if (has)
				expect_fault(CODE, USER_FETCH, PF_P | PF_U | PF_ID);
			else
				expect_ok(CODE, USER_FETCH, DATA);
			expect_fault(CODE + PAGE_SIZE, USER_FETCH, PF_P | PF_U | fetch_bits());
			expect_fault(CODE + 2 * PAGE_SIZE, FETCH, fetch_bits());
			assert_true(mov(MACHINE_EFER, m->paging.efer & ~EFER_NXE));
			if (has)
				expect_fault(CODE, USER_READ, PF_P | PF_U | PF_RSVD);
			else
				expect_ok(CODE, USER_READ, DATA);
			expect_fault(CODE + PAGE_SIZE, USER_FETCH, PF_P | PF_U);
			expect_ok(CODE + PAGE_SIZE, FETCH, DATA + PAGE_SIZE);
			toggle_cr4(CR4_SMEP);
			expect_fault(CODE + PAGE_SIZE, USER_FETCH, PF_P | PF_U | PF_ID);
			toggle_cr4(CR4_SMEP);
			assert_true(mov(MACHINE_EFER, m->paging.efer | EFER_NXE));
		}
	}
}

/* --- large pages ---------------------------------------------------------------------------------- */
/* adversarial: 15 */
static void large_pages_of_each_format_stay_large(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		struct tlb_entry e;
		u64 last;

		enter_mode(all_modes[i]);
		last = bytes_of(now->mode, 2) - PAGE_SIZE;
		map(CODE, 2, MACHINE_HIGH | USER | PTE_PS);
		expect_ok(CODE + last, USER_READ, MACHINE_HIGH + last);
		assert_int_equal(entry(CODE, 2) & MARKS, PTE_A);
		assert_true(machine_shadow_lookup(m, CODE + last, &e));
		assert_int_equal(e.bytes, 0x200000);
		assert_false(e.w);
		expect_ok(CODE + 0x1000, USER_WRITE, MACHINE_HIGH + 0x1000);
		assert_int_equal(entry(CODE, 2) & MARKS, MARKS);
		expect_ok(CODE + last, USER_WRITE, MACHINE_HIGH + last);
		assert_true(machine_shadow_lookup(m, CODE + last, &e));
		assert_int_equal(e.bytes, 0x200000);
		assert_true(e.w);
		/* one INVLPG anywhere in the guest's page is for all of it */
		store_entry(CODE, 2, 0x400000 | PTE_P | PTE_U | PTE_PS);
		invlpg(CODE + 0x3000);
		expect_fault(CODE + last, USER_WRITE, PF_P | PF_W | PF_U);
		expect_fault(CODE + 0x1000, USER_WRITE, PF_P | PF_W | PF_U);
		expect_ok(CODE + 0x1000, USER_READ, 0x401000);
		store_entry(CODE, 2, 0);
		invlpg(CODE + last);
		expect_fault(CODE, USER_READ, PF_U);
		expect_fault(CODE + last, USER_READ, PF_U);
	}
}

/* A frame of the last 2 MiB becomes a table: only the writable leaf over it must go. */
static void large_page_of_each_format_is_splintered_around_a_table(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u64 view = 2 * CODE, at, table;

		enter_mode(all_modes[i]);
		at = bytes_of(now->mode, 2) - 0x105000;
		table = MACHINE_HIGH + at;
		memset(machine_ram(m, table), 0, PAGE_SIZE);
		map(view, 2, MACHINE_HIGH | USER | PTE_PS);
		expect_ok(view + at, USER_WRITE, table);
		for (u32 n = 0; n < 6; n++) {
			u64 to = DATA + n * PAGE_SIZE;
			u32 size = entry_bytes(now->mode);

			assert_int_equal(act(view + at, USER_WRITE, size, to | USER).outcome, MACHINE_OK);
			store_entry(CODE, 2, table | LINK);
			reload_cr3();
			expect_ok(CODE, USER_WRITE, to);
			expect_ok(view + at + PAGE_SIZE, USER_WRITE, table + PAGE_SIZE);
			expect_ok(view, USER_WRITE, MACHINE_HIGH);
			assert_int_equal(act(view + at, USER_WRITE, size, (DATA + 0x8000) | USER).outcome,
					 MACHINE_OK);
			reload_cr3();
			expect_ok(CODE, USER_WRITE, DATA + 0x8000);
			store_entry(CODE, 2, 0);
			reload_cr3();
		}
	}
}

/* adversarial: 24 */
static void large_page_of_each_format_over_hidden_trapped_and_ram(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u64 low = 0x10000000, high = 0x10800000, base;
		struct machine_result r;

		enter_mode(all_modes[i]);
		base = 0x600000 & ~(bytes_of(now->mode, 2) - 1);
		map(low, 2, base | USER | PTE_PS);
		map(high, 2, 0x800000 | USER | PTE_PS);
		expect_ok(low + 0x601000 - base, USER_WRITE, 0x601000);
		expect_ok(low + 0x67f000 - base, USER_WRITE, 0x67f000);
		r = act(low + 0x680000 - base, USER_WRITE, 8, 0);
		assert_int_equal(r.outcome, MACHINE_EMULATED);
		assert_int_equal(r.kind, REGION_HIDDEN);
		assert_true(act(low + 0x680000 - base, USER_READ, 8, 0).value == ~0ull);
		r = act(high + 0x100000, USER_READ, 8, 0);
		assert_int_equal(r.outcome, MACHINE_EMULATED);
		assert_int_equal(r.kind, REGION_TRAPPED);
		assert_true(r.gpa == MACHINE_TRAPPED);
	}
}

/* CVE-2026-53359 in each format: a slot between a large leaf and a table of the same frame. */
/* adversarial: 2 */
static void slot_between_large_leaf_and_table_in_each_format(void **state)
{
	u64 frame = 0x400000;

	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u32 size = entry_bytes(all_modes[i]);

		enter_mode(all_modes[i]);
		for (u32 n = 0; n < PAGE_SIZE / size; n++)
			poke(frame + n * size, (DATA + (n % 8) * PAGE_SIZE) | USER, size);
		for (u32 n = 0; n < 12; n++) {
			store_entry(2 * CODE, 2, frame | USER | PTE_PS);
			reload_cr3();
			expect_ok(2 * CODE + 0x3000, USER_READ, frame + 0x3000);
			store_entry(2 * CODE, 2, frame | LINK);
			if (n & 1)
				invlpg(2 * CODE + 0x3000);
			else
				reload_cr3();
			expect_ok(2 * CODE + 0x3000, n % 3 ? USER_READ : USER_WRITE, DATA + 3 * PAGE_SIZE);
		}
		store_entry(2 * CODE, 2, 0);
		reload_cr3();
	}
}

/* --- 32-bit guests ---------------------------------------------------------------------------------- */
static const u32 directory_slots[] = {0, 1, 2, 255, 256, 257, 511, 512, 767, 768, 959};
static const u32 table_slots[] = {0, 1, 511, 512, 513, 1023};

static u64 address_32(u32 pde, u32 pte)
{
	return (u64)pde << 22 | (u64)pte << 12;
}

/* The directory is shadowed by four pages, a page table by two: every part maps what it says. */
static void quadrants_of_a_32_bit_guest(void **state)
{
	u32 n = 0;

	m->audit = false;
	enter_mode(MODEL_32);
	for (u32 i = 0; i < ARRAY_SIZE(directory_slots); i++)
		for (u32 j = 0; j < ARRAY_SIZE(table_slots); j++)
			map(address_32(directory_slots[i], table_slots[j]), 1, (DATA + n++ * PAGE_SIZE) | USER);
	for (u32 round = 0; round < 3; round++) {
		n = 0;
		for (u32 i = 0; i < ARRAY_SIZE(directory_slots); i++)
			for (u32 j = 0; j < ARRAY_SIZE(table_slots); j++) {
				u64 gva = address_32(directory_slots[i], table_slots[j]),
				    to = DATA + n++ * PAGE_SIZE;

				expect_ok(gva, USER_WRITE, to);
				store_entry(gva, 1, 0x300000 + (to & 0xff000) + (u64)USER);
				if (n % 3)
					invlpg(gva);
				else
					reload_cr3();
				expect_ok(gva, USER_WRITE, 0x300000 + (to & 0xff000));
				store_entry(gva, 1, to | USER);
				invlpg(gva);
			}
		machine_audit(m);
		check();
	}
}

/* adversarial: 1 */
static void a_32_bit_page_table_under_several_parents(void **state)
{
	u64 table;

	enter_mode(MODEL_32);
	for (u32 j = 0; j < ARRAY_SIZE(table_slots); j++)
		map(address_32(4, table_slots[j]), 1, (DATA + j * PAGE_SIZE) | USER | MARKS);
	table = entry(address_32(4, 0), 2) & PTE_ADDR_MASK;
	map(address_32(5, 0), 2, table | PTE_P | PTE_U);
	map(address_32(512, 0), 2, table | PTE_P | PTE_W);
	map(address_32(767, 0), 2, table | LINK);
	for (u32 j = 0; j < ARRAY_SIZE(table_slots); j++) {
		expect_ok(address_32(4, table_slots[j]), USER_WRITE, DATA + j * PAGE_SIZE);
		expect_ok(address_32(5, table_slots[j]), USER_READ, DATA + j * PAGE_SIZE);
		expect_fault(address_32(5, table_slots[j]), USER_WRITE, PF_P | PF_W | PF_U);
		expect_fault(address_32(512, table_slots[j]), USER_READ, PF_P | PF_U);
		expect_ok(address_32(512, table_slots[j]), WRITE, DATA + j * PAGE_SIZE);
		store_entry(address_32(4, table_slots[j]), 1, (DATA + 0x10000) | USER);
		reload_cr3();
		expect_ok(address_32(767, table_slots[j]), USER_WRITE, DATA + 0x10000);
		expect_ok(address_32(5, table_slots[j]), USER_READ, DATA + 0x10000);
	}
}

/* Two entries of 4 bytes with one store, halves of words, single bytes. */
/* adversarial: 20 */
static void a_32_bit_guest_writes_entries_of_other_sizes(void **state)
{
	enter_mode(MODEL_32);
	map(CODE, 1, DATA | USER);
	map(CODE + PAGE_SIZE, 1, (DATA + PAGE_SIZE) | USER);
	for (u32 i = 1; i < 10; i++) {
		u64 at = slot(CODE, 1), a = DATA + i * PAGE_SIZE, b = DATA + (i + 20) * PAGE_SIZE, want;

		assert_int_equal(act(window_of(MODEL_32) + at, WRITE, 8, (b | USER) << 32 | a | USER).outcome,
				 MACHINE_OK);
		reload_cr3();
		expect_ok(CODE, USER_WRITE, a);
		expect_ok(CODE + PAGE_SIZE, USER_WRITE, b);
		want = a | USER;
		for (u32 byte = 0; byte < 4; byte++)
			assert_int_equal(
				act(window_of(MODEL_32) + at + 4 + byte, WRITE, 1, want >> (8 * byte)).outcome,
				MACHINE_OK);
		invlpg(CODE + PAGE_SIZE);
		expect_ok(CODE + PAGE_SIZE, USER_WRITE, a);
		expect_ok(CODE, USER_WRITE, a);
	}
}

/* adversarial: 8, 32 */
static void pse_36_addresses(void **state)
{
	/* entry bits 20:13 are address bits 39:32 */
	static const struct {
		u64 e, gpa;
	} pages[] = {
		{0x80000000, 0x80000000},
		{BIT(13) | 0x400000, 0x100400000},
		{BIT(20), BIT(39)},
		{BITS(20, 13) | 0xffc00000, 0xffffc00000},
	};

	enter_mode(MODEL_32);
	for (u32 i = 0; i < ARRAY_SIZE(pages); i++) {
		u64 gva = CODE * (i + 1);

		map(gva, 2, pages[i].e | USER | PTE_PS);
		expect_reach(gva, USER_READ, REGION_MMIO, pages[i].gpa);
		expect_reach(gva + 0x3fe008, USER_WRITE, REGION_MMIO, pages[i].gpa + 0x3fe008);
		expect_reach(gva + 0x200000, USER_READ, REGION_MMIO, pages[i].gpa + 0x200000);
	}
	map(16 * CODE, 2, BIT(21) | USER | PTE_PS);
	expect_fault(16 * CODE, USER_READ, PF_P | PF_U | PF_RSVD);
	/* the PAT bit is bit 12 */
	map(17 * CODE, 2, MACHINE_HIGH | USER | PTE_PS | PTE_PAT_LARGE | PTE_PWT);
	expect_ok(17 * CODE + 0x203000, USER_WRITE, MACHINE_HIGH + 0x203000);
	assert_int_equal(act(17 * CODE + 0x203000, READ, 8, 0).memtype, (m->paging.pat >> 40) & 7);
}

/* With 36 address bits, bits 21:17 of a large entry are reserved. */
/* adversarial: 8 */
static void pse_36_addresses_beyond_the_width(void **state)
{
	enter_mode(MODEL_32);
	for (u32 bit = 13; bit <= 21; bit++) {
		u64 gva = CODE * (bit - 12);

		map(gva, 2, BIT(bit) | USER | PTE_PS);
		if (bit <= 16)
			expect_reach(gva + 0x2000, USER_WRITE, REGION_MMIO, BIT(bit + 19) + 0x2000);
		else
			expect_fault(gva + 0x2000, USER_WRITE, PF_P | PF_W | PF_U | PF_RSVD);
	}
}

/* With CR4.PSE the same entry is a large leaf, without it a pointer to a table. */
/* adversarial: 2, 6 */
static void pse_toggled_with_live_large_entries(void **state)
{
	u64 table = MACHINE_HIGH;

	enter_mode(MODEL_32);
	poke(table, DATA | USER, 4);
	poke(table + 4 * 600, (DATA + PAGE_SIZE) | USER, 4);
	map(CODE, 2, table | USER | PTE_PS);
	map(2 * CODE, 1, (DATA + 2 * PAGE_SIZE) | USER);
	for (u32 i = 0; i < 6; i++) {
		expect_ok(CODE, USER_READ, table);
		expect_ok(CODE + 600 * PAGE_SIZE, i & 1 ? USER_WRITE : USER_READ, table + 600 * PAGE_SIZE);
		toggle_cr4(CR4_PSE);
		expect_ok(CODE, USER_WRITE, DATA);
		expect_ok(CODE + 600 * PAGE_SIZE, USER_WRITE, DATA + PAGE_SIZE);
		expect_ok(2 * CODE, USER_WRITE, DATA + 2 * PAGE_SIZE);
		toggle_cr4(CR4_PSE);
		expect_ok(2 * CODE, USER_WRITE, DATA + 2 * PAGE_SIZE);
	}
	/* bits 21:13 are reserved in a leaf only */
	toggle_cr4(CR4_PSE);
	store_entry(CODE, 2, BIT(21) | USER | PTE_PS);
	reload_cr3();
	expect_fault(CODE, USER_READ, PF_U);
	toggle_cr4(CR4_PSE);
	expect_fault(CODE, USER_READ, PF_P | PF_U | PF_RSVD);
}

/* adversarial: 23 */
static void cr3_of_a_32_bit_guest_anywhere_faults_only_on_access(void **state)
{
	static const u64 places[] = {MACHINE_MMIO, MACHINE_HIDDEN, MACHINE_POOL, MACHINE_TRAPPED, 0xfffff000};

	enter_mode(MODEL_32);
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		assert_true(mov(MACHINE_CR3, places[i] | BITS(4, 3)));
		expect_fault(CODE, READ, PF_P | PF_RSVD);
		expect_fault(0xc0000000, USER_WRITE, PF_P | PF_W | PF_U | PF_RSVD);
		invlpg(CODE);
		assert_true(mov(MACHINE_CR3, now->root | BITS(4, 3)));
		expect_ok(window_of(MODEL_32) + DATA, WRITE, DATA);
	}
}

/* --- PAE guests --------------------------------------------------------------------------------------- */
struct pae {
	u64 gva, first, second;
};

/* Two directories that map gva differently; the first one is in use. */
static struct pae make_pae(void)
{
	struct pae p = {.gva = 0x40000000 + CODE};

	enter_mode(MODEL_PAE);
	map(p.gva, 1, DATA | USER);
	p.first = entry(p.gva, 3);
	p.second = new_table();
	poke(slot_in(MODEL_PAE, p.second, p.gva, 2), new_table() | LINK, 8);
	poke(slot_in(MODEL_PAE, next_table - PAGE_SIZE, p.gva, 1), (DATA + PAGE_SIZE) | USER, 8);
	p.second |= PTE_P;
	expect_ok(p.gva, USER_WRITE, DATA);
	return p;
}

/* SDM vol. 3 section 4.4.1: the PDPTEs are registers; what loads them and what does not. */
/* adversarial: 16 */
static void pdpt_edited_without_reload_has_no_effect(void **state)
{
	struct pae p = make_pae();

	for (u32 i = 0; i < 3; i++) {
		store_entry(p.gva, 3,
			    i == 0 ? p.second :
			    i == 1 ? 0 :
				     p.first | BIT(1)); /* another, absent, reserved */
		expect_ok(p.gva, USER_READ, DATA);
		invlpg(p.gva);
		expect_ok(p.gva, USER_WRITE, DATA);
		machine_flush(m);
		expect_ok(p.gva, USER_WRITE, DATA);
		toggle_cr0(CR0_WP);
		expect_ok(p.gva, USER_READ, DATA);
		toggle_cr0(CR0_WP);
		toggle_cr4(CR4_SMAP);
		expect_ok(p.gva, USER_READ, DATA);
		toggle_cr4(CR4_SMAP);
		assert_true(mov(MACHINE_EFER, m->paging.efer ^ EFER_NXE));
		expect_ok(p.gva, USER_READ, DATA);
		assert_true(mov(MACHINE_EFER, m->paging.efer ^ EFER_NXE));
		expect_ok(p.gva, USER_WRITE, DATA);
		machine_drop_all(m);
		expect_ok(p.gva, USER_WRITE, DATA);
	}
	store_entry(p.gva, 3, p.first);
	reload_cr3();
	expect_ok(p.gva, USER_WRITE, DATA);
}

/* adversarial: 16 */
static void pdpt_edited_holds_after_each_kind_of_reload(void **state)
{
	struct pae p = make_pae();

	for (u32 i = 0; i < 14; i++) {
		store_entry(p.gva, 3, i & 1 ? p.first : p.second);
		expect_ok(p.gva, USER_WRITE, DATA + (i & 1) * PAGE_SIZE);
		switch (i / 2) {
		case 0: reload_cr3(); break;
		case 1: toggle_cr4(CR4_PGE); break;
		case 2: toggle_cr4(CR4_PSE); break;
		case 3: toggle_cr4(CR4_SMEP); break;
		case 4: toggle_cr0(CR0_CD); break;
		case 5: toggle_cr0(CR0_CD | CR0_NW); break;
		default:
			toggle_cr0(CR0_PG);
			toggle_cr0(CR0_PG);
			break;
		}
		expect_ok(p.gva, USER_READ, DATA + !(i & 1) * PAGE_SIZE);
		expect_ok(p.gva, USER_WRITE, DATA + !(i & 1) * PAGE_SIZE);
	}
	store_entry(p.gva, 3, 0);
	reload_cr3();
	expect_fault(p.gva, USER_WRITE, PF_W | PF_U);
	expect_fault(p.gva, FETCH, PF_ID);
}

/* adversarial: 9 */
static void pdpte_with_reserved_bits_is_refused_and_changes_nothing(void **state)
{
	static const u32 bits[] = {1, 2, 5, 6, 7, 8, 40, 51, 52, 62, 63};
	struct pae p = make_pae();

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++) {
		store_entry(p.gva, 3, p.second | BIT(bits[i]));
		assert_false(mov(MACHINE_CR3, m->paging.cr3));
		expect_ok(p.gva, USER_WRITE, DATA);
		assert_false(mov(MACHINE_CR4, m->paging.cr4 ^ CR4_PGE));
		assert_false(mov(MACHINE_CR0, m->paging.cr0 ^ CR0_CD));
		expect_ok(p.gva, USER_READ, DATA);
		store_entry(p.gva, 3, (p.second | BIT(bits[i])) & ~PTE_P); /* absent: anything goes */
		assert_true(mov(MACHINE_CR3, m->paging.cr3));
		expect_fault(p.gva, USER_READ, PF_U);
		store_entry(p.gva, 3, p.first | BITS(4, 3) | BITS(11, 9)); /* PWT, PCD, ignored */
		reload_cr3();
		expect_ok(p.gva, USER_READ, DATA);
	}
}

/* adversarial: 16 */
static void pdptes_that_share_a_directory(void **state)
{
	struct pae p = make_pae();

	for (u64 i = 0; i < 3; i++)
		poke(m->paging.cr3 + 8 * i, p.first, 8);
	reload_cr3();
	for (u32 round = 1; round < 10; round++) {
		u64 to = DATA + round * PAGE_SIZE;

		for (u64 i = 0; i < 3; i++)
			expect_ok(CODE + (i << 30), USER_WRITE, to - PAGE_SIZE);
		store_entry(p.gva, 1, to | USER);
		if (round & 1) {
			for (u64 i = 0; i < 3; i++)
				invlpg(CODE + (i << 30));
		} else {
			reload_cr3();
		}
		for (u64 i = 0; i < 3; i++)
			expect_ok(CODE + (i << 30), USER_READ, to);
		expect_ok(window_of(MODEL_PAE) + DATA, WRITE, DATA);
	}
}

/*
 * Two PDPTs alike in their first entry alone; both second directories lead to one
 * leaf table. What was learnt of a path below one must not serve below the other.
 */
/* adversarial: 16 */
static void pdpts_that_share_their_first_directory(void **state)
{
	struct pae p = make_pae();
	u64 a = m->paging.cr3, b = new_table(), leaf;

	for (u32 n = 1; n < 64; n++)
		map(p.gva + n * PAGE_SIZE, 1, (DATA + n * PAGE_SIZE) | USER);
	map(CODE, 1, DATA | USER);
	leaf = entry(p.gva, 2);
	poke(slot_in(MODEL_PAE, table_address(p.second), p.gva, 2), leaf, 8);
	memcpy(machine_ram(m, b), machine_ram(m, a), 32);
	poke(b + 8, p.second, 8);
	for (u64 n = 0; n < 64; n += 16) {
		assert_true(mov(MACHINE_CR3, a));
		expect_ok(CODE, USER_READ, DATA);
		expect_ok(p.gva + n * PAGE_SIZE, USER_READ, DATA + n * PAGE_SIZE);
		expect_ok(p.gva + (n + 8) * PAGE_SIZE, USER_WRITE, DATA + (n + 8) * PAGE_SIZE);
		assert_true(mov(MACHINE_CR3, b));
		expect_ok(p.gva + n * PAGE_SIZE, USER_WRITE, DATA + n * PAGE_SIZE);
		expect_ok(p.gva + (n + 8) * PAGE_SIZE, USER_READ, DATA + (n + 8) * PAGE_SIZE);
		machine_drop_all(m);
	}
}

/* Several PDPTs in a page, by bits 11:5 of CR3; the page is a leaf table, too. */
/* adversarial: 16 */
static void pdpts_at_every_place_of_a_page(void **state)
{
	struct pae p = make_pae();
	u64 page = new_table(), root = m->paging.cr3;

	for (u32 i = 0; i < 128; i++)
		for (u32 j = 0; j < 4; j++)
			poke(page + 32 * i + 8 * j,
			     j == 3 ? peek(root + 24, 8) :
			     j == 1 ? (i & 1 ? p.first : p.second) :
				      0,
			     8);
	map(CODE, 2, page | LINK);
	for (u32 i = 0; i < 128; i += 9) {
		assert_true(mov(MACHINE_CR3, (page + 32 * i) | BITS(4, 3)));
		expect_ok(p.gva, USER_WRITE, i & 1 ? DATA : DATA + PAGE_SIZE);
		expect_fault(0x80000000, READ, 0);
		expect_ok(window_of(MODEL_PAE) + DATA, WRITE, DATA);
		assert_true(mov(MACHINE_CR3, root));
		expect_as_naive(CODE + (4 * i + 1) * PAGE_SIZE, READ);
	}
}

/* adversarial: 23 */
static void pdptes_anywhere_fault_only_on_access(void **state)
{
	static const u64 places[] = {MACHINE_MMIO,    MACHINE_HIDDEN, MACHINE_POOL,
				     MACHINE_TRAPPED, 0x8000000000,   0xfffffff000};
	struct pae p = make_pae();

	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		store_entry(p.gva, 3, places[i] | PTE_P);
		reload_cr3();
		expect_fault(p.gva, READ, PF_P | PF_RSVD);
		expect_fault(p.gva, USER_WRITE, PF_P | PF_W | PF_U | PF_RSVD);
		invlpg(p.gva);
		store_entry(p.gva, 3, p.first);
		reload_cr3();
		expect_ok(p.gva, USER_WRITE, DATA);
	}
	/* a PDPT outside of RAM reads as all-ones, which has reserved bits */
	assert_false(mov(MACHINE_CR3, MACHINE_MMIO));
	assert_false(mov(MACHINE_CR3, MACHINE_POOL));
	expect_ok(p.gva, USER_WRITE, DATA);
}

/* The shadow of a large leaf without rights was found under the name that absent directories had. */
static void absent_directories_have_nothing_of_a_large_leaf(void **state)
{
	u64 high = (u64)9 << 30;

	enter_mode(MODEL_4L);
	map(high, 3, PTE_P | PTE_PS | PTE_NX); /* 1 GiB, the supervisor's, read-only, no code */
	expect_ok(high + DATA, READ, DATA);
	enter_space(&spaces[MODEL_PAE]);
	expect_fault(0x40000000 + DATA, READ, 0);
	expect_fault(0x40000000 + DATA, USER_WRITE, PF_W | PF_U);
}

/* --- five levels ------------------------------------------------------------------------------------- */
/* adversarial: 1 */
static void la57_addresses(void **state)
{
	u64 fourth, gva = (u64)77 << 48 | (u64)3 << 39 | CODE;

	enter_mode(MODEL_5L);
	map(gva, 1, DATA | USER);
	expect_ok(gva, USER_WRITE, DATA);
	/* addresses that differ in bits 56:48 alone are others */
	for (u32 bit = 48; bit < 56; bit++)
		expect_fault(gva ^ BIT(bit), USER_READ, PF_U);
	fourth = entry(gva, 5);
	map(gva ^ BIT(55), 5, fourth & ~PTE_W);
	expect_ok(gva ^ BIT(55), USER_READ, DATA);
	expect_fault(gva ^ BIT(55), USER_WRITE, PF_P | PF_W | PF_U);
	for (u32 i = 0; i < 6; i++) {
		store_entry(gva, 5, i & 1 ? fourth : 0);
		if (i & 2)
			invlpg(gva);
		else
			reload_cr3();
		if (i & 1)
			expect_ok(gva, USER_WRITE, DATA);
		else
			expect_fault(gva, USER_WRITE, PF_W | PF_U);
		expect_ok(gva ^ BIT(55), USER_READ, DATA);
	}
	store_entry(gva, 5, fourth | PTE_PS);
	invlpg(gva);
	expect_fault(gva, READ, PF_P | PF_RSVD);
	invlpg(BIT(56)); /* not canonical */
	invlpg(0x0123456789abcdef);
}

/* A 4-level root is a level-4 table of a 5-level guest: both shadows of it live at once. */
/* adversarial: 10 */
static void a_4_level_root_below_a_level_5_table(void **state)
{
	const struct space *four = &spaces[MODEL_4L], *five = &spaces[MODEL_5L];
	u64 gva = (u64)5 << 48 | CODE;

	map_in(four, CODE, 1, DATA | USER);
	map_in(five, gva, 5, four->root | LINK);
	for (u32 i = 1; i < 8; i++) {
		u64 to = DATA + i * PAGE_SIZE, back = DATA + (i + 8) * PAGE_SIZE;

		enter_space(four);
		expect_ok(CODE, USER_WRITE, i == 1 ? DATA : DATA + (i + 7) * PAGE_SIZE);
		store(slot_of(four, CODE, 1), to | USER);
		enter_space(five);
		expect_ok(gva, USER_WRITE, to);
		store(slot_of(four, CODE, 1), back | USER);
		if (i & 1)
			store(slot_of(four, CODE, 4), peek(slot_of(four, CODE, 4), 8) & ~PTE_A);
	}
}

/* --- recursive mapping -------------------------------------------------------------------------------- */
/* Points an entry of the directory of CODE at that table itself; returns where the leaf tables are seen. */
static u64 map_self(void)
{
	u64 self = now->mode == MODEL_32 ? 900 : now->mode == MODEL_PAE ? 300 : 0x1f0;
	u32 level = now->mode == MODEL_PAE ? 2 : top_of(now->mode);
	u64 table = slot(CODE, level) & PAGE_MASK, gva = self * bytes_of(now->mode, level);

	poke(table + self * entry_bytes(now->mode), table | LINK, entry_bytes(now->mode));
	if (now->mode == MODEL_4L)
		gva |= 0xffff000000000000;
	if (now->mode == MODEL_5L)
		gva |= 0xfe00000000000000;
	return gva;
}

/* adversarial: 18, 41 */
static void recursive_mapping_in_each_format(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u32 size = entry_bytes(all_modes[i]);
		u64 at;

		enter_mode(all_modes[i]);
		map(CODE, 1, DATA | USER);
		at = map_self() + (CODE >> 12) * size;
		for (u32 n = 1; n < 20; n++) {
			u64 to = DATA + n * PAGE_SIZE;

			expect_ok(CODE, USER_WRITE, to - PAGE_SIZE);
			assert_int_equal(act(at, USER_WRITE, size, to | USER).outcome, MACHINE_OK);
			assert_int_equal(entry(CODE, 1) & ~MARKS, to | USER);
			if (n & 1)
				invlpg(CODE);
			else
				reload_cr3();
			expect_ok(CODE, USER_WRITE, to);
			assert_int_equal(act(at, USER_READ, size, 0).value & ~MARKS, to | USER);
		}
	}
}

/* --- mode switches -------------------------------------------------------------------------------------- */
/* One leaf table under the three formats that have entries of 8 bytes, and one of 4-byte entries. */
static void share_a_leaf_table(void)
{
	u64 table = new_table();

	poke(table, DATA | USER, 8);
	poke(table + 8 * 5, (DATA + 5 * PAGE_SIZE) | USER, 8);
	for (u32 i = 1; i < ARRAY_SIZE(all_modes); i++)
		map_in(&spaces[all_modes[i]], CODE, 2, table | LINK);
	map_in(&spaces[MODEL_32], CODE, 1, DATA | USER);
	map_in(&spaces[MODEL_32], CODE + 5 * PAGE_SIZE, 1, (DATA + 5 * PAGE_SIZE) | USER);
}

/*
 * A table that maps itself and a large page over the same tables: two ways for the guest to
 * write what both are made of. Whatever it reads there is its own memory (the hypervisor's is no RAM).
 */
/* adversarial: 18, 41 */
static void a_self_map_below_a_large_page_in_each_format(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u32 size = entry_bytes(all_modes[i]);
		u64 large = CODE + 4 * bytes_of(all_modes[i], 2), by_self, by_large;

		enter_mode(all_modes[i]);
		m->witness = true;
		map(CODE, 1, DATA | USER);
		map(large, 2, USER | PTE_PS); /* from address 0 on */
		by_self = map_self() + (CODE >> 12) * size;
		by_large = large + slot(CODE, 1);
		for (u64 a = TABLES; a < TABLES_END; a += PAGE_SIZE)
			expect_ok(large + a, USER_READ, a);
		for (u32 n = 1; n < 16; n++) {
			u64 to = DATA + n * PAGE_SIZE, at = n & 1 ? by_large : by_self;

			assert_int_equal(act(at, USER_WRITE, size, to | USER).outcome, MACHINE_OK);
			assert_int_equal(entry(CODE, 1) & ~MARKS, to | USER);
			if (n & 2)
				invlpg(CODE);
			else
				reload_cr3();
			expect_ok(CODE, USER_WRITE, to);
			assert_int_equal(act(by_large, USER_READ, size, 0).value & ~MARKS, to | USER);
			assert_int_equal(act(by_self, USER_READ, size, 0).value & ~MARKS, to | USER);
		}
		/* through itself the large page leaves the tables, and the self map is all there is */
		assert_int_equal(act(large + slot(large, 2), USER_WRITE, size, MACHINE_HIGH | USER | PTE_PS).outcome,
				 MACHINE_OK);
		invlpg(large);
		expect_ok(large + 0x5000, USER_WRITE, MACHINE_HIGH + 0x5000);
		expect_ok(by_self, USER_READ, slot(CODE, 1));
		check();
		m->witness = false;
	}
}

/* The leaf entry of CODE changes in one mode: what each mode sees from then on. */
/* adversarial: 10 */
static void every_switch_of_modes_with_live_shadows(void **state)
{
	u64 narrow = DATA, wide = DATA;
	u32 n = 0;

	share_a_leaf_table();
	for (u32 step = 1; step < ARRAY_SIZE(all_modes); step++)
		for (u32 round = 0, at = 0; round < 6; round++, at = (at + step) % ARRAY_SIZE(all_modes)) {
			u64 *mine = all_modes[at] == MODEL_32 ? &narrow : &wide;

			enter_space(&spaces[all_modes[at]]);
			expect_ok(CODE, USER_READ, *mine);
			expect_ok(CODE, USER_WRITE, *mine);
			expect_ok(CODE + 5 * PAGE_SIZE, USER_FETCH, DATA + 5 * PAGE_SIZE);
			*mine = DATA + (16 + n++ % 64) * PAGE_SIZE;
			store_entry(CODE, 1, *mine | USER);
			if (round & 1)
				invlpg(CODE);
			if (round & 1)
				expect_ok(CODE, USER_WRITE, *mine);
		}
	machine_audit(m);
	check();
}

/* Control bits that make other roles, toggled in each mode, each time with the other modes' shadows alive. */
/* adversarial: 6 */
static void control_bits_toggled_between_modes(void **state)
{
	static const u64 cr4[] = {CR4_SMEP, CR4_SMAP, CR4_PGE, CR4_PSE};

	share_a_leaf_table();
	for (u32 round = 0; round < 32; round++) {
		enter_space(&spaces[all_modes[(round * 3 + round / 4) % ARRAY_SIZE(all_modes)]]);
		expect_as_naive(CODE, USER_WRITE);
		expect_as_naive(CODE, READ);
		toggle_cr4(cr4[round % ARRAY_SIZE(cr4)]);
		if (round % 3 == 0)
			toggle_cr0(CR0_WP);
		if (round % 5 == 0)
			assert_true(mov(MACHINE_EFER, m->paging.efer ^ EFER_NXE));
		expect_as_naive(CODE, READ);
		expect_as_naive(CODE, FETCH);
		expect_as_naive(CODE + 5 * PAGE_SIZE, WRITE);
		expect_as_naive(CODE + 5 * PAGE_SIZE, USER_WRITE);
		expect_as_naive(CODE, USER_FETCH);
	}
}

/* Tables of each format written with paging off, by physical address. */
static void tables_written_with_paging_off_hold_in_each_format(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		enter_mode(all_modes[i]);
		map(CODE, 1, DATA | USER);
		for (u32 n = 1; n < 8; n++) {
			expect_ok(CODE, USER_WRITE, DATA + (n - 1) * PAGE_SIZE);
			toggle_cr0(CR0_PG);
			assert_int_equal(
				act(slot(CODE, 1), WRITE, entry_bytes(now->mode), (DATA + n * PAGE_SIZE) | USER).outcome,
				MACHINE_OK);
			expect_ok(DATA, READ, DATA);
			toggle_cr0(CR0_PG);
		}
		expect_ok(CODE, USER_WRITE, DATA + 7 * PAGE_SIZE);
	}
}

/*
 * A 32-bit walk sets A and D in 4-byte entries. The odd ones are the upper halves
 * of what the same frame says in the other formats: address bits there.
 */
/* adversarial: 19 */
static void marks_of_a_32_bit_walk_in_a_table_of_8_byte_entries(void **state)
{
	u64 table = new_table(), other = 2 * CODE;

	for (u32 mode = MODEL_PAE; mode <= MODEL_5L; mode++)
		map_in(&spaces[mode], CODE, 2, table | LINK);
	map_in(&spaces[MODEL_32], other, 2, table | LINK);
	for (u32 mode = MODEL_PAE; mode <= MODEL_5L; mode++) {
		machine_drop_all(m);
		/* as 4-byte entries: DATA for the user, and frame 0 for the user */
		poke(table, (u64)USER << 32 | DATA | USER, 8);
		enter_space(&spaces[mode]);
		expect_reach(CODE, USER_READ, REGION_MMIO, (u64)USER << 32 | DATA);
		enter_space(&spaces[MODEL_32]);
		expect_ok(other, USER_READ, DATA);
		expect_ok(other + PAGE_SIZE, USER_READ, 0);
		enter_space(&spaces[mode]);
		expect_reach(CODE, USER_READ, REGION_MMIO, (u64)(USER | PTE_A) << 32 | DATA);
	}
}

/* CR4.PAE may change with paging on, outside of long mode: one CR3 for both formats. */
/* adversarial: 16 */
static void pae_toggled_with_paging_on(void **state)
{
	u64 both = spaces[MODEL_PAE].root, gva = (u64)100 << 22;
	const struct space narrow = {.mode = MODEL_32, .root = both};

	map_in(&spaces[MODEL_PAE], CODE, 1, DATA | USER);
	poke(slot_in(MODEL_32, both, window_of(MODEL_32), 2),
	     peek(slot_of(&spaces[MODEL_32], window_of(MODEL_32), 2), 4), 4);
	map_in(&narrow, gva, 1, DATA | USER);
	enter_mode(MODEL_PAE);
	for (u32 i = 1; i < 12; i++) {
		u64 was = DATA + (i - 1) * PAGE_SIZE, to = DATA + i * PAGE_SIZE;

		expect_ok(CODE, USER_WRITE, was);
		store_entry(CODE, 1, to | USER);
		toggle_cr4(CR4_PAE);
		now = &narrow;
		expect_ok(gva, USER_WRITE, was);
		store_entry(gva, 1, to | USER);
		expect_as_naive(0x1000, READ); /* by the lower half of the first PDPTE */
		toggle_cr4(CR4_PAE);
		now = &spaces[MODEL_PAE];
	}
	/* what is a directory entry in one format is a bad PDPTE in the other */
	toggle_cr4(CR4_PAE);
	now = &narrow;
	store(slot_in(MODEL_32, both, 0, 2), DATA | LINK);
	assert_false(mov(MACHINE_CR4, m->paging.cr4 ^ CR4_PAE));
	expect_ok(gva, USER_WRITE, DATA + 11 * PAGE_SIZE);
}

/* More tables in each mode than the pool holds, with the roots in use: four of them in the PAE format. */
/* adversarial: 26, 42 */
static void pool_exhausted_in_each_format(void **state)
{
	m->audit = false;
	for (u32 i = 0; i < ARRAY_SIZE(all_modes); i++) {
		u64 step = bytes_of(all_modes[i], 2), reclaims = shadow_stat(m->shadow, SHADOW_STAT_reclaims);

		enter_mode(all_modes[i]);
		for (u64 n = 0; n < 100; n++) {
			u64 leaf = 0x300000 + n * PAGE_SIZE;

			poke(leaf, (DATA + n * PAGE_SIZE) | USER, entry_bytes(now->mode));
			map(n * step, 2, leaf | LINK);
		}
		for (u64 round = 0; round < 3; round++)
			for (u64 n = 0; n < 100; n++) {
				u64 which = (n * 37 + round) % 100;

				expect_ok(which * step, USER_WRITE, DATA + which * PAGE_SIZE);
				if (n % 25 == 0)
					machine_audit(m);
			}
		check();
		assert_true(shadow_stat(m->shadow, SHADOW_STAT_reclaims) > reclaims);
	}
}

/* Leaf tables of CODE's gigabyte, 512 entries each; entry i gets frame_of(i). */
#define RICH_TABLES 5u
static u64 rich_frame(u32 i)
{
	return (i < 1024 ? MACHINE_HIGH : 0x100000) + i * PAGE_SIZE;
}

static void rich_fill(bool writable)
{
	for (u32 i = 0; i < RICH_TABLES * 512; i++)
		poke(slot(CODE + i * PAGE_SIZE, 1),
		     rich_frame(i % (RICH_TABLES * 256)) | PTE_P | PTE_U | MARKS | (writable ? PTE_W : 0), 8);
}

/*
 * A PAE guest clears WP without a flush: the first of its four roots is known,
 * and bringing its tables up to date takes many nodes of lists; others are to be made.
 */
static bool roots_loaded_with_few_pages_left(u32 fillers)
{
	enter_mode(MODEL_PAE);
	toggle_cr0(CR0_WP);
	rich_fill(false);
	reload_cr3();
	for (u32 i = 0; i < RICH_TABLES * 512; i += 8)
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, rich_frame(i % (RICH_TABLES * 256)));
	toggle_cr0(CR0_WP);
	map(0x40000000, 1, DATA | USER);
	for (u32 i = 0; i < fillers; i++) {
		poke(0x300000 + i * PAGE_SIZE, DATA | USER, 8);
		map(0x80000000 + i * 0x200000ull, 2, (0x300000 + i * PAGE_SIZE) | LINK);
		expect_ok(0x80000000 + i * 0x200000ull, USER_READ, DATA);
	}
	for (u32 i = 0; i < RICH_TABLES * 512; i += 512) {
		expect_ok(CODE + i * PAGE_SIZE, USER_READ, rich_frame(i % (RICH_TABLES * 256)));
		store_entry(CODE + i * PAGE_SIZE, 1, 0);
	}
	rich_fill(true);
	if (shadow_stat(m->shadow, SHADOW_STAT_reclaims))
		return false;
	toggle_cr0(CR0_WP);
	expect_ok(CODE, USER_WRITE, rich_frame(0));
	expect_ok(CODE + 0x1000, USER_WRITE, rich_frame(1));
	machine_audit(m);
	check();
	return true;
}

/* adversarial: 26, 42 */
static void roots_are_made_though_lists_take_pages(void **state)
{
	u32 fillers = 0;

	m->audit = false;
	while (roots_loaded_with_few_pages_left(fillers)) {
		fillers++;
		machine_destroy(m);
		setup_small(state);
		m->audit = false;
	}
	assert_true(fillers > 4);
}

/*
 * PAE format lets its tag go at each load. The other CPU of the number still has what it found under that tag,
 * when the tag comes round again and names a root of 4 levels.
 */
static void a_tag_that_a_pae_guest_let_go_comes_round_again(void **state)
{
	static struct space second;

	make_space(&second, MODEL_4L);
	map_in(&spaces[MODEL_PAE], CODE, 1, DATA | USER);
	map_in(&spaces[MODEL_4L], CODE, 1, (DATA + PAGE_SIZE) | USER);
	map_in(&second, CODE, 1, (DATA + 2 * PAGE_SIZE) | USER);
	m->audit = false; /* an audit takes everybody out */
	machine_make_cpu(m, 1);
	machine_set_paging(m, &m->cpus[0].paging, true);
	enter_space(&spaces[MODEL_PAE]);
	expect_ok(CODE, USER_READ, DATA);
	assert_int_equal(m->tag, 1);
	enter_space(&spaces[MODEL_4L]);
	expect_ok(CODE, USER_READ, DATA + PAGE_SIZE);
	machine_use(m, 0);
	enter_space(&spaces[MODEL_PAE]);
	expect_ok(CODE, USER_READ, DATA);
	assert_int_equal(m->tag, 3);
	enter_space(&second);
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	assert_int_equal(m->tag, 1);
	machine_use(m, 1);
	now = &second;
	assert_true(mov(MACHINE_CR3, second.root));
	expect_ok(CODE, USER_READ, DATA + 2 * PAGE_SIZE);
	machine_use(m, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* clang-format off */
#define TEST_ON(how, name) {#name " (" #how ")", name, setup_##how, teardown, NULL}
/* clang-format on */

/* The argument, if there is one: which tests to run, with * and ?. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(each_format_maps_and_marks_all_over_its_addresses),
		TEST_ON(one_number, a_tag_that_a_pae_guest_let_go_comes_round_again),
		TEST_ON(shifted, each_format_maps_and_marks_all_over_its_addresses),
		TEST(each_level_of_each_format_takes_rights_away),
		TEST(absent_to_present_in_each_format),
		TEST_ON(small, absent_to_present_in_each_format),
		TEST(each_bit_changed_in_a_live_entry_of_each_format),
		TEST(tables_of_each_format_written_through_their_own_mapping),
		TEST(wp_smep_smap_in_each_format),
		TEST(nx_where_the_format_has_it),
		TEST(large_pages_of_each_format_stay_large),
		TEST(large_page_of_each_format_is_splintered_around_a_table),
		TEST_ON(shifted, large_page_of_each_format_is_splintered_around_a_table),
		TEST(large_page_of_each_format_over_hidden_trapped_and_ram),
		TEST(slot_between_large_leaf_and_table_in_each_format),
		TEST(quadrants_of_a_32_bit_guest),
		TEST_ON(small, quadrants_of_a_32_bit_guest),
		TEST(a_32_bit_page_table_under_several_parents),
		TEST(a_32_bit_guest_writes_entries_of_other_sizes),
		TEST(pse_36_addresses),
		TEST_ON(narrow, pse_36_addresses_beyond_the_width),
		TEST(pse_toggled_with_live_large_entries),
		TEST(cr3_of_a_32_bit_guest_anywhere_faults_only_on_access),
		TEST_ON(shifted, cr3_of_a_32_bit_guest_anywhere_faults_only_on_access),
		TEST(pdpt_edited_without_reload_has_no_effect),
		TEST(pdpt_edited_holds_after_each_kind_of_reload),
		TEST(pdpte_with_reserved_bits_is_refused_and_changes_nothing),
		TEST(pdptes_that_share_a_directory),
		TEST_ON(small, pdptes_that_share_a_directory),
		TEST(pdpts_that_share_their_first_directory),
		TEST(pdpts_at_every_place_of_a_page),
		TEST(pdptes_anywhere_fault_only_on_access),
		TEST(absent_directories_have_nothing_of_a_large_leaf),
		TEST_ON(shifted, pdptes_anywhere_fault_only_on_access),
		TEST(la57_addresses),
		TEST(a_4_level_root_below_a_level_5_table),
		TEST(recursive_mapping_in_each_format),
		TEST_ON(shifted, recursive_mapping_in_each_format),
		TEST(a_self_map_below_a_large_page_in_each_format),
		TEST(every_switch_of_modes_with_live_shadows),
		TEST_ON(shifted, every_switch_of_modes_with_live_shadows),
		TEST_ON(small, every_switch_of_modes_with_live_shadows),
		TEST(control_bits_toggled_between_modes),
		TEST(tables_written_with_paging_off_hold_in_each_format),
		TEST(marks_of_a_32_bit_walk_in_a_table_of_8_byte_entries),
		TEST(pae_toggled_with_paging_on),
		TEST_ON(small, pool_exhausted_in_each_format),
		TEST_ON(small, roots_are_made_though_lists_take_pages),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
