/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The EPT walker against the naive model of model_ept.c: every value of one
 * entry's fields at each level under every capability, control and access,
 * rights over all levels, single bits, and random deep tables. Compared are the
 * outcome, the exit qualification, the translation and the guest's memory.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/gpt_ept.h"
#include "tests/unit/model_ept.h"
#include "tests/unit/rng.h"
#include "tests/unit/walk_check.h"

static u64 compared;

static void *entry_memory(const struct model_entry *e)
{
	u64 offset = e->address - WALK_RAM_BASE;

	return offset < WALK_RAM_PAGES * PAGE_SIZE ? walk_ram + offset : NULL;
}

#define EXPECT(what, have, want) \
	do { \
		if ((u64)(have) != (u64)(want)) { \
			printf("%s: walker %#llx, model %#llx\n", what, (unsigned long long)(have), \
			       (unsigned long long)(want)); \
			return false; \
		} \
	} while (0)

static bool reads_entry_twice(const struct model_ept_result *r)
{
	for (u32 i = 0; i < r->count; i++)
		for (u32 k = 0; k < i; k++)
			if (r->entries[i].address == r->entries[k].address)
				return true;
	return false;
}

static bool compare_entries(const struct gpt_ept_walk *w, const struct model_ept_result *r, bool marked)
{
	for (u32 i = 0; i < r->count; i++) {
		const struct model_entry *e = &r->entries[i];
		u64 want = marked ? e->after : e->value;

		if (entry_memory(e)) {
			EXPECT("entry", w->entry[e->level], want);
			EXPECT("memory", *(u64 *)entry_memory(e), want);
		}
	}
	EXPECT("last level", w->last_level, r->count ? r->entries[r->count - 1].level : 0);
	return true;
}

static bool compare(const struct model_ept_state *s, const struct gpt_ept_walk *w, enum gpt_ept_status status,
		    const struct model_ept_result *r, bool set_ad)
{
	static const u32 statuses[] = {
		[MODEL_EPT_OK] = EPT_OK,
		[MODEL_EPT_VIOLATION] = EPT_VIOLATION,
		[MODEL_EPT_MISCONFIGURATION] = EPT_MISCONFIG,
	};

	EXPECT("status", status, statuses[r->status]);
	if (!compare_entries(w, r, set_ad && status == EPT_OK))
		return false;
	EXPECT("qualification", w->qualification, r->qualification);
	if (status != EPT_OK)
		return true;
	EXPECT("address", w->address, r->physical);
	EXPECT("leaf level", w->leaf_level, r->level);
	EXPECT("rights", w->rights,
	       (r->r ? EPT_R : 0) | (r->w ? EPT_W : 0) | (r->x ? EPT_X : 0) | (r->xu && s->mode_based ? EPT_XU : 0));
	EXPECT("memory type", w->memtype, r->memtype);
	EXPECT("ignore PAT", w->ipat, r->ignore_pat);
	return true;
}

static bool one_walk(const struct model_ept_state *s, u64 gpa, struct model_ept_access a, enum gpt_effects effects)
{
	struct gpt_ept ept = {
		.regions = &walk_regions,
		.eptp = s->eptp,
		.phys_bits = s->maxphyaddr,
		.exec_only = s->execute_only,
		.pages_2m = s->pages_2m,
		.pages_1g = s->pages_1g,
		.mbec = s->mode_based,
	};
	struct gpt_ept_access access = {.read = a.read,
					.write = a.write,
					.fetch = a.fetch,
					.user = a.user,
					.walk = a.paging,
					.linear = a.linear};
	struct gpt_ept_walk w;
	struct model_ept_result r;
	enum gpt_ept_status status;
	bool good;

	compared++;
	model_ept_walk(s, &walk_memory, gpa, a, &r);
	memset(&w, 0x5a, sizeof(w));
	status = gpt_walk_ept(&ept, gpa, access, effects, &w);
	if (reads_entry_twice(&r)) /* the second read finds what the first marked */
		good = status == EPT_RETRY || (status == EPT_OK) == (r.status == MODEL_EPT_OK);
	else
		good = compare(s, &w, status, &r, effects == GPT_SET_AD);
	for (u32 i = 0; i < r.count; i++)
		if (entry_memory(&r.entries[i]))
			memcpy(entry_memory(&r.entries[i]), &r.entries[i].value, 8);
	return good;
}

static void check(const struct model_ept_state *s, u64 gpa, struct model_ept_access a, bool peek_too)
{
	struct model_ept_result r;

	if (one_walk(s, gpa, a, GPT_SET_AD) && (!peek_too || one_walk(s, gpa, a, GPT_PEEK)))
		return;
	model_ept_walk(s, &walk_memory, gpa, a, &r);
	printf("gpa %#llx eptp %#llx maxphyaddr %u execute-only %u 2m %u 1g %u mode-based %u\n"
	       "read %u write %u fetch %u user %u paging %u linear %u: model outcome %u qualification %#llx\n",
	       (unsigned long long)gpa, (unsigned long long)s->eptp, s->maxphyaddr, s->execute_only, s->pages_2m,
	       s->pages_1g, s->mode_based, a.read, a.write, a.fetch, a.user, a.paging, a.linear, r.status,
	       (unsigned long long)r.qualification);
	for (u32 i = 0; i < r.count; i++)
		printf("  level %u at %#llx: %#llx\n", r.entries[i].level,
		       (unsigned long long)r.entries[i].address, (unsigned long long)r.entries[i].value);
	fail_msg("the walker and the model differ");
}

