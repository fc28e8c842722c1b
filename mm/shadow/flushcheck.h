/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Forgotten TLB flushes. What the shadow holds of a table is what a TLB may hold of it, until the guest flushes:
 * an entry of the guest's that has lost rights or leads to another frame, and is used at its address before that, is
 * used stale on some processor (SDM vol. 3 section 4.10.4, APM vol. 2 section 5.5).
 *
 *   a write to a table    -> it becomes unsync as ever, and its pages of level 1 and 2 are withheld: nothing links to them
 *   any fault, any flush  -> all that is unsync is compared with the shadow, then protected and brought up to date;
 *                            what lost something goes, and is remembered with the CPUs that may still have it
 *   a flush on a CPU      -> that CPU does not have it any more
 *   a fault of the address on a CPU that may have it -> a stale use, if the old entry would have let the access pass
 *
 * Where the engine does not check, struct shadow.check is NULL; nobody calls in here then. The lock is held in all of these.
 */
#ifndef MM_SHADOW_FLUSHCHECK_H
#define MM_SHADOW_FLUSHCHECK_H

#include "mm/shadow/types.h"

/* The memory for it, of flushcheck_bytes() and zeroed. */
u64 flushcheck_bytes(void);
void flushcheck_init(struct shadow *s, void *memory, const struct shadow_config *config);

/* A fault, before anything is done about it. False: it makes no progress, so nothing is withheld behind it. */
bool flushcheck_fault(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access);
/* Behind it: the unsync tables of levels 1 and 2 are withheld. */
void flushcheck_done(struct shadow_mmu *mmu, gva_t gva, bool withhold);

/* Before what the engine does at: INVLPG; a flush of everything, global: of global translations, too. */
void flushcheck_page(struct shadow_mmu *mmu, gva_t gva);
void flushcheck_all(struct shadow_mmu *mmu, bool global);

/* Everything is dropped, whatever the guest has flushed. */
void flushcheck_forget(struct shadow *s);

/* For the audit: false, some record says what cannot be (S28). */
bool flushcheck_is_sound(const struct shadow *s);

#endif
