/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The symbols of a guest's kernel as a table: what the loader makes of a file (key "symbols" of a boot entry, docs/debugging.md)
 * and debug/ looks things up in. Files are text, a line for each symbol as nm, System.map and /proc/kallsyms write it
 * ("ffffffff81000000 T _text"), or ELF files with a symbol table (System V gABI, chapter 4, "Symbol Table").
 *
 *   | struct symbol_map | symbol[count], by address | names, each with a NUL behind it |
 *
 * Pure functions over memory; no allocation, no locks, no recursion.
 */
#ifndef LIB_SYMBOL_MAP_H
#define LIB_SYMBOL_MAP_H

#include "lib/types.h"

#define SYMBOL_MAP_MAGIC 0x53594d42u
#define SYMBOL_NAME_MAX 511u /* characters; Linux's KSYM_NAME_LEN is 512 */

struct symbol {
	u64 address; /* as in the file */
	u32 name;    /* where it begins in the names */
	char type;   /* nm's letter, small if it is local; A: an absolute value */
	u8 reserved[3];
};
_Static_assert(sizeof(struct symbol) == 16, "layout shared with boot/");

struct symbol_map {
	u32 magic, count;
	u32 names_bytes, reserved;
	u64 code; /* the lowest address of code: what is below is a value, such as an offset into a CPU's own data */
	struct symbol symbol[];
};

/* What is wrong with a file. */
struct symbol_fault {
	const char *what;
	u32 line; /* of a text; 0: of none */
};

/*
 * The bytes that the table of this file takes, or 0 and why: a line or a symbol table that makes no sense, no symbols, addresses that
 * are hidden (all 0). Symbols of modules ("name\t[module]") are left out: the next start puts them elsewhere.
 */
u64 symbol_map_measure(const u8 *file, u64 size, struct symbol_fault *fault);

/* Makes the table, for which there are as many bytes as symbol_map_measure() has said of this file. */
void symbol_map_build(const u8 *file, u64 size, struct symbol_map *map);

/* Does it hang together, within so many bytes? For who was handed one. */
bool symbol_map_is_good(const struct symbol_map *map, u64 bytes);

const char *symbol_map_name(const struct symbol_map *map, const struct symbol *symbol);

/* The last symbol at or below an address of the file, a global one first; NULL: none, or it lies below all code. */
const struct symbol *symbol_map_at(const struct symbol_map *map, u64 address);

/* The one of that name, the lowest if several have it; NULL: none. */
const struct symbol *symbol_map_find(const struct symbol_map *map, const char *name, u32 length);

/* Does it move when the kernel is loaded elsewhere? */
bool symbol_moves(const struct symbol_map *map, const struct symbol *symbol);
bool symbol_is_code(const struct symbol *symbol);

#endif
