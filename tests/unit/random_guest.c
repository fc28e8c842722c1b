/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest of the random runs; see tests/unit/random_guest.h. */
#include "tests/unit/random_guest.h"

#include "lib/x86.h"

#define FULL (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define LINK (PTE_P | PTE_W | PTE_U | PTE_A)

/* Where the window is: slots from the top down. 32-bit guests: the upper half of a leaf table. */
#define WINDOW_TOP 511u
#define WINDOW_L3 2u
#define WINDOW_L2 3u
#define WINDOW_PDE 513u
#define WINDOW32_SLOT 512u

static const u32 slots_top[] = {0, 1, 256, WINDOW_TOP}; /* levels 4 and 5 */
static const u32 slots3[] = {0, 1, WINDOW_L3};
static const u32 slots_pdpt[] = {0, 1, WINDOW_L3, 3};
static const u32 slots2[] = {0, 1, 2, WINDOW_L2};
static const u32 slots_pd[] = {0, 1, 256, WINDOW_PDE, 768, 1023}; /* 4 MiB each; all quarters */
static const u32 pdpts[] = {0, 0x20, 0x3e0, 0xfe0};               /* in the frame PDPT */

static u32 pick(struct world *w, const u32 *list, u32 count)
{
	return list[rng_below(&w->rng, count)];
}
#define PICK(w, list) pick(w, list, ARRAY_SIZE(list))

/* --- modes ------------------------------------------------------------------------ */
enum model_mode mode_now(const struct world *w)
{
	return machine_model_state(w->m).mode;
}

enum model_mode any_mode(struct world *w)
{
	static const u32 all[] = {MODEL_32, MODEL_PAE, MODEL_4L, MODEL_5L};
	u32 mode;

	do
		mode = PICK(w, all);
	while (!(w->modes & BIT(mode)));
	return (enum model_mode)mode;
}

u32 mode_top(enum model_mode mode)
{
	return mode == MODEL_5L ? 5 : mode == MODEL_4L ? 4 : 2;
}

u32 mode_entry_bytes(enum model_mode mode)
{
	return mode == MODEL_32 ? 4 : 8;
}

u64 mode_address(enum model_mode mode, u64 gva)
{
	u32 unused = mode == MODEL_5L ? 7 : 16;

	return mode_is_long(mode) ? (u64)((s64)(gva << unused) >> unused) : (u32)gva;
}

/* --- addresses ---------------------------------------------------------------------- */
static u32 slot1(struct world *w, enum model_mode mode)
{
	u32 slot = rng_chance(&w->rng, 70) ? rng_below(&w->rng, 6) : FIRST + rng_below(&w->rng, WATCHED);

	return mode == MODEL_32 && rng_chance(&w->rng, 50) ? slot + WINDOW32_SLOT : slot;
}

static u32 any_slot(struct world *w, enum model_mode mode, u32 level)
{
	switch (level) {
	case 1: return slot1(w, mode);
	case 2: return mode == MODEL_32 ? PICK(w, slots_pd) : PICK(w, slots2);
	case 3: return mode == MODEL_PAE ? PICK(w, slots_pdpt) : PICK(w, slots3);
	default: return PICK(w, slots_top);
	}
}

static u32 level_shift(enum model_mode mode, u32 level)
{
	return 12 + (mode == MODEL_32 ? 10 : 9) * (level - 1);
}

static u64 with_slot(enum model_mode mode, u64 gva, u32 level, u64 slot)
{
	u32 shift = level_shift(mode, level);
	u64 mask = mode == MODEL_32 ? 1023 : 511;

	return mode_address(mode, (gva & ~(mask << shift)) | slot << shift);
}

u64 window(const struct world *w, u32 number)
{
	enum model_mode mode = mode_now(w);
	u64 gva = 0;

	if (mode == MODEL_OFF)
		return frame(number);
	if (mode == MODEL_32)
		return (u64)WINDOW_PDE << 22 | (u64)(WINDOW32_SLOT + number) << 12;
	for (u32 level = mode_top(mode); level >= 4; level--)
		gva = with_slot(mode, gva, level, WINDOW_TOP);
	return mode_address(mode, gva | (u64)WINDOW_L3 << 30 | (u64)WINDOW_L2 << 21 | (u64)number << 12);
}

u64 any_gva(struct world *w)
{
	enum model_mode mode = mode_now(w);
	u32 top = mode == MODEL_PAE ? 3 : mode_top(mode);
	u64 gva = 0;

	for (u32 level = 1; level <= top; level++)
		gva = with_slot(mode, gva, level, any_slot(w, mode, level));
	return gva;
}

