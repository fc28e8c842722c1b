/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables that the EFI system table names (UEFI specification section 4.6), and the ACPI tables behind them. */
#ifndef BOOT_CONFIG_TABLE_H
#define BOOT_CONFIG_TABLE_H

#include "boot/uefi.h"

/* NULL: the firmware has none. */
void *config_table_find(const EFI_GUID *guid);

/*
 * The ACPI 2.0 root pointer if there is one, else that of ACPI 1.0, else one that lies where a
 * BIOS would leave it, else 0.
 */
uint64_t config_table_rsdp(void);

/* An acpi_read_fn (boot/acpi_find.h): while the firmware is there its memory is at its own addresses. */
const uint8_t *config_table_bytes(uint64_t address, uint32_t bytes);

#endif
