/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Re-deriving entries; see mm/shadow/sync.h.
 *
 *   unchanged: left alone
 *   a changed leaf: made anew, by the rights the guest has without a fault
 *   a changed table, a cleared A: the entry goes
 */
#include "mm/shadow/sync.h"

#include "mm/shadow/cpus.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/page.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"
#include "mm/shadow/track.h"

static bool link_matches(const struct shadow *s, u64 spte, const struct derived *d)
{
	const struct shadow_page *child = &s->pages[page_of_link(s, spte)];

	return d->link && child->gfn == d->gfn && child->role.word == d->role.word;
}

/* Derives the entry anew; false if it did not change after all. */
static bool sync_changed_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	u64 spte = page_table(s, page)[index];
	struct derived d;

	entry_derive(mmu, page, index, gpte, spte, &d);
	if (!spte_is_leaf(s->pages[page].role.level, spte)) {
		if (link_matches(s, spte, &d))
			return false;
		page_drop_entry(s, page, index);
	} else {
		if (spte == d.leaf)
			return false;
		if (d.leaf)
			leaf_install(s, page, index, d.leaf);
		else
			page_drop_entry(s, page, index);
	}
	counter_add(&s->sync_changes, 1);
	return true;
}

/* The same in a page whose leaves are copied. */
static bool sync_changed_copied(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	u64 leaf;

	if (gpte & PTE_P) {
		leaf = copied_leaf(mmu, gpte);
		if (!leaf)
			return sync_changed_entry(mmu, page, index, gpte);
		if (leaf == page_table(s, page)[index])
			return false;
		leaf_install(s, page, index, leaf);
	} else {
		page_drop_entry(s, page, index);
	}
	counter_add(&s->sync_changes, 1);
	return true;
}

bool sync_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	const struct shadow *s = mmu->s;
	union role role = s->pages[page].role;
	u64 spte = s->pool[entry_id(page, index)];

	if (role_is_copied(mmu, role))
		return sync_changed_copied(mmu, page, index, gpte);
	if (role.level > 1 && !(spte & PTE_PS) && link_unchanged(s, role, index, spte, gpte))
		return false;
	return sync_changed_entry(mmu, page, index, gpte);
}

static NOINLINE void sync_copied_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	if (page_table(mmu->s, page)[index] & PTE_P)
		sync_changed_copied(mmu, page, index, gpte);
}

/* 64 entries, those in bits. Most of a sync's time is here: a function of its own keeps the loop short. */
static NOINLINE void sync_copied_word(struct shadow_mmu *mmu, u32 first_id, const u64 *ours, const u64 *theirs,
				      u64 bits)
{
	do {
		u64 i = bit_lowest(bits), gpte = __atomic_load_n(&theirs[i], __ATOMIC_RELAXED);

		if (unlikely((gpte ^ ours[i]) & COPIED_BITS))
			sync_copied_entry(mmu, entry_page(first_id), (first_id + (u32)i) & (ENTRIES - 1), gpte);
		bits &= bits - 1;
	} while (bits);
}

/* A page with copied leaves and none of another type: one comparison tells those that did not change. */
static void sync_copied_page(struct shadow_mmu *mmu, u32 page)
{
	const struct shadow_page *sp = &mmu->s->pages[page];
	const u64 *sptes = page_table(mmu->s, page), *table = table_of_copied(sp->gfn);

	for (u32 words = sp->live_words; words; words &= words - 1) {
		u32 first = bit_lowest(words) * 64;

		/* An entry of this page may have been dropped meanwhile, to make room in a list. */
		if (sp->live_map[first / 64])
			sync_copied_word(mmu, entry_id(page, first), sptes + first, table + first,
					 sp->live_map[first / 64]);
	}
}

/* Has it copied leaves? Not those of this CPU's mode now, or the trace is told of each sync. */
static ALWAYS_INLINE bool look_copied(const struct shadow_mmu *mmu, const struct shadow_page *sp)
{
	if (trace_engine_on())
		trace_table(TRACE_SYNC, sp);
	return role_is_copied(mmu, sp->role);
}

