/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Controls from capability MSRs. Each control word has bits that must be on,
 * bits that are turned on where possible, bits that must only be possible since
 * they are switched at run time, and bits that must stay off.
 */
#include "vmx/capability.h"

#include "arch/x86/cpu.h"
#include "lib/bits.h"
#include "lib/printf.h"
#include "lib/x86.h"
#include "vmx/vmcs.h"

#define X(name, bit) [bit] = #name,
static const char *const control_names[VMX_CONTROL_WORDS][32] = {
	[VMX_PIN] = {PIN_CONTROLS(X)},
	[VMX_PRIMARY] = {PRIMARY_CONTROLS(X)},
	[VMX_SECONDARY] = {SECONDARY_CONTROLS(X)},
	[VMX_EXIT] = {EXIT_CONTROLS(X)},
	[VMX_ENTRY] = {ENTRY_CONTROLS(X)},
};
#undef X

static const char *const word_names[VMX_CONTROL_WORDS] = {
	[VMX_PIN] = "pin-based control",
	[VMX_PRIMARY] = "primary processor-based control",
	[VMX_SECONDARY] = "secondary processor-based control",
	[VMX_EXIT] = "VM-exit control",
	[VMX_ENTRY] = "VM-entry control",
};

const char *vmx_control_name(enum vmx_control_word w, u32 bit_number)
{
	const char *name = bit_number < 32 ? control_names[w][bit_number] : NULL;

	return name ? name : "?";
}

const char *vmx_control_word_name(enum vmx_control_word w)
{
	return word_names[w];
}

static u64 read_or_zero(vmx_read_msr read, u32 msr)
{
	u64 value;

	return read(msr, &value) ? 0 : value;
}

