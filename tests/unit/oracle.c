/* SPDX-License-Identifier: BSD-2-Clause */
/* The architectural oracle; see tests/unit/oracle.h. */
#include "tests/unit/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"

#define NEVER UINT32_MAX

/* Watched frames are numbered, and so are the words in them. */
static u64 address_of(const struct oracle *o, u32 f)
{
	return f < o->range ? o->base + f * PAGE_SIZE : o->odd[f - o->range];
}

static const u64 *watched(const struct oracle *o, u32 f)
{
	return machine_ram(o->m, address_of(o, f));
}

/* The number of the word at an address; false: it is not watched. */
static bool word_of(const struct oracle *o, u64 address, u32 *word)
{
	u64 page = ALIGN_DOWN(address, PAGE_SIZE), in_page = (address - page) / 8;
	u32 f = o->range;

	if (page - o->base < o->range * PAGE_SIZE)
		f = (u32)((page - o->base) / PAGE_SIZE);
	else
		while (f < o->frames && o->odd[f - o->range] != page)
			f++;
	*word = (u32)(f * 512ull + in_page);
	return f < o->frames;
}

/* The history of a word; made with its present value if there is none yet. */
static struct oracle_slot *slot_at(struct oracle *o, u32 number, u64 value)
{
	struct oracle_slot *slot;

	if (o->slot_of[number])
		return &o->slots[o->slot_of[number] - 1];
	if (o->slot_count == ORACLE_SLOTS) {
		o->crowded = true;
		return NULL;
	}
	slot = &o->slots[o->slot_count++];
	o->slot_of[number] = (u16)o->slot_count;
	slot->number = number;
	slot->count = 1;
	slot->spans[0] = (struct oracle_span){value, o->flushed, NEVER};
	return slot;
}

static void word_changed(struct oracle *o, u32 number, u64 old, u64 now)
{
	struct oracle_slot *slot = slot_at(o, number, old);

	o->copy[number] = now;
	if (!slot)
		return;
	slot->spans[slot->count - 1].to = o->now;
	if (slot->count == ORACLE_SPANS) {
		/* forgets the oldest; the test is asked to flush before that matters */
		memmove(slot->spans, slot->spans + 1, sizeof(slot->spans[0]) * --slot->count);
	}
	slot->spans[slot->count++] = (struct oracle_span){now, o->now, NEVER};
	if (slot->count > ORACLE_SPANS / 2)
		o->crowded = true;
}

/* A and D in a word of tables: of one entry, or of the two of a 32-bit guest. */
static u64 word_marks(const struct oracle *o)
{
	u64 marks = PTE_A | PTE_D;

	return machine_model_state(o->m).mode == MODEL_32 ? marks | marks << 32 : marks;
}

static void compare_word(struct oracle *o, u32 number, bool by_engine)
{
	u64 old = o->copy[number], now = watched(o, number / 512)[number % 512];

	if (old == now)
		return;
	if (by_engine && ((old & ~now) || ((old ^ now) & ~word_marks(o))))
		machine_fail(o->m, "the engine changed guest memory at %#llx from %#llx to %#llx",
			     (unsigned long long)(address_of(o, number / 512) + number % 512 * 8ull),
			     (unsigned long long)old, (unsigned long long)now);
	word_changed(o, number, old, now);
}

static void changed_for(struct oracle *o, u64 gpa, u64 bytes, bool by_engine)
{
	u32 number;

	if (bytes <= 8) {
		for (u64 at = ALIGN_DOWN(gpa, 8); at < gpa + bytes; at += 8)
			if (word_of(o, at, &number))
				compare_word(o, number, by_engine);
		return;
	}
	for (u32 f = 0; f < o->frames; f++)
		if (memcmp(watched(o, f), o->copy + f * 512, PAGE_SIZE))
			for (u32 i = 0; i < 512; i++)
				compare_word(o, f * 512 + i, by_engine);
}

