/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key "acpi" (the world of test_boot_acpi.c): any firmware tables and any files, checksums made good or not. What is
 * taken is written into the bytes that were asked for, good sums on all that is new, and read again by the
 * hypervisor's reader; what is refused has one line.
 */
int test_boot_acpi_main(void);
#define main test_boot_acpi_main
#include "tests/unit/test_boot_acpi.c"
#undef main

#include "tests/fuzz/fuzz.h"
#include "tests/unit/host.h"

#define WINDOW 0x100u /* of memory for each table: what the input fills, one behind the other */
#define FILES 3u

static const uint64_t places[] = {RSDP, XSDT, RSDT, FADT, DSDT, SSDT, MADT};

void fuzz_setup(void)
{
	host_log_quiet = true;
}

static void mend(uint8_t *table, uint64_t room)
{
	uint64_t length = room >= ACPI_HEADER_BYTES ? bytes_get_u32(table + 4) : 0;

	if (length >= ACPI_HEADER_BYTES && length <= room)
		seal(table, (uint32_t)length, 9);
}

static void change_firmware(struct fuzz_input *in, uint32_t mended)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(places); i++) {
		uint8_t *at = memory + (places[i] - BASE);
		uint32_t offset = (uint32_t)fuzz_take(in, 1) % WINDOW, bytes = (uint32_t)fuzz_take(in, 1);

		for (uint32_t n = 0; n < bytes && in->left; n++)
			at[offset + n] = (uint8_t)fuzz_take(in, 1);
		if (i && mended >> i & 1)
			mend(at, BYTES - (places[i] - BASE));
	}
	if (mended & 1) {
		seal(memory + (RSDP - BASE), 20, 8);
		seal(memory + (RSDP - BASE), 36, 32);
	}
}

static bool add_files(struct fuzz_input *in, uint32_t mended)
{
	for (uint32_t i = 0; i < FILES; i++) {
		uint32_t bytes = (uint32_t)fuzz_take(in, 1);
		uint8_t *file = make_file("", 0);

		free(file);
		file = files[file_count - 1] = calloc(1, bytes ? bytes : 1);
		for (uint32_t n = 0; n < bytes; n++)
			file[n] = (uint8_t)fuzz_take(in, 1);
		if (mended >> i & 1)
			mend(file, bytes);
		if (!acpi_set_add(&set, "/file", file, bytes, &error))
			return false;
	}
	return acpi_set_check(&set, &error);
}

/* Into blocks of the very size, and then where a guest finds them. */
static void write_all(void)
{
	uint64_t bytes = acpi_set_bytes(&set), facs_bytes = acpi_set_facs_bytes(&set);
	uint8_t *to, *facs;

	if (bytes > sizeof(out) || facs_bytes > sizeof(out_facs))
		return;
	to = calloc(1, bytes);
	facs = calloc(1, facs_bytes ? facs_bytes : 1);
	acpi_set_write(&set, to, OUT, facs, OUT_FACS);
	memcpy(out, to, bytes);
	memcpy(out_facs, facs, facs_bytes);
	free(to);
	free(facs);
	if (sum(out, 20) || sum(out, 36))
		abort();
	list_of(24, 8);
	list_of(16, 4);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint32_t mended = (uint32_t)fuzz_take(&in, 1), mended_files = (uint32_t)fuzz_take(&in, 1);
	struct acpi_sleep sleep;
	struct acpi_cpus cpus;

	fresh(NULL);
	memset(&error, 0, sizeof(error));
	change_firmware(&in, mended);
	if (acpi_set_read(&set, firmware, RSDP, &error) && add_files(&in, mended_files)) {
		write_all();
		if (acpi_find_sleep(guest, OUT, &sleep) && acpi_find_cpus(guest, OUT, &cpus) && cpus.count)
			abort();
	} else if (!error.text[0] || strchr(error.text, '\n')) {
		abort();
	}
	free_files(NULL);
	return 0;
}

/* Nothing changed, and one file with each of the firmware's tables of a higher revision. */
u32 fuzz_seed(u32 n, u8 seed[FUZZ_SEED_MAX])
{
	static const uint64_t newer[] = {FADT, DSDT, SSDT, MADT};
	u32 length = 2 + 2 * ARRAY_SIZE(places), bytes;
	const uint8_t *table;

	if (n >= ARRAY_SIZE(newer))
		return 0;
	fresh(NULL);
	table = memory + (newer[n] - BASE);
	bytes = bytes_get_u32(table + 4);
	memset(seed, 0, FUZZ_SEED_MAX);
	seed[0] = seed[1] = 0xff;
	seed[length++] = (u8)bytes;
	memcpy(seed + length, table, bytes);
	seed[length + 24]++;
	return length + bytes;
}
