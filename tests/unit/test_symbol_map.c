/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols of text and ELF files as a table (lib/symbol_map.c), and that nothing in a file leads out of it. */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/symbol_map.h"
#include "tests/unit/rng.h"

static struct rng rng = {7};

static struct symbol_fault fault;

/* In blocks of their own size, so that a read or a write beyond them is caught. NULL: fault says why. */
static struct symbol_map *make(const void *file, size_t size)
{
	u8 *copy = malloc(size ? size : 1);
	struct symbol_map *map = NULL;
	u64 bytes;

	memcpy(copy, file, size);
	bytes = symbol_map_measure(copy, size, &fault);
	assert_true(!bytes == !!fault.what);
	if (bytes) {
		map = malloc(bytes);
		symbol_map_build(copy, size, map);
		assert_true(symbol_map_is_good(map, bytes));
		assert_false(symbol_map_is_good(map, bytes - 1));
	}
	free(copy);
	return map;
}

static void assert_name(const struct symbol_map *map, u64 address, const char *name)
{
	const struct symbol *symbol = symbol_map_at(map, address);

	assert_true(!symbol == !name);
	if (name)
		assert_string_equal(symbol_map_name(map, symbol), name);
}

static u64 address_of(const struct symbol_map *map, const char *name)
{
	const struct symbol *symbol = symbol_map_find(map, name, (u32)strlen(name));

	assert_non_null(symbol);
	return symbol->address;
}

static const char text[] = "0000000000000000 A fixed_percpu_data\n"
			   "0000000000021000 D cpu_info\n"
			   "ffffffff81000000 t startup_64_local\n"
			   "ffffffff81000000 T _text\r\n"
			   "ffffffff81000040 T secondary_startup_64\n"
			   "ffffffffc0400000 t in_a_module\t[ext4]\n"
			   "ffffffff82000000 D init_task\n"
			   "\n"
			   "ffffffff81800000 T entry_SYSCALL_64\n"
			   "ffffffff82a00000 B _end";

static void text_is_sorted_and_looked_up(void **state)
{
	struct symbol_map *map = make(text, sizeof(text) - 1);

	assert_int_equal(map->count, 8);
	assert_int_equal(map->code, 0xffffffff81000000);
	assert_name(map, 0xffffffff81000000, "_text"); /* the global one of two */
	assert_name(map, 0xffffffff8100003f, "_text");
	assert_name(map, 0xffffffff81000040, "secondary_startup_64");
	assert_name(map, 0xffffffff81ffffff, "entry_SYSCALL_64");
	assert_name(map, ~0ull, "_end");
	assert_name(map, 0xffffffff80ffffff, NULL); /* values, and no places */
	assert_name(map, 0, NULL);
	assert_int_equal(address_of(map, "init_task"), 0xffffffff82000000);
	assert_int_equal(address_of(map, "cpu_info"), 0x21000);
	assert_false(symbol_moves(map, symbol_map_find(map, "cpu_info", 8)));
	assert_true(symbol_moves(map, symbol_map_find(map, "init_task", 9)));
	assert_true(symbol_is_code(symbol_map_find(map, "_text", 5)));
	assert_false(symbol_is_code(symbol_map_find(map, "_end", 4)));
	assert_null(symbol_map_find(map, "in_a_module", 11));
	assert_null(symbol_map_find(map, "_tex", 4));
	free(map);
}

static void bad_text_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *file, *what;
		u32 line;
	} cases[] = {
		{"", "no symbols", 0},
		{"\n\n", "no symbols", 0},
		{"0000000000000000 T a\n0000000000000000 T b\n", "/proc/kallsyms as root", 0},
		{"ffffffff81000000 T a\nhello\n", "no address", 2},
		{"ffffffff81000000 T a\n\nffffffff81000000\n", "behind the address", 3},
		{"fffffffff81000000 T a\n", "more than 16 digits", 1},
		{"ffffffff81000000 T \n", "behind the address", 1},
		{"ffffffff81000000  T a\n", "behind the address", 1},
		{"ffffffff81000000 T a\xff\n", "the name is empty", 1},
		{"<html>\n", "no address", 1},
		{"ffffffff81000000 t a\t[m]\n", "no symbols", 0},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(make(cases[i].file, strlen(cases[i].file)));
		assert_non_null(strstr(fault.what, cases[i].what));
		assert_int_equal(fault.line, cases[i].line);
	}
}

