/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables (the world of test_acpi.c): any bytes at all, with checksums made good or not; nothing is read but what
 * was asked for, and what is found makes sense.
 */
int test_acpi_main(void);
#define main test_acpi_main
#include "tests/unit/test_acpi.c"
#undef main

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define WINDOW 0x800u /* of memory for each table: what the input fills, one behind the other */

static const u64 places[] = {RSDP, XSDT, RSDT, FADT, DSDT, SSDT, OTHER};
static u8 *copies[256];
static u32 copied;

/* Every piece that is asked for is a block of its own, so that a read beyond it is caught. */
static const u8 *map_copy(u64 address, u32 bytes)
{
	const u8 *from = map(address, bytes);
	u8 *to;

	if (!from || copied == ARRAY_SIZE(copies))
		return NULL;
	to = malloc(bytes ? bytes : 1);
	memcpy(to, from, bytes);
	copies[copied++] = to;
	return to;
}

void fuzz_setup(void)
{
	host_log_quiet = true;
}

static void mend(u64 address)
{
	u64 length = memory[address + 4 - BASE] | (u64)memory[address + 5 - BASE] << 8;

	if (length >= 36 && length <= readable_end - address)
		seal(address, (u32)length, 9);
}

static void check(const struct acpi_byte *b)
{
	if (b->space > ACPI_MEMORY || (b->space == ACPI_PORT && b->address > 0xffff) ||
	    (b->space == ACPI_NOWHERE && b->address))
		abort();
}

static void free_copies(void)
{
	while (copied)
		free(copies[--copied]);
}

static u8 *edit_in_place(u64 address, u32 bytes)
{
	return (u8 *)map(address, bytes);
}

/* No processor is found twice; hiding them all goes no further than the tables. */
static void check_cpus(void)
{
	int err = acpi_find_cpus(map_copy, RSDP, &cpus);

	if ((err && err != -ENOENT) || !err != (cpus.count != 0) || cpus.count > ACPI_CPUS_MAX)
		abort();
	for (u32 i = 0; i < cpus.count; i++)
		for (u32 j = 0; j < i; j++)
			if (cpus.apic_id[i] == cpus.apic_id[j])
				abort();
	free_copies();
	acpi_hide_cpus(map_copy, edit_in_place, RSDP, &(struct acpi_cpus){.count = 1});
}

/* Flags: bit n mends the checksum of places[n]. Then for each place a length and so many bytes over what fresh() made. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 mended = (u32)fuzz_take(&in, 1);
	int err;

	fresh(NULL);
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		u32 offset = (u32)fuzz_take(&in, 2) % WINDOW, bytes = (u32)fuzz_take(&in, 1);

		for (u32 n = 0; n < bytes && in.left; n++)
			memory[places[i] - BASE + offset + n] = (u8)fuzz_take(&in, 1);
	}
	for (u32 i = 1; i < ARRAY_SIZE(places); i++)
		if (mended >> i & 1)
			mend(places[i]);
	if (mended & 1) {
		seal(RSDP, 20, 8);
		seal(RSDP, 36, 32);
	}
	err = acpi_find_sleep(map_copy, RSDP, &sleep);
	if (err && err != -ENOENT)
		abort();
	if (err)
		assert_nothing();
	for (u32 i = 0; i < ACPI_SLEEP_BLOCKS; i++) {
		check(&sleep.control[i]);
		check(&sleep.status[i]);
	}
	free_copies();
	check_cpus();
	free_copies();
	return 0;
}

/* Nothing changed; and each place with a few bytes of its own again. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u32 length = 1;

	if (n > ARRAY_SIZE(places))
		return 0;
	fresh(NULL);
	memset(out, 0, FUZZ_SEED_MAX);
	out[0] = 0xff;
	for (u32 i = 0; i < ARRAY_SIZE(places); i++) {
		bool mine = n == i + 1;

		out[length + 2] = mine ? 200 : 0;
		length += 3;
		if (mine)
			memcpy(out + length, memory + (places[i] - BASE), 200);
		length += mine ? 200 : 0;
	}
	return length;
}
