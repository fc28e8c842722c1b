/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's state between the VMCB and struct vcpu. FPU and vector state, DR0 to
 * DR3 and XCR0 are the guest's all the time and are not touched.
 */
#include "svm/halt.h"
#include "svm/nmi.h"
#include "svm/svm.h"

/* Bits of CR0 that a guest changes without an exit. */
#define CR0_NATIVE (CR0_TS | CR0_MP)

/*
 * QEMU's TCG (7.2) does not forget an external interrupt that EVENTINJ brought: if
 * a device calls before the next exit, the vector is delivered a second time,
 * interrupts off or not. Its virtual interrupts have no such fault. The event
 * was cut short, so the guest takes interrupts: it comes before anything else.
 */
static bool load_virtual_interrupt(const struct vcpu_event *event, struct vmcb *vmcb)
{
	if (!svm_features()->repeats_interrupts || event->type != EVENT_INTERRUPT ||
	    !svm_queue_virtual_interrupt(&vmcb->virtual_interrupt, event->vector))
		return false;
	svm_dirty(vmcb, CLEAN_TPR);
	return true;
}

static void load_event(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct vcpu_event *event = &vcpu->inject;

	if (likely(event->type == EVENT_NONE))
		return;
	if (load_virtual_interrupt(event, vmcb)) {
		event->type = EVENT_NONE;
		return;
	}
	vmcb->event_inj = svm_event_inj(event);
	/* A soft event returns behind its instruction: the CPU pushes this RIP. */
	if (event->type >= EVENT_SOFT_INTERRUPT) {
		vmcb->rip += event->insn_len;
		vmcb->next_rip = vmcb->rip;
	}
	event->type = EVENT_NONE;
}

static void load_debug(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (!vcpu->dr6_set)
		return;
	vmcb->dr6 = (vmcb->dr6 & ~DR6_BREAKPOINTS) | vcpu->dr6_set;
	vcpu->dr6_set = 0;
	svm_dirty(vmcb, CLEAN_DR);
}

void svm_load_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	if (unlikely(vcpu->several)) {
		svm_nmi_entry(vcpu);
		svm_halt_entry(vcpu);
	}
	vmcb->rax = vcpu->gpr[GPR_RAX];
	vmcb->rsp = vcpu->gpr[GPR_RSP];
	vmcb->rip = vcpu->rip;
	vmcb->rflags = vcpu->rflags | RFLAGS_FIXED;
	if (vmcb->cr2 != vcpu->cr2) {
		vmcb->cr2 = vcpu->cr2;
		svm_dirty(vmcb, CLEAN_CR2);
	}
	vmcb->interrupt_shadow = vcpu->interrupt_shadow ? VMCB_INTERRUPT_SHADOW : 0;
	load_event(vcpu, vmcb);
	load_debug(vcpu, vmcb);
}

/* NMI blocking of a guest with one processor stays in the CPU: NMIs and IRET are the guest's own. */
void svm_store_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vcpu->gpr[GPR_RSP] = vmcb->rsp;
	vcpu->rip = vmcb->rip;
	vcpu->rflags = vmcb->rflags;
	vcpu->cr0 = (vcpu->cr0 & ~CR0_NATIVE) | (vmcb->cr0 & CR0_NATIVE);
	vcpu->cr2 = vmcb->cr2;
	vcpu->cpl = vmcb->cpl;
	vcpu->code_bits = svm_is_code64(vmcb) ? 64 : 0;
	vcpu->interrupt_shadow = vmcb->interrupt_shadow & VMCB_INTERRUPT_SHADOW;
}
