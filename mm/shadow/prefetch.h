/* SPDX-License-Identifier: BSD-2-Clause */
/* Installing the leaves beside the one that a fault asked for, where the guest has accessed them already. */
#ifndef MM_SHADOW_PREFETCH_H
#define MM_SHADOW_PREFETCH_H

#include "mm/shadow/accessors.h"
#include "mm/shadow/cache.h"

/* Installs a copied leaf; gpte: the guest's entry, present and accessed. */
void prefetch_copied(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);
/* The same, told to the trace. */
void prefetch_traced(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);
/* Without the lock (S25): what it takes for is left out. */
void prefetch_shared(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);

/* A neighbour that the guest has accessed, and that is not there yet. */
static ALWAYS_INLINE bool is_wanted(u64 gpte, u64 spte)
{
	return unlikely((gpte & (PTE_P | PTE_A)) == (PTE_P | PTE_A)) && !(spte & PTE_P);
}

/* The aligned group of entries from first on, in a page with copied leaves. */
static ALWAYS_INLINE void prefetch_group(struct shadow_mmu *mmu, const u64 *table, const u64 *sptes, u32 page,
					 u32 first, bool shared)
{
	table += first;
	sptes += first;
#pragma GCC unroll 8
	for (u32 i = 0; i < PREFETCH_GROUP; i++) {
		u64 gpte = __atomic_load_n(&table[i], __ATOMIC_RELAXED);

		if (!is_wanted(gpte, sptes[i]))
			continue;
		if (shared)
			prefetch_shared(mmu, page, first + i, gpte);
		else
			prefetch_copied(mmu, page, first + i, gpte);
	}
}

/* Further entries, where faults come in a row. */
#define PREFETCH_RUN 56u
/* The guest goes on where the last group ended: further groups, while there is something in them. Where that ends. */
NOINLINE u32 prefetch_on(struct shadow_mmu *mmu, const struct cached_path *path, u32 first);
NOINLINE u32 prefetch_on_shared(struct shadow_mmu *mmu, const struct cached_path *path, u32 first);

/* Installs the neighbours of a leaf that the guest has accessed already; table: the guest's. */
void prefetch_leaves(struct shadow_mmu *mmu, const u64 *table, u32 page, u32 index);

#endif
