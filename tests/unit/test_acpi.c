/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleep registers, sleep types and processors found in made-up ACPI tables: good ones of each generation, and
 * tables whose lengths, pointers and checksums lie.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/acpi.h"

#define BASE 0x7e000000ull
#define BYTES 0x10000u
#define RSDP (BASE + 0x40)
#define XSDT (BASE + 0x1000)
#define RSDT (BASE + 0x2000)
#define FADT (BASE + 0x3004) /* tables need not be aligned */
#define DSDT (BASE + 0x4000)
#define SSDT (BASE + 0x5001)
#define OTHER (BASE + 0x6000)

static u8 memory[BYTES];
static u64 readable_end;
static struct acpi_sleep sleep;

static const u8 *map(u64 address, u32 bytes)
{
	if (address < BASE || address >= readable_end || bytes > readable_end - address)
		return NULL;
	return memory + (address - BASE);
}

static void put(u64 address, u64 value, u32 bytes)
{
	for (; bytes--; value >>= 8)
		memory[address++ - BASE] = (u8)value;
}

static void seal(u64 address, u32 bytes, u32 checksum_at)
{
	u8 *p = memory + (address - BASE), sum = 0;

	p[checksum_at] = 0;
	for (u32 i = 0; i < bytes; i++)
		sum += p[i];
	p[checksum_at] = (u8)-sum;
}

static void table(u64 address, const char *signature, u32 bytes)
{
	memcpy(memory + (address - BASE), signature, 4);
	put(address + 4, bytes, 4);
	seal(address, bytes, 9);
}

static void gas(u32 offset, u32 space, u64 address)
{
	put(FADT + offset, space, 1);
	put(FADT + offset + 1, 16, 1);
	put(FADT + offset + 4, address, 8);
}

static void definitions(u64 address, const char *signature, const char *code, u32 bytes)
{
	memcpy(memory + (address - BASE) + 36, code, bytes);
	table(address, signature, 36 + bytes);
}
#define AML(code) code, sizeof(code) - 1

static void root(u32 revision)
{
	static const char signature[] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};

	memcpy(memory + (RSDP - BASE), signature, sizeof(signature));
	put(RSDP + 15, revision, 1);
	put(RSDP + 16, RSDT, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, XSDT, 8);
	seal(RSDP, 20, 8);
	seal(RSDP, 36, 32);
}

/* As QEMU's q35 has them. */
static int fresh(void **state)
{
	memset(memory, 0, sizeof(memory));
	readable_end = BASE + BYTES;
	root(2);
	put(XSDT + 36, OTHER, 8);
	put(XSDT + 44, FADT, 8);
	put(XSDT + 52, SSDT, 8);
	table(XSDT, "XSDT", 60);
	put(RSDT + 36, FADT, 4);
	table(RSDT, "RSDT", 40);
	table(OTHER, "APIC", 44);
	put(FADT + 40, DSDT, 4);
	put(FADT + 56, 0x600, 4);
	put(FADT + 64, 0x604, 4);
	put(FADT + 88, 4, 1);
	put(FADT + 89, 2, 1);
	put(FADT + 140, DSDT, 8);
	gas(148, 1, 0x600);
	gas(172, 1, 0x604);
	table(FADT, "FACP", 268);
	definitions(DSDT, "DSDT",
		    AML("\x14\x09"
			"ABCD"
			"\x00\xa4\x01"
			"\x08_S3_\x12\x06\x04\x01\x01\x00\x00"
			"\x08_S4_\x12\x08\x04\x0a\x02\x0a\x02\x00\x00"
			"\x08_S5_\x12\x06\x04\x00\x00\x00\x00"));
	definitions(SSDT, "SSDT", AML("nothing here"));
	return 0;
}

static void quietly_find(int result)
{
	host_log_quiet = true;
	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), result);
	host_log_quiet = false;
}

static void assert_byte(const struct acpi_byte *b, enum acpi_space space, u64 address)
{
	assert_int_equal(b->space, space);
	assert_int_equal(b->address, address);
}