static void memory_changed(struct machine *m, void *ctx, u64 gpa, u64 bytes, bool by_engine)
{
	for (struct oracle *o = ctx; o; o = o->next)
		changed_for(o, gpa, bytes, by_engine);
}

void oracle_init(struct oracle *o, struct machine *m, u64 base, u32 range, const u64 *odd, u32 odd_count)
{
	*o = (struct oracle){
		.m = m, .base = base, .range = range, .frames = range + odd_count, .now = 1, .flushed = 1};
	memcpy(o->odd, odd, odd_count * sizeof(*odd));
	o->copy = malloc(o->frames * PAGE_SIZE);
	o->slot_of = calloc(o->frames * 512u, sizeof(*o->slot_of));
	o->slots = malloc(ORACLE_SLOTS * sizeof(*o->slots));
	for (u32 f = 0; f < o->frames; f++)
		memcpy(o->copy + f * 512, watched(o, f), PAGE_SIZE);
	m->memory_changed = memory_changed;
	m->ctx = o;
}

void oracle_free(struct oracle *o)
{
	o->m->memory_changed = NULL;
	free(o->copy);
	free(o->slot_of);
	free(o->slots);
}

void oracle_tick(struct oracle *o)
{
	o->now++;
}

void oracle_flushed(struct oracle *o)
{
	for (u32 i = 0; i < o->slot_count; i++)
		o->slot_of[o->slots[i].number] = 0;
	o->slot_count = 0;
	o->invlpg_count = 0;
	o->crowded = false;
	o->flushed = o->now;
}

void oracle_flushed_page(struct oracle *o, u64 gva)
{
	if (o->invlpg_count == ORACLE_INVLPGS)
		return;
	o->invlpg[o->invlpg_count].page = gva >> 12;
	o->invlpg[o->invlpg_count++].time = o->now;
	if (o->invlpg_count == ORACLE_INVLPGS)
		o->crowded = true;
}

/* --- is there a path? ---------------------------------------------------------- */
struct search {
	struct oracle *o;
	struct model_state s;
	const struct machine_access *a;
	const struct machine_result *r;
	u32 until;                  /* no value younger than this */
	bool any_marks, any_rights; /* to say what is wrong: A and D, or the rights, do not matter */
};

static bool reaches(const struct search *q, u32 level, u64 entry)
{
	u64 bytes = model_page_bytes(&q->s, level);
	u64 physical = model_entry_address(&q->s, level, entry) | (q->a->gva & (bytes - 1));
	struct model_result leaf = {.level = level};
	struct region_hit hit;

	if (q->r->kind == REGION_HIDDEN) {
		region_lookup(&q->o->m->regions, physical >> 12, &hit);
		return hit.kind == REGION_HIDDEN;
	}
	leaf.pat_index = ((entry >> 3) & 3) | (((level == 1 ? entry >> 7 : entry >> 12) & 1) << 2);
	return physical == q->r->gpa && machine_guest_memtype(q->o->m, &leaf) == q->r->memtype;
}

static bool search(const struct search *q, u32 level, u64 table, u32 since, bool w, bool u, bool x);

/*
 * The one known limit: with CR0.WP=0 and SMAP on, a write with AC=1 to a
 * read-only user page leaves a supervisor mapping (S8), which SMAP does not guard
 * when AC is cleared again, since that causes no exit.
 */
static struct model_access excused(const struct model_state *s, struct model_access a)
{
	if (s->smap && !s->wp && !a.user) {
		a.ac = true;
		a.implicit = false;
	}
	return a;
}

static bool search_value(const struct search *q, u32 level, u64 e, u32 since, bool w, bool u, bool x)
{
	const struct model_state *s = &q->s;

	if (!(e & PTE_P) || !(q->any_marks || (e & PTE_A)) || model_reserved(s, level, e))
		return false;
	w = w && (e & PTE_W);
	u = u && (e & PTE_U);
	x = x && !(s->nxe && (e & PTE_NX));
	if (!model_is_leaf(s, level, e))
		return search(q, level - 1, model_entry_address(s, level, e), since, w, u, x);
	if (q->a->kind.write && !(e & PTE_D) && !q->any_marks)
		return false;
	return (q->any_rights || model_allowed(s, w, u, x, excused(s, q->a->kind))) && reaches(q, level, e);
}

