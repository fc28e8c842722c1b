/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What earlier walks found, remembered: the path of a 2 MiB range (struct cached_path)
 * and the place of a page of code (struct cached_code).
 */
#ifndef MM_SHADOW_CACHE_H
#define MM_SHADOW_CACHE_H

#include "mm/shadow/accessors.h"

static ALWAYS_INLINE u64 path_key(const struct shadow_mmu *mmu, gva_t gva)
{
	return gva >> 21 << 24 | mmu->root[0];
}

/* The links changed since: does the path still lead to the same page? */
bool path_renew(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva);

/* Is it the path of gva? Whether the guest's upper entries are the same is not looked at. */
static ALWAYS_INLINE bool path_holds(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva)
{
	return path->key == path_key(mmu, gva) &&
	       (likely(path->links == mmu->s->link_changes) || path_renew(mmu, path, gva));
}

/* Is the page reached by one path of one root only? One parent each, the root one user and none. */
static ALWAYS_INLINE bool path_step_alone(const struct shadow_page *sp, bool root)
{
	return root ? sp->pins == 1 && !(sp->parents & LIST_VALUE) : !sp->pins && !(sp->parents & LIST_CHAIN);
}

/* Faults install the neighbours of an entry: an aligned group of so many. */
#define PREFETCH_GROUP 8u

/* Remembers a walk that ended at a leaf of 4 KiB, whose path is linked. */
void path_remember(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page);

#endif
