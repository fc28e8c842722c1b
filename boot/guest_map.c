/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory maps for the hypervisor and its guest; see guest_map.h. */
#include "boot/guest_map.h"
#include "lib/string.h"

#define PAGE 4096ull
#define ADDRESS_END (1ull << 52)

/* A window into one firmware descriptor, cut down to real page-aligned addresses. */
struct extent {
	uint64_t base, end;
};

static const struct efi_descriptor *descriptor_at(const struct efi_map *map, uint32_t i)
{
	return (const struct efi_descriptor *)((const char *)map->descriptors +
					       (uint64_t)i * map->stride);
}

static struct extent extent_of(const struct efi_descriptor *d)
{
	struct extent e = {d->physical & ~(PAGE - 1), 0};

	if (e.base > ADDRESS_END)
		e.base = ADDRESS_END;
	e.end = d->pages > (ADDRESS_END - e.base) / PAGE ? ADDRESS_END : e.base + d->pages * PAGE;
	return e;
}

uint32_t map_kind_of(uint32_t efi_type)
{
	switch (efi_type) {
	case EFI_KIND_LOADER_CODE:
	case EFI_KIND_LOADER_DATA:
	case EFI_KIND_BOOT_CODE:
	case EFI_KIND_BOOT_DATA:
	case EFI_KIND_CONVENTIONAL:
		return BOOT_MEM_USABLE;
	case EFI_KIND_RUNTIME_CODE:
	case EFI_KIND_RUNTIME_DATA:
	case EFI_KIND_ACPI_RECLAIM:
	case EFI_KIND_ACPI_NVS:
		return BOOT_MEM_FIRMWARE;
	case EFI_KIND_MMIO:
	case EFI_KIND_MMIO_PORTS:
		return BOOT_MEM_MMIO;
	default:
		return BOOT_MEM_RESERVED;
	}
}

/* The array map_build works on: always sorted and free of overlaps. */
struct range_list {
	struct boot_range *at;
	uint32_t count, max;
};

static uint64_t range_end(const struct boot_range *r)
{
	return r->base + r->size;
}

static bool list_insert(struct range_list *list, uint32_t where, struct boot_range range)
{
	uint32_t i;

	if (list->count == list->max)
		return false;
	for (i = list->count++; i > where; i--)
		list->at[i] = list->at[i - 1];
	list->at[where] = range;
	return true;
}

static void list_remove(struct range_list *list, uint32_t where)
{
	list->count--;
	for (; where < list->count; where++)
		list->at[where] = list->at[where + 1];
}

/* Takes [base, end) out of the range at i, which overlaps it; false when a split does not fit. */
static bool list_punch(struct range_list *list, uint32_t i, uint64_t base, uint64_t end)
{
	struct boot_range *r = &list->at[i], tail = *r;

	if (r->base < base && range_end(r) > end) {
		tail.base = end;
		tail.size = range_end(r) - end;
		r->size = base - r->base;
		return list_insert(list, i + 1, tail);
	}
	if (r->base < base) {
		r->size = base - r->base;
	} else if (range_end(r) > end) {
		r->size = range_end(r) - end;
		r->base = end;
	} else {
		list_remove(list, i);
	}
	return true;
}

/* Puts range in, over whatever was there. */
static bool list_set(struct range_list *list, struct boot_range range)
{
	uint32_t i = 0;

	while (i < list->count && list->at[i].base < range_end(&range)) {
		uint32_t count = list->count;

		if (range_end(&list->at[i]) > range.base) {
			if (!list_punch(list, i, range.base, range_end(&range)))
				return false;
			if (list->count < count)
				continue;
		}
		i++;
	}
	for (i = 0; i < list->count && list->at[i].base < range.base; i++)
		;
	return list_insert(list, i, range);
}

static void list_merge(struct range_list *list)
{
	uint32_t i, n = 0;

	for (i = 0; i < list->count; i++) {
		struct boot_range *last = n ? &list->at[n - 1] : NULL, *r = &list->at[i];

		if (last && range_end(last) == r->base && last->kind == r->kind &&
		    last->efi_type == r->efi_type)
			last->size += r->size;
		else
			list->at[n++] = *r;
	}
	list->count = n;
}

/* Enters every descriptor of one kind. */
static bool list_set_kind(struct range_list *list, const struct efi_map *map, uint32_t kind)
{
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = descriptor_at(map, i);
		struct extent e = extent_of(d);

		if (map_kind_of(d->type) != kind || e.base == e.end)
			continue;
		if (!list_set(list, (struct boot_range){e.base, e.end - e.base, kind, d->type}))
			return false;
	}
	return true;
}

