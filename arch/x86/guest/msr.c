/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers. Three groups: passed through without an exit;
 * virtualised here; and all others, which the guest gets as the hardware
 * answers, through accesses that survive a fault. Writes that would take the
 * machine out of the hypervisor's hands are ignored or refused.
 */
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/guest/mtrr.h"
#include "arch/x86/guest/state.h"
#include "lib/log.h"
#include "mm/shadow.h"

/* SDM vol. 4, APM vol. 2 appendix A */
/* clang-format off */
enum {
	MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49, MSR_UCODE_INTEL = 0x79, MSR_SMM_MONITOR = 0x9b,
	MSR_SMBASE = 0x9e, MSR_FLUSH_CMD = 0x10b, MSR_MISC_ENABLE = 0x1a0, MSR_SMRR_BASE = 0x1f2, MSR_SMRR_MASK = 0x1f3,
	MSR_PEBS_ENABLE = 0x3f1, MSR_VMX_FIRST = 0x480, MSR_VMX_LAST = 0x493,
	MSR_PT_FIRST = 0x560, MSR_PT_LAST = 0x587, MSR_DS_AREA = 0x600, MSR_CET_FIRST = 0x6a0,
	MSR_CET_LAST = 0x6a8, MSR_TSC_DEADLINE = 0x6e0, MSR_PKRS = 0x6e1, MSR_TME_ACTIVATE = 0x982,
	MSR_UINTR_FIRST = 0x985, MSR_UINTR_LAST = 0x98a, MSR_PASID = 0xd93, MSR_XSS = 0xda0,
	MSR_X2APIC_LAST = 0x8ff, MSR_X2APIC_TPR = 0x808, MSR_X2APIC_EOI = 0x80b, MSR_X2APIC_INITIAL = 0x838,
	MSR_TSC_AUX = 0xc0000103, MSR_TSC_RATIO = 0xc0000104, MSR_HWCR = 0xc0010015,
	MSR_IORR_FIRST = 0xc0010016, MSR_IORR_LAST = 0xc0010019, MSR_UCODE_AMD = 0xc0010020,
	MSR_SMI_IO_FIRST = 0xc0010050, MSR_SMI_IO_LAST = 0xc0010056,
	MSR_SMM_BASE = 0xc0010111, MSR_SMM_ADDR = 0xc0010112, MSR_SMM_MASK = 0xc0010113,
	MSR_IGNNE = 0xc0010115, MSR_SMM_CTL = 0xc0010116, MSR_SVM_KEY = 0xc0010118, MSR_SMM_KEY = 0xc0010119,
	MSR_DOORBELL = 0xc001011b, MSR_VMPAGE_FLUSH = 0xc001011e, MSR_GHCB = 0xc0010130,
	MSR_SEV_STATUS = 0xc0010131, MSR_RMP_BASE = 0xc0010132, MSR_RMP_END = 0xc0010133,
};
/* clang-format on */

#define DEBUGCTL_ALLOWED BITS(1, 0)      /* LBR, BTF */
#define HWCR_ALLOWED (BIT(18) | BIT(30)) /* McStatusWrEn, IRPerfEn */
#define MISC_ENABLE_KEEP (BIT(22) | BIT(34)) /* limit of CPUID, no-execute off */

