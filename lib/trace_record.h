/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record of the trace as it lies in the rings, in files and in CPUID's answers (docs/tracing.md). boot/ and
 * tools/umbractl*.c include this too: fixed-width integers alone.
 */
#ifndef LIB_TRACE_RECORD_H
#define LIB_TRACE_RECORD_H

#include <stdint.h>

/* What a record tells of, by number; X(name, word, text): the word is that of trace= and umbractl. */
#define TRACE_KINDS(X) \
	X(EXIT, "exit", "exits") \
	X(WALK, "walk", "walks of the guest's tables for a fault") \
	X(A_SET, "a", "accessed bits set for the guest") \
	X(D_SET, "d", "dirty bits set for the guest") \
	X(FILL, "fill", "leaves installed by a fault") \
	X(PREFETCH, "prefetch", "leaves installed ahead") \
	X(UNSYNC, "unsync", "tables that the guest may write to from now on") \
	X(SYNC, "sync", "tables brought up to date") \
	X(ZAP, "zap", "shadow pages dropped") \
	X(RECLAIM, "reclaim", "shadow pages dropped for want of room") \
	X(FLUSH, "flush", "TLB flushes") \
	X(KICK, "kick", "CPUs taken out of the guest") \
	X(INJECT, "inject", "events given to the guest") \
	X(CR, "cr", "changes of control registers and EFER") \
	X(MSR, "msr", "WRMSR that exits") \
	X(ENTRY, "entry", "entries of the shadow that changed")

#define X(name, word, text) TRACE_##name,
enum trace_kind { TRACE_KINDS(X) TRACE_KIND_COUNT };
#undef X

#define TRACE_ALL ((1u << TRACE_KIND_COUNT) - 1)
/* The word "flight": all that leads to an entry of the shadow, and away from it. */
#define TRACE_FLIGHT \
	(1u << TRACE_A_SET | 1u << TRACE_D_SET | 1u << TRACE_FILL | 1u << TRACE_PREFETCH | 1u << TRACE_UNSYNC | \
	 1u << TRACE_SYNC | 1u << TRACE_ZAP | 1u << TRACE_RECLAIM | 1u << TRACE_ENTRY)

struct trace_record {
	uint64_t time;     /* TSC, when it was written */
	uint64_t rip, cr3; /* the guest's: of its last exit, and of the address space it is in */
	uint64_t address;  /* linear, of tables guest-physical; where there is none, rip */
	uint64_t old, new; /* entries, registers; EXIT: the vendor's two words of information */
	uint64_t where; /* guest-physical address of the guest's entry; EXIT: the vendor's reason; see docs/tracing.md */
	uint32_t cycles; /* EXIT: ticks of the TSC that it took */
	uint8_t kind;    /* enum trace_kind */
	uint8_t level;   /* of the table, 0: there is none */
	uint8_t detail;  /* EXIT: enum exit_kind; see docs/tracing.md */
	uint8_t cpu;     /* index of the ring */
};
_Static_assert(sizeof(struct trace_record) == 64, "read by 16 bytes; tools/umbra-trace");

/* Values of detail. */
enum { TRACE_FLUSH_ALL, TRACE_FLUSH_TAG, TRACE_FLUSH_PAGE };
#define TRACE_ENTRY_KNOWN 1u  /* address is one that leads to the entry; else it is that of the table */
#define TRACE_ENTRY_DIRECT 2u /* no guest entry is behind it: where is the frame's address */
#define TRACE_CR_EFER 16u     /* CR: EFER; else the register's number */

/* A file: this, exit_kinds names of exits and trace_kinds of records, 32 bytes each, then records in the order of time. */
#define TRACE_FILE_MAGIC 0x4543415254524255ull /* "UBRTRACE" */
#define TRACE_FILE_NAME 32u
struct trace_file {
	uint64_t magic;
	uint32_t version, record_bytes;
	uint32_t exit_kinds, trace_kinds;
	uint32_t ticks_per_us, cpus;
	uint64_t lost; /* records that were overwritten before they were read */
};
_Static_assert(sizeof(struct trace_file) == 40, "tools/umbra-trace");

#endif
