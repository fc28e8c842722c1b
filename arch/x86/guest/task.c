/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hardware task switch, in the order of SDM vol. 3 section 7.3. Up to "commit"
 * nothing changes; from there on the new task runs, and what is wrong with its
 * segments is its own fault. Descriptors and task-state segments lie in guest memory and may
 * change under us: they are read once, and every write is probed first.
 */
#include "arch/x86/guest/task.h"

#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/segment_load.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/tss.h"
#include "lib/string.h"

#define TSS_BUSY BIT(1) /* of a TSS descriptor's type */
#define TSS_32BIT BIT(3)
#define TSS_TYPE(attributes) ((attributes) & (DESCRIPTOR_S | DESCRIPTOR_TYPE) & ~(u32)(TSS_BUSY | TSS_32BIT))
#define TSS_TYPE_ANY 1u /* 1, 3, 9, 11 less busy and width */

union tss {
	struct tss32 wide;
	struct tss16 narrow;
};

/* One switch under way. */
struct task_switch {
	struct vcpu *vcpu;
	struct segment old, next; /* the TSS descriptors */
	gva_t old_at, next_at;    /* their addresses */
	union tss tss;            /* the new task's */
	u64 saved_rip, saved_rflags;
	bool nested;     /* CALL or a gate: the new task can come back */
	bool clears_old; /* JMP or IRET: the old task is not busy any more */
};

static bool is_wide(const struct segment *tss)
{
	return tss->attributes & TSS_32BIT;
}

static u32 tss_bytes(const struct segment *tss)
{
	return is_wide(tss) ? sizeof(struct tss32) : sizeof(struct tss16);
}

static int fault(struct vcpu *vcpu, u8 vector, u16 selector)
{
	inject_exception(vcpu, vector, selector & ~SELECTOR_RPL);
	return -EFAULT;
}

/* --- checks: nothing changes yet ---------------------------------------------------------- */

/* The CPU has checked privileges and types before it exited; the memory may have changed since. */
static int read_next(struct task_switch *t)
{
	const struct vcpu_exit *exit = &t->vcpu->exit;
	bool back = exit->task_source == TASK_IRET;
	u16 selector = exit->task_selector;
	int err = selector & SELECTOR_LDT ? -ENOENT : descriptor_read(t->vcpu, selector, &t->next, &t->next_at);

	if (err == -EFAULT)
		return err;
	if (err || TSS_TYPE(t->next.attributes) != TSS_TYPE_ANY || !!(t->next.attributes & TSS_BUSY) != back)
		return fault(t->vcpu, back ? VEC_TS : VEC_GP, selector);
	if (!(t->next.attributes & DESCRIPTOR_P))
		return fault(t->vcpu, VEC_NP, selector);
	if (t->next.limit < tss_bytes(&t->next) - 1)
		return fault(t->vcpu, VEC_TS, selector);
	return system_read(t->vcpu, t->next.base, &t->tss, tss_bytes(&t->next));
}

static u32 saved_offset(const struct segment *tss)
{
	return is_wide(tss) ? offsetof(struct tss32, eip) : offsetof(struct tss16, ip);
}

static u32 saved_bytes(const struct segment *tss)
{
	return is_wide(tss) ? offsetof(struct tss32, ldt) - offsetof(struct tss32, eip) :
			      offsetof(struct tss16, ldt) - offsetof(struct tss16, ip);
}

/* The address of the current TSS's descriptor, where its busy flag is; the cached one has the rest. */
static int find_old(struct task_switch *t)
{
	struct segment in_memory;
	int err;

	t->vcpu->vendor->get_segment(t->vcpu, SEG_TR, &t->old);
	if (!t->clears_old)
		return 0;
	err = descriptor_read(t->vcpu, t->old.selector, &in_memory, &t->old_at);
	return err == -ENOENT ? fault(t->vcpu, VEC_TS, t->old.selector) : err;
}

static int probe_writes(struct task_switch *t)
{
	int err = system_probe_write(t->vcpu, (u32)(t->old.base + saved_offset(&t->old)), saved_bytes(&t->old));

	if (!err && t->clears_old)
		err = system_probe_write(t->vcpu, t->old_at, 8);
	if (!err && t->vcpu->exit.task_source != TASK_IRET)
		err = system_probe_write(t->vcpu, t->next_at, 8);
	if (!err && t->nested)
		err = system_probe_write(t->vcpu, t->next.base, sizeof(u16));
	return err;
}