/* The entry at an address, out of the 8 bytes that hold it. */
static u64 entry_of_word(const struct search *q, u64 address, u64 word)
{
	if (q->s.mode != MODEL_32)
		return word;
	return (u32)(word >> (address & 4 ? 32 : 0));
}

static bool search(const struct search *q, u32 level, u64 table, u32 since, bool w, bool u, bool x)
{
	u64 size = q->s.mode == MODEL_32 ? 4 : 8, index = q->a->gva / model_page_bytes(&q->s, level);
	u64 address = table + index % (PAGE_SIZE / size) * size;
	const struct oracle_slot *slot;
	u32 word;

	if (!word_of(q->o, address, &word) || !q->o->slot_of[word])
		return !machine_is_closed(q->o->m, address) &&
		       search_value(q, level, entry_of_word(q, address, machine_peek(q->o->m, address & ~7ull)),
				    since, w, u, x);
	slot = &q->o->slots[q->o->slot_of[word] - 1];
	for (u32 i = slot->count; i--;) {
		const struct oracle_span *span = &slot->spans[i];
		u32 t = MAX(since, span->from);

		if (t <= span->to && t <= q->until &&
		    search_value(q, level, entry_of_word(q, address, span->value), t, w, u, x))
			return true;
	}
	return false;
}

/* Where a walk begins; false: nowhere. The PDPTEs of a PAE guest are in the processor. */
static bool search_start(const struct search *q, u32 *level, u64 *table)
{
	u64 pdpte = q->s.pdpte[(q->a->gva >> 30) & 3];

	*table = q->s.cr3 & PTE_ADDR_MASK;
	switch (q->s.mode) {
	case MODEL_32:
		*level = 2;
		*table = q->s.cr3 & BITS(31, 12);
		return true;
	case MODEL_PAE:
		*level = 2;
		*table = pdpte & PTE_ADDR_MASK;
		return pdpte & PTE_P;
	case MODEL_4L: *level = 4; return true;
	case MODEL_5L: *level = 5; return true;
	default: return false;
	}
}

static bool path_exists(struct oracle *o, const struct machine_access *a, const struct machine_result *r,
			bool any_marks, bool any_rights)
{
	struct search q = {.o = o,
			   .s = machine_model_state(o->m),
			   .a = a,
			   .r = r,
			   .any_marks = any_marks,
			   .any_rights = any_rights};
	u32 since = o->flushed, first = 0, top;
	u64 table;

	if (!search_start(&q, &top, &table))
		return false;
	for (u32 i = 0; i < o->invlpg_count; i++)
		if (o->invlpg[i].page == a->gva >> 12) {
			since = o->invlpg[i].time;
			first = i + 1;
		}
	for (u32 i = o->invlpg_count + 1; i-- > first;) {
		u32 from = i > first ? o->invlpg[i - 1].time : since;

		q.until = i < o->invlpg_count ? o->invlpg[i].time : NEVER;
		if (search(&q, top, table, from, true, true, true))
			return true;
	}
	return false;
}

/* --- judgement -------------------------------------------------------------------- */
static void say(struct oracle *o, const struct machine_access *a, const struct model_result *n,
		const struct machine_result *r, const char *what)
{
	machine_fail(
		o->m,
		"%s: cr0 %#llx cr4 %#llx efer %#llx gva %#llx write %u fetch %u user %u ac %u: outcome %u error %#x gpa %#llx kind %u "
		"type %u cached %u; naive walk: fault %u error %#x physical %#llx leaf %#llx at level %u type %u",
		what, (unsigned long long)o->m->paging.cr0, (unsigned long long)o->m->paging.cr4,
		(unsigned long long)o->m->paging.efer, (unsigned long long)a->gva, a->kind.write, a->kind.fetch,
		a->kind.user, a->kind.ac, r->outcome, r->error, (unsigned long long)r->gpa, r->kind, r->memtype,
		r->cached, n->fault, n->error, (unsigned long long)n->physical,
		n->count ? (unsigned long long)n->entries[n->count - 1].value : 0, n->level,
		machine_guest_memtype(o->m, n));
}

