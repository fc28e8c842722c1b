/* SPDX-License-Identifier: BSD-2-Clause */
/* See page_fault.h. */
#include "arch/x86/guest/page_fault.h"

#include "arch/x86/guest/inject.h"

bool page_fault_handle(struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;
	enum shadow_result result = SHADOW_EMULATE;

	vcpu_note_event(vcpu, NOTED_ACCESS, exit->gva);
	if (vcpu->mmio.state != MMIO_FOUND)
		result = shadow_handle_fault(vcpu->mmu, exit->gva, exit->error, vcpu->cpl, vcpu->rflags,
					     &vcpu->mmio.fault);
	vcpu->mmio.state = MMIO_NONE;
	if (result == SHADOW_INJECT)
		inject_pf(vcpu, exit->gva, vcpu->mmio.fault.error);
	return result == SHADOW_EMULATE;
}
