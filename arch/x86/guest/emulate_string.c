/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions. A repeated one runs a bounded number of elements at an
 * exit and leaves RIP on itself until it is done, so that interrupts get in
 * between as on hardware; a fault in the middle leaves the registers at the
 * element that faulted. What of its elements lies in one page of known RAM (known.h) is done in one go, a *run*.
 */
#include "arch/x86/guest/emulate_string.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"

/* At once: of a run, or so many times fewer that come one by one; in the interpreter, and at an exit. */
#define ELEMENTS 64u
#define ELEMENTS_AT_EXIT (256 * SLOW)
#define SLOW 8u
#define COST_SLOW 2u      /* interpret.h */
#define ELEMENTS_COST 16u /* those of a run that cost a unit */

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

/* Past so many elements. */
static void step(struct emu *e, u8 reg, u32 count)
{
	s64 by = e->vcpu->rflags & RFLAGS_DF ? -(s64)e->size : (s64)e->size;

	set_address_register(e, reg, address_register(e, reg) + by * count);
}

static enum segment_name source_segment(const struct emu *e)
{
	return e->insn->segment == INSN_NO_REG ? SEG_DS : e->insn->segment;
}

static int read_source(struct emu *e, u64 *value)
{
	gva_t gva;
	int err = insn_linear(e->vcpu, source_segment(e), address_register(e, GPR_RSI), e->size, SEGMENT_READ, &gva);

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
		step(e, GPR_RSI, 1);
	if (destination)
		step(e, GPR_RDI, 1);
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

/* --- runs -------------------------------------------------------------------------------- */

/* Elements that follow each other in one page. */
struct run {
	const struct shadow_ram *ram;
	u8 *at; /* the first one */
};

/*
 * How many of so many elements, from the one that the register points to on, the segment allows so, in one page, without the
 * address register's wrap. The others come one by one, or in the next run.
 */
static ALWAYS_INLINE u32 find_run(const struct emu *e, enum segment_name segment, u8 reg,
				  enum segment_access access, u32 count, struct run *out)
{
	u64 offset = address_register(e, reg), end, room;
	u32 shift = (u32)__builtin_ctz(e->size), in_page;
	gva_t gva;

	if (!known_linear(e->vcpu, segment, offset, e->size, access, &gva))
		return 0;
	out->ram = known_ram(e->vcpu, gva, e->size);
	if (!out->ram)
		return 0;
	end = MIN(known_of(e->vcpu)->segment[segment].end[access], e->insn->addrsize == 2 ? 1ull << 16 : 1ull << 32);
	in_page = gva & ~PAGE_MASK;
	out->at = out->ram->at + in_page;
	if (e->vcpu->rflags & RFLAGS_DF)
		room = MIN(offset, in_page) + e->size;
	else
		room = MIN(end - offset, PAGE_SIZE - in_page);
	return (u32)MIN(room >> shift, count);
}

static ALWAYS_INLINE u64 load_element(const u8 *at, u32 size)
{
	switch (size) {
	case 1: return *(const volatile u8 *)at;
	case 2: return *(const volatile u16_anywhere *)(const void *)at;
	default: return *(const volatile u32_anywhere *)(const void *)at;
	}
}

static ALWAYS_INLINE void store_element(u8 *at, u32 size, u64 value)
{
	switch (size) {
	case 1: *(volatile u8 *)at = (u8)value; break;
	case 2: *(volatile u16_anywhere *)(void *)at = (u16)value; break;
	default: *(volatile u32_anywhere *)(void *)at = (u32)value; break;
	}
}

/* MOVS, or STOS, which has no source. One by one: an element may be what the one before it has written. */
static ALWAYS_INLINE void store_run(struct emu *e, const struct run *from, const struct run *to, s64 by, u32 count)
{
	u64 value = emu_reg(e, GPR_RAX, e->size);
	u32 size = e->size;

	shadow_open_ram(e->vcpu->mmu, to->ram);
	for (s64 n = 0; n < count; n++) {
		if (from->ram)
			value = load_element(from->at + n * by, size);
		store_element(to->at + n * by, size, value);
	}
	shadow_close_ram(e->vcpu->mmu);
}

/* CMPS, or SCAS: up to the element that ends it. Returns how many that are. */
static ALWAYS_INLINE u32 compare_run(struct emu *e, const struct run *from, const struct run *to, s64 by, u32 count)
{
	u64 a = emu_reg(e, GPR_RAX, e->size), b;
	bool equal = e->insn->prefix == 0xf3;
	u32 size = e->size;
	s64 n = 0;

	do {
		if (from->ram)
			a = load_element(from->at + n * by, size);
		b = load_element(to->at + n * by, size);
	} while (++n < count && (a == b) == equal);
	alu_binary(ALU_CMP, size, a, b, &e->vcpu->rflags);
	return (u32)n;
}

/* So many elements at most; 0: the next one is to be done alone. */
static ALWAYS_INLINE u32 run(struct emu *e, u32 count)
{
	u8 op = e->insn->opcode & 0xfe;
	bool source = op <= 0xa6 || op == 0xac, destination = op != 0xac;
	s64 by = e->vcpu->rflags & RFLAGS_DF ? -(s64)e->size : (s64)e->size;
	struct run from = {0}, to = {0};

	if (source)
		count = find_run(e, source_segment(e), GPR_RSI, SEGMENT_READ, count, &from);
	if (destination && count)
		count = find_run(e, SEG_ES, GPR_RDI, compares(e) ? SEGMENT_READ : SEGMENT_WRITE, count, &to);
	if (!count)
		return 0;
	if (compares(e))
		count = compare_run(e, &from, &to, by, count);
	else if (destination)
		store_run(e, &from, &to, by, count);
	else
		emu_set_reg(e, GPR_RAX, e->size, load_element(from.at + (count - 1) * by, e->size));
	if (source)
		step(e, GPR_RSI, count);
	if (destination)
		step(e, GPR_RDI, count);
	e->vcpu->interpreted += count / ELEMENTS_COST;
	return count;
}

static NOINLINE int slow_element(struct emu *e)
{
	e->vcpu->interpreted += COST_SLOW;
	return element(e);
}

/* One or more, and those taken from the budget; registers and flags are those behind them. */
static int some(struct emu *e, u64 left, u32 *budget, u32 *done)
{
	*done = run(e, (u32)MIN(left, *budget));
	if (likely(*done)) {
		*budget -= *done;
		return 0;
	}
	*budget -= MIN(*budget, SLOW);
	*done = 1;
	return slow_element(e);
}

int emu_string(struct emu *e)
{
	u32 budget = known_of(e->vcpu)->on ? ELEMENTS : ELEMENTS_AT_EXIT, done;
	int err;

	if (!e->insn->prefix)
		return likely(run(e, 1)) ? 0 : slow_element(e);
	/* Single-stepping traps after every element, a data breakpoint after its own. */
	if (e->vcpu->rflags & RFLAGS_TF)
		budget = 1;
	while (address_register(e, GPR_RCX)) {
		if (!budget || breakpoint_is_hit(e->vcpu)) {
			e->again = true;
			return 0;
		}
		err = some(e, address_register(e, GPR_RCX), &budget, &done);
		if (err)
			return err;
		set_address_register(e, GPR_RCX, address_register(e, GPR_RCX) - done);
		if (ends_early(e))
			break;
	}
	return 0;
}
