/* SPDX-License-Identifier: BSD-2-Clause */
/* See target.h: requests that are handed to the processor of a virtual CPU by stop_on(). */
#include "debug/target.h"

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "debug/memory.h"
#include "debug/stop.h"
#include "lib/string.h"

#define X(name, text) text,
static const char *const names[] = {TARGET_REGISTERS(X)};
#undef X

/* RFLAGS that a debugger may set: all but VM, VIF, VIP and what is fixed. */
#define RFLAGS_SETTABLE 0x257fd5u

const char *target_register_name(enum target_register reg)
{
	return (u32)reg < TARGET_REGISTER_COUNT ? names[reg] : "?";
}

int target_find_register(const char *name, u32 length)
{
	for (u32 i = 0; i < TARGET_REGISTER_COUNT; i++)
		if (strlen(names[i]) == length && !memcmp(names[i], name, length))
			return (int)i;
	return -ENOENT;
}

/* --- reading ---------------------------------------------------------------------------- */

static u64 msr_or_zero(struct vcpu *vcpu, u32 msr)
{
	u64 value;

	return msr_guest_read(vcpu, msr, &value) ? 0 : value;
}

static u32 code_bits(const struct vcpu *vcpu, const struct segment *cs)
{
	if (in_long_mode(vcpu) && cs->attributes & SEG_ATTR_L)
		return 64;
	return cs->attributes & SEG_ATTR_DB ? 32 : 16;
}

static void read_control(struct vcpu *vcpu, u64 *reg)
{
	reg[TARGET_KERNEL_GS_BASE] = in_long_mode(vcpu) ? msr_or_zero(vcpu, MSR_KERNEL_GS_BASE) : 0;
	reg[TARGET_CR0] = vcpu->cr0;
	reg[TARGET_CR2] = vcpu->cr2;
	reg[TARGET_CR3] = vcpu->cr3;
	reg[TARGET_CR4] = vcpu->cr4;
	reg[TARGET_CR8] = hw_read_cr8();
	reg[TARGET_EFER] = vcpu->efer;
	for (u32 i = 0; i < 4; i++)
		reg[TARGET_DR0 + i] = hw_read_dr(i);
	reg[TARGET_DR6] = vcpu->vendor->get_dr6(vcpu);
	reg[TARGET_DR7] = vcpu->vendor->get_dr7(vcpu);
}

static void get_here(struct vcpu *vcpu, void *arg)
{
	struct target_state *state = arg;

	for (u32 i = 0; i < GPR_COUNT; i++)
		state->reg[i] = vcpu->gpr[i];
	state->reg[TARGET_RIP] = vcpu->rip;
	state->reg[TARGET_RFLAGS] = vcpu->rflags;
	for (u32 i = 0; i < SEG_COUNT; i++)
		vcpu->vendor->get_segment(vcpu, (enum segment_name)i, &state->segment[i]);
	for (u32 i = SEG_ES; i <= SEG_TR; i++)
		state->reg[TARGET_ES + i] = state->segment[i].selector;
	state->reg[TARGET_FS_BASE] = state->segment[SEG_FS].base;
	state->reg[TARGET_GS_BASE] = state->segment[SEG_GS].base;
	read_control(vcpu, state->reg);
	state->cpl = vcpu->cpl;
	state->code_bits = code_bits(vcpu, &state->segment[SEG_CS]);
}

int target_get(struct vcpu *vcpu, struct target_state *state)
{
	return stop_on(vcpu, get_here, state) ? 0 : -ESRCH;
}

/* --- writing ---------------------------------------------------------------------------- */

struct change {
	enum target_register reg;
	u64 value;
	int err;
};

static int set_base(struct vcpu *vcpu, enum segment_name which, u64 value)
{
	struct segment segment;

	if (!address_is_canonical(value, vcpu->cr4 & CR4_LA57))
		return -EINVAL;
	vcpu->vendor->get_segment(vcpu, which, &segment);
	segment.base = value;
	known_set_segment(vcpu, which, &segment);
	return 0;
}

/* Another one would not be entered (SDM vol. 3 section 26.3.1.4). */
static int set_rip(struct vcpu *vcpu, u64 value)
{
	struct segment cs;

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	if (code_bits(vcpu, &cs) == 64 ? !address_is_canonical(value, vcpu->cr4 & CR4_LA57) : value >> 32)
		return -EINVAL;
	vcpu->rip = value;
	return 0;
}

