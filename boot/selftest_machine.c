/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine in lines of text; see selftest_machine.h. */
#include "boot/selftest_machine.h"
#include "boot/acpi_merge.h"
#include "boot/bytes.h"
#include "boot/config_table.h"
#include "boot/console.h"
#include "boot/firmware.h"
#include "boot/guest.h"
#include "boot/selftest_cpu.h"
#include "boot/selftest_text.h"
#include "boot/utf16.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"
#include "lib/version.h"

#define LINE_MAX 512
#define RESET_REG_SUP (1u << 10)
enum { FADT_FLAGS = 112, FADT_RESET_REG = 116, FADT_RESET_VALUE = 128, FADT_WITH_RESET = 129 };

/* UEFI specification section 4.6.1; not in every GNU-EFI. */
#define SMBIOS3_GUID \
	{ \
		0xf2fd1544, 0x9794, 0x4a2c, \
		{ \
			0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94 \
		} \
	}

/* PI specification, volume 2 section 13.3.1; GNU-EFI does not have it. */
#define MP_SERVICES_GUID \
	{ \
		0x3fdda605, 0xa76e, 0x4f46, \
		{ \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 \
		} \
	}
struct mp_services {
	EFI_STATUS(EFIAPI *count)(struct mp_services *self, UINTN *all, UINTN *enabled);
};

/* --- firmware --- */
static const char *secure_boot(void)
{
	EFI_GUID global = EFI_GLOBAL_VARIABLE;
	UINT8 setup = 0;
	UINTN size = sizeof(setup);
	bool there;

	if (firmware_secure_boot(&there))
		return "on";
	if (!there)
		return "not there";
	if (EFI_ERROR(RT->GetVariable(L"SetupMode", &global, NULL, &size, &setup)))
		setup = 0;
	return setup == 1 ? "off, setup mode" : "off";
}

static void describe_firmware(struct selftest_block *block)
{
	char vendor[128] = "?";
	EFI_TIME now;

	if (ST->FirmwareVendor)
		utf16_to_utf8(vendor, sizeof(vendor), ST->FirmwareVendor);
	selftest_line(block, "Umbra %s, self-test", VERSION_TEXT);
	if (!EFI_ERROR(RT->GetTime(&now, NULL)))
		selftest_line(block, "begun: %04u-%02u-%02u %02u:%02u by the machine's clock",
			      now.Year, now.Month, now.Day, now.Hour, now.Minute);
	selftest_line(block, "firmware: %s, revision %x, UEFI %u.%u", vendor, ST->FirmwareRevision,
		      ST->Hdr.Revision >> 16, (ST->Hdr.Revision & 0xffff) / 10);
	selftest_line(block, "Secure Boot: %s", secure_boot());
}

/* --- SMBIOS, version 3.6: section 5.2 the entry points, 6.1.3 strings, 7.1 and 7.2 --- */
enum { SMBIOS_BIOS, SMBIOS_SYSTEM, SMBIOS_END = 127 };
#define SMBIOS_MAX (1u << 20)

/* String n of a structure, from 1 on; "?" if there is none. end: that of the table. */
static const char *smbios_string(const uint8_t *at, const uint8_t *end, uint8_t n)
{
	const uint8_t *p = at + at[1];

	if (!n)
		return "?";
	while (--n && p < end && *p)
		p += strnlen((const char *)p, (size_t)(end - p)) + 1;
	return p < end && *p && memchr(p, 0, (size_t)(end - p)) ? (const char *)p : "?";
}

/* The next structure behind the strings of this one; end if it has no end. */
static const uint8_t *smbios_next(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *p = at + at[1];

	while (p + 1 < end && (p[0] || p[1]))
		p++;
	return p + 2 < end ? p + 2 : end;
}

/* The table of structures; false: there is none. */
static bool find_smbios(const uint8_t **at, const uint8_t **end)
{
	EFI_GUID three = SMBIOS3_GUID, two = SMBIOS_TABLE_GUID;
	const uint8_t *new_entry = config_table_find(&three), *entry = config_table_find(&two);

	if (new_entry) {
		*at = at_address(bytes_get(new_entry + 0x10, 8));
		*end = *at + bytes_get(new_entry + 0x0c, 4);
	} else if (entry) {
		*at = at_address(bytes_get(entry + 0x18, 4));
		*end = *at + bytes_get(entry + 0x16, 2);
	} else {
		return false;
	}
	return *at && (size_t)(*end - *at) <= SMBIOS_MAX;
}

static void describe_model(struct selftest_block *block)
{
	const uint8_t *at, *end;

	if (!find_smbios(&at, &end))
		return;
	for (; at + 9 < end && at[1] >= 4 && at[0] != SMBIOS_END; at = smbios_next(at, end)) {
		if (at[0] == SMBIOS_SYSTEM && at[1] >= 8)
			selftest_line(block, "machine: %s, %s, %s", smbios_string(at, end, at[4]),
				      smbios_string(at, end, at[5]), smbios_string(at, end, at[6]));
		else if (at[0] == SMBIOS_BIOS && at[1] >= 9)
			selftest_line(block, "BIOS: %s, %s, %s", smbios_string(at, end, at[4]),
				      smbios_string(at, end, at[5]), smbios_string(at, end, at[8]));
	}
}

