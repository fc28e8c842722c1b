/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulated instruction under way and its operands. */
#ifndef ARCH_X86_GUEST_EMULATE_OPERAND_H
#define ARCH_X86_GUEST_EMULATE_OPERAND_H

#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/vcpu.h"

struct emu {
	struct vcpu *vcpu;
	const struct insn *insn;
	u32 size;                     /* operand size in bytes of the form at hand */
	u32 bits;                     /* 16, 32 or 64: kind of code */
	u64 offset;                   /* of the memory operand in its segment */
	u64 loaded;                   /* what emu_read_rm_to_write() found */
	const struct shadow_ram *ram; /* that emu_read_rm_to_write() found it in; NULL: elsewhere */
	gva_t gva; /* linear address of the memory operand, of which checked bytes may be accessed so */
	u32 checked;
	enum segment_access checked_for;
	u64 flags; /* see new_flags */
	union {
		struct {
			bool branched; /* RIP is set already */
			bool again;    /* a string operation is not at its end */
			/* Of the interpreter (interpret.h), in which every instruction may come: */
			bool done;      /* a handler of exits has gone past it */
			bool halted;    /* HLT */
			bool shadow;    /* interrupts wait for the next instruction: STI, */
			bool new_stack; /* and debug traps, too: MOV SS, POP SS */
			bool new_flags; /* RFLAGS change behind the instruction, whose debug trap the old ones decide */
		};
		u64 unusual; /* any of them */
	};
};

/*
 * What these and the functions of emulate_string.h, emulate_stack.h and emulate_bits.h
 * return: 0; -EFAULT, an exception is queued and nothing was changed; -EAGAIN, nothing was changed; -ENOSYS, not an
 * instruction known here.
 */

/* AH, CH, DH and BH are numbered 4 to 7 where no REX prefix is in force. */
static inline bool emu_is_high_byte(const struct emu *e, u8 reg, u32 size)
{
	return size == 1 && reg >= 4 && reg < 8 && !e->insn->rex;
}

static inline u64 emu_reg(const struct emu *e, u8 reg, u32 size)
{
	if (unlikely(emu_is_high_byte(e, reg, size)))
		return e->vcpu->gpr[reg - 4] >> 8 & 0xff;
	return insn_truncate(e->vcpu->gpr[reg], size);
}

void emu_set_reg(struct emu *e, u8 reg, u32 size, u64 value);
/* gva for an access of size bytes at offset, which the segment allows (insn_linear()). */
MUST_CHECK int emu_locate(struct emu *e, u32 size, enum segment_access access);

/* The operand, if it is in RAM that is known, in one piece. */
static ALWAYS_INLINE const struct shadow_ram *emu_find_ram(struct emu *e, enum segment_access access)
{
	if (!known_linear(e->vcpu, insn_segment(e->insn), e->offset, e->size, access, &e->gva))
		return NULL;
	return known_ram(e->vcpu, e->gva, e->size);
}

MUST_CHECK int emu_read_rm_slow(struct emu *e, u64 *value, enum segment_access access);
static ALWAYS_INLINE int emu_read_rm_for(struct emu *e, u64 *value, enum segment_access access)
{
	const struct shadow_ram *ram;

	*value = 0;
	if (!e->insn->has_mem) {
		*value = emu_reg(e, e->insn->rm, e->size);
		return 0;
	}
	ram = emu_find_ram(e, access);
	if (unlikely(!ram))
		return emu_read_rm_slow(e, value, access);
	shadow_read_ram(ram, e->gva & ~PAGE_MASK, value, e->size);
	if (access == SEGMENT_WRITE) {
		e->ram = ram;
		e->loaded = *value;
	}
	return 0;
}
MUST_CHECK static ALWAYS_INLINE int emu_read_rm(struct emu *e, u64 *value)
{
	return emu_read_rm_for(e, value, SEGMENT_READ);
}
/* The same by an instruction that will write to it: nothing is read that cannot be written. */
MUST_CHECK static ALWAYS_INLINE int emu_read_rm_to_write(struct emu *e, u64 *value)
{
	return emu_read_rm_for(e, value, SEGMENT_WRITE);
}

/* With LOCK, or XCHG: of what emu_read_rm_to_write() found, or -EAGAIN: the instruction is to be executed again. */
MUST_CHECK int emu_write_rm_slow(struct emu *e, u64 value);
static inline bool emu_is_locked(const struct emu *e)
{
	return e->insn->lock ||
	       (e->insn->map == 0 && (e->insn->opcode == 0x86 || e->insn->opcode == 0x87)); /* XCHG */
}

MUST_CHECK static ALWAYS_INLINE int emu_write_rm(struct emu *e, u64 value)
{
	const struct shadow_ram *ram = e->ram;

	if (!e->insn->has_mem) {
		emu_set_reg(e, e->insn->rm, e->size, value);
		return 0;
	}
	if (!ram)
		ram = emu_find_ram(e, SEGMENT_WRITE);
	if (unlikely(!ram))
		return emu_write_rm_slow(e, value);
	if (emu_is_locked(e))
		return shadow_exchange_ram(e->vcpu->mmu, ram, e->gva & ~PAGE_MASK, &e->loaded, &value, e->size) ?
			       0 :
			       -EAGAIN;
	shadow_write_ram(e->vcpu->mmu, ram, e->gva & ~PAGE_MASK, &value, e->size);
	return 0;
}

/* --- emulate.c --- */
/* First: #UD that comes before any access to memory, -EFAULT; size and offset of the operand. */
MUST_CHECK int emu_prepare(struct emu *e);
/* What is not set before it is looked at. */
static ALWAYS_INLINE void emu_init(struct emu *e, struct vcpu *vcpu)
{
	e->vcpu = vcpu;
	e->checked = 0;
	e->ram = NULL;
	e->unusual = 0;
}
/* An even opcode of the integer maps is the byte form. */
static inline u8 emu_operand_size(const struct insn *insn)
{
	return insn->opcode & 1 ? insn->opsize : 1;
}
/* May it have LOCK? Else that is #UD. */
bool emu_takes_lock(const struct insn *insn);
/* The instruction, but for RIP behind it. -ENOSYS: another way must be found, or none. */
MUST_CHECK int emu_execute(struct emu *e);
/* The same for the one-byte map, of those that are done by hand. */
MUST_CHECK int emu_execute_one_byte(struct emu *e);
MUST_CHECK int emu_alu(struct emu *e);  /* 00 to 3F */
MUST_CHECK int emu_move(struct emu *e); /* 88 to 8B */
/* Its bytes in hexadecimal. */
void emu_describe(const struct emu *e, char text[3 * INSN_MAX + 1]);

#endif
