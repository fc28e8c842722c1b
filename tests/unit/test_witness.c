/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime oracle (mm/witness/): a shadow that is wrong at one address must be found
 * out there, with the kind of mistake, and a right one, or one that hardware could have
 * as well, must not. Each test plants one mistake and takes it back.
 */
#include "tests/unit/host.h"

#include <stdio.h>

#include "mm/shadow/accessors.h"
#include "mm/witness/witness.h"
#include "tests/unit/machine.h"

#define TABLE(level) (0x100000ull + (level)*PAGE_SIZE)
#define FEW \
	TABLE(6) /* a table of level 1 with all rights, below an entry that is read-only, of the supervisor, NX */
#define SPLIT TABLE(7) /* a table of level 1 over the frames of the large page */
#define DATA 0x180000ull
#define USER (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)

/* Entries of the lowest table. */
enum { WRITABLE, READONLY, CLEAN, SUPERVISOR, NOEXEC, DEVICE, UNSEEN, OTHER, SLOTS };

static struct machine *m;
static enum model_mode mode;
static struct witness_report report;

/* --- a guest in each format ---------------------------------------------------------------- */
static u64 entry_bytes(void)
{
	return mode == MODEL_32 ? 4 : 8;
}

/* What an entry of level 2 maps. */
static u64 large_bytes(void)
{
	return mode == MODEL_32 ? 1ull << 22 : 1ull << 21;
}

static void poke(u64 table, u64 index, u64 value)
{
	u64 at = table + index * entry_bytes(), word = machine_peek(m, at & ~7ull);

	if (mode != MODEL_32)
		word = value;
	else if (at & 4)
		word = (word & 0xffffffff) | value << 32;
	else
		word = (word & ~0xffffffffull) | (u32)value;
	machine_dma(m, at & ~7ull, word);
}

static u64 nx(void)
{
	return mode == MODEL_32 ? 0 : PTE_NX;
}

/* Virtual addresses: the slots, the large page, the slots below few rights. */
static gva_t slot(u32 n)
{
	return n * PAGE_SIZE;
}
static gva_t large(void)
{
	return large_bytes();
}
static gva_t few(u32 n)
{
	return 2 * large_bytes() + n * PAGE_SIZE;
}

static void make_tables(void)
{
	static const u64 leaves[SLOTS] = {
		[WRITABLE] = DATA | USER,
		[READONLY] = (DATA + 0x1000) | (USER & ~PTE_W),
		[CLEAN] = (DATA + 0x2000) | (USER & ~PTE_D),
		[SUPERVISOR] = (DATA + 0x3000) | (USER & ~PTE_U),
		[NOEXEC] = (DATA + 0x4000) | USER,
		[DEVICE] = MACHINE_MMIO | USER,
		[UNSEEN] = MACHINE_HIDDEN | USER,
		[OTHER] = (DATA + 0x5000) | USER,
	};

	for (u32 level = 3; level <= 5; level++)
		poke(TABLE(level), 0, TABLE(level - 1) | USER);
	for (u32 n = 0; n < SLOTS; n++) {
		poke(TABLE(1), n, leaves[n] | (n == NOEXEC ? nx() : 0));
		poke(FEW, n, (DATA + n * PAGE_SIZE) | USER);
	}
	poke(TABLE(2), 0, TABLE(1) | USER);
	poke(TABLE(2), 1, MACHINE_HIGH | USER | PTE_PS);
	poke(TABLE(2), 2, FEW | (USER & ~(PTE_W | PTE_U)) | nx());
	for (u32 n = 0; n < PAGE_SIZE / entry_bytes(); n++)
		poke(SPLIT, n, (MACHINE_HIGH + n * PAGE_SIZE) | USER);
}

