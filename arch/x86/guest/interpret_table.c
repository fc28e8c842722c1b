/* SPDX-License-Identifier: BSD-2-Clause */
/* Groups 6 and 7: descriptor tables and their registers, the machine status word, and what else lies behind 0F 01. */
#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

#define TYPE_TSS16 1u /* available */
#define TYPE_TSS32 9u
#define TYPE_BUSY BIT(1)
#define BASE_OF_16_BITS 0xffffffu

/* SGDT and its like, outside privilege 0. */
static int check_umip(struct emu *e)
{
	return e->vcpu->cr4 & CR4_UMIP ? interpret_check_privilege(e) : 0;
}

/* --- group 6: protected mode alone ---------------------------------------------------------------- */

/* LLDT, LTR: the descriptor is in the GDT. */
static int read_system_descriptor(struct emu *e, u16 selector, struct segment *s, gva_t *at)
{
	int err = selector & SELECTOR_LDT ? -ENOENT : descriptor_read(e->vcpu, selector, s, at);

	return err == -ENOENT ? interpret_fault(e, VEC_GP, selector & ~SELECTOR_RPL) : err;
}

static int load_ldt(struct emu *e, u16 selector)
{
	struct segment s = {.selector = selector, .attributes = SEG_ATTR_UNUSABLE};
	gva_t at;
	int err;

	if (selector & ~SELECTOR_RPL) {
		err = read_system_descriptor(e, selector, &s, &at);
		if (err)
			return err;
		if ((s.attributes & (DESCRIPTOR_S | DESCRIPTOR_TYPE)) != TYPE_LDT)
			return interpret_fault(e, VEC_GP, selector & ~SELECTOR_RPL);
		if (!(s.attributes & DESCRIPTOR_P))
			return interpret_fault(e, VEC_NP, selector & ~SELECTOR_RPL);
	}
	known_set_segment(e->vcpu, SEG_LDTR, &s);
	return 0;
}

static int load_task(struct emu *e, u16 selector)
{
	struct segment s;
	gva_t at;
	u32 type;
	int err = read_system_descriptor(e, selector, &s, &at);

	if (err)
		return err;
	type = s.attributes & (DESCRIPTOR_S | DESCRIPTOR_TYPE);
	if (type != TYPE_TSS16 && type != TYPE_TSS32)
		return interpret_fault(e, VEC_GP, selector & ~SELECTOR_RPL);
	if (!(s.attributes & DESCRIPTOR_P))
		return interpret_fault(e, VEC_NP, selector & ~SELECTOR_RPL);
	s.attributes |= TYPE_BUSY;
	err = descriptor_write_access(e->vcpu, at, (u8)s.attributes);
	if (!err)
		known_set_segment(e->vcpu, SEG_TR, &s);
	return err;
}

static int load_system_register(struct emu *e, bool task)
{
	u64 selector;
	int err = interpret_check_privilege(e);

	if (!err && in_long_mode(e->vcpu))
		return -ENOSYS; /* descriptors of 16 bytes */
	e->size = sizeof(u16);
	if (!err)
		err = emu_read_rm(e, &selector);
	if (err)
		return err;
	return task ? load_task(e, (u16)selector) : load_ldt(e, (u16)selector);
}

static int store_selector(struct emu *e, enum segment_name which)
{
	int err = check_umip(e);

	if (err)
		return err;
	e->size = e->insn->has_mem ? sizeof(u16) : e->insn->opsize;
	return emu_write_rm(e, insn_selector(e->vcpu, which));
}

/* VERR, VERW */
static int verify(struct emu *e, bool write)
{
	u64 *flags = &e->vcpu->rflags, selector;
	struct segment s;
	bool ok = false;
	gva_t at;
	int err;

	e->size = sizeof(u16);
	err = emu_read_rm(e, &selector);
	if (!err)
		err = descriptor_read(e->vcpu, (u16)selector, &s, &at);
	if (err && err != -ENOENT)
		return err;
	if (!err && s.attributes & DESCRIPTOR_S) {
		bool code = s.attributes & TYPE_CODE, rights = s.attributes & TYPE_WRITABLE;
		bool reachable = DESCRIPTOR_DPL(s.attributes) >= MAX(e->vcpu->cpl, (u32)selector & SELECTOR_RPL);

		ok = write ? !code && rights && reachable :
			     (!code || rights) && (reachable || (code && s.attributes & TYPE_CONFORMING));
	}
	*flags = ok ? *flags | FLAG_ZF : *flags & ~FLAG_ZF;
	return 0;
}

