/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key "acpi" of a boot entry: tables from files, together with the firmware's,
 * take the place of the firmware's as what the system table of EFI names. Guest and
 * hypervisor ask that alone, so both see the same. What is put together how: acpi_merge.h.
 */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "boot/entry.h"
#include "boot/file.h"

/*
 * Reads the entry's files and installs the result, in memory of type ACPI reclaim
 * (a FACS in ACPI NVS), all of it below 4 GiB. Nothing if the entry names none. Before config_table_rsdp() is
 * asked by anybody.
 */
bool acpi_install(const struct boot_entry *entry, struct boot_volume *volume,
		  struct boot_error *error);

/* On the way back to the firmware, before the memory is given back: the firmware's own tables again. */
void acpi_uninstall(void);

#endif
