/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mm/gpt.c against the naive model of model_walk.c: exhaustive over small
 * spaces of entry bits, accesses and control state, random over deep tables.
 * After every walk the result, the error code and all of the guest's memory
 * must be what the model says.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"
#include "tests/unit/rng.h"
#include "tests/unit/walk_check.h"

/* --- the spaces -------------------------------------------------------------- */
static const struct model_access accesses[] = {
	{0},
	{.write = true},
	{.fetch = true},
	{.user = true},
	{.user = true, .write = true},
	{.user = true, .fetch = true},
	{.ac = true},
	{.ac = true, .write = true},
	{.ac = true, .fetch = true},
	{.user = true, .ac = true, .write = true},
	{.implicit = true},
	{.implicit = true, .write = true},
	{.implicit = true, .ac = true},
	{.implicit = true, .ac = true, .write = true},
};

#define CONTROLS 16u

static struct model_state control(enum model_mode mode, u32 n)
{
	return (struct model_state){
		.mode = mode,
		.maxphyaddr = 40,
		.cr3 = WALK_RAM_BASE,
		.wp = n & 1,
		.smep = n & 2,
		.smap = n & 4,
		.nxe = n & 8,
		.pse = true,
		.pages_1g = true,
	};
}

/* Bits of one entry in these tests: P W U A D PS NX, one reserved address bit; two of the protection key. */
#define FIELD_BITS 8u
#define KEYED_FIELD_BITS 10u

static u64 field_entry(u32 field)
{
	static const u64 bit_of[KEYED_FIELD_BITS] = {
		PTE_P, PTE_W, PTE_U, PTE_A, PTE_D, PTE_PS, PTE_NX, BIT(45), BIT(59), BIT(62),
	};
	u64 e = 0;

	for (u32 i = 0; i < KEYED_FIELD_BITS; i++)
		if (field & (1u << i))
			e |= bit_of[i];
	return e;
}

/* The table of a level is the page (top - level) of the RAM; the last one holds data. */
static u64 *slot_of(u32 top, u32 level, u64 gva)
{
	return (u64 *)(walk_ram + (top - level) * PAGE_SIZE) + ((gva >> (12 + 9 * (level - 1))) & 511);
}

static u64 target_of(u32 top, u32 level)
{
	return WALK_RAM_BASE + (top - level + 1) * PAGE_SIZE;
}

#define GVA 0x7fc0123b5678ull /* a different index at every level */

static void open_path(u32 top, u64 gva)
{
	memset(walk_ram, 0, WALK_RAM_PAGES * PAGE_SIZE);
	for (u32 level = top; level; level--)
		*slot_of(top, level, gva) = target_of(top, level) | PTE_P | PTE_W | PTE_U;
}

#define GVA_SHORT 0x123b5678ull

static void put_short(enum model_mode mode, u32 level, u64 entry)
{
	u8 *table = walk_ram + (2 - level) * PAGE_SIZE;

	if (mode == MODEL_32)
		((u32 *)table)[GVA_SHORT >> (level == 2 ? 22 : 12) & 1023] = (u32)entry;
	else
		((u64 *)table)[GVA_SHORT >> (level == 2 ? 21 : 12) & 511] = entry;
}

/* Of two levels, for the modes with 32-bit linear addresses. */
static void open_short_path(enum model_mode mode, struct model_state *s)
{
	s->pdpte[GVA_SHORT >> 30] = WALK_RAM_BASE | PTE_P;
	put_short(mode, 2, (WALK_RAM_BASE + PAGE_SIZE) | PTE_P | PTE_W | PTE_U);
	put_short(mode, 1, (WALK_RAM_BASE + 2 * PAGE_SIZE) | PTE_P | PTE_W | PTE_U);
}

static void set_short_field(enum model_mode mode, u32 level, u32 field)
{
	u64 e = field_entry(field);

	if (mode == MODEL_32 && e & BIT(45)) /* the reserved bit of a 4 MiB leaf */
		e |= BIT(21);
	if (level == 2 && e & PTE_PS)
		put_short(mode, level, e | 0xc00000);
	else
		put_short(mode, level, e | (WALK_RAM_BASE + (3 - level) * PAGE_SIZE));
}

static void set_field(u32 top, u32 level, u64 gva, u32 field)
{
	u64 e = field_entry(field);

	/* a large leaf at an aligned address, so that only the chosen bits decide */
	if (level > 1 && (e & PTE_PS))
		*slot_of(top, level, gva) = e | (level == 2 ? 0x600000 : 0x40000000);
	else
		*slot_of(top, level, gva) = e | target_of(top, level);
}

