/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulated instruction under way and its operands. */
#ifndef ARCH_X86_GUEST_EMULATE_OPERAND_H
#define ARCH_X86_GUEST_EMULATE_OPERAND_H

#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/vcpu.h"

struct emu {
	struct vcpu *vcpu;
	struct insn insn;
	u32 size;   /* operand size in bytes of the form at hand */
	u32 bits;   /* 16, 32 or 64: kind of code */
	u64 offset; /* of the memory operand in its segment */
	u64 loaded; /* what emu_read_rm_to_write() found */
	gva_t gva;  /* linear address of the memory operand, of which checked bytes may be accessed so */
	u32 checked;
	enum segment_access checked_for;
	bool branched; /* RIP is set already */
	bool again;    /* a string operation is not at its end */
	u32 elements;  /* of a repeated string operation at once; 0: the usual number */
	/* Of the interpreter (interpret.h), in which every instruction may come: */
	bool done;      /* a handler of exits has gone past it */
	bool halted;    /* HLT */
	bool shadow;    /* interrupts wait for the next instruction: STI, */
	bool new_stack; /* and debug traps, too: MOV SS, POP SS */
	bool new_flags; /* RFLAGS change behind the instruction, whose debug trap the old ones decide */
	u64 flags;
};

/*
 * What these and the functions of emulate_string.h, emulate_stack.h and emulate_bits.h
 * return: 0; -EFAULT, an exception is queued and nothing was changed; -EAGAIN, nothing was changed; -ENOSYS, not an
 * instruction known here.
 */

u64 emu_reg(const struct emu *e, u8 reg, u32 size);
void emu_set_reg(struct emu *e, u8 reg, u32 size, u64 value);
/* gva for an access of size bytes at offset, which the segment allows (insn_linear()). */
MUST_CHECK int emu_locate(struct emu *e, u32 size, enum segment_access access);
MUST_CHECK int emu_read_rm(struct emu *e, u64 *value);
/* The same by an instruction that will write to it: nothing is read that cannot be written. */
MUST_CHECK int emu_read_rm_to_write(struct emu *e, u64 *value);
/* With LOCK, or XCHG: of what emu_read_rm_to_write() found, or -EAGAIN: the instruction is to be executed again. */
MUST_CHECK int emu_write_rm(struct emu *e, u64 value);
bool emu_is_locked(const struct emu *e);

/* --- emulate.c --- */
/* First: #UD that comes before any access to memory, -EFAULT; size and offset of the operand. */
MUST_CHECK int emu_prepare(struct emu *e);
/* The instruction, but for RIP behind it. -ENOSYS: another way must be found, or none. */
MUST_CHECK int emu_execute(struct emu *e);
/* Its bytes in hexadecimal. */
void emu_describe(const struct emu *e, char text[3 * INSN_MAX + 1]);

#endif
