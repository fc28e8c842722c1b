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
	u64 frame_index; /* RAM: index of base in the frame tables */
};

#define REGION_MAX 1024

/* What is known at once: one byte for each MiB of the lowest 16 GiB. */
#define REGION_WHOLE_SHIFT 8
#define REGION_WHOLE 16384

/* The largest RAM region, where most look-ups end: found with one comparison. Addresses and bytes. */
struct region_main {
	u64 base_gpa, bytes, hpa;
	u64 frame_index;
};

/* Where to begin a look-up: one entry for each 4 MiB of the lowest 16 GiB. */
#define REGION_INDEX_SHIFT 10
#define REGION_INDEX 4096

/*
 * Around the main region: here frame indexes follow guest frames, over the gaps between
 * RAM regions too, whose indexes no RAM frame has. Few, so that the frame tables stay small.
 */
struct region_span {
	gfn_t base;
	u64 pages; /* 0 until sealed */
	u64 frame_index;
};

struct region_map {
	u32 count;
	u64 ram_frames;          /* RAM frames in all */
	u64 frame_count;         /* size of the frame tables */
	struct region_main main; /* bytes 0 until sealed */
	struct region_span span;
	u16 begin[REGION_INDEX];  /* the last region with base at or below the first frame, 0 if none; sealed */
	bool whole[REGION_WHOLE]; /* all of it is RAM, at the same host address; sealed */
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

/* Numbers the RAM frames and picks the main region and the span; call after the last region_add, before any look-up. */
void region_seal(struct region_map *map);

struct region_hit {
	u32 kind;
	pfn_t pfn;
	u64 frame_index;  /* RAM only */
	gfn_t first, end; /* gfns [first, end) around gfn with the same kind and linear mapping */
};

/* Is gfn a RAM frame that is known as such at once? Then it is the host's frame too. */
static ALWAYS_INLINE bool region_in_whole(const struct region_map *map, gfn_t gfn)
{
	return gfn >> REGION_WHOLE_SHIFT < REGION_WHOLE && map->whole[gfn >> REGION_WHOLE_SHIFT];
}

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

/* Calls gap(ctx, first, count) for every run of frame indexes that no RAM frame has. */
void region_each_gap(const struct region_map *map, void (*gap)(void *ctx, u64 first, u64 count), void *ctx);

#endif
