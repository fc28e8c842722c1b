/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's list of ranges; see ranges.h. */
#include "boot/ranges.h"
#include "lib/types.h"

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
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);

		if (map_kind_of(d->type) != kind || e.base == e.end)
			continue;
		if (!list_set(list, (struct boot_range){e.base, e.end - e.base, kind, d->type}))
			return false;
	}
	return true;
}

bool map_build(struct boot_range *out, uint32_t max, uint32_t *count, const struct efi_map *map,
	       const struct map_hidden *hidden, uint32_t hidden_count)
{
	/* later ones win */
	static const uint32_t order[] = {
		BOOT_MEM_USABLE,
		BOOT_MEM_FIRMWARE,
		BOOT_MEM_RESERVED,
		BOOT_MEM_MMIO,
	};
	struct range_list list = {out, 0, max};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		if (!list_set_kind(&list, map, order[i]))
			return false;
	for (i = 0; i < hidden_count; i++) {
		if (!list_set(&list, (struct boot_range){hidden[i].base, hidden[i].size,
							 hidden[i].kind, EFI_KIND_LOADER_DATA}))
			return false;
	}
	list_merge(&list);
	*count = list.count;
	return true;
}

bool map_find_conflict(const struct boot_range *ranges, uint32_t count, uint64_t base, uint64_t end,
		       struct boot_range *conflict)
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

static bool is_hidden(const struct boot_range *range)
{
	return range->kind == BOOT_MEM_HV_IMAGE || range->kind == BOOT_MEM_HV_POOL;
}

const char *map_type_name(const struct boot_range *range)
{
	if (!range->kind)
		return "no memory";
	if (is_hidden(range))
		return "the hypervisor's";
	switch (range->efi_type) {
	case EFI_KIND_RUNTIME_CODE:
	case EFI_KIND_RUNTIME_DATA: return "runtime services";
	case EFI_KIND_ACPI_RECLAIM: return "ACPI tables";
	case EFI_KIND_ACPI_NVS: return "ACPI NVS";
	case EFI_KIND_MMIO:
	case EFI_KIND_MMIO_PORTS: return "device memory";
	case EFI_KIND_UNUSABLE: return "faulty memory";
	default: return "reserved";
	}
}
