/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much memory the hypervisor takes and where, from the firmware's map alone;
 * docs/memory.md has the reasons. Pure functions.
 */
#ifndef BOOT_PLAN_H
#define BOOT_PLAN_H

#include "boot/efi_map.h"

#define PLAN_ALIGNMENT (2ull << 20) /* of the pool */

/* The least pool that the core runs with, for this machine's memory. */
uint64_t plan_pool_least(const struct efi_map *map);

/* The pool's size without pool=. */
uint64_t plan_pool_default(const struct efi_map *map);

/* Where to look for a place, the best first. */
struct plan_place {
	uint64_t min, max;
	bool from_top;
};
#define PLAN_POOL_PLACES 2
extern const struct plan_place plan_pool_places[PLAN_POOL_PLACES], plan_image_place,
	plan_startup_place;

#endif