static void assert_nothing(void)
{
	static const struct acpi_sleep nothing;

	assert_memory_equal(&sleep, &nothing, sizeof(sleep));
}

static void the_tables_of_a_pc_are_understood(void **state)
{
	u32 warnings = host_log_count[LOG_WARN];

	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
	assert_int_equal(host_log_count[LOG_WARN], warnings);
	assert_byte(&sleep.control[ACPI_PM1A], ACPI_PORT, 0x605);
	assert_byte(&sleep.control[ACPI_X_PM1A], ACPI_PORT, 0x605);
	assert_byte(&sleep.status[ACPI_PM1A], ACPI_PORT, 0x601);
	assert_byte(&sleep.control[ACPI_PM1B], ACPI_NOWHERE, 0);
	assert_byte(&sleep.control[ACPI_REDUCED], ACPI_NOWHERE, 0);
	assert_true(sleep.type_a[3] == 1 << 1 && sleep.type_b[3] == 1 << 1);
	assert_true(sleep.type_a[4] == 1 << 2 && sleep.type_a[5] == 1 << 0 && sleep.type_a[1] == 0);
}

static void the_first_version_has_an_rsdt_and_a_short_fadt(void **state)
{
	root(0);
	put(FADT + 60, 0x800, 4);
	put(FADT + 68, 0x804, 4);
	table(FADT, "FACP", 116);
	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
	assert_byte(&sleep.control[ACPI_PM1A], ACPI_PORT, 0x605);
	assert_byte(&sleep.control[ACPI_PM1B], ACPI_PORT, 0x805);
	assert_byte(&sleep.status[ACPI_PM1B], ACPI_PORT, 0x801);
	assert_byte(&sleep.control[ACPI_X_PM1A], ACPI_NOWHERE, 0);
	assert_int_equal(sleep.type_a[3], 1 << 1);
}

static void registers_in_memory_and_other_address_spaces(void **state)
{
	gas(148, 0, 0xfed80800);
	gas(172, 0, 0xfed80804);
	gas(184, 0x7f, 0x1234); /* functional fixed hardware: nothing that could be trapped */
	table(FADT, "FACP", 268);
	quietly_find(0);
	assert_byte(&sleep.status[ACPI_X_PM1A], ACPI_MEMORY, 0xfed80801);
	assert_byte(&sleep.control[ACPI_X_PM1A], ACPI_MEMORY, 0xfed80805);
	assert_byte(&sleep.control[ACPI_X_PM1B], ACPI_NOWHERE, 0);
	gas(172, 1, 0x10000);
	gas(148, 0, ~0ull);
	table(FADT, "FACP", 268);
	quietly_find(0);
	assert_byte(&sleep.control[ACPI_X_PM1A], ACPI_NOWHERE, 0);
	assert_byte(&sleep.status[ACPI_X_PM1A], ACPI_NOWHERE, 0);
}

static void a_hardware_reduced_machine_has_only_its_own_registers(void **state)
{
	put(FADT + 112, BIT(20), 4);
	gas(244, 0, 0xfed40010);
	gas(256, 1, 0xb8);
	table(FADT, "FACP", 276);
	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
	assert_byte(&sleep.control[ACPI_REDUCED], ACPI_MEMORY, 0xfed40010);
	assert_byte(&sleep.status[ACPI_REDUCED], ACPI_PORT, 0xb8);
	for (u32 i = 0; i < ACPI_REDUCED; i++)
		assert_true(sleep.control[i].space == ACPI_NOWHERE && sleep.status[i].space == ACPI_NOWHERE);
}