/* --- the spaces ---------------------------------------------------------------- */
static const struct model_ept_access accesses[] = {
	{.read = true, .linear = true},
	{.write = true, .linear = true},
	{.fetch = true, .linear = true},
	{.fetch = true, .user = true, .linear = true},
	{.read = true, .write = true, .linear = true},
	{.read = true, .paging = true, .linear = true},
	{.read = true, .write = true, .paging = true, .linear = true},
	{.read = true},
	{.write = true, .user = true},
};

#define STATES 16u

static struct model_ept_state state_of(u32 levels, u32 n)
{
	return (struct model_ept_state){
		.eptp = WALK_RAM_BASE | (levels - 1) << 3 | (n & 1 ? EPTP_AD : 0),
		.maxphyaddr = 40,
		.execute_only = n & 2,
		.mode_based = n & 4,
		.pages_2m = n & 8,
		.pages_1g = n & 8,
	};
}

/* R W X, memory type, IPAT, PS, A, D, XU, an address bit that large leaves reserve, one above MAXPHYADDR, an ignored one. */
#define FIELD_BITS 14u

static u64 field_entry(u32 field)
{
	static const u64 bit_of[FIELD_BITS] = {
		EPT_R,  EPT_W, EPT_X, BIT(3), BIT(4),  BIT(5),  EPT_IPAT,
		EPT_PS, EPT_A, EPT_D, EPT_XU, BIT(13), BIT(45), BIT(57),
	};
	u64 e = 0;

	for (u32 i = 0; i < FIELD_BITS; i++)
		if (field & (1u << i))
			e |= bit_of[i];
	return e;
}

static u64 target_of(u32 top, u32 level)
{
	return WALK_RAM_BASE + (top - level + 1) * 2 * PAGE_SIZE;
}

/* Tables are two pages apart, so that bit 13 of an entry, with bit 12 clear, still names a page of the RAM. */
#define GPA 0x7fc0123b5678ull

static u64 *slot_of(u32 top, u32 level, u64 gpa)
{
	return (u64 *)(walk_ram + (top - level) * 2 * PAGE_SIZE) + ((gpa >> (12 + 9 * (level - 1))) & 511);
}

static void open_path(u32 top, u64 gpa)
{
	memset(walk_ram, 0, WALK_RAM_PAGES * PAGE_SIZE);
	for (u32 level = top; level; level--)
		*slot_of(top, level, gpa) =
			target_of(top, level) | EPT_R | EPT_W | EPT_X | EPT_XU | (level == 1 ? 6 << 3 : 0);
}

static void set_field(u32 top, u32 level, u64 gpa, u32 field)
{
	u64 e = field_entry(field);

	if (level > 1 && level < 4 && (e & EPT_PS))
		*slot_of(top, level, gpa) = e | (level == 2 ? 0x600000 : 0x40000000);
	else
		*slot_of(top, level, gpa) = e | target_of(top, level);
}

static void each_level_alone(void **state)
{
	u32 step = getenv("UMBRA_LONG") ? 1 : 5, turn = 0;

	for (u32 top = 4; top <= 5; top++)
		for (u32 level = 1; level <= top; level++)
			for (u32 field = 0; field < 1u << FIELD_BITS; field++) {
				open_path(top, GPA);
				set_field(top, level, GPA, field);
				for (u32 n = turn++ % step; n < STATES * ARRAY_SIZE(accesses); n += step) {
					struct model_ept_state s = state_of(top, n % STATES);

					check(&s, GPA, accesses[n / STATES], true);
				}
			}
}

/* R, W, X, XU at all four levels at once. */
static void rights_over_all_levels(void **state)
{
	open_path(4, GPA);
	for (u32 rights = 0; rights < 1u << 16; rights++) {
		for (u32 level = 1; level <= 4; level++) {
			u32 r = rights >> (4 * (level - 1)) & 15;

			*slot_of(4, level, GPA) = target_of(4, level) | (r & 7) | (r & 8 ? EPT_XU : 0);
		}
		for (u32 n = 0; n < 8; n++) {
			u32 a = (rights + n) % ARRAY_SIZE(accesses);
			struct model_ept_state s = state_of(4, n | 8);

			check(&s, GPA, accesses[a], false);
			check(&s, GPA, accesses[(a + 4) % ARRAY_SIZE(accesses)], false);
		}
	}
}

