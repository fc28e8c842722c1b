/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 4-level page tables written into memory set aside beforehand: the guest's
 * identity tables and the hypervisor's first ones. Everything present and
 * writable, nothing no-execute: the hypervisor replaces its own at once, and
 * so does Linux.
 */
#ifndef BOOT_PAGE_TABLES_H
#define BOOT_PAGE_TABLES_H

#include <stdbool.h>
#include <stdint.h>

struct page_tables {
	uint64_t root;      /* address of the PML4 */
	uint64_t next, end; /* pages not used yet */
};

/* Pages for physical memory from 0 to extent in 2 MiB pages, the PML4 included. */
uint64_t page_tables_pages(uint64_t extent);

/* Further pages for bytes of 4 KiB pages at an address of their own. */
uint64_t page_tables_pages_4k(uint64_t bytes);

/* Zeroed memory of count pages at base; takes the first for the PML4. */
void page_tables_init(struct page_tables *tables, uint64_t base, uint64_t count);

/* Maps [0, extent) at address base, which is a multiple of 512 GiB. False when out of pages. */
bool page_tables_map_physical(struct page_tables *tables, uint64_t base, uint64_t extent);

/* Maps bytes from physical at virtual in 4 KiB pages. False when out of pages. */
bool page_tables_map_4k(struct page_tables *tables, uint64_t virtual, uint64_t physical,
			uint64_t bytes);

/* Makes the top-level slots from address to on the same as those from address from on. */
void page_tables_alias(struct page_tables *tables, uint64_t from, uint64_t to, uint64_t extent);

#endif