static bool marks_are_set(const struct model_result *n, bool write)
{
	for (u32 i = 0; i < n->count; i++)
		if (!(n->entries[i].value & PTE_A))
			return false;
	return !write || !n->count || (n->entries[n->count - 1].value & PTE_D);
}

static bool agrees(struct oracle *o, const struct machine_access *a, const struct model_result *n,
		   const struct machine_result *r)
{
	struct region_hit hit;

	if (n->fault || !marks_are_set(n, a->kind.write))
		return false;
	region_lookup(&o->m->regions, n->physical >> 12, &hit);
	if (hit.kind != r->kind)
		return false;
	if (r->outcome == MACHINE_EMULATED)
		return r->gpa == n->physical;
	if (r->kind == REGION_HIDDEN)
		return true;
	return r->gpa == n->physical && r->memtype == machine_guest_memtype(o->m, n);
}

/* The access overwrote an entry of its own path, in memory whose history is not kept. */
static bool cut_its_own_path(const struct oracle *o, const struct machine_access *a,
			     const struct model_result *before, const struct machine_result *r)
{
	u64 word = r->gpa & ~7ull;
	u32 number;

	if (!a->kind.write || r->kind != REGION_RAM || word_of(o, word, &number))
		return false;
	for (u32 i = 0; i < before->count; i++)
		if ((before->entries[i].address & ~7ull) == word)
			return true;
	return false;
}

/*
 * Another known limit: hardware does not tell an implicit access at CPL 0 from an
 * explicit one; its second fault does (S9), but what is emulated has no second.
 */
static struct model_access told(const struct machine_access *a, const struct machine_result *r)
{
	struct model_access kind = a->kind;

	if (a->cpl0 && r->outcome == MACHINE_EMULATED)
		kind.implicit = false;
	return kind;
}

void oracle_judge(struct oracle *o, const struct machine_access *a, const struct model_result *before,
		  const struct machine_result *r)
{
	struct model_result after;

	if (o->m->broken)
		return;
	if (r->outcome == MACHINE_FAULT) {
		if (!before->fault || before->error != r->error)
			say(o, a, before, r, "wrong fault");
		return;
	}
	after = machine_naive(o->m, a->gva, told(a, r));
	if (agrees(o, a, &after, r))
		return;
	if (r->outcome == MACHINE_OK && (path_exists(o, a, r, false, false) || cut_its_own_path(o, a, before, r)))
		return;
	say(o, a, before, r,
	    path_exists(o, a, r, true, false) ? "access with A or D unset" :
	    path_exists(o, a, r, true, true)  ? "access without the right" :
						"no hardware could do this");
}

bool oracle_had_other(const struct oracle *o, u64 gpa, u64 gva, u64 bytes)
{
	const struct oracle_slot *slot;
	u32 since = o->flushed, word;

	if (!word_of(o, gpa & ~7ull, &word))
		return true; /* nobody watches it */
	if (!o->slot_of[word])
		return false;
	slot = &o->slots[o->slot_of[word] - 1];
	for (u32 i = 0; i < o->invlpg_count && bytes == PAGE_SIZE; i++)
		if (o->invlpg[i].page == gva >> 12)
			since = o->invlpg[i].time;
	for (u32 i = 0; i < slot->count; i++)
		if (slot->spans[i].to != NEVER && slot->spans[i].to >= since && slot->spans[i].value)
			return true;
	return false;
}
