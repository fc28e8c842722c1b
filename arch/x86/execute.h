/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction of the guest, executed by the hypervisor with the guest's general
 * registers, arithmetic flags and vector and x87 state, which is in the CPU all the time. The
 * only place where the hypervisor touches that state. The instruction lies on a page of
 * its own; its memory operand is a copy, the *bounce*.
 */
#ifndef ARCH_X86_EXECUTE_H
#define ARCH_X86_EXECUTE_H

#include "lib/types.h"
#include "lib/x86.h"

#define EXECUTE_CODE_MAX 15
#define EXECUTE_DATA_MAX 32u
#define EXECUTE_LINE 64u
#define EXECUTE_AREA 512u

/* Where the last x87 instruction was, for FNSTENV and its like; SDM vol. 1 section 8.1.8. */
struct execute_x87 {
	bool on;
	bool control; /* FLDCW, FNSTCW, FNSTSW: no pointers are set, no pending exception keeps the two from storing */
	u16 cs, segment; /* selectors */
	u64 rip, offset; /* offset: of the memory operand; of 32 bits outside 64-bit code */
	u8 modrm;
	bool not_stored; /* out: an unmasked exception is pending that kept the operand from being stored */
};

struct execute {
	u64 gpr[GPR_COUNT]; /* offsets used by execute.asm; RSP stays the hypervisor's */
	u64 flags;          /* CF, PF, AF, ZF, SF, OF alone go in */
	u64 at, data_at;    /* where the instruction and its operand lie */
	u8 code[EXECUTE_CODE_MAX];
	u8 len;
	u8 disp_at; /* in code, behind opcode, ModRM and SIB: the address, which is made the bounce's; 0: none */
	bool rdi_is_data; /* RDI is the address of the bounce */
	u8 align;         /* the operand's address modulo EXECUTE_LINE: alignment is checked by the CPU */
	u8 data[EXECUTE_DATA_MAX];
	u8 *area;     /* the operand instead of data, of EXECUTE_AREA bytes, with align 0: FXSAVE's; NULL: none */
	u64 cr0, cr4; /* the guest's: whether it may use vector and x87 state */
	struct execute_x87 x87;
	bool faulted; /* then the rest is as it was, and */
	u8 vector;    /* is the exception; an error code is 0 */
};

/* Room for the operand at any alignment. */
struct execute_bounce {
	u8 bytes[EXECUTE_LINE + EXECUTE_AREA];
} ALIGNED(64);

/*
 * Writes the instruction to page, which is writable, and the operand to the bounce, whose address is one of 32
 * bits, sign-extended.
 * The page is made executable before execute_run(), which execute_finish() follows.
 */
void execute_prepare(struct execute *e, u8 *page, struct execute_bounce *bounce);
void execute_run(struct execute *e);
void execute_finish(struct execute *e, const struct execute_bounce *bounce);
/* If it was an x87 instruction: sets not_stored; the pointers that it left are made the guest's. CR4.OSFXSR is on. */
void execute_x87_end(struct execute *e);

/*
 * An exception of the hypervisor at rip: the one under way? Then *rip is where to go on with the vector in RAX;
 * false: a bug.
 */
bool execute_fault(u8 vector, u64 *rip);

/* --- execute.asm --- */
#define EXECUTE_NO_FAULT 0xffu
u64 execute_enter(struct execute *e); /* the vector, or EXECUTE_NO_FAULT */
extern const u8 execute_faulted[];    /* where a fault goes on */

#endif
