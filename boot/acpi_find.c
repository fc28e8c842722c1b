/* SPDX-License-Identifier: BSD-2-Clause */
/* See acpi_find.h. */
#include "boot/acpi_find.h"
#include "boot/bytes.h"
#include "lib/string.h"

/* Sections 5.2.5.3 and 5.2.6 */
#define RSDP_BYTES_1 20u
#define RSDP_BYTES_2 36u
enum { RSDP_REVISION = 15, RSDP_RSDT = 16, RSDP_XSDT = 24 };
#define TABLE_LENGTH 4

/* Section 5.2.5.1 */
#define EBDA_SEGMENT 0x40eu
#define EBDA_MIN 0x80000u
#define EBDA_END 0xa0000u
#define EBDA_SEARCHED 1024u
#define BIOS_BASE 0xe0000u
#define BIOS_END 0x100000u
#define ROOT_ALIGNMENT 16u

uint8_t acpi_sum(const uint8_t *bytes, uint32_t count)
{
	uint8_t sum = 0;

	while (count--)
		sum = (uint8_t)(sum + *bytes++);
	return sum;
}

static const uint8_t *read_root(acpi_read_fn *read, uint64_t address)
{
	const uint8_t *root = read(address, RSDP_BYTES_1);

	return root && memcmp(root, "RSD PTR ", 8) == 0 && !acpi_sum(root, RSDP_BYTES_1) ? root :
											   NULL;
}

static uint64_t scan(acpi_read_fn *read, uint32_t base, uint32_t end)
{
	uint32_t at;

	for (at = base; at < end; at += ROOT_ALIGNMENT)
		if (read_root(read, at))
			return at;
	return 0;
}

uint64_t acpi_scan_root(acpi_read_fn *read)
{
	const uint8_t *segment = read(EBDA_SEGMENT, 2);
	uint32_t ebda = segment ? (uint32_t)bytes_get(segment, 2) << 4 : 0;
	uint64_t root = 0;

	if (ebda >= EBDA_MIN && ebda < EBDA_END)
		root = scan(read, ebda, ebda + EBDA_SEARCHED);
	return root ? root : scan(read, BIOS_BASE, BIOS_END);
}

const uint8_t *acpi_read_table(acpi_read_fn *read, uint64_t address, uint32_t *length)
{
	const uint8_t *header = read(address, ACPI_HEADER_BYTES);

	*length = header ? bytes_get_u32(header + TABLE_LENGTH) : 0;
	return *length < ACPI_HEADER_BYTES || *length > ACPI_TABLE_MAX ? NULL :
									 read(address, *length);
}

static const uint8_t *read_good(acpi_read_fn *read, uint64_t address, const char *signature,
				uint32_t *length)
{
	const uint8_t *table = address ? acpi_read_table(read, address, length) : NULL;

	return table && memcmp(table, signature, 4) == 0 && !acpi_sum(table, *length) ? table : NULL;
}

const uint8_t *acpi_read_list(acpi_read_fn *read, uint64_t rsdp, uint32_t entry_bytes,
			      uint32_t *length)
{
	const uint8_t *root = read_root(read, rsdp), *longer;

	if (!root)
		return NULL;
	if (entry_bytes == 4)
		return read_good(read, bytes_get_u32(root + RSDP_RSDT), "RSDT", length);
	longer = root[RSDP_REVISION] >= 2 ? read(rsdp, RSDP_BYTES_2) : NULL;
	if (!longer || acpi_sum(longer, RSDP_BYTES_2))
		return NULL;
	return read_good(read, bytes_get(longer + RSDP_XSDT, 8), "XSDT", length);
}

static const uint8_t *find_listed(acpi_read_fn *read, uint64_t rsdp, uint32_t entry_bytes,
				  const char *signature, uint32_t *length)
{
	uint32_t list_bytes, at;
	const uint8_t *list = acpi_read_list(read, rsdp, entry_bytes, &list_bytes);

	for (at = ACPI_HEADER_BYTES; list && at + entry_bytes <= list_bytes; at += entry_bytes) {
		uint64_t address = bytes_get(list + at, entry_bytes);
		const uint8_t *table = read_good(read, address, signature, length);

		if (table)
			return table;
	}
	return NULL;
}

const uint8_t *acpi_find_table(acpi_read_fn *read, uint64_t rsdp, const char *signature,
			       uint32_t *length)
{
	const uint8_t *table;

	if (!rsdp)
		return NULL;
	table = find_listed(read, rsdp, 8, signature, length);
	return table ? table : find_listed(read, rsdp, 4, signature, length);
}
