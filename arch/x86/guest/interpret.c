/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter's frame: fetch, the way to an instruction, and what follows it. A table says for each opcode which group has
 * it; all others are the emulator's (emulate.h).
 */
#include "arch/x86/guest/interpret.h"

#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/emulate_string.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

/* What is added to vcpu->interpreted: make bench-interpret. */
#define COST_MEMORY 2u /* loaded and stored */
#define COST_DESCRIPTOR 4u
#define COST_EXECUTE 20u

enum group {
	EMULATOR,
	EMULATOR_SHORT,
	EMULATOR_ALU,
	EMULATOR_MOVE,
	INTEGER,
	WIDE,
	MULTIPLY,
	BRANCH,
	FAR_BRANCH,
	INTERRUPT_RETURN,
	STACK,
	SEGMENT,
	TABLE,
	SYSTEM,
	PORT,
	SOFT_INTERRUPT,
	INTERRUPT_FLAG,
	X87,
	STRING,
	UNDEFINED,
	GROUPS,
};

static const struct {
	int (*execute)(struct emu *e);
	u32 cost;
} groups[GROUPS] = {
	[EMULATOR] = {emu_execute, 2},
	[EMULATOR_SHORT] = {emu_execute_one_byte, 2},
	[EMULATOR_ALU] = {emu_alu, 2},
	[EMULATOR_MOVE] = {emu_move, 2},
	[INTEGER] = {interpret_integer, 1},
	[WIDE] = {interpret_wide, 1},
	[MULTIPLY] = {interpret_multiply, 1},
	[BRANCH] = {interpret_branch, 1},
	[FAR_BRANCH] = {interpret_far, 3},
	[INTERRUPT_RETURN] = {interpret_iret, 3},
	[STACK] = {interpret_stack, COST_MEMORY},
	[SEGMENT] = {interpret_segment, 2},
	[TABLE] = {interpret_table, COST_DESCRIPTOR},
	[SYSTEM] = {interpret_system, COST_MEMORY},
	[PORT] = {interpret_port, COST_MEMORY},
	[SOFT_INTERRUPT] = {interpret_soft_interrupt, COST_MEMORY},
	[INTERRUPT_FLAG] = {interpret_system, 1},
	[X87] = {interpret_x87, COST_EXECUTE},
	[STRING] = {emu_string, COST_MEMORY},
	[UNDEFINED] = {interpret_undefined, 1},
};

/* clang-format off */
static const u8 one_byte[256] = {
#define ACCUMULATOR(n) [(n) + 4 ... (n) + 5] = INTEGER
	ACCUMULATOR(0x00), ACCUMULATOR(0x08), ACCUMULATOR(0x10), ACCUMULATOR(0x18),
	ACCUMULATOR(0x20), ACCUMULATOR(0x28), ACCUMULATOR(0x30), ACCUMULATOR(0x38),
#undef ACCUMULATOR
	[0x06 ... 0x07] = SEGMENT, [0x0e] = SEGMENT, [0x16 ... 0x17] = SEGMENT, [0x1e ... 0x1f] = SEGMENT,
	[0x27] = MULTIPLY, [0x2f] = MULTIPLY, [0x37] = MULTIPLY, [0x3f] = MULTIPLY,
	[0x40 ... 0x4f] = INTEGER, [0x60 ... 0x61] = STACK, [0x62] = BRANCH, [0x63] = SEGMENT,
	[0x69] = MULTIPLY, [0x6b] = MULTIPLY, [0x6c ... 0x6f] = SYSTEM, [0x70 ... 0x7f] = BRANCH,
	[0x8c] = SEGMENT, [0x8d] = INTEGER, [0x8e] = SEGMENT, [0x90 ... 0x99] = INTEGER,
	[0x9a] = FAR_BRANCH, [0x9b] = X87, [0x9d] = SEGMENT, [0x9e ... 0x9f] = INTEGER,
	[0xa4 ... 0xa7] = STRING, [0xa8 ... 0xa9] = INTEGER, [0xaa ... 0xaf] = STRING, [0xb0 ... 0xbf] = INTEGER,
	[0xc4 ... 0xc5] = SEGMENT, [0xc8] = STACK, [0xca ... 0xcb] = FAR_BRANCH, [0xcc] = BRANCH, [0xcd] = SOFT_INTERRUPT, [0xce] = BRANCH, [0xcf] = INTERRUPT_RETURN,
	[0xd4 ... 0xd5] = MULTIPLY, [0xd6] = INTEGER, [0xd8 ... 0xdf] = X87,
	[0xe0 ... 0xe3] = BRANCH, [0xe4 ... 0xe7] = PORT, [0xe9] = BRANCH, [0xea] = FAR_BRANCH, [0xeb] = BRANCH,
	[0xec ... 0xef] = PORT, [0xf1] = BRANCH, [0xf4] = SYSTEM, [0xf5] = INTEGER, [0xf6 ... 0xf7] = MULTIPLY,
	[0xf8 ... 0xf9] = INTEGER, [0xfa ... 0xfb] = INTERRUPT_FLAG, [0xfc ... 0xfd] = INTEGER, [0xff] = FAR_BRANCH,
};

