/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key "acpi": firmware's tables and files put together. What is made is read again by the hypervisor's own reader
 * (arch/x86/acpi.c), which believes nothing; what cannot be taken gives one line that names the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi.h"
#include "boot/acpi_merge.h"
#include "boot/bytes.h"

#define BASE 0x7e000000ull
#define HIGH 0x200000000ull
#define BYTES 0x8000u
#define RSDP (BASE + 0x40)
#define XSDT (BASE + 0x1000)
#define RSDT (BASE + 0x1800)
#define FADT (BASE + 0x2000)
#define DSDT (BASE + 0x3000)
#define SSDT (BASE + 0x4000)
#define MADT (BASE + 0x5000)
#define OUT 0x7f000000ull
#define OUT_FACS 0x7f800000ull

/* The firmware's memory, seen at BASE and once more above 4 GiB. */
static uint8_t memory[BYTES];
static uint8_t out[0x4000], out_facs[4096];
static struct acpi_set set;
static struct boot_error error;

static const uint8_t *firmware(uint64_t address, uint32_t bytes)
{
	uint64_t base = address >= HIGH ? HIGH : BASE;

	if (address < base || address - base >= BYTES || bytes > BYTES - (address - base))
		return NULL;
	return memory + (address - base);
}

/* What a guest finds: the firmware's memory and what was written. */
static const u8 *guest(u64 address, u32 bytes)
{
	if (address >= OUT && address - OUT < sizeof(out) && bytes <= sizeof(out) - (address - OUT))
		return out + (address - OUT);
	if (address >= OUT_FACS && address - OUT_FACS + bytes <= sizeof(out_facs))
		return out_facs + (address - OUT_FACS);
	return firmware(address, bytes);
}

static void put(uint8_t *at, uint64_t value, uint32_t bytes)
{
	for (; bytes--; value >>= 8)
		*at++ = (uint8_t)value;
}

