/* SPDX-License-Identifier: BSD-2-Clause */
/* Remembered page allocations and the firmware's memory map; see memory.h. */
#include "boot/memory.h"

#define MAX_ALLOCATIONS 256
/* Descriptors more than the map has now: each allocation may add two. */
#define MAP_SLACK 64
#define PLACE_TRIES 4
#define BELOW_4G (1ull << 32)

static struct {
	EFI_PHYSICAL_ADDRESS base;
	UINTN pages;
} allocations[MAX_ALLOCATIONS];
static uint32_t allocation_count;

static bool allocate_type(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, uint64_t bytes,
			  EFI_PHYSICAL_ADDRESS *base)
{
	UINTN pages = PAGES_OF(bytes);

	if (!pages || allocation_count == MAX_ALLOCATIONS)
		return false;
	if (EFI_ERROR(BS->AllocatePages(how, type, pages, base)))
		return false;
	allocations[allocation_count].base = *base;
	allocations[allocation_count++].pages = pages;
	return true;
}

static bool allocate(EFI_ALLOCATE_TYPE how, uint64_t bytes, EFI_PHYSICAL_ADDRESS *base)
{
	return allocate_type(how, EfiLoaderData, bytes, base);
}

void *memory_alloc(uint64_t bytes)
{
	EFI_PHYSICAL_ADDRESS base = 0;

	if (!allocate(AllocateAnyPages, bytes, &base))
		return NULL;
	ZeroMem(at_address(base), PAGES_OF(bytes) * PAGE_BYTES);
	return at_address(base);
}

void *memory_alloc_to_stay(EFI_MEMORY_TYPE type, uint64_t bytes)
{
	EFI_PHYSICAL_ADDRESS base = BELOW_4G - 1;

	if (!allocate_type(AllocateMaxAddress, type, bytes, &base))
		return NULL;
	ZeroMem(at_address(base), PAGES_OF(bytes) * PAGE_BYTES);
	return at_address(base);
}

void memory_free(void *p)
{
	uint32_t i;

	for (i = 0; p && i < allocation_count; i++) {
		if (allocations[i].base != address_of(p))
			continue;
		BS->FreePages(allocations[i].base, allocations[i].pages);
		allocations[i] = allocations[--allocation_count];
		return;
	}
}

void memory_free_all(void)
{
	while (allocation_count) {
		allocation_count--;
		BS->FreePages(allocations[allocation_count].base,
			      allocations[allocation_count].pages);
	}
}

bool memory_claim(uint64_t base, uint64_t bytes)
{
	EFI_PHYSICAL_ADDRESS address = base;

	return allocate(AllocateAddress, bytes, &address);
}

bool memory_claim_free(uint64_t base, uint64_t bytes)
{
	uint64_t end = ROUND_UP(base + bytes, PAGE_BYTES), at;
	struct firmware_map fw;
	struct boot_error ignored;
	bool claimed = true;

	base &= ~(PAGE_BYTES - 1);
	if (!firmware_map_init(&fw, &ignored))
		return false;
	for (at = base; at < end && claimed;) {
		uint64_t size = map_free_at(&fw.map, at, end);

		if (size)
			claimed = memory_claim(at, size);
		at += size ? size : PAGE_BYTES;
	}
	memory_free(fw.buffer);
	return claimed;
}

/*
 * Some firmware (EDK2 of 2025) calls memory free that it keeps for kinds of its own and does not give
 * to who asks for it by address. Asked for the highest place it knows better.
 */
static bool place_by_firmware(const struct placement *where, uint64_t *base)
{
	uint64_t bytes = where->bytes + where->alignment - PAGE_BYTES;
	EFI_PHYSICAL_ADDRESS address = where->max - 1;

	if (!allocate(AllocateMaxAddress, bytes, &address))
		return false;
	memory_free(at_address(address));
	*base = ROUND_UP(address, where->alignment);
	return address >= where->min && memory_claim(*base, where->bytes);
}

bool memory_place(const struct placement *where, uint64_t *base)
{
	struct firmware_map fw;
	struct boot_error ignored;
	bool placed = false;
	int tries;

	if (!firmware_map_init(&fw, &ignored))
		return false;
	for (tries = 0; tries < PLACE_TRIES && !placed; tries++) {
		if (EFI_ERROR(firmware_map_read(&fw)) ||
		    !map_find_free(&fw.map, where->bytes, where->alignment, where->min, where->max,
				   where->from_top, base))
			break;
		placed = memory_claim(*base, where->bytes);
	}
	memory_free(fw.buffer);
	return placed || (where->from_top && place_by_firmware(where, base));
}

EFI_STATUS firmware_map_read(struct firmware_map *fw)
{
	UINTN size = fw->buffer_size, stride = 0;
	EFI_STATUS status;

	status = BS->GetMemoryMap(&size, fw->buffer, &fw->key, &stride, &fw->version);
	if (EFI_ERROR(status))
		return status;
	if (stride < sizeof(struct efi_descriptor))
		return EFI_INCOMPATIBLE_VERSION;
	fw->map.descriptors = fw->buffer;
	fw->map.count = (uint32_t)(size / stride);
	fw->map.stride = (uint32_t)stride;
	fw->capacity = (uint32_t)(fw->buffer_size / stride);
	return EFI_SUCCESS;
}

bool firmware_map_init(struct firmware_map *fw, struct boot_error *error)
{
	UINTN size = 0, stride = 0;
	EFI_STATUS status;

	*fw = (struct firmware_map){.buffer = NULL};
	status = BS->GetMemoryMap(&size, NULL, &fw->key, &stride, &fw->version);
	if (status == EFI_BUFFER_TOO_SMALL && stride) {
		fw->buffer_size = ROUND_UP(size + MAP_SLACK * stride, PAGE_BYTES);
		fw->buffer = memory_alloc(fw->buffer_size);
	}
	if (fw->buffer && !EFI_ERROR(firmware_map_read(fw)))
		return true;
	memory_free(fw->buffer);
	return boot_error_set(error, "the firmware gives no memory map; reset the machine");
}
