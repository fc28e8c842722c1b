/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory maps; see guest_map.h. */
#include "boot/guest_map.h"
#include "lib/string.h"
#include "lib/types.h"

#define PAGE 4096ull

static uint32_t e820_type_of(const struct boot_range *range)
{
	if (range->kind == BOOT_MEM_USABLE)
		return E820_RAM;
	switch (range->efi_type) {
	case EFI_KIND_ACPI_RECLAIM: return E820_ACPI;
	case EFI_KIND_ACPI_NVS: return E820_NVS;
	case EFI_KIND_UNUSABLE: return E820_UNUSABLE;
	case EFI_KIND_PERSISTENT: return E820_PMEM;
	default: return E820_RESERVED;
	}
}

bool map_to_e820(const struct boot_range *ranges, uint32_t range_count, struct e820_entry *first,
		 uint32_t first_max, uint32_t *first_count, struct e820_entry *rest,
		 uint32_t rest_max, uint32_t *rest_count)
{
	struct e820_entry *last = NULL;
	uint32_t i;

	*first_count = *rest_count = 0;
	for (i = 0; i < range_count; i++) {
		const struct boot_range *r = &ranges[i];
		uint32_t type = e820_type_of(r);

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

/* Makes room for the descriptor of [base, ...) where it belongs by address; NULL when full. */
static struct efi_descriptor *list_open(struct descriptor_list *list, uint64_t base)
{
	uint32_t i;

	if (list->count == list->max)
		return NULL;
	for (i = list->count++; i > 0 && list_descriptor(list, i - 1)->physical > base; i--)
		memcpy(list_descriptor(list, i), list_descriptor(list, i - 1), list->stride);
	return list_descriptor(list, i);
}

/* Adds [base, end) of a firmware descriptor, as it is or as reserved memory. */
static bool list_add(struct descriptor_list *list, const struct efi_descriptor *from, uint64_t base,
		     uint64_t end, bool hide)
{
	struct efi_descriptor *d;

	if (base >= end)
		return true;
	d = list_open(list, base);
	if (!d)
		return false;
	memcpy(d, from, list->stride);
	d->physical = base;
	d->pages = (end - base) / PAGE;
	if (hide) {
		d->type = EFI_KIND_RESERVED;
		d->attributes &= ~EFI_ATTRIBUTE_RUNTIME;
		d->virtual = 0;
	} else if (from->virtual) {
		d->virtual = from->virtual + (base - from->physical);
	}
	return true;
}

/* The lowest hidden range that overlaps [base, end), or NULL. */
static const struct map_hidden *lowest_hidden(const struct map_hidden *hidden, uint32_t count,
					      uint64_t base, uint64_t end)
{
	const struct map_hidden *found = NULL;
	uint32_t i;

	for (i = 0; i < count; i++)
		if (hidden[i].base < end && hidden[i].base + hidden[i].size > base &&
		    (!found || hidden[i].base < found->base))
			found = &hidden[i];
	return found;
}

/* One firmware descriptor, cut where hidden ranges begin and end. */
static bool add_pieces(struct descriptor_list *list, const struct efi_descriptor *d,
		       const struct map_hidden *hidden, uint32_t hidden_count)
{
	struct map_extent e = map_extent_of(d);
	const struct map_hidden *h;

	while (e.base < e.end && (h = lowest_hidden(hidden, hidden_count, e.base, e.end))) {
		uint64_t base = MAX(e.base, h->base), end = MIN(e.end, h->base + h->size);

		if (!list_add(list, d, e.base, base, false) || !list_add(list, d, base, end, true))
			return false;
		e.base = end;
	}
	return list_add(list, d, e.base, e.end, false);
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
		   const struct map_hidden *hidden, uint32_t hidden_count)
{
	struct descriptor_list list = {out, 0, max, map->stride};
	uint32_t i;

	for (i = 0; i < map->count; i++)
		if (!add_pieces(&list, map_descriptor(map, i), hidden, hidden_count))
			return false;
	merge_descriptors(&list);
	*count = list.count;
	return true;
}
