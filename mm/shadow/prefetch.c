/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaves ahead of their faults; see mm/shadow/prefetch.h. */
#include "mm/shadow/prefetch.h"

#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/trace.h"

static NOINLINE void prefetch_other(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct derived d;

	entry_derive(mmu, page, index, gpte, 0, &d);
	if (!d.leaf)
		return;
	leaf_install(mmu->s, page, index, d.leaf);
	STAT(mmu->s, prefetches);
	if (trace_engine_on())
		trace_prefetch(mmu->s, page, index, gpte);
}

/* As entries are derived anywhere: what it installs is told as any other leaf. */
void prefetch_traced(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	prefetch_other(mmu, page, index, gpte);
}

static NOINLINE void prefetch_writable(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	u64 spte = copied_leaf(mmu, gpte);

	if (unlikely(!spte)) {
		prefetch_other(mmu, page, index, gpte);
		return;
	}
	copied_install(mmu->s, page, index, spte);
	STAT(mmu->s, prefetches);
}

/* Mostly it is a page of a file, mapped read-only: then nothing is to be known of its frame but that it is RAM. */
void prefetch_copied(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	const struct region_map *regions = s->regions;
	u64 at = gpte & PTE_ADDR_MASK;

	if ((gpte & (PTE_W | PTE_TYPE_4K)) ||
	    (at - regions->main.base_gpa >= regions->main.bytes && !region_in_whole(regions, at >> PAGE_SHIFT))) {
		prefetch_writable(mmu, page, index, gpte);
		return;
	}
	live_set(&s->pages[page], index);
	spte_write(&page_table(s, page)[index], gpte & COPIED_BITS);
	STAT(s, prefetches);
}

/* What has a list already, or another memory type, stays out. */
void prefetch_shared(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	u64 spte = copied_leaf(mmu, gpte);

	if (unlikely(!spte) ||
	    ((spte & SPTE_RMAP) && !list_claim(mmu, frame_of_ram(s, spte_pfn(1, spte)), entry_id(page, index))))
		return;
	live_set(&s->pages[page], index);
	spte_write(&page_table(s, page)[index], spte);
	STAT_OF(mmu, prefetches);
}

static ALWAYS_INLINE u32 go_on(struct shadow_mmu *mmu, const struct cached_path *path, u32 first, bool shared)
{
	u32 end = MIN(first + PREFETCH_RUN, ENTRIES);

	while (first < end && is_wanted(__atomic_load_n(&path->table[first], __ATOMIC_RELAXED), path->sptes[first])) {
		prefetch_group(mmu, path->table, path->sptes, path->page, first, shared);
		first += PREFETCH_GROUP;
	}
	return first;
}

u32 prefetch_on(struct shadow_mmu *mmu, const struct cached_path *path, u32 first)
{
	return go_on(mmu, path, first, false);
}

u32 prefetch_on_shared(struct shadow_mmu *mmu, const struct cached_path *path, u32 first)
{
	return go_on(mmu, path, first, true);
}

void prefetch_leaves(struct shadow_mmu *mmu, const u64 *table, u32 page, u32 index)
{
	union role role = mmu->s->pages[page].role;
	const u64 *sptes = page_table(mmu->s, page);
	u32 first = index & ~(PREFETCH_GROUP - 1);

	if (role_of_any(role) == mmu->copied_role && !mmu->s->traced) {
		prefetch_group(mmu, table, sptes, page, first, false);
		return;
	}
	for (u32 i = first; i < first + PREFETCH_GROUP; i++) {
		u64 gpte = guest_entry(mmu, role, table, i);

		if (is_wanted(gpte, sptes[i]))
			prefetch_other(mmu, page, i, gpte);
	}
}