static const u32 passed_through[] = {
	MSR_TSC, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

static void pass(struct vcpu *vcpu, u32 msr)
{
	vcpu->vendor->set_msr_intercept(vcpu, msr, false, false);
}

/* Those that not every CPU has: passed through only where CPUID shows them. */
static void pass_optional(struct vcpu *vcpu)
{
	bool both = cpuid_has(vcpu, 7, CPUID_EDX, CPUID7_EDX_IBRS_IBPB);
	bool ibrs = both || cpuid_has(vcpu, CPUID_LEAF_EXT8, CPUID_EBX,
				      CPUIDE8_EBX_IBRS | CPUIDE8_EBX_STIBP | CPUIDE8_EBX_SSBD);
	bool ibpb = both || cpuid_has(vcpu, CPUID_LEAF_EXT8, CPUID_EBX, CPUIDE8_EBX_IBPB);

	if (cpuid_has(vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_RDTSCP) ||
	    cpuid_has(vcpu, 7, CPUID_ECX, CPUID7_ECX_RDPID))
		pass(vcpu, MSR_TSC_AUX);
	if (ibrs)
		pass(vcpu, MSR_SPEC_CTRL);
	if (ibpb)
		pass(vcpu, MSR_PRED_CMD);
	if (cpuid_has(vcpu, 7, CPUID_EDX, CPUID7_EDX_FLUSH_L1D))
		pass(vcpu, MSR_FLUSH_CMD);
	if (cpuid_has(vcpu, 1, CPUID_ECX, CPUID1_ECX_TSC_DEADLINE))
		pass(vcpu, MSR_TSC_DEADLINE);
	if (guest_of(vcpu)->hw_x2apic) {
		pass(vcpu, MSR_X2APIC_TPR);
		pass(vcpu, MSR_X2APIC_EOI);
		pass(vcpu, MSR_X2APIC_INITIAL);
	}
}

void msr_init(struct vcpu *vcpu)
{
	mtrr_init(vcpu);
	for (u32 i = 0; i < ARRAY_SIZE(passed_through); i++)
		pass(vcpu, passed_through[i]);
	pass_optional(vcpu);
}

static bool in_range(u32 msr, u32 first, u32 last) { return msr >= first && msr <= last; }

/* MSRs of features that CPUID hides: absent for the guest. */
static bool is_absent(u32 msr)
{
	switch (msr) {
	case MSR_SMM_MONITOR: case MSR_SMBASE: case MSR_PEBS_ENABLE: case MSR_DS_AREA: case MSR_PKRS:
	case MSR_PASID: case MSR_TSC_RATIO: case MSR_VM_HSAVE_PA: case MSR_SMM_CTL: case MSR_SMM_KEY:
	case MSR_DOORBELL: case MSR_VMPAGE_FLUSH: case MSR_GHCB: case MSR_SEV_STATUS:
	case MSR_RMP_BASE: case MSR_RMP_END:
		return true;
	default:
		return in_range(msr, MSR_VMX_FIRST, MSR_VMX_LAST) || in_range(msr, MSR_PT_FIRST, MSR_PT_LAST) ||
		       in_range(msr, MSR_CET_FIRST, MSR_CET_LAST) ||
		       in_range(msr, MSR_UINTR_FIRST, MSR_UINTR_LAST);
	}
}

/* Readable as the hardware has them, but writes must not reach the hardware. */
static bool write_is_ignored(u32 msr)
{
	switch (msr) {
	case MSR_UCODE_INTEL: case MSR_UCODE_AMD: case MSR_SYSCFG: case MSR_TOP_MEM: case MSR_TOP_MEM2:
	case MSR_SMM_BASE: case MSR_SMM_ADDR: case MSR_SMM_MASK: case MSR_SVM_KEY: case MSR_VM_CR:
	case MSR_SMRR_BASE: case MSR_SMRR_MASK: case MSR_IGNNE: case MSR_TME_ACTIVATE:
		return true;
	default:
		return in_range(msr, MSR_IORR_FIRST, MSR_IORR_LAST) ||
		       in_range(msr, MSR_SMI_IO_FIRST, MSR_SMI_IO_LAST);
	}
}

#define IGNORED_LOGGED 8

static int ignore_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (guest_of(vcpu)->msr_ignored++ < IGNORED_LOGGED)
		log_info("guest: write of %llx to MSR %x ignored\n", (unsigned long long)value, msr);
	return 0;
}

static int read_other(struct vcpu *vcpu, u32 msr, u64 *value)
{
	if (is_absent(msr))
		return -EFAULT;
	if (mtrr_owns(vcpu, msr))
		return mtrr_read(vcpu, msr, value);
	if (vcpu->vendor->get_msr(vcpu, msr, value))
		return 0;
	if (in_range(msr, MSR_X2APIC_BASE, MSR_X2APIC_LAST) && !apic_is_x2apic(vcpu))
		return -EFAULT;
	return hw_msr_read(msr, value);
}

