/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's EFI memory map: what is in it, and free places. Pure functions. */
#ifndef BOOT_EFI_MAP_H
#define BOOT_EFI_MAP_H

#include <stdbool.h>

#include "boot/boot_info.h"

/* EFI_MEMORY_TYPE, UEFI specification section 7.2 */
enum efi_memory_kind {
	EFI_KIND_RESERVED,
	EFI_KIND_LOADER_CODE,
	EFI_KIND_LOADER_DATA,
	EFI_KIND_BOOT_CODE,
	EFI_KIND_BOOT_DATA,
	EFI_KIND_RUNTIME_CODE,
	EFI_KIND_RUNTIME_DATA,
	EFI_KIND_CONVENTIONAL,
	EFI_KIND_UNUSABLE,
	EFI_KIND_ACPI_RECLAIM,
	EFI_KIND_ACPI_NVS,
	EFI_KIND_MMIO,
	EFI_KIND_MMIO_PORTS,
	EFI_KIND_PAL,
	EFI_KIND_PERSISTENT,
	EFI_KIND_UNACCEPTED,
};

#define EFI_ATTRIBUTE_RUNTIME (1ull << 63)

/* EFI_MEMORY_DESCRIPTOR version 1, UEFI specification section 7.2 */
struct efi_descriptor {
	uint32_t type;
	uint32_t reserved;
	uint64_t physical;
	uint64_t virtual;
	uint64_t pages; /* of 4 KiB */
	uint64_t attributes;
};
_Static_assert(sizeof(struct efi_descriptor) == 40, "UEFI section 7.2");

/* The firmware's map as GetMemoryMap() gives it. */
struct efi_map {
	const void *descriptors;
	uint32_t count;
	uint32_t stride; /* bytes from one descriptor to the next, at least 40 */
};

/* One descriptor's memory, cut down to real page-aligned addresses. */
struct map_extent {
	uint64_t base, end;
};

const struct efi_descriptor *map_descriptor(const struct efi_map *map, uint32_t i);
struct map_extent map_extent_of(const struct efi_descriptor *d);

/*
 * A free (conventional) range of size bytes, aligned (a power of two, at least
 * 4096), inside [min, max): the lowest, or the highest if from_top.
 */
bool map_find_free(const struct efi_map *map, uint64_t size, uint64_t alignment, uint64_t min,
		   uint64_t max, bool from_top, uint64_t *base);

/* Bytes that are free (conventional) from at on, up to end; 0 if at is in use. Both page aligned. */
uint64_t map_free_at(const struct efi_map *map, uint64_t at, uint64_t end);

/* Bytes of RAM that will be free once the firmware is left. */
uint64_t map_usable_bytes(const struct efi_map *map);

/* The end of the highest RAM (usable or the firmware's own). */
uint64_t map_ram_end(const struct efi_map *map);

/* The end of the RAM that holds at without a gap; at if none does. */
uint64_t map_ram_from(const struct efi_map *map, uint64_t at);

/* The lowest address of RAM from at on; UINT64_MAX: there is no more. */
uint64_t map_ram_next(const struct efi_map *map, uint64_t at);

/* enum boot_mem_kind of an EFI memory type. */
uint32_t map_kind_of(uint32_t efi_type);

#endif