static int set_debug(struct vcpu *vcpu, enum target_register reg, u64 value)
{
	switch (reg) {
	case TARGET_DR6:
	case TARGET_DR7:
		if (value >> 32)
			return -EINVAL;
		if (reg == TARGET_DR6)
			vcpu->vendor->set_dr6(vcpu, (value & (DR6_BREAKPOINTS | DR6_BS)) | DR6_RESET);
		else
			vcpu->vendor->set_dr7(vcpu, (value & ~0xd800ull) | DR7_RESET);
		return 0;
	default: hw_write_dr((u32)(reg - TARGET_DR0), value); return 0;
	}
}

static int set_here(struct vcpu *vcpu, enum target_register reg, u64 value)
{
	if ((u32)reg < GPR_COUNT) {
		vcpu->gpr[reg] = value;
		return 0;
	}
	switch (reg) {
	case TARGET_RIP: return set_rip(vcpu, value);
	case TARGET_RFLAGS:
		if (value >> 32)
			return -EINVAL;
		vcpu->rflags = (vcpu->rflags & ~(u64)RFLAGS_SETTABLE) | (value & RFLAGS_SETTABLE) | RFLAGS_FIXED;
		return 0;
	case TARGET_FS_BASE: return set_base(vcpu, SEG_FS, value);
	case TARGET_GS_BASE: return set_base(vcpu, SEG_GS, value);
	case TARGET_KERNEL_GS_BASE: return msr_guest_write(vcpu, MSR_KERNEL_GS_BASE, value) ? -EINVAL : 0;
	case TARGET_CR2: vcpu->cr2 = value; return 0;
	default: break;
	}
	return reg >= TARGET_DR0 && reg <= TARGET_DR7 ? set_debug(vcpu, reg, value) : -EPERM;
}

static void change_here(struct vcpu *vcpu, void *arg)
{
	struct change *change = arg;

	change->err = set_here(vcpu, change->reg, change->value);
}

int target_set(struct vcpu *vcpu, enum target_register reg, u64 value)
{
	struct change change = {reg, value, 0};

	if ((u32)reg >= TARGET_REGISTER_COUNT)
		return -EPERM;
	return stop_on(vcpu, change_here, &change) ? change.err : -ESRCH;
}

/* --- memory ----------------------------------------------------------------------------- */

struct copy {
	u64 address;
	bool physical, write;
	void *buf;
	u32 len, done;
};

static void copy_here(struct vcpu *vcpu, void *arg)
{
	struct copy *c = arg;

	c->done = memory_copy(vcpu, c->address, c->physical, c->buf, c->len, c->write);
}

static u32 copy(struct vcpu *vcpu, struct copy c)
{
	stop_on(vcpu, copy_here, &c);
	return c.done;
}

u32 target_read(struct vcpu *vcpu, gva_t gva, void *buf, u32 len)
{
	return copy(vcpu, (struct copy){.address = gva, .buf = buf, .len = len});
}

u32 target_write(struct vcpu *vcpu, gva_t gva, const void *buf, u32 len)
{
	return copy(vcpu, (struct copy){.address = gva, .buf = (void *)(uintptr_t)buf, .len = len, .write = true});
}

u32 target_read_physical(struct vcpu *vcpu, gpa_t gpa, void *buf, u32 len)
{
	return copy(vcpu, (struct copy){.address = gpa.v, .physical = true, .buf = buf, .len = len});
}

u32 target_write_physical(struct vcpu *vcpu, gpa_t gpa, const void *buf, u32 len)
{
	return copy(vcpu, (struct copy){.address = gpa.v,
					.physical = true,
					.buf = (void *)(uintptr_t)buf,
					.len = len,
					.write = true});
}

struct question {
	u64 in, out;
	int err;
};

static void translate_here(struct vcpu *vcpu, void *arg)
{
	struct question *q = arg;

	q->err = memory_translate(vcpu, q->in, &q->out);
}

int target_translate(struct vcpu *vcpu, gva_t gva, gpa_t *out)
{
	struct question q = {.in = gva, .err = -ESRCH};

	stop_on(vcpu, translate_here, &q);
	*out = gpa(q.out);
	return q.err;
}

static void read_msr_here(struct vcpu *vcpu, void *arg)
{
	struct question *q = arg;

	q->err = msr_guest_read(vcpu, q->in, &q->out);
}

int target_read_msr(struct vcpu *vcpu, u32 msr, u64 *value)
{
	struct question q = {.in = msr, .err = -ESRCH};

	stop_on(vcpu, read_msr_here, &q);
	*value = q.out;
	return q.err;
}
