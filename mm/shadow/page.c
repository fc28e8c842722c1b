/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow pages: from the pool to a name and back; see mm/shadow/page.h. */
#include "mm/shadow/page.h"

#include "lib/string.h"
#include "mm/shadow/cpus.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"
#include "mm/shadow/track.h"

u32 page_get(struct shadow *s, gfn_t gfn, union role role, bool *made)
{
	u32 page = page_find(s, gfn, role);
	struct shadow_page *sp;
	u32 last_writer = 0, *frame;

	*made = !page;
	if (page) {
		STAT(s, reuses);
		return page;
	}
	page = page_alloc_raw(s);
	BUG_ON(!page);
	sp = &s->pages[page];
	if (sp->flags & PAGE_RAW) /* else every entry was dropped when the page was */
		memset(page_table(s, page), 0, PAGE_SIZE);
	ASSERT(!sp->live && !sp->live_words && !(sp->parents & LIST_VALUE) && !sp->pins && !sp->tag);
	sp->gfn = gfn;
	sp->role = role;
	sp->state = PAGE_TABLE;
	sp->flags = PAGE_USED;
	sp->generation = s->generation;
	sp->idle_writes = 0;
	frame = role.direct ? NULL : frame_of_gfn(s, gfn);
	if (frame) {
		last_writer = track_frame(s, gfn, frame);
		cpus_settle(s); /* SETTLE: track */
	}
	sp->last_writer = last_writer;
	page_hash(s, page);
	if (unlikely(!frame) && !role.direct)
		foreign_add(s, page);
	else if (frame && (*frame & FRAME_UNSYNC))
		unsync_list_add(s, page, unsync_cpu_of(s, gfn, s->pages[page_next_of_gfn(s, page, gfn)].unsync_cpu));
	STAT(s, creates);
	return page;
}

/*
 * What was a table is most likely the memory next of the CPU whose table it was. Not of one that the guest runs on now: it did not
 * ask for this, may be halted for good, and would have to be stopped to take the right back.
 */
static void reopen_for_writer(struct shadow *s, u32 last_writer, gfn_t gfn)
{
	u32 number = s->pages[entry_page(last_writer)].role.cpu;
	struct shadow_mmu *mmu = any_mmu(s);

	for (u32 i = 0; number && i < s->mmu_count; i++)
		if (s->mmus[i]->number == number)
			mmu = s->mmus[i];
	if (!number || !__atomic_load_n(&mmu->inside, __ATOMIC_ACQUIRE))
		frame_reopen(mmu, last_writer, gfn);
}

/*
 * Drops a page: its entries, the links to it, its name. Pages below it stay
 * for reuse until reclaim finds them. A root in use is given up by its CPU,
 * which makes a new one before the next entry (S12).
 */
void page_zap(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];
	gfn_t gfn = sp->gfn;
	bool tracked = !sp->role.direct && !(sp->flags & PAGE_FOREIGN);
	u32 last_writer = sp->last_writer;

	if (trace_engine_on())
		trace_table(TRACE_ZAP, sp);
	if (unlikely(s->detached_count)) /* it may have had the link to a detached page */
		invlpg_must_exit(s);
	if (sp->role.level == 1)
		for (u32 words = sp->live_words; words; words &= words - 1)
			page_drop_leaves(s, page, bit_lowest(words), sp->live_map[bit_lowest(words)]);
	else
		for_each_live(sp, i)
			page_drop_entry(s, page, i);
	while (sp->parents & LIST_VALUE)
		page_drop_id(s, list_first(s, sp->parents));
	if (sp->flags & PAGE_UNSYNC)
		unsync_list_remove(s, page);
	s->foreign_count -= !!(sp->flags & PAGE_FOREIGN);
	root_forget(s, page);
	links_changed(s);
	page_unhash(s, page);
	page_free_raw(s, page);
	if (tracked && !page_first_of_gfn(s, gfn)) {
		untrack_frame(s, gfn);
		reopen_for_writer(s, last_writer, gfn);
	}
	STAT(s, zaps);
}

/* One step of the clock: drops a page that was not used since the last pass, or any. The number of its entries. */
static u32 reclaim_step(struct shadow *s, bool any)
{
	struct shadow_page *sp;
	u32 entries;

	if (++s->clock_hand >= s->page_count)
		s->clock_hand = 1;
	sp = &s->pages[s->clock_hand];
	if (sp->state != PAGE_TABLE || sp->pins)
		return 0;
	if ((sp->flags & PAGE_USED) && !any && !page_is_old(s, sp)) {
		sp->flags &= (u8)~PAGE_USED;
		return 0;
	}
	entries = sp->live + list_count(s, sp->parents);
	trace_table(TRACE_RECLAIM, sp);
	page_zap(s, s->clock_hand);
	STAT(s, reclaims);
	return entries;
}

/* Free pages are made ahead as long as it costs no more than this, in entries and in steps of the clock (S14). */
#define RECLAIM_AHEAD 24u
#define RECLAIM_ENTRIES 768u
#define RECLAIM_STEPS 4096u

/*
 * Roots in use stay (S12); everything else may go, and no fill is under way,
 * so a round of the clock that takes any frees all there is: the loop ends.
 */
void pages_reserve(struct shadow *s, u32 count)
{
	u32 ahead, chances, entries = 0, steps = 0;

	if (likely(s->free_count >= count + RECLAIM_AHEAD / 2))
		return;
	ahead = MIN(RECLAIM_AHEAD, s->page_count / 32);
	chances = MIN(RECLAIM_STEPS, 2 * s->page_count);
	if (s->free_count >= count + ahead / 2)
		return;
	while (s->free_count < count ||
	       (s->free_count < count + ahead && entries < RECLAIM_ENTRIES && steps < chances)) {
		entries += reclaim_step(s, steps >= chances);
		if (++steps > chances + s->page_count)
			break;
	}
	BUG_ON(s->free_count < count);
}
