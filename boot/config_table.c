/* SPDX-License-Identifier: BSD-2-Clause */
/* See config_table.h. */
#include "boot/config_table.h"
#include "boot/acpi_find.h"

void *config_table_find(const EFI_GUID *guid)
{
	UINTN i;

	for (i = 0; i < ST->NumberOfTableEntries; i++)
		if (CompareMem(&ST->ConfigurationTable[i].VendorGuid, (void *)guid, sizeof(*guid)) ==
		    0)
			return ST->ConfigurationTable[i].VendorTable;
	return NULL;
}

const uint8_t *config_table_bytes(uint64_t address, uint32_t bytes)
{
	return address && address + bytes > address ? at_address(address) : NULL;
}

uint64_t config_table_rsdp(void)
{
	EFI_GUID acpi_2 = ACPI_20_TABLE_GUID, acpi_1 = ACPI_TABLE_GUID;
	void *rsdp = config_table_find(&acpi_2);

	if (!rsdp)
		rsdp = config_table_find(&acpi_1);
	return rsdp ? address_of(rsdp) : acpi_scan_root(config_table_bytes);
}
