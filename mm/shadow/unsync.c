/* SPDX-License-Identifier: BSD-2-Clause */
/* Which tables become unsync, and when; see mm/shadow/unsync.h. */
#include "mm/shadow/unsync.h"

#include "mm/shadow/derive.h"
#include "mm/shadow/page.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/track.h"

/*
 * Writes to so many tables of an address space since the last sync, or to the
 * lowest one, look like fork, exit or a large munmap: the rest of its tables
 * become unsync at once (at most BULK_UNSYNC_MAX of them, and BULK_ENTRIES_MAX entries are
 * looked at: tables that share tables have more paths than anyone can walk, S14).
 */
#define BULK_UNSYNC_AFTER 2u
#define BULK_UNSYNC_MAX 64u
#define BULK_ENTRIES_MAX 8192u

/* How often a table may become unsync with no use in between. */
#define IDLE_WRITES_MAX 3

/*
 * A page that is written again and again with no use in between is no table any
 * more: it is dropped instead, and with the last one the frame is ordinary memory.
 */
void frame_unsync(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame)
{
	struct shadow *s = mmu->s;
	u32 page = page_first_of_gfn(s, gfn), last_writer = s->pages[page].last_writer, next;

	*frame |= FRAME_UNSYNC;
	for (; page; page = next) {
		struct shadow_page *sp = &s->pages[page];

		next = page_next_of_gfn(s, page, gfn);
		if (!sp->pins && (++sp->idle_writes >= IDLE_WRITES_MAX || page_is_old(s, sp)))
			page_zap(s, page);
		else if (likely(!(sp->flags & PAGE_UNSYNC)))
			unsync_list_add(s, page, mmu->index);
	}
	frame_reopen(mmu, last_writer, gfn);
	STAT(s, unsyncs);
}

static bool unsync_page(struct shadow_mmu *mmu, u32 page)
{
	struct shadow_page *sp = &mmu->s->pages[page];

	if (sp->flags & PAGE_UNSYNC)
		return false;
	sp->idle_writes = 0;
	frame_unsync(mmu, sp->gfn, frame_of_gfn(mmu->s, sp->gfn));
	return true;
}

/* What is left of a bulk: tables to make unsync, entries to look at. */
struct bulk {
	u32 tables, entries;
};

/* The tables below a page, through entries before end. */
static void unsync_below(struct shadow_mmu *mmu, u32 page, u32 end, struct bulk *left)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];
	const u64 *table = page_table(s, page);

	for_each_live(sp, i) {
		u32 child;

		if (i >= end || !left->tables || !left->entries)
			return;
		left->entries--;
		child = link_target(s, table[i]);
		if (!child || s->pages[child].role.direct)
			continue;
		left->tables -= unsync_page(mmu, child);
		if (sp->role.level > 2)
			unsync_below(mmu, child, ENTRIES, left);
	}
}

/* The top page through which the guest reaches a table of its lower half; 0: none, or the upper half. */
static u32 top_of(const struct shadow_mmu *mmu, u32 page)
{
	const struct shadow *s = mmu->s;
	u32 index = 0;

	while (s->pages[page].role.level < mmu->root_level) {
		u32 id = list_first(s, s->pages[page].parents);

		if (!id)
			return 0;
		page = entry_page(id);
		index = id & (ENTRIES - 1);
	}
	return index < ENTRIES / 2 ? page : 0;
}

static u32 lowest_live(const struct shadow_page *sp)
{
	u32 word = bit_lowest(sp->live_words);

	return word * 64 + bit_lowest(sp->live_map[word]);
}

/*
 * Does a write to this table look like the guest going through all tables of the
 * address space? It is on the path of the lowest address that top translates, or
 * that path's table is unsync and has lost its first entry.
 */
static bool is_lowest(const struct shadow_mmu *mmu, u32 top, u32 page)
{
	const struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[top];
	u32 level = s->pages[page].role.level;

	while (top != page && sp->role.level > level && sp->live) {
		top = link_target(s, s->pool[entry_id(top, lowest_live(sp))]);
		if (!top)
			return false;
		sp = &s->pages[top];
	}
	if (top == page)
		return true;
	return (sp->flags & PAGE_UNSYNC) && sp->live &&
	       !(guest_entry(mmu, sp->role, gpt_table(&mmu->gpt, sp->gfn), lowest_live(sp)) & PTE_P);
}

void unsync_others(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	u32 top = mmu->root_level == 3 ? 0 : top_of(mmu, page);
	struct bulk left = {.tables = BULK_UNSYNC_MAX, .entries = BULK_ENTRIES_MAX};

	if (!top || s->pages[top].role.direct)
		return;
	if (top != mmu->unsync_top) {
		mmu->unsync_top = top;
		mmu->unsync_row = 0;
	}
	if (++mmu->unsync_row < BULK_UNSYNC_AFTER && !is_lowest(mmu, top, page))
		return;
	mmu->unsync_row = 0;
	unsync_page(mmu, top);
	unsync_below(mmu, top, ENTRIES / 2, &left);
}
