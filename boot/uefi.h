/* SPDX-License-Identifier: BSD-2-Clause */
/* What every file of boot/ that talks to the firmware includes. Not for the host tests. */
#ifndef BOOT_UEFI_H
#define BOOT_UEFI_H

#include <efi.h>
#include <efilib.h>

#include "boot/boot_info.h"
#include "boot/text.h"

#define PAGE_BYTES 4096ull
#define PAGES_OF(bytes) (((bytes) + PAGE_BYTES - 1) / PAGE_BYTES)
#define ROUND_UP(x, a) (((x) + (a)-1) & ~((uint64_t)(a)-1))
#define MIB_OF(bytes) ((unsigned long long)((bytes) + (1u << 20) - 1) >> 20)

/* Until ExitBootServices() everything is identity mapped: an address is a pointer. */
static inline void *at_address(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static inline uint64_t address_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

#endif
