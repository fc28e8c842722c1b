/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory maps: fixed cases, and random firmware maps against an oracle that
 * keeps one cell per page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/guest_map.h"

#define PAGE_BYTES 4096ull
#define STRIDE 48u /* what EDK II uses: more than the structure */
#define MAX_DESCRIPTORS 400
#define MAX_RANGES (2 * MAX_DESCRIPTORS + 5)

static char firmware[MAX_DESCRIPTORS * STRIDE];
static struct efi_map map;
static struct boot_range ranges[MAX_RANGES];
static struct e820_entry first[128], rest[MAX_RANGES];
static uint32_t range_count, first_count, rest_count;

static int clear_map(void **state)
{
	memset(firmware, 0, sizeof(firmware));
	map = (struct efi_map){firmware, 0, STRIDE};
	return 0;
}

static void add(uint32_t type, uint64_t page, uint64_t pages, uint64_t attributes)
{
	struct efi_descriptor d = {type, 0, page * PAGE_BYTES, 0, pages, attributes};

	assert_true(map.count < MAX_DESCRIPTORS);
	memcpy(firmware + map.count++ * STRIDE, &d, sizeof(d));
}

static const struct efi_descriptor *descriptor(const void *base, uint32_t i)
{
	return (const struct efi_descriptor *)((const char *)base + i * STRIDE);
}

static void build(const struct map_hidden *hidden, uint32_t hidden_count)
{
	assert_true(
		map_build(ranges, 2 * map.count + 2 * hidden_count + 1, &range_count, &map, hidden, hidden_count));
}

static void assert_range(uint32_t i, uint64_t page, uint64_t pages, uint32_t kind, uint32_t type)
{
	assert_true(i < range_count);
	assert_int_equal(ranges[i].base / PAGE_BYTES, page);
	assert_int_equal(ranges[i].size / PAGE_BYTES, pages);
	assert_int_equal(ranges[i].kind, kind);
	assert_int_equal(ranges[i].efi_type, type);
}

static void every_efi_type_has_its_kind(void **state)
{
	static const uint32_t kinds[] = {
		BOOT_MEM_RESERVED, BOOT_MEM_USABLE,   BOOT_MEM_USABLE, BOOT_MEM_USABLE,   BOOT_MEM_USABLE,
		BOOT_MEM_FIRMWARE, BOOT_MEM_FIRMWARE, BOOT_MEM_USABLE, BOOT_MEM_RESERVED, BOOT_MEM_FIRMWARE,
		BOOT_MEM_FIRMWARE, BOOT_MEM_MMIO,     BOOT_MEM_MMIO,   BOOT_MEM_RESERVED, BOOT_MEM_RESERVED,
		BOOT_MEM_RESERVED, BOOT_MEM_RESERVED,
	};
	uint32_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		assert_int_equal(map_kind_of(i), kinds[i]);
	assert_int_equal(map_kind_of(0x80000001), BOOT_MEM_RESERVED);
}

static void ranges_are_sorted_and_merged(void **state)
{
	add(EFI_KIND_CONVENTIONAL, 100, 10, 0);
	add(EFI_KIND_CONVENTIONAL, 0, 50, 0);
	add(EFI_KIND_LOADER_DATA, 60, 40, 0);
	add(EFI_KIND_CONVENTIONAL, 50, 10, 0);
	add(EFI_KIND_MMIO, 200, 1, 0);
	add(EFI_KIND_CONVENTIONAL, 300, 0, 0);
	build(NULL, 0);
	assert_int_equal(range_count, 4);
	assert_range(0, 0, 60, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL);
	assert_range(1, 60, 40, BOOT_MEM_USABLE, EFI_KIND_LOADER_DATA);
	assert_range(2, 100, 10, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL);
	assert_range(3, 200, 1, BOOT_MEM_MMIO, EFI_KIND_MMIO);
}