int msr_guest_read(struct vcpu *vcpu, u32 msr, u64 *value)
{
	switch (msr) {
	case MSR_EFER: *value = vcpu->efer; return 0;
	case MSR_PAT: *value = vcpu->pat; return 0;
	case MSR_APIC_BASE: *value = vcpu->apic_base; return 0;
	case MSR_FEATURE_CONTROL:
		*value = FEATURE_CONTROL_LOCK;
		return guest_of(vcpu)->cpuid.amd ? -EFAULT : 0;
	case MSR_VM_CR:
		*value = VM_CR_LOCK | VM_CR_SVMDIS;
		return guest_of(vcpu)->cpuid.amd ? 0 : -EFAULT;
	case MSR_SVM_KEY:
		*value = 0;
		return 0;
	default:
		return read_other(vcpu, msr, value);
	}
}

static int write_pat(struct vcpu *vcpu, u64 value)
{
	for (u32 i = 0; i < 64; i += 8) {
		u8 type = value >> i;

		if (type > MT_UC_MINUS || type == 2 || type == 3)
			return -EFAULT;
	}
	if (value == vcpu->pat)
		return 0;
	vcpu->pat = value;
	shadow_drop_all(guest_of(vcpu)->shadow);
	cr_apply(vcpu, true);
	return 0;
}

/* Writes only the allowed bits; the others keep the hardware's value. */
static int write_masked(u32 msr, u64 value, u64 allowed)
{
	u64 old;

	if (hw_msr_read(msr, &old))
		return -EFAULT;
	return hw_msr_write(msr, (old & ~allowed) | (value & allowed));
}

static int write_debugctl(struct vcpu *vcpu, u64 value)
{
	if (value & ~DEBUGCTL_ALLOWED && guest_once(guest_of(vcpu), ONCE_DEBUGCTL))
		log_info("guest: DEBUGCTL %llx: only LBR and BTF are passed on\n", (unsigned long long)value);
	if (vcpu->vendor->set_msr(vcpu, MSR_DEBUGCTL, value & DEBUGCTL_ALLOWED))
		return 0;
	return hw_msr_write(MSR_DEBUGCTL, value & DEBUGCTL_ALLOWED);
}

static int write_xss(struct vcpu *vcpu, u64 value)
{
	return value & ~guest_of(vcpu)->cpuid.xss_valid ? -EFAULT : hw_msr_write(MSR_XSS, value);
}

static int write_other(struct vcpu *vcpu, u32 msr, u64 value)
{
	if (is_absent(msr))
		return -EFAULT;
	if (write_is_ignored(msr))
		return ignore_write(vcpu, msr, value);
	if (mtrr_owns(vcpu, msr))
		return mtrr_write(vcpu, msr, value);
	if (vcpu->vendor->set_msr(vcpu, msr, value))
		return 0;
	if (in_range(msr, MSR_X2APIC_BASE, MSR_X2APIC_LAST) && !apic_is_x2apic(vcpu))
		return -EFAULT;
	return hw_msr_write(msr, value);
}

int msr_guest_write(struct vcpu *vcpu, u32 msr, u64 value)
{
	switch (msr) {
	case MSR_EFER: return cr_write_efer(vcpu, value) ? -EFAULT : 0;
	case MSR_PAT: return write_pat(vcpu, value);
	case MSR_APIC_BASE: return apic_write_base(vcpu, value);
	case MSR_X2APIC_ICR: return apic_is_x2apic(vcpu) ? apic_write_x2apic_icr(vcpu, value) : -EFAULT;
	case MSR_FEATURE_CONTROL: return -EFAULT;
	case MSR_DEBUGCTL: return write_debugctl(vcpu, value);
	case MSR_HWCR: return write_masked(msr, value, HWCR_ALLOWED);
	case MSR_MISC_ENABLE: return write_masked(msr, value, ~MISC_ENABLE_KEEP);
	case MSR_XSS: return write_xss(vcpu, value);
	default: return write_other(vcpu, msr, value);
	}
}
