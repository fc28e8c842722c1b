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
	map->ram_frames = map->frame_count = 0;
	map->main = (struct region_main){0};
	map->span = (struct region_span){0};
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
	map->span.pages = 0;
	memset(map->begin, 0, sizeof(map->begin));
	memset(map->whole, 0, sizeof(map->whole));
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

/* So much of the span may be gaps: a quarter. */
#define GAP_SHARE 4u

static void mark_whole(struct region_map *map, const struct region *r)
{
	gfn_t chunk = (r->base + BITS(REGION_WHOLE_SHIFT - 1, 0)) >> REGION_WHOLE_SHIFT;

	if (r->kind != REGION_RAM || r->pfn != r->base)
		return;
	for (; chunk < MIN(region_end(r) >> REGION_WHOLE_SHIFT, (u64)REGION_WHOLE); chunk++)
		map->whole[chunk] = true;
}

static const struct region *largest_ram(const struct region_map *map)
{
	const struct region *largest = NULL;

	for (u32 i = 0; i < map->count; i++)
		if (map->regions[i].kind == REGION_RAM && (!largest || map->regions[i].pages > largest->pages))
			largest = &map->regions[i];
	return largest;
}

/* The RAM regions first to last, and the gaps between them. */
struct span_ends {
	u32 first, last;
	u64 gaps;
};

/* The next RAM region on one side (step 1 or -1) comes into the span if its gap is no larger than what is left for gaps. */
static bool span_grow(const struct region_map *map, struct span_ends *e, s32 step)
{
	u32 from = step > 0 ? e->last : e->first, to = from + (u32)step;
	const struct region *low, *high;
	u64 gaps, pages;

	while (to < map->count && map->regions[to].kind != REGION_RAM)
		to += (u32)step;
	if (to >= map->count)
		return false;
	low = &map->regions[MIN(from, to)];
	high = &map->regions[MAX(from, to)];
	gaps = e->gaps + high->base - region_end(low);
	pages = region_end(&map->regions[MAX(e->last, to)]) - map->regions[MIN(e->first, to)].base;
	if (gaps > pages / GAP_SHARE)
		return false;
	*e = (struct span_ends){MIN(e->first, to), MAX(e->last, to), gaps};
	return true;
}

static void find_span(struct region_map *map, const struct region *main, struct span_ends *e)
{
	*e = (struct span_ends){(u32)(main - map->regions), (u32)(main - map->regions), 0};
	while (span_grow(map, e, 1) || span_grow(map, e, -1))
		;
	map->span.base = map->regions[e->first].base;
	map->span.pages = region_end(&map->regions[e->last]) - map->span.base;
}

/* Returns the frame index behind r. */
static u64 number(struct region_map *map, struct region *r, u64 next)
{
	bool inside = r->base - map->span.base < map->span.pages;

	if (inside && r->base == map->span.base)
		map->span.frame_index = next;
	r->frame_index = inside ? map->span.frame_index + (r->base - map->span.base) : next;
	map->ram_frames += r->pages;
	return r->frame_index + r->pages;
}

void region_seal(struct region_map *map)
{
	const struct region *main = largest_ram(map);
	struct span_ends ends;

	make_index(map);
	map->ram_frames = map->frame_count = 0;
	map->main = (struct region_main){0};
	map->span = (struct region_span){0};
	if (!main)
		return;
	find_span(map, main, &ends);
	for (u32 i = 0; i < map->count; i++) {
		mark_whole(map, &map->regions[i]);
		if (map->regions[i].kind == REGION_RAM)
			map->frame_count = number(map, &map->regions[i], map->frame_count);
	}
	map->main = (struct region_main){
		.base_gpa = main->base << PAGE_SHIFT,
		.bytes = main->pages << PAGE_SHIFT,
		.hpa = main->pfn << PAGE_SHIFT,
		.frame_index = main->frame_index,
	};
}

void region_each_gap(const struct region_map *map, void (*gap)(void *ctx, u64 first, u64 count), void *ctx)
{
	u64 next = 0;

	for (u32 i = 0; i < map->count; i++) {
		const struct region *r = &map->regions[i];

		if (r->kind != REGION_RAM)
			continue;
		if (r->frame_index > next)
			gap(ctx, next, r->frame_index - next);
		next = r->frame_index + r->pages;
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
