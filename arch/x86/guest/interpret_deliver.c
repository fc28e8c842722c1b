/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery of events, step by step as SDM vol. 2 has it ("INT n"), in real mode and through gates outside IA-32e mode, those of
 * tasks among them. What goes wrong on the way is an exception in place of the event (inject.h merges the two), so there are no more turns than
 * table 6-5 has classes.
 */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/inner_stack.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/vendor.h"

struct delivery {
	struct vcpu *vcpu;
	struct emu emu; /* for the stack */
	const struct vcpu_event *event;
	u64 rip; /* to be pushed */
};

static bool is_soft(const struct vcpu_event *event)
{
	return event->type >= EVENT_SOFT_INTERRUPT;
}

static NORETURN void stop(const struct delivery *d, const char *why)
{
	guest_stop(d->vcpu, "vector %x at %x:%llx, with CR0 %llx, is not delivered by the interpreter: %s",
		   d->event->vector, insn_selector(d->vcpu, SEG_CS), (unsigned long long)d->vcpu->rip,
		   (unsigned long long)d->vcpu->cr0, why);
}

/* --- protected mode: gates, SDM vol. 3 section 6.11 ------------------------------------------------- */

#define GATE_BYTES 8u
#define GATE_TYPE(gate) ((gate) >> 40 & 0x1f)
#define GATE_DPL(gate) ((u32)((gate) >> 45 & 3))
#define GATE_PRESENT BIT(47)
#define GATE_TASK 5u
#define GATE_INTERRUPT16 6u
#define GATE_TRAP16 7u
#define GATE_INTERRUPT32 14u
#define GATE_TRAP32 15u
#define ERROR_EXT BIT(0)
#define ERROR_IDT BIT(1)

/* Of an error code: what the event came from, and that it names a gate. */
static u32 gate_error(const struct delivery *d)
{
	return d->event->vector * 8u | ERROR_IDT | (is_soft(d->event) ? 0 : ERROR_EXT);
}

static int read_gate(struct delivery *d, u64 *gate)
{
	u32 at = d->event->vector * GATE_BYTES;
	struct segment buf;
	const struct segment *table = known_segment(d->vcpu, SEG_IDTR, &buf);
	int err;

	if (at + GATE_BYTES - 1 > table->limit)
		return interpret_fault(&d->emu, VEC_GP, gate_error(d));
	err = system_read(d->vcpu, (u32)(table->base + at), gate, sizeof(*gate));
	if (err)
		return err;
	switch (GATE_TYPE(*gate)) {
	case GATE_INTERRUPT16:
	case GATE_TRAP16:
	case GATE_INTERRUPT32:
	case GATE_TRAP32:
	case GATE_TASK: break;
	default: return interpret_fault(&d->emu, VEC_GP, gate_error(d));
	}
	if ((d->event->type == EVENT_SOFT_INTERRUPT || d->event->type == EVENT_SOFT_EXCEPTION) &&
	    GATE_DPL(*gate) < d->vcpu->cpl)
		return interpret_fault(&d->emu, VEC_GP, gate_error(d));
	return *gate & GATE_PRESENT ? 0 : interpret_fault(&d->emu, VEC_NP, gate_error(d));
}

/* The handler's code segment, which is to run at privilege *cpl. */
static int read_handler(struct delivery *d, u16 selector, u64 offset, struct segment *cs, u32 *cpl)
{
	struct vcpu *vcpu = d->vcpu;
	u32 ext = is_soft(d->event) ? 0 : ERROR_EXT, dpl;
	gva_t at;
	int err = descriptor_read(vcpu, selector, cs, &at);

	if (err == -ENOENT)
		return interpret_fault(&d->emu, VEC_GP, (selector & ~SELECTOR_RPL) | ext);
	if (err)
		return err;
	dpl = DESCRIPTOR_DPL(cs->attributes);
	if (!(cs->attributes & DESCRIPTOR_S) || !(cs->attributes & TYPE_CODE) || dpl > vcpu->cpl)
		return interpret_fault(&d->emu, VEC_GP, (selector & ~SELECTOR_RPL) | ext);
	if (!(cs->attributes & DESCRIPTOR_P))
		return interpret_fault(&d->emu, VEC_NP, (selector & ~SELECTOR_RPL) | ext);
	if (offset > cs->limit)
		return interpret_fault(&d->emu, VEC_GP, ext);
	*cpl = cs->attributes & TYPE_CONFORMING ? vcpu->cpl : dpl;
	cs->selector = (u16)((selector & ~SELECTOR_RPL) | *cpl);
	return descriptor_mark_accessed(vcpu, cs, at);
}