static void sleep_types_of_every_form_are_read(void **state)
{
	static const struct {
		const char *code;
		u32 bytes;
		u8 a, b;
	} cases[] = {
		{AML("\x08_S3_\x12\x06\x04\x01\x01\x00\x00"), 1 << 1, 1 << 1},
		{AML("\x08_S3_\x12\x08\x04\x0a\x05\x0a\x06\x00\x00"), 1 << 5, 1 << 6},
		{AML("\x08\\_S3_\x12\x0a\x02\x0b\x05\x00\x0c\x03\x00\x00\x00"), 1 << 5, 1 << 3},
		{AML("\x08^^_S3_\x12\x04\x01\x0b\x05\x03"), 0, 0},           /* one byte short */
		{AML("\x08^^_S3_\x12\x05\x01\x0b\x05\x03"), 1 << 5, 1 << 3}, /* both in one integer */
		{AML("\x08_S3_\x12\x40\x01\x02\x01\x01"), 0, 0},             /* 16 bytes long, says its length */
		{AML("\x08_S3_\x12\x46\x00\x02\x01\xff"), 0, 0},
		{AML("\x08_S3_\x12\x45\x00\x02\x01\xff"), 1 << 1, 1 << 7},
		{AML("\x08_S3_\x12\xc7\x00\x00\x00\x02\x01\x00"), 1 << 1, 1 << 0},
		{AML("\x08_S3_\x12\xcf\xff\xff\xff\x02\x01\x00"), 0, 0},
		{AML("\x08_S3_\x12\x0c\x02\x0e\x05\0\0\0\0\0\0\0\x01"), 1 << 5, 1 << 1},
		{AML("\x08_S3_\x12\x04\x02\x01\x70"), 0, 0}, /* an element that is no constant */
		{AML("\x08_S3_\x12\x02\x00"), 0, 0},
		{AML("\x08_S3_\x12\x00\x02\x01\x01"), 0, 0},
		{AML("\x08_S3_\x12\x01\x02\x01\x01"), 0, 0},
		{AML("\x08_S3_\x12"), 0, 0},
		{AML("\x08_S3_"), 0, 0},
		{AML("\x08_S3"), 0, 0},
		{AML("\x08_S3_\x12\xc0"), 0, 0},
		{AML("\x14_S3_\x12\x06\x04\x01\x01\x00\x00"), 0, 0}, /* not a Name object */
		{AML("_S3_\x12\x06\x04\x01\x01\x00\x00"), 0, 0},
		{AML("^^^^^_S3_\x12\x04\x02\x01\x01"), 0, 0},
		{AML("\x08_S6_\x12\x06\x04\x01\x01\x00\x00"), 0, 0},
		{AML("\x08_S/_\x12\x06\x04\x01\x01\x00\x00"), 0, 0},
		{AML("\x08_S3_\x12\x04\x02\x01\x01\x08_S3_\x12\x04\x02\x00\x00"), 3, 3},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		fresh(NULL);
		definitions(DSDT, "DSDT", cases[i].code, cases[i].bytes);
		assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
		assert_int_equal(sleep.type_a[3], cases[i].a);
		assert_int_equal(sleep.type_b[3], cases[i].b);
	}
}

static void an_ssdt_may_have_them_and_the_dsdt_not(void **state)
{
	definitions(DSDT, "DSDT", AML(""));
	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
	assert_int_equal(sleep.type_a[3], 0);
	definitions(SSDT, "SSDT", AML("\x08_S3_\x12\x06\x04\x0a\x05\x0a\x05"));
	assert_int_equal(acpi_find_sleep(map, RSDP, &sleep), 0);
	assert_int_equal(sleep.type_a[3], 1 << 5);
}

static void a_wrong_checksum_anywhere_means_that_the_table_is_not_used(void **state)
{
	memory[RSDP - BASE + 9] ^= 1;
	quietly_find(-ENOENT);
	assert_nothing();
	fresh(NULL);
	memory[FADT - BASE + 100] ^= 1;
	quietly_find(-ENOENT);
	assert_nothing();
	fresh(NULL);
	memory[DSDT - BASE + 40] ^= 1;
	quietly_find(0);
	assert_true(sleep.control[ACPI_PM1A].space == ACPI_PORT && sleep.type_a[3] == 0);
	fresh(NULL);
	memory[RSDP - BASE + 33] ^= 1; /* only the second sum: the RSDT is still good */
	quietly_find(0);
	fresh(NULL);
	memory[XSDT - BASE + 12] ^= 1;
	quietly_find(0);
	assert_int_equal(sleep.type_a[3], 1 << 1);
}

