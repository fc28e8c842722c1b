/* SPDX-License-Identifier: BSD-2-Clause */
/* Forgotten TLB flushes; see mm/shadow/flushcheck.h and docs/debugging.md. */
#include "mm/shadow/flushcheck.h"

#include "lib/string.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/trace.h"
#include "mm/shadow/track.h"

#define CPUS_MAX 32u /* further ones are not checked */
#define TABLES 256u  /* withheld at a time and remembered; by page number, a later one takes the place */
#define RECORDS 512u
#define TOLD 256u
#define LINES_MAX 64u
/* So many faults of one instruction: it needs together what is withheld in turn. */
#define REPEATS_MAX 3u

/* A page that is withheld: what its table said before the write that led to that, and who writes. */
struct withheld {
	u32 page;  /* 0: none */
	u32 cpus;  /* bits by index: whose CR3 leads to it */
	u64 epoch; /* flush_check.epoch then: until the next time that all is looked at */
	gfn_t gfn;
	union role role;
	gva_t base;
	struct shadow_where by;
	u64 global[ENTRIES / 64]; /* entries that had G, where that means something */
};

/* A translation that went from the guest's tables, and may be in TLBs. */
struct record {
	gva_t gva;
	u64 bytes;
	u32 cpus; /* that may have it; 0: no record */
	u32 used; /* of these: that used it, and may hear of it yet */
	u8 level;
	bool link, global;
	u32 rights; /* ACC_*, of the old one */
	pfn_t pfn;  /* that it led to; link: gfn of the table */
	gpa_t slot;
	u64 old, new;
	struct shadow_where by, use;
	struct gpt_access access; /* of the use */
	u64 told;                 /* TSC when the CPU that made the change had flushed it itself; 0: not yet */
};

struct flush_check {
	bool strict;
	u64 grace;
	u32 count; /* records */
	u32 victim, lines;
	u64 epoch;
	struct {
		u64 rip;
		u32 repeats;
	} last[CPUS_MAX]; /* fault, by CPU */
	struct withheld tables[TABLES];
	struct record records[RECORDS];
	u64 told[TOLD]; /* entries that a line tells of */
};

u64 flushcheck_bytes(void)
{
	return sizeof(struct flush_check);
}

/* All goes the way that the trace does, by which every fault has the lock (shadow_trace()). */
void flushcheck_init(struct shadow *s, void *memory, const struct shadow_config *config)
{
	s->check = memory;
	s->check->strict = config->flush_check == SHADOW_FLUSHES_STRICT;
	s->check->grace = config->flush_grace;
	s->cr3_looks = 0;
	s->traced = true;
}

static u32 cpu_bit(const struct shadow_mmu *mmu)
{
	return mmu->index < CPUS_MAX ? 1u << mmu->index : 0;
}

static struct shadow_where where_now(const struct shadow_mmu *mmu)
{
	struct shadow_where w = {.cr3 = mmu->gpt.cr3, .tsc = __builtin_ia32_rdtsc(), .cpu = mmu->index};

	if (mmu->ops->where)
		mmu->ops->where(mmu->cpu, &w);
	return w;
}

static struct withheld *withheld_of(const struct shadow *s, u32 page)
{
	return &s->check->tables[page % TABLES];
}

/* --- whose TLB may have it ------------------------------------------------------------------ */
static bool leads_to(const struct shadow_mmu *mmu, const struct shadow_page *top)
{
	const struct gpt_context *ctx = &mmu->gpt;
	bool found = false;

	switch ((enum gpt_mode)ctx->mode) {
	case GPT_NONE: return false;
	case GPT_PAE:
		for (u32 i = 0; i < 4; i++)
			found |= (ctx->pdpte[i] & PTE_P) &&
				 (ctx->pdpte[i] & PTE_ADDR_MASK) >> PAGE_SHIFT == top->gfn;
		return found;
	default: return (ctx->cr3 & PTE_ADDR_MASK) >> PAGE_SHIFT == top->gfn;
	}
}

static u32 page_top(const struct shadow *s, u32 page)
{
	u32 id;

	while ((id = list_first(s, s->pages[page].parents)))
		page = entry_page(id);
	return page;
}

