/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the firmware's ACPI tables say of sleeping: which registers put the machine
 * to sleep, and which number each kind of sleep has there; and of processors. Section numbers are of the ACPI
 * specification, version 6.5. Nothing in the tables is believed: lengths and checksums are
 * checked, and only memory that the caller's function gives is read.
 */
#ifndef ARCH_X86_ACPI_H
#define ARCH_X86_ACPI_H

#include "lib/types.h"

/* bytes of physical memory at address, to be read for as long as the tables are; NULL if there are none to read. */
typedef const u8 *acpi_map_fn(u64 address, u32 bytes);

/* The same bytes, to be changed; NULL if they cannot be. */
typedef u8 *acpi_edit_fn(u64 address, u32 bytes);

/*
 * PM1 control and status are 16 bits wide (sections 4.8.3.1 and 4.8.3.2), the registers of hardware-reduced
 * machines 8 (section 4.8.3.7). What matters is at the same place in the upper byte of the former and in the latter.
 */
#define ACPI_SLP_EN 0x20u
#define ACPI_SLP_TYP(byte) ((byte) >> 2 & 7u)
#define ACPI_WAK_STS 0x80u

enum acpi_space { ACPI_NOWHERE, ACPI_PORT, ACPI_MEMORY };

/* Where that one byte is. */
struct acpi_byte {
	u32 space; /* enum acpi_space */
	u64 address;
};

/* The table names a block twice, in an old field and in a longer one; a guest may believe either. */
enum acpi_sleep_block { ACPI_PM1A, ACPI_X_PM1A, ACPI_PM1B, ACPI_X_PM1B, ACPI_REDUCED, ACPI_SLEEP_BLOCKS };

#define ACPI_SLEEP_STATES 6

struct acpi_sleep {
	struct acpi_byte control[ACPI_SLEEP_BLOCKS], status[ACPI_SLEEP_BLOCKS];
	/* Bit n: the tables give state _Sx_ the number n, in PM1a's register and the reduced one, in PM1b's. */
	u8 type_a[ACPI_SLEEP_STATES], type_b[ACPI_SLEEP_STATES];
};

/* 0; or -ENOENT, *out is all zeroes: no table says anything. Whatever is wrong with a table is logged. */
MUST_CHECK int acpi_find_sleep(acpi_map_fn *map, u64 rsdp, struct acpi_sleep *out);

#define ACPI_CPUS_MAX 256

/* The processors that are there and may be used, each once, in the order of the table. */
struct acpi_cpus {
	u32 count, left_off; /* left_off: for which there was no room */
	u32 apic_id[ACPI_CPUS_MAX];
};

/* By the MADT's entries for local APICs and x2APICs that are enabled. 0; or -ENOENT: none, count is 0. */
MUST_CHECK int acpi_find_cpus(acpi_map_fn *map, u64 rsdp, struct acpi_cpus *out);

/* Marks all other processors as absent in every MADT that a guest may find; its checksum stays as right as it was. */
void acpi_hide_cpus(acpi_map_fn *map, acpi_edit_fn *edit, u64 rsdp, const struct acpi_cpus *keep);

/* Where an ISA interrupt arrives: the registers of an I/O APIC, its input, and the flags of an override (section 5.2.12.5), or 0. */
struct acpi_pin {
	u64 ioapic;
	u32 input, flags;
};
#define ACPI_PIN_POLARITY(flags) ((flags)&3u)       /* 3: active low */
#define ACPI_PIN_TRIGGER(flags) ((flags) >> 2 & 3u) /* 3: level */

/* By the first MADT's entries for I/O APICs and interrupt source overrides. 0 or -ENOENT. */
MUST_CHECK int acpi_find_pin(acpi_map_fn *map, u64 rsdp, u8 irq, struct acpi_pin *out);

#endif