static void set_paging(u64 cr0_clear, u64 cr4_set)
{
	static const u32 tops[] = {[MODEL_32] = 2, [MODEL_PAE] = 3, [MODEL_4L] = 4, [MODEL_5L] = 5};
	struct shadow_paging p = machine_long_mode(TABLE(tops[mode]));

	p.cr0 &= ~cr0_clear;
	p.cr4 |= cr4_set | CR4_PSE;
	if (mode == MODEL_5L)
		p.cr4 |= CR4_LA57;
	if (mode == MODEL_32 || mode == MODEL_PAE)
		p.efer &= ~(EFER_LMA | EFER_LME);
	if (mode == MODEL_32)
		p.cr4 &= ~CR4_PAE;
	p.pdpte[0] = mode == MODEL_PAE ? TABLE(2) | PTE_P : 0;
	machine_set_paging(m, &p, true);
}

/* Everything is in the shadow afterwards. */
static void fill(void)
{
	for (u32 n = 0; n < SLOTS; n++) {
		machine_read(m, slot(n));
		machine_read(m, few(n));
	}
	machine_read(m, large());
	assert_false(m->broken);
}

static void start(enum model_mode which)
{
	static const struct machine_config config = {.seed = 1};

	mode = which;
	m = machine_create(&config);
	assert_non_null(m);
	make_tables();
	set_paging(0, 0);
	fill();
	host_log_quiet = true;
}

static void stop(void)
{
	host_log_quiet = false;
	machine_destroy(m);
}

static const enum model_mode modes[] = {MODEL_32, MODEL_PAE, MODEL_4L, MODEL_5L};
#define for_each_mode(i) for (u32 i = 0; i < ARRAY_SIZE(modes); i++)

/* --- mistakes ---------------------------------------------------------------------------------- */
static enum witness_verdict look_flushed(gva_t gva, bool flushed)
{
	bool good = witness_check(m->mmu, gva, flushed, &report);

	assert_int_equal(good, report.verdict <= WITNESS_UNKNOWN);
	return report.verdict;
}

static enum witness_verdict look(gva_t gva)
{
	return look_flushed(gva, false);
}

/* The shadow's entry for an address in the hardware's format. */
static u64 *entry_at(gva_t gva, u32 level)
{
	u32 page = top_page(m->mmu, gva);

	for (u32 l = top_level(m->mmu); l > level; l--)
		page = page_of_link(m->shadow, page_table(m->shadow, page)[level_index(l, gva)]);
	return &page_table(m->shadow, page)[level_index(level, gva)];
}

/* A shadow entry reads otherwise for one look. */
static void planted(gva_t gva, u32 level, u64 set, u64 clear, enum witness_verdict want)
{
	u64 *spte = entry_at(gva, level), old = *spte;

	assert_int_equal(look(gva), WITNESS_AGREES);
	*spte = (old & ~clear) | set;
	assert_true(*spte != old);
	assert_int_equal(look(gva), want);
	*spte = old;
	assert_int_equal(look(gva), WITNESS_AGREES);
}

/* A guest's entry of a table in step reads otherwise: the shadow is what should have changed. */
static void left_behind(gva_t gva, u64 table, u64 index, u64 value, enum witness_verdict want)
{
	u64 at = (table + index * entry_bytes()) & ~7ull, old = machine_peek(m, at);
	enum witness_verdict before = look(gva);

	assert_true(before == WITNESS_AGREES || before == WITNESS_STALE);
	poke(table, index, value);
	assert_int_equal(look(gva), want);
	machine_dma(m, at, old);
	assert_int_equal(look(gva), before);
}

/* --- the tests --------------------------------------------------------------------------------- */
static void a_right_shadow_is_believed(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		for (u32 n = 0; n < SLOTS; n++) {
			assert_int_equal(look(slot(n)), WITNESS_AGREES);
			assert_int_equal(look(few(n)), WITNESS_AGREES);
		}
		assert_int_equal(look(large()), WITNESS_AGREES);
		assert_int_equal(look(large() + 0x5123), WITNESS_AGREES);
		assert_int_equal(look(slot(100)), WITNESS_ABSENT);
		assert_int_equal(look(~0ull), WITNESS_ABSENT);
		stop();
	}
}

