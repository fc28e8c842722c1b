/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The target description that GDB reads (target.xml, "GDB manual" appendix G), for guests of 64, 32 and 16 bits, and the
 * numbers and widths of the registers in it. GDB reads it once, when it begins. x87 registers are in it, as GDB demands, and never available.
 */
#ifndef DEBUG_GDB_DESCRIBE_H
#define DEBUG_GDB_DESCRIBE_H

#include "debug/gdb_target.h"

struct gdb_register_row {
	const char *name, *type;
	u8 bits;  /* 80: of the x87 unit */
	u8 which; /* enum gdb_register; GDB_REGISTERS: never available */
};

/* bits: 64, 32 or 16. */
u32 gdb_register_count(u32 bits);

/* number < gdb_register_count(). */
struct gdb_register_row gdb_register_row(u32 bits, u32 number);

/* The number of a register that every description has: RIP, RSP, RBP. */
u32 gdb_register_number(u32 bits, enum gdb_register which);

/* Calls put for each character of the description. */
void gdb_describe(u32 bits, void (*put)(void *to, char c), void *to);

#endif
