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

/* The access that a #PF exit tells of. */
static ALWAYS_INLINE struct gpt_access access_of_fault(u32 error, u32 cpl, u64 rflags)
{
	_Static_assert(PF_U << 3 == GPT_ACCESS_IMPLICIT && RFLAGS_AC >> 12 == GPT_ACCESS_AC, "shifted together");
	return (struct gpt_access){
		/* cpl + 1 has the bit of PF_U for cpl 3: an access that is not the user's is implicit then. */
		.word = (error & (PF_W | PF_U | PF_ID)) | ((cpl + 1) & ~error & PF_U) << 3 |
			(u32)(rflags >> 12 & GPT_ACCESS_AC),
	};
}

/* Remembers a walk that ended at trapped memory, for shadow_recall_trapped(). */
void trap_remember(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk);

/* Remembers a walk that ended at a leaf of 4 KiB, whose path is linked. */
void path_remember(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page);

#endif