/* The upper half of 64-bit tables is the kernel's, in all address spaces. */
static u32 cpus_with(const struct shadow *s, u32 page, gva_t base)
{
	const struct shadow_page *top = &s->pages[page_top(s, page)];
	u32 cpus = 0;

	for (u32 i = 0; i < MIN(s->mmu_count, CPUS_MAX); i++)
		if ((s64)base < 0 || leads_to(s->mmus[i], top))
			cpus |= 1u << i;
	return cpus;
}

/* --- withheld tables -------------------------------------------------------------------------- */
static void remember(struct shadow_mmu *mmu, u32 page, const struct shadow_where *by)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];
	const u64 *table = gpt_table(&mmu->gpt, sp->gfn);
	struct withheld *w = withheld_of(s, page);

	*w = (struct withheld){.epoch = s->check->epoch, .gfn = sp->gfn, .role = sp->role, .by = *by};
	if (!trace_address(s, page, 0, &w->base))
		return;
	w->page = page;
	w->cpus = cpus_with(s, page, w->base);
	if (mmu->paging.cr4 & CR4_PGE)
		for_each_live(sp, i)
			if (guest_entry(mmu, sp->role, table, i) & PTE_G)
				w->global[i / 64] |= BIT(i % 64);
}

static bool may_withhold(const struct shadow_page *sp)
{
	return sp->role.level <= 2 && !sp->pins && !(sp->flags & PAGE_FOREIGN) && (sp->parents & LIST_VALUE);
}

static void remember_list(struct shadow_mmu *mmu, u32 head, const struct shadow_where *by)
{
	for (u32 page = head; page; page = mmu->s->pages[page].unsync_next)
		if (may_withhold(&mmu->s->pages[page]))
			remember(mmu, page, by);
}

/* Is it reached through a table alone that is withheld? Then its link stays: what becomes of that is to be seen. */
static bool is_below_withheld(const struct shadow *s, u32 page)
{
	const struct shadow_page *parent = &s->pages[entry_page(list_first(s, s->pages[page].parents))];

	return !(s->pages[page].parents & LIST_CHAIN) && (parent->flags & PAGE_UNSYNC) &&
	       !(parent->parents & LIST_VALUE) && !parent->pins;
}

/* The instruction that writes would fault as well. */
static bool holds_code(const struct shadow *s, u32 page, const struct shadow_where *by)
{
	const struct withheld *w = withheld_of(s, page);

	return w->page == page && by->rip - w->base < PAGE_SIZE * level_frames(s->pages[page].role.level + 1);
}

static void withhold_list(struct shadow *s, u32 head, const struct shadow_where *by)
{
	for (u32 page = head; page; page = s->pages[page].unsync_next)
		while (may_withhold(&s->pages[page]) && !is_below_withheld(s, page) && !holds_code(s, page, by))
			page_drop_id(s, list_first(s, s->pages[page].parents));
}

/* The path cache stays empty, so each INVLPG comes to flushcheck_page(). */
void flushcheck_done(struct shadow_mmu *mmu, gva_t gva, bool withhold)
{
	struct shadow *s = mmu->s;
	struct shadow_where by;

	path_slot(mmu, gva)->key = 0;
	if (!s->unsync_count || !withhold)
		return;
	by = where_now(mmu);
	for (u32 i = 0; i < s->mmu_count; i++) {
		remember_list(mmu, s->mmus[i]->unsync_leaf, &by);
		remember_list(mmu, s->mmus[i]->unsync_upper, &by);
	}
	for (u32 i = 0; i < s->mmu_count; i++)
		withhold_list(s, s->mmus[i]->unsync_upper, &by);
	for (u32 i = 0; i < s->mmu_count; i++)
		withhold_list(s, s->mmus[i]->unsync_leaf, &by);
}

/* --- what changed ------------------------------------------------------------------------------- */
static u32 rights_of(u64 spte)
{
	return (spte & PTE_W ? ACC_W : 0) | (spte & PTE_U ? ACC_U : 0) | (spte & PTE_NX ? 0 : ACC_X);
}

/* Where a frame of the guest's is; all that is hidden is one page. */
static pfn_t pfn_of(const struct shadow *s, gfn_t gfn)
{
	struct region_hit hit;

	region_lookup(s->regions, gfn, &hit);
	return hit.kind == REGION_HIDDEN ? hpa_to_pfn(s->ones_page) : hit.pfn;
}