/* To more privilege the old stack's pointer comes first, on the new one. */
static int push_frame(struct delivery *d, u32 cpl, u32 size)
{
	const struct vcpu_event *event = d->event;
	struct vcpu *vcpu = d->vcpu;
	u64 values[6] = {known_selector(vcpu, SEG_SS),
			 vcpu->gpr[GPR_RSP],
			 vcpu->rflags,
			 known_selector(vcpu, SEG_CS),
			 d->rip,
			 event->error};
	u32 count = event->type == EVENT_EXCEPTION && event->has_error ? 6 : 5;

	if (cpl == vcpu->cpl)
		return emu_push_values(&d->emu, size, values + 2, count - 2);
	return inner_stack_push(&d->emu, cpl, size, values, count);
}

/* The event is over with the switch, and what is queued then is the new task's: the next step's, lest gates lead here for ever. */
static int switch_task(struct delivery *d, u16 selector)
{
	struct vcpu *vcpu = d->vcpu;
	bool switched;

	vcpu->breakpoints_hit = 0;
	switched = interpret_switch_task(vcpu, TASK_GATE, selector, is_soft(d->event) ? d->event->insn_len : 0);
	vcpu->exit.insn_len = 0;
	return switched ? 0 : -EFAULT;
}

static int deliver_protected(struct delivery *d)
{
	struct vcpu *vcpu = d->vcpu;
	u64 gate, offset;
	struct segment cs;
	bool wide, trap;
	u32 cpl;
	int err;

	if (in_long_mode(vcpu))
		stop(d, "IA-32e mode");
	err = read_gate(d, &gate);
	if (err)
		return err;
	if (GATE_TYPE(gate) == GATE_TASK)
		return switch_task(d, (u16)(gate >> 16));
	wide = GATE_TYPE(gate) >= GATE_INTERRUPT32;
	trap = GATE_TYPE(gate) & 1;
	offset = (gate & 0xffff) | (wide ? gate >> 48 << 16 : 0);
	err = read_handler(d, (u16)(gate >> 16), offset, &cs, &cpl);
	if (!err)
		err = push_frame(d, cpl, wide ? 4 : 2);
	if (err)
		return err;
	known_set_segment(vcpu, SEG_CS, &cs);
	interpret_enter_handler(vcpu, offset, RFLAGS_NT | RFLAGS_VM | (trap ? 0 : RFLAGS_IF));
	return 0;
}

/* --- both ---------------------------------------------------------------------------------------------- */

static int deliver(struct vcpu *vcpu, const struct vcpu_event *event)
{
	struct segment buf;
	struct delivery d;
	int err;

	d.vcpu = vcpu;
	d.event = event;
	d.rip = vcpu->rip + (is_soft(event) ? event->insn_len : 0);
	emu_init(&d.emu, vcpu);
	d.emu.insn = NULL;
	d.emu.bits = known_segment(vcpu, SEG_CS, &buf)->attributes & SEG_ATTR_DB ? 32 : 16;
	err = interpret_is_real(&d.emu) ? interpret_deliver_real(&d.emu, event->vector, d.rip) :
					  deliver_protected(&d);
	if (!err && event->type == EVENT_NMI)
		vcpu->nmi_blocked = true;
	return err;
}

void interpret_deliver(struct vcpu *vcpu, const struct vcpu_event *event)
{
	struct vcpu_event now = *event;
	bool goes_on = known_of(vcpu)->on;

	vcpu->mmio.state = MMIO_NONE;
	if (!(vcpu->cr0 & CR0_PE))
		vcpu->cpl = 0;
	vcpu->interpreted += 3;
	for (;;) {
		if (!known_of(vcpu)->on)
			known_begin(vcpu);
		vcpu->inject.type = EVENT_NONE;
		vcpu->exit.interrupted = now;
		if (deliver(vcpu, &now) == 0)
			break;
		now = vcpu->inject; /* which has taken both into account, or it has shut down */
	}
	vcpu->exit.interrupted.type = EVENT_NONE;
	if (!goes_on)
		known_forget(vcpu);
}