/* Each bit of an entry alone, at every level, small and large, for each address width. */
static void every_single_bit(void **state)
{
	static const u32 widths[] = {36, 40, 46, 51, 52};

	for (u32 w = 0; w < ARRAY_SIZE(widths); w++)
		for (u32 n = 0; n < STATES; n++)
			for (u32 level = 1; level <= 5; level++)
				for (u32 large = 0; large < 2; large++)
					for (u32 b = 0; b < 64; b++) {
						struct model_ept_state s = state_of(5, n);

						s.maxphyaddr = widths[w];
						open_path(5, GPA);
						*slot_of(5, level, GPA) ^= BIT(b);
						if (large)
							*slot_of(5, level, GPA) = EPT_R | EPT_PS | 6 << 3 | BIT(b);
						check(&s, GPA, accesses[0], true);
						check(&s, GPA, accesses[1], true);
						check(&s, GPA, accesses[3], true);
					}
}

static void tables_outside_of_ram(void **state)
{
	static const u64 places[] = {WALK_RAM_BASE + WALK_RAM_PAGES * PAGE_SIZE, 0x80000000, BIT(39), BIT(46),
				     BITS(51, 12)};

	for (u32 i = 0; i < ARRAY_SIZE(places); i++)
		for (u32 level = 1; level <= 5; level++)
			for (u32 n = 0; n < STATES; n++) {
				struct model_ept_state s = state_of(4, n);

				s.maxphyaddr = n & 1 ? 52 : 40;
				open_path(4, GPA);
				if (level == 5)
					s.eptp = places[i] | (s.eptp & 0xfff);
				else
					*slot_of(4, level, GPA) = places[i] | EPT_R | EPT_W | 6 << 3;
				check(&s, GPA, accesses[n % ARRAY_SIZE(accesses)], true);
			}
}

static void an_address_wider_than_the_tables(void **state)
{
	open_path(4, GPA);
	for (u32 b = 46; b < 52; b++)
		for (u32 n = 0; n < STATES * ARRAY_SIZE(accesses); n++) {
			struct model_ept_state s = state_of(4, n % STATES);

			s.maxphyaddr = 52;
			check(&s, GPA ^ BIT(b), accesses[n / STATES], true);
		}
}

/* --- random tables ----------------------------------------------------------------- */
static u64 random_entry(struct rng *r)
{
	static const u64 types[] = {0, 1, 4, 5, 6};
	u64 e = WALK_RAM_BASE + rng_below(r, 16) * PAGE_SIZE;

	e |= rng_chance(r, 95) ? EPT_R : 0;
	e |= rng_chance(r, 75) && (e & EPT_R || rng_chance(r, 10)) ? EPT_W : 0;
	e |= rng_chance(r, 80) ? EPT_X : 0;
	e |= rng_next(r) & (EPT_A | EPT_D | EPT_XU | BITS(62, 52));
	e |= rng_chance(r, 3) ? BIT(rng_below(r, 64)) : 0;
	if (rng_chance(r, 15))
		e = (e & ~BITS(20, 12)) | EPT_PS | types[rng_below(r, 5)] << 3 | (rng_next(r) & EPT_IPAT);
	else if (rng_chance(r, 15)) /* fit for the lowest level alone */
		e |= types[rng_below(r, 5)] << 3 | (rng_next(r) & EPT_IPAT);
	return rng_chance(r, 1) ? 0 : e;
}

static void random_tables(u32 levels, u64 seed)
{
	static const u32 widths[] = {36, 40, 46, 52};
	u32 rounds = getenv("UMBRA_LONG") ? 600 : 60;
	struct rng r;

	rng_seed(&r, seed);
	for (u32 round = 0; round < rounds; round++) {
		for (u32 i = 0; i < 16 * PAGE_SIZE / 8; i++)
			((u64 *)walk_ram)[i] = random_entry(&r);
		for (u32 i = 0; i < 5000; i++) {
			struct model_ept_state s = state_of(levels, rng_below(&r, STATES));
			u64 gpa = rng_next(&r) & (levels == 5 ? BITS(51, 0) : BITS(47, 0));

			s.eptp = (s.eptp & 0xfff) | (WALK_RAM_BASE + rng_below(&r, 16) * PAGE_SIZE);
			s.maxphyaddr = widths[rng_below(&r, 4)];
			s.pages_1g = rng_chance(&r, 50);
			check(&s, gpa, accesses[rng_below(&r, ARRAY_SIZE(accesses))], i % 4 == 0);
		}
	}
}

static void random_4_level(void **state)
{
	random_tables(4, 1);
}
static void random_5_level(void **state)
{
	random_tables(5, 2);
}

static int teardown(void **state)
{
	printf("%llu EPT walks compared\n", (unsigned long long)compared);
	return walk_check_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_level_alone),
		cmocka_unit_test(rights_over_all_levels),
		cmocka_unit_test(every_single_bit),
		cmocka_unit_test(tables_outside_of_ram),
		cmocka_unit_test(an_address_wider_than_the_tables),
		cmocka_unit_test(random_4_level),
		cmocka_unit_test(random_5_level),
	};

	return cmocka_run_group_tests(tests, walk_check_setup, teardown);
}
