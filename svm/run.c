/* SPDX-License-Identifier: BSD-2-Clause */
/* Entering the guest: for good, and for one exit. */
#include "arch/x86/percpu.h"
#include "mm/phys.h"
#include "svm/svm.h"

static void prepare_first_entry(struct vcpu *vcpu)
{
	const struct svm_cpu *cpu = this_cpu()->backend;

	vcpu->control = virt_to_phys(vmcb_of(vcpu));
	vcpu->host = cpu->host_vmcb;
	svm_load_guest(vcpu);
	svm_tlb_prepare(svm_of(vcpu));
}

NORETURN void svm_run(struct vcpu *vcpu)
{
	prepare_first_entry(vcpu);
	svm_trace(vcpu, vcpu->traced);
	if (vcpu->several)
		svm_enter_shared(vcpu);
	svm_loop(vcpu);
}

void svm_run_once(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->clean = vmcb->event_inj = 0;
	prepare_first_entry(vcpu);
	svm_enter(vcpu);
	svm_store_guest(vcpu);
	svm_decode_exit(vmcb, svm_features()->assists, &vcpu->exit);
}