u64 sibling(struct world *w, u64 gva, u32 level)
{
	enum model_mode mode = mode_now(w);
	u32 at = 1 + rng_below(&w->rng, level);

	return with_slot(mode, gva, at, any_slot(w, mode, at));
}

/* --- places ---------------------------------------------------------------------------- */
struct place place_in(struct world *w, u32 table, u32 level)
{
	enum model_mode mode = mode_now(w);
	struct place p = {.mode = mode, .level = level, .size = mode_entry_bytes(mode)};

	p.gpa = frame(table) + any_slot(w, mode, level) * p.size;
	return p;
}

static u32 table_of(struct world *w, enum model_mode mode, u32 level)
{
	switch (level) {
	case 1:
		if (rng_chance(&w->rng, 4))
			return mode == MODEL_32 ? WINDOW32_TABLE : WINDOW_TABLE;
		return LOWER + rng_below(&w->rng, LOWERS - 1);
	case 2:
		if (mode == MODEL_32)
			return rng_chance(&w->rng, 10) ? PDPT : ROOT32 + rng_below(&w->rng, ROOT32S);
		return MIDDLE + rng_below(&w->rng, MIDDLES);
	case 3: return mode == MODEL_PAE ? PDPT : UPPER + rng_below(&w->rng, UPPERS);
	case 4: return ROOT + rng_below(&w->rng, ROOTS);
	default: return ROOT5 + rng_below(&w->rng, ROOT5S);
	}
}

static u32 any_level(struct world *w, enum model_mode mode)
{
	u32 dice = rng_below(&w->rng, 100);

	if (mode == MODEL_32)
		return dice < 35 ? 2 : 1;
	if (mode == MODEL_PAE)
		return dice < 8 ? 3 : dice < 40 ? 2 : 1;
	if (dice < 10)
		return mode_top(mode);
	if (dice < 15)
		return 4;
	return dice < 27 ? 3 : dice < 50 ? 2 : 1;
}

struct place any_place(struct world *w)
{
	enum model_mode mode = mode_now(w);
	struct place p;
	u32 table;

	if (mode == MODEL_OFF || rng_chance(&w->rng, 8))
		mode = any_mode(w);
	p.mode = mode;
	p.level = any_level(w, mode);
	p.size = mode_entry_bytes(mode);
	table = rng_chance(&w->rng, 3) ? DATA + rng_below(&w->rng, END - DATA) : table_of(w, mode, p.level);
	p.gpa = frame(table) + any_slot(w, mode, p.level) * p.size;
	if (mode == MODEL_PAE && p.level == 3)
		p.gpa += PICK(w, pdpts);
	return p;
}

u32 any_table(struct world *w, u32 level)
{
	static const u32 first[] = {0, LOWER, MIDDLE, UPPER, ROOT};
	static const u32 count[] = {0, LOWERS - 1, MIDDLES - 1, UPPERS - 1, ROOTS};

	return first[level] + rng_below(&w->rng, count[level]);
}

/* --- entries --------------------------------------------------------------------------- */
u64 link_entry(u32 table)
{
	return frame(table) | LINK;
}

const u64 odd_tables[ODD_TABLES] = {
	MACHINE_HIGH,
	MACHINE_HIGH + 0x5000,
	MACHINE_LOW_END - 0x1000,
	0x3000, /* as in odd_page() */
	0,
	0x200000,
	0x400000,
	0x600000,
	MACHINE_HIGH + 0x200000, /* as in large_page() */
};

u64 odd_page(struct world *w)
{
	static const u64 places[] = {
		MACHINE_HIDDEN, MACHINE_POOL + 0x3000, MACHINE_TRAPPED,          0x2005000, 0x80007000,
		MACHINE_HIGH,   MACHINE_HIGH + 0x5000, MACHINE_LOW_END - 0x1000, 0x3000,    0xfffffff000,
	};

	return places[rng_below(&w->rng, ARRAY_SIZE(places))];
}

static u64 large_page(struct world *w)
{
	static const u64 places[] = {
		0,
		0,
		0,
		0x200000,
		0x400000,
		0x600000,
		0x800000,
		MACHINE_HIGH,
		MACHINE_HIGH + 0x200000,
		MACHINE_MMIO,
		0x80000000,
	};

	return places[rng_below(&w->rng, ARRAY_SIZE(places))] | PTE_PS;
}