/* The entry as it is in the shadow. r->link: r->pfn is the frame of the table. */
static void describe_old(struct shadow *s, u32 page, u64 spte, struct record *r)
{
	u32 level = s->pages[page].role.level, child;

	r->rights = ACC_ALL;
	if (spte_is_leaf(level, spte)) {
		r->pfn = spte_pfn(level, spte);
		r->rights = rights_of(spte);
		r->old = spte & ~(SPTE_RMAP | (r->pfn == hpa_to_pfn(s->ones_page) ? PTE_ADDR_MASK : 0));
		return;
	}
	child = page_of_link(s, spte);
	r->pfn = s->pages[child].gfn;
	r->old = r->pfn << PAGE_SHIFT | (spte & (PTE_P | PTE_W | PTE_U | PTE_A));
	r->link = !s->pages[child].role.direct;
	if (r->link)
		return;
	r->pfn = pfn_of(s, r->pfn);
	r->rights = s->pages[child].role.access;
	r->old |= PTE_PS;
}

/* Has the guest's entry lost what the shadow's has? A and D aside: to clear these needs no flush. */
static bool has_lost(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte, const struct record *r)
{
	union role role = mmu->s->pages[page].role;
	u64 spte = page_table(mmu->s, page)[index];
	u32 rights = role.access & gpt_entry_access(gpte);
	struct derived d;

	if (!(gpte & PTE_P))
		return true;
	entry_derive(mmu, page, index, gpte | PTE_A | PTE_D, spte, &d);
	if (r->link)
		return !d.link || d.role.direct || d.gfn != r->pfn;
	if (role.wp && (r->rights & ~rights))
		return true;
	if (!gpt_entry_is_leaf(role.level, gpte) ||
	    gpt_entry_reserved(&mmu->gpt, role.mode, role.nx, role.level, gpte))
		return true;
	return pfn_of(mmu->s, gpt_entry_gfn(role.level, gpte)) != r->pfn;
}

static void record_drop(struct flush_check *c, u32 i)
{
	c->records[i] = c->records[--c->count];
}

/* One that is there stays as it is, but for what the entry says now. */
static void record_add(struct flush_check *c, const struct record *r)
{
	u32 at = c->count;

	for (u32 i = 0; i < c->count; i++) {
		struct record *have = &c->records[i];

		if (have->slot.v == r->slot.v && have->gva == r->gva && have->cpus == r->cpus) {
			have->new = r->new;
			return;
		}
	}
	if (at == RECORDS)
		at = c->victim++ % RECORDS;
	else
		c->count++;
	c->records[at] = *r;
}

/* An entry of a page that was withheld: what is gone from it. */
static void look_at(struct shadow_mmu *mmu, const struct withheld *w, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	u32 level = s->pages[page].role.level, shift = PAGE_SHIFT + INDEX_BITS * (level - 1);
	struct record r = {
		.gva = w->base + ((u64)index << shift),
		.bytes = 1ull << shift,
		.cpus = w->cpus,
		.level = (u8)level,
		.global = w->global[index / 64] >> index % 64 & 1,
		.slot = trace_place(&s->pages[page], index),
		.new = gpte,
		.by = w->by,
	};

	describe_old(s, page, page_table(s, page)[index], &r);
	if (!has_lost(mmu, page, index, gpte, &r))
		return;
	page_drop_entry(s, page, index);
	STAT(s, stale_changes);
	if (r.cpus)
		record_add(s->check, &r);
}

static bool is_known(const struct shadow *s, const struct withheld *w, u32 page)
{
	const struct shadow_page *sp = &s->pages[page];

	return w->page == page && w->epoch == s->check->epoch && w->gfn == sp->gfn && w->role.word == sp->role.word;
}

static void look_through(struct shadow_mmu *mmu, u32 head)
{
	struct shadow *s = mmu->s;

	for (u32 page = head; page; page = s->pages[page].unsync_next) {
		const struct shadow_page *sp = &s->pages[page];
		const struct withheld *w = withheld_of(s, page);
		const u64 *table;

		if (!is_known(s, w, page) || (sp->flags & PAGE_FOREIGN) || page_is_old(s, sp))
			continue;
		table = gpt_table(&mmu->gpt, sp->gfn);
		for_each_live(sp, i)
			look_at(mmu, w, page, i, guest_entry(mmu, sp->role, table, i));
	}
}

