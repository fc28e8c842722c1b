/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 4-level page tables written into memory set aside beforehand: the guest's
 * identity tables and the hypervisor's first ones. Everything present and
 * writable, nothing no-execute: the hypervisor replaces its own at once, and
 * so does Linux.
 */
#ifndef BOOT_PAGE_TABLES_H
#define BOOT_PAGE_TABLES_H

#include "boot/efi_map.h"

struct page_tables {
	uint64_t root;      /* address of the PML4 */
	uint64_t next, end; /* pages not used yet */
};

/* Framebuffer and UART */
#define PHYSICAL_MORE 2

/* The physical memory that tables map, by units of 1 GiB: the lowest four, all with RAM, and some ranges more. */
struct physical {
	const struct efi_map *firmware;
	struct map_extent more[PHYSICAL_MORE]; /* base = end: none */
	bool pages_1g; /* units that are RAM throughout in one page, where the memory's type is one */
};

/* Tables for it, the PML4 included. */
uint64_t page_tables_pages(const struct physical *physical);

/* Further pages for bytes of 4 KiB pages at an address of their own. */
uint64_t page_tables_pages_4k(uint64_t bytes);

/* Zeroed memory of count pages at base; takes the first for the PML4. */
void page_tables_init(struct page_tables *tables, uint64_t base, uint64_t count);

/* Maps it at its own addresses. False when out of pages. */
bool page_tables_map_physical(struct page_tables *tables, const struct physical *physical);

/* Maps bytes from physical at virtual in 4 KiB pages. False when out of pages. */
bool page_tables_map_4k(struct page_tables *tables, uint64_t virtual, uint64_t physical,
			uint64_t bytes);

/* Makes the lower half of the address space appear from DIRECT_MAP_BASE on too, as far as DIRECT_MAP_BYTES. */
void page_tables_alias(struct page_tables *tables);

#endif
