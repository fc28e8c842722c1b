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
#include "mm/gpt.h"
#include "mm/phys.h"
#include "tests/unit/model_walk.h"
#include "tests/unit/rng.h"

#define RAM_BASE 0x400000ull
#define RAM_PAGES 32u
#define HPA_SHIFT 0x1000000ull      /* host addresses differ from the guest's */

static u8 *ram;                     /* guest RAM, RAM_PAGES pages at gpa RAM_BASE */
static u8 *ram_copy;
static struct region_map regions;

static u64 read_memory(void *ctx, u64 address, u32 size)
{
	u64 value = ~0ull;

	if (address - RAM_BASE < RAM_PAGES * PAGE_SIZE)
		memcpy(&value, ram + (address - RAM_BASE), size);
	return size == 4 ? (u32)value : value;
}

static const struct model_memory memory = {.read = read_memory};

static int setup(void **state)
{
	host_arena_create_at(RAM_BASE + HPA_SHIFT, RAM_PAGES * PAGE_SIZE);
	ram = phys_to_virt(hpa(RAM_BASE + HPA_SHIFT));
	ram_copy = malloc(RAM_PAGES * PAGE_SIZE);
	region_init(&regions);
	assert_int_equal(region_add(&regions, RAM_BASE >> 12, RAM_PAGES, (RAM_BASE + HPA_SHIFT) >> 12, REGION_RAM), 0);
	assert_int_equal(region_add(&regions, (RAM_BASE >> 12) + RAM_PAGES, 16, 0x3000, REGION_HIDDEN), 0);
	region_seal(&regions);
	return 0;
}

static int teardown(void **state)
{
	host_arena_destroy();
	free(ram_copy);
	return 0;
}

static struct gpt_context context_of(const struct model_state *s)
{
	static const u32 modes[] = {
		[MODEL_OFF] = GPT_NONE, [MODEL_32] = GPT_32, [MODEL_PAE] = GPT_PAE,
		[MODEL_4L] = GPT_4L, [MODEL_5L] = GPT_5L,
	};
	struct gpt_context c = {
		.regions = &regions, .mode = modes[s->mode], .phys_bits = s->maxphyaddr, .cr3 = s->cr3,
		.wp = s->wp, .smep = s->smep, .smap = s->smap, .nx = s->nxe, .pse = s->pse,
		.pages_1g = s->pages_1g,
	};

	memcpy(c.pdpte, s->pdpte, sizeof(c.pdpte));
	return c;
}

static void *entry_memory(const struct model_entry *e)
{
	return e->address - RAM_BASE < RAM_PAGES * PAGE_SIZE ? ram + (e->address - RAM_BASE) : NULL;
}

#define EXPECT(what, have, want) do { \
	if ((u64)(have) != (u64)(want)) { \
		printf("%s: walker %#llx, model %#llx\n", what, (unsigned long long)(have), \
		       (unsigned long long)(want)); \
		return false; \
	} \
} while (0)

static bool compare_entries(const struct gpt_walk *w, const struct model_result *r, bool set_ad)
{
	for (u32 i = 0; i < r->count; i++) {
		const struct model_entry *e = &r->entries[i];

		EXPECT("table", gpt_walk_table(w, e->level) >> 12, e->address >> 12);
		EXPECT("slot", !w->step[e->level].slot || (((u64)w->step[e->level].slot ^ e->address) & 0xfff) == 0, true);
		EXPECT("entry", w->step[e->level].entry, set_ad ? e->after : e->value);
	}
	if (r->count) {
		EXPECT("last level", w->last_level, r->entries[r->count - 1].level);
		if (w->top_level != 3 || r->entries[0].level != 2) /* PAE may count its PDPTE */
			EXPECT("top level", w->top_level, r->entries[0].level);
	}
	return true;
}

static bool compare_role(const struct gpt_walk *w, const struct model_result *r, bool nx)
{
	u32 access = ACC_ALL;

	for (u32 i = 0; i < r->count; i++) {
		u64 e = r->entries[i].value;

		EXPECT("rights above", gpt_access_above(w, r->entries[i].level), access);
		if (!(e & PTE_W))
			access &= ~(u32)ACC_W;
		if (!(e & PTE_U))
			access &= ~(u32)ACC_U;
		if (nx && (e & PTE_NX))
			access &= ~(u32)ACC_X;
	}
	return true;
}