static void the_more_restricted_kind_wins_an_overlap(void **state)
{
	add(EFI_KIND_RESERVED, 10, 10, 0);
	add(EFI_KIND_CONVENTIONAL, 0, 100, 0);
	add(EFI_KIND_ACPI_NVS, 15, 10, 0);
	build(NULL, 0);
	assert_int_equal(range_count, 4);
	assert_range(0, 0, 10, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL);
	assert_range(1, 10, 10, BOOT_MEM_RESERVED, EFI_KIND_RESERVED);
	assert_range(2, 20, 5, BOOT_MEM_FIRMWARE, EFI_KIND_ACPI_NVS);
	assert_range(3, 25, 75, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL);
}

static const struct map_hidden two_hidden[] = {
	{20 * PAGE_BYTES, 5 * PAGE_BYTES, BOOT_MEM_HV_IMAGE},
	{40 * PAGE_BYTES, 8 * PAGE_BYTES, BOOT_MEM_HV_POOL},
};

static void assert_e820(uint32_t i, uint64_t page, uint64_t pages, uint32_t type)
{
	assert_true(i < first_count);
	assert_int_equal(first[i].base / PAGE_BYTES, page);
	assert_int_equal(first[i].size / PAGE_BYTES, pages);
	assert_int_equal(first[i].type, type);
}

static void assert_descriptor(const void *out, uint32_t i, uint32_t type, uint64_t page, uint64_t pages,
			      uint64_t attributes)
{
	const struct efi_descriptor *d = descriptor(out, i);

	assert_int_equal(d->type, type);
	assert_int_equal(d->physical / PAGE_BYTES, page);
	assert_int_equal(d->pages, pages);
	assert_int_equal(d->attributes, attributes);
}

static void hidden_ranges_are_reserved_everywhere(void **state)
{
	static char out[8 * STRIDE];
	uint32_t count;

	add(EFI_KIND_LOADER_DATA, 0, 100, 0xf);
	build(two_hidden, 2);
	assert_int_equal(range_count, 5);
	assert_range(1, 20, 5, BOOT_MEM_HV_IMAGE, EFI_KIND_LOADER_DATA);
	assert_range(3, 40, 8, BOOT_MEM_HV_POOL, EFI_KIND_LOADER_DATA);
	assert_true(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 0, &rest_count));
	assert_int_equal(first_count, 5);
	assert_e820(0, 0, 20, E820_RAM);
	assert_e820(1, 20, 5, E820_RESERVED);
	assert_e820(2, 25, 15, E820_RAM);
	assert_e820(3, 40, 8, E820_RESERVED);
	assert_e820(4, 48, 52, E820_RAM);
	assert_true(map_guest_efi(out, 5, &count, &map, two_hidden, 2));
	assert_int_equal(count, 5);
	assert_descriptor(out, 0, EFI_KIND_LOADER_DATA, 0, 20, 0xf);
	assert_descriptor(out, 1, EFI_KIND_RESERVED, 20, 5, 0xf);
	assert_descriptor(out, 2, EFI_KIND_LOADER_DATA, 25, 15, 0xf);
	assert_descriptor(out, 3, EFI_KIND_RESERVED, 40, 8, 0xf);
	assert_descriptor(out, 4, EFI_KIND_LOADER_DATA, 48, 52, 0xf);
	assert_false(map_guest_efi(out, 4, &count, &map, two_hidden, 2));
}

static void a_hidden_range_beside_reserved_memory_is_one_entry_with_it(void **state)
{
	static char out[8 * STRIDE];
	uint32_t count;

	add(EFI_KIND_CONVENTIONAL, 0, 25, 0xf);
	add(EFI_KIND_RESERVED, 25, 15, 0xf);
	add(EFI_KIND_LOADER_DATA, 40, 8, 0xf);
	add(EFI_KIND_LOADER_DATA, 42, 0, 0xf);
	build(two_hidden, 2);
	assert_true(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 0, &rest_count));
	assert_int_equal(first_count, 2);
	assert_e820(1, 20, 28, E820_RESERVED);
	assert_true(map_guest_efi(out, 8, &count, &map, two_hidden, 2));
	assert_int_equal(count, 2);
	assert_descriptor(out, 1, EFI_KIND_RESERVED, 20, 28, 0xf);
}

