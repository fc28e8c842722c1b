/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow pages: allocation, look-up by (gfn, role), links between them, and
 * their end. All pages of one gfn share a hash bucket, so "is this frame a
 * table" and "all roles of this table" are one short walk.
 */
#include "mm/shadow/int.h"

#include "lib/hash.h"
#include "lib/string.h"

void pages_init(struct shadow *s)
{
	memset(page_table(s, 0), 0, PAGE_SIZE); /* of no use but to be looked at where there is no root */
	for (u32 page = s->page_count - 1; page >= 1; page--) {
		s->pages[page] = (struct shadow_page){.hash_next = s->free_head, .flags = PAGE_RAW};
		s->free_head = page;
		s->free_count++;
	}
	s->clock_hand = 1;
	s->link_changes = 1;
}

u32 page_alloc_raw(struct shadow *s)
{
	u32 page = s->free_head;

	if (!page)
		return 0;
	s->free_head = s->pages[page].hash_next;
	s->free_count--;
	return page;
}

static void page_free_raw(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	/* It has no entries, no parents, no tag; the rest is set when it is made again. */
	sp->state = PAGE_FREE;
	sp->flags = sp->pins = 0;
	sp->gfn = sp->role.word = 0;
	sp->hash_next = s->free_head;
	s->free_head = page;
	s->free_count++;
}

static u32 *bucket_of(const struct shadow *s, gfn_t gfn)
{
	return &s->hash[hash_quick(gfn) & s->hash_mask];
}

u32 page_next_of_gfn(const struct shadow *s, u32 page, gfn_t gfn)
{
	for (page = s->pages[page].hash_next; page; page = s->pages[page].hash_next)
		if (s->pages[page].gfn == gfn && !s->pages[page].role.direct)
			break;
	return page;
}

u32 page_first_of_gfn(const struct shadow *s, gfn_t gfn)
{
	u32 page = *bucket_of(s, gfn);

	if (page && (s->pages[page].gfn != gfn || s->pages[page].role.direct))
		page = page_next_of_gfn(s, page, gfn);
	return page;
}

u32 page_find(const struct shadow *s, gfn_t gfn, union role role)
{
	u32 page = *bucket_of(s, gfn);

	while (page && (s->pages[page].gfn != gfn || s->pages[page].role.word != role.word))
		page = s->pages[page].hash_next;
	return page;
}

u32 page_get(struct shadow *s, gfn_t gfn, union role role, bool *made)
{
	u32 page = page_find(s, gfn, role), *bucket;
	struct shadow_page *sp;
	u32 home = 0;

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
	bucket = bucket_of(s, gfn);
	ASSERT(!sp->live && !sp->live_words && !(sp->parents & LIST_VALUE) && !sp->pins && !sp->tag);
	sp->gfn = gfn;
	sp->role = role;
	sp->hash_next = *bucket;
	sp->state = PAGE_TABLE;
	sp->flags = PAGE_USED;
	sp->idle_writes = 0;
	if (!role.direct)
		home = track_frame(s, gfn);
	sp->home = home;
	*bucket = page;
	if (!role.direct && (*frame_of_gfn(s, gfn) & FRAME_UNSYNC))
		unsync_list_add(s, page);
	STAT(s, creates);
	return page;
}

void page_link(struct shadow *s, u32 parent, u32 index, u32 child, bool pdpte)
{
	if (unlikely(page_is_parked(s, child)))
		park_end(s);
	list_add(s, &s->pages[child].parents, entry_id(parent, index));
	spte_write(&page_table(s, parent)[index],
		   page_hpa(s, child).v | (pdpte ? SPTE_LINK_PDPTE : SPTE_LINK));
	live_set(&s->pages[parent], index);
	if (index < ENTRIES / 2)
		s->pages[parent].flags |= PAGE_LOWER;
	s->link_changes++;
}

/* Mostly a frame is mapped writable once. */
static ALWAYS_INLINE void drop_from_list(struct shadow *s, u32 level, u64 spte, u32 id)
{
	u32 *head = list_of_leaf(s, level, spte);

	if (likely((*head & LIST_VALUE) == id))
		*head &= ~(u32)LIST_VALUE;
	else
		list_remove(s, head, id);
}

void page_drop_entry(struct shadow *s, u32 page, u32 index)
{
	u64 *spte = &page_table(s, page)[index], old = *spte;
	u32 level = s->pages[page].role.level;

	if (!(old & PTE_P))
		return;
	spte_write(spte, 0);
	live_clear(&s->pages[page], index);
	s->flush_due = true; /* FLUSH: drop */
	if (!spte_is_leaf(level, old)) {
		s->link_changes++;
		list_remove(s, &s->pages[page_of_link(s, old)].parents, entry_id(page, index));
	} else if (old & SPTE_RMAP) {
		drop_from_list(s, level, old, entry_id(page, index));
	}
}

void page_drop_id(struct shadow *s, u32 id)
{
	page_drop_entry(s, entry_page(id), id & (ENTRIES - 1));
}

static void unhash(struct shadow *s, u32 page)
{
	u32 *at = bucket_of(s, s->pages[page].gfn);

	while (*at != page)
		at = &s->pages[*at].hash_next;
	*at = s->pages[page].hash_next;
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
	bool direct = sp->role.direct;
	u32 home = sp->home;

	if (unlikely(s->parked_count)) /* it may have had the link to a parked page */
		park_end(s);
	for_each_live(sp, i)
		page_drop_entry(s, page, i);
	while (sp->parents & LIST_VALUE)
		page_drop_id(s, list_first(s, sp->parents));
	if (sp->flags & PAGE_UNSYNC)
		unsync_list_remove(s, page);
	root_forget(s, page);
	s->link_changes++;
	unhash(s, page);
	page_free_raw(s, page);
	if (!direct && !page_first_of_gfn(s, gfn)) {
		untrack_frame(s, gfn);
		frame_reopen(s->mmus[0], home, gfn);
	}
	STAT(s, zaps);
}

/* One step of the clock: drops a page that was not used since the last pass. */
static void reclaim_step(struct shadow *s)
{
	struct shadow_page *sp;

	if (++s->clock_hand >= s->page_count)
		s->clock_hand = 1;
	sp = &s->pages[s->clock_hand];
	if (sp->state != PAGE_TABLE || sp->pins)
		return;
	if (sp->flags & PAGE_USED) {
		sp->flags &= (u8)~PAGE_USED;
		return;
	}
	page_zap(s, s->clock_hand);
	STAT(s, reclaims);
}

/*
 * Roots in use stay (S12); everything else may go, and no fill is under way,
 * so two rounds of the clock free all there is: the loop ends.
 */
void pages_reserve(struct shadow *s, u32 count)
{
	u64 steps = 0;

	if (likely(s->free_count >= count))
		return;
	while (s->free_count < count + 8 && steps++ < 2ull * s->page_count)
		reclaim_step(s);
	BUG_ON(s->free_count < count);
}