static bool compare_result(const struct model_state *s, const struct gpt_walk *w, enum gpt_status status,
			   const struct model_result *r, bool set_ad)
{
	EXPECT("status", status, r->fault ? GPT_FAULT : GPT_OK);
	if (!compare_entries(w, r, set_ad && !r->fault))
		return false;
	if (!compare_role(w, r, s->nxe && s->mode != MODEL_32))
		return false;
	if (r->fault) {
		EXPECT("error code", w->error, r->error);
		return true;
	}
	EXPECT("gfn", w->gfn, r->physical >> 12);
	EXPECT("leaf level", w->leaf_level, r->level);
	EXPECT("rights", w->access, (r->w ? ACC_W : 0) | (r->u ? ACC_U : 0) | (r->x ? ACC_X : 0));
	if (r->count)
		EXPECT("dirty", w->dirty, ((set_ad ? r->entries[r->count - 1].after :
					    r->entries[r->count - 1].value) & PTE_D) != 0);
	return true;
}

/* Entries of the walk, as the guest's memory must hold them afterwards. */
static bool compare_memory(const struct model_result *r, bool marked)
{
	for (u32 i = 0; i < r->count; i++) {
		const struct model_entry *e = &r->entries[i];
		u64 want = 0;

		/* a table may be read at two levels: both marks go to one entry then */
		for (u32 k = 0; k < r->count; k++)
			if (r->entries[k].address == e->address)
				want |= marked ? r->entries[k].after : r->entries[k].value;
		if (entry_memory(e))
			EXPECT("memory", read_memory(NULL, e->address, r->size), want);
	}
	return true;
}

static void restore_memory(const struct model_result *r)
{
	for (u32 i = 0; i < r->count; i++)
		if (entry_memory(&r->entries[i]))
			memcpy(entry_memory(&r->entries[i]), &r->entries[i].value, r->size);
}

/* In a walk that reads one entry twice, what it finds the second time is not defined to a bit. */
static bool reads_entry_twice(const struct model_result *r)
{
	for (u32 i = 0; i < r->count; i++)
		for (u32 k = 0; k < i; k++)
			if (r->entries[i].address == r->entries[k].address)
				return true;
	return false;
}

/*
 * The walker takes a table outside of RAM for one of reserved bits. The model's
 * all-ones entry is that by itself, except at the lowest level of a CPU with 52
 * address bits.
 */
static void refuse_tables_outside_of_ram(struct model_result *r, const struct model_state *s, struct model_access a)
{
	if (!r->count || entry_memory(&r->entries[r->count - 1]))
		return;
	r->fault = true;
	r->error = PF_P | PF_RSVD | (a.write ? PF_W : 0) | (a.user ? PF_U : 0) |
		   (a.fetch && (s->smep || (s->nxe && s->mode != MODEL_32)) ? PF_ID : 0);
	for (u32 i = 0; i < r->count; i++)
		r->entries[i].after = r->entries[i].value;
}

static bool one_walk(const struct model_state *s, u64 gva, struct model_access a, enum gpt_effects effects)
{
	struct gpt_context c = context_of(s);
	struct gpt_access access = {.write = a.write, .fetch = a.fetch, .user = a.user,
				    .implicit = a.implicit, .ac = a.ac};
	struct gpt_walk w;
	struct model_result r;
	enum gpt_status status;
	bool good;

	model_walk(s, &memory, gva, a, &r);
	refuse_tables_outside_of_ram(&r, s, a);
	memset(&w, 0x5a, sizeof(w));
	status = gpt_walk(&c, gva, access, effects, &w);
	if (reads_entry_twice(&r)) {
		good = (status == GPT_FAULT) == r.fault;
	} else {
		good = compare_result(s, &w, status, &r, effects == GPT_SET_AD);
		good = good && compare_memory(&r, effects == GPT_SET_AD && !r.fault);
	}
	restore_memory(&r);
	return good;
}

static void check_walk(const struct model_state *s, u64 gva, struct model_access a, bool peek_too)
{
	struct model_result r;

	if (one_walk(s, gva, a, GPT_SET_AD) && (!peek_too || one_walk(s, gva, a, GPT_PEEK)))
		return;
	model_walk(s, &memory, gva, a, &r);
	printf("mode %u gva %#llx cr3 %#llx maxphyaddr %u wp %u smep %u smap %u nxe %u pse %u 1g %u\n"
	       "write %u fetch %u user %u implicit %u ac %u: model fault %u error %#x\n",
	       s->mode, (unsigned long long)gva, (unsigned long long)s->cr3, s->maxphyaddr, s->wp, s->smep,
	       s->smap, s->nxe, s->pse, s->pages_1g, a.write, a.fetch, a.user, a.implicit, a.ac, r.fault, r.error);
	for (u32 i = 0; i < r.count; i++)
		printf("  level %u at %#llx: %#llx\n", r.entries[i].level,
		       (unsigned long long)r.entries[i].address, (unsigned long long)r.entries[i].value);
	fail_msg("the walker and the model differ");
}

