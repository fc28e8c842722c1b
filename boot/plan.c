/* SPDX-License-Identifier: BSD-2-Clause */
/* See plan.h. */
#include "boot/plan.h"

#define LOW_MEMORY (1ull << 20)
#define BELOW_4G (1ull << 32)

#define DEFAULT_MIN (16ull << 20)
/* Up to so much RAM the pool is 1/64 of it, of what is beyond that 1/256. */
#define STEEP_BYTES (64ull << 30)
#define STEEP_SHARE 64
#define FLAT_SHARE 256
/* The core lays out 0.2% of RAM at most, 8 bytes a 2 MiB of the address space up to its end, and runs with this. */
#define METADATA_SHARE 512
#define SPAN_SHIFT 18
#define LEAST (1ull << 20)
/* It numbers at most 2^20 pages of 4 KiB, with 136 bytes of records for each. */
#define PAGES_BYTES ((1ull << 20) * (4096 + 136))

const struct plan_place plan_pool_places[PLAN_POOL_PLACES] = {
	/* What is below 4 GiB is dear to guests and their devices; near it is mostly the first node. */
	{BELOW_4G, UINT64_MAX, false},
	{LOW_MEMORY, BELOW_4G, true},
};
const struct plan_place plan_image_place = {LOW_MEMORY, BELOW_4G, true};
/*
 * Start-up vectors are page numbers; those from 0xa0 on are reserved (SDM vol. 3 sections 8.4.3 and 10.6.1). The uppermost page is where
 * a firmware that the guest starts again (reboot=bios) puts its own start-up code: in OVMF whatever the memory map says.
 */
const struct plan_place plan_startup_place = {0x1000, 0x90000, true};

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + PLAN_ALIGNMENT - 1) & ~(PLAN_ALIGNMENT - 1);
}

static uint64_t metadata(const struct efi_map *map)
{
	return map_usable_bytes(map) / METADATA_SHARE + (map_ram_end(map) >> SPAN_SHIFT);
}

uint64_t plan_pool_least(const struct efi_map *map)
{
	return round_up(metadata(map) + LEAST);
}

uint64_t plan_pool_default(const struct efi_map *map)
{
	uint64_t ram = map_usable_bytes(map), steep = ram < STEEP_BYTES ? ram : STEEP_BYTES;
	uint64_t bytes = steep / STEEP_SHARE + (ram - steep) / FLAT_SHARE;
	uint64_t most = metadata(map) + PAGES_BYTES, least = plan_pool_least(map);

	if (bytes < DEFAULT_MIN)
		bytes = DEFAULT_MIN;
	if (bytes < least)
		bytes = least;
	return round_up(bytes < most ? bytes : most);
}
