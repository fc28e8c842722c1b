/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory maps: from the firmware's EFI memory map to the hypervisor's list of
 * boot_ranges, to the guest's E820 and to the guest's EFI memory map, the last
 * two without the hypervisor's ranges. Pure functions over arrays.
 *
 *   EFI map --map_build--> boot_range[] --map_to_e820--> E820
 *      \-----map_guest_efi-------------------------------> guest's EFI map
 */
#ifndef BOOT_GUEST_MAP_H
#define BOOT_GUEST_MAP_H

#include "boot/boot_info.h"
#include "boot/text.h"

/* EFI_MEMORY_TYPE, UEFI specification section 7.2 */
enum efi_memory_kind {
	EFI_KIND_RESERVED, EFI_KIND_LOADER_CODE, EFI_KIND_LOADER_DATA, EFI_KIND_BOOT_CODE,
	EFI_KIND_BOOT_DATA, EFI_KIND_RUNTIME_CODE, EFI_KIND_RUNTIME_DATA,
	EFI_KIND_CONVENTIONAL, EFI_KIND_UNUSABLE, EFI_KIND_ACPI_RECLAIM, EFI_KIND_ACPI_NVS,
	EFI_KIND_MMIO, EFI_KIND_MMIO_PORTS, EFI_KIND_PAL, EFI_KIND_PERSISTENT,
	EFI_KIND_UNACCEPTED,
};

#define EFI_ATTRIBUTE_RUNTIME (1ull << 63)

/* EFI_MEMORY_DESCRIPTOR version 1, UEFI specification section 7.2 */
struct efi_descriptor {
	uint32_t type;
	uint32_t reserved;
	uint64_t physical;
	uint64_t virtual;
	uint64_t pages;      /* of 4 KiB */
	uint64_t attributes;
};
_Static_assert(sizeof(struct efi_descriptor) == 40, "UEFI section 7.2");

/* The firmware's map as GetMemoryMap() gives it. */
struct efi_map {
	const void *descriptors;
	uint32_t count;
	uint32_t stride;     /* bytes from one descriptor to the next, at least 40 */
};

/* A range of the hypervisor's: kind is BOOT_MEM_HV_IMAGE or BOOT_MEM_HV_POOL. */
struct map_hole {
	uint64_t base, size;
	uint32_t kind;
};

/* Linux boot protocol: one entry of boot_params.e820_table */
struct e820_entry {
	uint64_t base, size;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct e820_entry) == 20, "Linux boot protocol");

enum e820_type {
	E820_RAM = 1, E820_RESERVED, E820_ACPI, E820_NVS, E820_UNUSABLE, E820_PMEM = 7,
};

/*
 * The ranges for boot_info: sorted, not overlapping, neighbours of one kind and
 * one EFI type merged. Where the firmware's descriptors overlap, the more
 * restricted kind wins; the holes win over everything. False when out (max
 * entries) is too small; 2 * map->count + 2 * hole_count + 1 always suffices.
 */
bool map_build(struct boot_range *out, uint32_t max, uint32_t *count, const struct efi_map *map,
	       const struct map_hole *holes, uint32_t hole_count);

/*
 * The guest's E820: RAM that is free once the firmware is left is RAM, the
 * hypervisor's ranges are missing. The first first_max entries go to first,
 * the others to rest. False when rest is too small.
 */
bool map_to_e820(const struct boot_range *ranges, uint32_t range_count,
		 struct e820_entry *first, uint32_t first_max, uint32_t *first_count,
		 struct e820_entry *rest, uint32_t rest_max, uint32_t *rest_count);

/*
 * The guest's EFI memory map: the firmware's descriptors, sorted, the holes cut
 * out, neighbours merged when they are alike and not for the runtime services
 * (those are matched one by one when the guest sets virtual addresses). out has
 * room for max descriptors of map->stride bytes; false when it is too small.
 * map->count + hole_count suffices where the firmware's descriptors do not overlap.
 */
bool map_guest_efi(void *out, uint32_t max, uint32_t *count, const struct efi_map *map,
		   const struct map_hole *holes, uint32_t hole_count);

/*
 * A free (conventional) range of size bytes, aligned (a power of two, at least
 * 4096), inside [min, max): the lowest, or the highest if from_top.
 */
bool map_find_free(const struct efi_map *map, uint64_t size, uint64_t alignment, uint64_t min,
		   uint64_t max, bool from_top, uint64_t *base);

/* Bytes that are free (conventional) from at on, up to end; 0 if at is in use. Both page aligned. */
uint64_t map_free_at(const struct efi_map *map, uint64_t at, uint64_t end);

/*
 * The first part of [base, end) that the guest's image must not be put in: not
 * RAM that is free once the firmware is left. ranges is map_build()'s. False if
 * there is none. kind 0: no memory there at all.
 */
bool map_find_conflict(const struct boot_range *ranges, uint32_t count, uint64_t base,
		       uint64_t end, struct boot_range *conflict);

/* What a range with an EFI memory type is, in words for a message. */
const char *map_type_name(const struct boot_range *range);

/* Bytes of RAM that will be free once the firmware is left. */
uint64_t map_usable_bytes(const struct efi_map *map);

/* The end of the highest RAM (usable or the firmware's own). */
uint64_t map_ram_end(const struct efi_map *map);

/* enum boot_mem_kind of an EFI memory type. */
uint32_t map_kind_of(uint32_t efi_type);

#endif
