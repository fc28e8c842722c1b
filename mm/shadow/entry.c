/* SPDX-License-Identifier: BSD-2-Clause */
/* Putting entries in place and dropping them; see mm/shadow/entry.h. */
#include "mm/shadow/entry.h"

#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"

/* Mostly a frame is mapped writable once. True: the entry had to be searched for. */
static ALWAYS_INLINE bool drop_from_list(struct shadow *s, u32 level, u64 spte, u32 id)
{
	u32 *head = list_of_leaf(s, level, spte);

	if (likely((*head & LIST_VALUE) == id)) {
		*head &= ~(u32)LIST_VALUE;
		return false;
	}
	list_remove(s, head, id);
	return true;
}

void page_drop_entry(struct shadow *s, u32 page, u32 index)
{
	u64 *spte = &page_table(s, page)[index], old = *spte;
	u32 level = s->pages[page].role.level;
	bool traced = false;

	if (!(old & PTE_P))
		return;
	spte_write(spte, 0);
	live_clear(&s->pages[page], index);
	traced = flush_owe(s, page); /* FLUSH: drop */
	if (unlikely(traced))
		trace_entry(s, page, index, old, 0);
	if (!spte_is_leaf(level, old)) {
		links_changed(s);
		list_remove(s, &s->pages[page_of_link(s, old)].parents, entry_id(page, index));
	} else if (old & SPTE_RMAP) {
		drop_from_list(s, level, old, entry_id(page, index));
	}
}

u32 page_drop_leaves(struct shadow *s, u32 page, u32 word, u64 bits)
{
	struct shadow_page *sp = &s->pages[page];
	u64 *sptes = page_table(s, page);
	bool traced = false;
	u32 searched = 0;

	if (!bits)
		return 0;
	sp->live_map[word] &= ~bits;
	if (!sp->live_map[word])
		sp->live_words &= ~(1u << word);
	traced = flush_owe(s, page); /* FLUSH: leaves */
	if (unlikely(traced))
		trace_entries(s, page, word, bits);
	for (; bits; bits &= bits - 1) {
		u32 index = word * 64 + bit_lowest(bits);
		u64 old = sptes[index];

		spte_write(&sptes[index], 0);
		sp->live--;
		if (old & SPTE_RMAP)
			searched += drop_from_list(s, 1, old, entry_id(page, index));
	}
	return searched;
}

void page_drop_id(struct shadow *s, u32 id)
{
	page_drop_entry(s, entry_page(id), id & (ENTRIES - 1));
}

void list_add(struct shadow *s, u32 *head, u32 id)
{
	while (!list_try_add(s, head, id)) {
		page_drop_id(s, list_victim(s, *head));
		s->evictions++;
	}
}

/* A leaf with another memory type; while the trace is on, any leaf, which it is told of. */
static NOINLINE void leaf_look(struct shadow *s, u32 page, u32 index, u64 old, u64 spte)
{
	if (s->pages[page].role.level == 1 && (spte & PTE_TYPE_4K))
		s->pages[page].flags |= PAGE_TYPED;
	trace_entry(s, page, index, old, spte);
}

void leaf_install(struct shadow *s, u32 page, u32 index, u64 spte)
{
	u64 *at = &page_table(s, page)[index];
	u32 level = s->pages[page].role.level;

	/* More rights than before need no flush. */
	if ((*at & PTE_P) && (*at & ~PTE_D) != (spte & ~(PTE_W | PTE_D | SPTE_RMAP)))
		page_drop_entry(s, page, index);
	if (spte & SPTE_RMAP)
		list_put(s, list_of_leaf(s, level, spte), entry_id(page, index));
	if (unlikely(spte & s->leaf_looks))
		leaf_look(s, page, index, *at, spte);
	if (!(*at & PTE_P))
		live_set(&s->pages[page], index);
	spte_write(at, spte);
}

void page_link(struct shadow *s, u32 parent, u32 index, u32 child, bool pdpte)
{
	if (unlikely(page_is_detached(s, child)))
		invlpg_must_exit(s);
	list_add(s, &s->pages[child].parents, entry_id(parent, index));
	spte_write(&page_table(s, parent)[index], page_hpa(s, child).v | (pdpte ? SPTE_LINK_PDPTE : SPTE_LINK));
	live_set(&s->pages[parent], index);
	if (index < ENTRIES / 2)
		s->pages[parent].flags |= PAGE_LOWER;
	links_changed(s);
	if (trace_engine_on())
		trace_entry(s, parent, index, 0, page_table(s, parent)[index]);
}