static uint8_t sum(const uint8_t *p, uint32_t bytes)
{
	uint8_t s = 0;

	while (bytes--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void seal(uint8_t *p, uint32_t bytes, uint32_t checksum_at)
{
	p[checksum_at] = 0;
	p[checksum_at] = (uint8_t)-sum(p, bytes);
}

static void header(uint8_t *at, const char *signature, const char *oem_table, uint32_t revision, uint32_t bytes)
{
	char ids[15];

	snprintf(ids, sizeof(ids), "VENDOR%-8s", oem_table);
	memcpy(at, signature, 4);
	put(at + 4, bytes, 4);
	at[8] = 2;
	memcpy(at + 10, ids, 14);
	put(at + 24, revision, 4);
	seal(at, bytes, 9);
}

static void firmware_table(uint64_t at, const char *signature, uint32_t bytes)
{
	header(memory + (at - BASE), signature, "FW", 1, bytes);
}

static void sleep_code(uint8_t *table, uint32_t type)
{
	const uint8_t code[] = {0x08, '_',  'S',  '5',           '_',  0x12,
				0x06, 0x02, 0x0a, (uint8_t)type, 0x0a, (uint8_t)type};

	memcpy(table + ACPI_HEADER_BYTES, code, sizeof(code));
}
#define SLEEP_BYTES (ACPI_HEADER_BYTES + 12)

static void firmware_root(uint64_t rsdt, uint64_t xsdt)
{
	uint8_t *root = memory + (RSDP - BASE);

	memcpy(root, "RSD PTR ", 8);
	root[15] = xsdt ? 2 : 0;
	put(root + 16, rsdt, 4);
	put(root + 20, 36, 4);
	put(root + 24, xsdt, 8);
	seal(root, 20, 8);
	seal(root, 36, 32);
}

/* FADT with its DSDT, an SSDT, a MADT with one processor. */
static int fresh(void **state)
{
	uint8_t *fadt = memory + (FADT - BASE), *madt = memory + (MADT - BASE), *list = memory + (XSDT - BASE) + 36;

	memset(memory, 0, sizeof(memory));
	memset(out, 0, sizeof(out));
	memset(out_facs, 0, sizeof(out_facs));
	put(fadt + 36, BASE + 0x7000, 4);
	put(fadt + 40, DSDT, 4);
	put(fadt + 64, 0x604, 4);
	fadt[89] = 2;
	put(fadt + 140, DSDT, 8);
	firmware_table(FADT, "FACP", 244);
	sleep_code(memory + (DSDT - BASE), 5);
	firmware_table(DSDT, "DSDT", SLEEP_BYTES);
	firmware_table(SSDT, "SSDT", 40);
	madt[44] = 0, madt[45] = 8, madt[47] = 3, madt[48] = 1;
	firmware_table(MADT, "APIC", 52);
	put(list, FADT, 8), put(list + 8, SSDT, 8), put(list + 16, MADT, 8);
	firmware_table(XSDT, "XSDT", 36 + 24);
	list = memory + (RSDT - BASE) + 36;
	put(list, FADT, 4), put(list + 4, MADT, 4);
	firmware_table(RSDT, "RSDT", 36 + 8);
	firmware_root(RSDT, XSDT);
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	return 0;
}

/* A file's bytes in a block of their own, so that a read beyond it is caught. */
static uint8_t *files[16];
static uint32_t file_count;

static uint8_t *make_file(const void *bytes, uint32_t size)
{
	assert_true(file_count < 16);
	files[file_count] = malloc(size ? size : 1);
	memcpy(files[file_count], bytes, size);
	return files[file_count++];
}

static int free_files(void **state)
{
	while (file_count)
		free(files[--file_count]);
	return 0;
}

static bool add(const char *name, const void *bytes, uint32_t size)
{
	memset(&error, 0, sizeof(error));
	return acpi_set_add(&set, name, make_file(bytes, size), size, &error);
}

static bool add_table(const char *signature, const char *oem_table, uint32_t revision)
{
	uint8_t table[244] = {0};
	uint32_t bytes = memcmp(signature, "FACP", 4) ? SLEEP_BYTES : 244;

	if (bytes == SLEEP_BYTES)
		sleep_code(table, 6);
	else
		put(table + 64, 0x904, 4), table[89] = 2, put(table + 36, 0xdead, 4), put(table + 40, 0xdead, 4),
					   put(table + 132, 0xdead, 8), put(table + 140, 0xdead, 8);
	header(table, signature, oem_table, revision, bytes);
	return add("/t.aml", table, bytes);
}

static void assert_refused(const char *part)
{
	if (!strstr(error.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	assert_null(strchr(error.text, '\n'));
}

/* The table's bytes behind the n-th entry of a list that the new root pointer names. */
static const uint8_t *list_of(uint32_t root_at, uint32_t bytes)
{
	const uint8_t *list = guest(bytes_get(out + root_at, bytes), 36);

	assert_non_null(list);
	list = guest(bytes_get(out + root_at, bytes), bytes_get_u32(list + 4));
	assert_non_null(list);
	assert_int_equal(sum(list, bytes_get_u32(list + 4)), 0);
	return list;
}

/* How many of the XSDT's tables have that signature; the last one in *found. */
static uint32_t count_listed(const char *signature, const uint8_t **found)
{
	const uint8_t *list = list_of(24, 8);
	uint32_t n = 0;

	for (uint32_t at = 36; at < bytes_get_u32(list + 4); at += 8) {
		const uint8_t *table = guest(bytes_get(list + at, 8), 36);

		assert_non_null(table);
		assert_int_equal(sum(table, bytes_get_u32(table + 4)), 0);
		if (memcmp(table, signature, 4) == 0)
			n++, *found = table;
	}
	return n;
}

static void write(void)
{
	static uint8_t before[BYTES];
	uint64_t bytes = acpi_set_bytes(&set);

	memcpy(before, memory, BYTES);
	assert_true(acpi_set_check(&set, &error));
	assert_true(bytes < sizeof(out) && acpi_set_facs_bytes(&set) <= sizeof(out_facs));
	acpi_set_write(&set, out, OUT, out_facs, OUT_FACS);
	for (uint64_t i = bytes; i < sizeof(out); i++)
		assert_int_equal(out[i], 0);
	assert_memory_equal(before, memory, BYTES);
	assert_memory_equal(out, "RSD PTR ", 8);
	assert_int_equal(sum(out, 20), 0);
	assert_int_equal(sum(out, 36), 0);
	assert_int_equal(out[15], 2);
}

static void a_table_with_other_ids_is_added_behind_the_firmwares(void **state)
{
	const uint8_t *found;

	assert_true(add_table("SSDT", "MINE", 1));
	write();
	assert_int_equal(count_listed("SSDT", &found), 2);
	assert_memory_equal(found + 16, "MINE    ", 8);
	assert_int_equal(count_listed("FACP", &found), 1);
	assert_ptr_equal(found, memory + (FADT - BASE));
	assert_int_equal(bytes_get_u32(list_of(16, 4) + 4), 36 + 4 * 4);
	assert_memory_equal(list_of(24, 8) + 10, "VENDORFW", 8);
}

static void a_higher_oem_revision_replaces_and_a_lower_or_equal_one_is_refused(void **state)
{
	const uint8_t *found;

	assert_false(add_table("SSDT", "FW", 1));
	assert_refused("/t.aml: SSDT-VENDOR-FW has OEM revision 0x1 and that of the firmware has 0x1");
	assert_false(add_table("SSDT", "FW", 0));
	assert_true(add_table("SSDT", "FW", 2));
	assert_false(add_table("SSDT", "FW", 2));
	assert_refused("that of /t.aml has 0x2");
	assert_true(add_table("SSDT", "MINE", 1));
	assert_true(add_table("SSDT", "MINE", 2));
	assert_true(set.listed[1].replaces);
	assert_false(set.listed[3].replaces);
	write();
	assert_int_equal(count_listed("SSDT", &found), 2);
	assert_int_equal(bytes_get_u32(found + 24), 2);
	assert_int_equal(set.count, 4);
}

static void of_a_kind_that_is_there_once_no_second_one_is_added(void **state)
{
	assert_false(add_table("APIC", "MINE", 9));
	assert_refused("/t.aml: APIC-VENDOR-MINE cannot stand beside APIC-VENDOR-FW of the firmware");
	assert_false(add_table("DSDT", "MINE", 9));
	assert_refused("DSDT-VENDOR-FW");
	assert_false(add_table("FACP", "MINE", 9));
	assert_true(add_table("HPET", "MINE", 1));
	assert_false(add_table("HPET", "OTHER", 2));
	assert_true(add_table("OEM7", "A", 1));
	assert_true(add_table("OEM7", "B", 1));
}

static void what_the_hypervisor_reads_is_what_was_made(void **state)
{
	uint8_t madt[60] = {0};
	struct acpi_sleep sleep;
	struct acpi_cpus cpus;

	madt[45] = 8, madt[47] = 7, madt[48] = 1, madt[53] = 8, madt[55] = 9, madt[56] = 1;
	header(madt, "APIC", "FW", 2, sizeof(madt));
	assert_true(add("/madt", madt, sizeof(madt)));
	assert_true(add_table("DSDT", "FW", 2));
	assert_true(add_table("FACP", "FW", 2));
	write();
	assert_int_equal(acpi_find_cpus(guest, OUT, &cpus), 0);
	assert_int_equal(cpus.count, 2);
	assert_int_equal(cpus.apic_id[0], 7);
	assert_int_equal(cpus.apic_id[1], 9);
	assert_int_equal(acpi_find_sleep(guest, OUT, &sleep), 0);
	assert_int_equal(sleep.control[ACPI_PM1A].address, 0x905);
	assert_int_equal(sleep.type_a[5], 1 << 6);
}

/* The four pointers of the FADT that the XSDT lists. */
static void assert_links(uint64_t facs, uint64_t dsdt, uint64_t x_facs, uint64_t x_dsdt)
{
	const uint8_t *fadt = NULL;

	assert_int_equal(count_listed("FACP", &fadt), 1);
	assert_int_equal(bytes_get(fadt + 36, 4), facs);
	assert_int_equal(bytes_get(fadt + 40, 4), dsdt);
	assert_int_equal(bytes_get(fadt + 132, 8), x_facs);
	assert_int_equal(bytes_get(fadt + 140, 8), x_dsdt);
}

static void a_new_fadt_keeps_the_firmwares_facs_and_dsdt(void **state)
{
	assert_true(add_table("FACP", "FW", 2));
	write();
	assert_links(BASE + 0x7000, DSDT, 0, DSDT);
}

static void a_new_dsdt_gets_a_copy_of_the_firmwares_fadt(void **state)
{
	assert_true(add_table("DSDT", "FW", 2));
	write();
	assert_links(BASE + 0x7000, set.dsdt.address, 0, set.dsdt.address);
	assert_true(set.dsdt.address > OUT && set.dsdt.address < OUT + sizeof(out));
	assert_memory_equal(guest(set.dsdt.address, 4), "DSDT", 4);
}

static void a_dsdt_above_4_gib_is_named_by_the_long_field_alone(void **state)
{
	uint8_t *fadt = memory + (FADT - BASE), short_fadt[132] = {0};

	put(fadt + 40, 0, 4);
	put(fadt + 140, HIGH + (DSDT - BASE), 8);
	firmware_table(FADT, "FACP", 244);
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	assert_true(add_table("FACP", "FW", 2));
	write();
	assert_links(BASE + 0x7000, 0, 0, HIGH + (DSDT - BASE));
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	header(short_fadt, "FACP", "FW", 2, sizeof(short_fadt));
	assert_true(add("/short", short_fadt, sizeof(short_fadt)));
	assert_false(acpi_set_check(&set, &error));
	assert_refused("/short: this FADT is too short");
}

static void a_firmware_without_tables_gets_all_from_files(void **state)
{
	uint8_t facs[64] = "FACS@", fadt[116] = {0};
	const uint8_t *found;

	assert_true(acpi_set_read(&set, firmware, 0, &error));
	header(fadt, "FACP", "MINE", 1, sizeof(fadt));
	assert_true(add("/fadt", fadt, sizeof(fadt)));
	assert_false(acpi_set_check(&set, &error));
	assert_refused("/fadt: neither the firmware nor the lines \"acpi\" have a DSDT");
	assert_true(add("/facs", facs, sizeof(facs)));
	assert_false(add("/facs2", facs, sizeof(facs)));
	assert_refused("/facs2: there is a FACS already");
	assert_true(add_table("DSDT", "MINE", 1));
	write();
	assert_int_equal(count_listed("FACP", &found), 1);
	assert_int_equal(bytes_get(found + 36, 4), OUT_FACS);
	assert_int_equal(bytes_get(found + 40, 4), set.dsdt.address);
	assert_memory_equal(out_facs, facs, sizeof(facs));
	assert_memory_equal(list_of(24, 8) + 10, "UMBRA UMBRA   ", 14);
}

static void a_dsdt_or_facs_that_no_fadt_names_is_refused(void **state)
{
	uint8_t facs[64] = "FACS@";

	assert_true(acpi_set_read(&set, firmware, 0, &error));
	assert_true(add_table("DSDT", "MINE", 1));
	assert_false(acpi_set_check(&set, &error));
	assert_refused("/t.aml: neither the firmware nor the lines \"acpi\" have a FADT that could name this table");
	assert_true(acpi_set_read(&set, firmware, 0, &error));
	assert_true(add("/facs", facs, sizeof(facs)));
	assert_false(acpi_set_check(&set, &error));
	assert_refused("/facs: neither");
	fresh(NULL);
	assert_false(add("/facs", facs, sizeof(facs)));
	assert_refused("/facs: there is a FACS already");
}

static void several_tables_in_one_file_are_taken_one_by_one(void **state)
{
	uint8_t both[80] = {0};
	const uint8_t *found;

	header(both, "SSDT", "A", 1, 40);
	header(both + 40, "SSDT", "B", 1, 40);
	assert_true(add("/both", both, sizeof(both)));
	write();
	assert_int_equal(count_listed("SSDT", &found), 3);
	both[79] ^= 1;
	assert_false(add("/both", both, sizeof(both)));
}

static void a_file_that_is_no_table_is_refused_with_its_name(void **state)
{
	uint8_t table[64] = {0}, list[40] = {0};

	assert_false(add("/none", "", 0));
	assert_refused("/none holds no ACPI table");
	assert_false(add("/text", "DefinitionBlock (\"\", \"DSDT\", 1, \"A\", \"B\", 1) {}", 47));
	assert_refused("/text holds no ACPI table");
	header(table, "SSDT", "A", 1, 60);
	assert_false(add("/more", table, 64));
	assert_refused("/more holds no ACPI table, or something behind it");
	assert_false(add("/less", table, 59));
	assert_refused("/less: its SSDT has a length of 60 bytes and there are 59");
	put(table + 4, 35, 4);
	assert_false(add("/tiny", table, 60));
	assert_refused("/tiny holds no");
	header(table, "SSDT", "A", 1, 60);
	table[50]++;
	assert_false(add("/sum", table, 60));
	assert_refused("/sum: its SSDT has a wrong checksum");
	header(list, "XSDT", "A", 1, 40);
	assert_false(add("/list", list, 40));
	assert_refused("/list: its XSDT is a list");
	header(table, "FACP", "FW", 2, 64);
	assert_false(add("/fadt", table, 64));
	assert_refused("/fadt: its FACP is shorter");
	header(table, "FACS", "FW", 2, 60);
	assert_false(add("/facs", table, 60));
	assert_refused("/facs: its FACS has a length that no FACS has");
}

static void bytes_of_a_table_do_not_get_onto_the_screen(void **state)
{
	static const uint8_t id[] = {'\n', '\r', '\t', 0, 0x7f, 0xff};
	uint8_t table[40] = {0};

	header(table, "SSDT", "A\033[2J\n", 1, 40);
	memcpy(table + 10, id, sizeof(id));
	seal(table, 40, 9);
	assert_true(add("/a", table, 40));
	assert_false(add("/a", table, 40));
	assert_refused("/a: SSDT--A [2J has OEM revision");
}

static void firmware_tables_that_cannot_be_read_are_said(void **state)
{
	memory[RSDP - BASE]++;
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	assert_refused("the firmware's list of tables cannot be read");
	assert_false(acpi_set_read(&set, firmware, 0x1000, &error));
	memory[RSDP - BASE]--;
	memory[XSDT - BASE + 40]++; /* a list of a wrong checksum does not count: the other one does */
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	assert_int_equal(set.count, 2);
	memory[RSDT - BASE + 40]++;
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	fresh(NULL);
	put(memory + (SSDT - BASE) + 4, 20, 4);
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	assert_refused("the firmware's table at 0x7e004000");
	fresh(NULL);
	put(memory + (SSDT - BASE) + 4, BYTES, 4);
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	fresh(NULL);
	put(memory + (FADT - BASE) + 4, 100, 4);
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	fresh(NULL);
	memory[DSDT - BASE] = 'X';
	assert_false(acpi_set_read(&set, firmware, RSDP, &error));
	assert_refused("the firmware's DSDT at 0x7e003000");
}

static void tables_of_acpi_1_are_read_through_the_rsdt(void **state)
{
	const uint8_t *found;

	firmware_root(RSDT, 0);
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	assert_true(add_table("SSDT", "MINE", 1));
	write();
	assert_int_equal(count_listed("FACP", &found) + count_listed("APIC", &found), 2);
	assert_int_equal(count_listed("SSDT", &found), 1);
}

static void the_short_list_leaves_out_what_lies_above_4_gib(void **state)
{
	const uint8_t *found;

	put(memory + (XSDT - BASE) + 36 + 8, HIGH + (SSDT - BASE), 8);
	firmware_table(XSDT, "XSDT", 36 + 24);
	assert_true(acpi_set_read(&set, firmware, RSDP, &error));
	assert_true(add_table("SSDT", "MINE", 1));
	write();
	assert_int_equal(count_listed("SSDT", &found), 2);
	assert_int_equal(bytes_get_u32(list_of(16, 4) + 4), 36 + 3 * 4);
}

static void more_tables_than_there_is_room_for_are_refused(void **state)
{
	static uint8_t many[ACPI_LISTED_MAX][36];

	for (uint32_t i = 0; i < ACPI_LISTED_MAX; i++) {
		char name[9];

		snprintf(name, sizeof(name), "N%u", i);
		header(many[i], "SSDT", name, 1, 36);
	}
	assert_false(add("/many", many, sizeof(many)));
	assert_refused("acpi: more than 256 tables in all");
	assert_true(acpi_set_read(&set, firmware, 0, &error));
	assert_true(add("/many", many, sizeof(many)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, free_files)
	const struct CMUnitTest tests[] = {
		TEST(a_table_with_other_ids_is_added_behind_the_firmwares),
		TEST(a_higher_oem_revision_replaces_and_a_lower_or_equal_one_is_refused),
		TEST(of_a_kind_that_is_there_once_no_second_one_is_added),
		TEST(what_the_hypervisor_reads_is_what_was_made),
		TEST(a_new_fadt_keeps_the_firmwares_facs_and_dsdt),
		TEST(a_new_dsdt_gets_a_copy_of_the_firmwares_fadt),
		TEST(a_dsdt_above_4_gib_is_named_by_the_long_field_alone),
		TEST(a_firmware_without_tables_gets_all_from_files),
		TEST(a_dsdt_or_facs_that_no_fadt_names_is_refused),
		TEST(several_tables_in_one_file_are_taken_one_by_one),
		TEST(a_file_that_is_no_table_is_refused_with_its_name),
		TEST(bytes_of_a_table_do_not_get_onto_the_screen),
		TEST(firmware_tables_that_cannot_be_read_are_said),
		TEST(tables_of_acpi_1_are_read_through_the_rsdt),
		TEST(the_short_list_leaves_out_what_lies_above_4_gib),
		TEST(more_tables_than_there_is_room_for_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
