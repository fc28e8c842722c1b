/* SPDX-License-Identifier: BSD-2-Clause */
/* Detaching pages and bringing them back; see mm/shadow/cow.h. */
#include "mm/shadow/cow.h"

#include "mm/shadow/cache.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/prefetch.h"
#include "mm/shadow/rmap.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"
#include "mm/shadow/unsync.h"

/* All present entries are compared when the pages come back; more than these cost more than the exit. */
#define DETACH_ENTRIES_MAX 24u
/* Refused writes in a row that look like the guest going through all of a range. */
#define REFUSED_ROW 8u
/* So many INVLPGs of one range look like a window; from then on each does, as long as its pages can be detached. */
#define WINDOW_ROW 8u

/* Not where other CPUs may use a table that is to be detached, or make one unsync (S15). */
static ALWAYS_INLINE bool may_detach(const struct shadow_mmu *mmu)
{
	return mmu->ops->trap_invlpg && mmu->s->mmu_count == 1;
}

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

/* All unsync pages, that of the path first; how many, 0: they cannot be detached. */
static ALWAYS_INLINE u32 detach_list(struct shadow_mmu *mmu, const struct cached_path *path)
{
	struct shadow *s = mmu->s;
	u32 count = 1, entries = path->record->live;

	if (s->unsync_uppers || s->unsync_count > DETACHED_MAX || !(path->record->flags & PAGE_UNSYNC))
		return 0;
	s->detached[0].page = path->page;
	for (u32 page = mmu->unsync_leaf; page; page = s->pages[page].unsync_next) {
		if (page == path->page)
			continue;
		entries += s->pages[page].live;
		if (entries > DETACH_ENTRIES_MAX || !reached_alone(mmu, page))
			return 0;
		s->detached[count++].page = page;
	}
	return count;
}

static ALWAYS_INLINE void detach_pages(struct shadow_mmu *mmu, u32 count, gva_t gva)
{
	struct shadow *s = mmu->s;

	for (u32 i = 0; i < count; i++) {
		struct shadow_page *sp = &s->pages[s->detached[i].page];
		u32 link = sp->parents & LIST_VALUE;

		sp->parents &= ~(u32)LIST_VALUE;
		live_clear(&s->pages[entry_page(link)], link & (ENTRIES - 1));
		if (trace_engine_on())
			trace_entry(s, entry_page(link), link & (ENTRIES - 1), *entry_pointer(s, link), 0);
		spte_write(entry_pointer(s, link), 0);
		s->detached[i].link = link;
	}
	s->detached_count = count;
	s->detached_for = gva;
	s->detached_window = false;
	invlpg_set_free(mmu, true);
	STAT(s, detaches);
}

/*
 * The guest goes through all of the range and is refused each page: what the page has
 * serves no one (mostly it is the page before), and other tables are done with.
 */
static void make_room(struct shadow_mmu *mmu, const struct cached_path *path, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct shadow_page *sp = path->record;
	struct flush_scope scope = flush_scope_begin(mmu);
	bool one = sp->live == 1;

	for_each_live(sp, i) {
		page_drop_entry(s, path->page, i);
		if (one)
			flush_scope_end(mmu, scope, (gva & ~(BIT(21) - 1)) + i * PAGE_SIZE); /* FLUSH: row */
	}
	if (s->unsync_count > 1) {
		sp->pins++; /* empty as it is, it would be dropped */
		sync_all(mmu);
		sp->pins--;
		frame_unsync(mmu, sp->gfn, frame_of_gfn(s, sp->gfn));
	}
}

static bool path_alone(const struct shadow_mmu *mmu, const struct cached_path *path)
{
	return path->alone && path->links == mmu->s->link_changes;
}

void cow_detach(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva)
{
	u32 index = level_index(1, gva), count;

	path->refused_row = index == path->refused ? path->refused_row + 1 : 0;
	path->refused = index + 1;
	if (path->record->live > DETACH_ENTRIES_MAX && path->refused_row < REFUSED_ROW)
		return;
	if (!may_detach(mmu) || !path_alone(mmu, path))
		return;
	if (path->detach_pause) {
		path->detach_pause--;
		return;
	}
	if (path->refused_row >= REFUSED_ROW)
		make_room(mmu, path, gva);
	count = path_alone(mmu, path) ? detach_list(mmu, path) : 0;
	if (count)
		detach_pages(mmu, count, gva);
	else if (path->refused_row >= REFUSED_ROW)
		path->detach_pause = DETACH_PAUSE;
}

void cow_window(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva)
{
	u32 count = 0;

	if (++path->window_row < WINDOW_ROW)
		return;
	if (may_detach(mmu) && path_alone(mmu, path) && path->record->live <= DETACH_ENTRIES_MAX)
		count = detach_list(mmu, path);
	path->window_row = count ? WINDOW_ROW - 1 : 0;
	if (!count)
		return;
	detach_pages(mmu, count, gva);
	mmu->s->detached_window = true;
}

void cow_free_invlpg(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	if (may_detach(mmu) && !s->invlpg_free && !s->unsync_count)
		invlpg_set_free(mmu, true);
}

/* Brings the pages up to date, and takes along what the guest was refused unless it is here for that. */
static ALWAYS_INLINE void detached_sync(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	u32 page = s->detached[0].page, index = level_index(1, s->detached_for);
	u64 gpte = __atomic_load_n(&table_of_copied(s->pages[page].gfn)[index], __ATOMIC_RELAXED);

	for (u32 i = 0; i < s->detached_count; i++)
		if (s->pages[s->detached[i].page].live)
			sync_page(mmu, s->detached[i].page);
	if (s->detached_window)
		return;
	if (unlikely(!(gpte & PTE_W)))
		path_slot(mmu, s->detached_for)->detach_pause = DETACH_PAUSE;
	else if ((gva ^ s->detached_for) >> PAGE_SHIFT && is_wanted(gpte, page_table(s, page)[index])) {
		if (trace_engine_on())
			prefetch_traced(mmu, page, index, gpte);
		else
			prefetch_copied(mmu, page, index, gpte);
	}
}

/*
 * The guest may have flushed what it changed, or not: then its INVLPG will find nothing
 * to change any more, so the flush is made here. Mostly one entry changed, the refused one.
 */
void cow_reattach(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct flush_scope scope = flush_scope_begin(mmu);
	const u64 *refused = &page_table(s, s->detached[0].page)[level_index(1, s->detached_for)];
	u64 old = *refused, changes = s->sync_changes;

	detached_sync(mmu, gva);
	if (*refused != old && (old & PTE_P) && s->sync_changes - changes == 1)
		flush_scope_end(mmu, scope, s->detached_for); /* FLUSH: reattach */
	for (u32 i = 0; i < s->detached_count; i++) {
		u32 page = s->detached[i].page, link = s->detached[i].link;

		page_touch(&s->pages[page]);
		s->pages[page].parents |= link;
		live_set(&s->pages[entry_page(link)], link & (ENTRIES - 1));
		spte_write(entry_pointer(s, link), page_hpa(s, page).v | SPTE_LINK);
		if (trace_engine_on())
			trace_entry(s, entry_page(link), link & (ENTRIES - 1), 0, *entry_pointer(s, link));
	}
	s->detached_count = 0;
	invlpg_set_free(mmu, false);
}
