/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of shadow pages: found or made, dropped, reclaimed. */
#ifndef MM_SHADOW_PAGE_H
#define MM_SHADOW_PAGE_H

#include "mm/shadow/types.h"

/* Makes sure that so many pages are free, by reclaim. Before a fill or a root, never during a fill. */
void pages_reserve(struct shadow *s, u32 count);
#define PAGES_PER_FILL (GPT_LEVELS_MAX + 3)
/* Finds or makes the page of (gfn, role); *made tells which. Never fails after pages_reserve. */
u32 page_get(struct shadow *s, gfn_t gfn, union role role, bool *made);
void page_zap(struct shadow *s, u32 page);

#endif
