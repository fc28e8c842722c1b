/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest-physical space. Regions are sorted by base, never overlap, and two
 * that touch differ in kind or in the distance between gfn and pfn.
 */
#include "mm/region.h"

#include "lib/log.h"
#include "lib/string.h"

#define FRAME_END (BIT(52) >> PAGE_SHIFT) /* regions: physical addresses have 52 bits at most */
#define GFN_END BIT(52)                   /* look-ups: any 64-bit address */

static gfn_t region_end(const struct region *r)
{
	return r->base + r->pages;
}

/* True if high continues low: one region could say the same. */
static bool continues(const struct region *low, const struct region *high)
{
	return low->kind == high->kind && region_end(low) == high->base && low->pfn + low->pages == high->pfn;
}

/* The part of r in [base, end), a part of r. */
static struct region region_part(const struct region *r, gfn_t base, gfn_t end)
{
	return (struct region){.base = base, .pages = end - base, .pfn = r->pfn + (base - r->base), .kind = r->kind};
}

/* Index of the first region that ends above gfn. */
static u32 first_above(const struct region_map *map, gfn_t gfn)
{
	u32 i = 0;

	while (i < map->count && region_end(&map->regions[i]) <= gfn)
		i++;
	return i;
}

/* Index of the first region from i on that begins at or above gfn. */
static u32 first_from(const struct region_map *map, u32 i, gfn_t gfn)
{
	while (i < map->count && map->regions[i].base < gfn)
		i++;
	return i;
}

void region_init(struct region_map *map)
{
	map->count = 0;
	map->ram_frames = 0;
	map->main = (struct region_main){0};
	map->map_foreign = NULL;
}

/* Replaces regions [first, last) by the n given ones. */
static int splice(struct region_map *map, u32 first, u32 last, const struct region *with, u32 n)
{
	struct region *at = &map->regions[first];

	if (map->count - (last - first) + n > REGION_MAX)
		return -ENOSPC;
	memmove(at + n, &map->regions[last], (map->count - last) * sizeof(*at));
	memcpy(at, with, n * sizeof(*at));
	map->count = map->count - (last - first) + n;
	map->main.bytes = 0;
	memset(map->begin, 0, sizeof(map->begin));
	return 0;
}

/* Appends r to list[n], or to the list's last region if r continues it; returns the new n. */
static u32 append(struct region *list, u32 n, const struct region *r)
{
	if (n && continues(&list[n - 1], r)) {
		list[n - 1].pages += r->pages;
		return n;
	}
	list[n] = *r;
	return n + 1;
}

int region_add(struct region_map *map, gfn_t base, u64 pages, pfn_t pfn, enum region_kind kind)
{
	struct region add = {.base = base, .pages = pages, .pfn = pfn, .kind = kind};
	struct region with[3], part;
	gfn_t end = base + pages;
	u32 first, last, n = 0;

	if (!pages || base >= FRAME_END || pages > FRAME_END - base || pfn >= FRAME_END ||
	    pages > FRAME_END - pfn || (u32)kind > REGION_HIDDEN)
		return -EINVAL;
	/* The regions that overlap or touch the new one, and what of them stays. */
	first = first_above(map, base ? base - 1 : 0);
	last = first_from(map, first, end + 1);
	if (first < last && map->regions[first].base < base) {
		part = region_part(&map->regions[first], map->regions[first].base, base);
		n = append(with, n, &part);
	}
	n = append(with, n, &add);
	if (first < last && region_end(&map->regions[last - 1]) > end) {
		const struct region *r = &map->regions[last - 1];

		part = region_part(r, end, region_end(r));
		n = append(with, n, &part);
	}
	return splice(map, first, last, with, n);
}

static void make_index(struct region_map *map)
{
	u32 at = 0;

	for (u32 i = 0; i < REGION_INDEX; i++) {
		while (at + 1 < map->count && map->regions[at + 1].base <= (gfn_t)i << REGION_INDEX_SHIFT)
			at++;
		map->begin[i] = (u16)at;
	}
}

void region_seal(struct region_map *map)
{
	make_index(map);
	map->ram_frames = 0;
	map->main = (struct region_main){0};
	for (u32 i = 0; i < map->count; i++) {
		struct region *r = &map->regions[i];

		/* Set for every kind, so that the array is sorted by it too. */
		r->frame_index = map->ram_frames;
		if (r->kind != REGION_RAM)
			continue;
		map->ram_frames += r->pages;
		if (r->pages << PAGE_SHIFT > map->main.bytes)
			map->main = (struct region_main){
				.base_gpa = r->base << PAGE_SHIFT,
				.bytes = r->pages << PAGE_SHIFT,
				.hpa = r->pfn << PAGE_SHIFT,
				.frame_index = r->frame_index,
			};
	}
}

/* No region covers gfn; next is the index of the first one above it. */
static void lookup_gap(const struct region_map *map, gfn_t gfn, u32 next, struct region_hit *hit)
{
	hit->kind = REGION_MMIO;
	hit->pfn = gfn;
	hit->frame_index = 0;
	hit->first = next ? region_end(&map->regions[next - 1]) : 0;
	hit->end = next < map->count ? map->regions[next].base : GFN_END;
}

/* The last region with base <= gfn, or the first region. A conditional move a step, no branch to guess. */
static const struct region *search_all(const struct region_map *map, gfn_t gfn)
{
	const struct region *r = map->regions;
	u32 n = map->count;

	while (n > 1) {
		u32 half = n / 2;

		r = r[half].base <= gfn ? r + half : r;
		n -= half;
	}
	return r;
}

/* The same for the addresses that the index covers: few regions begin within 4 MiB. */
static const struct region *search_near(const struct region_map *map, gfn_t gfn)
{
	const struct region *r = &map->regions[map->begin[gfn >> REGION_INDEX_SHIFT]];
	const struct region *last = map->regions + map->count - 1;

	while (r < last && r[1].base <= gfn)
		r++;
	return r;
}

static void hit_region(const struct region *r, u64 offset, struct region_hit *hit)
{
	hit->kind = r->kind;
	hit->pfn = r->pfn + offset;
	hit->frame_index = r->frame_index + offset;
	hit->first = r->base;
	hit->end = r->base + r->pages;
}

static NOINLINE void search_on(const struct region_map *map, gfn_t gfn, struct region_hit *hit)
{
	const struct region *r =
		gfn >> REGION_INDEX_SHIFT < REGION_INDEX ? search_near(map, gfn) : search_all(map, gfn);
	u64 offset = gfn - r->base;

	if (unlikely(map->count == 0 || gfn < r->base))
		lookup_gap(map, gfn, 0, hit);
	else if (unlikely(offset >= r->pages))
		lookup_gap(map, gfn, (u32)(r - map->regions) + 1, hit);
	else
		hit_region(r, offset, hit);
}

void region_search(const struct region_map *map, gfn_t gfn, struct region_hit *hit)
{
	const struct region *r = region_near(map, gfn);

	if (likely(r))
		hit_region(r, gfn - r->base, hit);
	else
		search_on(map, gfn, hit);
}

gfn_t region_frame_gfn(const struct region_map *map, u64 frame_index)
{
	const struct region *r = map->regions;
	u32 n = map->count;

	BUG_ON(frame_index >= map->ram_frames);
	while (n > 1) {
		u32 half = n / 2;

		r = r[half].frame_index <= frame_index ? r + half : r;
		n -= half;
	}
	return r->base + (frame_index - r->frame_index);
}
