/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing shadow entries: a leaf or a link is put in place or dropped, and lists,
 * counts and the flush that is due follow.
 */
#ifndef MM_SHADOW_ENTRY_H
#define MM_SHADOW_ENTRY_H

#include "mm/shadow/rmap.h"

void page_drop_entry(struct shadow *s, u32 page, u32 index);
/*
 * The present entries of a page of level 1 that bits name in a word of its live_map: page_drop_entry() for many. How many
 * of them shared their frame's list with others, which takes four times as long.
 */
u32 page_drop_leaves(struct shadow *s, u32 page, u32 word, u64 bits);
void page_drop_id(struct shadow *s, u32 id);
void page_link(struct shadow *s, u32 parent, u32 index, u32 child, bool pdpte);

/* Never fails: where there is no room, a member is dropped from the shadow instead (S11). */
void list_add(struct shadow *s, u32 *head, u32 id);
/* list_add(); mostly the list is empty. */
static ALWAYS_INLINE void list_put(struct shadow *s, u32 *head, u32 id)
{
	if (likely(!(*head & LIST_VALUE)))
		*head |= id;
	else
		list_add(s, head, id);
}

/* The first member of a list or the second, without the lock (S25). False: it takes the lock. */
static ALWAYS_INLINE bool list_claim(struct shadow_mmu *mmu, u32 *head, u32 id)
{
	u32 word = __atomic_load_n(head, __ATOMIC_RELAXED);

	if (unlikely(word & LIST_VALUE))
		return list_claim_second(mmu, head, word, id);
	return __atomic_compare_exchange_n(head, &word, word | id, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Puts a leaf where an entry may be; keeps lists and counts. */
void leaf_install(struct shadow *s, u32 page, u32 index, u64 spte);
/* leaf_install() for a copied leaf. */
static ALWAYS_INLINE void copied_install(struct shadow *s, u32 page, u32 index, u64 spte)
{
	u64 *at = &page_table(s, page)[index];

	if (unlikely(*at & PTE_P)) {
		leaf_install(s, page, index, spte);
		return;
	}
	if (spte & SPTE_RMAP)
		list_put(s, frame_of_ram(s, spte_pfn(1, spte)), entry_id(page, index));
	live_set(&s->pages[page], index);
	spte_write(at, spte);
}

#endif