static void lengths_that_lie_are_survived(void **state)
{
	static const u32 lengths[] = {0, 1, 35, 36, 37, 44, 0x7fffffff, 0xffffffff, 16u << 20, BYTES};
	static const u64 tables[] = {XSDT, RSDT, FADT, DSDT, SSDT, OTHER};
	static const char *const names[] = {"XSDT", "RSDT", "FACP", "DSDT", "SSDT", "APIC"};

	for (u32 t = 0; t < ARRAY_SIZE(tables); t++)
		for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
			fresh(NULL);
			put(tables[t] + 4, lengths[i], 4);
			if (lengths[i] <= readable_end - tables[t])
				table(tables[t], names[t], lengths[i]);
			host_log_quiet = true;
			(void)!acpi_find_sleep(map, RSDP, &sleep);
			host_log_quiet = false;
		}
}

/* Memory ends at every byte of every table in turn: nothing behind it is asked for. */
static void tables_that_are_cut_off_are_not_used(void **state)
{
	for (u64 end = BASE; end < BASE + 0x5100; end += (end & 0xfff) < 0x200 ? 1 : 0x80) {
		readable_end = end;
		host_log_quiet = true;
		(void)!acpi_find_sleep(map, RSDP, &sleep);
		host_log_quiet = false;
	}
	readable_end = DSDT + 50;
	quietly_find(0);
	assert_int_equal(sleep.type_a[3], 0);
	readable_end = FADT + 100;
	quietly_find(-ENOENT);
}

static void tables_that_name_each_other_come_to_an_end(void **state)
{
	put(XSDT + 36, XSDT, 8);
	put(XSDT + 52, RSDP, 8);
	table(XSDT, "XSDT", 60);
	put(FADT + 40, FADT, 4);
	put(FADT + 140, XSDT, 8);
	table(FADT, "FACP", 268);
	quietly_find(0);
	assert_int_equal(sleep.type_a[3], 0);
}

static void without_tables_there_is_nothing(void **state)
{
	assert_int_equal(acpi_find_sleep(map, 0, &sleep), -ENOENT);
	assert_nothing();
	host_log_quiet = true;
	assert_int_equal(acpi_find_sleep(map, BASE + BYTES, &sleep), -ENOENT);
	host_log_quiet = false;
	put(XSDT + 44, OTHER, 8);
	table(XSDT, "XSDT", 60);
	quietly_find(-ENOENT);
	assert_nothing();
}

/* --- processors ------------------------------------------------------------------------ */

static struct acpi_cpus cpus;
static u32 madt_bytes;

static u8 *edit(u64 address, u32 bytes)
{
	return (u8 *)map(address, bytes);
}

static u8 *no_edit(u64 address, u32 bytes)
{
	return NULL;
}

static void madt_begin(void)
{
	memset(memory + (OTHER - BASE), 0, 0x2000);
	put(OTHER + 36, 0xfee00000, 4);
	madt_bytes = 44;
}

/* Entries of a local APIC (type 0), of an x2APIC (9), and of anything else, of so many bytes. */
static void madt_cpu(u32 type, u32 apic_id, u32 flags, u32 bytes)
{
	u64 at = OTHER + madt_bytes;

	put(at, type, 1);
	put(at + 1, bytes, 1);
	put(at + 3, type == 0 ? apic_id : 0, 1);
	put(at + 4, type == 0 ? flags : apic_id, 4);
	if (type == 9)
		put(at + 8, flags, 4);
	madt_bytes += bytes;
}

static void madt_end(void)
{
	table(OTHER, "APIC", madt_bytes);
}

