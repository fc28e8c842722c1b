/* SPDX-License-Identifier: BSD-2-Clause */
/* PUSHA, POPA, ENTER: many accesses to the stack, all of them or none. */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"

#define PUSHED 8u /* AX, CX, DX, BX, SP, BP, SI, DI */
#define LEVELS 31u
#define COST_LEVEL 3u /* interpret.h */

static int push_all(struct emu *e)
{
	return emu_push_values(e, e->insn->opsize, e->vcpu->gpr, PUSHED);
}

static int pop_all(struct emu *e)
{
	u64 values[PUSHED], *gpr = e->vcpu->gpr, kept = e->insn->opsize == 2 ? ~0xffffull : 0;
	int err = emu_pop_values(e, e->insn->opsize, values, PUSHED);

	if (err)
		return err;
	for (u32 i = 0; i < PUSHED; i++)
		if (i != GPR_RSP)
			gpr[i] = (gpr[i] & kept) | values[PUSHED - 1 - i];
	return 0;
}

/* --- ENTER ------------------------------------------------------------------------------------ */

/* One of the outer frames' pointers, in the frame that rBP points to. */
static int copy_frame_pointer(struct emu *e, u32 level)
{
	u32 size = e->insn->opsize;
	u64 offset = insn_truncate(e->vcpu->gpr[GPR_RBP] - level * size, emu_stack_width(e)), value = 0;
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, offset, size, SEGMENT_READ, &gva);

	if (!err)
		err = emulate_read(e->vcpu, gva, &value, size);
	return err ? err : emu_push_value(e, size, value);
}

/* What the instruction leaves as the top of the stack can be written. */
static int check_top(struct emu *e, u32 width)
{
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, insn_truncate(e->vcpu->gpr[GPR_RSP], width), e->insn->opsize,
			      SEGMENT_WRITE, &gva);

	return err ? err : emulate_probe_write(e->vcpu, gva, e->insn->opsize);
}

/* The same for all of them, from the first on, before any is pushed: if they lie in one piece, apart from what is pushed. */
static bool read_frame_pointers(struct emu *e, u32 width, u32 size, u64 *values, u32 count)
{
	u32 bytes = count * size, pushed = bytes + 2 * size;
	u64 above = insn_truncate(e->vcpu->gpr[GPR_RBP] - bytes - e->vcpu->gpr[GPR_RSP], width);
	u64 upwards[LEVELS];

	if (above + bytes + pushed > BIT(8 * width) || !emu_peek_piece(e, (u32)above, size, upwards, count))
		return false;
	for (u32 i = 0; i < count; i++)
		values[i] = upwards[count - 1 - i];
	return true;
}

static int push_one_by_one(struct emu *e, u32 size, u32 level, u64 frame)
{
	int err = emu_push_value(e, size, e->vcpu->gpr[GPR_RBP]);

	e->vcpu->interpreted += COST_LEVEL * level;
	for (u32 i = 1; i < level && !err; i++)
		err = copy_frame_pointer(e, i);
	return err ? err : emu_push_value(e, size, frame);
}

/* rBP; with levels the outer frames' pointers, and this frame's. */
static int push_frame(struct emu *e, u32 width, u32 size, u32 level, u64 frame)
{
	u64 values[LEVELS + 1];

	if (!level)
		return emu_push_value(e, size, e->vcpu->gpr[GPR_RBP]);
	values[0] = e->vcpu->gpr[GPR_RBP];
	values[level] = frame;
	if (likely(level == 1 || read_frame_pointers(e, width, size, values + 1, level - 1)))
		return emu_push_values(e, size, values, level + 1);
	return push_one_by_one(e, size, level, frame);
}

/* ENTER: the nesting level is the second immediate. */
static int make_frame(struct emu *e)
{
	u64 *gpr = e->vcpu->gpr, rsp = gpr[GPR_RSP], frame;
	u32 size = e->insn->opsize, level = e->insn->imm2 & LEVELS, width = emu_stack_width(e);
	int err;

	frame = emu_stack_pointer(e, width, rsp - size);
	err = push_frame(e, width, size, level, frame);
	if (!err) {
		gpr[GPR_RSP] = emu_stack_pointer(e, width, gpr[GPR_RSP] - (u16)e->insn->imm);
		err = check_top(e, width);
	}
	if (err)
		gpr[GPR_RSP] = rsp;
	else
		emu_set_reg(e, GPR_RBP, width, frame);
	return err;
}

int interpret_stack(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x60: return push_all(e);
	case 0x61: return pop_all(e);
	case 0xc8: return make_frame(e);
	default: return -ENOSYS;
	}
}
