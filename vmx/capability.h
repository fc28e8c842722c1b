/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the capability MSRs say (SDM vol. 3 appendix A), and the VM-execution,
 * exit and entry controls that follow from them and from nothing else. Pure
 * functions: compiled for the host tests as they are.
 */
#ifndef VMX_CAPABILITY_H
#define VMX_CAPABILITY_H

#include "lib/types.h"

/* SDM vol. 3 appendix A */
enum {
	MSR_VMX_BASIC = 0x480,
	MSR_VMX_PIN = 0x481,
	MSR_VMX_PRIMARY = 0x482,
	MSR_VMX_EXIT = 0x483,
	MSR_VMX_ENTRY = 0x484,
	MSR_VMX_MISC = 0x485,
	MSR_VMX_CR0_FIXED0 = 0x486,
	MSR_VMX_CR0_FIXED1 = 0x487,
	MSR_VMX_CR4_FIXED0 = 0x488,
	MSR_VMX_CR4_FIXED1 = 0x489,
	MSR_VMX_SECONDARY = 0x48b,
	MSR_VMX_EPT_VPID = 0x48c,
	MSR_VMX_TRUE_PIN = 0x48d,
	MSR_VMX_TRUE_PRIMARY = 0x48e,
	MSR_VMX_TRUE_EXIT = 0x48f,
	MSR_VMX_TRUE_ENTRY = 0x490,
};

#define BASIC_REVISION BITS(30, 0)
#define BASIC_ADDRESSES_32BIT BIT(48)
#define BASIC_TRUE_CONTROLS BIT(55)
#define BASIC_ANY_ERROR_CODE BIT(56)
#define MISC_TIMER_SHIFT BITS(4, 0)
#define MISC_ACTIVITY_HLT BIT(6)
#define MISC_ACTIVITY_SHUTDOWN BIT(7)
#define MISC_ACTIVITY_SIPI BIT(8)
#define MISC_CR3_TARGETS_SHIFT 16
#define MISC_CR3_TARGETS_MASK 0x1ffu
#define MISC_ZERO_LENGTH_INJECTION BIT(30)
#define EPT_VPID_INVVPID BIT(32)
#define EPT_VPID_INVVPID_ADDRESS BIT(40)
#define EPT_VPID_INVVPID_SINGLE BIT(41)
#define EPT_VPID_INVVPID_ALL BIT(42)

enum vmx_control_word { VMX_PIN, VMX_PRIMARY, VMX_SECONDARY, VMX_EXIT, VMX_ENTRY, VMX_CONTROL_WORDS };

struct vmx_capability {
	u64 basic, misc, ept_vpid;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	/* Low half: bits that must be 1; high half: bits that may be 1. All 0 where there are none. */
	u64 control[VMX_CONTROL_WORDS];
	/* Secondary controls without which instructions that CPUID shows are #UD in a guest... */
	u32 enables;
	/* ...and with which instructions that the guest is not shown, though this CPU has them, exit. */
	u32 traps;
};

/* What Umbra does with the CPU. */
struct vmx_controls {
	u32 word[VMX_CONTROL_WORDS];
	bool vpid, invvpid_address, invvpid_single, invvpid_all;
	bool efer;         /* entry and exit switch IA32_EFER */
	bool virtual_nmis; /* with NMI-window exiting */
	u32 missing;       /* of the capability's enables: what vmx_hidden_features() names */
};

/* Reads an MSR: 0, or -errno if it does not exist. */
typedef int (*vmx_read_msr)(u32 msr, u64 *value);

struct cpuid_regs; /* arch/x86/cpu.h */
typedef struct cpuid_regs (*vmx_cpuid)(u32 leaf, u32 subleaf);

/* Fills all but enables and traps. MSRs that the CPU does not have count as 0. */
void vmx_capability_read(struct vmx_capability *c, vmx_read_msr read);
/* Fills enables and traps from the CPU's own CPUID. */
void vmx_capability_instructions(struct vmx_capability *c, vmx_cpuid ask);

/*
 * The controls for a 64-bit host without EPT and unrestricted guest, interrupts
 * and NMIs going straight to the guest. 0; or -ENODEV and one line in why, which
 * names what the CPU lacks.
 */
MUST_CHECK int vmx_controls_compute(const struct vmx_capability *c, struct vmx_controls *out, char *why,
				    u32 why_size);

/*
 * The CPUID features whose controls are missing, "rdtscp,rdpid" for SECONDARY_RDTSCP, "" for none. Their
 * instructions are #UD in a guest by themselves, as on hardware without them (section 25.3).
 */
void vmx_hidden_features(u32 missing, char *buf, u32 size);

/* NULL, or why a guest on this CPU cannot have several processors. */
const char *vmx_several_error(const struct vmx_controls *c);

/* NULL, or what is wrong with IA32_FEATURE_CONTROL; a value that is not locked is fine. */
const char *vmx_feature_control_error(u64 value);

/* May the control be 1? Must it be? */
static inline bool vmx_may(const struct vmx_capability *c, enum vmx_control_word w, u32 bit)
{
	return c->control[w] >> 32 & bit;
}
static inline bool vmx_must(const struct vmx_capability *c, enum vmx_control_word w, u32 bit)
{
	return c->control[w] & bit;
}

/* "MSR_BITMAPS" for bit number 28 of VMX_PRIMARY; "?" for reserved bits. */
const char *vmx_control_name(enum vmx_control_word w, u32 bit_number);
/* "primary processor-based control" */
const char *vmx_control_word_name(enum vmx_control_word w);

/* The values that hardware CR0 and CR4 have while VMX is on, SDM vol. 3 section 23.8. */
u64 vmx_fix_cr0(const struct vmx_capability *c, u64 value);
u64 vmx_fix_cr4(const struct vmx_capability *c, u64 value);

#endif
