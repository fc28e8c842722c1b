/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's list of ranges, made from the firmware's map and the
 * hypervisor's own memory. Pure functions over arrays.
 */
#ifndef BOOT_RANGES_H
#define BOOT_RANGES_H

#include "boot/efi_map.h"

/* A range of the hypervisor's, hidden from the guest: kind is BOOT_MEM_HV_IMAGE or BOOT_MEM_HV_POOL. */
struct map_hidden {
	uint64_t base, size;
	uint32_t kind;
};

/*
 * The ranges for boot_info: sorted, not overlapping, neighbours of one kind and
 * one EFI type merged. Where the firmware's descriptors overlap, the more
 * restricted kind wins; the hidden ranges win over everything. False when out (max
 * entries) is too small; 2 * map->count + 2 * hidden_count + 1 always suffices.
 */
bool map_build(struct boot_range *out, uint32_t max, uint32_t *count, const struct efi_map *map,
	       const struct map_hidden *hidden, uint32_t hidden_count);

/*
 * The first part of [base, end) that the guest's image must not be put in: not
 * RAM that is free once the firmware is left. ranges is map_build()'s. False if
 * there is none. kind 0: no memory there at all.
 */
bool map_find_conflict(const struct boot_range *ranges, uint32_t count, uint64_t base, uint64_t end,
		       struct boot_range *conflict);

/* What a range with an EFI memory type is, in words for a message. */
const char *map_type_name(const struct boot_range *range);

#endif