/* --- the spaces -------------------------------------------------------------- */
static const struct model_access accesses[] = {
	{0}, {.write = true}, {.fetch = true},
	{.user = true}, {.user = true, .write = true}, {.user = true, .fetch = true},
	{.ac = true}, {.ac = true, .write = true}, {.ac = true, .fetch = true},
	{.user = true, .ac = true, .write = true},
	{.implicit = true}, {.implicit = true, .write = true},
	{.implicit = true, .ac = true}, {.implicit = true, .ac = true, .write = true},
};

#define CONTROLS 16u

static struct model_state control(enum model_mode mode, u32 n)
{
	return (struct model_state){
		.mode = mode, .maxphyaddr = 40, .cr3 = RAM_BASE, .wp = n & 1, .smep = n & 2, .smap = n & 4,
		.nxe = n & 8, .pse = true, .pages_1g = true,
	};
}

/* Bits of one entry in these tests: P W U A D PS NX and one reserved address bit. */
#define FIELD_BITS 8u

static u64 field_entry(u32 field)
{
	static const u64 bit_of[FIELD_BITS] = {PTE_P, PTE_W, PTE_U, PTE_A, PTE_D, PTE_PS, PTE_NX, BIT(45)};
	u64 e = 0;

	for (u32 i = 0; i < FIELD_BITS; i++)
		if (field & (1u << i))
			e |= bit_of[i];
	return e;
}

/* The table of a level is the page (top - level) of the RAM; the last one holds data. */
static u64 *slot_of(u32 top, u32 level, u64 gva)
{
	return (u64 *)(ram + (top - level) * PAGE_SIZE) + ((gva >> (12 + 9 * (level - 1))) & 511);
}

static u64 target_of(u32 top, u32 level)
{
	return RAM_BASE + (top - level + 1) * PAGE_SIZE;
}

#define GVA 0x7fc0123b5678ull        /* a different index at every level */

static void open_path(u32 top, u64 gva)
{
	memset(ram, 0, RAM_PAGES * PAGE_SIZE);
	for (u32 level = top; level; level--)
		*slot_of(top, level, gva) = target_of(top, level) | PTE_P | PTE_W | PTE_U;
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

/* Every field of one level under every control state and access. */
static void each_level_alone(void **state)
{
	for (u32 mode = MODEL_4L; mode <= MODEL_5L; mode++)
		for (u32 level = 1, top = mode == MODEL_4L ? 4 : 5; level <= top; level++)
			for (u32 field = 0; field < 1u << FIELD_BITS; field++) {
				open_path(top, GVA);
				set_field(top, level, GVA, field);
				for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++) {
					struct model_state s = control(mode, n % CONTROLS);

					s.pages_1g = field & 4;
					check_walk(&s, GVA, accesses[n / CONTROLS], true);
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

					check_walk(&s, GVA, accesses[n / CONTROLS], false);
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

			check_walk(&s, GVA, accesses[n / CONTROLS], false);
		}
	}
}

/* Each bit of an entry alone, at every level, small and large, for each address width. */
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
						check_walk(&s, GVA, accesses[0], true);
						check_walk(&s, GVA, accesses[4], true);
					}
}

/* A table pointer that leaves the RAM: hidden memory, devices, beyond the width. */
static void tables_outside_of_ram(void **state)
{
	static const u64 places[] = {RAM_BASE + RAM_PAGES * PAGE_SIZE, 0x80000000, BIT(39), BIT(46), BITS(51, 12)};

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
				check_walk(&s, GVA, accesses[n % ARRAY_SIZE(accesses)], true);
			}
}

static void paging_off_is_the_identity(void **state)
{
	for (u32 n = 0; n < CONTROLS * ARRAY_SIZE(accesses); n++) {
		struct model_state s = control(MODEL_OFF, n % CONTROLS);

		check_walk(&s, 0xfee00123, accesses[n / CONTROLS], true);
		check_walk(&s, RAM_BASE + 5, accesses[n / CONTROLS], true);
	}
}