static void a_long_name_is_refused(void **state)
{
	char file[600] = "ffffffff81000000 T ";

	memset(file + 19, 'a', SYMBOL_NAME_MAX);
	file[19 + SYMBOL_NAME_MAX] = '\0';
	free(make(file, strlen(file)));
	assert_null(fault.what);
	file[19 + SYMBOL_NAME_MAX] = 'a';
	file[20 + SYMBOL_NAME_MAX] = '\0';
	assert_null(make(file, strlen(file)));
	assert_non_null(strstr(fault.what, "longer than 511"));
}

/* --- ELF --------------------------------------------------------------------------------- */

#define ELF_BYTES 640u

static void set(u8 *file, u32 at, u64 value, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		file[at + i] = (u8)(value >> 8 * i);
}

/* A header, four sections from 64 on (none, code, symbols, names), symbols from 320 on and names from 560 on. */
static void write_elf(u8 file[ELF_BYTES])
{
	static const u8 ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	static const char names[] = "\0run\0data\0file\0local\0value";
	static const struct {
		u8 name, info;
		u16 section;
		u64 value;
	} symbols[] = {
		{0, 0, 0, 0},           {1, 0x12, 1, 0x401000},  {5, 0x11, 3, 0x500000},
		{10, 0x04, 0xfff1, 0},  {15, 0x00, 1, 0x401040}, {21, 0x10, 0xfff1, 0x401800},
		{1, 0x12, 0, 0x999999},
	};

	memset(file, 0, ELF_BYTES);
	memcpy(file, ident, sizeof(ident));
	set(file, 40, 64, 8);
	set(file, 58, 64, 2);
	set(file, 60, 4, 2);
	set(file, 64 + 64 + 8, 6, 8);
	set(file, 64 + 128 + 4, 2, 4);
	set(file, 64 + 128 + 24, 320, 8);
	set(file, 64 + 128 + 32, 24 * ARRAY_SIZE(symbols), 8);
	set(file, 64 + 128 + 40, 3, 4);
	set(file, 64 + 128 + 56, 24, 8);
	set(file, 64 + 192 + 4, 3, 4);
	set(file, 64 + 192 + 24, 560, 8);
	set(file, 64 + 192 + 32, sizeof(names), 8);
	memcpy(file + 560, names, sizeof(names));
	for (u32 i = 0; i < ARRAY_SIZE(symbols); i++) {
		set(file, 320 + 24 * i, symbols[i].name, 4);
		set(file, 324 + 24 * i, symbols[i].info, 1);
		set(file, 326 + 24 * i, symbols[i].section, 2);
		set(file, 328 + 24 * i, symbols[i].value, 8);
	}
}

static void elf_symbols_are_taken(void **state)
{
	u8 file[ELF_BYTES];
	struct symbol_map *map;

	write_elf(file);
	map = make(file, sizeof(file));
	assert_non_null(map);
	assert_int_equal(map->count, 4);
	assert_name(map, 0x401001, "run");
	assert_name(map, 0x401900, "local"); /* an absolute value is no place */
	assert_name(map, 0x500010, "data");
	assert_int_equal(address_of(map, "value"), 0x401800);
	assert_true(symbol_is_code(symbol_map_find(map, "local", 5)));
	assert_false(symbol_is_code(symbol_map_find(map, "data", 4)));
	free(map);
}

