/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Roots: made, loaded, switched. A root is a shadow page like any other, kept by
 * (CR3 frame, role) when the guest leaves it and found again when it returns; it is
 * pinned while a CPU uses it. Tags are given to roots in turn.
 */
#ifndef MM_SHADOW_ROOT_H
#define MM_SHADOW_ROOT_H

#include "mm/shadow/types.h"

/* Makes sure that there is a root for the guest's control state, and that it has a tag. */
void root_load(struct shadow_mmu *mmu);
/* The guest loaded CR3 and has no unsync tables: the root that is known by it. False: root_load() has more to do. */
bool root_switch(struct shadow_mmu *mmu, u64 cr3);
/*
 * Shadows of 4-byte and of 8-byte tables never live together: the A and D bits
 * that a walk sets in a 4-byte entry may be address bits of the 8-byte entry
 * that a protected frame's other shadow was made from. CPUs with either take turns.
 */
void entry_size_set(struct shadow_mmu *mmu);
/* Drops every shadow page: the roots in use at once, what no root leads to any more by and by (S26). */
void drop_everything(struct shadow *s);

#endif
