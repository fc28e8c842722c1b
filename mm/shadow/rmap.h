/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reverse map: from a frame of guest RAM to its word, and the lists of shadow
 * entries in such words: which writable leaves map a frame, which links lead to a
 * page.
 */
#ifndef MM_SHADOW_RMAP_H
#define MM_SHADOW_RMAP_H

#include "mm/shadow/accessors.h"

u32 list_first(const struct shadow *s, u32 head); /* 0: empty */
bool list_has(const struct shadow *s, u32 head, u32 id);
u32 list_count(const struct shadow *s, u32 head);
/* The first so many members; how many there are. */
u32 list_members(const struct shadow *s, u32 head, u32 *ids, u32 max);
void list_remove(struct shadow *s, u32 *head, u32 id);
/* False: no node can be had, or the list is at its limit. Then list_victim() says who is to make room. */
bool list_try_add(struct shadow *s, u32 *head, u32 id);
u32 list_victim(struct shadow *s, u32 head);

/* For a list that read word, of one member, without the lock, by a node of this CPU's own. False: it takes the lock. */
bool list_claim_second(struct shadow_mmu *mmu, u32 *head, u32 word, u32 id);
/* With the lock: gives this CPU nodes of its own, if it has none left and there are some. */
void nodes_stash(struct shadow_mmu *mmu);

/* The frame word of a host frame that is guest RAM, or NULL. */
u32 *frame_of_pfn(struct shadow *s, pfn_t pfn, gfn_t *gfn);
u32 *frame_outside_span(struct shadow *s, gfn_t gfn);
/* The frame word of a guest frame and what it says now, NULL if it is not RAM. */
static ALWAYS_INLINE u32 *frame_of_gfn_now(struct shadow *s, gfn_t gfn, u32 *word)
{
	u64 offset = gfn - s->span_base;
	u32 *frame;

	if (unlikely(offset >= s->span_pages)) {
		frame = frame_outside_span(s, gfn);
		*word = frame ? frame_now(frame) : 0;
		return frame;
	}
	*word = frame_now(&s->span_frames[offset]);
	return likely(*word != FRAME_NONE) ? &s->span_frames[offset] : NULL;
}
static ALWAYS_INLINE u32 *frame_of_gfn(struct shadow *s, gfn_t gfn)
{
	u32 word;

	return frame_of_gfn_now(s, gfn, &word);
}

/* The same of a frame that is known to be RAM. */
static ALWAYS_INLINE u32 *frame_of_ram(struct shadow *s, gfn_t gfn)
{
	u64 offset = gfn - s->span_base;

	return likely(offset < s->span_pages) ? &s->span_frames[offset] : frame_outside_span(s, gfn);
}

/* The frame word of a 4 KiB leaf's frame where guest frames are host frames; NULL if it is not RAM. */
static ALWAYS_INLINE u32 *frame_of_copied(struct shadow *s, u64 entry, u32 *word)
{
	return frame_of_gfn_now(s, (entry & PTE_ADDR_MASK) >> PAGE_SHIFT, word);
}

/* The frame word of the RAM frame that a 4 KiB leaf maps; NULL: no RAM. */
u32 *frame_of_spte(struct shadow *s, u64 spte);
/* The list that a writable RAM leaf of this level on this host frame belongs to. */
u32 *leaf_list(struct shadow *s, u32 level, pfn_t pfn);
/* The list that a leaf with SPTE_RMAP is in. */
static ALWAYS_INLINE u32 *list_of_leaf(struct shadow *s, u32 level, u64 spte)
{
	return likely(level == 1 && s->identity) ? frame_of_ram(s, spte_pfn(1, spte)) :
						   leaf_list(s, level, spte_pfn(level, spte));
}

#endif