static int group6(struct emu *e)
{
	if (interpret_is_real(e))
		return interpret_undefined(e);
	switch (e->insn->reg & 7) {
	case 0: return store_selector(e, SEG_LDTR);
	case 1: return store_selector(e, SEG_TR);
	case 2: return load_system_register(e, false);
	case 3: return load_system_register(e, true);
	case 4: return verify(e, false);
	case 5: return verify(e, true);
	default: return interpret_undefined(e);
	}
}

/* --- group 7 ------------------------------------------------------------------------------------------ */

/* All 32 bits of the base whatever the operand size, as processors from the 386 on store it. */
static int store_table(struct emu *e, enum segment_name which)
{
	struct segment s;
	u8 bytes[6];
	u16 limit;
	u32 base;
	int err = check_umip(e);

	if (!err)
		err = emu_locate(e, sizeof(bytes), SEGMENT_WRITE);

	e->vcpu->vendor->get_segment(e->vcpu, which, &s);
	limit = (u16)s.limit;
	base = (u32)s.base;
	memcpy(bytes, &limit, sizeof(limit));
	memcpy(bytes + sizeof(limit), &base, sizeof(base));
	return err ? err : emulate_write(e->vcpu, e->gva, bytes, sizeof(bytes));
}

/* Of what a VM entry asks of the two all is true outside IA-32e mode: who executes the guest stays decided. */
static void set_table(struct vcpu *vcpu, enum segment_name which, const struct segment *in)
{
	u8 execution = vcpu->execution;

	known_set_segment(vcpu, which, in);
	vcpu->execution = execution;
}

static int load_table(struct emu *e, enum segment_name which)
{
	struct segment s = {0};
	u16 limit;
	u32 base;
	int err = interpret_check_privilege(e);

	if (!err)
		err = emu_locate(e, sizeof(limit) + sizeof(base), SEGMENT_READ);
	if (!err)
		err = emulate_read(e->vcpu, e->gva, &limit, sizeof(limit));
	if (!err)
		err = emulate_read(e->vcpu, (u32)(e->gva + sizeof(limit)), &base, sizeof(base));
	if (err)
		return err;
	s.limit = limit;
	s.base = e->insn->opsize == 2 ? base & BASE_OF_16_BITS : base;
	set_table(e->vcpu, which, &s);
	return 0;
}

static int store_status(struct emu *e)
{
	int err = check_umip(e);

	if (err)
		return err;
	e->size = e->insn->has_mem ? sizeof(u16) : e->insn->opsize;
	return emu_write_rm(e, e->vcpu->cr0);
}

static int load_status(struct emu *e)
{
	u64 value;
	int err = interpret_check_privilege(e);

	e->size = sizeof(u16);
	if (!err)
		err = emu_read_rm(e, &value);
	if (err)
		return err;
	e->vcpu->exit.operand_known = e->vcpu->exit.lmsw = true;
	e->vcpu->exit.lmsw_value = (u16)value;
	return interpret_exit(e, EXIT_CR_WRITE);
}

static int invalidate_page(struct emu *e)
{
	int err = interpret_check_privilege(e);

	if (err)
		return err;
	e->vcpu->exit.operand_known = true;
	e->vcpu->exit.gva = insn_effective_linear(e->vcpu, e->insn);
	return interpret_exit(e, EXIT_INVLPG);
}

/* XGETBV, XSETBV, RDTSCP; of the others (VMX, SVM, SGX, MONITOR) CPUID shows none that is known here. */
static int group7_register(struct emu *e)
{
	switch ((e->insn->reg & 7) << 3 | (e->insn->rm & 7)) {
	case 2 << 3: return e->vcpu->cr4 & CR4_OSXSAVE ? interpret_on_cpu(e) : interpret_undefined(e);
	case 2 << 3 | 1: return interpret_exit(e, EXIT_XSETBV);
	case 7 << 3 | 1: return interpret_time_stamp(e, true);
	default: return interpret_undefined(e);
	}
}

static int group7(struct emu *e)
{
	u32 op = e->insn->reg & 7;

	if (op == 4)
		return store_status(e);
	if (op == 6)
		return load_status(e);
	if (!e->insn->has_mem)
		return group7_register(e);
	switch (op) {
	case 0: return store_table(e, SEG_GDTR);
	case 1: return store_table(e, SEG_IDTR);
	case 2: return load_table(e, SEG_GDTR);
	case 3: return load_table(e, SEG_IDTR);
	case 7: return invalidate_page(e);
	default: return interpret_undefined(e);
	}
}

int interpret_table(struct emu *e)
{
	return e->insn->opcode ? group7(e) : group6(e);
}
