/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random guests on the simulated machine, whose TLB never forgets by itself,
 * judged by the architectural oracle: see machine.h and oracle.h.
 *
 * UMBRA_SEED=n runs one seed alone, with an audit after every exit;
 * UMBRA_SEEDS and UMBRA_STEPS change how many and how long. UMBRA_STRICT=0
 * leaves out the direct comparison of the TLB with the shadow, so that the
 * oracle alone judges. UMBRA_TRACE=1 prints every operation.
 */
#include "tests/unit/host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/x86.h"
#include "mm/phys.h"
#include "tests/unit/oracle.h"

/* The guest's memory that is watched: tables first, then data. Frame numbers. */
#define FIRST 16u
#define ROOTS 3u
#define ROOT FIRST
#define UPPER 19u                   /* level 3: 3 frames; the last is of the window */
#define MIDDLE 22u                  /* level 2: 4 frames; the last is of the window */
#define LOWER 26u                   /* level 1: 8 frames; the last is the window */
#define DATA 34u
#define END 44u
#define WATCHED (END - FIRST)
#define WINDOW_TABLE 33u

/* The window maps every watched frame at its own number in one leaf table. */
#define WINDOW_L4 511u
#define WINDOW_L3 2u
#define WINDOW_L2 3u

#define FULL (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define LINK (PTE_P | PTE_W | PTE_U | PTE_A)
#define OTHER_PAT 0x0607050401000406ull
#define READ ((struct model_access){0})

struct world {
	struct machine *m;
	struct oracle oracle;
	struct rng rng;
	u64 seed;
	u32 step;
	bool trace;
	bool dma;                   /* devices write to tables in this run */
};

static struct world *current;       /* for the message of a panic */

static u64 frame(u32 number) { return (u64)number << 12; }

static u32 pick(struct world *w, const u32 *list, u32 count)
{
	return list[rng_below(&w->rng, count)];
}
#define PICK(w, list) pick(w, list, ARRAY_SIZE(list))

