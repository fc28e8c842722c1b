/* SPDX-License-Identifier: BSD-2-Clause */
/* What is not on a floor of its own yet. */
#ifndef MM_SHADOW_INT_H
#define MM_SHADOW_INT_H

#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/tlb.h"

/*
 * Writes to so many tables of an address space since the last sync, or to the
 * lowest one, look like fork, exit or a large munmap: the rest of its tables is
 * released at once (at most BULK_RELEASE_MAX of them, and BULK_ENTRIES_MAX entries are
 * looked at: tables that share tables have more paths than anyone can walk, S14).
 */
#define BULK_RELEASE_AFTER 2u
#define BULK_RELEASE_MAX 64u
#define BULK_ENTRIES_MAX 8192u

/*
 * After so many INVLPGs that found all upper tables as they were, everything is
 * protected again: else a guest that never loads CR3 pays at each INVLPG.
 */
#define QUIET_REFRESHES_MAX 8u

/* How often a table may be released for writing with no use in between. */
#define IDLE_WRITES_MAX 3

/* --- page.c -------------------------------------------------------------- */
/* Makes sure that so many pages are free, by reclaim. Before a fill or a root, never during a fill. */
void pages_reserve(struct shadow *s, u32 count);
#define PAGES_PER_FILL (GPT_LEVELS_MAX + 3)
/* Finds or makes the page of (gfn, role); *made tells which. Never fails after pages_reserve. */
u32 page_get(struct shadow *s, gfn_t gfn, union role role, bool *made);
void page_zap(struct shadow *s, u32 page);

/* --- track.c -------------------------------------------------------------- */
/* The first shadow page of a frame came, the last one went. */
u32 track_frame(struct shadow *s, gfn_t gfn); /* as frame_protect() */
void untrack_frame(struct shadow *s, gfn_t gfn);
/* Takes every write right to the frame away. */
/* Returns an entry that had the right, 0 if there was none. */
u32 frame_protect(struct shadow *s, gfn_t gfn, u32 *frame);
/*
 * Lets the guest write to a tracked frame until the next sync, through the entry
 * it last wrote through, or by a fault if that is gone.
 */
void frame_release(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame);
/* The guest writes to a table: releases the others of its address space with it, where that pays. */
void release_others(struct shadow_mmu *mmu, u32 page);
/* The entry that may write to the frame again, now that nothing protects it. */
void frame_reopen(struct shadow_mmu *mmu, u32 home, gfn_t gfn);
void unsync_list_add(struct shadow *s, u32 page);
void unsync_list_remove(struct shadow *s, u32 page);

/* --- sync.c ---------------------------------------------------------------- */
/* Protects all unsync tables and re-derives them. */
void sync_tables(struct shadow_mmu *mmu);
/* The guest flushed everything. */
static ALWAYS_INLINE void sync_all(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	s->releases = s->release_top = s->quiet_refreshes = 0;
	if (unlikely(s->unsync_count))
		sync_tables(mmu);
}
/*
 * Before a page that existed is linked or becomes a root: re-derives it, and all
 * that may lie below it, without protecting anything (S7).
 */
void sync_refresh(struct shadow_mmu *mmu, u32 page);
/* Re-derives the unsync tables of upper levels without protecting them. */
void sync_upper(struct shadow_mmu *mmu);
/* Re-derives the entries of one page. */
void sync_page(struct shadow_mmu *mmu, u32 page);
/* Re-derives one present entry. Returns true if it changed. */
bool sync_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);

/* --- quick.c --------------------------------------------------------------- */
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

/* Remembers a walk that ended at a leaf of 4 KiB, whose path is linked. */
void hint_take(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page);

/* Installs a leaf of a page with plain leaves; gpte: the guest's entry, present and accessed. */
void prefetch_plain(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);
/* A neighbour that the guest has accessed, and that is not there yet. */
static ALWAYS_INLINE bool is_wanted(u64 gpte, u64 spte)
{
	return unlikely((gpte & (PTE_P | PTE_A)) == (PTE_P | PTE_A)) && !(spte & PTE_P);
}

/* Installs the neighbours of a leaf that the guest has accessed already; table: the guest's. */
void prefetch_leaves(struct shadow_mmu *mmu, const u64 *table, u32 page, u32 index);

/* --- cow.c ---------------------------------------------------------------- */
/* The guest is refused a write to gva, through a present entry of the hint's page. */
void park(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva);
/* A fault at gva, in the range of a parked page, which hint_holds() leads to: brings all up to date and links them again. */
void unpark(struct shadow_mmu *mmu, gva_t gva);
/* The guest is refused a write to a present page that no hint leads to. */
void park_nothing(struct shadow_mmu *mmu);

/* --- fault.c --------------------------------------------------------------- */
#define PREFETCH_GROUP 8u
#define PREFETCH_RUN 56u         /* further entries, where faults come in a row */
/* The whole way of a fault. Not to be made part of the usual way: that would be slower. */
NOINLINE enum shadow_result fault_full(struct shadow_mmu *mmu, gva_t gva, u32 error, struct gpt_access access,
				       struct shadow_fault *fault);

/* --- root.c ---------------------------------------------------------------- */
void root_load(struct shadow_mmu *mmu);

#endif
