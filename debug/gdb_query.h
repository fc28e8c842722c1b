/* SPDX-License-Identifier: BSD-2-Clause */
/* GDB's general queries, packets q and Q: what is supported, descriptions, threads, monitor commands. */
#ifndef DEBUG_GDB_QUERY_H
#define DEBUG_GDB_QUERY_H

#include "debug/gdb_session.h"

/* Replies to the packet in the link, which begins with q or Q; an empty reply to what is not known. */
void gdb_query(struct gdb *gdb);

/* A thread's number: 1 and so on, 0 for any, -1 for all; false if there is none such. *cpu: GDB_CPUS_MAX for any or all. */
bool gdb_parse_thread(const struct gdb *gdb, const char **at, u32 *cpu);

/* Is there such a CPU, which the guest has started? */
bool gdb_has_cpu(const struct gdb *gdb, u32 cpu);

#endif
