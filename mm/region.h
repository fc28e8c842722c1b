/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest-physical space: a sorted array of regions, set up once at boot and
 * constant afterwards, so it is read without a lock. An address that no region
 * covers is device MMIO at the same host address (a PC's devices may decode
 * anywhere), up to the CPU's physical-address width.
 */
#ifndef MM_REGION_H
#define MM_REGION_H

#include "lib/types.h"

enum region_kind {
	REGION_RAM,     /* guest RAM; shadowed, tracked, has a frame index */
	REGION_MMIO,    /* devices and firmware-reserved memory, passed through */
	REGION_TRAPPED, /* device page emulated by the hypervisor (local APIC) */
	REGION_HIDDEN,  /* hypervisor memory: reads all-ones, writes dropped */
};

struct region {
	gfn_t base;
	u64 pages;
	pfn_t pfn;       /* host frame of base */
	u32 kind;        /* enum region_kind */
	u64 frame_index; /* index of base in the dense frame tables; not RAM: RAM frames below base */
};

#define REGION_MAX 1024

/* The largest RAM region, where most look-ups end: found with one comparison. Addresses and bytes. */
struct region_main {
	u64 base_gpa, bytes, hpa;
	u64 frame_index;
};

/* Where to begin a look-up: one entry for each 4 MiB of the lowest 16 GiB. */
#define REGION_INDEX_SHIFT 10
#define REGION_INDEX 4096

struct region_map {
	u32 count;
	u64 ram_frames;          /* RAM frames in all: size of the frame tables */
	struct region_main main; /* bytes 0 until sealed */
	u16 begin[REGION_INDEX]; /* the last region with base at or below the first frame, 0 if none; sealed */
	struct region regions[REGION_MAX];
	/*
	 * The page of a host frame of REGION_MMIO, mapped for the hypervisor until the same slot (mm/gpt.h) is asked for
	 * again; the memory type is the MTRRs', and what answers nobody reads as all-ones. NULL, here or as result: all
	 * such memory is closed to the hypervisor.
	 */
	void *(*map_foreign)(u32 slot, pfn_t pfn);
};

void region_init(struct region_map *map);

/*
 * Adds [base, base + pages). It may overlap what is there: the new region
 * replaces the overlapped part (neighbours are split). Neighbouring regions of
 * one kind with contiguous host frames are merged. Returns 0, -ENOSPC or
 * -EINVAL (empty, beyond 52 address bits); nothing changes then.
 */
MUST_CHECK int region_add(struct region_map *map, gfn_t base, u64 pages, pfn_t pfn, enum region_kind kind);

/* Numbers the RAM frames and picks the main region; call after the last region_add, before any look-up. */
void region_seal(struct region_map *map);

struct region_hit {
	u32 kind;
	pfn_t pfn;
	u64 frame_index;  /* RAM only */
	gfn_t first, end; /* gfns [first, end) around gfn with the same kind and linear mapping */
};

/*
 * The region that holds gfn if the index leads to it at once, which it does unless
 * another one begins between the index's step and gfn; else NULL.
 */
static ALWAYS_INLINE const struct region *region_near(const struct region_map *map, gfn_t gfn)
{
	const struct region *r;

	if (unlikely(gfn >> REGION_INDEX_SHIFT >= REGION_INDEX || !map->count))
		return NULL;
	r = &map->regions[map->begin[gfn >> REGION_INDEX_SHIFT]];
	return likely(gfn - r->base < r->pages) ? r : NULL;
}

/* Looks up one frame wherever it is; region_lookup() is faster for the main region. */
void region_search(const struct region_map *map, gfn_t gfn, struct region_hit *hit);

/* Looks up one frame. Always succeeds (see the rule for uncovered frames). */
static ALWAYS_INLINE void region_lookup(const struct region_map *map, gfn_t gfn, struct region_hit *hit)
{
	const struct region_main *m = &map->main;
	u64 offset = (gfn << PAGE_SHIFT) - m->base_gpa;

	if (unlikely(offset >= m->bytes || gfn >> (64 - PAGE_SHIFT))) {
		region_search(map, gfn, hit);
		return;
	}
	hit->kind = REGION_RAM;
	hit->pfn = (m->hpa + offset) >> PAGE_SHIFT;
	hit->frame_index = m->frame_index + (offset >> PAGE_SHIFT);
	hit->first = m->base_gpa >> PAGE_SHIFT;
	hit->end = (m->base_gpa + m->bytes) >> PAGE_SHIFT;
}

/* The gfn of a RAM frame index below ram_frames; the inverse of region_hit.frame_index. */
gfn_t region_frame_gfn(const struct region_map *map, u64 frame_index);

#endif
