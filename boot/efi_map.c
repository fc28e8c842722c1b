/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's memory map; see efi_map.h. */
#include "boot/efi_map.h"

#define PAGE 4096ull
#define ADDRESS_END (1ull << 52)

const struct efi_descriptor *map_descriptor(const struct efi_map *map, uint32_t i)
{
	return (const struct efi_descriptor *)((const char *)map->descriptors +
					       (uint64_t)i * map->stride);
}

struct map_extent map_extent_of(const struct efi_descriptor *d)
{
	struct map_extent e = {d->physical & ~(PAGE - 1), 0};

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
	case EFI_KIND_CONVENTIONAL: return BOOT_MEM_USABLE;
	case EFI_KIND_RUNTIME_CODE:
	case EFI_KIND_RUNTIME_DATA:
	case EFI_KIND_ACPI_RECLAIM:
	case EFI_KIND_ACPI_NVS: return BOOT_MEM_FIRMWARE;
	case EFI_KIND_MMIO:
	case EFI_KIND_MMIO_PORTS: return BOOT_MEM_MMIO;
	default: return BOOT_MEM_RESERVED;
	}
}

/* The place inside one free extent; false if it does not fit. */
static bool fit_in(struct map_extent e, uint64_t size, uint64_t alignment, bool from_top,
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
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);

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
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);

		if (d->type == EFI_KIND_CONVENTIONAL && e.base <= at && at < e.end)
			return (e.end < end ? e.end : end) - at;
	}
	return 0;
}

static bool is_ram(const struct efi_descriptor *d)
{
	uint32_t kind = map_kind_of(d->type);

	return kind == BOOT_MEM_USABLE || kind == BOOT_MEM_FIRMWARE;
}

uint64_t map_usable_bytes(const struct efi_map *map)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);

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
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);

		if (is_ram(d) && e.end > e.base && e.end > end)
			end = e.end;
	}
	return end;
}

uint64_t map_ram_from(const struct efi_map *map, uint64_t at)
{
	uint64_t end;
	uint32_t i;

	do {
		end = at;
		for (i = 0; i < map->count; i++) {
			const struct efi_descriptor *d = map_descriptor(map, i);
			struct map_extent e = map_extent_of(d);

			if (is_ram(d) && e.base <= at && e.end > at)
				at = e.end;
		}
	} while (at != end);
	return end;
}

uint64_t map_ram_next(const struct efi_map *map, uint64_t at)
{
	uint64_t next = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = map_descriptor(map, i);
		struct map_extent e = map_extent_of(d);
		uint64_t base = e.base > at ? e.base : at;

		if (is_ram(d) && e.end > base && base < next)
			next = base;
	}
	return next;
}