/* What other CPUs have written to is protected as well: a fault must get through, and so it must be linked. */
static void adopt_list(struct shadow_mmu *mmu, u32 head)
{
	struct shadow *s = mmu->s;

	for (u32 page = head, next; page; page = next) {
		next = s->pages[page].unsync_next;
		if (s->pages[page].flags & PAGE_FOREIGN)
			continue;
		unsync_list_remove(s, page);
		unsync_list_add(s, page, mmu->index);
	}
}

/* All that is unsync: looked at, then protected and brought up to date, as if the guest had flushed. */
static void discover(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	if (s->unsync_count <= s->foreign_count)
		return;
	for (u32 i = 0; i < s->mmu_count; i++) {
		if (s->mmus[i] == mmu)
			continue;
		adopt_list(mmu, s->mmus[i]->unsync_leaf);
		adopt_list(mmu, s->mmus[i]->unsync_upper);
	}
	look_through(mmu, mmu->unsync_leaf);
	look_through(mmu, mmu->unsync_upper);
	s->check->epoch++;
	sync_tables(mmu);
}

/* --- flushes ---------------------------------------------------------------------------------------- */
/* That CPU has forgotten it. True: no CPU has it any more, and the record is gone. */
static bool forgotten(struct shadow_mmu *mmu, u32 i)
{
	struct flush_check *c = mmu->s->check;
	struct record *r = &c->records[i];

	r->cpus &= ~cpu_bit(mmu);
	r->used &= r->cpus;
	if (r->cpus)
		return false;
	record_drop(c, i);
	return true;
}

static bool flushed(struct shadow_mmu *mmu, u32 i)
{
	struct record *r = &mmu->s->check->records[i];

	if ((r->cpus & cpu_bit(mmu)) && r->by.cpu == mmu->index)
		r->told = __builtin_ia32_rdtsc();
	return forgotten(mmu, i);
}

/* Any address of a large page, or below a table, is taken for all of it: what the processor drops may be that much. */
void flushcheck_page(struct shadow_mmu *mmu, gva_t gva)
{
	const struct flush_check *c = mmu->s->check;

	discover(mmu);
	for (u32 i = 0; i < c->count;)
		if (gva - c->records[i].gva >= c->records[i].bytes || !flushed(mmu, i))
			i++;
}

void flushcheck_all(struct shadow_mmu *mmu, bool global)
{
	const struct flush_check *c = mmu->s->check;

	discover(mmu);
	for (u32 i = 0; i < c->count;)
		if ((!global && c->records[i].global) || !flushed(mmu, i))
			i++;
}

void flushcheck_forget(struct shadow *s)
{
	s->check->count = 0;
	s->check->epoch++;
}

/* --- uses ---------------------------------------------------------------------------------------------- */
/* A line for each entry once, and so many in all. */
static bool is_told(struct flush_check *c, gpa_t slot)
{
	u64 *place = &c->told[(slot.v >> 3) % TOLD];

	if (*place == slot.v || c->lines == LINES_MAX)
		return true;
	*place = slot.v;
	c->lines++;
	return false;
}

static void report(struct shadow_mmu *mmu, const struct record *r, const struct shadow_where *use,
		   struct gpt_access access, bool proved)
{
	struct shadow *s = mmu->s;
	struct shadow_stale stale = {
		.gva = r->gva,
		.bytes = r->bytes,
		.entry = r->slot,
		.level = r->level,
		.old = r->old,
		.new = r->new,
		.global = r->global,
		.write = access.write,
		.fetch = access.fetch,
		.user = access.user,
		.proved = proved,
		.changed = r->by,
		.used = *use,
	};

	STAT(s, stale_uses);
	if (!is_told(s->check, r->slot) && mmu->ops->stale)
		mmu->ops->stale(mmu->cpu, &stale);
}

enum verdict { HARMLESS, STALE, REFUSED };

