/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMX on one CPU: is it there, what can it do, turning it on and off (SDM vol. 3
 * sections 23.6 to 23.8). Interrupts are off in the hypervisor; an NMI that comes
 * while it runs is counted by the trap handler and passed on by run.c.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid_bits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/memory.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/printf.h"
#include "mm/phys.h"
#include "vmx/insn.h"
#include "vmx/vmx.h"

#define WHY_MAX 160

/* The same on every CPU of a machine; filled by vmx_unsupported() on the boot CPU. */
static struct vmx_capability capability;
static struct vmx_controls controls;

const struct vmx_capability *vmx_capability(void)
{
	return &capability;
}

const struct vmx_controls *vmx_controls(void)
{
	return &controls;
}

/* MAXPHYADDR, or 32 where VMX structures must lie below 4 GiB (appendix A.1) */
u32 vmx_phys_bits(void)
{
	if (capability.basic & BASIC_ADDRESSES_32BIT)
		return 32;
	return cpu_phys_bits();
}

static int read_msr(u32 msr, u64 *value)
{
	return rdmsr_safe(msr, value);
}

static void log_capability(const struct vmx_capability *c)
{
	log_debug("VMX: basic %llx misc %llx EPT/VPID %llx\n", (unsigned long long)c->basic,
		  (unsigned long long)c->misc, (unsigned long long)c->ept_vpid);
	log_debug("VMX: CR0 fixed %llx %llx, CR4 fixed %llx %llx\n", (unsigned long long)c->cr0_fixed0,
		  (unsigned long long)c->cr0_fixed1, (unsigned long long)c->cr4_fixed0,
		  (unsigned long long)c->cr4_fixed1);
	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++)
		log_debug("VMX: %ss %016llx, used %08x\n", vmx_control_word_name((enum vmx_control_word)w),
			  (unsigned long long)c->control[w], controls.word[w]);
}

const char *vmx_unsupported(void)
{
	static char why[WHY_MAX];
	const char *error;
	u64 feature_control;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_VMX))
		return "this CPU has no Intel VMX: use a CPU with VMX, or turn it on in the firmware setup";
	if (!rdmsr_safe(MSR_FEATURE_CONTROL, &feature_control)) {
		error = vmx_feature_control_error(feature_control);
		if (error)
			return error;
	}
	vmx_capability_read(&capability, read_msr);
	vmx_capability_instructions(&capability, hw_cpuid);
	return vmx_controls_compute(&capability, &controls, why, sizeof(why)) ? why : NULL;
}

const char *vmx_hidden(void)
{
	static char names[WHY_MAX];

	vmx_hidden_features(controls.missing, names, sizeof(names));
	return names;
}

const char *vmx_one_processor(void)
{
	return vmx_several_error(&controls);
}

static bool has(enum vmx_control_word word, u32 bit)
{
	return vmx_may(&capability, word, bit);
}

void vmx_describe(char *buf, u32 size)
{
	const struct vmx_controls *c = &controls;
	const char *hidden = vmx_hidden();

	snprintf(buf, size, "%strue controls, %s%s, EFER %s, %svirtual NMIs; left unused:%s%s%s%s%s",
		 capability.basic & BASIC_TRUE_CONTROLS ? "" : "no ", c->vpid ? "VPID with INVVPID" : "no VPID",
		 !c->vpid           ? "" :
		 c->invvpid_address ? " of a page" :
		 c->invvpid_single  ? " of one" :
				      " of all",
		 c->efer ? "by controls" : "by hand", c->virtual_nmis ? "" : "no ",
		 has(VMX_SECONDARY, SECONDARY_EPT) ? " EPT" : "",
		 has(VMX_SECONDARY, SECONDARY_UNRESTRICTED) ? " unrestricted guest" : "",
		 has(VMX_SECONDARY, SECONDARY_EPT) ? "" : " nothing",
		 *hidden ? "; hidden, as controls are missing: " : "", hidden);
}

u32 vmx_tags(void)
{
	return controls.vpid ? VMX_TAGS : 1;
}

/* Not locked yet: allow VMX and lock, or VMXON raises #GP. */
static int open_feature_control(void)
{
	u64 value;

	if (rdmsr_safe(MSR_FEATURE_CONTROL, &value))
		return 0;
	if (value & FEATURE_CONTROL_LOCK) {
		const char *error = vmx_feature_control_error(value);

		this_cpu()->trouble = error;
		return error ? -EIO : 0;
	}
	if (wrmsr_safe(MSR_FEATURE_CONTROL, value | FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK)) {
		this_cpu()->trouble = "IA32_FEATURE_CONTROL is not locked but refuses to be written";
		return -EIO;
	}
	return 0;
}

void *vmx_cpu_alloc(void)
{
	struct vmx_cpu *cpu = memory_take(1);
	u32 *region = capability.basic & BASIC_ADDRESSES_32BIT ? memory_alloc(0) : memory_take(1);

	if (!cpu || !region)
		return NULL;
	region[0] = (u32)(capability.basic & BASIC_REVISION);
	cpu->region = virt_to_phys(region);
	return cpu;
}

/*
 * In VMX root operation VMXON fails, and VMXOFF is what it takes (SDM vol. 3 section 30.3): so a firmware leaves the
 * processor that has used VMX itself. CR4.VMXE was set then; with it clear VMXOFF would be #UD.
 */
static bool turn_on(hpa_t region, bool maybe_on)
{
	return insn_vmxon(region) == VMX_OK || (maybe_on && insn_vmxoff() == VMX_OK && insn_vmxon(region) == VMX_OK);
}

int vmx_cpu_enable(void)
{
	struct vmx_cpu *cpu = this_cpu()->backend;
	bool maybe_on = read_cr4() & CR4_VMXE;

	if (open_feature_control())
		return -EIO;
	write_cr0(vmx_fix_cr0(&capability, read_cr0()));
	write_cr4(vmx_fix_cr4(&capability, read_cr4() | CR4_VMXE));
	if (!turn_on(cpu->region, maybe_on)) {
		this_cpu()->trouble = "VMXON refuses its region";
		write_cr4(read_cr4() & ~CR4_VMXE);
		return -EIO;
	}
	if (this_cpu() == &percpu_boot)
		log_capability(&capability);
	trap_entry = (struct trap_entry){(u64)vmx_entry_begin, (u64)vmx_entry_end, (u64)vmx_entry_back};
	return 0;
}

void vmx_cpu_disable(void)
{
	if (read_cr4() & CR4_VMXE && insn_vmxoff() == VMX_OK)
		write_cr4(read_cr4() & ~CR4_VMXE);
}
