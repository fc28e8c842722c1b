/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine tells the trace (lib/trace.h). Each function but the first looks at its kind itself; the frequent
 * paths come by here only while the trace is on: see shadow_trace().
 *
 * Records name what is the guest's: its tables by guest-physical address, links by the table they lead to.
 */
#ifndef MM_SHADOW_TRACE_H
#define MM_SHADOW_TRACE_H

#include "lib/trace.h"
#include "mm/shadow/accessors.h"

#define TRACE_COLD __attribute__((cold)) NOINLINE

/* Does anything of the engine's go to the trace? */
static ALWAYS_INLINE bool trace_engine_on(void)
{
	return unlikely(__atomic_load_n(&trace_mask, __ATOMIC_RELAXED));
}

/* Of the addresses that lead to an entry the one by the first parent each time. False: none does. */
bool trace_address(const struct shadow *s, u32 page, u32 index, gva_t *gva);
/* The guest's entry behind it; of a direct page the frame that it maps. */
gpa_t trace_place(const struct shadow_page *sp, u32 index);

/* An entry has changed. */
TRACE_COLD void trace_entry(const struct shadow *s, u32 page, u32 index, u64 old, u64 new);
/* Entries of a page of level 1 are about to be dropped, those in bits of a word of its live_map. */
TRACE_COLD void trace_entries(const struct shadow *s, u32 page, u32 word, u64 bits);

/* UNSYNC, SYNC, ZAP, RECLAIM: of the guest's table. */
TRACE_COLD void trace_table(enum trace_kind kind, const struct shadow_page *sp);

/* A leaf that is in place now, for a fault or ahead of one. gpte: the guest's entry, 0: there is none. */
TRACE_COLD void trace_fill(const struct shadow *s, gva_t gva, u32 page, u32 index, u64 gpte);
TRACE_COLD void trace_prefetch(const struct shadow *s, u32 page, u32 index, u64 gpte);

/* A whole walk for a fault, and what it set in the guest's entries. */
TRACE_COLD void trace_slow_walk(const struct gpt_walk *w, gva_t gva, u32 error, enum gpt_status status);
/* A walk by the fast path, and what it set in the leaf; or one that ended in a fault of the guest's. */
TRACE_COLD void trace_fast_walk(const struct cached_path *path, gva_t gva, u32 error, u64 gpte, u64 marked);
TRACE_COLD void trace_fast_refused(const struct cached_path *path, gva_t gva, u32 error);

#endif