static void a_hidden_range_may_span_descriptors_and_come_in_any_order(void **state)
{
	static const struct map_hidden hidden[] = {
		{40 * PAGE_BYTES, 20 * PAGE_BYTES, BOOT_MEM_HV_POOL},
		{10 * PAGE_BYTES, 30 * PAGE_BYTES, BOOT_MEM_HV_IMAGE},
	};
	static char out[8 * STRIDE];
	uint32_t count;

	add(EFI_KIND_LOADER_DATA, 30, 15, 0);
	add(EFI_KIND_CONVENTIONAL, 0, 30, 0);
	add(EFI_KIND_RUNTIME_DATA, 45, 20, EFI_ATTRIBUTE_RUNTIME);
	build(hidden, 2);
	assert_int_equal(range_count, 4);
	assert_range(0, 0, 10, BOOT_MEM_USABLE, EFI_KIND_CONVENTIONAL);
	assert_range(1, 10, 30, BOOT_MEM_HV_IMAGE, EFI_KIND_LOADER_DATA);
	assert_range(2, 40, 20, BOOT_MEM_HV_POOL, EFI_KIND_LOADER_DATA);
	assert_range(3, 60, 5, BOOT_MEM_FIRMWARE, EFI_KIND_RUNTIME_DATA);
	assert_true(map_guest_efi(out, 8, &count, &map, hidden, 2));
	assert_int_equal(count, 3);
	assert_descriptor(out, 0, EFI_KIND_CONVENTIONAL, 0, 10, 0);
	assert_descriptor(out, 1, EFI_KIND_RESERVED, 10, 50, 0);
	assert_descriptor(out, 2, EFI_KIND_RUNTIME_DATA, 60, 5, EFI_ATTRIBUTE_RUNTIME);
}

static void e820_types_follow_the_efi_types(void **state)
{
	static const uint32_t types[][2] = {
		{EFI_KIND_BOOT_CODE, E820_RAM},       {EFI_KIND_RUNTIME_CODE, E820_RESERVED},
		{EFI_KIND_ACPI_RECLAIM, E820_ACPI},   {EFI_KIND_ACPI_NVS, E820_NVS},
		{EFI_KIND_UNUSABLE, E820_UNUSABLE},   {EFI_KIND_PERSISTENT, E820_PMEM},
		{EFI_KIND_MMIO, E820_RESERVED},       {EFI_KIND_LOADER_CODE, E820_RAM},
		{EFI_KIND_UNACCEPTED, E820_RESERVED}, {EFI_KIND_CONVENTIONAL, E820_RAM},
	};
	uint32_t i, n = sizeof(types) / sizeof(types[0]);

	for (i = 0; i < n; i++)
		add(types[i][0], i * 2, 1, 0);
	build(NULL, 0);
	assert_true(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 0, &rest_count));
	assert_int_equal(first_count, n);
	for (i = 0; i < n; i++)
		assert_int_equal(first[i].type, types[i][1]);
}

static void e820_neighbours_of_one_type_are_merged(void **state)
{
	add(EFI_KIND_LOADER_CODE, 0, 1, 0);
	add(EFI_KIND_CONVENTIONAL, 1, 1, 0);
	add(EFI_KIND_BOOT_DATA, 2, 1, 0);
	build(NULL, 0);
	assert_int_equal(range_count, 3);
	assert_true(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 0, &rest_count));
	assert_int_equal(first_count, 1);
	assert_int_equal(first[0].size, 3 * PAGE_BYTES);
}