/* The true MSRs say which default1 controls may be 0 after all, appendix A.2. */
static void read_controls(struct vmx_capability *c, vmx_read_msr read)
{
	bool true_controls = c->basic & BASIC_TRUE_CONTROLS;

	c->control[VMX_PIN] = read_or_zero(read, true_controls ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
	c->control[VMX_PRIMARY] = read_or_zero(read, true_controls ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY);
	c->control[VMX_EXIT] = read_or_zero(read, true_controls ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
	c->control[VMX_ENTRY] = read_or_zero(read, true_controls ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
	if (vmx_may(c, VMX_PRIMARY, PRIMARY_SECONDARY))
		c->control[VMX_SECONDARY] = read_or_zero(read, MSR_VMX_SECONDARY);
}

void vmx_capability_read(struct vmx_capability *c, vmx_read_msr read)
{
	*c = (struct vmx_capability){
		.basic = read_or_zero(read, MSR_VMX_BASIC),
		.misc = read_or_zero(read, MSR_VMX_MISC),
		.cr0_fixed0 = read_or_zero(read, MSR_VMX_CR0_FIXED0),
		.cr0_fixed1 = read_or_zero(read, MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = read_or_zero(read, MSR_VMX_CR4_FIXED0),
		.cr4_fixed1 = read_or_zero(read, MSR_VMX_CR4_FIXED1),
	};
	read_controls(c, read);
	if (vmx_may(c, VMX_SECONDARY, SECONDARY_VPID) || vmx_may(c, VMX_SECONDARY, SECONDARY_EPT))
		c->ept_vpid = read_or_zero(read, MSR_VMX_EPT_VPID);
}

void vmx_capability_instructions(struct vmx_capability *c, vmx_cpuid ask)
{
	u32 max = ask(0, 0).eax;

	c->enables = c->traps = 0;
	if (ask(CPUID_LEAF_EXT, 0).eax >= CPUID_LEAF_EXT1 && ask(CPUID_LEAF_EXT1, 0).edx & CPUIDE1_EDX_RDTSCP)
		c->enables |= SECONDARY_RDTSCP;
	if (max >= 7) {
		struct cpuid_regs r = ask(7, 0);

		if (r.ecx & CPUID7_ECX_RDPID)
			c->enables |= SECONDARY_RDTSCP;
		if (r.ecx & CPUID7_ECX_WAITPKG)
			c->enables |= SECONDARY_USER_WAIT;
		if (r.ebx & CPUID7_EBX_SGX)
			c->traps |= SECONDARY_ENCLS_EXITING | SECONDARY_ENCLV_EXITING;
	}
	if (max >= CPUID_LEAF_XSAVE && ask(CPUID_LEAF_XSAVE, 1).eax & CPUIDD_1_EAX_XSAVES)
		c->enables |= SECONDARY_XSAVES;
}

/* What a control word shall be; able: possible, but off for now; off: never. */
struct wish {
	u32 on, wanted, able, off;
};

static int settle(const struct vmx_capability *c, enum vmx_control_word w, struct wish wish, u32 *out, char *why,
		  u32 why_size)
{
	u32 must = (u32)c->control[w], may = (u32)(c->control[w] >> 32);
	u32 missing = (wish.on | wish.able) & ~may, stuck = must & wish.off;

	if (missing || stuck) {
		u32 bit = bit_lowest(missing ? missing : stuck);

		snprintf(why, why_size, "this CPU's VMX %s %s %s (bit %u): Umbra cannot run on it",
			 missing ? "lacks the" : "cannot turn off the", word_names[w], vmx_control_name(w, bit),
			 bit);
		return -ENODEV;
	}
	*out = wish.on | (wish.wanted & may) | must;
	return 0;
}

static struct wish pin_wish(void)
{
	return (struct wish){.off = PIN_INTR_EXITING | PIN_NMI_EXITING | PIN_PREEMPTION_TIMER | PIN_POSTED_INTR};
}

static struct wish primary_wish(u32 secondary)
{
	return (struct wish){
		.on = PRIMARY_INVLPG_EXITING | PRIMARY_CR3_LOAD_EXITING | PRIMARY_CR3_STORE_EXITING |
		      PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | (secondary ? PRIMARY_SECONDARY : 0),
		.able = PRIMARY_INTR_WINDOW,
		.off = PRIMARY_HLT_EXITING | PRIMARY_MWAIT_EXITING | PRIMARY_RDPMC_EXITING |
		       PRIMARY_RDTSC_EXITING | PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING |
		       PRIMARY_TPR_SHADOW | PRIMARY_MOV_DR_EXITING | PRIMARY_MONITOR_TRAP |
		       PRIMARY_MONITOR_EXITING | PRIMARY_PAUSE_EXITING,
	};
}

/* No VPID without a way to flush it. */
static bool vpid_usable(const struct vmx_capability *c)
{
	return vmx_may(c, VMX_SECONDARY, SECONDARY_VPID) && c->ept_vpid & EPT_VPID_INVVPID &&
	       c->ept_vpid & (EPT_VPID_INVVPID_SINGLE | EPT_VPID_INVVPID_ALL);
}

static struct wish secondary_wish(const struct vmx_capability *c)
{
	return (struct wish){
		.wanted = c->enables | c->traps | (vpid_usable(c) ? SECONDARY_VPID : 0),
		.off = SECONDARY_APIC_ACCESSES | SECONDARY_EPT | SECONDARY_DESCRIPTOR_TABLES |
		       SECONDARY_UNRESTRICTED | SECONDARY_VIRTUAL_INTR,
	};
}

static struct wish exit_wish(bool efer)
{
	return (struct wish){
		.on = EXITC_SAVE_DEBUG | EXITC_HOST_64BIT | (efer ? EXITC_LOAD_EFER : 0),
		.off = EXITC_LOAD_PERF_GLOBAL | EXITC_ACK_INTR | EXITC_LOAD_PAT | EXITC_LOAD_CET | EXITC_LOAD_PKRS,
	};
}

static struct wish entry_wish(bool efer)
{
	return (struct wish){
		.on = ENTRYC_LOAD_DEBUG | (efer ? ENTRYC_LOAD_EFER : 0),
		.able = ENTRYC_IA32E_GUEST,
		.off = ENTRYC_TO_SMM | ENTRYC_DEACTIVATE_DUAL_MONITOR | ENTRYC_LOAD_PERF_GLOBAL | ENTRYC_LOAD_PAT |
		       ENTRYC_LOAD_BNDCFGS | ENTRYC_LOAD_RTIT | ENTRYC_LOAD_CET | ENTRYC_LOAD_PKRS,
	};
}

static void find_options(const struct vmx_capability *c, struct vmx_controls *out)
{
	*out = (struct vmx_controls){
		.vpid = vpid_usable(c),
		.efer = vmx_may(c, VMX_ENTRY, ENTRYC_LOAD_EFER) && vmx_may(c, VMX_EXIT, EXITC_LOAD_EFER),
		.virtual_nmis = vmx_may(c, VMX_PIN, PIN_NMI_EXITING) && vmx_may(c, VMX_PIN, PIN_VIRTUAL_NMIS) &&
				vmx_may(c, VMX_PRIMARY, PRIMARY_NMI_WINDOW),
	};
	out->missing = c->enables & ~(u32)(c->control[VMX_SECONDARY] >> 32);
	out->invvpid_address = out->vpid && c->ept_vpid & EPT_VPID_INVVPID_ADDRESS;
	out->invvpid_single = out->vpid && c->ept_vpid & EPT_VPID_INVVPID_SINGLE;
	out->invvpid_all = out->vpid && c->ept_vpid & EPT_VPID_INVVPID_ALL;
}

/* CR0.PG, PE, NE, WP and CR4.PAE, VMXE are what the hardware has in guest mode. */
static int check_fixed_bits(const struct vmx_capability *c, char *why, u32 why_size)
{
	const u64 cr0 = BIT(0) | BIT(5) | BIT(16) | BIT(31), cr4 = BIT(5) | BIT(13);

	if ((c->cr0_fixed1 & cr0) == cr0 && (c->cr4_fixed1 & cr4) == cr4)
		return 0;
	snprintf(why, why_size,
		 "this CPU's VMX does not allow the CR0 and CR4 bits of paging "
		 "(CR0_FIXED1 %llx, CR4_FIXED1 %llx): Umbra cannot run on it",
		 (unsigned long long)c->cr0_fixed1, (unsigned long long)c->cr4_fixed1);
	return -ENODEV;
}

int vmx_controls_compute(const struct vmx_capability *c, struct vmx_controls *out, char *why, u32 why_size)
{
	find_options(c, out);
	if (settle(c, VMX_PIN, pin_wish(), &out->word[VMX_PIN], why, why_size) ||
	    settle(c, VMX_SECONDARY, secondary_wish(c), &out->word[VMX_SECONDARY], why, why_size) ||
	    settle(c, VMX_PRIMARY, primary_wish(out->word[VMX_SECONDARY]), &out->word[VMX_PRIMARY], why, why_size) ||
	    settle(c, VMX_EXIT, exit_wish(out->efer), &out->word[VMX_EXIT], why, why_size) ||
	    settle(c, VMX_ENTRY, entry_wish(out->efer), &out->word[VMX_ENTRY], why, why_size))
		return -ENODEV;
	return check_fixed_bits(c, why, why_size);
}

void vmx_hidden_features(u32 missing, char *buf, u32 size)
{
	/* As arch/x86/guest/cpuid.c names them. */
	static const struct {
		u32 control;
		const char *names;
	} features[] = {
		{SECONDARY_RDTSCP, "rdtscp,rdpid"},
		{SECONDARY_XSAVES, "xsaves"},
		{SECONDARY_USER_WAIT, "waitpkg"},
	};
	u32 length = 0;

	buf[0] = '\0';
	for (u32 i = 0; i < ARRAY_SIZE(features); i++)
		if (missing & features[i].control && length < size)
			length += (u32)snprintf(buf + length, size - length, "%s%s", length ? "," : "",
						features[i].names);
}

/*
 * With several of them NMIs exit, and those that are the guest's are injected: only virtual NMIs tell when the guest's handler
 * has come to its end (SDM vol. 3 section 25.3), so without them one would come amid another, or not at all.
 */
const char *vmx_several_error(const struct vmx_controls *c)
{
	return c->virtual_nmis ? NULL : "this CPU's VMX has no virtual NMIs";
}

const char *vmx_feature_control_error(u64 value)
{
	if (value & FEATURE_CONTROL_LOCK && !(value & FEATURE_CONTROL_VMX))
		return "the firmware has locked VMX off: turn on VMX (virtualization, VT-x) in the firmware setup";
	return NULL;
}

u64 vmx_fix_cr0(const struct vmx_capability *c, u64 value)
{
	return (value | c->cr0_fixed0) & c->cr0_fixed1;
}

u64 vmx_fix_cr4(const struct vmx_capability *c, u64 value)
{
	return (value | c->cr4_fixed0) & c->cr4_fixed1;
}
