/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that use the stack, with the stack or the operand in emulated memory. */
#include "arch/x86/guest/emulate_stack.h"

#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/vendor.h"

#define COST_VALUE 1u /* interpret.h */

static ALWAYS_INLINE u32 stack_width(const struct emu *e)
{
	struct segment buf;

	if (unlikely(e->bits == 64))
		return 8;
	return known_segment(e->vcpu, SEG_SS, &buf)->attributes & SEG_ATTR_DB ? 4 : 2;
}

u32 emu_stack_width(const struct emu *e)
{
	return stack_width(e);
}

static ALWAYS_INLINE void set_stack_pointer(struct emu *e, u32 width, u64 value)
{
	e->vcpu->gpr[GPR_RSP] = emu_stack_pointer(e, width, value);
}

void emu_set_stack_pointer(struct emu *e, u64 value)
{
	set_stack_pointer(e, stack_width(e), value);
}

/* PUSH, POP, CALL and RET take 8 bytes in 64-bit code unless 66 makes it 2. */
u32 emu_stack_size(const struct emu *e)
{
	if (e->bits == 64)
		return e->insn->opsize16 ? 2 : 8;
	return e->insn->opsize;
}

/* Near branches in 64-bit code are 64 bits wide whatever the prefix. */
static u32 branch_size(const struct emu *e)
{
	return e->bits == 64 ? 8 : e->insn->opsize;
}

int emu_push_value(struct emu *e, u32 size, u64 value)
{
	u32 width = stack_width(e);
	u64 rsp = insn_truncate(e->vcpu->gpr[GPR_RSP] - size, width);
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, rsp, size, SEGMENT_WRITE, &gva);

	if (!err)
		err = emulate_write(e->vcpu, gva, &value, size);
	if (!err)
		set_stack_pointer(e, width, rsp);
	return err;
}

int emu_peek_value(struct emu *e, u32 depth, u32 size, u64 *value)
{
	u64 offset = insn_truncate(e->vcpu->gpr[GPR_RSP] + depth, stack_width(e));
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, offset, size, SEGMENT_READ, &gva);

	*value = 0;
	return err ? err : emulate_read(e->vcpu, gva, value, size);
}

/* Of all the bytes in one piece; NULL: one by one. */
static ALWAYS_INLINE const struct shadow_ram *stack_ram(struct emu *e, u64 offset, u32 len,
							enum segment_access access, gva_t *gva)
{
	if (!known_linear(e->vcpu, SEG_SS, offset, len, access, gva))
		return NULL;
	return known_ram(e->vcpu, *gva, len);
}

static NOINLINE int push_one_by_one(struct emu *e, u32 size, const u64 *values, u32 count)
{
	u64 rsp = e->vcpu->gpr[GPR_RSP], value;
	int err = 0;

	e->vcpu->interpreted += count * COST_VALUE;
	for (u32 i = 0; i < count && !err; i++) {
		value = &values[i] == &e->vcpu->gpr[GPR_RSP] ? rsp : values[i];
		err = emu_push_value(e, size, value);
	}
	if (err)
		e->vcpu->gpr[GPR_RSP] = rsp;
	return err;
}

static ALWAYS_INLINE int push_values(struct emu *e, u32 size, const u64 *values, u32 count)
{
	u32 width = stack_width(e);
	u64 before = insn_truncate(e->vcpu->gpr[GPR_RSP], width), rsp = insn_truncate(before - size * count, width);
	const struct shadow_ram *ram;
	gva_t gva;

	if (unlikely(rsp > before))
		return push_one_by_one(e, size, values, count);
	ram = stack_ram(e, rsp, size * count, SEGMENT_WRITE, &gva);
	if (unlikely(!ram))
		return push_one_by_one(e, size, values, count);
	shadow_push_ram(e->vcpu->mmu, ram, (gva & ~PAGE_MASK) + size * count, values, size, count);
	set_stack_pointer(e, width, rsp);
	return 0;
}

/* Real mode's frame of an interrupt: the usual number of values, for which the compiler knows how many there are. */
static ALWAYS_INLINE bool is_real_frame(u32 size, u32 count)
{
	return size == 2 && count == 3;
}

int emu_push_values(struct emu *e, u32 size, const u64 *values, u32 count)
{
	return is_real_frame(size, count) ? push_values(e, 2, values, 3) : push_values(e, size, values, count);
}

/* Values that lie there, from the lowest: aligned, so that each is read at once. */
static ALWAYS_INLINE void read_values(const u8 *at, u32 size, u64 *values, u32 count)
{
	if (likely(size == 2))
		for (u32 n = 0; n < count; n++)
			values[n] = ((const volatile u16 *)(const volatile void *)at)[n];
	else
		for (u32 n = 0; n < count; n++)
			values[n] = ((const volatile u32 *)(const volatile void *)at)[n];
}

static NOINLINE int peek_one_by_one(struct emu *e, u32 depth, u32 size, u64 *values, u32 count)
{
	int err = 0;

	e->vcpu->interpreted += count * COST_VALUE;
	for (u32 n = 0; n < count && !err; n++)
		err = emu_peek_value(e, depth + n * size, size, &values[n]);
	return err;
}

