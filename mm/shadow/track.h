/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of guest RAM that serve as page tables. A tracked frame is either
 * protected (no writable mapping of it exists, S5) or unsync (the guest writes
 * to it at will, and its shadow pages are brought up to date when the guest
 * flushes its TLB, S6). Both are states of the frame: all shadow pages of one
 * table share them.
 */
#ifndef MM_SHADOW_TRACK_H
#define MM_SHADOW_TRACK_H

#include "mm/shadow/types.h"

/*
 * Takes every write right to the frame away; the opposite is frame_unsync(), unsync.h.
 * Returns an entry that had the right, 0 if there was none.
 */
u32 frame_protect(struct shadow *s, gfn_t gfn, u32 *frame);
/* The first shadow page of a frame came, the last one went. */
u32 track_frame(struct shadow *s, gfn_t gfn, u32 *frame); /* as frame_protect() */
void untrack_frame(struct shadow *s, gfn_t gfn);
/* The entry that may write to the frame again, now that nothing protects it. */
void frame_reopen(struct shadow_mmu *mmu, u32 last_writer, gfn_t gfn);
/* A page becomes unsync, and in step again. */
void unsync_list_add(struct shadow *s, u32 page, u32 cpu);
void unsync_list_remove(struct shadow *s, u32 page);
/*
 * What a flush has no time for: an unsync page that is no root in use leaves all tables that lead to it (S26). It is
 * woken, and then re-derived, before it is linked or becomes a root.
 */
void page_set_dormant(struct shadow *s, u32 page);
void page_wake(struct shadow_mmu *mmu, u32 page);
/* The CPU in whose list the pages of an unsync table are; other: they are in none. */
u32 unsync_cpu_of(const struct shadow *s, gfn_t gfn, u32 other);
/* The page of a foreign table, which has no frame word: unsync for as long as it lives (S16). */
void foreign_add(struct shadow *s, u32 page);

#endif