static void more_than_128_entries_spill_over(void **state)
{
	uint32_t i;

	for (i = 0; i < 200; i++)
		add(EFI_KIND_CONVENTIONAL, i * 2, 1, 0);
	build(NULL, 0);
	assert_true(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 72, &rest_count));
	assert_int_equal(first_count, 128);
	assert_int_equal(rest_count, 72);
	assert_int_equal(rest[0].base, 256 * PAGE_BYTES);
	assert_int_equal(rest[71].base, 398 * PAGE_BYTES);
	assert_false(map_to_e820(ranges, range_count, first, 128, &first_count, rest, 71, &rest_count));
}

static void runtime_descriptors_are_not_merged(void **state)
{
	static char out[8 * STRIDE];
	uint32_t count;

	add(EFI_KIND_RUNTIME_DATA, 0, 1, EFI_ATTRIBUTE_RUNTIME | 8);
	add(EFI_KIND_RUNTIME_DATA, 1, 1, EFI_ATTRIBUTE_RUNTIME | 8);
	add(EFI_KIND_BOOT_DATA, 3, 1, 8);
	add(EFI_KIND_BOOT_DATA, 2, 1, 8);
	add(EFI_KIND_BOOT_DATA, 4, 1, 4);
	assert_true(map_guest_efi(out, 8, &count, &map, NULL, 0));
	assert_int_equal(count, 4);
	assert_int_equal(descriptor(out, 2)->physical, 2 * PAGE_BYTES);
	assert_int_equal(descriptor(out, 2)->pages, 2);
	assert_int_equal(descriptor(out, 3)->attributes, 4);
}

static void monstrous_descriptors_are_cut_down(void **state)
{
	add(EFI_KIND_MMIO, 1, UINT64_MAX, 0);
	add(EFI_KIND_RESERVED, (1ull << 52) / PAGE_BYTES, 10, 0);
	add(EFI_KIND_CONVENTIONAL, UINT64_MAX / PAGE_BYTES, UINT64_MAX, 0);
	build(NULL, 0);
	assert_int_equal(range_count, 1);
	assert_range(0, 1, (1ull << 40) - 1, BOOT_MEM_MMIO, EFI_KIND_MMIO);
	assert_int_equal(map_usable_bytes(&map), 0);
	assert_int_equal(map_ram_end(&map), 0);
}

static void too_small_arrays_are_reported(void **state)
{
	add(EFI_KIND_CONVENTIONAL, 0, 100, 0);
	assert_false(map_build(ranges, 4, &range_count, &map, two_hidden, 2));
	assert_true(map_build(ranges, 5, &range_count, &map, two_hidden, 2));
}

static void free_places_are_found(void **state)
{
	uint64_t base;

	add(EFI_KIND_CONVENTIONAL, 0x900, 0x100, 0);
	add(EFI_KIND_CONVENTIONAL, 0x101, 0x6ff, 0);
	add(EFI_KIND_LOADER_DATA, 0xa00, 0x1000, 0);
	assert_true(map_find_free(&map, 2 << 20, 2 << 20, 0, UINT64_MAX, false, &base));
	assert_int_equal(base, 0x200000);
	assert_true(map_find_free(&map, 2 << 20, 2 << 20, 0, UINT64_MAX, true, &base));
	assert_int_equal(base, 0x600000);
	assert_true(map_find_free(&map, 4096, 4096, 0, UINT64_MAX, true, &base));
	assert_int_equal(base, 0x9ff000);
	assert_true(map_find_free(&map, 4096, 4096, 0, 0x900000, true, &base));
	assert_int_equal(base, 0x7ff000);
	assert_true(map_find_free(&map, 4096, 4096, 0x300001, 0x900000, false, &base));
	assert_int_equal(base, 0x301000);
	assert_false(map_find_free(&map, 0x700000, 4096, 0, UINT64_MAX, true, &base));
	assert_false(map_find_free(&map, 2 << 20, 2 << 20, 0, 0x300000, true, &base));
	assert_false(map_find_free(&map, 4096, 4096, 0xa00000, UINT64_MAX, false, &base));
}