/* Four processors, one of them absent and one that may come; an I/O APIC among them. */
static void madt_of_a_pc(void)
{
	madt_begin();
	madt_cpu(0, 0, 1, 8);
	madt_cpu(0, 1, 1, 8);
	madt_cpu(1, 2, 1, 12);
	madt_cpu(0, 4, 0, 8);
	madt_cpu(0, 5, 2, 8);
	madt_cpu(9, 0x10002, 3, 16);
	madt_end();
}

/* Hides all processors but one. */
static void keep(acpi_map_fn *map_it, acpi_edit_fn *edit_it, u32 apic_id)
{
	acpi_hide_cpus(map_it, edit_it, RSDP, &(struct acpi_cpus){.count = 1, .apic_id = {apic_id}});
}

static u32 flags_of(u32 offset)
{
	u32 value;

	memcpy(&value, memory + (OTHER - BASE) + offset, 4);
	return value;
}

static void assert_sum_is_zero(u64 address, u32 bytes)
{
	u8 sum = 0;

	for (u32 i = 0; i < bytes; i++)
		sum = (u8)(sum + memory[address - BASE + i]);
	assert_int_equal(sum, 0);
}

static void enabled_processors_of_both_kinds_are_found(void **state)
{
	madt_of_a_pc();
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_int_equal(cpus.count, 3);
	assert_int_equal(cpus.left_off, 0);
	assert_true(cpus.apic_id[0] == 0 && cpus.apic_id[1] == 1 && cpus.apic_id[2] == 0x10002);
	root(0); /* the RSDT names no MADT */
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), -ENOENT);
	assert_int_equal(cpus.count, 0);
}

static void a_processor_that_is_listed_twice_counts_once_and_broadcasts_are_none(void **state)
{
	madt_begin();
	madt_cpu(9, 3, 1, 16);
	madt_cpu(0, 3, 1, 8);
	madt_cpu(0, 0xff, 1, 8);
	madt_cpu(9, 0xff, 1, 16);
	madt_cpu(9, 0xffffffff, 1, 16);
	madt_end();
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_true(cpus.count == 2 && cpus.apic_id[0] == 3 && cpus.apic_id[1] == 0xff);
}

static void more_processors_than_there_is_room_for_are_counted(void **state)
{
	madt_begin();
	for (u32 i = 0; i < ACPI_CPUS_MAX + 5; i++)
		madt_cpu(9, 0x1000 + i, 1, 16);
	madt_end();
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_true(cpus.count == ACPI_CPUS_MAX && cpus.left_off == 5);
	assert_int_equal(cpus.apic_id[ACPI_CPUS_MAX - 1], 0x1000 + ACPI_CPUS_MAX - 1);
}

static void madt_ioapic(u64 address, u32 first)
{
	u64 at = OTHER + madt_bytes;

	madt_cpu(1, 0, 0, 12);
	put(at + 4, address, 4);
	put(at + 8, first, 4);
}

static void madt_override(u8 irq, u32 global, u32 flags)
{
	u64 at = OTHER + madt_bytes;

	madt_cpu(2, 0, 0, 10);
	put(at + 3, irq, 1);
	put(at + 4, global, 4);
	put(at + 8, flags, 2);
}

/* By the I/O APIC whose inputs begin last before it, and by an override. */
static void an_interrupt_of_the_isa_bus_is_found(void **state)
{
	struct acpi_pin pin;

	madt_begin();
	madt_ioapic(0xfec00000, 0);
	madt_ioapic(0xfec10000, 24);
	madt_override(4, 30, 0xf);
	madt_end();
	assert_int_equal(acpi_find_pin(map, RSDP, 3, &pin), 0);
	assert_true(pin.ioapic == 0xfec00000 && pin.input == 3 && pin.flags == 0);
	assert_int_equal(acpi_find_pin(map, RSDP, 4, &pin), 0);
	assert_true(pin.ioapic == 0xfec10000 && pin.input == 6 && pin.flags == 0xf);
	assert_true(ACPI_PIN_POLARITY(pin.flags) == 3 && ACPI_PIN_TRIGGER(pin.flags) == 3);
	madt_begin();
	madt_ioapic(0xfec00000, 24);
	madt_end();
	assert_int_equal(acpi_find_pin(map, RSDP, 3, &pin), -ENOENT);
	madt_of_a_pc();
	root(0);
	assert_int_equal(acpi_find_pin(map, RSDP, 3, &pin), -ENOENT);
}

