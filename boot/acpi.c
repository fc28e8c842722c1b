/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's half of the key "acpi"; see acpi.h. */
#include "boot/acpi.h"
#include "boot/acpi_merge.h"
#include "boot/config_table.h"
#include "boot/console.h"
#include "boot/memory.h"
#include "lib/types.h"

static struct acpi_set set;

/* What the system table names, by GUID: UEFI specification section 4.6.1. */
static struct root {
	EFI_GUID guid;
	void *firmware; /* NULL: nothing */
	bool ours;
} roots[] = {
	{.guid = ACPI_20_TABLE_GUID},
	{.guid = ACPI_TABLE_GUID},
};

static bool read_files(const struct boot_entry *entry, struct boot_volume *volume, char **files,
		       struct boot_error *error)
{
	uint64_t size;
	uint32_t i;

	for (i = 0; i < entry->acpi_count; i++)
		if (EFI_ERROR(file_load(volume, entry->acpi[i], ACPI_TABLE_MAX, &files[i], &size,
					error)) ||
		    !acpi_set_add(&set, entry->acpi[i], (const uint8_t *)files[i], size, error))
			return false;
	return acpi_set_check(&set, error);
}

/* The older GUID only where the firmware has it: a root pointer of revision 2 serves those that ask for it too. */
static bool name_root(void *rsdp, struct boot_error *error)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(roots); i++) {
		struct root *root = &roots[i];
		EFI_STATUS status;

		root->firmware = config_table_find(&root->guid);
		if (i && !root->firmware)
			continue;
		status = BS->InstallConfigurationTable(&root->guid, rsdp);
		if (EFI_ERROR(status))
			return boot_error_set(error,
					      "acpi: the firmware does not take the tables (EFI"
					      " status %llx); remove the lines \"acpi\"",
					      (unsigned long long)status);
		root->ours = true;
	}
	return true;
}

static void tell(const struct acpi_table *table)
{
	if (table->file)
		console_print("umbra: acpi: %s of %s %s\n", acpi_name_of(table).text, table->file,
			      table->replaces ? "replaces the firmware's" : "added");
}

static bool write_set(struct boot_error *error)
{
	uint64_t facs_bytes = acpi_set_facs_bytes(&set);
	uint8_t *facs = facs_bytes ? memory_alloc_to_stay(EfiACPIMemoryNVS, facs_bytes) : NULL;
	uint8_t *to = memory_alloc_to_stay(EfiACPIReclaimMemory, acpi_set_bytes(&set));
	uint32_t i;

	if (!to || (facs_bytes && !facs))
		return boot_error_set(error,
				      "not enough memory below 4 GiB for %llu KiB of ACPI"
				      " tables; add memory",
				      (unsigned long long)acpi_set_bytes(&set) >> 10);
	acpi_set_write(&set, to, address_of(to), facs, address_of(facs));
	for (i = 0; i < set.count; i++)
		tell(&set.listed[i]);
	tell(&set.dsdt);
	tell(&set.facs);
	return name_root(to, error);
}

bool acpi_install(const struct boot_entry *entry, struct boot_volume *volume, struct boot_error *error)
{
	char *files[ENTRY_MAX_ACPI] = {NULL};
	bool good;
	uint32_t i;

	if (!entry->acpi_count)
		return true;
	good = acpi_set_read(&set, config_table_bytes, config_table_rsdp(), error) &&
	       read_files(entry, volume, files, error) && write_set(error);
	for (i = 0; i < entry->acpi_count; i++)
		memory_free(files[i]);
	return good;
}

void acpi_uninstall(void)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(roots); i++)
		if (roots[i].ours)
			BS->InstallConfigurationTable(&roots[i].guid, roots[i].firmware);
}