static void a_damaged_elf_file_is_refused(void **state)
{
	static const struct {
		u32 at, bytes;
		u64 value;
		const char *what;
	} cases[] = {
		{5, 1, 2, "byte order"},
		{58, 2, 60, "list of sections"},
		{40, 8, ~0ull, "list of sections"},
		{60, 2, 0xffff, "list of sections"},
		{64 + 128 + 4, 4, 1, "stripped"},
		{64 + 128 + 24, 8, ~0ull - 8, "symbol table is damaged"},
		{64 + 128 + 32, 8, 1 << 20, "symbol table is damaged"},
		{64 + 128 + 56, 8, 16, "symbol table is damaged"},
		{64 + 128 + 40, 4, 4, "no names"},
		{64 + 192 + 24, 8, 1 << 20, "no names"},
		{64 + 192 + 32, 8, 4, "no names"},
		{320 + 24, 4, 1 << 20, "beyond the names"},
	};
	u8 file[ELF_BYTES];

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		write_elf(file);
		set(file, cases[i].at, cases[i].value, cases[i].bytes);
		assert_null(make(file, sizeof(file)));
		assert_non_null(strstr(fault.what, cases[i].what));
		assert_int_equal(fault.line, 0);
	}
	write_elf(file);
	for (u32 size = 0; size < ELF_BYTES; size++)
		free(make(file, size));
}

/* Symbols of an ELF file may share a name, so a file is shorter than what becomes of it. */
static void more_than_a_table_holds_is_refused(void **state)
{
	static const struct {
		u32 count, length;
		const char *what;
	} cases[] = {
		{(1u << 19) + 1, SYMBOL_NAME_MAX, "longer than 256 MiB"},
		{(1u << 22) + 1, 1, "more symbols than"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 names = 320, table = names + SYMBOL_NAME_MAX + 1, size = table + 24 * cases[i].count;
		u8 *file = calloc(1, size);

		write_elf(file);
		memset(file + names, 0, ELF_BYTES - names);
		memset(file + names, 'n', cases[i].length);
		set(file, 64 + 128 + 24, table, 8);
		set(file, 64 + 128 + 32, 24ull * cases[i].count, 8);
		set(file, 64 + 192 + 24, names, 8);
		set(file, 64 + 192 + 32, SYMBOL_NAME_MAX + 1, 8);
		for (u32 k = 0; k < cases[i].count; k++) {
			set(file, table + 24 * k + 4, 0x12, 1);
			set(file, table + 24 * k + 6, 1, 2);
			set(file, table + 24 * k + 8, 0x401000, 8);
		}
		assert_int_equal(symbol_map_measure(file, size, &fault), 0);
		assert_non_null(strstr(fault.what, cases[i].what));
		free(file);
	}
}

static void random_changes_lead_nowhere(void **state)
{
	u8 elf[ELF_BYTES];
	char copy[sizeof(text)];

	for (u32 round = 0; round < 20000; round++) {
		u8 *file = round % 2 ? elf : (u8 *)copy;
		u32 size = round % 2 ? ELF_BYTES : sizeof(text) - 1;

		write_elf(elf);
		memcpy(copy, text, sizeof(text));
		for (u32 i = 0; i <= round % 5; i++)
			file[rng_below(&rng, size)] = (u8)rng_next(&rng);
		free(make(file, size));
	}
}

static void many_symbols_are_in_order(void **state)
{
	enum { COUNT = 3000 };
	char *file = malloc(COUNT * 32), *at = file;
	struct symbol_map *map;

	for (u32 i = 0; i < COUNT; i++)
		at += sprintf(at, "%016x T f%u\n", 0x1000 + (u32)rng_below(&rng, 1 << 20), i);
	map = make(file, (size_t)(at - file));
	assert_int_equal(map->count, COUNT);
	for (u32 i = 1; i < COUNT; i++)
		assert_true(map->symbol[i - 1].address <= map->symbol[i].address);
	free(map);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_sorted_and_looked_up),
		cmocka_unit_test(bad_text_is_refused_with_its_line),
		cmocka_unit_test(a_long_name_is_refused),
		cmocka_unit_test(elf_symbols_are_taken),
		cmocka_unit_test(a_damaged_elf_file_is_refused),
		cmocka_unit_test(more_than_a_table_holds_is_refused),
		cmocka_unit_test(random_changes_lead_nowhere),
		cmocka_unit_test(many_symbols_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
