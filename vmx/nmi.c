/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NMIs for the guest: those that came while the hypervisor ran, those that exited, and those of another of its processors.
 * One waits at most, as in the hardware. Virtual NMIs do the blocking and the wait for its end (SDM vol. 3 section 25.3).
 */
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "vmx/vmx.h"

/* An NMI whose delivery was cut short blocks others, not itself. */
static bool can_go(const struct vcpu *vcpu)
{
	return !vcpu->nmi_blocked || vcpu->exit.interrupted.type == EVENT_NMI;
}

void vmx_note_nmis(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	u64 count = hw_nmis(vcpu->vendor);

	if (unlikely(count != vmx->nmi_seen)) {
		vmx->nmi_seen = count;
		vcpu->nmi_waits = true;
	}
}

/*
 * Until the guest can take it, an exit is asked for: when NMIs open, or, without virtual NMIs, when interrupts
 * do; if NMIs are still blocked then, the next exit of any kind looks again.
 */
void vmx_nmi_entry(struct vcpu *vcpu)
{
	vmx_note_nmis(vcpu);
	if (vcpu->inject.type == EVENT_NMI && !can_go(vcpu)) {
		vcpu->inject.type = EVENT_NONE;
		vcpu->nmi_waits = true;
	}
	if (likely(!vcpu->nmi_waits)) {
		vmx_set_nmi_window(vcpu, false);
		return;
	}
	if (vcpu->inject.type == EVENT_NONE && can_go(vcpu) && !vcpu->interrupt_shadow) {
		inject_nmi(vcpu);
		vcpu->nmi_waits = false;
	}
	vmx_set_nmi_window(vcpu,
			   vcpu->nmi_waits && (vmx_controls()->virtual_nmis || vcpu->exit.kind != EXIT_WINDOW));
}