/* --- random tables ----------------------------------------------------------- */
static u64 random_entry(struct rng *r)
{
	u64 e = RAM_BASE + rng_below(r, 16) * PAGE_SIZE;

	e |= rng_chance(r, 93) ? PTE_P : 0;
	e |= rng_chance(r, 75) ? PTE_W : 0;
	e |= rng_chance(r, 75) ? PTE_U : 0;
	e |= rng_next(r) & (PTE_A | PTE_D | PTE_PWT | PTE_PCD);
	e |= rng_chance(r, 10) ? PTE_NX : 0;
	e |= rng_chance(r, 3) ? BIT(rng_below(r, 64)) : 0;
	if (rng_chance(r, 15))
		e = (e & 0xfffull) | PTE_PS | ALIGN_DOWN(e & PTE_ADDR_MASK, 0x200000ull) | (e & PTE_NX);
	if (rng_chance(r, 2))
		e ^= rng_next(r) & PTE_ADDR_MASK;
	return e & ~PTE_G;
}

static void fill_random(struct rng *r, bool wide)
{
	for (u32 i = 0; i < 16 * PAGE_SIZE / 8; i++) {
		u64 e = random_entry(r);

		if (wide)
			((u64 *)ram)[i] = e;
		else
			((u64 *)ram)[i] = (u32)e | random_entry(r) << 32;
	}
}

static void random_state(struct rng *r, enum model_mode mode, struct model_state *s)
{
	static const u32 widths[] = {36, 40, 46, 52};

	*s = control(mode, rng_below(r, CONTROLS));
	s->cr3 = RAM_BASE + rng_below(r, 16) * PAGE_SIZE + (rng_next(r) & 0x18);
	s->maxphyaddr = widths[rng_below(r, 4)];
	s->pages_1g = rng_chance(r, 50);
	s->pse = rng_chance(r, 70);
	for (u32 i = 0; i < 4; i++)
		s->pdpte[i] = (RAM_BASE + rng_below(r, 16) * PAGE_SIZE) | (rng_chance(r, 80) ? PTE_P : 0);
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
	struct rng r;

	rng_seed(&r, seed);
	for (u32 round = 0; round < 40; round++) {
		fill_random(&r, mode != MODEL_32);
		for (u32 i = 0; i < 5000; i++) {
			struct model_state s;

			random_state(&r, mode, &s);
			check_walk(&s, random_gva(&r, mode), accesses[rng_below(&r, ARRAY_SIZE(accesses))],
				   i % 4 == 0);
		}
	}
}

static void random_4_level(void **state) { random_walks(MODEL_4L, 1); }
static void random_5_level(void **state) { random_walks(MODEL_5L, 2); }
static void random_pae(void **state) { random_walks(MODEL_PAE, 3); }

/* The 32-bit format comes with an issue of its own: until then the walker knows no tables in it. */
static void random_32_bit(void **state)
{
	struct model_state s = control(MODEL_32, 0);
	struct gpt_context c = context_of(&s);
	struct gpt_walk w;

	memset(ram, 0, PAGE_SIZE);
	if (gpt_walk(&c, 0, (struct gpt_access){0}, GPT_PEEK, &w) != GPT_FAULT)
		skip();
	random_walks(MODEL_32, 4);
}

/* Whatever random walks may write, it is nothing but A and D. */
static void only_a_and_d_are_ever_written(void **state)
{
	struct rng r;

	rng_seed(&r, 5);
	fill_random(&r, true);
	memcpy(ram_copy, ram, RAM_PAGES * PAGE_SIZE);
	for (u32 i = 0; i < 20000; i++) {
		struct model_state s;
		struct gpt_context c;
		struct gpt_walk w;

		random_state(&r, MODEL_4L, &s);
		c = context_of(&s);
		(void)gpt_walk(&c, random_gva(&r, MODEL_4L), (struct gpt_access){.write = true}, GPT_SET_AD, &w);
	}
	for (u32 i = 0; i < RAM_PAGES * PAGE_SIZE / 8; i++) {
		u64 before = ((u64 *)ram_copy)[i], after = ((u64 *)ram)[i];

		assert_int_equal((before ^ after) & ~(PTE_A | PTE_D), 0);
		assert_int_equal(before & ~after, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_level_alone),
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

	return cmocka_run_group_tests(tests, setup, teardown);
}
