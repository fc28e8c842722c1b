/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where memory is encrypted with more than one key, upper bits of a physical address name
 * the key, and addresses that differ in them alone are the same memory. The hypervisor's own
 * pages must have one name only, so the guest gets addresses without these bits, and nothing
 * in CPUID or the MSRs tells it of keys.
 */
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/physbits.h"

/* IA32_TME_ACTIVATE, SDM vol. 4 table 2-2: what it says holds once it is locked. */
#define MSR_TME_ACTIVATE 0x982u
#define TME_LOCKED BIT(0)
#define TME_ENABLED BIT(1)
#define TME_KEY_BITS(value) \
	((u32)((value) >> 32 & 0xf)) /* MK_TME_KEYID_BITS; those of trust domains are among them */
#define CPUID_7_ECX_TME BIT(13)

/* APM vol. 2 section 7.10: MemEncryptionModEn, and HMKEE for the host's several keys */
#define SYSCFG_KEYS (BIT(23) | BIT(26))
#define CPUID_ENCRYPTION 0x8000001fu
#define ENCRYPTION_REDUCTION(ebx) ((ebx) >> 6 & 0x3f) /* PhysAddrReduction, APM vol. 3 section E.4.17 */

#define CPUID_SIZES 0x80000008u
#define WIDTH_WITHOUT_LEAF 36u
#define WIDTH_MIN 32u

static u32 tme_keys(void)
{
	u64 activate;

	if (hw_cpuid(0, 0).eax < 7 || !(hw_cpuid(7, 0).ecx & CPUID_7_ECX_TME) ||
	    hw_msr_read(MSR_TME_ACTIVATE, &activate))
		return 0;
	return (activate & TME_LOCKED) && (activate & TME_ENABLED) ? TME_KEY_BITS(activate) : 0;
}

static u32 sme_keys(u32 max_leaf)
{
	u64 syscfg;

	if (max_leaf < CPUID_ENCRYPTION || hw_msr_read(MSR_SYSCFG, &syscfg) || !(syscfg & SYSCFG_KEYS))
		return 0;
	return ENCRYPTION_REDUCTION(hw_cpuid(CPUID_ENCRYPTION, 0).ebx);
}

struct physbits physbits_read(void)
{
	u32 max_leaf = hw_cpuid(0x80000000, 0).eax;
	struct physbits b = {.width = WIDTH_WITHOUT_LEAF};

	if (max_leaf >= CPUID_SIZES)
		b.width = hw_cpuid(CPUID_SIZES, 0).eax & 0xff;
	b.keys = MAX(tme_keys(), sme_keys(max_leaf));
	if (b.keys + WIDTH_MIN > b.width)
		b.keys = b.width > WIDTH_MIN ? b.width - WIDTH_MIN : 0;
	return b;
}

u32 physbits_usable(void)
{
	struct physbits b = physbits_read();

	return b.width - b.keys;
}
