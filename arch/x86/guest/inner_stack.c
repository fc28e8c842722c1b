/* SPDX-License-Identifier: BSD-2-Clause */
/* See inner_stack.h. */
#include "arch/x86/guest/inner_stack.h"

#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/segment_load.h"
#include "arch/x86/guest/tss.h"

#define COST 4u /* interpret.h */

/* As it was before: to go back. */
struct outer_stack {
	struct segment ss;
	u64 rsp;
	u32 cpl;
};

static int fault(struct vcpu *vcpu, u8 vector, u16 selector)
{
	inject_exception(vcpu, vector, selector & ~SELECTOR_RPL);
	return -EFAULT;
}

/* Stack pointer and selector lie behind the back link, in as many words or doublewords as there are privileges below. */
static int read_pointer(struct vcpu *vcpu, u32 cpl, u64 *rsp, u16 *selector)
{
	struct segment buf;
	const struct segment *tr = known_segment(vcpu, SEG_TR, &buf);
	bool wide = tr->attributes & SEG_TYPE_TSS32;
	u32 size = wide ? sizeof(u32) : sizeof(u16), at = size + 2 * size * cpl, raw = 0;
	int err;

	if (tr->attributes & SEG_ATTR_UNUSABLE || at + size + sizeof(u16) - 1 > tr->limit)
		return fault(vcpu, VEC_TS, tr->selector);
	err = system_read(vcpu, (u32)(tr->base + at), &raw, size);
	*rsp = raw;
	return err ? err : system_read(vcpu, (u32)(tr->base + at + size), selector, sizeof(*selector));
}

/* #SS names the new stack, whose limit it is. A pointer of 0 is one above the top. */
static int check_room(struct emu *e, u32 bytes)
{
	struct segment buf;
	const struct segment *ss = known_segment(e->vcpu, SEG_SS, &buf);
	u64 top = ss->attributes & SEG_ATTR_DB ? 0xffffffff : 0xffff, rsp = e->vcpu->gpr[GPR_RSP] & top;
	u64 end = rsp ? rsp : top + 1;
	bool inside = known_expands_down(ss) ? end - bytes > ss->limit && end - 1 <= top : end - 1 <= ss->limit;

	return end >= bytes && inside ? 0 : fault(e->vcpu, VEC_SS, ss->selector);
}

static void leave(struct emu *e, const struct outer_stack *old)
{
	struct vcpu *vcpu = e->vcpu;

	vcpu->cpl = old->cpl;
	vcpu->gpr[GPR_RSP] = old->rsp;
	known_set_segment(vcpu, SEG_SS, &old->ss);
	known_forget(vcpu);
}

/* Where so many bytes can be pushed. */
static int enter(struct emu *e, u32 cpl, u32 bytes, struct outer_stack *old)
{
	struct vcpu *vcpu = e->vcpu;
	u16 selector;
	u64 rsp;
	int err = read_pointer(vcpu, cpl, &rsp, &selector);

	if (err)
		return err;
	old->rsp = vcpu->gpr[GPR_RSP];
	old->cpl = vcpu->cpl;
	vcpu->vendor->get_segment(vcpu, SEG_SS, &old->ss);
	err = segment_load(vcpu, SEG_SS, selector, cpl);
	if (err)
		return err;
	vcpu->cpl = cpl;
	known_forget(vcpu);
	emu_set_stack_pointer(e, rsp);
	err = check_room(e, bytes);
	if (err)
		leave(e, old);
	return err;
}

int inner_stack_push(struct emu *e, u32 cpl, u32 size, const u64 *values, u32 count)
{
	struct outer_stack old;
	int err;

	e->vcpu->interpreted += COST;
	err = enter(e, cpl, size * count, &old);
	if (err)
		return err;
	err = emu_push_values(e, size, values, count);
	if (err)
		leave(e, &old);
	return err;
}