static void describe_processors(struct selftest_block *block)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *mp;
	UINTN all, enabled;

	if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->count(mp, &all, &enabled)))
		selftest_line(block, "processors: the firmware does not tell their number");
	else
		selftest_line(block, "processors: %u, of which %u are enabled", (uint32_t)all,
			      (uint32_t)enabled);
}

/* --- memory, in short --- */
/* All RAM as ranges without the holes between them, as many as a line takes. */
static void describe_ranges(struct selftest_block *block, const struct efi_map *map)
{
	uint64_t at = map_ram_next(map, 0), end;
	char list[LINE_MAX - 32] = "";

	for (; at != UINT64_MAX && strlen(list) + 48 < sizeof(list); at = map_ram_next(map, end)) {
		end = map_ram_from(map, at);
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %llx-%llx",
			 (unsigned long long)at, (unsigned long long)end);
	}
	selftest_line(block, "RAM:%s%s", list, at == UINT64_MAX ? "" : " ...");
}

static void describe_memory(struct selftest_block *block, const struct efi_map *map)
{
	uint64_t bytes[EFI_KIND_UNACCEPTED + 1] = {0};
	uint32_t i;

	for (i = 0; i < map->count; i++) {
		const struct efi_descriptor *d = map_descriptor(map, i);

		if (d->type < ARRAY_SIZE(bytes))
			bytes[d->type] += d->pages * PAGE_BYTES;
	}
	selftest_line(block, "memory: %llu MiB for systems, up to %llx; the map has %u entries",
		      (unsigned long long)map_usable_bytes(map) >> 20,
		      (unsigned long long)map_ram_end(map), map->count);
	describe_ranges(block, map);
	selftest_line(
		block, "memory of the firmware: %llu KiB runtime, %llu KiB ACPI, %llu KiB reserved",
		(unsigned long long)(bytes[EFI_KIND_RUNTIME_CODE] + bytes[EFI_KIND_RUNTIME_DATA]) >>
			10,
		(unsigned long long)(bytes[EFI_KIND_ACPI_RECLAIM] + bytes[EFI_KIND_ACPI_NVS]) >> 10,
		(unsigned long long)bytes[EFI_KIND_RESERVED] >> 10);
}

/* --- serial ports --- */
static void describe_serial(struct selftest_block *block)
{
	char list[64] = "";
	struct uart uart;
	uint32_t i;

	for (i = 0; i < SERIAL_COMS; i++) {
		uint16_t port = (uint16_t)serial_com(i).base;

		uart_on_ports(&uart, port, 1);
		if (uart_answers(&uart))
			snprintf(list + strlen(list), sizeof(list) - strlen(list), " 0x%x", port);
	}
	selftest_line(block, "serial ports:%s; this report goes to the one %s",
		      list[0] ? list : " none", console_serial_text());
}

/* --- ACPI --- */
static void take_reset_register(struct selftest_machine *m, const struct acpi_table *fadt)
{
	if (fadt->length < FADT_WITH_RESET ||
	    !(bytes_get(fadt->bytes + FADT_FLAGS, 4) & RESET_REG_SUP))
		return;
	m->reset_space = fadt->bytes[FADT_RESET_REG];
	m->reset_address = bytes_get(fadt->bytes + FADT_RESET_REG + 4, 8);
	m->reset_value = fadt->bytes[FADT_RESET_VALUE];
}

static void describe_acpi(struct selftest_block *block)
{
	static struct acpi_set set;
	struct boot_error error;
	const char *iommu = "none";
	char names[LINE_MAX - 32] = "";
	uint32_t i;

	block->machine.reset_space = UINT32_MAX;
	block->machine.acpi_rsdp = config_table_rsdp();
	if (!block->machine.acpi_rsdp ||
	    !acpi_set_read(&set, config_table_bytes, block->machine.acpi_rsdp, &error)) {
		selftest_line(block, "ACPI: %s", block->machine.acpi_rsdp ? error.text : "no tables");
		selftest_line(block, "IOMMU: not known without ACPI tables");
		return;
	}
	for (i = 0; i < set.count; i++) {
		const uint8_t *name = set.listed[i].bytes;

		snprintf(names + strlen(names), sizeof(names) - strlen(names), " %.4s",
			 (const char *)name);
		if (memcmp(name, "DMAR", 4) == 0)
			iommu = "Intel's (DMAR)";
		else if (memcmp(name, "IVRS", 4) == 0)
			iommu = "AMD's (IVRS)";
		else if (memcmp(name, "FACP", 4) == 0)
			take_reset_register(&block->machine, &set.listed[i]);
	}
	selftest_line(block, "ACPI:%s", names);
	selftest_line(block, "IOMMU: %s; Umbra leaves it to the guest", iommu);
}

void selftest_describe_machine(struct selftest_block *block, const struct efi_map *map)
{
	describe_firmware(block);
	describe_model(block);
	selftest_describe_cpu(block);
	describe_processors(block);
	describe_memory(block, map);
	describe_acpi(block);
	describe_serial(block);
}
