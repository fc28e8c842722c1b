/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new virtual CPU: its VMCB with the fixed intercepts, its permission maps,
 * and the state after RESET (APM vol. 2 table 14-1) but in flat protected mode.
 */
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/phys.h"
#include "svm/segments.h"
#include "svm/svm.h"

#define TAG_FIRST 1u

/* Intercepted from the first entry to the last; the others are switched in control.c. */
static const enum svm_exit fixed_intercepts[] = {
	SVM_EXIT_EXCP_PF,  SVM_EXIT_CR3_WRITE, SVM_EXIT_CR4_WRITE, SVM_EXIT_INIT,   SVM_EXIT_CPUID,
	SVM_EXIT_INVD,     SVM_EXIT_INVLPGA,   SVM_EXIT_IOIO,      SVM_EXIT_MSR,    SVM_EXIT_TASK_SWITCH,
	SVM_EXIT_SHUTDOWN, SVM_EXIT_VMRUN,     SVM_EXIT_VMMCALL,   SVM_EXIT_VMLOAD, SVM_EXIT_VMSAVE,
	SVM_EXIT_STGI,     SVM_EXIT_CLGI,      SVM_EXIT_SKINIT,    SVM_EXIT_XSETBV,
};

int svm_vcpu_alloc(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = memory_take(1);

	if (!svm)
		return -ENOMEM;
	svm->vmcb = memory_take(1);
	svm->stale = memory_take(1);
	svm->msrpm = memory_take(SVM_MSRPM_PAGES);
	svm->iopm = memory_take(SVM_IOPM_PAGES);
	if (!svm->vmcb || !svm->stale || !svm->msrpm || !svm->iopm)
		return -ENOMEM;
	vcpu->hw = svm;
	return 0;
}

static void clear_pages(struct svm_vcpu *svm)
{
	*svm = (struct svm_vcpu){.vmcb = svm->vmcb, .stale = svm->stale, .msrpm = svm->msrpm, .iopm = svm->iopm};
	memset(svm->vmcb, 0, PAGE_SIZE);
	memset(svm->stale, 0, PAGE_SIZE);
	memset(svm->msrpm, 0xff, SVM_MSRPM_PAGES * PAGE_SIZE);
	memset(svm->iopm, 0, SVM_IOPM_PAGES * PAGE_SIZE);
}

static void init_control(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	for (u32 i = 0; i < ARRAY_SIZE(fixed_intercepts); i++)
		svm_set_intercept(vmcb, fixed_intercepts[i], true);
	svm_set_intercept(vmcb, SVM_EXIT_INVPCID, svm_features()->invpcid);
	vmcb->msrpm_base = virt_to_phys(svm->msrpm).v;
	vmcb->iopm_base = virt_to_phys(svm->iopm).v;
	vmcb->asid = TAG_FIRST;
	svm->flush_all = true;
	svm->clean = svm_features()->clean_bits ? CLEAN_ALL : 0;
}

static void set_flat(struct vcpu *vcpu, enum segment_name which, u16 selector, u32 attributes, u32 limit)
{
	struct segment segment = {.selector = selector, .attributes = attributes, .limit = limit};

	svm_segment_put(svm_segment_of(vmcb_of(vcpu), which), &segment);
}

static void init_state(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	set_flat(vcpu, SEG_CS, 0x08, SEG_FLAT_CODE32, ~0u);
	for (u32 i = SEG_ES; i <= SEG_GS; i++) {
		if (i != SEG_CS)
			set_flat(vcpu, (enum segment_name)i, 0x10, SEG_FLAT_DATA, ~0u);
	}
	set_flat(vcpu, SEG_LDTR, 0, SEG_LDT, 0xffff);
	set_flat(vcpu, SEG_TR, 0, SEG_TSS32_BUSY, 0xffff);
	set_flat(vcpu, SEG_GDTR, 0, 0, 0xffff);
	set_flat(vcpu, SEG_IDTR, 0, 0, 0xffff);
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->dr6 = DR6_RESET;
	vmcb->dr7 = DR7_RESET;
	vmcb->g_pat = PAT_RESET;
}

int svm_vcpu_init(struct vcpu *vcpu)
{
	if (!vcpu->hw && svm_vcpu_alloc(vcpu)) {
		log_error("SVM: no memory for the guest's control block\n");
		return -ENOMEM;
	}
	clear_pages(svm_of(vcpu));
	svm_of(vcpu)->nmi_seen = this_cpu()->nmi_count; /* the guest has no part in those */
	init_control(svm_of(vcpu));
	init_state(vcpu);
	svm_set_intercepts(vcpu, INTERCEPT_CR3_READ | INTERCEPT_INVLPG);
	svm_update_control(vcpu);
	return 0;
}