/* Key 0 may all, 1 not be written, 8 not be accessed, 9 neither; for supervisor pages the other way round. */
static void turn_on_keys(struct model_state *s, u32 n)
{
	s->pke = n & 1;
	s->pks = n & 2;
	s->pkru = 2u << 2 * 1 | 1u << 2 * 8 | 3u << 2 * 9;
	s->pkrs = 3u | 1u << 2 * 1 | 2u << 2 * 8;
}

/* Every field of one level under every control state and access. */
static void each_level_alone(void **state)
{
	u32 turn = 0;

	for (u32 mode = MODEL_4L; mode <= MODEL_5L; mode++)
		for (u32 level = 1, top = mode == MODEL_4L ? 4 : 5; level <= top; level++)
			for (u32 field = 0; field < 1u << KEYED_FIELD_BITS; field++) {
				open_path(top, GVA);
				set_field(top, level, GVA, field);
				for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++) {
					struct model_state s = control(mode, n % CONTROLS);

					s.pages_1g = field & 4;
					turn_on_keys(&s, turn++ + field);
					walk_check(&s, GVA, accesses[n / CONTROLS], true);
				}
			}
}

/* The same for the 4-byte entries and for PAE, at their two levels. */
static void each_level_of_32_bit_and_pae(void **state)
{
	for (u32 level = 1; level <= 2; level++)
		for (u32 field = 0; field < 1u << KEYED_FIELD_BITS; field++)
			for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++)
				for (u32 mode = MODEL_32; mode <= MODEL_PAE; mode++) {
					struct model_state s = control(mode, n % CONTROLS);

					open_short_path(mode, &s);
					set_short_field(mode, level, field);
					s.pse = field & 8;
					turn_on_keys(&s, n + field);
					walk_check(&s, GVA_SHORT, accesses[n / CONTROLS], field % 4 == 0);
				}
}

/*
 * Every key in a leaf of every size, with every value of its own two bits in PKRU
 * and PKRS and the opposite of them for all other keys.
 */
static void protection_keys(void **state)
{
	for (u32 level = 1; level <= 4; level++) /* 4: level 1 of 5-level paging */
		for (u32 key = 0; key < 16; key++)
			for (u32 rights = 0; rights < 8; rights++) {
				u32 top = level == 4 ? 5 : 4, at = level == 4 ? 1 : level;

				open_path(top, GVA);
				*slot_of(top, at, GVA) = PTE_P | (rights & 1 ? PTE_W : 0) |
							 (rights & 2 ? PTE_U : 0) | (rights & 4 ? PTE_NX : 0) |
							 (at > 1 ? PTE_PS : 0) | (u64)key << 59;
				for (u32 n = 0; n < 64 * CONTROLS * ARRAY_SIZE(accesses); n++) {
					struct model_state s = control(top == 5 ? MODEL_5L : MODEL_4L, n % CONTROLS);
					u32 bits = n / CONTROLS % 64;

					s.pke = bits & 1;
					s.pks = bits & 2;
					s.pkru = ((bits >> 2 & 3) << 2 * key) |
						 ((bits >> 2 & 3 ? 0 : ~0u) & ~(3u << 2 * key));
					s.pkrs = ((bits >> 4 & 3) << 2 * key) |
						 ((bits >> 4 & 3 ? 0 : ~0u) & ~(3u << 2 * key));
					walk_check(&s, GVA, accesses[n / CONTROLS / 64], false);
				}
			}
}

/* Every pair of fields at two levels; control state and access take turns. */
static void pairs_of_levels(void **state)
{
	u32 turn = 0;

	for (u32 high = 2; high <= 4; high++)
		for (u32 low = 1; low < high; low++) {
			open_path(4, GVA);
			for (u32 fields = 0; fields < 1u << (2 * FIELD_BITS); fields++) {
				set_field(4, high, GVA, fields & 255);
				set_field(4, low, GVA, fields >> FIELD_BITS);
				for (u32 i = 0; i < 4; i++, turn += 37) {
					u32 n = turn % (CONTROLS * ARRAY_SIZE(accesses));
					struct model_state s = control(MODEL_4L, n % CONTROLS);

					walk_check(&s, GVA, accesses[n / CONTROLS], false);
				}
			}
		}
}

