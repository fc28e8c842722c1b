/* SPDX-License-Identifier: BSD-2-Clause */
/* Free pages of the pool, and the hash of those in use; see mm/shadow/pool.h. */
#include "mm/shadow/pool.h"

#include "lib/hash.h"
#include "lib/string.h"
#include "mm/shadow/accessors.h"
#include "mm/shadow/cpus.h"

void pages_init(struct shadow *s)
{
	memset(page_table(s, 0), 0, PAGE_SIZE); /* of no use but to be looked at where there is no root */
	for (u32 page = s->page_count - 1; page >= 1; page--) {
		s->pages[page] = (struct shadow_page){.hash_next = s->raw_head, .flags = PAGE_RAW};
		s->raw_head = page;
		s->free_count++;
	}
	s->clock_hand = 1;
	s->link_changes = 1;
}

u32 page_alloc_raw(struct shadow *s)
{
	u32 page = s->free_head, raw = s->raw_head;

	/* One that was in use is in the CPU's cache, and zero. */
	if (raw && (!page || s->pages[page].freed > s->settled)) {
		s->raw_head = s->pages[raw].hash_next;
		s->free_count--;
		return raw;
	}
	if (!page)
		return 0;
	if (s->pages[page].freed > s->settled)
		cpus_settle(s); /* SETTLE: reuse */
	s->free_head = s->pages[page].hash_next;
	s->free_count--;
	return page;
}

void page_free_raw(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	/* It has no entries, no parents, no tag; the rest is set when it is made again. */
	sp->state = PAGE_FREE;
	sp->flags = sp->pins = 0;
	sp->gfn = sp->role.word = 0;
	sp->freed = s->debts;
	/* The CPU's cache is warm with the last one; of several CPUs most have flushed since the first one went. */
	if (s->mmu_count > 1 && s->free_head) {
		sp->hash_next = 0;
		s->pages[s->free_tail].hash_next = page;
	} else {
		sp->hash_next = s->free_head;
		s->free_head = page;
	}
	if (!sp->hash_next)
		s->free_tail = page;
	s->free_count++;
}

static u32 *bucket_of(const struct shadow *s, gfn_t gfn)
{
	return &s->hash[hash_quick(gfn) & s->hash_mask];
}

void page_hash(struct shadow *s, u32 page)
{
	u32 *bucket = bucket_of(s, s->pages[page].gfn);

	s->pages[page].hash_next = *bucket;
	*bucket = page;
}

void page_unhash(struct shadow *s, u32 page)
{
	u32 *at = bucket_of(s, s->pages[page].gfn);

	while (*at != page)
		at = &s->pages[*at].hash_next;
	*at = s->pages[page].hash_next;
}

u32 page_find(const struct shadow *s, gfn_t gfn, union role role)
{
	u32 page = *bucket_of(s, gfn);

	while (page && (s->pages[page].gfn != gfn || s->pages[page].role.word != role.word ||
			page_is_old(s, &s->pages[page])))
		page = s->pages[page].hash_next;
	return page;
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
