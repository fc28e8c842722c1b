/* SPDX-License-Identifier: BSD-2-Clause */
/* The path cache and the code cache; see mm/shadow/cache.h. */
#include "mm/shadow/cache.h"

/* for_each_step() to level 1 of 4, which the compiler unrolls; 0: a link is missing. */
static u32 path_end(const struct shadow_mmu *mmu, gva_t gva, bool *alone)
{
	struct shadow *s = mmu->s;
	u32 page = mmu->root[0];

	*alone = path_step_alone(&s->pages[page], true);
#pragma GCC unroll 3
	for (u32 level = 4; level > 1; level--) {
		page = link_target(s, page_table(s, page)[level_index(level, gva)]);
		if (!page)
			return 0;
		*alone = *alone && path_step_alone(&s->pages[page], false);
	}
	return page;
}

static bool hint_names(const struct shadow_mmu *mmu, const struct path_hint *hint)
{
	const struct shadow_page *sp = hint->record;

	return sp->role.word == mmu->plain_role && sp->gfn == (hint->upper[0].entry & PTE_ADDR_MASK) >> PAGE_SHIFT;
}

/* Numbers of pages are used again: a path that ends there, at a page of this name, is one that serves. */
bool hint_renew(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva)
{
	bool alone;

	/* Without a root the key of the lowest 2 MiB is 0, as in a hint that was never taken. */
	if (mmu->root_level != 4 || !mmu->root[0] || path_end(mmu, gva, &alone) != hint->page || !hint_names(mmu, hint))
		return false;
	hint->alone = alone;
	hint->links = mmu->s->link_changes;
	return true;
}

void hint_take(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page)
{
	struct path_hint *hint = hint_of(mmu, gva);
	u64 key = hint_key(mmu, gva);

	if (mmu->root_level != 4 || !mmu->plain_role || mmu->s->pages[page].role.word != mmu->plain_role)
		return;
	if (hint->key != key)
		hint->refused = hint->refused_row = hint->park_pause = 0;
	hint->key = key;
	hint->page = page;
	hint->record = &mmu->s->pages[page];
	hint->sptes = page_table(mmu->s, page);
	hint->table = (u64 *)((uintptr_t)walk->step[1].slot & PAGE_MASK);
	for (u32 i = 0; i < ARRAY_SIZE(hint->upper); i++)
		hint->upper[i] = walk->step[2 + i];
	hint->next = (level_index(1, gva) & ~(PREFETCH_GROUP - 1)) + PREFETCH_GROUP;
	hint->links = 0;
	if (!hint_renew(mmu, hint, gva))
		hint->key = 0;
}

/* The root's entry for an address, in the formats with one root. */
static ALWAYS_INLINE const u64 *top_entry(const struct shadow_mmu *mmu, gva_t gva)
{
	return &mmu->s->pool[(u64)mmu->root[0] * ENTRIES + (gva >> mmu->top_shift) % ENTRIES];
}

/* Fills the hint from the leaf for gva; NULL if that is not of main memory. */
static const u8 *code_take(const struct shadow_mmu *mmu, gva_t gva, const struct step *leaf, struct code_hint *hint)
{
	const struct region_main *m = &mmu->s->regions->main;
	u64 at = spte_pfn(leaf->level, *leaf->at) << PAGE_SHIFT |
		 (gva & (BIT(PAGE_SHIFT + INDEX_BITS * (leaf->level - 1)) - 1));

	if (at - m->hpa >= m->bytes)
		return NULL;
	*hint = (struct code_hint){
		.page = gva >> PAGE_SHIFT, .links = mmu->s->link_changes, .top = *top_entry(mmu, gva), .leaf = leaf->at,
		.value = *leaf->at, .at = phys_to_virt(hpa(at & PAGE_MASK)),
	};
	return phys_to_virt(hpa(at));
}

static NOINLINE __attribute__((noclone)) const u8 *code_find(struct shadow_mmu *mmu, gva_t gva, struct code_hint *hint)
{
	if (mmu->root_level < 4)
		return NULL;
	for_each_step(step, mmu, gva)
		if ((*step.at & PTE_P) && spte_is_leaf(step.level, *step.at))
			return code_take(mmu, gva, &step, hint);
	return NULL;
}

/* Without a root, page 0 is looked at: its entries are absent, those in hints are not. */
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	u64 top = *top_entry(mmu, gva);
	/* Page-table isolation runs the code of one page under two roots. */
	struct code_hint *hint = &mmu->code[(gva ^ top) >> PAGE_SHIFT & (CODE_HINTS - 1)];
	u32 offset = gva & (PAGE_SIZE - 1);

	if (unlikely(offset > PAGE_SIZE - SHADOW_PEEK_BYTES))
		return NULL;
	if (likely(hint->page == gva >> PAGE_SHIFT && hint->links == mmu->s->link_changes &&
		   hint->top == top && *hint->leaf == hint->value))
		return hint->at + offset;
	return code_find(mmu, gva, hint);
}
