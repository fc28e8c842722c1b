/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's state between the VMCS and struct vcpu. FPU and vector state, DR0 to
 * DR3, DR6, CR2 and XCR0 are the guest's all the time: the last two stay in the CPU.
 */
#include "arch/x86/cpu.h"
#include "vmx/vmx.h"

/* --- entry --------------------------------------------------------------------- */

static void load_interruptibility(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	u32 state = vmx_interruptibility(vmx->interruptibility, vcpu, vmx->word[VMX_PIN] & PIN_VIRTUAL_NMIS);

	if (state != vmx->interruptibility) {
		vmx->interruptibility = state;
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state);
	}
}

/* The CPU clears the valid bit at each exit. A delivery wakes a halted guest. */
static void load_event(struct vcpu *vcpu)
{
	struct vmx_entry_event event;

	if (likely(vcpu->inject.type == EVENT_NONE))
		return;
	event = vmx_entry_event(&vcpu->inject);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, event.info);
	vmcs_write32(VMCS_ENTRY_INTR_ERROR, event.error);
	vmcs_write32(VMCS_ENTRY_INSN_LENGTH, event.insn_len);
	vmx_halt_end(vcpu);
	vcpu->inject.type = EVENT_NONE;
}

/*
 * A single-step trap under a shadow must be pending, or the entry fails
 * (section 26.3.1.5).
 */
static void load_pending_debug(const struct vcpu *vcpu, const struct vmx_vcpu *vmx)
{
	u64 pending;
	bool step;

	if (likely(!(vmx->interruptibility & BLOCKING_SHADOW)))
		return;
	pending = vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG);
	step = vcpu->rflags & RFLAGS_TF && !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG,
			   step ? pending | PENDING_DEBUG_BS : pending & ~PENDING_DEBUG_BS);
}

#define LOAD_CHANGED(vmx, member, field, value) \
	do { \
		u64 new_value = (value); \
		if ((vmx)->member != new_value) { \
			(vmx)->member = new_value; \
			vmcs_write_natural(field, new_value); \
		} \
	} while (0)

static void load_dr6(struct vcpu *vcpu)
{
	if (likely(!vcpu->dr6_set))
		return;
	write_dr6((read_dr6() & ~DR6_BREAKPOINTS) | vcpu->dr6_set);
	vcpu->dr6_set = 0;
}

void vmx_load_guest(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	bool v8086 = vcpu->execution == EXECUTION_VIRTUAL_8086;

	if (unlikely(v8086 || vmx->v8086))
		vmx_v8086_load(vcpu);
	LOAD_CHANGED(vmx, rip, VMCS_GUEST_RIP, vcpu->rip);
	LOAD_CHANGED(vmx, rsp, VMCS_GUEST_RSP, vcpu->gpr[GPR_RSP]);
	LOAD_CHANGED(vmx, rflags, VMCS_GUEST_RFLAGS, v8086 ? vmx_v8086_rflags(vcpu) : vcpu->rflags | RFLAGS_FIXED);
	if (read_cr2() != vcpu->cr2)
		write_cr2(vcpu->cr2);
	load_dr6(vcpu);
	if (unlikely(v8086))
		return;
	vmx_nmi_entry(vcpu);
	load_interruptibility(vcpu, vmx);
	load_event(vcpu);
	load_pending_debug(vcpu, vmx);
}

void vmx_look(struct vcpu *vcpu)
{
	if (unlikely(!vmx_of(vcpu)->v8086))
		vmx_v8086_begin(vcpu);
	if (unlikely(this_cpu()->nmi_count != vmx_of(vcpu)->nmi_seen))
		vmx_note_nmis(vcpu);
	load_dr6(vcpu);
}

/* --- exit ---------------------------------------------------------------------- */

void vmx_store_guest(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	vcpu->rip = vmx->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	vcpu->gpr[GPR_RSP] = vmx->rsp = vmcs_read_natural(VMCS_GUEST_RSP);
	vcpu->rflags = vmx->rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
	vcpu->cr2 = read_cr2();
	vcpu->cpl = vmx_guest_cpl();
	vmx->interruptibility = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	vcpu->interrupt_shadow = vmx->interruptibility & BLOCKING_SHADOW;
	if (unlikely(vmx->v8086))
		vmx_v8086_store(vcpu);
	else
		vcpu->nmi_blocked = vmx->interruptibility & BLOCKING_NMI;
	vmx_store_control(vcpu);
}