static void ram_is_counted(void **state)
{
	add(EFI_KIND_CONVENTIONAL, 0, 100, 0);
	add(EFI_KIND_BOOT_CODE, 200, 10, 0);
	add(EFI_KIND_ACPI_RECLAIM, 300, 5, 0);
	add(EFI_KIND_RESERVED, 0xfd00000, 1, 0);
	assert_int_equal(map_usable_bytes(&map), 110 * PAGE_BYTES);
	assert_int_equal(map_ram_end(&map), 305 * PAGE_BYTES);
}

#define CELLS 256u

/* The kind each page must have, by the rules of map_build(). */
static void paint(uint32_t *cells, const struct map_hidden *hidden, uint32_t hidden_count)
{
	static const uint32_t order[] = {BOOT_MEM_USABLE, BOOT_MEM_FIRMWARE, BOOT_MEM_RESERVED, BOOT_MEM_MMIO};
	uint32_t o, i, page;

	memset(cells, 0, CELLS * sizeof(*cells));
	for (o = 0; o < 4; o++) {
		for (i = 0; i < map.count; i++) {
			const struct efi_descriptor *d = descriptor(firmware, i);

			for (page = 0; map_kind_of(d->type) == order[o] && page < d->pages; page++)
				cells[d->physical / PAGE_BYTES + page] = d->type << 8 | order[o];
		}
	}
	for (i = 0; i < hidden_count; i++)
		for (page = 0; page < hidden[i].size / PAGE_BYTES; page++)
			cells[hidden[i].base / PAGE_BYTES + page] = EFI_KIND_LOADER_DATA << 8 | hidden[i].kind;
}

static void assert_ranges_match(const uint32_t *cells)
{
	uint32_t i, page = 0;

	for (i = 0; i < range_count; i++) {
		uint32_t start = (uint32_t)(ranges[i].base / PAGE_BYTES);
		uint32_t end = start + (uint32_t)(ranges[i].size / PAGE_BYTES);

		assert_true(start >= page && end > start && end <= CELLS);
		for (; page < start; page++)
			assert_int_equal(cells[page], 0);
		for (; page < end; page++)
			assert_int_equal(cells[page], ranges[i].efi_type << 8 | ranges[i].kind);
		if (i)
			assert_false(ranges[i - 1].base + ranges[i - 1].size == ranges[i].base &&
				     ranges[i - 1].kind == ranges[i].kind &&
				     ranges[i - 1].efi_type == ranges[i].efi_type);
	}
	for (; page < CELLS; page++)
		assert_int_equal(cells[page], 0);
}

static void assert_e820_matches(const uint32_t *cells)
{
	uint8_t seen[CELLS] = {0};
	uint32_t i, page;

	for (i = 0; i < first_count + rest_count; i++) {
		const struct e820_entry *e = i < first_count ? &first[i] : &rest[i - first_count];

		for (page = 0; page < e->size / PAGE_BYTES; page++) {
			uint32_t cell = cells[e->base / PAGE_BYTES + page];

			assert_int_equal(e->type == E820_RAM, (cell & 0xff) == BOOT_MEM_USABLE);
			seen[e->base / PAGE_BYTES + page]++;
		}
	}
	for (page = 0; page < CELLS; page++)
		assert_int_equal(seen[page], cells[page] != 0);
}

static bool is_hidden(uint32_t cell)
{
	return (cell & 0xff) == BOOT_MEM_HV_IMAGE || (cell & 0xff) == BOOT_MEM_HV_POOL;
}

