/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host tests share: log_printf() and panic() over stdio, an arena that
 * plays physical memory, repeatable random numbers. Include this first: it
 * brings what cmocka.h needs.
 *
 * HOST_LOG=0..3 in the environment shows log messages up to that level
 * (default 0: errors). HOST_SEED=n runs the random tests with another seed.
 */
#ifndef TESTS_UNIT_HOST_H
#define TESTS_UNIT_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/log.h"
#include "lib/types.h"

/* --- panic --------------------------------------------------------------- */

extern jmp_buf host_panic_jump;
extern bool host_panic_expected;
extern char host_panic_message[256]; /* of the last panic */

/* Runs the statement; the test fails unless it panics. Locks it took stay held. */
#define assert_panics(statement) \
	do { \
		host_panic_expected = true; \
		if (!setjmp(host_panic_jump)) { \
			statement; \
			host_panic_expected = false; \
			fail_msg("no panic: %s", #statement); \
		} \
		host_panic_expected = false; \
	} while (0)

/* --- log ------------------------------------------------------------------ */

extern u32 host_log_count[LOG_DEBUG + 1]; /* messages so far, shown or not */
extern bool host_log_quiet;               /* show none: errors are expected */

/* --- physical memory ------------------------------------------------------ */

#define HOST_ARENA_BASE 0x100000ull

/*
 * Maps zero-filled memory that stands for the host-physical addresses
 * [HOST_ARENA_BASE, HOST_ARENA_BASE + bytes) (or [base, base + bytes)) and sets
 * phys_map_offset, which is never 0. Pages take memory when touched, so an arena
 * may be many GiB. What lies right before and after it cannot be accessed.
 * An earlier arena is destroyed.
 */
void host_arena_create(u64 bytes);
void host_arena_create_at(u64 base, u64 bytes);

/* All of the arena reads 0 again. */
void host_arena_reset(void);

/* Unmaps it; using a physical address crashes from now on. */
void host_arena_destroy(void);

/*
 * One page after another from the arena's start, filled with a pattern: the
 * allocator for page tables in tests. 0 or -ENOMEM; arg is not used. Reset and
 * create start over.
 */
int host_arena_page(void *arg, hpa_t *out);

extern u64 host_arena_pages_used;
extern u64 host_arena_fail_at; /* the n-th call of host_arena_page() from now on fails, once; 0: none does */

/* --- random numbers ------------------------------------------------------- */

/* Starts over; every test that draws numbers calls it first. */
void host_random_seed(u64 seed);
u64 host_random(void);
u64 host_random_below(u64 limit); /* limit > 0 */

#endif