static ALWAYS_INLINE bool peek_piece(struct emu *e, u32 width, u32 depth, u32 size, u64 *values, u32 count)
{
	u64 offset = insn_truncate(e->vcpu->gpr[GPR_RSP] + depth, width);
	const struct shadow_ram *ram;
	gva_t gva;

	if (unlikely(insn_truncate(offset + size * count - 1, width) < offset)) /* whatever the limit */
		return false;
	ram = stack_ram(e, offset, size * count, SEGMENT_READ, &gva);
	if (unlikely(!ram || gva & (size - 1)))
		return false;
	read_values(ram->at + (gva & ~PAGE_MASK), size, values, count);
	return true;
}

bool emu_peek_piece(struct emu *e, u32 depth, u32 size, u64 *values, u32 count)
{
	return peek_piece(e, stack_width(e), depth, size, values, count);
}

static ALWAYS_INLINE int peek_values(struct emu *e, u32 width, u32 depth, u32 size, u64 *values, u32 count)
{
	if (likely(peek_piece(e, width, depth, size, values, count)))
		return 0;
	return peek_one_by_one(e, depth, size, values, count);
}

int emu_peek_values(struct emu *e, u32 depth, u32 size, u64 *values, u32 count)
{
	return peek_values(e, stack_width(e), depth, size, values, count);
}

static ALWAYS_INLINE int pop_values(struct emu *e, u32 size, u64 *values, u32 count)
{
	u32 width = stack_width(e);
	int err = peek_values(e, width, 0, size, values, count);

	if (!err)
		set_stack_pointer(e, width, e->vcpu->gpr[GPR_RSP] + size * count);
	return err;
}

int emu_pop_values(struct emu *e, u32 size, u64 *values, u32 count)
{
	return is_real_frame(size, count) ? pop_values(e, 2, values, 3) : pop_values(e, size, values, count);
}

int emu_push_rm(struct emu *e)
{
	u64 value;
	int err;

	e->size = emu_stack_size(e);
	err = emu_read_rm(e, &value);
	return err ? err : emu_push_value(e, e->size, value);
}

/* An address based on RSP is computed with RSP after the pop. */
int emu_pop_rm(struct emu *e)
{
	u64 *rsp = &e->vcpu->gpr[GPR_RSP], before = *rsp, value;
	u32 size = emu_stack_size(e);
	int err = emu_peek_value(e, 0, size, &value);

	if (err)
		return err;
	e->size = size;
	emu_set_stack_pointer(e, before + size);
	e->offset = insn_effective_offset(e->vcpu, e->insn);
	err = emu_write_rm(e, value);
	if (err)
		*rsp = before;
	return err;
}

int emu_pop_reg(struct emu *e)
{
	u32 size = emu_stack_size(e);
	u64 value;
	int err = emu_peek_value(e, 0, size, &value);

	if (err)
		return err;
	emu_set_stack_pointer(e, e->vcpu->gpr[GPR_RSP] + size);
	emu_set_reg(e, e->insn->rm, size, value);
	return 0;
}

/* The frame pointer is the stack pointer; then it is popped. */
int emu_leave(struct emu *e)
{
	u32 size = emu_stack_size(e), width = stack_width(e);
	u64 frame = insn_truncate(e->vcpu->gpr[GPR_RBP], width), value = 0;
	gva_t gva;
	int err = insn_linear(e->vcpu, SEG_SS, frame, size, SEGMENT_READ, &gva);

	if (!err)
		err = emulate_read(e->vcpu, gva, &value, size);
	if (err)
		return err;
	set_stack_pointer(e, width, frame + size);
	emu_set_reg(e, GPR_RBP, size, value);
	return 0;
}

void emu_branch(struct emu *e, u64 target)
{
	insn_branch(e->vcpu, target);
	e->branched = true;
}

int emu_call(struct emu *e, u64 target)
{
	u32 size = branch_size(e);
	int err;

	target = insn_truncate(target, size);
	err = insn_check_target(e->vcpu, target);
	if (!err)
		err = emu_push_value(e, size, e->vcpu->rip + e->insn->len);
	if (!err)
		emu_branch(e, target);
	return err;
}

int emu_call_rm(struct emu *e)
{
	u64 target;
	int err;

	e->size = branch_size(e);
	err = emu_read_rm(e, &target);
	return err ? err : emu_call(e, target);
}

int emu_jump(struct emu *e, u64 target)
{
	int err;

	target = insn_truncate(target, branch_size(e));
	err = insn_check_target(e->vcpu, target);
	if (!err)
		emu_branch(e, target);
	return err;
}

int emu_jump_rm(struct emu *e)
{
	u64 target;
	int err;

	e->size = branch_size(e);
	err = emu_read_rm(e, &target);
	return err ? err : emu_jump(e, target);
}

/* RET, with the bytes to drop from the stack in the immediate. */
int emu_ret(struct emu *e)
{
	u32 size = branch_size(e);
	u64 target;
	int err = emu_peek_value(e, 0, size, &target);

	if (!err)
		err = insn_check_target(e->vcpu, target);
	if (err)
		return err;
	emu_set_stack_pointer(e, e->vcpu->gpr[GPR_RSP] + size + (u16)e->insn->imm);
	emu_branch(e, target);
	return 0;
}
