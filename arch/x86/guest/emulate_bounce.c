/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operand is loaded into the bounce, the instruction runs on it (execute.h), the
 * bounce is stored. A store is checked in full before the instruction runs: what it
 * does to vector and x87 state cannot be taken back.
 */
#include "arch/x86/guest/emulate_bounce.h"

#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/insn_encode.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

struct bounce {
	struct emu *emu;
	struct insn_shape shape;
	u64 offset; /* of the operand in its segment */
	enum segment_name segment;
	bool uses_rsp;
	u8 rsp; /* then the register that stands for RSP */
	struct execute x;
};

/* The hypervisor's stack pointer stays where it is, so another register is the operand instead of RSP. */
static void replace_rsp(struct bounce *b, u8 *reg, u8 *v)
{
	static const u8 others[] = {GPR_RBP, GPR_RSI, GPR_RDI};
	bool in_reg = b->shape.flags & SHAPE_REG_GPR && *reg == GPR_RSP;
	bool in_v = b->shape.flags & SHAPE_V_GPR && *v == GPR_RSP;
	u32 n = 0;

	b->uses_rsp = in_reg || in_v;
	while (others[n] == *reg || others[n] == *v)
		n++;
	b->rsp = others[n];
	if (in_reg)
		*reg = b->rsp;
	if (in_v)
		*v = b->rsp;
}

/* FLDCW and FNSTCW; FNSTSW. */
static bool is_x87_control(const struct insn *insn)
{
	u32 reg = insn->reg & 7;

	return insn->opcode == 0xd9 ? reg == 5 || reg == 7 : insn->opcode == 0xdd && reg == 7;
}

static void set_x87(struct bounce *b)
{
	const struct emu *e = b->emu;
	struct execute_x87 *x = &b->x.x87;
	struct segment cs, data;

	e->vcpu->vendor->get_segment(e->vcpu, SEG_CS, &cs);
	e->vcpu->vendor->get_segment(e->vcpu, b->segment, &data);
	*x = (struct execute_x87){
		.on = true,
		.control = is_x87_control(e->insn),
		.cs = cs.selector,
		.segment = data.selector,
		.rip = e->vcpu->rip,
		.offset = b->offset,
		.modrm = e->insn->mod << 6 | (e->insn->reg & 7) << 3 | (e->insn->rm & 7),
	};
}

/* All but the bounce's bytes. */
static void prepare(struct bounce *b)
{
	const struct emu *e = b->emu;
	struct execute *x = &b->x;
	struct insn_code code;
	u8 reg = e->insn->reg, v = e->insn->v;

	replace_rsp(b, &reg, &v);
	insn_encode(e->insn, &b->shape, e->bits, reg, v, &code);
	memcpy(x->code, code.bytes, sizeof(x->code));
	x->len = code.len;
	x->disp_at = code.disp_at;
	x->rdi_is_data = !code.disp_at;
	memcpy(x->gpr, e->vcpu->gpr, sizeof(x->gpr));
	if (b->uses_rsp)
		x->gpr[b->rsp] = e->vcpu->gpr[GPR_RSP];
	x->flags = e->vcpu->rflags;
	x->cr0 = e->vcpu->cr0;
	x->cr4 = e->vcpu->cr4;
	if (b->shape.flags & SHAPE_X87)
		set_x87(b);
}

/*
 * An x87 exception was pending, which no instruction gets past to its operand; with CR0.NE=0 the
 * guest finds out by itself, through its interrupt controller, where the hardware runs it with its own CR0.NE.
 */
static int fault(struct bounce *b)
{
	struct emu *e = b->emu;

	if (b->x.vector != VEC_MF || e->vcpu->cr0 & CR0_NE || e->vcpu->execution != EXECUTION_NATIVE)
		inject_exception(e->vcpu, b->x.vector, 0);
	return -EFAULT;
}

/* In the interpreter's units (interpret.h). */
#define COST_EXECUTE 8u

static int run(struct bounce *b)
{
	b->emu->vcpu->interpreted += COST_EXECUTE;
	hw_execute(&b->x);
	return b->x.faulted ? fault(b) : 0;
}

static void take_registers(struct bounce *b)
{
	u64 *gpr = b->emu->vcpu->gpr, other = gpr[b->rsp], rdi = gpr[GPR_RDI], rsp = gpr[GPR_RSP];

	memcpy(gpr, b->x.gpr, sizeof(b->x.gpr));
	gpr[GPR_RSP] = b->uses_rsp ? gpr[b->rsp] : rsp;
	if (b->uses_rsp)
		gpr[b->rsp] = other;
	if (b->x.rdi_is_data)
		gpr[GPR_RDI] = rdi;
	b->emu->vcpu->rflags = b->x.flags;
}