/* What stands before an entry that lies is found, nothing behind it. */
static void entries_whose_lengths_lie_end_the_list(void **state)
{
	static const u32 lengths[] = {0, 1, 13, 255};

	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		madt_begin();
		madt_cpu(0, 7, 1, 8);
		madt_cpu(0, 8, 1, 8);
		put(OTHER + 44 + 8 + 1, lengths[i], 1);
		madt_bytes += 4;
		madt_end();
		assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
		assert_true(cpus.count == 1 && cpus.apic_id[0] == 7);
	}
	/* Too short for what their type has: passed by. */
	madt_begin();
	madt_cpu(0, 7, 1, 7);
	madt_cpu(9, 8, 1, 15);
	madt_cpu(0, 9, 1, 8);
	madt_end();
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_true(cpus.count == 1 && cpus.apic_id[0] == 9);
	for (u32 bytes = 36; bytes < 44; bytes++) {
		table(OTHER, "APIC", bytes);
		assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), -ENOENT);
		keep(map, edit, 0);
	}
}

static void hidden_processors_are_absent_and_the_checksum_is_right(void **state)
{
	static u8 before[0x1000];
	u32 changed = 0;

	madt_of_a_pc();
	memcpy(before, memory + (OTHER - BASE), sizeof(before));
	keep(map, edit, 1);
	assert_sum_is_zero(OTHER, madt_bytes);
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_true(cpus.count == 1 && cpus.apic_id[0] == 1);
	assert_int_equal(flags_of(44 + 8 + 8 + 12 + 8 + 4), 0); /* none that may come */
	for (u32 i = 0; i < sizeof(before); i++)
		changed += before[i] != memory[OTHER - BASE + i];
	assert_int_equal(changed, 4); /* three entries and the checksum */
	memcpy(before, memory + (OTHER - BASE), sizeof(before));
	keep(map, edit, 1);
	assert_memory_equal(before, memory + (OTHER - BASE), sizeof(before));
}

/* In whatever order they are kept; who is no processor, or may come later and is kept, changes nothing. */
static void of_several_kept_processors_each_stays_as_it_is(void **state)
{
	static const struct {
		struct acpi_cpus kept;
		u32 changed; /* bytes, the checksum among them */
	} cases[] = {
		{{.count = 2, .apic_id = {0x10002, 0}}, 3},
		{{.count = 3, .apic_id = {1, 0x10002, 0}}, 2},
		{{.count = 4, .apic_id = {5, 1, 0, 0x10002}}, 0},
		{{.count = 3, .apic_id = {0, 7, 4}}, 4},
		{{.count = 1, .apic_id = {1, 0, 0x10002}}, 4}, /* what is behind the count does not */
		{{.count = 0}, 5},
	};
	static u8 before[0x1000];

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct acpi_cpus *kept = &cases[i].kept;
		u32 changed = 0, found = 0;

		fresh(NULL);
		madt_of_a_pc();
		memcpy(before, memory + (OTHER - BASE), sizeof(before));
		acpi_hide_cpus(map, edit, RSDP, kept);
		assert_sum_is_zero(OTHER, madt_bytes);
		for (u32 at = 0; at < sizeof(before); at++)
			changed += before[at] != memory[OTHER - BASE + at];
		assert_int_equal(changed, cases[i].changed);
		assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), cases[i].kept.count ? 0 : -ENOENT);
		for (u32 n = 0; n < cpus.count; n++)
			for (u32 k = 0; k < kept->count; k++)
				found += cpus.apic_id[n] == kept->apic_id[k];
		assert_int_equal(found, cpus.count);
	}
}

