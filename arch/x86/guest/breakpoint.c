/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See breakpoint.h. The hits of one instruction gather in vcpu->breakpoints_hit and go
 * into one #DB with the single step, if both are due; a fault of the same instruction drops them.
 */
#include "arch/x86/guest/breakpoint.h"

#include "arch/x86/debug_hooks.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"

/* DR7, R/Wn: what a breakpoint waits for */
enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_PORT, BREAK_ACCESS };
#define BREAKPOINTS 4
#define DR7_ENABLE(n) (BIT(2 * (n)) | BIT(2 * (n) + 1))
#define DR7_TYPE(dr7, n) ((dr7) >> (16 + 4 * (n)) & 3)
#define DR7_LENGTH(dr7, n) ((dr7) >> (18 + 4 * (n)) & 3)

static const u8 lengths[] = {1, 2, 8, 4};

/* The enabled breakpoints of these types that a byte of the access lies in: section 17.2.5. */
static u32 find_hits(u64 dr7, u32 types, u64 at, u32 len, u64 space)
{
	u32 hits = 0;

	for (u32 n = 0; n < BREAKPOINTS; n++) {
		u64 size = lengths[DR7_LENGTH(dr7, n)], from;

		if (!(dr7 & DR7_ENABLE(n)) || !(types & BIT(DR7_TYPE(dr7, n))))
			continue;
		from = hw_read_dr(n) & ~(size - 1);
		if (((at - from) & space) < size || ((from - at) & space) < len)
			hits |= (u32)BIT(n);
	}
	return hits;
}

void breakpoint_note_access(struct vcpu *vcpu, gva_t gva, u32 len, bool write)
{
	u64 dr7 = vcpu->vendor->get_dr7(vcpu);
	u32 types = (u32)(BIT(BREAK_ACCESS) | (write ? BIT(BREAK_WRITE) : 0));

	if (unlikely(dr7 & DR7_ENABLES))
		vcpu->breakpoints_hit |= find_hits(dr7, types, gva, len, in_long_mode(vcpu) ? ~0ull : ~0u);
}

void breakpoint_note_port(struct vcpu *vcpu, u16 port, u32 len)
{
	u64 dr7 = vcpu->vendor->get_dr7(vcpu);

	if (unlikely(dr7 & DR7_ENABLES) && vcpu->cr4 & CR4_DE)
		vcpu->breakpoints_hit |= find_hits(dr7, (u32)BIT(BREAK_PORT), port, len, ~0ull);
}

bool breakpoint_is_at(struct vcpu *vcpu, gva_t gva)
{
	u64 dr7 = vcpu->vendor->get_dr7(vcpu);
	u32 hits;

	if (likely(!(dr7 & DR7_ENABLES)) || vcpu->rflags & RFLAGS_RF || vcpu->interrupt_shadow)
		return false;
	hits = find_hits(dr7, (u32)BIT(BREAK_EXECUTE), gva, 1, ~0u);
	if (!hits)
		return false;
	hits = (u32)debug_registers_sort(vcpu, hits);
	if (hits)
		breakpoint_raise(vcpu, hits);
	return true;
}

/* Backend or hardware has it; a processor without the register steps by instructions. */
static u64 read_debugctl(const struct vcpu *vcpu)
{
	u64 value;

	if (vcpu->vendor->get_msr(vcpu, MSR_DEBUGCTL, &value))
		return value;
	return hw_msr_read(MSR_DEBUGCTL, &value) ? 0 : value;
}

/* Injection leaves DR7 and IA32_DEBUGCTL as they are (section 26.6.1.2), a debug exception does not (17.2.4, 17.4.1). */
static void change_as_delivery_does(struct vcpu *vcpu)
{
	u64 dr7 = debug_register_read(vcpu, 7), debugctl = read_debugctl(vcpu);

	if (dr7 & DR7_GD)
		debug_register_write(vcpu, 7, dr7 & ~DR7_GD);
	if (!(debugctl & (DEBUGCTL_LBR | DEBUGCTL_BTF)))
		return;
	debugctl &= ~(DEBUGCTL_LBR | DEBUGCTL_BTF);
	if (!vcpu->vendor->set_msr(vcpu, MSR_DEBUGCTL, debugctl) && hw_msr_write(MSR_DEBUGCTL, debugctl))
		return; /* it was read, so it can be written */
}

void breakpoint_raise(struct vcpu *vcpu, u64 dr6)
{
	if (vcpu->inject.type != EVENT_NONE)
		return;
	debug_registers_tell(vcpu, dr6);
	inject_exception(vcpu, VEC_DB, 0);
	change_as_delivery_does(vcpu);
}

/* With BTF on only branches count as steps (section 17.4.3). */
void breakpoint_finish(struct vcpu *vcpu, bool branch)
{
	u64 dr6 = vcpu->breakpoints_hit;

	vcpu->breakpoints_hit = 0;
	if (unlikely(vcpu->rflags & RFLAGS_TF) && (branch || !(read_debugctl(vcpu) & DEBUGCTL_BTF)))
		dr6 |= DR6_BS;
	if (unlikely(dr6))
		dr6 = debug_registers_sort(vcpu, dr6);
	if (unlikely(vcpu->stepped))
		dr6 = debug_hooks->emulated(vcpu, dr6);
	if (unlikely(dr6))
		breakpoint_raise(vcpu, dr6);
}
