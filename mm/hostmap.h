/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own 4-level page tables: text read-only and executable,
 * everything else no-execute, constants read-only, guard pages not mapped.
 * Accessed and dirty are preset and nothing is global: a CR3 load drops every
 * stale translation. Changing the map of the running CPU, the caller flushes.
 * Table pages come from an allocator function, so the same code serves the boot
 * path, the pool and the host tests.
 */
#ifndef MM_HOSTMAP_H
#define MM_HOSTMAP_H

#include "lib/types.h"

#define HOSTMAP_W BIT(0)
#define HOSTMAP_X BIT(1)
#define HOSTMAP_UC BIT(2) /* device memory: PAT index of UC */

struct hostmap {
	hpa_t root;
	bool pages_1g;                       /* CPU has 1 GiB pages */
	int (*alloc)(void *arg, hpa_t *out); /* one page; 0 or -ENOMEM */
	void *arg;
};

/* An empty map. Returns 0 or what alloc returned. */
MUST_CHECK int hostmap_init(struct hostmap *m, bool pages_1g, int (*alloc)(void *arg, hpa_t *out), void *arg);

/*
 * Maps [va, va + size) to pa with rights. Uses the largest pages that fit
 * (smaller ones where a table is there already: none is ever dropped), splits a
 * large page where needed, replaces what was there. Sizes and addresses are
 * multiples of PAGE_SIZE, va canonical. Returns 0; -EINVAL for anything else
 * and for W and X together; -ENOMEM: a first part of the range is mapped, the
 * rest and everything outside is as before.
 */
MUST_CHECK int hostmap_map(struct hostmap *m, u64 va, hpa_t pa, u64 size, u64 rights);

/*
 * Removes [va, va + size): later accesses fault (guard pages, hidden aliases).
 * What is not mapped is skipped. Errors as for hostmap_map(); splitting a large
 * page needs memory.
 */
MUST_CHECK int hostmap_unmap(struct hostmap *m, u64 va, u64 size);

/* The mapping of va: false if none; otherwise pa of the byte and its rights. */
bool hostmap_query(const struct hostmap *m, u64 va, hpa_t *pa, u64 *rights);

/* The number of entries that are writable and executable (must be 0). */
u32 hostmap_check(const struct hostmap *m);

#endif