/* Every page of every firmware descriptor is there once, with its type or hidden as reserved. */
static void assert_efi_matches(const char *out, uint32_t count, const uint32_t *cells)
{
	int balance[CELLS] = {0};
	uint32_t i, page;

	for (i = 0; i < map.count; i++) {
		const struct efi_descriptor *d = descriptor(firmware, i);

		for (page = 0; page < d->pages; page++) {
			uint64_t at = d->physical / PAGE_BYTES + page;

			balance[at] += 1 + (int)(is_hidden(cells[at]) ? EFI_KIND_RESERVED : d->type) * 16;
		}
	}
	for (i = 0; i < count; i++) {
		const struct efi_descriptor *d = descriptor(out, i);

		assert_true(d->pages > 0);
		if (i)
			assert_true(descriptor(out, i - 1)->physical <= d->physical);
		for (page = 0; page < d->pages; page++)
			balance[d->physical / PAGE_BYTES + page] -= 1 + (int)d->type * 16;
	}
	for (page = 0; page < CELLS; page++)
		assert_int_equal(balance[page], 0);
}

static void random_maps_agree_with_the_oracle(void **state)
{
	static char out[40 * 5 * STRIDE]; /* each may be cut four times where they overlap */
	static uint32_t cells[CELLS];
	uint32_t round, i, efi_count;

	srand(3);
	for (round = 0; round < 3000; round++) {
		uint32_t wanted = (uint32_t)rand() % 40;
		struct map_hidden hidden[2];
		uint32_t middle = CELLS / 2;

		clear_map(NULL);
		for (i = 0; i < wanted; i++) {
			uint32_t start = (uint32_t)rand() % CELLS;

			add((uint32_t)rand() % 15, start,
			    (uint32_t)rand() % (rand() % 4 ? 16 : CELLS) % (CELLS - start + 1), 0);
		}
		for (i = 0; i < 2; i++) {
			uint32_t start = (uint32_t)rand() % middle;

			hidden[i] = (struct map_hidden){
				(i * middle + start) * PAGE_BYTES,
				(1 + (uint32_t)rand() % (middle - start)) * PAGE_BYTES,
				i ? BOOT_MEM_HV_POOL : BOOT_MEM_HV_IMAGE,
			};
		}
		build(hidden, 2);
		/* two descriptors of one kind may overlap: the later one gives the type */
		paint(cells, hidden, 2);
		assert_ranges_match(cells);
		assert_true(map_to_e820(ranges, range_count, first, 20, &first_count, rest, MAX_RANGES, &rest_count));
		assert_e820_matches(cells);
		assert_true(map_guest_efi(out, map.count * 5, &efi_count, &map, hidden, 2));
		assert_efi_matches(out, efi_count, cells);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_efi_type_has_its_kind, clear_map),
		cmocka_unit_test_setup(ranges_are_sorted_and_merged, clear_map),
		cmocka_unit_test_setup(the_more_restricted_kind_wins_an_overlap, clear_map),
		cmocka_unit_test_setup(hidden_ranges_are_reserved_everywhere, clear_map),
		cmocka_unit_test_setup(a_hidden_range_beside_reserved_memory_is_one_entry_with_it, clear_map),
		cmocka_unit_test_setup(a_hidden_range_may_span_descriptors_and_come_in_any_order, clear_map),
		cmocka_unit_test_setup(e820_types_follow_the_efi_types, clear_map),
		cmocka_unit_test_setup(e820_neighbours_of_one_type_are_merged, clear_map),
		cmocka_unit_test_setup(more_than_128_entries_spill_over, clear_map),
		cmocka_unit_test_setup(runtime_descriptors_are_not_merged, clear_map),
		cmocka_unit_test_setup(monstrous_descriptors_are_cut_down, clear_map),
		cmocka_unit_test_setup(too_small_arrays_are_reported, clear_map),
		cmocka_unit_test_setup(free_places_are_found, clear_map),
		cmocka_unit_test_setup(ram_is_counted, clear_map),
		cmocka_unit_test_setup(random_maps_agree_with_the_oracle, clear_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
