/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One of the firmware's ACPI tables by its signature, and the root pointer where the
 * firmware does not name one: pure functions. Section numbers are of the ACPI
 * specification, version 6.5. Nothing is believed: a table that cannot be read, or whose
 * length or checksum is wrong, is passed over.
 */
#ifndef BOOT_ACPI_FIND_H
#define BOOT_ACPI_FIND_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLE_MAX (16u << 20)
#define ACPI_HEADER_BYTES 36u

/* The firmware's bytes at a physical address; NULL if they cannot be read. */
typedef const uint8_t *acpi_read_fn(uint64_t address, uint32_t bytes);

/* The sum of all bytes; 0: the checksum among them is right. */
uint8_t acpi_sum(const uint8_t *bytes, uint32_t count);

/* A whole table and its length, whatever its checksum; NULL if it cannot be read or the length cannot be one. */
const uint8_t *acpi_read_table(acpi_read_fn *read, uint64_t address, uint32_t *length);

/* The XSDT (entry_bytes 8) or the RSDT (4) of a root pointer; NULL if there is none or one of them is wrong. */
const uint8_t *acpi_read_list(acpi_read_fn *read, uint64_t rsdp, uint32_t entry_bytes,
			      uint32_t *length);

/*
 * The root pointer as a BIOS leaves it (section 5.2.5.1): at a multiple of 16 in the first KiB of the
 * EBDA, whose segment is at 0x40e, or from 0xe0000 to 0xfffff. 0: there is none.
 */
uint64_t acpi_scan_root(acpi_read_fn *read);

/*
 * The first table with that signature that the XSDT, or else the RSDT, lists, and its
 * length; NULL: there is none.
 */
const uint8_t *acpi_find_table(acpi_read_fn *read, uint64_t rsdp, const char *signature,
			       uint32_t *length);

#endif