static void too_many_rights_are_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		planted(slot(READONLY), 1, PTE_W, 0, WITNESS_RIGHTS);
		planted(slot(SUPERVISOR), 1, PTE_U, 0, WITNESS_RIGHTS);
		planted(few(OTHER), 1, PTE_W, 0, WITNESS_RIGHTS);
		planted(few(OTHER), 1, PTE_U, 0, WITNESS_RIGHTS);
		if (mode != MODEL_32) {
			planted(slot(NOEXEC), 1, 0, PTE_NX, WITNESS_RIGHTS);
			planted(few(OTHER), 1, 0, PTE_NX, WITNESS_RIGHTS);
		}
		left_behind(large(), TABLE(2), 1, MACHINE_HIGH | (USER & ~PTE_U) | PTE_PS, WITNESS_RIGHTS);
		/* fewer than the guest's only fault */
		*entry_at(slot(WRITABLE), 1) &= ~(PTE_W | PTE_U);
		assert_int_equal(look(slot(WRITABLE)), WITNESS_AGREES);
		stop();
	}
}

static void a_wrong_frame_is_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		planted(slot(WRITABLE), 1, DATA + 0x5000, PTE_ADDR_MASK, WITNESS_FRAME);
		planted(slot(DEVICE), 1, MACHINE_MMIO + 0x1000, PTE_ADDR_MASK, WITNESS_FRAME);
		planted(slot(UNSEEN), 1, DATA, PTE_ADDR_MASK, WITNESS_FRAME);
		planted(large(), 2, MACHINE_HIGH + 0x200000, PTE_ADDR_MASK, WITNESS_FRAME);
		/* the shadow of another table, of the right level */
		planted(slot(WRITABLE), 2, *entry_at(few(0), 2) & PTE_ADDR_MASK, PTE_ADDR_MASK, WITNESS_TABLE);
		left_behind(slot(OTHER), TABLE(2), 0, SPLIT | USER, WITNESS_TABLE);
		left_behind(slot(OTHER), TABLE(1), OTHER, DATA | USER, WITNESS_FRAME);
		stop();
	}
}

static void missing_protection_of_a_clean_page_is_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		planted(slot(CLEAN), 1, PTE_W, 0, WITNESS_DIRTY);
		left_behind(slot(WRITABLE), TABLE(1), WRITABLE, DATA | (USER & ~PTE_D), WITNESS_DIRTY);
		left_behind(large(), TABLE(2), 1, MACHINE_HIGH | (USER & ~PTE_D) | PTE_PS, WITNESS_DIRTY);
		stop();
	}
}

/* Large leaves, whole and in parts, where the guest has a table by now: of the very same frames. */
static void a_large_leaf_of_the_past_is_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		assert_true(*entry_at(large(), 2) & PTE_PS);
		left_behind(large(), TABLE(2), 1, SPLIT | USER, WITNESS_SIZE);
		stop();

		start(modes[i]);
		machine_drop_all(m);
		/* a table within the large page makes it small */
		poke(MACHINE_HIGH + 0x10000, 0, DATA | USER);
		poke(TABLE(2), 3, (MACHINE_HIGH + 0x10000) | USER);
		machine_read(m, 3 * large_bytes());
		machine_read(m, large());
		assert_false(*entry_at(large(), 2) & PTE_PS);
		left_behind(large(), TABLE(2), 1, SPLIT | USER, WITNESS_SIZE);
		/* and the other way round */
		machine_read(m, slot(OTHER));
		left_behind(slot(OTHER), TABLE(2), 0, USER | PTE_PS, WITNESS_TABLE);
		stop();
	}
}

