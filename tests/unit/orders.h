/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A scheduler that decides at each access to shared state which CPU goes on. The programs that use it are built as for
 * ThreadSanitizer, which has the compiler call a function at each access; here these functions are ours. So the
 * engine needs no hooks, and what is added to it is seen at once.
 *
 * CPUs are coroutines of one thread. They may be switched at each atomic operation on what orders_shared() names, and where
 * one waits (host_pause()). Other accesses are looked at where orders_plain() says so: elsewhere they are with the lock, or of
 * one CPU alone, as test_shadow_threads shows. Stores are delayed as the memory model of x86 allows: an atomic store that is
 * no barrier may still be in its CPU's buffer while another CPU goes on.
 *
 * Either every order with at most so many switches that nobody waits for, depth first:
 *     orders_first(switches); do orders_run(...); while (orders_next());
 * or one by random numbers: orders_random(seed); orders_run(...).
 */
#ifndef TESTS_ORDERS_H
#define TESTS_ORDERS_H

#include "lib/types.h"

#define ORDERS_CPUS 4u

/* Memory that orders_restore() brings back as it is now; points: CPUs may be switched there. At most 4 ranges. */
void orders_shared(void *start, u64 bytes, bool points);
/* Of these, they may be switched at plain accesses too. */
void orders_plain(const void *start, u64 bytes);
void orders_forget(void); /* no range, no order */
void orders_restore(void);

void orders_first(u32 switches);
bool orders_next(void); /* false: there is no further order */
void orders_random(u64 seed);

/* Runs all to their ends. False: they wait for each other. */
bool orders_run(u32 cpus, void (*run)(u32 cpu));

/* The order of the last run, as UMBRA_ORDER takes it: the points at which it did not just go on, and which way. */
const char *orders_text(void);
bool orders_given(void); /* UMBRA_ORDER is set: the first order is that one, and there is no next */
u64 orders_points(void); /* of the last run */

#endif
