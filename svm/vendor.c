/* SPDX-License-Identifier: BSD-2-Clause */
/* The SVM half of the vendor contract (arch/x86/vendor.h). */
#include "arch/x86/guest/hw.h"
#include "svm/halt.h"
#include "svm/segments.h"
#include "svm/svm.h"

static void get_segment(const struct vcpu *vcpu, enum segment_name which, struct segment *out)
{
	svm_segment_get(svm_segment_of(vmcb_of(vcpu), which), out);
}

/* The CPL is SS.DPL (APM vol. 2 section 4.9.1); the VMCB keeps it apart as well. */
static void set_segment(struct vcpu *vcpu, enum segment_name which, const struct segment *in)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	svm_segment_put(svm_segment_of(vmcb, which), in);
	if (which == SEG_SS)
		vmcb->cpl = SEG_ATTR_DPL(in->attributes);
	svm_dirty(vmcb, which == SEG_GDTR || which == SEG_IDTR ? CLEAN_DT : CLEAN_SEG);
}

static u64 get_dr7(const struct vcpu *vcpu)
{
	return vmcb_of(vcpu)->dr7;
}

static void set_dr7(struct vcpu *vcpu, u64 value)
{
	vmcb_of(vcpu)->dr7 = value;
	svm_dirty(vmcb_of(vcpu), CLEAN_DR);
}

static u64 get_dr6(const struct vcpu *vcpu)
{
	return vmcb_of(vcpu)->dr6;
}

static void set_dr6(struct vcpu *vcpu, u64 value)
{
	vmcb_of(vcpu)->dr6 = value;
	svm_dirty(vmcb_of(vcpu), CLEAN_DR);
}

/* GIF is 0: the NMI is pending until the entry, which delivers its event first (APM vol. 2 section 15.20). */
static void exit_soon(struct vcpu *vcpu)
{
	hw_kick(vcpu->cpu);
}

const struct vendor svm_vendor = {
	.name = "SVM",
	.real_mode = true,
	.nested_paging = "NPT",
	.unsupported = svm_unsupported,
	.describe = svm_describe,
	.cpu_alloc = svm_cpu_alloc,
	.cpu_enable = svm_cpu_enable,
	.cpu_listen = svm_cpu_listen,
	.cpu_deafen = svm_cpu_deafen,
	.a20_fixed = svm_a20_fixed,
	.cpu_disable = svm_cpu_disable,
	.vcpu_alloc = svm_vcpu_alloc,
	.vcpu_init = svm_vcpu_init,
	.tags = svm_tags,
	.run = svm_run,
	.run_once = svm_run_once,
	.work_round = svm_work_round,
	.update_control = svm_update_control,
	.set_shadow_root = svm_set_shadow_root,
	.hardware_root = svm_hardware_root,
	.tlb_flush = svm_tlb_flush,
	.tlb_flush_page = svm_tlb_flush_page,
	.set_intercepts = svm_set_intercepts,
	.trap_invlpg = svm_trap_invlpg,
	.set_msr_intercept = svm_set_msr_intercept,
	.set_io_intercept = svm_set_io_intercept,
	.get_segment = get_segment,
	.set_segment = set_segment,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_dr6 = get_dr6,
	.set_dr6 = set_dr6,
	.exit_soon = exit_soon,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.wake = svm_wake,
	.halt_lasts = svm_halt_lasts,
	.dump = svm_dump,
	.exit_name = svm_exit_name,
};