void sync_page(struct shadow_mmu *mmu, u32 page)
{
	struct shadow_page *sp = &mmu->s->pages[page];
	const u64 *table;

	STAT(mmu->s, syncs);
	if ((likely(role_of_any(sp->role) == mmu->sync_role) || look_copied(mmu, sp)) && !(sp->flags & PAGE_TYPED)) {
		sync_copied_page(mmu, page);
		return;
	}
	table = gpt_table(&mmu->gpt, sp->gfn);
	for_each_live(sp, i) {
		if (page_table(mmu->s, page)[i] & PTE_P)
			sync_entry(mmu, page, i, guest_entry(mmu, sp->role, table, i));
	}
}

static bool lower_half_live(const struct shadow_page *sp)
{
	return sp->live_words & (BIT(ENTRIES / 64 / 2) - 1);
}

/* After a sync: an empty table, or a root whose address space was taken down, is not worth keeping. */
static void sync_settle(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];
	bool taken_down = sp->role.level >= 4 && (sp->flags & PAGE_LOWER) && !lower_half_live(sp);

	if (!sp->pins && (!sp->live || taken_down))
		page_zap(s, page);
}

/* --- how much one flush may do (S14) ---------------------------------------------- */
/* In entries: looked at, 16 are as one that changes. Once nothing is left, tables become dormant instead (S26). */
struct work {
	s32 left;
};

static void work_done(struct work *w, u32 entries)
{
	w->left -= (s32)entries;
}

#define LOOK_AT_FULL (4 + ENTRIES / 16)
static u32 work_to_look(const struct shadow_page *sp)
{
	return 4 + sp->live / 16;
}

/* A root in use stays where it is, whatever that costs. */
static bool must_sync(const struct shadow *s, const struct shadow_page *sp, const struct work *w)
{
	return sp->pins || (w->left > 0 && !page_is_old(s, sp));
}

/* Returns how many entries changed. */
static u32 sync_counted(struct shadow_mmu *mmu, u32 page, struct work *w)
{
	u64 before = mmu->s->sync_changes;
	u32 changes;

	sync_page(mmu, page);
	changes = (u32)(mmu->s->sync_changes - before);
	work_done(w, work_to_look(&mmu->s->pages[page]) + changes);
	return changes;
}

/* What cannot be brought up to date in this flush: nothing leads to it any more. */
static void put_off(struct shadow *s, u32 page, struct work *w)
{
	const struct shadow_page *sp = &s->pages[page];

	if (w->left <= 0 || !page_is_old(s, sp)) {
		page_set_dormant(s, page);
		return;
	}
	work_done(w, work_to_look(sp) + sp->live);
	page_zap(s, page);
}

/* For each page of a list; the body may take it out of the list. Declares page. */
#define for_each_listed(s, page, head) \
	for (u32 page = (head), next_; page && (next_ = (s)->pages[page].unsync_next, true); page = next_)

/* Of so many entries, those before the first that the guest's table still has; of an old page all. */
static u64 cleared_bits(struct shadow_mmu *mmu, u32 page, u32 word, const u64 *table, u32 *budget)
{
	union role role = mmu->s->pages[page].role;
	u64 cleared = 0;

	for (u64 bits = mmu->s->pages[page].live_map[word]; bits && *budget; bits &= bits - 1) {
		if (table && (guest_entry(mmu, role, table, word * 64 + bit_lowest(bits)) & PTE_P))
			break;
		cleared |= bits & -bits;
		--*budget;
	}
	return cleared;
}

/* Drops the entries of a page up to the first that the guest's table still has; nothing has to be protected for that. */
static void drop_cleared(struct shadow_mmu *mmu, u32 page, u32 *budget)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];
	const u64 *table = page_is_old(s, sp) ? NULL : gpt_table(&mmu->gpt, sp->gfn);

	for (u32 words = sp->live_words; words; words &= words - 1) {
		u32 word = bit_lowest(words);
		u64 bits = cleared_bits(mmu, page, word, table, budget);

		if (sp->role.level == 1) {
			u32 searched = 3 * page_drop_leaves(s, page, word, bits);

			*budget -= MIN(*budget, searched);
		} else {
			for (u64 rest = bits; rest; rest &= rest - 1)
				page_drop_entry(s, page, word * 64 + bit_lowest(rest));
		}
		if (sp->live_map[word])
			return;
	}
}

