/* SPDX-License-Identifier: BSD-2-Clause */
/* Letting the guest write to its tables: one that it writes to, and others that it will write to. */
#ifndef MM_SHADOW_UNSYNC_H
#define MM_SHADOW_UNSYNC_H

#include "mm/shadow/types.h"

/*
 * Lets the guest write to a tracked frame until the next sync, through the entry
 * it last wrote through, or by a fault if that is gone.
 */
void frame_unsync(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame);
/* The guest writes to a table: the others of its address space become unsync with it, where that pays. */
void unsync_others(struct shadow_mmu *mmu, u32 page);

#endif
