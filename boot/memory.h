/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware's memory: allocations that are remembered, so that every way out
 * with an error gives back everything, and the memory map.
 */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include "boot/efi_map.h"
#include "boot/uefi.h"

/* Zeroed pages of type EfiLoaderData, anywhere; NULL when there are none. */
void *memory_alloc(uint64_t bytes);

/* Zeroed pages of that type below 4 GiB, for what stays when the firmware is left; NULL when there are none. */
void *memory_alloc_to_stay(EFI_MEMORY_TYPE type, uint64_t bytes);

/* Gives one allocation back; NULL is allowed. */
void memory_free(void *p);

/* Gives back everything still allocated. */
void memory_free_all(void);

/* Allocates exactly [base, base + bytes) as EfiLoaderData, not zeroed; false if it is not free. */
bool memory_claim(uint64_t base, uint64_t bytes);

/*
 * Claims whatever is free of [base, base + bytes), whose ends need not be page
 * aligned, so that nothing that must live on is put there. What the firmware's
 * boot services still use of it is free only once they are gone.
 */
bool memory_claim_free(uint64_t base, uint64_t bytes);

/* What map_find_free() takes, for memory_place(). */
struct placement {
	uint64_t bytes, alignment, min, max;
	bool from_top;
};

/* Finds a free place and claims it. */
bool memory_place(const struct placement *where, uint64_t *base);

/* A buffer for the firmware's map, with room to grow, and what was read last. */
struct firmware_map {
	struct efi_map map;
	UINTN key;
	UINT32 version;
	void *buffer;
	UINTN buffer_size;
	uint32_t capacity; /* descriptors that fit in the buffer */
};

/* Allocates the buffer and reads the map. */
bool firmware_map_init(struct firmware_map *fw, struct boot_error *error);

/* Reads the map again into the same buffer: no allocation, so it may follow a failed ExitBootServices(). */
EFI_STATUS firmware_map_read(struct firmware_map *fw);

#endif