/* Where the old task goes on: behind the instruction, unless a fault or an interrupt led here. */
static int find_saved_state(struct task_switch *t)
{
	struct vcpu *vcpu = t->vcpu;
	const struct vcpu_exit *exit = &vcpu->exit;
	bool by_instruction = exit->task_source != TASK_GATE || exit->interrupted.type >= EVENT_SOFT_INTERRUPT;
	struct insn insn = {.len = exit->insn_len};
	int err = by_instruction && !insn.len ? insn_fetch(vcpu, &insn) : 0;

	t->saved_rip = vcpu->rip + (by_instruction ? insn.len : 0);
	t->saved_rflags = vcpu->rflags | (exit->task_rf ? RFLAGS_RF : 0);
	if (exit->task_source == TASK_IRET)
		t->saved_rflags &= ~RFLAGS_NT;
	return err;
}

/* --- commit: the old task ------------------------------------------------------------------- */

static int save_old(struct task_switch *t)
{
	struct vcpu *vcpu = t->vcpu;
	union tss image = {0};
	struct segment s;

	for (u32 i = 0; i < TSS_SEGMENTS; i++) {
		vcpu->vendor->get_segment(vcpu, (enum segment_name)i, &s);
		image.wide.segment[i] = s.selector;
	}
	for (u32 i = 0; i < TSS_GPRS; i++)
		image.wide.gpr[i] = (u32)vcpu->gpr[i];
	image.wide.eip = (u32)t->saved_rip;
	image.wide.eflags = (u32)t->saved_rflags;
	if (!is_wide(&t->old)) {
		const struct tss32 wide = image.wide;

		image.narrow.ip = (u16)wide.eip;
		image.narrow.flags = (u16)wide.eflags;
		for (u32 i = 0; i < TSS_GPRS; i++)
			image.narrow.gpr[i] = (u16)wide.gpr[i];
		for (u32 i = 0; i < TSS_SEGMENTS - 2; i++)
			image.narrow.segment[i] = (u16)wide.segment[i];
	}
	return system_write(vcpu, (u32)(t->old.base + saved_offset(&t->old)), (u8 *)&image + saved_offset(&t->old),
			    saved_bytes(&t->old));
}

static int mark_busy(struct task_switch *t)
{
	struct segment old;
	int err = 0;

	if (t->clears_old) {
		err = descriptor_read(t->vcpu, t->old.selector, &old, &t->old_at);
		if (!err)
			err = descriptor_write_access(t->vcpu, t->old_at, (u8)(old.attributes & ~TSS_BUSY));
	}
	if (!err && t->vcpu->exit.task_source != TASK_IRET)
		err = descriptor_write_access(t->vcpu, t->next_at, (u8)(t->next.attributes | TSS_BUSY));
	if (!err && t->nested)
		err = system_write(t->vcpu, t->next.base, &t->old.selector, sizeof(t->old.selector));
	return err;
}

/* --- commit: the new task -------------------------------------------------------------------- */

/* A 16-bit TSS as a 32-bit one. Upper halves of the registers: all ones, as processors do it. */
static void widen(struct task_switch *t)
{
	const struct tss16 narrow = t->tss.narrow;
	struct tss32 *wide = &t->tss.wide;

	if (is_wide(&t->next))
		return;
	*wide = (struct tss32){.eip = narrow.ip, .eflags = narrow.flags, .ldt = narrow.ldt};
	for (u32 i = 0; i < TSS_GPRS; i++)
		wide->gpr[i] = 0xffff0000 | narrow.gpr[i];
	for (u32 i = 0; i < TSS_SEGMENTS - 2; i++)
		wide->segment[i] = narrow.segment[i];
}

/*
 * Until its descriptor is loaded a register has the new selector and nothing behind it. CS and SS
 * must be fit for an entry, since the fault that is coming is delivered from there. In
 * virtual-8086 mode there is no descriptor to wait for.
 */
static void set_selectors(struct task_switch *t, u32 cpl)
{
	const struct tss32 *tss = &t->tss.wide;
	u32 dpl = cpl << 5;

	for (u32 i = 0; i < TSS_SEGMENTS; i++) {
		struct segment s = {.selector = (u16)tss->segment[i], .attributes = SEG_ATTR_UNUSABLE};

		if (t->vcpu->rflags & RFLAGS_VM) {
			segment_load_v86(t->vcpu, (enum segment_name)i, s.selector);
			continue;
		}

		if (i == SEG_CS)
			s = (struct segment){.selector = s.selector, .limit = ~0u, .attributes = 0xc09b | dpl};
		else if (i == SEG_SS)
			s = (struct segment){.selector = (u16)((s.selector & ~SELECTOR_RPL) | cpl),
					     .limit = ~0u,
					     .attributes = 0xc093 | dpl};
		known_set_segment(t->vcpu, (enum segment_name)i, &s);
	}
}

