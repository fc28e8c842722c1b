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
#define SIZE_4G (1ull << 32)
#define NONE UINT64_MAX

static uint64_t divide_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit;
}

/* The unit that holds the lowest address from at on which is to be mapped, or NONE. at: a unit's base. */
static uint64_t next_unit(const struct physical *physical, uint64_t at)
{
	uint64_t next = map_ram_next(physical->firmware, at);
	uint32_t i;

	if (at < SIZE_4G)
		return at;
	for (i = 0; i < PHYSICAL_MORE; i++) {
		const struct map_extent *more = &physical->more[i];

		if (more->end > at && more->end > more->base && next > at)
			next = more->base > at ? (more->base < next ? more->base : next) : at;
	}
	return next == NONE ? NONE : next & ~(SIZE_1G - 1);
}

/* Is one page right for the unit? The lowest ones have memory of several types. */
static bool is_large(const struct physical *physical, uint64_t unit)
{
	return physical->pages_1g && unit >= SIZE_4G &&
	       map_ram_from(physical->firmware, unit) >= unit + SIZE_1G;
}

uint64_t page_tables_pages(const struct physical *physical)
{
	uint64_t pages = 1, top = NONE, unit;

	for (unit = next_unit(physical, 0); unit != NONE; unit = next_unit(physical, unit + SIZE_1G)) {
		pages += unit / SIZE_512G != top;
		top = unit / SIZE_512G;
		pages += !is_large(physical, unit);
	}
	return pages;
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

static bool map_unit(struct page_tables *tables, uint64_t unit, int level)
{
	uint64_t step = level == 3 ? SIZE_1G : SIZE_2M, at;

	for (at = unit; at < unit + SIZE_1G; at += step) {
		uint64_t *entry = find_entry(tables, at, level);

		if (!entry)
			return false;
		*entry = at | PTE_PRESENT | PTE_WRITABLE | PTE_LARGE;
	}
	return true;
}

bool page_tables_map_physical(struct page_tables *tables, const struct physical *physical)
{
	uint64_t unit;

	for (unit = next_unit(physical, 0); unit != NONE; unit = next_unit(physical, unit + SIZE_1G))
		if (!map_unit(tables, unit, is_large(physical, unit) ? 3 : 2))
			return false;
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

void page_tables_alias(struct page_tables *tables)
{
	uint64_t *root = table_at(tables->root), i;

	for (i = 0; i < DIRECT_MAP_BYTES / SIZE_512G; i++)
		root[(DIRECT_MAP_BASE >> 39 & 511) + i] = root[i];
}
