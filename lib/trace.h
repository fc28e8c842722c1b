/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace: one ring of records for each CPU, written by that CPU alone and read by anybody. Nothing here takes a
 * lock. While it is off nobody calls in here: points lie where slow paths run, and frequent paths
 * are exchanged when it is turned on (docs/tracing.md).
 */
#ifndef LIB_TRACE_H
#define LIB_TRACE_H

#include "lib/trace_record.h"
#include "lib/types.h"

#define TRACE_ANY_CPU (~0u)

/* Which records are kept. All zeroes but last and cpu: those of no kind. */
struct trace_filter {
	u32 kinds;       /* BIT(enum trace_kind) */
	u32 cpu;         /* TRACE_ANY_CPU, or the index of one ring */
	u64 first, last; /* record.address lies between, both included */
	u64 cr3;         /* the frame of record.cr3 is that of this; 0: any */
};

struct trace_ring {
	struct trace_record *records;
	u32 count;   /* a power of two; 0: there is no memory, nothing is kept */
	u32 cpu;     /* its index */
	u64 written; /* records that it ever had */
};

/* Who writes: fills rip and cr3, and returns the ring of the CPU that calls; NULL: it has none. */
typedef struct trace_ring *trace_here_fn(struct trace_record *record);

extern u32 trace_mask; /* trace_filter.kinds; 0: off */

static ALWAYS_INLINE bool trace_on(enum trace_kind kind)
{
	return unlikely(__atomic_load_n(&trace_mask, __ATOMIC_RELAXED) & 1u << kind);
}

/* At start, and when somebody asks for other records. Takes effect on other CPUs a little later. */
void trace_set_here(trace_here_fn *here);
void trace_set_filter(const struct trace_filter *filter);
void trace_get_filter(struct trace_filter *filter);

/* count: records that there is room for; the largest power of two of them is used. */
void trace_ring_init(struct trace_ring *ring, struct trace_record *records, u64 count, u32 cpu);

/* Writes a record with the time, rip, cr3 and cpu filled in, if its kind is on and the filter lets it pass. */
__attribute__((cold)) NOINLINE void trace_emit(const struct trace_record *record);

/* Record n of those that the ring ever had; false: it is gone, or still to come. */
MUST_CHECK bool trace_read(const struct trace_ring *ring, u64 n, struct trace_record *out);

/* Prints the last records of a ring as errors, at most so many. For who stops: takes no lock. */
void trace_dump(const struct trace_ring *ring, u32 most);

/* "fill"; "?" */
const char *trace_kind_word(u32 kind);

#endif