static const u8 two_byte[256] = {
	[0x00 ... 0x01] = TABLE, [0x02 ... 0x03] = SEGMENT, [0x05 ... 0x09] = SYSTEM, [0x0b] = UNDEFINED,
	[0x0d] = WIDE, [0x18 ... 0x1f] = WIDE, [0x20 ... 0x23] = SYSTEM, [0x30 ... 0x35] = SYSTEM, [0x37] = UNDEFINED,
	[0x40 ... 0x4f] = WIDE, [0x77] = X87, [0x78 ... 0x79] = UNDEFINED, [0x80 ... 0x8f] = BRANCH,
	[0xa0 ... 0xa1] = SEGMENT, [0xa2] = SYSTEM, [0xa4 ... 0xa5] = WIDE, [0xa6 ... 0xa7] = UNDEFINED, [0xa8 ... 0xa9] = SEGMENT,
	[0xaa] = UNDEFINED, [0xac ... 0xad] = WIDE, [0xae] = WIDE, [0xaf] = MULTIPLY, [0xb2] = SEGMENT, [0xb4 ... 0xb5] = SEGMENT,
	[0xb8] = WIDE, [0xb9] = UNDEFINED, [0xbc ... 0xbd] = WIDE, [0xc7] = X87, [0xc8 ... 0xcf] = WIDE, [0xff] = UNDEFINED,
};
/* clang-format on */

static enum group group_of(const struct insn *insn)
{
	if (insn->encoding != INSN_LEGACY || insn->map > 1)
		return EMULATOR;
	if (insn->map)
		return two_byte[insn->opcode];
	if (one_byte[insn->opcode] != EMULATOR)
		return one_byte[insn->opcode];
	if (insn->opcode < 0x40)
		return EMULATOR_ALU;
	return insn->opcode >= 0x88 && insn->opcode <= 0x8b ? EMULATOR_MOVE : EMULATOR_SHORT;
}

/* Opcodes that the emulator has whose other half is none: groups 1a, 4, 8, 9 and 11 (SDM vol. 2 table A-6). */
static bool is_undefined_form(const struct insn *insn)
{
	u32 op = insn->opcode, reg = insn->reg & 7;

	if (insn->encoding != INSN_LEGACY || insn->map > 1)
		return false;
	if (insn->map == 0)
		return ((op == 0x8f || op == 0xc6 || op == 0xc7) && reg) || (op == 0xfe && reg > 1);
	return (op == 0xba && reg < 4) || (op == 0xc7 && (insn->has_mem ? reg != 1 : reg < 6)) ||
	       (op == 0xc3 && !insn->has_mem);
}

/* An exit from virtual-8086 mode says so: what the hardware knows and refuses is the guest's fault, whatever the instruction. */
static bool has_been_refused(const struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;

	return exit->kind == EXIT_EXCEPTION && (exit->vector == VEC_GP || exit->vector == VEC_SS);
}

/* What a decoded instruction needs not be asked each time. */
static void classify(struct guest_decoded *d)
{
	enum group group = group_of(&d->insn);

	d->group = (u8)group;
	d->cost = (u8)(groups[group].cost + (d->insn.has_mem ? COST_MEMORY : 0));
	d->size = emu_operand_size(&d->insn);
	d->plain = d->insn.encoding == INSN_LEGACY && (!d->insn.lock || emu_takes_lock(&d->insn)) &&
		   !is_undefined_form(&d->insn);
}

static NOINLINE int execute_unknown(struct emu *e, const struct guest_decoded *d)
{
	int err = d->group != EMULATOR ? emu_execute(e) : -ENOSYS;

	if (err == -ENOSYS && has_been_refused(e->vcpu))
		return interpret_fault(e, e->vcpu->exit.vector, 0);
	if (err == -ENOSYS)
		interpret_stop(e, "");
	return err;
}

static NOINLINE int execute_other(struct emu *e, const struct guest_decoded *d)
{
	int err = emu_prepare(e);

	if (err)
		return err;
	if (is_undefined_form(&d->insn))
		return interpret_undefined(e);
	return groups[d->group].execute(e);
}

