/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access rights, A and D in every paging mode: the table of tests/guest/lib/rights.h, judged case by case by the naive
 * walk of mm/witness/, which was written from the manuals alone. At least one sample of it is run, and more as
 * long as there is time.
 */
#include "mm/witness/model_walk.h"
#include "selftest/selftest.h"
#include "tests/guest/lib/rights.h"

#define SAMPLE 400u
#define MODE_MS 12000u /* for one paging mode; */
#define SLOW_MS 4000u  /* in an emulator, of which the slowest counts instructions instead of time */
#define SLOW_HZ 500000000ull

struct case_memory {
	const struct probe *probe;
	u64 leaf, upper; /* as they were before the access */
};

static u64 read_entry(void *context, u64 address, u32 size)
{
	const struct case_memory *m = context;

	if (address == rights_run.leaf_slot)
		return m->leaf;
	if (address == rights_run.upper_slot)
		return m->upper;
	return size == 4 ? *(volatile u32 *)address : load(address);
}

static const enum model_mode model_of[M_COUNT] = {
	[M_32] = MODEL_32, [M_PAE] = MODEL_PAE, [M_4L] = MODEL_4L, [M_COMPAT] = MODEL_4L, [M_5L] = MODEL_5L};

static void describe(const struct rights_block *b, const struct case_memory *m, struct model_state *s)
{
	enum rights_mode mode = b->shape->mode;

	*s = (struct model_state){
		.mode = model_of[mode],
		.maxphyaddr = phys_bits,
		.cr3 = rights_root(mode),
		.wp = b->control & C_WP,
		.smep = b->control & C_SMEP,
		.smap = b->control & C_SMAP,
		.nxe = b->control & C_NXE,
		.pse = b->control & C_PSE,
		.pages_1g = rights_1g,
	};
	for (u32 i = 0; i < 4 && mode == M_PAE; i++) {
		u64 address = s->cr3 + 8 * i;

		s->pdpte[i] = address == rights_run.upper_slot ? m->upper : load(address);
	}
}

/* What one or, for a descriptor that gets its accessed bit, two accesses come to. */
struct outcome {
	u32 vector, error;
	u64 cr2, leaf, upper, physical;
};

static void take_entries(const struct model_result *r, struct outcome *out)
{
	for (u32 i = 0; i < r->count; i++) {
		if (r->entries[i].address == rights_run.leaf_slot)
			out->leaf = r->entries[i].after;
		else if (r->entries[i].address == rights_run.upper_slot)
			out->upper = r->entries[i].after;
	}
}

static bool walk(const struct rights_block *b, struct case_memory *m, struct model_access access, u64 at,
		 struct outcome *out)
{
	const struct model_memory memory = {read_entry, m};
	struct model_state state;
	struct model_result result;

	describe(b, m, &state);
	model_walk(&state, &memory, at, access, &result);
	out->physical = result.physical;
	if (result.fault) {
		out->vector = VEC_PF;
		out->error = result.error;
		out->cr2 = at;
		return false;
	}
	take_entries(&result, out);
	m->leaf = out->leaf;
	m->upper = out->upper;
	return true;
}

static void expect(const struct rights_block *b, const struct probe *p, struct outcome *out)
{
	struct case_memory m = {p, p->leaf, p->upper};
	struct model_access access = {
		.write = p->kind == PROBE_WRITE,
		.fetch = p->kind == PROBE_FETCH,
		.implicit = p->kind >= PROBE_SEGMENT,
		.user = p->user && p->kind < PROBE_SEGMENT,
		.ac = p->ac,
	};
	u64 at = rights_run.va + offset_of[p->kind];

	*out = (struct outcome){.leaf = p->leaf, .upper = p->upper};
	if (rights_pdpte_is_reserved(b, p)) {
		out->vector = VEC_GP; /* MOV to CR3 */
		return;
	}
	if (!walk(b, &m, access, at, out) || p->kind != PROBE_FRESH)
		return;
	access.write = true;
	walk(b, &m, access, at, out);
}

static bool data_is_right(const struct probe *p, const struct outcome *o)
{
	u64 page = o->physical & PAGE_MASK;
	u32 which = page == rights_run.target[1];

	if (o->vector)
		return !p->data[0] && !p->data[1];
	if (page != rights_run.target[which])
		return false;
	if (p->kind == PROBE_READ)
		return (u32)p->value == 0x11111111u * (which + 1);
	if (p->kind == PROBE_WRITE)
		return (u32)p->data[which] == p->pattern && !p->data[!which];
	return !p->data[0] && !p->data[1];
}

static u64 judged;

/* With AC set emulators differ on accesses to descriptors: left out. */
static bool is_judged(const struct probe *p)
{
	return !(p->ac && p->kind >= PROBE_SEGMENT);
}

static void judge(struct rights_block *b, struct probe *p)
{
	u32 vector = p->vector == VEC_USER_RETURN ? 0 : p->vector;
	struct outcome o;

	if (has_failed() || !is_judged(p))
		return;
	judged++;
	expect(b, p, &o);
	if (p->kind == PROBE_FRESH) /* which of the descriptor's bytes is written differs between processors */
		p->cr2 &= ~7ull;
	EXPECT(vector == o.vector && (!vector || p->error == o.error) && (vector != VEC_PF || p->cr2 == o.cr2) &&
		       p->leaf_after == o.leaf && p->upper_after == o.upper && data_is_right(p, &o),
	       "block %u kind %u user %u ac %u leaf %lx upper %lx: vector %u error %x cr2 %lx leaf %lx upper %lx, not "
	       "%u %x %lx %lx %lx",
	       b->number, p->kind, p->user, p->ac, p->leaf, p->upper, p->vector, p->error, p->cr2, p->leaf_after,
	       p->upper_after, o.vector, o.error, o.cr2, o.leaf, o.upper);
}

static void run_mode(enum rights_mode mode)
{
	static bool ready;
	bool slow = block->machine.emulated || clock_hz() < SLOW_HZ;
	struct space old = {(u64 *)(read_cr3() & PTE_ADDR_MASK)}, own;
	u64 since = clock_now(), mark;

	rights_record = judge;
	rights_sample = SAMPLE;
	if (!ready)
		rights_init();
	ready = true;
	space_load(&old);
	if (!rights_mode_exists(mode)) {
		skip("this processor does not have it");
		return;
	}
	judged = 0;
	mark = alloc_mark();
	own.pml4 = (u64 *)rights_root(M_4L);
	space_load(&own);
	for (rights_phase = 0; rights_phase < SAMPLE && !has_failed(); rights_phase++) {
		rights_run_mode(mode);
		alloc_release(mark);
		if (clock_over(since, option("ms", slow ? SLOW_MS : MODE_MS)))
			break;
	}
	space_load(&old);
	note("%lu cases%s", judged, rights_phase == SAMPLE ? ", the whole table" : "");
}

#define RIGHTS_CHECK(name, mode) \
	static void name(void) \
	{ \
		run_mode(mode); \
	}
RIGHTS_CHECK(check_32, M_32)
RIGHTS_CHECK(check_pae, M_PAE)
RIGHTS_CHECK(check_4level, M_4L)
RIGHTS_CHECK(check_compat, M_COMPAT)
RIGHTS_CHECK(check_5level, M_5L)

const struct check_item rights_checks[] = {
	{"rights, 32-bit paging", check_32},      {"rights, PAE paging", check_pae},
	{"rights, 4-level paging", check_4level}, {"rights, compatibility mode", check_compat},
	{"rights, 5-level paging", check_5level}, {NULL, NULL},
};