/* A large table that was emptied goes at once, for it costs less than to look at it later. True: it is gone. */
static bool drop_emptied(struct shadow_mmu *mmu, u32 page, u32 *budget)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];

	if (sp->role.level > 1 || sp->live < 64 || (sp->flags & PAGE_FOREIGN) || page_is_detached(s, page))
		return false;
	drop_cleared(mmu, page, budget);
	if (sp->live)
		return false;
	page_zap(s, page);
	return true;
}

/* Takes every right to write to a table away; whoever reads it then settles first. */
static ALWAYS_INLINE void protect_page(struct shadow *s, const struct shadow_page *sp)
{
	gfn_t gfn = sp->gfn;
	u32 *frame = frame_of_gfn(s, gfn), last_writer;

	if (!frame || !(*frame & FRAME_UNSYNC))
		return;
	last_writer = frame_protect(s, gfn, frame);
	if (last_writer)
		s->pages[page_first_of_gfn(s, gfn)].last_writer = last_writer;
}

/* Protects the tables that this flush has time to look at; the others become dormant, or are left for the next. */
static void protect_list(struct shadow_mmu *mmu, u32 head, struct work *w, bool leave)
{
	struct shadow *s = mmu->s;
	u32 emptied = EMPTIED_MAX;

	for_each_listed(s, page, head) {
		const struct shadow_page *sp = &s->pages[page];

		if (unlikely(w->left <= 0) && leave && page != head)
			return;
		if (unlikely(sp->live >= 64) && drop_emptied(mmu, page, &emptied))
			continue;
		if (unlikely(!must_sync(s, sp, w))) {
			put_off(s, page, w);
			continue;
		}
		work_done(w, work_to_look(sp));
		protect_page(s, sp);
	}
}

/* So many syncs with no fault that went through its page let go of a foreign table. */
#define FOREIGN_IDLE_MAX 64u

/* Foreign tables stay unsync (S16). chain: their pages, taken off the lists. */
static NOINLINE void foreign_settle(struct shadow_mmu *mmu, u32 chain)
{
	struct shadow *s = mmu->s;

	while (chain) {
		struct shadow_page *sp = &s->pages[chain];
		u32 page = chain;

		chain = sp->unsync_next;
		unsync_list_add(s, page, mmu->index);
		if (++sp->idle_writes >= FOREIGN_IDLE_MAX && !sp->pins)
			page_zap(s, page);
		else
			sync_settle(s, page);
	}
}

/* A table that was re-derived so often is protected: another CPU's by the next flush, this one's if it did not change. */
#define REFRESHES_MAX 8u

/* Returns one that did not change in so many turns, 0: there is none. */
static u32 refresh_list(struct shadow_mmu *mmu, u32 head, struct work *w)
{
	u32 quiet = 0;

	for_each_listed(mmu->s, page, head) {
		struct shadow_page *sp = &mmu->s->pages[page];

		if (unlikely(!must_sync(mmu->s, sp, w)))
			put_off(mmu->s, page, w);
		else if (sync_counted(mmu, page, w))
			sp->refreshes = 0;
		else if (++sp->refreshes > REFRESHES_MAX && !(sp->flags & PAGE_FOREIGN))
			quiet = page;
	}
	return quiet;
}

/* Moves a table from another CPU's list to this one's, with all of its pages. */
static void adopt(struct shadow_mmu *mmu, gfn_t gfn)
{
	struct shadow *s = mmu->s;

	for (u32 page = page_first_of_gfn(s, gfn); page; page = page_next_of_gfn(s, page, gfn)) {
		if (s->pages[page].flags & PAGE_DORMANT)
			continue;
		unsync_list_remove(s, page);
		unsync_list_add(s, page, mmu->index);
	}
}

/*
 * What other CPUs wrote to and may go on writing to: re-derived and not protected, where a root of this CPU
 * leads to it (C11). Else two CPUs that flush would take the right from each other at each turn.
 */
static void refresh_others_list(struct shadow_mmu *mmu, u32 head, struct work *w, u32 *worn)
{
	struct shadow *s = mmu->s;

	for_each_listed(s, page, head) {
		struct shadow_page *sp = &s->pages[page];

		if (!page_concerns(mmu, page))
			continue;
		if (unlikely(!must_sync(s, sp, w))) {
			put_off(s, page, w);
			continue;
		}
		sync_counted(mmu, page, w);
		if (sp->refreshes < REFRESHES_MAX)
			sp->refreshes++;
		else if (!(sp->flags & PAGE_FOREIGN))
			*worn = page;
	}
}

