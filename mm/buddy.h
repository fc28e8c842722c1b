/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buddy allocator: sole owner of every usable physical page after the
 * firmware is left. Orders 0 (4 KiB) to 18 (1 GiB), three zones by address.
 * Free blocks are linked through their own first bytes (reached with
 * phys_to_virt); one state byte per page lives in memory given at init.
 *
 *   order 2 |        free block of 4 pages        |
 *   order 1 |   buddy  (pfn ^ 2) |      pfn       |
 *   order 0 |  pg |  pg |  pg |  pg |
 *
 * Invariants (buddy_check): every page of every span is in one free block or
 * taken; a free block is aligned to its size and stays in one span and one zone;
 * its buddy is not free at the same order in the same span; free counts match;
 * list links are consistent. A list that turns out to be broken is a BUG_ON:
 * somebody wrote to a free page.
 */
#ifndef MM_BUDDY_H
#define MM_BUDDY_H

#include "lib/spinlock.h"
#include "lib/types.h"

#define BUDDY_MAX_ORDER 18
#define BUDDY_ORDERS (BUDDY_MAX_ORDER + 1)
#define BUDDY_MAX_SPANS 1024

enum buddy_zone { ZONE_LOW1M, ZONE_BELOW4G, ZONE_NORMAL, BUDDY_ZONES };

/* A run of contiguous pages under the allocator. */
struct buddy_span {
	pfn_t base;
	u64 pages;
	u8 *state; /* one byte a page */
};

struct buddy {
	struct spinlock lock;
	u32 span_count;
	struct buddy_span spans[BUDDY_MAX_SPANS];
	u64 free_head[BUDDY_ZONES][BUDDY_ORDERS]; /* hpa of first free block, 0: none */
	u64 free_pages[BUDDY_ZONES];
	u64 total_pages;
};

/* Bytes of state that buddy_add_span() needs for so many pages. */
u64 buddy_state_bytes(u64 pages);

void buddy_init(struct buddy *b);

/*
 * Adds the pages [base, base + pages) as free memory. Page 0 is never handed
 * out by buddy_alloc (claiming it works). state: buddy_state_bytes(pages) bytes
 * outside the span, owned by the allocator from now on.
 * Returns 0, -ENOSPC (too many spans) or -EINVAL (overlap, empty).
 */
MUST_CHECK int buddy_add_span(struct buddy *b, pfn_t base, u64 pages, u8 *state);

/*
 * The same with every page already claimed: no byte of the span is touched, so
 * memory that is in use (the guest's image, the pool) can come under the
 * allocator. state may lie in the span, in pages that are never freed.
 */
MUST_CHECK int buddy_add_claimed(struct buddy *b, pfn_t base, u64 pages, u8 *state);

/*
 * Allocates 1 << order contiguous pages, naturally aligned, from the given zone
 * or, when that has none, from a zone below it. Contents undefined.
 * Returns the address in *out, or -ENOMEM, -EINVAL.
 */
MUST_CHECK int buddy_alloc(struct buddy *b, u32 order, enum buddy_zone highest, hpa_t *out);

/*
 * Claims the exact pages [base, base + pages), which may run over several
 * spans; all of them must be free. Returns 0, -EBUSY (some page is taken) or
 * -EINVAL (empty, or some page is in no span); nothing changes then.
 */
MUST_CHECK int buddy_claim(struct buddy *b, pfn_t base, u64 pages);

/* Claims every page of every span that is still free; returns how many. */
u64 buddy_claim_all(struct buddy *b);

/*
 * Frees pages [base, base + 1 << order), previously allocated or claimed (a part
 * of a claim or of a larger allocation may be freed on its own), within one span.
 * Returns 0, or -EINVAL for a wild free (not under the allocator, misaligned)
 * and -EEXIST for a double free; nothing changes then.
 */
MUST_CHECK int buddy_free(struct buddy *b, hpa_t base, u32 order);

/* The number of violated invariants; each is logged. Takes the lock. */
u32 buddy_check(struct buddy *b);

#endif
