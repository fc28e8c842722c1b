/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX half of the vendor contract (arch/x86/vendor.h). */
#include "arch/x86/cpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"

/* No CPU is known that needs it. */
static const char *work_round(struct vcpu *vcpu, enum exit_kind kind)
{
	return NULL;
}

static u64 get_dr7(const struct vcpu *vcpu)
{
	return vmcs_read_natural(VMCS_GUEST_DR7);
}

static void set_dr7(struct vcpu *vcpu, u64 value)
{
	vmcs_write_natural(VMCS_GUEST_DR7, value);
}

static void wake(struct vcpu *vcpu)
{
	vmx_halt_end(vcpu);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, 0);
}

/* It stays in the CPU. */
static u64 get_dr6(const struct vcpu *vcpu)
{
	return read_dr6();
}

static void set_dr6(struct vcpu *vcpu, u64 value)
{
	write_dr6(value);
}

const struct vendor vmx_vendor = {
	.name = "VMX",
	.nested_paging = "EPT",
	.init_exits_once = true,
	.unsupported = vmx_unsupported,
	.describe = vmx_describe,
	.hidden_features = vmx_hidden,
	.one_processor = vmx_one_processor,
	.cpu_alloc = vmx_cpu_alloc,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_alloc = vmx_vcpu_alloc,
	.vcpu_init = vmx_vcpu_init,
	.tags = vmx_tags,
	.run = vmx_run,
	.run_once = vmx_run_once,
	.work_round = work_round,
	.update_control = vmx_update_control,
	.set_shadow_root = vmx_set_shadow_root,
	.hardware_root = vmx_hardware_root,
	.tlb_flush = vmx_tlb_flush,
	.tlb_flush_page = vmx_tlb_flush_page,
	.set_intercepts = vmx_set_intercepts,
	.trap_invlpg = vmx_trap_invlpg,
	.set_msr_intercept = vmx_set_msr_intercept,
	.set_io_intercept = vmx_set_io_intercept,
	.get_segment = vmx_get_segment,
	.set_segment = vmx_set_segment,
	.get_dr7 = get_dr7,
	.set_dr7 = set_dr7,
	.get_dr6 = get_dr6,
	.set_dr6 = set_dr6,
	.has_timer = vmx_has_timer,
	.exit_soon = vmx_exit_soon,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.look = vmx_look,
	.wake = wake,
	.dump = vmx_dump,
	.exit_name = vmx_exit_name,
};
