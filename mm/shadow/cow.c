/* SPDX-License-Identifier: BSD-2-Clause */
/* Parking pages and bringing them back; see mm/shadow/cow.h. */
#include "mm/shadow/cow.h"

#include "mm/shadow/cache.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/prefetch.h"
#include "mm/shadow/rmap.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/unsync.h"

/* All present entries are compared when the pages come back; more than these cost more than the exit. */
#define PARK_ENTRIES_MAX 24u
/* Refused writes in a row that look like the guest going through all of a range. */
#define PARK_ROW 8u

/* Is the page reached by one path, from the root in use? */
static bool reached_alone(const struct shadow_mmu *mmu, u32 page)
{
	const struct shadow *s = mmu->s;

	while (page != mmu->root[0]) {
		u32 link = s->pages[page].parents & LIST_VALUE;

		if (!link || !path_step_alone(&s->pages[page], false))
			return false;
		page = entry_page(link);
	}
	return path_step_alone(&s->pages[page], true);
}

/* All unsync pages, the hint's first; how many, 0: they cannot be parked. */
static u32 park_list(struct shadow_mmu *mmu, const struct path_hint *hint)
{
	struct shadow *s = mmu->s;
	u32 count = 1, entries = hint->record->live;

	if (s->unsync_upper || s->unsync_count > PARKED_MAX || !(hint->record->flags & PAGE_UNSYNC))
		return 0;
	s->parked[0].page = hint->page;
	for (u32 page = s->unsync_leaf; page; page = s->pages[page].unsync_next) {
		if (page == hint->page)
			continue;
		entries += s->pages[page].live;
		if (entries > PARK_ENTRIES_MAX || !reached_alone(mmu, page))
			return 0;
		s->parked[count++].page = page;
	}
	return count;
}

static void park_pages(struct shadow_mmu *mmu, u32 count, gva_t gva)
{
	struct shadow *s = mmu->s;

	for (u32 i = 0; i < count; i++) {
		struct shadow_page *sp = &s->pages[s->parked[i].page];
		u32 link = sp->parents & LIST_VALUE;

		sp->parents &= ~(u32)LIST_VALUE;
		live_clear(&s->pages[entry_page(link)], link & (ENTRIES - 1));
		spte_write(entry_pointer(s, link), 0);
		s->parked[i].link = link;
	}
	s->parked_count = count;
	s->parked_for = gva;
	free_invlpg(mmu, true);
	STAT(s, parks);
}

/*
 * The guest goes through all of the range and is refused each page: what the page has
 * serves no one (mostly it is the page before), and other tables are done with.
 */
static void make_room(struct shadow_mmu *mmu, const struct path_hint *hint, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct shadow_page *sp = hint->record;
	struct flush_scope scope = flush_scope_begin(s);
	bool one = sp->live == 1;

	for_each_live(sp, i) {
		page_drop_entry(s, hint->page, i);
		if (one)
			flush_scope_end(mmu, scope, (gva & ~(BIT(21) - 1)) + i * PAGE_SIZE); /* FLUSH: row */
	}
	if (s->unsync_count > 1) {
		sp->pins++; /* empty as it is, it would be dropped */
		sync_all(mmu);
		sp->pins--;
		frame_release(mmu, sp->gfn, frame_of_gfn(s, sp->gfn));
	}
}

static bool hint_alone(const struct shadow_mmu *mmu, const struct path_hint *hint)
{
	return hint->alone && hint->links == mmu->s->link_changes;
}

void park(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva)
{
	u32 index = level_index(1, gva), count;

	hint->refused_row = index == hint->refused ? hint->refused_row + 1 : 0;
	hint->refused = index + 1;
	if (hint->record->live > PARK_ENTRIES_MAX && hint->refused_row < PARK_ROW)
		return;
	if (!mmu->ops->trap_invlpg || !hint_alone(mmu, hint))
		return;
	if (hint->park_pause) {
		hint->park_pause--;
		return;
	}
	if (hint->refused_row >= PARK_ROW)
		make_room(mmu, hint, gva);
	count = hint_alone(mmu, hint) ? park_list(mmu, hint) : 0;
	if (count)
		park_pages(mmu, count, gva);
	else if (hint->refused_row >= PARK_ROW)
		hint->park_pause = PARK_PAUSE;
}

void park_nothing(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	if (mmu->ops->trap_invlpg && !s->invlpg_free && !s->unsync_count)
		free_invlpg(mmu, true);
}

/* Brings the pages up to date, and takes along what the guest was refused unless it is here for that. */
static ALWAYS_INLINE void park_sync(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	u32 page = s->parked[0].page, index = level_index(1, s->parked_for);
	u64 gpte = __atomic_load_n(&plain_table(s->pages[page].gfn)[index], __ATOMIC_RELAXED);

	for (u32 i = 0; i < s->parked_count; i++)
		if (s->pages[s->parked[i].page].live)
			sync_page(mmu, s->parked[i].page);
	if (unlikely(!(gpte & PTE_W)))
		hint_of(mmu, s->parked_for)->park_pause = PARK_PAUSE;
	else if ((gva ^ s->parked_for) >> PAGE_SHIFT && is_wanted(gpte, page_table(s, page)[index]))
		prefetch_plain(mmu, page, index, gpte);
}

/*
 * The guest may have flushed what it changed, or not: then its INVLPG will find nothing
 * to change any more, so the flush is made here. Mostly one entry changed, the refused one.
 */
void unpark(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct flush_scope scope = flush_scope_begin(s);
	const u64 *refused = &page_table(s, s->parked[0].page)[level_index(1, s->parked_for)];
	u64 old = *refused, changes = s->sync_changes;

	park_sync(mmu, gva);
	if (*refused != old && (old & PTE_P) && s->sync_changes - changes == 1)
		flush_scope_end(mmu, scope, s->parked_for); /* FLUSH: unpark */
	for (u32 i = 0; i < s->parked_count; i++) {
		u32 page = s->parked[i].page, link = s->parked[i].link;

		page_touch(&s->pages[page]);
		s->pages[page].parents |= link;
		live_set(&s->pages[entry_page(link)], link & (ENTRIES - 1));
		spte_write(entry_pointer(s, link), page_hpa(s, page).v | SPTE_LINK);
	}
	s->parked_count = 0;
	free_invlpg(mmu, false);
}
