/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What earlier walks found, remembered: the path of a 2 MiB range (struct path_hint)
 * and the place of a page of code (struct code_hint).
 */
#ifndef MM_SHADOW_CACHE_H
#define MM_SHADOW_CACHE_H

#include "mm/shadow/accessors.h"

static ALWAYS_INLINE u64 hint_key(const struct shadow_mmu *mmu, gva_t gva)
{
	return gva >> 21 << 24 | mmu->root[0];
}

/* The links changed since: does the path still lead to the hint's page? */
bool hint_renew(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva);

/* Does the hint tell the path of gva? Whether the guest's upper entries are the same is not looked at. */
static ALWAYS_INLINE bool hint_holds(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva)
{
	return hint->key == hint_key(mmu, gva) &&
	       (likely(hint->links == mmu->s->link_changes) || hint_renew(mmu, hint, gva));
}

/* Is the page reached by one path of one root only? One parent each, the root one user and none. */
static ALWAYS_INLINE bool path_step_alone(const struct shadow_page *sp, bool root)
{
	return root ? sp->pins == 1 && !(sp->parents & LIST_VALUE) : !sp->pins && !(sp->parents & LIST_CHAIN);
}

/* Faults install the neighbours of an entry: an aligned group of so many. */
#define PREFETCH_GROUP 8u

/* Remembers a walk that ended at a leaf of 4 KiB, whose path is linked. */
void hint_take(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page);

#endif