static ALWAYS_INLINE int execute(struct emu *e, const struct guest_decoded *d)
{
	int err;

	e->vcpu->interpreted += d->cost;
	if (likely(d->plain)) {
		e->size = d->size;
		if (d->insn.has_mem)
			e->offset = insn_effective_offset(e->vcpu, &d->insn);
		err = groups[d->group].execute(e);
	} else {
		err = execute_other(e, d);
	}
	return unlikely(err == -ENOSYS) ? execute_unknown(e, d) : err;
}

/* --- fetch ------------------------------------------------------------------------------ */

static int decode(struct emu *e, struct guest_decoded *d, const u8 *bytes, u32 len)
{
	int err = insn_decode(&d->insn, bytes, len, e->bits);

	return err && err != -ERANGE ? interpret_undefined(e) : err;
}

/* No further than the segment's limit: #GP, as for one that is too long. */
static int fetch_bytes(struct emu *e, const struct segment *cs, struct guest_decoded *d)
{
	struct vcpu *vcpu = e->vcpu;
	u64 room = vcpu->rip > cs->limit ? 0 : cs->limit - vcpu->rip + 1;
	u32 at = (u32)(cs->base + vcpu->rip);
	u32 len = (u32)MIN(room, INSN_MAX), first = MIN(len, PAGE_SIZE - (at & ~PAGE_MASK));
	u8 bytes[INSN_MAX];
	int err = first ? insn_fetch_bytes(vcpu, at, bytes, first) : -ERANGE;

	if (!err)
		err = decode(e, d, bytes, first);
	if (err == -ERANGE && first < len) {
		err = insn_fetch_bytes(vcpu, (u32)(at + first), bytes + first, len - first);
		if (!err)
			err = decode(e, d, bytes, len);
	}
	return err == -ERANGE ? interpret_fault(e, VEC_GP, 0) : err;
}

/* NULL: an exception is queued. */
static NOINLINE const struct guest_decoded *fetch_slow(struct emu *e, const struct segment *cs)
{
	struct guest_decoded *d = &guest_of(e->vcpu)->decoded_once;

	if (fetch_bytes(e, cs, d))
		return NULL;
	classify(d);
	return d;
}

#define FETCHED 16u   /* two words: no less than INSN_MAX */
#define BITS_SHIFT 56 /* in the byte behind them */

static NOINLINE const struct guest_decoded *decode_anew(struct emu *e, const struct segment *cs,
							struct guest_decoded *d, u64 low, u64 high)
{
	const u64 bytes[] = {low, high};

	d->bytes[1] = 0; /* until it is right */
	if (insn_decode(&d->insn, (const u8 *)bytes, INSN_MAX, e->bits))
		return fetch_slow(e, cs);
	classify(d);
	d->bytes[0] = low;
	d->bytes[1] = high;
	return d;
}

/* Put together, if both pages are known RAM. */
static NOINLINE const u8 *code_of_two_pages(const struct vcpu *vcpu, u32 at, u8 *bytes)
{
	u32 first = PAGE_SIZE - (at & ~PAGE_MASK);
	const struct shadow_ram *ram = known_ram(vcpu, at, first);

	if (!ram)
		return NULL;
	memcpy(bytes, ram->at + (at & ~PAGE_MASK), first);
	ram = known_ram(vcpu, (u32)(at + first), FETCHED - first);
	if (!ram)
		return NULL;
	memcpy(bytes + first, ram->at, FETCHED - first);
	return bytes;
}

static ALWAYS_INLINE const u8 *find_code(struct vcpu *vcpu, u32 at, u8 *bytes)
{
	const struct shadow_ram *ram = known_ram(vcpu, at, FETCHED);

	if (likely(ram))
		return ram->at + (at & ~PAGE_MASK);
	if ((at & ~PAGE_MASK) > PAGE_SIZE - FETCHED)
		return code_of_two_pages(vcpu, at, bytes);
	return shadow_find_code(vcpu->mmu, at, insn_access(vcpu, false, true));
}

/*
 * Decoding is a function of the bytes, and of the kind of code, alone: what has been decoded is right as long as the bytes, which are
 * fetched each time, are the same.
 */
