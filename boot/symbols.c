/* SPDX-License-Identifier: BSD-2-Clause */
/* See symbols.h. */
#include "boot/symbols.h"
#include "boot/console.h"
#include "lib/printf.h"
#include "lib/symbol_map.h"

/* A kernel's ELF file with its debugging information has more, and nothing else that would be needed. */
#define FILE_MAX (512ull << 20)

static bool refuse(const char *path, const struct symbol_fault *fault, struct boot_error *error)
{
	char line[24] = "";

	if (fault->line)
		snprintf(line, sizeof(line), "line %u: ", fault->line);
	return boot_error_set(error,
			      "symbols %s: %s%s; take a System.map, a copy of /proc/kallsyms or an"
			      " ELF file with symbols",
			      path, line, fault->what);
}

static bool make_table(const char *path, const uint8_t *file, uint64_t size, struct hv_memory *hv,
		       struct boot_error *error)
{
	struct symbol_fault fault;
	uint64_t bytes = symbol_map_measure(file, size, &fault);
	struct symbol_map *map;

	if (!bytes)
		return refuse(path, &fault, error);
	map = core_reserve_symbols(hv, bytes);
	if (!map)
		return boot_error_set(error,
				      "not enough memory for the symbols of %s, %llu KiB; remove the"
				      " line \"symbols\"",
				      path, (unsigned long long)bytes >> 10);
	symbol_map_build(file, size, map);
	console_print("umbra: symbols: %u of %s\n", map->count, path);
	return true;
}

bool symbols_load(const char *path, struct boot_volume *volume, struct hv_memory *hv,
		  struct boot_error *error)
{
	uint64_t size;
	char *file;
	bool good;

	if (!path[0])
		return true;
	if (EFI_ERROR(file_load(volume, path, FILE_MAX, &file, &size, error)))
		return false;
	good = make_table(path, (const uint8_t *)file, size, hv, error);
	memory_free(file);
	return good;
}