static void memory_that_is_not_the_guests_is_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		planted(slot(WRITABLE), 1, MACHINE_HIDDEN, PTE_ADDR_MASK, WITNESS_HIDDEN);
		planted(slot(READONLY), 1, MACHINE_POOL + 0x5000, PTE_ADDR_MASK, WITNESS_HIDDEN);
		planted(slot(DEVICE), 1, MACHINE_TRAPPED, PTE_ADDR_MASK, WITNESS_HIDDEN);
		planted(slot(UNSEEN), 1, PTE_W, 0, WITNESS_HIDDEN); /* the page of all-ones */
		planted(slot(UNSEEN), 1, MACHINE_HIDDEN, PTE_ADDR_MASK, WITNESS_HIDDEN);
		/* begins in RAM, runs into hidden memory */
		planted(large(), 2, MACHINE_LOW_END & ~0x1fffffull, PTE_ADDR_MASK, WITNESS_HIDDEN);
		/* what the guest's entry names is no excuse */
		left_behind(slot(WRITABLE), TABLE(1), WRITABLE, MACHINE_TRAPPED | USER, WITNESS_HIDDEN);
		stop();
	}
}

static void what_the_guest_does_not_map_is_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		left_behind(slot(WRITABLE), TABLE(1), WRITABLE, 0, WITNESS_UNMAPPED);
		left_behind(slot(WRITABLE), TABLE(2), 0, 0, WITNESS_UNMAPPED);
		left_behind(slot(WRITABLE), TABLE(1), WRITABLE, DATA | (USER & ~PTE_A), WITNESS_UNMAPPED);
		left_behind(large(), TABLE(2), 1, MACHINE_HIGH | USER | PTE_PS | BIT(21 - (mode != MODEL_32)),
			    WITNESS_UNMAPPED);
		stop();
	}
}

static void keys_types_and_reserved_bits_are_found(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		planted(slot(WRITABLE), 1, PTE_PCD | PTE_PWT, 0, WITNESS_MEMTYPE);
		planted(large(), 2, PTE_PWT, 0, WITNESS_MEMTYPE);
		planted(slot(WRITABLE), 1, BIT(50), 0, WITNESS_RESERVED);
		planted(slot(WRITABLE), 2, DATA, PTE_ADDR_MASK, WITNESS_NO_TABLE);
		planted(slot(WRITABLE), 2, page_hpa(m->shadow, top_page(m->mmu, 0)).v, PTE_ADDR_MASK,
			WITNESS_NO_TABLE);
		if (mode == MODEL_4L || mode == MODEL_5L) {
			planted(slot(WRITABLE), 1, 5ull << PTE_KEY_SHIFT, 0, WITNESS_KEY);
			planted(large(), 2, 1ull << PTE_KEY_SHIFT, 0, WITNESS_KEY);
		}
		stop();
	}
}

/*
 * The guest writes to its table through a mapping and does not flush: what was there may stay,
 * in that table alone, and not after the flush.
 */
static void what_is_not_flushed_is_excused_and_nothing_else(void **state)
{
	for_each_mode(i) {
		u64 *spte, old;

		start(modes[i]);
		poke(TABLE(1), 20, FEW | USER);
		machine_access(m, (struct machine_access){.gva = slot(20) + OTHER * entry_bytes(),
							  .kind = {.write = true},
							  .size = (u32)entry_bytes(),
							  .value = (DATA + 0x6000) | USER});
		assert_false(m->broken);
		assert_int_equal(look(few(OTHER)), WITNESS_STALE);
		assert_int_equal(look_flushed(few(OTHER), true), WITNESS_FRAME);
		assert_int_equal(look(few(WRITABLE)), WITNESS_AGREES);
		/* no entry that the table ever had is worth the hypervisor's memory, or rights that those above lack */
		spte = entry_at(few(OTHER), 1);
		old = *spte;
		*spte = (old & ~PTE_ADDR_MASK) | MACHINE_HIDDEN;
		assert_int_equal(look(few(OTHER)), WITNESS_HIDDEN);
		*spte = old | PTE_W;
		assert_int_equal(look(few(OTHER)), WITNESS_RIGHTS);
		*spte = old;
		left_behind(few(OTHER), TABLE(2), 2, SPLIT | USER, WITNESS_TABLE);
		left_behind(few(OTHER), TABLE(2), 2, 0, WITNESS_UNMAPPED);
		machine_invlpg(m, few(OTHER));
		assert_int_equal(look_flushed(few(OTHER), true), WITNESS_AGREES);
		assert_int_equal(report.guest.physical, DATA + 0x6000);
		stop();
	}
}