/* W, U and NX at all four levels at once, every control state, every access. */
static void rights_over_all_levels(void **state)
{
	open_path(4, GVA);
	for (u32 rights = 0; rights < 1u << 12; rights++) {
		for (u32 level = 1; level <= 4; level++) {
			u32 r = rights >> (3 * (level - 1));

			*slot_of(4, level, GVA) = target_of(4, level) | PTE_P | (r & 1 ? PTE_W : 0) |
						  (r & 2 ? PTE_U : 0) | (r & 4 ? PTE_NX : 0);
		}
		for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++) {
			struct model_state s = control(MODEL_4L, n % CONTROLS);

			walk_check(&s, GVA, accesses[n / CONTROLS], false);
		}
	}
}

/* Each bit of an entry alone, at every level, small and large, for each address width. */
/* adversarial: 9 */
static void every_single_bit(void **state)
{
	static const u32 widths[] = {32, 36, 40, 46, 51, 52};

	for (u32 w = 0; w < ARRAY_SIZE(widths); w++)
		for (u32 n = 0; n < 4; n++)
			for (u32 level = 1; level <= 5; level++)
				for (u32 large = 0; large < 2; large++)
					for (u32 b = 0; b < 64; b++) {
						struct model_state s = control(MODEL_5L, n & 1 ? 15 : 7);

						if (b == 8 && level >= 3)
							continue; /* the vendors differ */
						s.maxphyaddr = widths[w];
						s.pages_1g = n & 2;
						open_path(5, GVA);
						*slot_of(5, level, GVA) ^= BIT(b);
						if (large)
							*slot_of(5, level, GVA) = PTE_P | PTE_PS | BIT(b);
						walk_check(&s, GVA, accesses[0], true);
						walk_check(&s, GVA, accesses[4], true);
					}
}

/* A table pointer that leaves the RAM: hidden memory, devices, beyond the width. */
static void tables_outside_of_ram(void **state)
{
	static const u64 places[] = {WALK_RAM_BASE + WALK_RAM_PAGES * PAGE_SIZE, 0x80000000, BIT(39), BIT(46),
				     BITS(51, 12)};

	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		for (u32 level = 1; level <= 5; level++)
			for (u32 n = 0; n < CONTROLS; n++) {
				struct model_state s = control(MODEL_4L, n);

				s.maxphyaddr = n & 1 ? 52 : 40;
				open_path(4, GVA);
				if (level == 5)
					s.cr3 = places[i];
				else
					*slot_of(4, level, GVA) = places[i] | PTE_P | PTE_W;
				walk_check(&s, GVA, accesses[n % ARRAY_SIZE(accesses)], true);
			}
}

static void paging_off_is_the_identity(void **state)
{
	for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++) {
		struct model_state s = control(MODEL_OFF, n % CONTROLS);

		walk_check(&s, 0xfee00123, accesses[n / CONTROLS], true);
		walk_check(&s, WALK_RAM_BASE + 5, accesses[n / CONTROLS], true);
	}
}

/* --- random tables ----------------------------------------------------------- */
/* keys: protection keys too, which are reserved bits in PAE. */
static u64 random_entry(struct rng *r, bool keys)
{
	u64 e = WALK_RAM_BASE + rng_below(r, 16) * PAGE_SIZE;

	e |= rng_chance(r, 93) ? PTE_P : 0;
	e |= rng_chance(r, 75) ? PTE_W : 0;
	e |= rng_chance(r, 75) ? PTE_U : 0;
	e |= rng_next(r) & (PTE_A | PTE_D | PTE_PWT | PTE_PCD);
	e |= rng_chance(r, 10) ? PTE_NX : 0;
	e |= rng_chance(r, 3) ? BIT(rng_below(r, 64)) : 0;
	e |= keys ? (rng_next(r) & 15) << 59 : 0;
	if (rng_chance(r, 15))
		e = (e & 0xfffull) | PTE_PS | ALIGN_DOWN(e & PTE_ADDR_MASK, 0x200000ull) | (e & PTE_NX);
	if (rng_chance(r, 2))
		e ^= rng_next(r) & PTE_ADDR_MASK;
	return e & ~PTE_G;
}

static void fill_random(struct rng *r, bool wide, bool keys)
{
	for (u32 i = 0; i < 16 * PAGE_SIZE / 8; i++) {
		u64 e = random_entry(r, keys);

		if (wide)
			((u64 *)walk_ram)[i] = e;
		else
			((u64 *)walk_ram)[i] = (u32)e | random_entry(r, keys) << 32;
	}
}