#define TRACE(w, ...) do { \
	if ((w)->trace) { \
		printf("%5u ", (w)->step); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

/* --- addresses and entries ------------------------------------------------------ */
static const u32 slots4[] = {0, 1, 256, WINDOW_L4};
static const u32 slots3[] = {0, 1, WINDOW_L3};
static const u32 slots2[] = {0, 1, 2, WINDOW_L2};

static u32 slot1(struct world *w)
{
	return rng_chance(&w->rng, 70) ? rng_below(&w->rng, 6) : FIRST + rng_below(&w->rng, WATCHED);
}

static u64 compose(u32 l4, u32 l3, u32 l2, u32 l1)
{
	u64 gva = (u64)l4 << 39 | (u64)l3 << 30 | (u64)l2 << 21 | (u64)l1 << 12;

	return l4 & 256 ? gva | 0xffff000000000000ull : gva;
}

static u64 window(u32 number)
{
	return compose(WINDOW_L4, WINDOW_L3, WINDOW_L2, number);
}

static u64 any_gva(struct world *w)
{
	return compose(PICK(w, slots4), PICK(w, slots3), PICK(w, slots2), slot1(w));
}

/* A place in a table and the level that the table was meant for. */
static u64 any_place(struct world *w, u32 *level)
{
	u32 dice = rng_below(&w->rng, 100);

	if (dice < 10) {
		*level = 4;
		return frame(ROOT + rng_below(&w->rng, ROOTS)) + 8 * PICK(w, slots4);
	}
	if (dice < 25) {
		*level = 3;
		return frame(UPPER + rng_below(&w->rng, 3)) + 8 * PICK(w, slots3);
	}
	if (dice < 50) {
		*level = 2;
		return frame(MIDDLE + rng_below(&w->rng, 4)) + 8 * PICK(w, slots2);
	}
	*level = 1;
	if (dice < 92)
		return frame(LOWER + rng_below(&w->rng, 7)) + 8 * slot1(w);
	if (dice < 94)
		return frame(WINDOW_TABLE) + 8 * slot1(w);
	return frame(DATA + rng_below(&w->rng, END - DATA)) + 8 * slot1(w);
}

static u64 odd_page(struct world *w)
{
	static const u64 places[] = {
		MACHINE_HIDDEN, MACHINE_POOL + 0x3000, MACHINE_TRAPPED, 0x2005000, 0x80007000, MACHINE_HIGH,
		MACHINE_HIGH + 0x5000, MACHINE_LOW_END - 0x1000, 0x3000, 0xfffffff000,
	};

	return places[rng_below(&w->rng, ARRAY_SIZE(places))];
}

static u64 large_page(struct world *w)
{
	static const u64 places[] = {
		0, 0, 0, 0x200000, 0x400000, 0x600000, 0x800000, MACHINE_HIGH, MACHINE_HIGH + 0x200000,
		MACHINE_MMIO, 0x80000000,
	};

	return places[rng_below(&w->rng, ARRAY_SIZE(places))] | PTE_PS;
}

static u64 any_flags(struct world *w)
{
	struct rng *r = &w->rng;
	u64 e = rng_chance(r, 88) ? PTE_P : 0;

	e |= rng_chance(r, 75) ? PTE_W : 0;
	e |= rng_chance(r, 65) ? PTE_U : 0;
	e |= rng_chance(r, 60) ? PTE_A : 0;
	e |= rng_chance(r, 55) ? PTE_D : 0;
	e |= rng_chance(r, 10) ? PTE_NX : 0;
	e |= rng_chance(r, 8) ? PTE_PWT : 0;
	e |= rng_chance(r, 8) ? PTE_PCD : 0;
	e |= rng_chance(r, 2) ? BIT(rng_below(r, 64)) : 0;
	return e;
}

static u64 any_target(struct world *w, u32 level)
{
	struct rng *r = &w->rng;

	if (rng_chance(r, 6)) /* whatever: a table of the wrong level, itself, data */
		return frame(FIRST + rng_below(r, WATCHED));
	switch (level) {
	case 4:
		return frame(UPPER + rng_below(r, 3));
	case 3:
		return rng_chance(r, 4) ? PTE_PS : frame(MIDDLE + rng_below(r, 4));
	case 2:
		return rng_chance(r, 20) ? large_page(w) | (rng_chance(r, 10) ? PTE_PAT_LARGE : 0) :
		       frame(LOWER + rng_below(r, 8));
	default:
		if (rng_chance(r, 10))
			return odd_page(w);
		return frame(rng_chance(r, 75) ? DATA + rng_below(r, END - DATA) : FIRST + rng_below(r, WATCHED)) |
		       (rng_chance(r, 5) ? PTE_PAT_4K : 0);
	}
}

static u64 any_entry(struct world *w, u32 level)
{
	return any_target(w, level) | any_flags(w);
}

/* --- the guest's tables at the start, and again when too little is left ----------- */
static void put(struct world *w, u32 table, u32 slot, u64 e)
{
	machine_dma(w->m, frame(table) + 8 * slot, e);
}

static void build_lower(struct world *w)
{
	for (u32 t = 0; t < 7; t++)
		for (u32 i = 0; i < 8; i++)
			put(w, LOWER + t, i, frame(DATA + rng_below(&w->rng, END - DATA)) | any_flags(w));
	for (u32 i = FIRST; i < END; i++)
		put(w, WINDOW_TABLE, i, frame(i) | FULL);
}

static void build(struct world *w)
{
	build_lower(w);
	for (u32 t = 0; t < 3; t++)
		for (u32 i = 0; i < 3; i++)
			put(w, MIDDLE + t, i, any_entry(w, 2));
	for (u32 t = 0; t < 2; t++)
		for (u32 i = 0; i < 2; i++)
			put(w, UPPER + t, slots3[i], frame(MIDDLE + rng_below(&w->rng, 3)) | LINK);
	for (u32 i = 0; i < 3; i++)
		put(w, UPPER + 2, slots3[i], frame(MIDDLE + 3) | LINK);
	for (u32 i = 0; i < 4; i++)
		put(w, MIDDLE + 3, slots2[i], frame(i == 3 ? WINDOW_TABLE : LOWER + i) | LINK);
	for (u32 r = 0; r < ROOTS; r++)
		for (u32 i = 0; i < 4; i++)
			put(w, ROOT + r, slots4[i], frame(i == 3 ? UPPER + 2 : UPPER + (i + r) % 2) | LINK);
}

static bool window_works(struct world *w)
{
	struct model_result r = machine_naive(w->m, window(DATA), (struct model_access){.write = true, .ac = true});

	return !r.fault && r.physical == frame(DATA);
}

/* --- operations --------------------------------------------------------------------- */
static struct model_access any_kind(struct world *w)
{
	struct model_access k = {.user = rng_chance(&w->rng, 45), .ac = rng_chance(&w->rng, 40)};
	u32 dice = rng_below(&w->rng, 100);

	k.write = dice < 40;
	k.fetch = dice >= 85;
	if (!k.user && !k.fetch && rng_chance(&w->rng, 5))
		k.implicit = true;
	return k;
}

static void judged_access(struct world *w, struct machine_access a)
{
	struct model_result before = machine_naive(w->m, a.gva, a.kind);
	struct machine_result r = machine_access(w->m, a);

	TRACE(w, "access %#llx write %u fetch %u user %u ac %u value %#llx size %u -> %u error %#x gpa %#llx kind %u exits %u",
	      (unsigned long long)a.gva, a.kind.write, a.kind.fetch, a.kind.user, a.kind.ac,
	      (unsigned long long)a.value, a.size, r.outcome, r.error, (unsigned long long)r.gpa, r.kind, r.exits);
	if (!w->dma || r.outcome == MACHINE_FAULT)
		oracle_judge(&w->oracle, &a, &before, &r);
}

static void op_access(struct world *w)
{
	static const u32 sizes[] = {8, 8, 8, 8, 4, 1};
	struct machine_access a = {.gva = any_gva(w), .kind = any_kind(w), .size = PICK(w, sizes)};
	u32 level;

	a.gva += (any_place(w, &level) & 0xfff) + (a.size == 4 ? 4 * rng_below(&w->rng, 2) : 0);
	a.value = any_entry(w, level);
	judged_access(w, a);
}

/* The guest's kernel edits a table through its window. */
static void op_edit(struct world *w)
{
	struct machine_access a = {.kind = {.write = true, .ac = true}, .size = 8};
	u32 level;
	u64 place = any_place(w, &level);

	a.gva = window((u32)(place >> 12)) + (place & 0xfff);
	a.value = any_entry(w, level);
	if (rng_chance(&w->rng, 15)) {
		u32 high = rng_below(&w->rng, 2);

		a.size = 4;
		a.gva += 4 * high;
		a.value >>= 32 * high;
	}
	judged_access(w, a);
	if (rng_chance(&w->rng, 30))
		judged_access(w, (struct machine_access){.gva = a.gva & ~7ull, .kind = {.ac = true}, .size = 8});
}

/* Small changes to what is there: rights, A, D, P; as kernels do, through the window. */
static void op_tweak(struct world *w)
{
	static const u64 bits[] = {PTE_A, PTE_D, PTE_W, PTE_W, PTE_U, PTE_P, PTE_A | PTE_D, PTE_NX};
	u32 level;
	u64 place = any_place(w, &level);
	u64 value = machine_peek(w->m, place) ^ bits[rng_below(&w->rng, ARRAY_SIZE(bits))];

	judged_access(w, (struct machine_access){
		.gva = window((u32)(place >> 12)) + (place & 0xfff), .kind = {.write = true, .ac = true},
		.size = 8, .value = value});
}

/*
 * A device writes to a table. Nobody sees that, so the engine may go on with
 * what it read from a protected table until that table is written or dropped:
 * in runs with DMA only the safety of memory and the engine's survival count.
 */
static void op_dma(struct world *w)
{
	u32 level;

	if (!w->dma)
		return;
	for (u32 i = 0; i < 3; i++) {
		u64 place = any_place(w, &level), value = any_entry(w, level);

		TRACE(w, "dma %#llx = %#llx", (unsigned long long)place, (unsigned long long)value);
		machine_dma(w->m, place, value);
	}
}

static void op_speculate(struct world *w)
{
	for (u32 i = 0; i < 4; i++)
		machine_speculate(w->m, any_gva(w));
}

static void op_invlpg(struct world *w)
{
	u64 gva = rng_chance(&w->rng, 3) ? rng_next(&w->rng) : any_gva(w);

	TRACE(w, "invlpg %#llx", (unsigned long long)gva);
	machine_invlpg(w->m, gva);
	oracle_flushed_page(&w->oracle, gva);
	judged_access(w, (struct machine_access){.gva = ALIGN_DOWN(gva, 8) & 0x7fffffffffffull, .kind = any_kind(w),
		      .size = 8, .value = any_entry(w, 1)});
}

/*
 * What kernels do all day: change the leaf of a page that the TLB holds, flush
 * just that page, use it.
 */
static void op_hot(struct world *w)
{
	struct machine *m = w->m;
	struct model_result n;
	struct machine_access a = {.size = 8};
	u64 place, gva;

	if (!m->tlb_count)
		return;
	gva = m->tlb[rng_below(&w->rng, m->tlb_count)].gva;
	n = machine_naive(m, gva, READ);
	if (!n.count)
		return;
	place = n.entries[rng_chance(&w->rng, 80) ? n.count - 1 : rng_below(&w->rng, n.count)].address;
	if (place - frame(FIRST) >= frame(WATCHED))
		return;
	judged_access(w, (struct machine_access){
		.gva = window((u32)(place >> 12)) + (place & 0xfff), .kind = {.write = true, .ac = true}, .size = 8,
		.value = rng_chance(&w->rng, 60) ? any_entry(w, 1) : machine_peek(m, place) ^ PTE_W});
	a.gva = gva;
	a.kind = any_kind(w);
	if (rng_chance(&w->rng, 80)) {
		TRACE(w, "invlpg %#llx", (unsigned long long)gva);
		machine_invlpg(m, gva);
		oracle_flushed_page(&w->oracle, gva);
	}
	judged_access(w, a);
}

static void edit(struct world *w, u64 place, u64 value)
{
	judged_access(w, (struct machine_access){
		.gva = window((u32)(place >> 12)) + (place & 0xfff), .kind = {.write = true, .ac = true}, .size = 8,
		.value = value});
}

/* The gva one slot further in the table of that level, or in one below it. */
static u64 sibling(struct world *w, u64 gva, u32 level)
{
	u32 at = 1 + rng_below(&w->rng, level);
	u32 index = at == 1 ? slot1(w) : at == 2 ? PICK(w, slots2) : PICK(w, slots3);

	return (gva & ~(511ull << (12 + 9 * (at - 1)))) | (u64)index << (12 + 9 * (at - 1));
}

/*
 * A table is taken out, edited, and linked again (or linked at a second place):
 * what lies under it must be as it reads now.
 */
static void op_link(struct world *w)
{
	static const u32 first[] = {0, LOWER, MIDDLE, UPPER}, count[] = {0, 7, 3, 2};
	u32 level = 1 + rng_below(&w->rng, 3), table = first[level] + rng_below(&w->rng, count[level]);
	u64 gva = any_gva(w), parent;
	struct model_result n = machine_naive(w->m, gva, READ);
	u32 up = 4 - (level + 1);

	if (n.count <= up)
		return;
	parent = n.entries[up].address;
	if (parent - frame(FIRST) >= frame(WATCHED))
		return;
	if (rng_chance(&w->rng, 60)) {
		edit(w, parent, frame(table) | LINK);
		for (u32 i = 0; i < 3; i++)
			judged_access(w, (struct machine_access){.gva = sibling(w, gva, level), .kind = any_kind(w), .size = 8});
	}
	edit(w, parent, 0);
	TRACE(w, "invlpg %#llx", (unsigned long long)gva);
	machine_invlpg(w->m, gva);
	oracle_flushed_page(&w->oracle, gva);
	for (u32 i = 0; i < 3; i++) {
		u32 slot = level == 1 ? slot1(w) : level == 2 ? PICK(w, slots2) : PICK(w, slots3);

		edit(w, frame(table) + 8 * slot, any_entry(w, level));
		oracle_tick(&w->oracle);
	}
	edit(w, parent, frame(table) | LINK);
	oracle_tick(&w->oracle);
	for (u32 i = 0; i < 6; i++)
		judged_access(w, (struct machine_access){.gva = sibling(w, gva, level), .kind = any_kind(w), .size = 8,
			      .value = any_entry(w, 1)});
}

static void reads_after_flush(struct world *w)
{
	for (u32 i = 0; i < 3; i++)
		judged_access(w, (struct machine_access){.gva = any_gva(w), .kind = {.ac = true}, .size = 8});
}

static void op_cr3(struct world *w)
{
	u64 cr3 = rng_chance(&w->rng, 50) ? w->m->paging.cr3 : frame(ROOT + rng_below(&w->rng, ROOTS));

	if (rng_chance(&w->rng, 2))
		cr3 = frame(FIRST + rng_below(&w->rng, WATCHED));
	TRACE(w, "cr3 %#llx", (unsigned long long)cr3);
	machine_load_cr3(w->m, cr3);
	oracle_flushed(&w->oracle);
	reads_after_flush(w);
}

static void op_flush(struct world *w)
{
	TRACE(w, "flush");
	machine_flush(w->m);
	oracle_flushed(&w->oracle);
	reads_after_flush(w);
}

/* Control bits; most hold at once and flush nothing. */
static void op_control(struct world *w)
{
	struct shadow_paging p = w->m->paging;
	bool flush = false;

	switch (rng_below(&w->rng, 7)) {
	case 0:
	case 1:
		p.cr0 ^= CR0_WP;
		break;
	case 2:
		p.cr4 ^= CR4_SMAP;
		break;
	case 3:
		p.cr4 ^= CR4_SMEP;
		flush = p.cr4 & CR4_SMEP;
		break;
	case 4:
		p.cr4 ^= CR4_PGE;
		flush = true;
		break;
	case 5:
		p.pat = p.pat == PAT_RESET ? OTHER_PAT : PAT_RESET;
		flush = true;
		break;
	default:
		p.efer ^= EFER_NXE;
		flush = true;
		break;
	}
	TRACE(w, "cr0 %#llx cr4 %#llx efer %#llx flush %u", (unsigned long long)p.cr0, (unsigned long long)p.cr4,
	      (unsigned long long)p.efer, flush);
	machine_set_paging(w->m, &p, flush);
	if (flush)
		oracle_flushed(&w->oracle);
	reads_after_flush(w);
}

/* Paging off for a while: the identity, then back. */
static void op_paging_off(struct world *w)
{
	struct shadow_paging p = w->m->paging, saved = p;

	p.cr0 &= ~CR0_PG;
	p.efer &= ~EFER_LMA;
	TRACE(w, "paging off");
	machine_set_paging(w->m, &p, true);
	oracle_flushed(&w->oracle);
	for (u32 i = 0; i < 6; i++) {
		u32 level;
		u64 place = rng_chance(&w->rng, 70) ? any_place(w, &level) : odd_page(w) & 0xfffff000;

		judged_access(w, (struct machine_access){.gva = place, .kind = any_kind(w), .size = 8,
			      .value = any_entry(w, 1 + i % 4)});
	}
	TRACE(w, "paging on");
	machine_set_paging(w->m, &saved, true);
	oracle_flushed(&w->oracle);
	reads_after_flush(w);
}

/* One instruction with several operands: all must be mapped at one moment. */
static void op_instruction(struct world *w)
{
	struct machine_access list[4];
	u32 count = 2 + rng_below(&w->rng, 3);
	struct machine_result r;

	for (u32 i = 0; i < count; i++) {
		u32 level;

		list[i] = (struct machine_access){.gva = any_gva(w), .kind = any_kind(w), .size = 8};
		list[i].gva += any_place(w, &level) & 0xfff;
		list[i].value = any_entry(w, level);
		list[i].kind.user = list[0].kind.user;
		list[i].kind.ac = list[0].kind.ac;
		list[i].kind.fetch = i == 0;
		list[i].kind.implicit = false;
		if (i == 0)
			list[i].kind.write = false;
		TRACE(w, "operand %#llx write %u user %u value %#llx", (unsigned long long)list[i].gva,
		      list[i].kind.write, list[i].kind.user, (unsigned long long)list[i].value);
	}
	r = machine_instruction(w->m, list, count);
	TRACE(w, "  -> %u error %#x exits %u", r.outcome, r.error, r.exits);
}

/* The hypervisor itself reads and writes guest memory (decoder, descriptor tables). */
static void op_guest_copy(struct world *w)
{
	struct model_access k = any_kind(w);
	struct gpt_access ga = {.write = k.write, .fetch = k.fetch, .user = k.user, .implicit = k.implicit, .ac = k.ac};
	u64 gva = any_gva(w) + 8 * rng_below(&w->rng, 6), value = any_entry(w, 1), got = value, fault_gva = 0, old = 0;
	struct model_result n = machine_naive(w->m, gva, k), after;
	struct region_hit hit = {.kind = REGION_RAM};
	u32 error = 0;
	int result;

	if (!n.fault) {
		region_lookup(&w->m->regions, n.physical >> 12, &hit);
		old = hit.kind == REGION_RAM ? machine_peek(w->m, n.physical) : ~0ull;
	}
	TRACE(w, "copy %#llx write %u value %#llx", (unsigned long long)gva, k.write, (unsigned long long)value);
	if (k.write)
		result = shadow_write_guest(w->m->mmu, gva, &value, 8, ga, &fault_gva, &error);
	else
		result = shadow_read_guest(w->m->mmu, gva, &got, 8, ga, &fault_gva, &error);
	w->m->running = false;
	w->m->memory_changed(w->m, w->m->ctx, !k.write);
	if (n.fault) {
		if (result != -EFAULT || error != n.error || fault_gva != gva)
			machine_fail(w->m, "copy at %#llx: result %d error %#x, naive walk %#x",
				     (unsigned long long)gva, result, error, n.error);
		return;
	}
	if (hit.kind == REGION_MMIO || hit.kind == REGION_TRAPPED) {
		if (result != -EIO)
			machine_fail(w->m, "copy of a device gave %d", result);
		return;
	}
	after = machine_naive(w->m, gva, k);
	/* what is read may be an entry of its own path, with or without the marks of this access */
	if (result || (!k.write && got != old && got != machine_peek(w->m, n.physical)))
		machine_fail(w->m, "copy at %#llx: result %d, read %#llx of %#llx", (unsigned long long)gva, result,
			     (unsigned long long)got, (unsigned long long)old);
	else if (k.write && hit.kind == REGION_RAM && machine_peek(w->m, n.physical) != value)
		machine_fail(w->m, "copy to %#llx did not arrive", (unsigned long long)gva);
	else if (!k.write && !after.fault && after.count && !(after.entries[after.count - 1].value & PTE_A))
		machine_fail(w->m, "copy from %#llx without A", (unsigned long long)gva);
}

static void op_translate(struct world *w)
{
	struct model_access k = any_kind(w);
	struct gpt_access ga = {.write = k.write, .fetch = k.fetch, .user = k.user, .implicit = k.implicit, .ac = k.ac};
	u64 gva = any_gva(w);
	struct model_result n = machine_naive(w->m, gva, k);
	struct gpt_walk walk;
	enum gpt_status status = shadow_translate(w->m->mmu, gva, ga, &walk);

	w->m->memory_changed(w->m, w->m->ctx, true);
	if (n.fault ? status != GPT_FAULT || walk.error != n.error : status != GPT_OK || walk.gfn != n.physical >> 12)
		machine_fail(w->m, "translate %#llx: status %d", (unsigned long long)gva, (int)status);
}

static void op_drop_all(struct world *w)
{
	TRACE(w, "drop all");
	machine_drop_all(w->m);
}

static void op_rebuild(struct world *w)
{
	TRACE(w, "rebuild");
	build(w);
	machine_drop_all(w->m); /* nobody saw build() */
	machine_load_cr3(w->m, frame(ROOT));
	oracle_flushed(&w->oracle);
	reads_after_flush(w);
}

static const struct { u32 weight; void (*run)(struct world *w); } operations[] = {
	{300, op_access}, {180, op_edit}, {60, op_tweak}, {60, op_dma}, {120, op_speculate}, {70, op_invlpg}, {80, op_hot}, {40, op_link},
	{50, op_cr3}, {15, op_flush}, {40, op_control}, {4, op_paging_off}, {30, op_instruction},
	{25, op_guest_copy}, {15, op_translate}, {3, op_drop_all}, {2, op_rebuild},
};

static void one_operation(struct world *w)
{
	u32 total = 0, dice;

	if (w->oracle.crowded || (w->step % 16 == 0 && !window_works(w) && rng_chance(&w->rng, 30))) {
		if (w->oracle.crowded)
			op_flush(w);
		else
			op_rebuild(w);
		return;
	}
	for (u32 i = 0; i < ARRAY_SIZE(operations); i++)
		total += operations[i].weight;
	dice = rng_below(&w->rng, total);
	for (u32 i = 0; i < ARRAY_SIZE(operations); i++) {
		if (dice < operations[i].weight) {
			operations[i].run(w);
			return;
		}
		dice -= operations[i].weight;
	}
}

/* --- runs --------------------------------------------------------------------------- */
static u32 number_from(const char *name, u32 standard)
{
	const char *text = getenv(name);

	return text ? (u32)strtoul(text, NULL, 0) : standard;
}

static struct machine_config config_of(u64 seed)
{
	static const u32 tags[] = {1, 2, 3, 8}, bits[] = {36, 40, 46, 51, 52};
	static const u32 pages[] = {0, 64, 70, 96};
	struct rng r;
	struct machine_config c = {.seed = seed};

	rng_seed(&r, ~seed);
	c.tags = tags[rng_below(&r, 4)];
	c.host_phys_bits = bits[rng_below(&r, 5)];
	c.shadow_limit = pages[rng_below(&r, 4)] * PAGE_SIZE;
	c.shift = rng_chance(&r, 30) ? 0x40000000 : 0;
	c.no_1g = rng_chance(&r, 30);
	c.pool_bytes = 0x400000;
	return c;
}

static struct world *world_create(u64 seed, bool single)
{
	struct machine_config c = config_of(seed);
	struct world *w = calloc(1, sizeof(*w));
	struct shadow_paging p = machine_long_mode(frame(ROOT));

	w->seed = seed;
	w->trace = number_from("UMBRA_TRACE", 0);
	rng_seed(&w->rng, seed);
	w->m = machine_create(&c);
	assert_non_null(w->m);
	w->m->strict = number_from("UMBRA_STRICT", 1);
	w->dma = seed % 5 == 0;
	w->m->trace = w->trace;
	w->m->audit = single && !w->dma;
	oracle_init(&w->oracle, w->m, frame(FIRST), WATCHED);
	build(w);
	p.phys_bits = c.host_phys_bits;
	p.pages_1g = !c.no_1g && rng_chance(&w->rng, 80);
	p.pat = rng_chance(&w->rng, 50) ? PAT_RESET : OTHER_PAT;
	machine_set_paging(w->m, &p, true);
	oracle_flushed(&w->oracle);
	return w;
}

static void world_destroy(struct world *w)
{
	oracle_free(&w->oracle);
	machine_destroy(w->m);
	free(w);
}

/* Runs one seed; false: it failed, and has said why. */
static bool run_seed(u64 seed, u32 steps, bool single)
{
	struct world *w = world_create(seed, single);
	bool good;

	current = w;
	for (w->step = 0; w->step < steps && !w->m->broken; w->step++) {
		oracle_tick(&w->oracle);
		one_operation(w);
		if (w->step % 64 == 63) {
			if (w->dma)
				op_drop_all(w);
			machine_audit(w->m);
		}
	}
	if (w->m->broken)
		printf("UMBRA_SEED=%llu step %u: %s\n", (unsigned long long)seed, w->step - 1, w->m->failure);
	good = !w->m->broken;
	current = NULL;
	world_destroy(w);
	return good;
}

static void on_abort(int signal_number)
{
	char text[64];
	int length;

	if (!current)
		return;
	length = snprintf(text, sizeof(text), "UMBRA_SEED=%llu step %u: abort\n", (unsigned long long)current->seed,
			  current->step);
	(void)!write(2, text, (size_t)length);
}

static void random_guests(void **state)
{
	u32 steps = number_from("UMBRA_STEPS", 2000), seeds = number_from("UMBRA_SEEDS", 300), failed = 0;
	const char *one = getenv("UMBRA_SEED");

	signal(SIGABRT, on_abort);
	if (one) {
		assert_true(run_seed(strtoull(one, NULL, 0), steps, true));
		return;
	}
	for (u32 seed = 1; seed <= seeds && failed < 3; seed++)
		failed += !run_seed(seed, steps, false);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
