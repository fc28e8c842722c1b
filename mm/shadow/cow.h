/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copy-on-write without an exit for its INVLPG. A guest that is refused a write to a
 * present page will most likely clear the entry, execute INVLPG, and set the entry
 * anew. INVLPG has to exit only because an unsync table may be older in the shadow
 * than in the guest. So the unsync tables, where they are few and small, are detached:
 * the links to their pages are taken out, and INVLPG is the guest's own. The next
 * fault in the range of one brings them up to date and links them again.
 *
 *   fault -> refused, pages detached -> the guest mends its table, INVLPG acts on the TLB
 *         -> fault of the retried access -> synced, linked, INVLPG exits again
 *
 * A kernel that maps pages in a window of its own, looks at them and takes them away again
 * executes INVLPG after each entry; so does Linux at its start, page by page, 70,000 times. There
 * the pages are detached at the INVLPG, and the next access to the range brings them back.
 *
 * The TLB keeps what it has from a detached page, and may go on filling from it through
 * cached upper entries, until the guest flushes that: as if the page were linked and
 * the guest had not flushed. Whatever does not go with that ends that by a flush of
 * everything (S15).
 */
#ifndef MM_SHADOW_COW_H
#define MM_SHADOW_COW_H

#include "mm/shadow/types.h"

/* The guest is refused a write to gva, through a present entry of the path's page. */
void cow_detach(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva);
/* INVLPG of gva, in the upper half, is done; the path leads there. */
void cow_window(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva);
/* A fault at gva, whose path leads to a detached page: brings all up to date and links them again. */
void cow_reattach(struct shadow_mmu *mmu, gva_t gva);
/* The guest is refused a write to a present page that no cached path leads to. */
void cow_free_invlpg(struct shadow_mmu *mmu);

#endif