static void load_registers(struct task_switch *t)
{
	struct vcpu *vcpu = t->vcpu;
	const struct tss32 *tss = &t->tss.wide;

	for (u32 i = 0; i < TSS_GPRS; i++)
		vcpu->gpr[i] = tss->gpr[i];
	vcpu->rip = tss->eip;
	vcpu->rflags = (tss->eflags & RFLAGS_DEFINED) | RFLAGS_FIXED | (t->nested ? RFLAGS_NT : 0);
	vcpu->interrupt_shadow = false;
	vcpu->cpl = tss->eflags & RFLAGS_VM ? 3 : tss->segment[SEG_CS] & SELECTOR_RPL;
	t->next.attributes |= TSS_BUSY;
	known_set_segment(vcpu, SEG_TR, &t->next);
	vcpu->cr0 |= CR0_TS;
	vcpu->vendor->update_control(vcpu);
	debug_register_write(vcpu, 7, debug_register_read(vcpu, 7) & ~DR7_LOCAL);
}

static int load_cr3(struct task_switch *t)
{
	if (!is_wide(&t->next) || !(t->vcpu->cr0 & CR0_PG) || !cr_write_cr3(t->vcpu, t->tss.wide.cr3))
		return 0;
	inject_gp(t->vcpu); /* a PDPTE has reserved bits */
	return -EFAULT;
}

static int load_segments(struct task_switch *t)
{
	static const enum segment_name order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};
	const struct tss32 *tss = &t->tss.wide;
	struct vcpu *vcpu = t->vcpu;
	int err = segment_load(vcpu, SEG_LDTR, (u16)tss->ldt, vcpu->cpl);

	for (u32 i = 0; i < ARRAY_SIZE(order) && !err && !(vcpu->rflags & RFLAGS_VM); i++)
		err = segment_load(vcpu, order[i], (u16)tss->segment[order[i]], vcpu->cpl);
	return err;
}

static int check_eip(struct vcpu *vcpu)
{
	struct segment cs;

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	if (vcpu->rip <= cs.limit)
		return 0;
	inject_gp(vcpu);
	return -EFAULT;
}

/* A gate's exception leaves its error code on the new task's stack. */
static int push_error(struct task_switch *t)
{
	const struct vcpu_exit *exit = &t->vcpu->exit;
	struct emu e = {.vcpu = t->vcpu, .bits = insn_code_bits(t->vcpu)};

	if (exit->task_source != TASK_GATE || !exit->interrupted.has_error)
		return 0;
	return emu_push_value(&e, is_wide(&t->next) ? 4 : 2, exit->interrupted.error);
}

static int load_new(struct task_switch *t)
{
	struct vcpu *vcpu = t->vcpu;
	struct segment no_ldt = {.attributes = SEG_ATTR_UNUSABLE};
	int err;

	widen(t);
	load_registers(t);
	set_selectors(t, vcpu->cpl);
	no_ldt.selector = (u16)t->tss.wide.ldt;
	known_set_segment(vcpu, SEG_LDTR, &no_ldt);
	err = load_cr3(t);
	if (!err)
		err = load_segments(t);
	if (!err)
		err = check_eip(vcpu);
	return err ? err : push_error(t);
}

/* An NMI through a gate blocks others as any NMI; the IRET that leaves its task ends that. */
static void update_nmi_blocking(struct vcpu *vcpu)
{
	if (vcpu->exit.task_source == TASK_IRET)
		vcpu->nmi_blocked = false;
	else if (vcpu->exit.task_source == TASK_GATE && vcpu->exit.interrupted.type == EVENT_NMI)
		vcpu->nmi_blocked = true;
}

static int check(struct task_switch *t)
{
	int err = read_next(t);

	if (!err)
		err = find_old(t);
	if (!err)
		err = find_saved_state(t);
	return err ? err : probe_writes(t);
}

bool task_handle_switch(struct vcpu *vcpu)
{
	u8 source = vcpu->exit.task_source;
	struct task_switch t = {
		.vcpu = vcpu,
		.nested = source == TASK_CALL || source == TASK_GATE,
		.clears_old = source == TASK_JUMP || source == TASK_IRET,
	};

	if (in_long_mode(vcpu)) {
		inject_gp(vcpu);
		return false;
	}
	if (check(&t) || mark_busy(&t) || save_old(&t))
		return false;
	update_nmi_blocking(vcpu);
	if (load_new(&t))
		return true;
	vcpu->exit.interrupted.type = EVENT_NONE; /* it has been delivered */
	if (is_wide(&t.next) && t.tss.wide.trap & 1) {
		breakpoint_raise(vcpu, DR6_BT);
	}
	return true;
}
