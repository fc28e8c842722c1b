/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory maps for the guest. The hypervisor's ranges are reserved entries, since
 * an operating system may put devices where a map has nothing. Pure functions
 * over arrays.
 *
 *   EFI map --map_build--> boot_range[] --map_to_e820--> E820
 *      \-----map_guest_efi-------------------------------> guest's EFI map
 */
#ifndef BOOT_GUEST_MAP_H
#define BOOT_GUEST_MAP_H

#include "boot/ranges.h"

/* Linux boot protocol: one entry of boot_params.e820_table */
struct e820_entry {
	uint64_t base, size;
	uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct e820_entry) == 20, "Linux boot protocol");

enum e820_type {
	E820_RAM = 1,
	E820_RESERVED,
	E820_ACPI,
	E820_NVS,
	E820_UNUSABLE,
	E820_PMEM = 7,
};

/*
 * The guest's E820: RAM that is free once the firmware is left is RAM, the
 * hypervisor's ranges are reserved. The first first_max entries go to first, the
 * others to rest. False when rest is too small; range_count entries in all suffice.
 */
bool map_to_e820(const struct boot_range *ranges, uint32_t range_count, struct e820_entry *first,
		 uint32_t first_max, uint32_t *first_count, struct e820_entry *rest,
		 uint32_t rest_max, uint32_t *rest_count);

/*
 * The guest's EFI memory map: the firmware's descriptors, sorted, the hidden
 * ranges cut out and reserved, neighbours merged when they are alike and not for
 * the runtime services (those are matched one by one when the guest sets virtual
 * addresses). out has room for max descriptors of map->stride bytes; false when
 * it is too small. map->count + 2 * hidden_count suffices where the firmware's
 * descriptors do not overlap.
 */
bool map_guest_efi(void *out, uint32_t max, uint32_t *count, const struct efi_map *map,
		   const struct map_hidden *hidden, uint32_t hidden_count);

#endif
