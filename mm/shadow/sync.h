/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing unsync tables up to date. A shadow entry that was made from an older
 * value of the guest's entry is what a TLB may hold until the guest flushes;
 * when it flushes, every such entry is derived again.
 */
#ifndef MM_SHADOW_SYNC_H
#define MM_SHADOW_SYNC_H

#include "mm/shadow/accessors.h"

/*
 * What a flush does at most, in entries of 100 to 150 instructions, before what is left becomes dormant, and how
 * many tables may be unsync otherwise (S14): an exit stays below 300,000 instructions.
 */
#define SYNC_WORK 512u
#define EMPTIED_MAX 512u /* entries of 50 instructions, in tables that were emptied */
#define UNSYNC_MAX 160u
/*
 * Of larger ones sync_ahead() drops more, in an exit of its own: so many times that. No pass is made for so few tables.
 */
#define AHEAD_TIMES 4u
#define AHEAD_TABLES 2u

/* Protects the CPU's unsync tables and re-derives them; what others made unsync is re-derived (S24). */
void sync_tables(struct shadow_mmu *mmu);
/*
 * Before a flush that the guest can execute again (S27), where many tables are unsync: drops what it has emptied, and brings the
 * first ones up to date. False: that was as much as an exit has time for, nothing is flushed, and interrupts may come
 * before the instruction does it again. Each time EMPTIED_MAX entries go or a table is in step, so there is an end.
 */
bool sync_ahead(struct shadow_mmu *mmu);
/* The guest flushed everything. */
static ALWAYS_INLINE void sync_all(struct shadow_mmu *mmu)
{
	mmu->unsync_row = mmu->unsync_top = 0;
	if (unlikely(mmu->s->unsync_count))
		sync_tables(mmu);
}
/*
 * Before a page that existed is linked or becomes a root: wakes it, re-derives it, and all
 * that may lie below it, without protecting anything (S7).
 */
void sync_refresh(struct shadow_mmu *mmu, u32 page);
/* Re-derives the unsync tables of upper levels without protecting them. */
void sync_upper(struct shadow_mmu *mmu);
/*
 * Looks at a few dormant pages, in turn, and drops so many entries that the guest has cleared meanwhile, and the page with
 * the last: it went with its address space, or is no table any more, and its leaves shall not stay in their lists.
 */
#define DORMANT_DROPS 128u
void dormant_look(struct shadow_mmu *mmu, u32 budget);
/* Re-derives the entries of one page. */
void sync_page(struct shadow_mmu *mmu, u32 page);
/* Re-derives one present entry. Returns true if it changed. */
bool sync_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);

#endif
