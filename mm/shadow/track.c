/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of guest RAM that serve as page tables. A tracked frame is either
 * protected (no writable mapping of it exists, S5) or unsync (the guest writes
 * to it at will, and its shadow pages are brought up to date when the guest
 * flushes its TLB, S6). Both are states of the frame: all shadow pages of one
 * table share them.
 */
#include "mm/shadow/int.h"

static void drop_all(struct shadow *s, u32 *head)
{
	while (*head & LIST_VALUE)
		page_drop_id(s, list_first(s, *head));
}

/* Writable 4 KiB leaves keep their place but lose the right (and leave the list). */
static u32 strip_writable(struct shadow *s, u32 *frame)
{
	u32 id = 0;

	while (*frame & LIST_VALUE) {
		u64 *spte;

		id = list_first(s, *frame);
		spte = entry_pointer(s, id);
		list_remove(s, frame, id);
		spte_write(spte, *spte & ~(PTE_W | SPTE_RMAP));
		s->flush_due = true; /* FLUSH: protect */
	}
	return id;
}

/*
 * S10: flush_due may already be set by a writable entry that went earlier; its
 * flush is still to come, and it comes before the guest runs again.
 */
u32 frame_protect(struct shadow *s, gfn_t gfn, u32 *frame)
{
	*frame &= ~FRAME_UNSYNC;
	drop_all(s, &s->blocks[gfn >> 9].leaves);
	drop_all(s, &s->giga[gfn >> 18]);
	return strip_writable(s, frame);
}

u32 track_frame(struct shadow *s, gfn_t gfn)
{
	u32 *frame = frame_of_gfn(s, gfn);

	BUG_ON(!frame);
	if (*frame & FRAME_TRACKED)
		return 0;
	*frame |= FRAME_TRACKED;
	s->blocks[gfn >> 9].tracked++;
	return frame_protect(s, gfn, frame);
}

void untrack_frame(struct shadow *s, gfn_t gfn)
{
	u32 *frame = frame_of_gfn(s, gfn);

	*frame &= ~(FRAME_TRACKED | FRAME_UNSYNC);
	s->blocks[gfn >> 9].tracked--;
}

static u32 *unsync_head(struct shadow *s, u32 page)
{
	return s->pages[page].role.level == 1 ? &s->unsync_leaf : &s->unsync_upper;
}

void unsync_list_add(struct shadow *s, u32 page)
{
	u32 *head = unsync_head(s, page);

	park_end(s);
	s->unsync_count++;
	s->pages[page].flags |= PAGE_UNSYNC;
	s->pages[page].unsync_prev = 0;
	s->pages[page].unsync_next = *head;
	if (*head)
		s->pages[*head].unsync_prev = page;
	*head = page;
}

void unsync_list_remove(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	park_end(s);
	s->unsync_count--;
	sp->flags &= (u8)~PAGE_UNSYNC;
	if (sp->unsync_prev)
		s->pages[sp->unsync_prev].unsync_next = sp->unsync_next;
	else
		*unsync_head(s, page) = sp->unsync_next;
	if (sp->unsync_next)
		s->pages[sp->unsync_next].unsync_prev = sp->unsync_prev;
}

/* Would the entry, which is read-only, be made writable if it were derived now? */
static bool may_write(struct shadow_mmu *mmu, u32 page, u32 index, u64 spte)
{
	const struct shadow_page *sp = &mmu->s->pages[page];
	struct derived d;
	u64 gpte;

	if (sp->role.direct)
		return sp->role.access & ACC_W;
	gpte = guest_entry(mmu, sp->role, gpt_table(&mmu->gpt, sp->gfn), index);
	entry_derive(mmu, page, index, gpte, spte, &d);
	return d.leaf == (spte | PTE_W | SPTE_RMAP);
}

/*
 * Gives the right to write back to the entry that had it, if that still maps the
 * frame and the guest may write through it without a further fault (S9).
 */