static ALWAYS_INLINE const struct guest_decoded *fetch(struct emu *e, const struct segment *cs)
{
	struct vcpu *vcpu = e->vcpu;
	u32 at = (u32)(cs->base + vcpu->rip);
	struct guest_decoded *d = &guest_of(vcpu)->decoded[at % DECODED_MAX];
	u8 bytes[FETCHED];
	const u8 *code;
	u64 low, high;

	if (unlikely(vcpu->rip + FETCHED > cs->limit))
		return fetch_slow(e, cs);
	code = find_code(vcpu, at, bytes);
	if (unlikely(!code))
		return fetch_slow(e, cs);
	__builtin_memcpy(&low, code, sizeof(low));
	__builtin_memcpy(&high, code + sizeof(low), sizeof(high));
	high = (high & ~(~0ull << BITS_SHIFT)) | (u64)e->bits << BITS_SHIFT;
	if (unlikely(d->bytes[0] != low || d->bytes[1] != high))
		return decode_anew(e, cs, d, low, high);
	return d;
}

/* --- one instruction ----------------------------------------------------------------------- */

/* What no instruction changes but those behind which nothing is known. */
static NOINLINE void begin(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;

	exit->interrupted.type = EVENT_NONE;
	exit->insn_len = exit->insn_bytes_len = 0;
	exit->operand_known = exit->cr3_pair = exit->clts = exit->lmsw = exit->nmi_unblocked = false;
	vcpu->mmio.state = MMIO_NONE;
	if (!(vcpu->cr0 & CR0_PE))
		vcpu->cpl = 0;
	known_begin(vcpu);
}

static NOINLINE void finish_unusual(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;

	if (e->again) {
		insn_repeat(vcpu);
	} else if (e->new_stack) {
		vcpu->rip = (u32)(vcpu->rip + e->insn->len);
		vcpu->rflags &= ~RFLAGS_RF;
	} else if (!e->done) {
		insn_advance(vcpu, e->insn->len);
	}
	if (e->new_flags)
		vcpu->rflags = e->flags;
	if (e->shadow || e->new_stack)
		vcpu->interrupt_shadow = true;
}

static ALWAYS_INLINE void finish(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;

	if (unlikely(e->unusual)) {
		if (!e->branched)
			finish_unusual(e);
		else if (e->new_flags)
			vcpu->rflags = e->flags;
		return;
	}
	vcpu->rip = (u32)(vcpu->rip + e->insn->len);
	vcpu->interrupt_shadow = false;
	vcpu->rflags &= ~RFLAGS_RF;
	if (unlikely(breakpoint_is_due(vcpu)))
		breakpoint_finish(vcpu, false);
}

static ALWAYS_INLINE const struct known_segment *code_segment(struct vcpu *vcpu)
{
	struct guest_known *k = known_of(vcpu);

	return likely(k->segments & BIT(SEG_CS)) ? &k->segment[SEG_CS] : known_find_segment(vcpu, SEG_CS);
}

static ALWAYS_INLINE enum interpreted next(struct vcpu *vcpu)
{
	const struct guest_decoded *d;
	const struct known_segment *cs;
	struct emu e;

	if (unlikely(!known_of(vcpu)->on))
		begin(vcpu);
	vcpu->interpreted++;
	if (!vcpu->interrupt_shadow) /* else they may be those of a MOV SS */
		vcpu->breakpoints_hit = 0;
	cs = code_segment(vcpu);
	if (unlikely(!known_of(vcpu)->quiet) && breakpoint_is_at(vcpu, (u32)(cs->segment.base + vcpu->rip)))
		return INTERPRET_EVENT;
	emu_init(&e, vcpu);
	e.bits = vcpu->code_bits = cs->bits;
	d = fetch(&e, &cs->segment);
	if (likely(d)) {
		e.insn = &d->insn;
		if (!execute(&e, d))
			finish(&e);
	}
	vcpu->code_bits = 0;
	if (unlikely(vcpu->inject.type != EVENT_NONE))
		return INTERPRET_EVENT;
	return e.halted ? INTERPRET_HALT : INTERPRETED;
}

enum interpreted interpret_one(struct vcpu *vcpu)
{
	enum interpreted result;

	if (vcpu->inject.type != EVENT_NONE)
		return INTERPRET_EVENT;
	known_forget(vcpu);
	result = next(vcpu);
	known_forget(vcpu);
	return result;
}

enum interpreted interpret_some(struct vcpu *vcpu)
{
	bool open = interpret_takes_interrupts(vcpu);
	u32 left = INTERPRET_SOME;
	enum interpreted result;

	if (vcpu->inject.type != EVENT_NONE)
		return INTERPRET_EVENT;
	do
		result = next(vcpu);
	while (likely(result == INTERPRETED && --left && vcpu->execution == EXECUTION_INTERPRETED &&
		      known_of(vcpu)->on && (open || !interpret_takes_interrupts(vcpu))));
	return result;
}