bool map_build(struct boot_range *out, uint32_t max, uint32_t *count, const struct efi_map *map,
	       const struct map_hole *holes, uint32_t hole_count)
{
	/* later ones win */
	static const uint32_t order[] = {
		BOOT_MEM_USABLE, BOOT_MEM_FIRMWARE, BOOT_MEM_RESERVED, BOOT_MEM_MMIO,
	};
	struct range_list list = {out, 0, max};
	uint32_t i;

	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (!list_set_kind(&list, map, order[i]))
			return false;
	for (i = 0; i < hole_count; i++) {
		if (!list_set(&list, (struct boot_range){holes[i].base, holes[i].size,
							 holes[i].kind, EFI_KIND_LOADER_DATA}))
			return false;
	}
	list_merge(&list);
	*count = list.count;
	return true;
}

static uint32_t e820_type_of(const struct boot_range *range)
{
	if (range->kind == BOOT_MEM_USABLE)
		return E820_RAM;
	switch (range->efi_type) {
	case EFI_KIND_ACPI_RECLAIM:
		return E820_ACPI;
	case EFI_KIND_ACPI_NVS:
		return E820_NVS;
	case EFI_KIND_UNUSABLE:
		return E820_UNUSABLE;
	case EFI_KIND_PERSISTENT:
		return E820_PMEM;
	default:
		return E820_RESERVED;
	}
}

static bool is_hidden(const struct boot_range *range)
{
	return range->kind == BOOT_MEM_HV_IMAGE || range->kind == BOOT_MEM_HV_POOL;
}

bool map_to_e820(const struct boot_range *ranges, uint32_t range_count,
		 struct e820_entry *first, uint32_t first_max, uint32_t *first_count,
		 struct e820_entry *rest, uint32_t rest_max, uint32_t *rest_count)
{
	struct e820_entry *last = NULL;
	uint32_t i;

	*first_count = *rest_count = 0;
	for (i = 0; i < range_count; i++) {
		const struct boot_range *r = &ranges[i];
		uint32_t type = e820_type_of(r);

		if (is_hidden(r))
			continue;
		if (last && last->type == type && last->base + last->size == r->base) {
			last->size += r->size;
			continue;
		}
		if (*first_count < first_max)
			last = &first[(*first_count)++];
		else if (*rest_count < rest_max)
			last = &rest[(*rest_count)++];
		else
			return false;
		*last = (struct e820_entry){r->base, r->size, type};
	}
	return true;
}

/* The array map_guest_efi works on. */
struct descriptor_list {
	char *at;
	uint32_t count, max, stride;
};

static struct efi_descriptor *list_descriptor(struct descriptor_list *list, uint32_t i)
{
	return (struct efi_descriptor *)(list->at + (uint64_t)i * list->stride);
}

/* Adds [base, end) of a firmware descriptor where it belongs by address. */
static bool list_add(struct descriptor_list *list, const struct efi_descriptor *from,
		     uint64_t base, uint64_t end)
{
	struct efi_descriptor *d;
	uint32_t i;

	if (base >= end)
		return true;
	if (list->count == list->max)
		return false;
	for (i = list->count++; i > 0 && list_descriptor(list, i - 1)->physical > base; i--)
		memcpy(list_descriptor(list, i), list_descriptor(list, i - 1), list->stride);
	d = list_descriptor(list, i);
	memcpy(d, from, list->stride);
	d->physical = base;
	d->pages = (end - base) / PAGE;
	if (from->virtual)
		d->virtual = from->virtual + (base - from->physical);
	return true;
}

/* The lowest hole that overlaps [base, end), or NULL. */
static const struct map_hole *lowest_hole(const struct map_hole *holes, uint32_t count,
					  uint64_t base, uint64_t end)
{
	const struct map_hole *found = NULL;
	uint32_t i;

	for (i = 0; i < count; i++)
		if (holes[i].base < end && holes[i].base + holes[i].size > base &&
		    (!found || holes[i].base < found->base))
			found = &holes[i];
	return found;
}

static bool add_without_holes(struct descriptor_list *list, const struct efi_descriptor *d,
			      const struct map_hole *holes, uint32_t hole_count)
{
	struct extent e = extent_of(d);
	const struct map_hole *hole;

	while ((hole = lowest_hole(holes, hole_count, e.base, e.end))) {
		if (!list_add(list, d, e.base, hole->base))
			return false;
		e.base = hole->base + hole->size;
		if (e.base >= e.end)
			return true;
	}
	return list_add(list, d, e.base, e.end);
}

static bool are_alike(const struct efi_descriptor *a, const struct efi_descriptor *b)
{
	return a->type == b->type && a->attributes == b->attributes &&
		!(a->attributes & EFI_ATTRIBUTE_RUNTIME) && !a->virtual && !b->virtual &&
		a->physical + a->pages * PAGE == b->physical;
}

