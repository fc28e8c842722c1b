/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPUs hold: roots in use, TLB tags, whether INVLPG exits. A root is let
 * go here and loaded in root.c.
 */
#ifndef MM_SHADOW_TLB_H
#define MM_SHADOW_TLB_H

#include "mm/shadow/cpus.h"

/* A fault that pages were detached for and led to something else than copy-on-write: not so soon again. */
#define DETACH_PAUSE 31u
void invlpg_trap_again(struct shadow *s);
/* INVLPG has to exit again, if it does not: for anything that detached pages cannot stand. */
static ALWAYS_INLINE void invlpg_must_exit(struct shadow *s)
{
	if (unlikely(s->invlpg_free))
		invlpg_trap_again(s);
}

/* The same for another CPU, which is outside: it carries it out before it enters. */
void invlpg_must_exit_there(struct shadow *s);

static ALWAYS_INLINE bool page_is_detached(const struct shadow *s, u32 page)
{
	for (u32 i = 0; i < s->detached_count; i++)
		if (s->detached[i].page == page)
			return true;
	return false;
}

/*
 * An entry of this page went or shrank: the CPUs whose hardware may have come by flush before they enter again (C9).
 * Of several those are asked for that can reach the page from a root of theirs; while no link changes and none has
 * flushed, all that a page concerns stay the same.
 */
bool flush_owe_several(struct shadow *s, u32 page);
/* True: the trace is to be told of the entry. While it is on owed_page is 0. */
static ALWAYS_INLINE bool flush_owe(struct shadow *s, u32 page)
{
	if (likely(s->quick_debt))
		++*s->quick_debt;
	else if (s->owed_page != page || s->owed_links != s->link_changes)
		return flush_owe_several(s, page);
	return false;
}

/* Bits by role.cpu: the CPUs with a root that leads to the page. More than the truth where it takes long to tell. */
u32 page_cpus(const struct shadow *s, u32 page);
static ALWAYS_INLINE bool page_concerns(const struct shadow_mmu *mmu, u32 page)
{
	return page_cpus(mmu->s, page) >> mmu->number & 1;
}

void invlpg_set_free(struct shadow_mmu *mmu, bool on);

/* The CPU that a root belongs to looks at these without the lock, which who changes them has. */
static ALWAYS_INLINE void root_set(struct shadow_mmu *mmu, u32 slot, u32 page)
{
	__atomic_store_n(&mmu->root[slot], page, __ATOMIC_RELAXED);
}
static ALWAYS_INLINE void entry_make_due(struct shadow_mmu *mmu)
{
	__atomic_store_n(&mmu->entry_due, true, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void root_unpin(struct shadow_mmu *mmu, u32 slot)
{
	if (!mmu->root[slot])
		return;
	mmu->s->pages[mmu->root[slot]].pins--;
	root_set(mmu, slot, 0);
}

static ALWAYS_INLINE void root_release(struct shadow_mmu *mmu)
{
	invlpg_must_exit(mmu->s);
	entry_make_due(mmu);
	root_unpin(mmu, 0);
	/* PAE format has four, made in this order. */
	if (unlikely(mmu->root[1]))
		for (u32 slot = 1; slot < 4; slot++)
			root_unpin(mmu, slot);
}

/* A root is being dropped: no CPU may go on with it, its tag is free (S12). */
void root_forget(struct shadow *s, u32 page);
void tag_drop(struct shadow *s, u32 page);
/* No CPU knows it as the root of its CR3 any more. */
void root_uncache(struct shadow *s, u32 page);
/*
 * A change of one leaf that a single path leads to. What it made due shrinks to a flush
 * of that page in the tag in use, unless a list pushed another entry out meanwhile (S10).
 * Other CPUs flush everything.
 */
struct flush_scope {
	u64 count, evictions;
};
static ALWAYS_INLINE struct flush_scope flush_scope_begin(const struct shadow_mmu *mmu)
{
	return (struct flush_scope){.count = mmu->flush_owed, .evictions = mmu->s->evictions};
}
void flush_scope_end(struct shadow_mmu *mmu, struct flush_scope scope, gva_t gva);

/*
 * A tag belongs to one root, and whoever is given it flushes it; the root that had it before will get another (S13).
 * CPUs that share a number share its tags, but not their TLBs: each flushes the tag of a root whenever it loads it (S20).
 */
void tag_take(struct shadow_mmu *mmu, u32 page);
void tag_flush(struct shadow_mmu *mmu, u32 tag);
bool tag_is_owned(const struct shadow *s, u32 page);
static ALWAYS_INLINE void tag_assign(struct shadow_mmu *mmu, u32 page)
{
	if (unlikely(!mmu->s->pages[page].tag))
		tag_take(mmu, page);
	else if (unlikely(mmu->shares))
		tag_flush(mmu, mmu->s->pages[page].tag);
	mmu->tag = mmu->s->pages[page].tag;
}

#endif
