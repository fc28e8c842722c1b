/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HLT of a guest with several processors. A kick exits, and the processor that sleeps goes on sleeping with the next entry: what the
 * activity field says is the state before the exit (SDM vol. 3 sections 27.1 and 27.3.4). Bochs says "active" there, so that a
 * processor whose code another kernel has overwritten meanwhile would run. Therefore HLT exits until the field has been seen to say it, and
 * a sleep with interrupts off, which nothing ends but an event that is injected or an INIT, is kept here. With them on it ends too early in
 * Bochs, as it may for an SMI.
 */
#include "arch/x86/guest/trace.h"
#include "lib/x86.h"
#include "vmx/vmx.h"

/* What an instruction does that is done: the shadow before it ends, a debug exception comes. False: it does not sleep. */
static bool finish_instruction(u64 rflags)
{
	u32 state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	bool step = rflags & RFLAGS_TF && !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	u64 pending = vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG) | (step ? PENDING_DEBUG_BS : 0);

	vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state & ~(u32)BLOCKING_SHADOW);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, pending);
	if (rflags & RFLAGS_RF)
		vmcs_write_natural(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	vmcs_write32(VMCS_GUEST_ACTIVITY, pending ? ACTIVITY_ACTIVE : ACTIVITY_HLT);
	return !pending;
}

bool vmx_halt_begin(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	u64 rflags;

	if (likely(info->reason != REASON_HLT))
		return false;
	rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
	vmx->halt_rip = vmcs_read_natural(VMCS_GUEST_RIP) + info->insn_len;
	vmcs_write_natural(VMCS_GUEST_RIP, vmx->halt_rip);
	vmx->halted = finish_instruction(rflags) && !(rflags & RFLAGS_IF);
	if (unlikely(vcpu->traced))
		guest_trace_exit(vcpu, 0, &(struct vcpu_event){.type = EVENT_NONE});
	return true;
}

void vmx_halt_end(struct vcpu *vcpu)
{
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmx_of(vcpu)->halted = false;
}

void vmx_halt_exit(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (vmcs_read32(VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT) {
		vmx->halt_exits = false;
		vmx_update_intercepts(vcpu);
		return;
	}
	vmx->halted = vmx->halted && vcpu->rip == vmx->halt_rip && !(vcpu->rflags & RFLAGS_IF);
	if (vmx->halted)
		vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
}