static void merge_descriptors(struct descriptor_list *list)
{
	uint32_t i, n = 0;

	for (i = 0; i < list->count; i++) {
		struct efi_descriptor *d = list_descriptor(list, i);

		if (n && are_alike(list_descriptor(list, n - 1), d)) {
			list_descriptor(list, n - 1)->pages += d->pages;
			continue;
		}
		if (n != i)
			memcpy(list_descriptor(list, n), d, list->stride);
		n++;
	}
	list->count = n;
}

bool map_guest_efi(void *out, uint32_t max, uint32_t *count, const struct efi_map *map,
		   const struct map_hole *holes, uint32_t hole_count)
{
	struct descriptor_list list = {out, 0, max, map->stride};
	uint32_t i;

	for (i = 0; i < map->count; i++)
		if (!add_without_holes(&list, descriptor_at(map, i), holes, hole_count))
			return false;
	merge_descriptors(&list);
	*count = list.count;
	return true;
}

/* The place inside one free extent; false if it does not fit. */
static bool fit_in(struct extent e, uint64_t size, uint64_t alignment, bool from_top,
		   uint64_t *base)
{
	if (e.base >= e.end || e.end - e.base < size)
		return false;
	if (from_top) {
		*base = (e.end - size) & ~(alignment - 1);
		return *base >= e.base;
	}
	*base = (e.base + alignment - 1) & ~(alignment - 1);
	return *base >= e.base && *base <= e.end - size;
}

bool map_find_free(const struct efi_map *map, uint64_t size, uint64_t alignment, uint64_t min,
		   uint64_t max, bool from_top, uint64_t *base)
{
	bool found = false;
	uint64_t at;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = descriptor_at(map, i);
		struct extent e = extent_of(d);

		if (d->type != EFI_KIND_CONVENTIONAL)
			continue;
		e.base = e.base > min ? e.base : min;
		e.end = e.end < max ? e.end : max & ~(PAGE - 1);
		if (!fit_in(e, size, alignment, from_top, &at))
			continue;
		if (!found || (from_top ? at > *base : at < *base))
			*base = at;
		found = true;
	}
	return found;
}

uint64_t map_free_at(const struct efi_map *map, uint64_t at, uint64_t end)
{
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = descriptor_at(map, i);
		struct extent e = extent_of(d);

		if (d->type == EFI_KIND_CONVENTIONAL && e.base <= at && at < e.end)
			return (e.end < end ? e.end : end) - at;
	}
	return 0;
}

bool map_find_conflict(const struct boot_range *ranges, uint32_t count, uint64_t base,
		       uint64_t end, struct boot_range *conflict)
{
	uint32_t i;

	for (i = 0; i < count && base < end; i++) {
		const struct boot_range *r = &ranges[i];

		if (range_end(r) <= base)
			continue;
		if (r->base > base)
			break;
		if (r->kind != BOOT_MEM_USABLE) {
			*conflict = *r;
			return true;
		}
		base = range_end(r);
	}
	if (base >= end)
		return false;
	*conflict = (struct boot_range){.base = base, .size = end - base};
	if (i < count && ranges[i].base < end)
		conflict->size = ranges[i].base - base;
	return true;
}

const char *map_type_name(const struct boot_range *range)
{
	if (!range->kind)
		return "no memory";
	if (is_hidden(range))
		return "the hypervisor's";
	switch (range->efi_type) {
	case EFI_KIND_RUNTIME_CODE:
	case EFI_KIND_RUNTIME_DATA:
		return "runtime services";
	case EFI_KIND_ACPI_RECLAIM:
		return "ACPI tables";
	case EFI_KIND_ACPI_NVS:
		return "ACPI NVS";
	case EFI_KIND_MMIO:
	case EFI_KIND_MMIO_PORTS:
		return "device memory";
	case EFI_KIND_UNUSABLE:
		return "faulty memory";
	default:
		return "reserved";
	}
}

uint64_t map_usable_bytes(const struct efi_map *map)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = descriptor_at(map, i);
		struct extent e = extent_of(d);

		if (map_kind_of(d->type) == BOOT_MEM_USABLE)
			bytes += e.end - e.base;
	}
	return bytes;
}

uint64_t map_ram_end(const struct efi_map *map)
{
	uint64_t end = 0;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = descriptor_at(map, i);
		struct extent e = extent_of(d);
		uint32_t kind = map_kind_of(d->type);

		if ((kind == BOOT_MEM_USABLE || kind == BOOT_MEM_FIRMWARE) && e.end > e.base &&
		    e.end > end)
			end = e.end;
	}
	return end;
}