static void random_state(struct rng *r, enum model_mode mode, struct model_state *s)
{
	static const u32 widths[] = {36, 40, 46, 52};

	*s = control(mode, rng_below(r, CONTROLS));
	s->cr3 = WALK_RAM_BASE + rng_below(r, 16) * PAGE_SIZE + (rng_next(r) & 0x18);
	s->maxphyaddr = widths[rng_below(r, 4)];
	s->pages_1g = rng_chance(r, 50);
	s->pse = rng_chance(r, 70);
	s->pke = rng_chance(r, 50);
	s->pks = rng_chance(r, 50);
	s->pkru = rng_chance(r, 30) ? 0 : (u32)rng_next(r);
	s->pkrs = rng_chance(r, 30) ? 0 : (u32)rng_next(r);
	for (u32 i = 0; i < 4; i++)
		s->pdpte[i] = (WALK_RAM_BASE + rng_below(r, 16) * PAGE_SIZE) | (rng_chance(r, 80) ? PTE_P : 0);
}

static u64 random_gva(struct rng *r, enum model_mode mode)
{
	u32 bits = mode == MODEL_5L ? 57 : mode == MODEL_4L ? 48 : 32;
	u64 gva = rng_next(r) & (BIT(bits) - 1);

	if (bits > 32 && (gva & BIT(bits - 1)))
		gva |= ~(BIT(bits) - 1);
	return gva;
}

static void random_walks(enum model_mode mode, u64 seed)
{
	u32 rounds = getenv("UMBRA_LONG") ? 1000 : 40;
	struct rng r;

	rng_seed(&r, seed);
	for (u32 round = 0; round < rounds; round++) {
		fill_random(&r, mode != MODEL_32, mode != MODEL_PAE);
		for (u32 i = 0; i < 5000; i++) {
			struct model_state s;

			random_state(&r, mode, &s);
			walk_check(&s, random_gva(&r, mode), accesses[rng_below(&r, ARRAY_SIZE(accesses))],
				   i % 4 == 0);
		}
	}
}

static void random_4_level(void **state)
{
	random_walks(MODEL_4L, 1);
}
static void random_5_level(void **state)
{
	random_walks(MODEL_5L, 2);
}
static void random_pae(void **state)
{
	random_walks(MODEL_PAE, 3);
}

/* The 32-bit format comes with an issue of its own: until then the walker knows no tables in it. */
static void random_32_bit(void **state)
{
	struct model_state s = control(MODEL_32, 0);
	struct gpt_context c = walk_context(&s);
	struct gpt_walk w;

	memset(walk_ram, 0, PAGE_SIZE);
	if (gpt_walk(&c, 0, (struct gpt_access){0}, GPT_PEEK, &w) != GPT_FAULT)
		skip();
	random_walks(MODEL_32, 4);
}

/* Whatever random walks may write, it is nothing but A and D. */
static void only_a_and_d_are_ever_written(void **state)
{
	u8 *ram_copy = malloc(WALK_RAM_PAGES * PAGE_SIZE);
	struct rng r;

	rng_seed(&r, 5);
	fill_random(&r, true, true);
	memcpy(ram_copy, walk_ram, WALK_RAM_PAGES * PAGE_SIZE);
	for (u32 i = 0; i < 20000; i++) {
		struct model_state s;
		struct gpt_context c;
		struct gpt_walk w;

		random_state(&r, MODEL_4L, &s);
		c = walk_context(&s);
		(void)gpt_walk(&c, random_gva(&r, MODEL_4L), (struct gpt_access){.write = true}, GPT_SET_AD, &w);
	}
	for (u32 i = 0; i < WALK_RAM_PAGES * PAGE_SIZE / 8; i++) {
		u64 before = ((u64 *)ram_copy)[i], after = ((u64 *)walk_ram)[i];

		assert_int_equal((before ^ after) & ~(PTE_A | PTE_D), 0);
		assert_int_equal(before & ~after, 0);
	}
	free(ram_copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_level_alone),
		cmocka_unit_test(each_level_of_32_bit_and_pae),
		cmocka_unit_test(protection_keys),
		cmocka_unit_test(pairs_of_levels),
		cmocka_unit_test(rights_over_all_levels),
		cmocka_unit_test(every_single_bit),
		cmocka_unit_test(tables_outside_of_ram),
		cmocka_unit_test(paging_off_is_the_identity),
		cmocka_unit_test(random_4_level),
		cmocka_unit_test(random_5_level),
		cmocka_unit_test(random_pae),
		cmocka_unit_test(random_32_bit),
		cmocka_unit_test(only_a_and_d_are_ever_written),
	};

	return cmocka_run_group_tests(tests, walk_check_setup, walk_check_teardown);
}
