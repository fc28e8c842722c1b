/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoded instruction as text, in the manuals' syntax and Intel's names (docs/decisions/disassembler.md). What a kernel is made of has
 * its name; x87, vector and seldom instructions are shown by map and opcode, with their operand in memory. Pure functions.
 */
#ifndef DEBUG_DISASSEMBLE_H
#define DEBUG_DISASSEMBLE_H

#include "arch/x86/guest/decode.h"

#define DISASSEMBLE_TEXT 80u

/* Its name, or NULL: it is shown as an opcode. */
const char *disassemble_name(const struct insn *insn, u32 bits);

/*
 * The whole instruction at address, of code of so many bits (16, 32, 64). Returns an address that it names, for whoever has symbols: the
 * target of a branch, memory by RIP; 0: none.
 */
u64 disassemble(const struct insn *insn, u64 address, u32 bits, char out[DISASSEMBLE_TEXT]);

#endif
