/* SPDX-License-Identifier: BSD-2-Clause */
/* PUSHA, POPA, ENTER: many accesses to the stack, all of them or none. */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "lib/string.h"

#define PUSHED 8u /* AX, CX, DX, BX, SP, BP, SI, DI */
#define LEVELS 31u

static int push_all(struct emu *e)
{
	u64 values[PUSHED]; /* SP's as it is before */

	memcpy(values, e->vcpu->gpr, sizeof(values));
	return emu_push_values(e, e->insn->opsize, values, PUSHED);
}

static int pop_all(struct emu *e)
{
	u64 values[PUSHED];
	u32 size = e->insn->opsize;
	int err = emu_pop_values(e, size, values, PUSHED);

	if (err)
		return err;
	for (u32 i = 0; i < PUSHED; i++)
		if (i != GPR_RSP)
			emu_set_reg(e, (u8)i, size, values[PUSHED - 1 - i]);
	return 0;
}

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
static int check_top(struct emu *e)
{
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, insn_truncate(e->vcpu->gpr[GPR_RSP], emu_stack_width(e)),
			      e->insn->opsize, SEGMENT_WRITE, &gva);

	return err ? err : emulate_probe_write(e->vcpu, gva, e->insn->opsize);
}

/* ENTER: the nesting level is the second immediate. */
static int make_frame(struct emu *e)
{
	u64 *gpr = e->vcpu->gpr, rsp = gpr[GPR_RSP], frame;
	u32 size = e->insn->opsize, level = e->insn->imm2 & LEVELS;
	int err = emu_push_value(e, size, gpr[GPR_RBP]);

	frame = gpr[GPR_RSP];
	for (u32 i = 1; i < level && !err; i++)
		err = copy_frame_pointer(e, i);
	if (level && !err)
		err = emu_push_value(e, size, frame);
	if (!err) {
		emu_set_stack_pointer(e, gpr[GPR_RSP] - (u16)e->insn->imm);
		err = check_top(e);
	}
	if (err)
		gpr[GPR_RSP] = rsp;
	else
		emu_set_reg(e, GPR_RBP, emu_stack_width(e), frame);
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
