/* SPDX-License-Identifier: BSD-2-Clause */
/* umbractl: reading the hypervisor's trace record by record, those of all processors in the order of time. */
#ifndef TOOLS_UMBRACTL_READ_H
#define TOOLS_UMBRACTL_READ_H

#include "lib/trace_record.h"
#include "tools/umbractl.h"

/* Which records are wanted. */
struct wanted {
	uint32_t kinds;       /* 1 << enum trace_kind */
	uint32_t cpu;         /* ~0: any */
	uint64_t first, last; /* address */
	uint64_t cr3;         /* 0: any */
};

/* Starts at the oldest record there is, or behind the newest. False: the hypervisor has no trace. */
bool read_begin(bool oldest);
/* The next one; false: there is none now. */
bool read_next(struct trace_record *record);
uint64_t read_lost(void); /* records that were gone before they were read */

bool read_is_wanted(const struct trace_record *record, const struct wanted *wanted);

/* "fill"; names of exits as the counters have them, "page_fault". */
const char *read_kind(uint32_t kind);
void read_exit_name(uint32_t kind, char name[NAME_BYTES]);

void read_print(const struct trace_record *record);

#endif