void frame_reopen(struct shadow_mmu *mmu, u32 home, gfn_t gfn)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[entry_page(home)];
	u64 *at = entry_pointer(s, home), spte;
	u32 *head;

	if (!entry_page(home) || sp->state != PAGE_TABLE || sp->role.level != 1)
		return;
	spte = *at;
	if ((spte & (PTE_P | PTE_W)) != PTE_P)
		return;
	head = frame_of_gfn(s, gfn);
	if (frame_of_spte(s, spte) != head || !may_write(mmu, entry_page(home), home & (ENTRIES - 1), spte))
		return;
	list_put(s, head, home);
	spte_write(at, spte | PTE_W | SPTE_RMAP);
}

/*
 * A page that is written again and again with no use in between is no table any
 * more: it is dropped instead, and with the last one the frame is plain memory.
 */
void frame_release(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame)
{
	struct shadow *s = mmu->s;
	u32 page = page_first_of_gfn(s, gfn), home = s->pages[page].home, next;

	*frame |= FRAME_UNSYNC;
	for (; page; page = next) {
		struct shadow_page *sp = &s->pages[page];

		next = page_next_of_gfn(s, page, gfn);
		if (!sp->pins && ++sp->idle_writes >= IDLE_WRITES_MAX)
			page_zap(s, page);
		else
			unsync_list_add(s, page);
	}
	frame_reopen(mmu, home, gfn);
	STAT(s, unsyncs);
}

static bool release_page(struct shadow_mmu *mmu, u32 page)
{
	struct shadow_page *sp = &mmu->s->pages[page];
	u32 *frame = frame_of_gfn(mmu->s, sp->gfn);

	if (!frame_is_protected(*frame))
		return false;
	sp->idle_writes = 0;
	frame_release(mmu, sp->gfn, frame);
	return true;
}

/* What is left of a bulk release: tables to release, entries to look at. */
struct bulk {
	u32 tables, entries;
};

/* Releases the tables below a page, through entries before end. */
static void release_below(struct shadow_mmu *mmu, u32 page, u32 end, struct bulk *left)
{
	struct shadow *s = mmu->s;

	for_each_live(&s->pages[page], i) {
		u64 spte = page_table(s, page)[i];
		u32 level = s->pages[page].role.level, child;

		if (i >= end || !left->tables || !left->entries)
			return;
		left->entries--;
		if (!(spte & PTE_P) || spte_is_leaf(level, spte))
			continue;
		child = page_of_link(s, spte);
		if (s->pages[child].role.direct)
			continue;
		left->tables -= release_page(mmu, child);
		if (level > 2)
			release_below(mmu, child, ENTRIES, left);
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
 * that path's table was released and has lost its first entry.
 */
static bool is_lowest(const struct shadow_mmu *mmu, u32 top, u32 page)
{
	const struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[top];
	u32 level = s->pages[page].role.level;
	u64 spte;

	while (top != page && sp->role.level > level && sp->live) {
		spte = s->pool[entry_id(top, lowest_live(sp))];
		if (spte_is_leaf(sp->role.level, spte))
			return false;
		top = page_of_link(s, spte);
		sp = &s->pages[top];
	}
	if (top == page)
		return true;
	return (sp->flags & PAGE_UNSYNC) && sp->live &&
	       !(guest_entry(mmu, sp->role, gpt_table(&mmu->gpt, sp->gfn), lowest_live(sp)) & PTE_P);
}

void release_others(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	u32 top = mmu->root_level == 3 ? 0 : top_of(mmu, page);
	struct bulk left = {.tables = BULK_RELEASE_MAX, .entries = BULK_ENTRIES_MAX};

	if (!top || s->pages[top].role.direct)
		return;
	if (top != s->release_top) {
		s->release_top = top;
		s->releases = 0;
	}
	if (++s->releases < BULK_RELEASE_AFTER && !is_lowest(mmu, top, page))
		return;
	s->releases = 0;
	release_page(mmu, top);
	release_below(mmu, top, ENTRIES / 2, &left);
}