/* 4 MiB; bits 20:13 are bits 39:32 of the address (PSE-36). */
static u64 large_page_32(struct world *w)
{
	static const u64 places[] = {
		0,
		0,
		0,
		0x400000,
		0x800000,
		MACHINE_HIGH,
		MACHINE_HIGH,
		MACHINE_POOL,
		MACHINE_MMIO,
		0x80000000,
		0x800000 | BIT(13),
		MACHINE_HIGH | BIT(16),
		BIT(17),
		0xc00000 | BIT(20),
		BIT(21),
	};

	return places[rng_below(&w->rng, ARRAY_SIZE(places))] | PTE_PS;
}

static u64 any_flags(struct world *w, u32 bits)
{
	struct rng *r = &w->rng;
	u64 e = rng_chance(r, 88) ? PTE_P : 0;

	e |= rng_chance(r, 75) ? PTE_W : 0;
	e |= rng_chance(r, 65) ? PTE_U : 0;
	e |= rng_chance(r, 60) ? PTE_A : 0;
	e |= rng_chance(r, 55) ? PTE_D : 0;
	e |= bits == 64 && rng_chance(r, 10) ? PTE_NX : 0;
	e |= rng_chance(r, 8) ? PTE_PWT : 0;
	e |= rng_chance(r, 8) ? PTE_PCD : 0;
	e |= rng_chance(r, 8) ? PTE_G : 0;
	e |= rng_chance(r, 2) ? BIT(rng_below(r, bits)) : 0;
	return e;
}

static u64 any_leaf(struct world *w)
{
	struct rng *r = &w->rng;

	if (rng_chance(r, 10))
		return odd_page(w);
	return frame(rng_chance(r, 75) ? DATA + rng_below(r, END - DATA) : FIRST + rng_below(r, WATCHED)) |
	       (rng_chance(r, 5) ? PTE_PAT_4K : 0);
}

static u64 any_link(struct world *w, enum model_mode mode, u32 level)
{
	struct rng *r = &w->rng;

	if (level == 3 && rng_chance(r, 4))
		return PTE_PS;
	if (level == 2 && rng_chance(r, 20))
		return (mode == MODEL_32 ? large_page_32(w) : large_page(w)) |
		       (rng_chance(r, 10) ? PTE_PAT_LARGE : 0);
	if (level == 2 && rng_chance(r, 12))
		return frame(mode == MODEL_32 ? WINDOW32_TABLE : WINDOW_TABLE);
	return frame(any_table(w, level - 1));
}

/* Mostly absent or well-formed: one reserved bit in four entries is #GP for the whole PDPT. */
static u64 any_pdpte(struct world *w)
{
	struct rng *r = &w->rng;
	u64 e = frame(rng_chance(r, 95) ? MIDDLE + rng_below(r, MIDDLES) : FIRST + rng_below(r, WATCHED));

	if (rng_chance(r, 4))
		e = odd_page(w);
	e |= rng_chance(r, 85) ? PTE_P : 0;
	e |= rng_chance(r, 5) ? PTE_PWT | PTE_PCD : 0;
	e |= rng_chance(r, 3) ? BIT(rng_below(r, 64)) : 0;
	return e;
}

u64 any_entry(struct world *w, enum model_mode mode, u32 level)
{
	u64 target;

	if (mode == MODEL_PAE && level == 3)
		return any_pdpte(w);
	if (rng_chance(&w->rng, 6)) /* whatever: a table of the wrong level, itself, data */
		target = frame(FIRST + rng_below(&w->rng, WATCHED));
	else
		target = level == 1 ? any_leaf(w) : any_link(w, mode, level);
	target |= any_flags(w, mode == MODEL_32 ? 32 : 64);
	return mode == MODEL_32 ? (u32)target : target;
}

u64 entry_for(struct world *w, struct place place)
{
	return any_entry(w, place.mode, place.level);
}

/* --- roots ------------------------------------------------------------------------------- */
u64 good_cr3(struct world *w, enum model_mode mode)
{
	switch (mode) {
	case MODEL_32: return frame(rng_chance(&w->rng, 15) ? PDPT : ROOT32 + rng_below(&w->rng, ROOT32S));
	case MODEL_PAE: return frame(PDPT) + PICK(w, pdpts);
	case MODEL_5L: return frame(ROOT5 + rng_below(&w->rng, ROOT5S));
	default: return frame(ROOT + rng_below(&w->rng, ROOTS));
	}
}

u64 any_cr3(struct world *w)
{
	u64 cr3 = rng_chance(&w->rng, 50) ? w->m->paging.cr3 : good_cr3(w, mode_now(w));

	if (rng_chance(&w->rng, 2))
		cr3 = frame(FIRST + rng_below(&w->rng, WATCHED));
	if (rng_chance(&w->rng, 10))
		cr3 ^= BITS(4, 3); /* PWT, PCD */
	return cr3;
}