/* With CR0.WP clear: the supervisor's face of a read-only page (S8). */
static void faces_of_read_only_pages_are_known(void **state)
{
	for_each_mode(i) {
		start(modes[i]);
		set_paging(CR0_WP, CR4_SMEP);
		fill();
		machine_write(m, slot(READONLY), 1);
		assert_true((*entry_at(slot(READONLY), 1) & (PTE_W | PTE_U)) == PTE_W);
		planted(slot(READONLY), 1, PTE_U, 0, WITNESS_RIGHTS);
		if (mode != MODEL_32) /* no 32-bit guest has NX, but SMEP is kept by it */
			planted(slot(READONLY), 1, 0, PTE_NX, WITNESS_RIGHTS);
		left_behind(slot(READONLY), TABLE(1), READONLY, (DATA + 0x1000) | (USER & ~(PTE_W | PTE_D)),
			    WITNESS_DIRTY);
		set_paging(0, 0);
		fill();
		planted(slot(READONLY), 1, PTE_W, PTE_U, WITNESS_RIGHTS);
		stop();
	}
}

static void without_paging_an_address_is_its_own(void **state)
{
	struct shadow_paging off = {.cr0 = CR0_PE, .pat = PAT_RESET, .phys_bits = 40, .pages_1g = true};

	mode = MODEL_PAE;
	start(MODEL_PAE);
	machine_set_paging(m, &off, true);
	machine_read(m, DATA);
	machine_read(m, MACHINE_HIDDEN);
	machine_read(m, MACHINE_HIGH);
	assert_int_equal(look(DATA), WITNESS_AGREES);
	assert_int_equal(look(MACHINE_HIGH), WITNESS_AGREES);
	planted(MACHINE_HIDDEN, 1, PTE_W, 0, WITNESS_HIDDEN);
	planted(DATA, 1, DATA + 0x1000, PTE_ADDR_MASK, WITNESS_FRAME);
	stop();
}

static void both_walks_are_printed(void **state)
{
	u32 lines;

	start(MODEL_4L);
	*entry_at(slot(CLEAN), 1) |= PTE_W;
	assert_int_equal(look(slot(CLEAN)), WITNESS_DIRTY);
	lines = host_log_count[LOG_ERROR];
	witness_print(&report);
	/* a head, a line for each walk, four entries of either, four tables */
	assert_int_equal(host_log_count[LOG_ERROR] - lines, 1 + 2 + 4 + 4 + 4);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_shadow_is_believed),
		cmocka_unit_test(too_many_rights_are_found),
		cmocka_unit_test(a_wrong_frame_is_found),
		cmocka_unit_test(missing_protection_of_a_clean_page_is_found),
		cmocka_unit_test(a_large_leaf_of_the_past_is_found),
		cmocka_unit_test(memory_that_is_not_the_guests_is_found),
		cmocka_unit_test(what_the_guest_does_not_map_is_found),
		cmocka_unit_test(keys_types_and_reserved_bits_are_found),
		cmocka_unit_test(what_is_not_flushed_is_excused_and_nothing_else),
		cmocka_unit_test(faces_of_read_only_pages_are_known),
		cmocka_unit_test(without_paging_an_address_is_its_own),
		cmocka_unit_test(both_walks_are_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