static void the_madt_of_either_list_is_changed(void **state)
{
	madt_of_a_pc();
	memcpy(memory + (SSDT - BASE), memory + (OTHER - BASE), madt_bytes); /* a copy that only the RSDT names */
	put(RSDT + 36, SSDT, 4);
	table(RSDT, "RSDT", 40);
	keep(map, edit, 0);
	assert_memory_equal(memory + (SSDT - BASE), memory + (OTHER - BASE), madt_bytes);
	assert_int_equal(flags_of(44 + 8 + 4), 0);
}

static void a_table_that_cannot_be_changed_is_left_and_said(void **state)
{
	static u8 before[BYTES];
	u32 warnings = host_log_count[LOG_WARN];

	madt_of_a_pc();
	memcpy(before, memory, BYTES);
	host_log_quiet = true;
	keep(map, no_edit, 0);
	host_log_quiet = false;
	assert_memory_equal(before, memory, BYTES);
	assert_int_equal(host_log_count[LOG_WARN], warnings + 1);
	acpi_hide_cpus(map, edit, 0, &(struct acpi_cpus){.count = 1});
	assert_memory_equal(before, memory, BYTES);
}

static void a_madt_of_a_wrong_checksum_is_what_a_guest_uses(void **state)
{
	u8 sum = 0;

	madt_of_a_pc();
	memory[OTHER - BASE + 9] ^= 1;
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_int_equal(cpus.count, 3);
	for (u32 i = 0; i < madt_bytes; i++)
		sum = (u8)(sum + memory[OTHER - BASE + i]);
	assert_int_not_equal(sum, 0);
	keep(map, edit, 1);
	assert_int_equal(acpi_find_cpus(map, RSDP, &cpus), 0);
	assert_true(cpus.count == 1 && cpus.apic_id[0] == 1);
	for (u32 i = 0; i < madt_bytes; i++)
		sum = (u8)(sum - memory[OTHER - BASE + i]);
	assert_int_equal(sum, 0); /* as wrong as before */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_tables_of_a_pc_are_understood, fresh),
		cmocka_unit_test_setup(the_first_version_has_an_rsdt_and_a_short_fadt, fresh),
		cmocka_unit_test_setup(registers_in_memory_and_other_address_spaces, fresh),
		cmocka_unit_test_setup(a_hardware_reduced_machine_has_only_its_own_registers, fresh),
		cmocka_unit_test_setup(sleep_types_of_every_form_are_read, fresh),
		cmocka_unit_test_setup(an_ssdt_may_have_them_and_the_dsdt_not, fresh),
		cmocka_unit_test_setup(a_wrong_checksum_anywhere_means_that_the_table_is_not_used, fresh),
		cmocka_unit_test_setup(lengths_that_lie_are_survived, fresh),
		cmocka_unit_test_setup(tables_that_are_cut_off_are_not_used, fresh),
		cmocka_unit_test_setup(tables_that_name_each_other_come_to_an_end, fresh),
		cmocka_unit_test_setup(without_tables_there_is_nothing, fresh),
		cmocka_unit_test_setup(enabled_processors_of_both_kinds_are_found, fresh),
		cmocka_unit_test_setup(an_interrupt_of_the_isa_bus_is_found, fresh),
		cmocka_unit_test_setup(a_processor_that_is_listed_twice_counts_once_and_broadcasts_are_none, fresh),
		cmocka_unit_test_setup(more_processors_than_there_is_room_for_are_counted, fresh),
		cmocka_unit_test_setup(entries_whose_lengths_lie_end_the_list, fresh),
		cmocka_unit_test_setup(hidden_processors_are_absent_and_the_checksum_is_right, fresh),
		cmocka_unit_test_setup(of_several_kept_processors_each_stays_as_it_is, fresh),
		cmocka_unit_test_setup(the_madt_of_either_list_is_changed, fresh),
		cmocka_unit_test_setup(a_table_that_cannot_be_changed_is_left_and_said, fresh),
		cmocka_unit_test_setup(a_madt_of_a_wrong_checksum_is_what_a_guest_uses, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
