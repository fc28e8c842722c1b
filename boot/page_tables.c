/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables for boot/; see page_tables.h and SDM vol. 3 section 4.5. */
#include "boot/page_tables.h"

#include <stddef.h>

#define PTE_PRESENT 1ull
#define PTE_WRITABLE 2ull
#define PTE_LARGE (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull
#define PAGE 4096ull
#define SIZE_2M (1ull << 21)
#define SIZE_1G (1ull << 30)
#define SIZE_512G (1ull << 39)

static uint64_t divide_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit;
}

uint64_t page_tables_pages(uint64_t extent)
{
	return 1 + divide_up(extent, SIZE_512G) + divide_up(extent, SIZE_1G);
}

uint64_t page_tables_pages_4k(uint64_t bytes)
{
	/* one more at each level, for a range that does not begin at its boundary */
	return divide_up(bytes, SIZE_2M) + 1 + divide_up(bytes, SIZE_1G) + 1 +
	       divide_up(bytes, SIZE_512G) + 1;
}

static uint64_t *table_at(uint64_t address)
{
	return (uint64_t *)(uintptr_t)address;
}

void page_tables_init(struct page_tables *tables, uint64_t base, uint64_t count)
{
	*tables = (struct page_tables){base, base + PAGE, base + count * PAGE};
}

/* The entry for virtual at a level (1: page table, 4: PML4), making tables on the way; NULL when out of pages. */
static uint64_t *find_entry(struct page_tables *tables, uint64_t virtual, int level)
{
	uint64_t table = tables->root;
	int at;

	for (at = 4;; at--) {
		uint64_t *entry = &table_at(table)[virtual >> (12 + 9 * (at - 1)) & 511];

		if (at == level)
			return entry;
		if (!(*entry & PTE_PRESENT)) {
			if (tables->next == tables->end)
				return NULL;
			*entry = tables->next | PTE_PRESENT | PTE_WRITABLE;
			tables->next += PAGE;
		}
		table = *entry & PTE_ADDRESS;
	}
}

bool page_tables_map_physical(struct page_tables *tables, uint64_t base, uint64_t extent)
{
	uint64_t at;

	for (at = 0; at < extent; at += SIZE_2M) {
		uint64_t *entry = find_entry(tables, base + at, 2);

		if (!entry)
			return false;
		*entry = at | PTE_PRESENT | PTE_WRITABLE | PTE_LARGE;
	}
	return true;
}

bool page_tables_map_4k(struct page_tables *tables, uint64_t virtual, uint64_t physical,
			uint64_t bytes)
{
	uint64_t at;

	for (at = 0; at < bytes; at += PAGE) {
		uint64_t *entry = find_entry(tables, virtual + at, 1);

		if (!entry)
			return false;
		*entry = (physical + at) | PTE_PRESENT | PTE_WRITABLE;
	}
	return true;
}

void page_tables_alias(struct page_tables *tables, uint64_t from, uint64_t to, uint64_t extent)
{
	uint64_t *root = table_at(tables->root), i;

	for (i = 0; i < divide_up(extent, SIZE_512G); i++)
		root[((to >> 39) + i) & 511] = root[((from >> 39) + i) & 511];
}