/* What would a processor do that still has the old translation? REFUSED: fault, which makes it forget it (4.10.4.1). */
static enum verdict judge(struct shadow_mmu *mmu, const struct record *r, gva_t gva, struct gpt_access access)
{
	struct gpt_walk walk;
	enum gpt_status status = gpt_walk(&mmu->gpt, gva, access, GPT_PEEK, &walk);
	pfn_t pfn;

	/* Another table is there now: if that was not flushed, it is the affair of the entry above. */
	if (status == GPT_RETRY || walk.last_level > r->level || walk.top_level < r->level ||
	    gpt_walk_table(&walk, r->level) >> PAGE_SHIFT != r->slot.v >> PAGE_SHIFT)
		return HARMLESS;
	if (!gpt_rights_allow(&mmu->gpt, r->rights, access))
		return REFUSED;
	if (status != GPT_OK)
		return STALE;
	if (r->link)
		return walk.leaf_level < r->level && gpt_walk_table(&walk, r->level - 1) >> PAGE_SHIFT == r->pfn ?
			       HARMLESS :
			       STALE;
	pfn = pfn_of(mmu->s, walk.gfn);
	if (pfn == hpa_to_pfn(mmu->s->ones_page))
		return HARMLESS;
	return pfn == r->pfn + ((gva - r->gva) >> PAGE_SHIFT) ? HARMLESS : STALE;
}

static bool same_thread(const struct shadow_where *a, const struct shadow_where *b)
{
	return a->cpu == b->cpu && a->cr3 == b->cr3 && a->thread == b->thread;
}

/* A stale use by this CPU. True: it is told, or can be forgotten. */
static bool weigh(struct shadow_mmu *mmu, struct record *r, const struct shadow_where *now, struct gpt_access access)
{
	bool proved = same_thread(&r->by, now);

	if (proved || mmu->s->check->strict) {
		report(mmu, r, now, access, proved);
		return true;
	}
	if (now->cpu != r->by.cpu && !(r->used & cpu_bit(mmu))) {
		r->used |= cpu_bit(mmu);
		r->use = *now;
		r->access = access;
	}
	return false;
}

/* It used it, and was not told since, though whoever changed it has long flushed it for itself. */
static bool is_overdue(const struct shadow_mmu *mmu, const struct record *r, u64 now)
{
	return (r->used & cpu_bit(mmu)) && r->told && (s64)(now - r->told) > (s64)mmu->s->check->grace;
}

static bool look_up(struct shadow_mmu *mmu, struct record *r, gva_t gva, struct gpt_access access,
		    const struct shadow_where *now)
{
	if (is_overdue(mmu, r, now->tsc)) {
		report(mmu, r, &r->use, r->access, true);
		return true;
	}
	if (gva - r->gva >= r->bytes)
		return false;
	switch (judge(mmu, r, gva, access)) {
	case HARMLESS: return false;
	case REFUSED: return r->bytes == PAGE_SIZE;
	case STALE: break;
	}
	return weigh(mmu, r, now, access);
}

static bool makes_progress(struct flush_check *c, const struct shadow_where *now)
{
	u32 cpu = now->cpu % CPUS_MAX;

	if (c->last[cpu].rip != now->rip) {
		c->last[cpu].rip = now->rip;
		c->last[cpu].repeats = 0;
	}
	return ++c->last[cpu].repeats <= REPEATS_MAX;
}

bool flushcheck_fault(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access)
{
	struct flush_check *c = mmu->s->check;
	struct shadow_where now = where_now(mmu);

	if (!makes_progress(c, &now))
		return false;
	discover(mmu);
	for (u32 i = 0; i < c->count;)
		if (!(c->records[i].cpus & cpu_bit(mmu)) || !look_up(mmu, &c->records[i], gva, access, &now) ||
		    !forgotten(mmu, i))
			i++;
	return true;
}

bool flushcheck_is_sound(const struct shadow *s)
{
	const struct flush_check *c = s->check;
	u32 all = s->mmu_count >= CPUS_MAX ? ~0u : (1u << s->mmu_count) - 1;

	for (u32 i = 0; i < c->count; i++) {
		const struct record *r = &c->records[i];

		if (!r->cpus || (r->cpus & ~all) || (r->used & ~r->cpus) || (r->gva & (r->bytes - 1)))
			return false;
	}
	return c->count <= RECORDS;
}
