/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pages of the pool: which are free, and the hash in which those in use are
 * found by (gfn, role). All pages of one gfn share a bucket, so "is this frame a
 * table" and "all roles of this table" are one short walk.
 */
#ifndef MM_SHADOW_POOL_H
#define MM_SHADOW_POOL_H

#include "mm/shadow/types.h"

void pages_init(struct shadow *s);
u32 page_alloc_raw(struct shadow *s); /* 0: none */
void page_free_raw(struct shadow *s, u32 page);
/* A page gets its name, (gfn, role), and loses it. */
void page_hash(struct shadow *s, u32 page);
void page_unhash(struct shadow *s, u32 page);
u32 page_find(const struct shadow *s, gfn_t gfn, union role role);
u32 page_first_of_gfn(const struct shadow *s, gfn_t gfn); /* any table of this frame; then page_next_of_gfn */
u32 page_next_of_gfn(const struct shadow *s, u32 page, gfn_t gfn);

#endif