static void refresh_others(struct shadow_mmu *mmu, bool upper_alone, struct work *w)
{
	struct shadow *s = mmu->s;

	for (u32 i = 0; i < s->mmu_count; i++) {
		u32 worn = 0;

		if (i == mmu->index)
			continue;
		refresh_others_list(mmu, s->mmus[i]->unsync_upper, w, &worn);
		if (!upper_alone)
			refresh_others_list(mmu, s->mmus[i]->unsync_leaf, w, &worn);
		if (worn) /* now: a frame may be a table of several levels */
			adopt(mmu, s->pages[worn].gfn);
	}
}

#define DORMANT_LOOKS 2u

void dormant_look(struct shadow_mmu *mmu, u32 budget)
{
	struct shadow *s = mmu->s;

	for (u32 i = 0; i < DORMANT_LOOKS && s->dormant && budget; i++) {
		u32 page = s->dormant_hand ? s->dormant_hand : s->dormant;
		const struct shadow_page *sp = &s->pages[page];

		if (!sp->role.direct && !(sp->flags & PAGE_FOREIGN))
			drop_cleared(mmu, page, &budget);
		if (budget)
			s->dormant_hand = sp->unsync_next;
		if (!sp->live)
			page_zap(s, page);
	}
}

/* Brings a page up to date that is protected, or puts it off. foreign: the list of those that stay unsync. */
static ALWAYS_INLINE void sync_protected(struct shadow_mmu *mmu, u32 page, struct work *w, u32 *foreign)
{
	struct shadow *s = mmu->s;

	if (unlikely(!must_sync(s, &s->pages[page], w))) {
		put_off(s, page, w);
		return;
	}
	unsync_list_remove(s, page);
	sync_counted(mmu, page, w);
	if (unlikely(s->pages[page].flags & PAGE_FOREIGN)) {
		s->pages[page].unsync_next = *foreign;
		*foreign = page;
	} else {
		sync_settle(s, page);
	}
}

/* The same for all pages of a table, whose state is one. */
static void sync_frame(struct shadow_mmu *mmu, gfn_t gfn, struct work *w)
{
	struct shadow *s = mmu->s;
	u32 next, foreign = 0;

	for (u32 page = page_first_of_gfn(s, gfn); page; page = next) {
		next = page_next_of_gfn(s, page, gfn);
		if ((s->pages[page].flags & (PAGE_UNSYNC | PAGE_DORMANT)) == PAGE_UNSYNC)
			sync_protected(mmu, page, w, &foreign);
	}
}

/*
 * Order matters (S6): all tables lose their write rights, the flush of those
 * rights is made due, and only then are the tables read. The CPU whose guest
 * flushed is in the hypervisor, so a due flush is as good as a done one; others
 * are taken there first (C7). A table that was protected and then not read is
 * dormant, which stands for it whether it is protected or not.
 */
void sync_tables(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	struct work look = {(s32)s->sync_work}, work = {(s32)s->sync_work};
	u64 begun = __builtin_ia32_rdtsc();
	u32 page, foreign = 0;

	protect_list(mmu, mmu->unsync_upper, &look, false);
	protect_list(mmu, mmu->unsync_leaf, &look, false);
	cpus_settle(s); /* SETTLE: sync */
	while ((page = mmu->unsync_upper ? mmu->unsync_upper : mmu->unsync_leaf))
		sync_protected(mmu, page, &work, &foreign);
	if (unlikely(foreign))
		foreign_settle(mmu, foreign);
	if (unlikely(s->mmu_count > 1) && s->unsync_count)
		refresh_others(mmu, false, &work);
	if (unlikely(s->dormant))
		dormant_look(mmu, DORMANT_DROPS);
	stat_longest(s, begun);
}

/* What a flush does, for the first tables of level 1; foreign ones would come back to the list. */
static NOINLINE void sync_first(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	struct work look = {(s32)s->sync_work}, work = {(s32)s->sync_work};

	protect_list(mmu, mmu->unsync_leaf, &look, true);
	cpus_settle(s); /* SETTLE: first */
	while (mmu->unsync_leaf) {
		gfn_t gfn = s->pages[mmu->unsync_leaf].gfn;

		if (*frame_of_gfn(s, gfn) & FRAME_UNSYNC)
			break;
		sync_frame(mmu, gfn, &work);
	}
}