/* --- all tables --------------------------------------------------------------------------- */
static void put(struct world *w, u32 table, u32 slot, u64 e)
{
	machine_dma(w->m, frame(table) + 8 * slot, e);
}

static void put32(struct world *w, u32 table, u32 slot, u64 e)
{
	u64 place = frame(table) + 8 * (slot / 2);
	u32 shift = slot & 1 ? 32 : 0;

	machine_dma(w->m, place, (machine_peek(w->m, place) & ~(0xffffffffull << shift)) | (u64)(u32)e << shift);
}

static u64 data_entry(struct world *w, u32 bits)
{
	return frame(DATA + rng_below(&w->rng, END - DATA)) | any_flags(w, bits);
}

static void build_lower(struct world *w)
{
	bool narrow = mode_now(w) == MODEL_32;

	for (u32 t = 0; t < LOWERS - 1; t++)
		for (u32 i = 0; i < 8; i++) {
			if (narrow) {
				put32(w, LOWER + t, i, data_entry(w, 32));
				put32(w, LOWER + t, WINDOW32_SLOT + i, data_entry(w, 32));
			} else {
				put(w, LOWER + t, i, data_entry(w, 64));
			}
		}
	for (u32 i = FIRST; i < END; i++) {
		put(w, WINDOW_TABLE, i, frame(i) | FULL);
		put32(w, WINDOW32_TABLE, WINDOW32_SLOT + i, frame(i) | FULL);
		put32(w, WINDOW32_TABLE, i, frame(i) | FULL);
	}
}

static void build_long(struct world *w)
{
	for (u32 t = 0; t < MIDDLES - 1; t++)
		for (u32 i = 0; i < 3; i++)
			put(w, MIDDLE + t, i, any_entry(w, MODEL_4L, 2));
	for (u32 t = 0; t < UPPERS - 1; t++)
		for (u32 i = 0; i < 2; i++)
			put(w, UPPER + t, slots3[i], link_entry(MIDDLE + rng_below(&w->rng, MIDDLES - 1)));
	for (u32 i = 0; i < ARRAY_SIZE(slots3); i++)
		put(w, UPPER + UPPERS - 1, slots3[i], link_entry(MIDDLE + MIDDLES - 1));
	for (u32 i = 0; i < ARRAY_SIZE(slots2); i++)
		put(w, MIDDLE + MIDDLES - 1, slots2[i],
		    link_entry(slots2[i] == WINDOW_L2 ? WINDOW_TABLE : LOWER + i));
	for (u32 i = 0; i < ARRAY_SIZE(slots_top); i++) {
		bool last = slots_top[i] == WINDOW_TOP;

		for (u32 r = 0; r < ROOTS; r++)
			put(w, ROOT + r, slots_top[i], link_entry(last ? UPPER + UPPERS - 1 : UPPER + (i + r) % 2));
		for (u32 r = 0; r < ROOT5S; r++)
			put(w, ROOT5 + r, slots_top[i], link_entry(ROOT + (i + r) % ROOTS));
	}
}

static void build_narrow(struct world *w)
{
	for (u32 p = 0; p < ARRAY_SIZE(pdpts); p++)
		for (u32 i = 0; i < 4; i++)
			put(w, PDPT, pdpts[p] / 8 + i,
			    frame(MIDDLE + (i == WINDOW_L3 ? MIDDLES - 1 : (i ? i + p : p / 2) % MIDDLES)) | PTE_P);
	for (u32 r = 0; r < ROOT32S; r++)
		for (u32 i = 0; i < ARRAY_SIZE(slots_pd); i++)
			put32(w, ROOT32 + r, slots_pd[i],
			      rng_chance(&w->rng, 30) ? large_page_32(w) | any_flags(w, 32) :
							link_entry(LOWER + (i + r) % 7));
	for (u32 r = 0; r < ROOT32S; r++)
		put32(w, ROOT32 + r, WINDOW_PDE, link_entry(WINDOW32_TABLE));
	put32(w, PDPT, WINDOW_PDE, link_entry(WINDOW32_TABLE));
}

void build_tables(struct world *w)
{
	build_lower(w);
	build_long(w);
	build_narrow(w);
}

bool window_works(struct world *w)
{
	struct model_result r =
		machine_naive(w->m, window(w, DATA), (struct model_access){.write = true, .ac = true});

	return !r.fault && r.physical == frame(DATA);
}
