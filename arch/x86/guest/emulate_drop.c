/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See emulate_drop.h. What is stored is not known here, so a store is dropped whole or not at all: it is taken
 * for as long as it can be, whatever its mask or the state that it saves.
 */
#include "arch/x86/guest/emulate_drop.h"

#include "arch/x86/cpuid_bits.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"

/* Mandatory prefixes of a row, and sizes that depend on vector length or W. */
enum {
	NP = 1,
	P66 = 2,
	PF3 = 4,
	PF2 = 8,
	FULL = 128,
	HALF,
	QUARTER,
	EIGHTH,
	D_OR_Q, /* 8 bytes with W, which outside 64-bit code is ignored */
};

/* EVEX stores, with what they store at most. Not scattered ones, which change their mask. SDM vol. 2, the instructions' pages. */
struct evex_store {
	u8 map, opcode, prefixes, size;
	u8 element; /* VCOMPRESS: the element if W is 0, of which the displacement's unit is one; it is twice that with W */
};

/* clang-format off */
#define NARROW(op) \
	{2, (op) + 0, PF3, HALF, 0}, {2, (op) + 1, PF3, QUARTER, 0}, {2, (op) + 2, PF3, EIGHTH, 0}, \
	{2, (op) + 3, PF3, HALF, 0}, {2, (op) + 4, PF3, QUARTER, 0}, {2, (op) + 5, PF3, HALF, 0}

static const struct evex_store evex_stores[] = {
	{1, 0x11, NP | P66, FULL, 0}, {1, 0x11, PF3, 4, 0}, {1, 0x11, PF2, 8, 0}, {1, 0x13, NP | P66, 8, 0},
	{1, 0x17, NP | P66, 8, 0}, {1, 0x29, NP | P66, FULL, 0}, {1, 0x2b, NP | P66, FULL, 0},
	{1, 0x7e, P66, D_OR_Q, 0}, {1, 0x7f, P66 | PF3 | PF2, FULL, 0}, {1, 0xd6, P66, 8, 0}, {1, 0xe7, P66, FULL, 0},
	NARROW(0x10), NARROW(0x20), NARROW(0x30),
	{2, 0x63, P66, FULL, 1}, {2, 0x8a, P66, FULL, 4}, {2, 0x8b, P66, FULL, 4},
	{3, 0x14, P66, 1, 0}, {3, 0x15, P66, 2, 0}, {3, 0x16, P66, D_OR_Q, 0}, {3, 0x17, P66, 4, 0},
	{3, 0x19, P66, 16, 0}, {3, 0x39, P66, 16, 0}, {3, 0x1b, P66, 32, 0}, {3, 0x3b, P66, 32, 0},
	{3, 0x1d, P66, HALF, 0}, {5, 0x11, PF3, 2, 0}, {5, 0x7e, P66, 2, 0},
};
#undef NARROW
/* clang-format on */

static u32 prefix_bit(const struct insn *insn)
{
	switch (insn->prefix) {
	case 0xf2: return PF2;
	case 0xf3: return PF3;
	case 0x66: return P66;
	default: return NP;
	}
}

static u32 evex_size(const struct emu *e, u32 code)
{
	u32 vector = 16u << e->insn->l;

	switch (code) {
	case FULL: return vector;
	case HALF: return vector / 2;
	case QUARTER: return vector / 4;
	case EIGHTH: return vector / 8;
	case D_OR_Q: return e->insn->w && e->bits == 64 ? 8 : 4;
	default: return code;
	}
}

/* A displacement of 8 bits counts in units of what is stored (SDM vol. 2 section 2.7.5). */
static void scale_displacement(struct emu *e, u32 unit)
{
	struct insn scaled = *e->insn;

	if (scaled.mod != 1)
		return;
	scaled.disp *= unit;
	e->offset = insn_effective_offset(e->vcpu, &scaled);
}

/* 0: no store that is known here. */
static u32 evex_store(struct emu *e)
{
	const struct insn *insn = e->insn;

	for (u32 i = 0; i < ARRAY_SIZE(evex_stores); i++) {
		const struct evex_store *s = &evex_stores[i];
		u32 size = evex_size(e, s->size);

		if (s->map != insn->map || s->opcode != insn->opcode || !(s->prefixes & prefix_bit(insn)))
			continue;
		if (insn->l > 2)
			return 0;
		scale_displacement(e, s->element ? (u32)s->element << insn->w : size);
		return size;
	}
	return 0;
}

#define FXSAVE_BYTES 512u

/*
 * FXSAVE; XSAVE and XSAVEOPT; XSAVEC and XSAVES, which store in the compacted format. CPUID tells the sizes for what
 * XCR0 and IA32_XSS enable, which are the guest's all the time (SDM vol. 1 sections 13.2 and 13.4). All are without
 * mandatory prefix: 66 and F3 make CLWB and PTWRITE of some.
 */
static u32 state_store(const struct insn *insn, u32 *align)
{
	u32 reg = insn->reg & 7;

	if (insn->map != 1 || insn->prefix || insn->opsize16)
		return 0;
	*align = 64;
	if (insn->opcode == 0xae && reg == 0) {
		*align = 16;
		return FXSAVE_BYTES;
	}
	if (insn->opcode == 0xae && (reg == 4 || reg == 6))
		return hw_cpuid(CPUID_LEAF_XSAVE, 0).ebx;
	if (insn->opcode == 0xc7 && (reg == 4 || reg == 5))
		return hw_cpuid(CPUID_LEAF_XSAVE, 1).ebx;
	return 0;
}

/* What comes before any access, as an interpreted instruction has not met it (SDM vol. 2, FXSAVE and XSAVE). */
static int check_state_store(struct emu *e)
{
	bool xsave = e->insn->opcode != 0xae || e->insn->reg & 7;

	if (xsave && !(e->vcpu->cr4 & CR4_OSXSAVE))
		inject_ud(e->vcpu);
	else if (e->vcpu->cr0 & CR0_TS || (!xsave && e->vcpu->cr0 & CR0_EM))
		inject_exception(e->vcpu, VEC_NM, 0);
	else
		return 0;
	return -EFAULT;
}

int emu_drop_store(struct emu *e)
{
	const struct insn *insn = e->insn;
	u32 size = 0, align = 1;
	int err;

	if (!insn->has_mem || insn->lock)
		return -ENOSYS;
	if (insn->encoding == INSN_EVEX)
		size = evex_store(e);
	else if (insn->encoding == INSN_LEGACY)
		size = state_store(insn, &align);
	if (!size)
		return -ENOSYS;
	err = align > 1 ? check_state_store(e) : 0;
	if (err)
		return err;
	err = emu_locate(e, size, SEGMENT_WRITE);
	if (err)
		return err;
	if (e->gva & (align - 1)) {
		inject_gp(e->vcpu);
		return -EFAULT;
	}
	err = emulate_drop_write(e->vcpu, e->gva, size);
	return err == -EIO ? -ENOSYS : err;
}
