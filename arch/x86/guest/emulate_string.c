/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions. A repeated one runs a bounded number of elements at an
 * exit and leaves RIP on itself until it is done, so that interrupts get in
 * between as on hardware; a fault in the middle leaves the registers at the
 * element that faulted.
 */
#include "arch/x86/guest/emulate_string.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/insn.h"

#define ELEMENTS_AT_ONCE 256

static u64 address_register(const struct emu *e, u8 reg)
{
	return insn_truncate(e->vcpu->gpr[reg], e->insn->addrsize);
}

static void set_address_register(struct emu *e, u8 reg, u64 value)
{
	u64 *p = &e->vcpu->gpr[reg];

	value = insn_truncate(value, e->insn->addrsize);
	*p = e->insn->addrsize == 2 ? (*p & ~0xffffull) | value : value;
}

static void step(struct emu *e, u8 reg)
{
	s64 by = e->vcpu->rflags & RFLAGS_DF ? -(s64)e->size : (s64)e->size;

	set_address_register(e, reg, address_register(e, reg) + by);
}

static int read_source(struct emu *e, u64 *value)
{
	enum segment_name segment = e->insn->segment == INSN_NO_REG ? SEG_DS : e->insn->segment;
	gva_t gva;
	int err = insn_linear(e->vcpu, segment, address_register(e, GPR_RSI), e->size, SEGMENT_READ, &gva);

	*value = 0;
	return err ? err : emulate_read(e->vcpu, gva, value, e->size);
}

static int read_destination(struct emu *e, u64 *value)
{
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_ES, address_register(e, GPR_RDI), e->size, SEGMENT_READ, &gva);

	*value = 0;
	return err ? err : emulate_read(e->vcpu, gva, value, e->size);
}

static int write_destination(struct emu *e, u64 value)
{
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_ES, address_register(e, GPR_RDI), e->size, SEGMENT_WRITE, &gva);

	return err ? err : emulate_write(e->vcpu, gva, &value, e->size);
}

/* One element; registers and flags change only if all went well. */
static int element(struct emu *e)
{
	bool source = false, destination = true;
	u64 a, b;
	int err;

	switch (e->insn->opcode & 0xfe) {
	case 0xa4: /* MOVS */
		source = true;
		err = read_source(e, &a);
		if (!err)
			err = write_destination(e, a);
		break;
	case 0xa6: /* CMPS */
		source = true;
		err = read_source(e, &a);
		if (!err)
			err = read_destination(e, &b);
		if (!err)
			alu_binary(ALU_CMP, e->size, a, b, &e->vcpu->rflags);
		break;
	case 0xaa: /* STOS */ err = write_destination(e, emu_reg(e, GPR_RAX, e->size)); break;
	case 0xac: /* LODS */
		source = true;
		destination = false;
		err = read_source(e, &a);
		if (!err)
			emu_set_reg(e, GPR_RAX, e->size, a);
		break;
	default: /* SCAS */
		err = read_destination(e, &b);
		if (!err)
			alu_binary(ALU_CMP, e->size, emu_reg(e, GPR_RAX, e->size), b, &e->vcpu->rflags);
		break;
	}
	if (err)
		return err;
	if (source)
		step(e, GPR_RSI);
	if (destination)
		step(e, GPR_RDI);
	return 0;
}

static bool compares(const struct emu *e)
{
	u8 op = e->insn->opcode & 0xfe;

	return op == 0xa6 || op == 0xae;
}

/* REPE and REPNE end at the first element that differs, or does not. */
static bool ends_early(const struct emu *e)
{
	bool equal = e->vcpu->rflags & FLAG_ZF;

	return compares(e) && equal != (e->insn->prefix == 0xf3);
}

int emu_string(struct emu *e)
{
	/* Single-stepping traps after every element, a data breakpoint after its own. */
	u32 budget = e->vcpu->rflags & RFLAGS_TF ? 1 : e->elements ? e->elements : ELEMENTS_AT_ONCE;
	int err;

	if (!e->insn->prefix)
		return element(e);
	while (address_register(e, GPR_RCX)) {
		if (!budget-- || breakpoint_is_hit(e->vcpu)) {
			e->again = true;
			return 0;
		}
		err = element(e);
		if (err)
			return err;
		set_address_register(e, GPR_RCX, address_register(e, GPR_RCX) - 1);
		if (ends_early(e))
			break;
	}
	return 0;
}