static enum segment_access segment_access(const struct bounce *b)
{
	return b->shape.flags & SHAPE_STORE ? SEGMENT_WRITE : SEGMENT_READ;
}

static int plain(struct bounce *b)
{
	struct vcpu *vcpu = b->emu->vcpu;
	u32 size = b->shape.size;
	gva_t gva;
	int err = insn_linear(vcpu, b->segment, b->offset, size, segment_access(b), &gva);

	if (!err && b->shape.flags & SHAPE_STORE)
		err = emulate_probe_write(vcpu, gva, size);
	if (!err && b->shape.flags & SHAPE_LOAD)
		err = emulate_read(vcpu, gva, b->x.data, size);
	if (err)
		return err;
	b->x.align = gva % EXECUTE_LINE;
	err = run(b);
	if (!err && b->shape.flags & SHAPE_STORE && !b->x.x87.not_stored)
		err = emulate_write(vcpu, gva, b->x.data, size);
	if (!err)
		take_registers(b);
	return err;
}

/* --- under a mask ---------------------------------------------------------------- */

/* The load's opcode made that of the store with the same mask: VMASKMOVPS and PD, VPMASKMOVD and Q. */
#define MASKED_STORE_BIT 2u

static u8 *opcode_of(struct bounce *b)
{
	return &b->x.code[b->x.disp_at - 3];
}

/*
 * Which bytes the mask names, and what a store stores there: the store on bytes 00 and again on FF leaves
 * alike just those that it writes.
 */
static int find_mask(struct bounce *b, bool named[EXECUTE_DATA_MAX], u8 stored[EXECUTE_DATA_MAX])
{
	int err;

	memset(b->x.data, 0, EXECUTE_DATA_MAX);
	err = run(b);
	if (err)
		return err;
	memcpy(stored, b->x.data, EXECUTE_DATA_MAX);
	memset(b->x.data, 0xff, EXECUTE_DATA_MAX);
	err = run(b);
	for (u32 i = 0; i < EXECUTE_DATA_MAX; i++)
		named[i] = b->x.data[i] == stored[i];
	return err;
}

enum pass { PASS_PROBE, PASS_READ, PASS_WRITE };

static u32 element_size(const struct insn *insn)
{
	if (insn_is_maskmov(insn))
		return 1;
	return (insn->opcode < 0x80 ? insn->opcode & 1 : insn->w) ? 8 : 4;
}

/* One pass over the elements that are named: the others are no accesses, and do not fault. */
static int for_each_element(struct bounce *b, const bool named[EXECUTE_DATA_MAX], u8 *data, enum pass pass)
{
	struct vcpu *vcpu = b->emu->vcpu;
	u32 len = element_size(b->emu->insn), width = b->emu->insn->addrsize;
	int err = 0;

	for (u32 at = 0; at < b->shape.size && !err; at += len) {
		gva_t gva;

		if (!named[at])
			continue;
		err = insn_linear(vcpu, b->segment, insn_truncate(b->offset + at, width), len, segment_access(b),
				  &gva);
		if (err)
			return err;
		switch (pass) {
		case PASS_PROBE: err = emulate_probe_write(vcpu, gva, len); break;
		case PASS_READ: err = emulate_read(vcpu, gva, data + at, len); break;
		case PASS_WRITE: err = emulate_write(vcpu, gva, data + at, len); break;
		}
	}
	return err;
}

static int masked(struct bounce *b)
{
	bool load = b->shape.flags & SHAPE_LOAD, named[EXECUTE_DATA_MAX];
	u8 data[EXECUTE_DATA_MAX];
	int err;

	if (load)
		*opcode_of(b) |= MASKED_STORE_BIT;
	err = find_mask(b, named, data);
	if (!err && !load)
		err = for_each_element(b, named, data, PASS_PROBE);
	if (!err)
		err = for_each_element(b, named, load ? b->x.data : data, load ? PASS_READ : PASS_WRITE);
	if (err || !load)
		return err;
	*opcode_of(b) &= ~MASKED_STORE_BIT;
	return run(b);
}

int emu_bounce(struct emu *e)
{
	struct bounce b = {.emu = e};

	if (!insn_shape(e->insn, e->bits, &b.shape))
		return -ENOSYS;
	b.segment = insn_segment(e->insn);
	b.offset = e->offset;
	if (insn_is_maskmov(e->insn)) {
		b.segment = e->insn->segment == INSN_NO_REG ? SEG_DS : e->insn->segment;
		b.offset = insn_truncate(e->vcpu->gpr[GPR_RDI], e->insn->addrsize);
	}
	prepare(&b);
	return b.shape.flags & SHAPE_MASKED ? masked(&b) : plain(&b);
}
