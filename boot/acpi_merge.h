/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI tables of the firmware and those of the boot entry's key "acpi", put
 * together: pure functions over bytes in memory. Section numbers are of the ACPI
 * specification, version 6.5.
 *
 * A table of a file replaces the one with its signature, OEM ID and OEM table ID if
 * its OEM revision is higher, as Linux's tables in an initrd do. With other IDs a
 * table is added, if a system may have several of its kind or none is there. All
 * else is refused, with a line that names the file: nothing that was asked for is
 * silently left out. The tables of the firmware are never written to.
 */
#ifndef BOOT_ACPI_MERGE_H
#define BOOT_ACPI_MERGE_H

#include "boot/acpi_find.h"
#include "boot/text.h"

#define ACPI_LISTED_MAX 256

struct acpi_table {
	const uint8_t *bytes; /* NULL: there is none */
	const char *file;     /* whose it is; NULL: the firmware's */
	uint64_t address;     /* of the firmware's; of a file's, once it is written */
	uint32_t length;
	bool replaces; /* a file's that has taken the place of the firmware's */
};

struct acpi_set {
	struct acpi_table listed[ACPI_LISTED_MAX]; /* in the order of the XSDT */
	uint32_t count;
	struct acpi_table dsdt, facs; /* reached through the FADT; facs: of a file only */
	uint64_t firmware_facs, firmware_x_facs; /* the fields of the firmware's FADT */
	uint8_t list_header[ACPI_HEADER_BYTES];  /* of the firmware's list, or Umbra's own */
};

/* Signature and OEM IDs for a line of text. */
struct acpi_name {
	char text[4 + 1 + 6 + 1 + 8 + 1];
};

/* The firmware's tables; rsdp 0: there are none. False where what it lists cannot be read. */
bool acpi_set_read(struct acpi_set *set, acpi_read_fn *read, uint64_t rsdp, struct boot_error *error);

/*
 * One file: a table or several, one behind the other. The set keeps pointers to file
 * and bytes. False with a line that names the file; the set is then of no use.
 */
bool acpi_set_add(struct acpi_set *set, const char *file, const uint8_t *bytes, uint64_t size,
		  struct boot_error *error);

/* What only all files together can be judged by: that FADT and DSDT find each other. */
bool acpi_set_check(const struct acpi_set *set, struct boot_error *error);

/* Bytes that acpi_set_write() needs, and those of the FACS, which lies elsewhere: 0 if there is none of a file. */
uint64_t acpi_set_bytes(const struct acpi_set *set);
uint64_t acpi_set_facs_bytes(const struct acpi_set *set);

/*
 * Writes root pointer, XSDT, RSDT, the tables of files and, where its pointers
 * change, a copy of the FADT. to is zeroed memory at physical address `address`,
 * a multiple of 64 and all of it below 4 GiB; facs likewise, or NULL. The root
 * pointer lies at its start. After acpi_set_check() alone.
 */
void acpi_set_write(struct acpi_set *set, uint8_t *to, uint64_t address, uint8_t *facs,
		    uint64_t facs_address);

struct acpi_name acpi_name_of(const struct acpi_table *table);

#endif
