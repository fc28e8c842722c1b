/* SPDX-License-Identifier: BSD-2-Clause */
/* Real mode's table of interrupt vectors, far pointers to handlers: SDM vol. 3 section 20.1.4. */
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"

void interpret_enter_handler(struct vcpu *vcpu, u64 rip, u64 cleared)
{
	vcpu->rip = rip;
	vcpu->rflags &= ~(cleared | RFLAGS_TF | RFLAGS_RF);
	vcpu->interrupt_shadow = false;
	vcpu->breakpoints_hit = 0;
}

#define VECTOR_BYTES 4u

int interpret_deliver_real(struct emu *e, u8 vector, u64 rip)
{
	struct vcpu *vcpu = e->vcpu;
	const u64 values[] = {vcpu->rflags & 0xffff, known_selector(vcpu, SEG_CS), rip};
	u32 entry, at = vector * VECTOR_BYTES;
	struct segment buf;
	const struct segment *table = known_segment(vcpu, SEG_IDTR, &buf);
	int err;

	if (unlikely(at + VECTOR_BYTES - 1 > table->limit))
		return interpret_fault(e, VEC_GP, 0);
	err = system_read(vcpu, (u32)(table->base + at), &entry, sizeof(entry));
	if (!err)
		err = emu_push_values(e, 2, values, ARRAY_SIZE(values));
	if (err)
		return err;
	segment_load_real(vcpu, SEG_CS, (u16)(entry >> 16));
	interpret_enter_handler(vcpu, (u16)entry, RFLAGS_IF | RFLAGS_AC);
	return 0;
}

/* In real mode a far call, with no single step behind it, for TF is clear by then. */
int interpret_soft_event(struct emu *e, enum event_type type, u8 vector)
{
	struct vcpu *vcpu = e->vcpu;
	u8 len = e->insn->len;

	if (interpret_is_real(e)) {
		e->branched = true;
		return interpret_deliver_real(e, vector, vcpu->rip + len);
	}
	vcpu->inject = (struct vcpu_event){.type = (u8)type, .vector = vector, .insn_len = len};
	return -EFAULT;
}

int interpret_soft_interrupt(struct emu *e)
{
	return interpret_soft_event(e, EVENT_SOFT_INTERRUPT, (u8)e->insn->imm);
}
