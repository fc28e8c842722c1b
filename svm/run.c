/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One entry into the guest and the exit from it. FPU and vector state, DR0 to
 * DR3 and XCR0 are the guest's all the time and are not touched.
 */
#include "arch/x86/percpu.h"
#include "mm/phys.h"
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

	if (likely(event->type == EVENT_NONE)) {
		vmcb->event_inj = 0;
		return;
	}
	if (load_virtual_interrupt(event, vmcb)) {
		vmcb->event_inj = 0;
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
	vmcb->dr6 |= vcpu->dr6_set;
	vcpu->dr6_set = 0;
	svm_dirty(vmcb, CLEAN_DR);
}

static void load_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

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
	if (unlikely(svm_of(vcpu)->flush_due))
		svm_tlb_prepare(svm_of(vcpu));
	else
		vmcb->tlb_control = TLB_KEEP;
}

/* NMI blocking stays in the CPU: NMIs and IRET are the guest's own. */
static void store_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vcpu->gpr[GPR_RSP] = vmcb->rsp;
	vcpu->rip = vmcb->rip;
	vcpu->rflags = vmcb->rflags;
	vcpu->cr0 = (vcpu->cr0 & ~CR0_NATIVE) | (vmcb->cr0 & CR0_NATIVE);
	vcpu->cr2 = vmcb->cr2;
	vcpu->cpl = vmcb->cpl;
	vcpu->code_bits = (vmcb->cs.attributes & VMCB_ATTR_L) && (vmcb->efer & EFER_LMA) ? 64 : 0;
	vcpu->interrupt_shadow = vmcb->interrupt_shadow & VMCB_INTERRUPT_SHADOW;
	vmcb->clean = svm_features()->clean_bits ? CLEAN_ALL : 0;
}

void svm_run(struct vcpu *vcpu)
{
	const struct svm_cpu *cpu = this_cpu()->backend;

	load_guest(vcpu);
	svm_enter(vcpu, virt_to_phys(vmcb_of(vcpu)), cpu->host_vmcb);
	store_guest(vcpu);
	svm_decode_exit(vmcb_of(vcpu), svm_features()->assists, &vcpu->exit);
}