bool sync_ahead(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	u32 budget = AHEAD_TIMES * EMPTIED_MAX, tables = 0;

	for_each_listed(s, page, mmu->unsync_leaf) {
		if (s->pages[page].live >= 64 && drop_emptied(mmu, page, &budget))
			continue;
		if (!budget)
			return false;
		tables++;
	}
	if (budget <= (AHEAD_TIMES - 1) * EMPTIED_MAX)
		return false;
	if (likely(tables * LOOK_AT_FULL <= s->sync_work) || s->foreign_count)
		return true;
	sync_first(mmu);
	return false;
}

void sync_upper(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	struct work work = {(s32)s->sync_work};
	u32 quiet = refresh_list(mmu, mmu->unsync_upper, &work);

	if (quiet) {
		protect_page(s, &s->pages[quiet]);
		cpus_settle(s); /* SETTLE: quiet */
		sync_frame(mmu, s->pages[quiet].gfn, &work);
	}
	if (unlikely(s->mmu_count > 1))
		refresh_others(mmu, true, &work);
}

/* --- before a page is linked (S7) -------------------------------------------------- */
#define UNSYNC_LOOKS 16u

/*
 * Is nothing unsync that the roots of one CPU lead to? Then nothing below a page that is this CPU's alone. Mostly what others
 * have just written to are tables of address spaces of theirs. False also where it takes long to tell.
 */
static bool all_in_step(const struct shadow *s, u32 cpu)
{
	if (!cpu || s->unsync_count > UNSYNC_LOOKS)
		return false;
	for (u32 i = 0; i < 2 * s->mmu_count; i++) {
		const struct shadow_mmu *mmu = s->mmus[i / 2];

		for_each_listed(s, page, i % 2 ? mmu->unsync_leaf : mmu->unsync_upper)
			if (page_cpus(s, page) >> cpu & 1)
				return false;
	}
	return true;
}

/*
 * Re-derives what is unsync from a page down; where there is no time for that, the link goes. False: there are more
 * than so many links.
 */
static bool refresh_below(struct shadow_mmu *mmu, u32 page, u32 *links, struct work *w)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];

	if (sp->flags & PAGE_UNSYNC)
		sync_counted(mmu, page, w);
	if (sp->role.level == 1 || sp->role.direct)
		return true;
	for_each_live(sp, i) {
		u32 child = link_target(s, page_table(s, page)[i]);

		if (!child)
			continue;
		if (unlikely(w->left <= 0) && (s->pages[child].flags & PAGE_UNSYNC))
			page_drop_entry(s, page, i);
		else if (!(*links)-- || !refresh_below(mmu, child, links, w))
			return false;
	}
	return true;
}

/* Re-derives all that is unsync. False: there is no time for that. */
static bool refresh_all(struct shadow_mmu *mmu, struct work *w)
{
	struct shadow *s = mmu->s;

	for (u32 i = 0; i < 2 * s->mmu_count; i++) {
		const struct shadow_mmu *other = s->mmus[i / 2];

		for_each_listed(s, page, i % 2 ? other->unsync_leaf : other->unsync_upper) {
			if (w->left <= 0)
				return false;
			sync_counted(mmu, page, w);
		}
	}
	return true;
}

static void drop_links(struct shadow *s, u32 page)
{
	for_each_live(&s->pages[page], i)
		if (link_target(s, page_table(s, page)[i]))
			page_drop_entry(s, page, i);
}

void sync_refresh(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	struct work work = {(s32)s->sync_work};
	u32 links = 32;

	if (unlikely(s->pages[page].flags & PAGE_DORMANT)) {
		page_wake(mmu, page);
		if (!(s->pages[page].flags & PAGE_UNSYNC))
			sync_counted(mmu, page, &work);
	}
	if (!s->unsync_count || all_in_step(s, s->pages[page].role.cpu))
		return;
	if (!refresh_below(mmu, page, &links, &work) && !refresh_all(mmu, &work) && s->pages[page].role.level > 1)
		drop_links(s, page);
}
