/* SPDX-License-Identifier: BSD-2-Clause */
/* How wide a physical address is where bits of it name encryption keys, over made-up CPUID and MSRs. */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/physbits.h"

#define TME_ACTIVATE 0x982u
#define TME_ON 3ull /* locked, enabled */
#define TME_BITS(n) ((u64)(n) << 32)
#define SME BIT(23)
#define HOST_KEYS BIT(26)

static struct {
	u32 max, max_extended, ecx7, eax_sizes, ebx_encryption;
	u64 tme, syscfg;
	bool has_tme, has_syscfg;
} cpu;

struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	switch (leaf) {
	case 0: return (struct cpuid_regs){.eax = cpu.max};
	case 7: return (struct cpuid_regs){.ecx = cpu.ecx7};
	case 0x80000000: return (struct cpuid_regs){.eax = cpu.max_extended};
	case 0x80000008: return (struct cpuid_regs){.eax = cpu.eax_sizes};
	case 0x8000001f: return (struct cpuid_regs){.eax = 1, .ebx = cpu.ebx_encryption};
	default: return (struct cpuid_regs){0};
	}
}

int hw_msr_read(u32 msr, u64 *value)
{
	bool there = msr == TME_ACTIVATE ? cpu.has_tme : msr == MSR_SYSCFG && cpu.has_syscfg;

	*value = !there ? 0 : msr == TME_ACTIVATE ? cpu.tme : cpu.syscfg;
	return there ? 0 : -EFAULT;
}

static u32 on_intel(u64 tme)
{
	cpu.tme = tme;
	return physbits_usable();
}

static void make_intel(void)
{
	memset(&cpu, 0, sizeof(cpu));
	cpu.max = 0x20;
	cpu.max_extended = 0x80000008;
	cpu.eax_sizes = 0x3034;
	cpu.ecx7 = BIT(13);
	cpu.has_tme = true;
}

/* adversarial: 37 */
static void keys_of_intel_are_no_address(void **state)
{
	make_intel();
	assert_int_equal(on_intel(0), 52);
	assert_int_equal(on_intel(TME_ON | TME_BITS(6)), 46);
	assert_int_equal(physbits_read().keys, 6);
	assert_int_equal(physbits_read().width, 52);
	/* Those of trust domains, bits 39:36, are among them. */
	assert_int_equal(on_intel(TME_ON | TME_BITS(15) | 7ull << 36), 37);
	assert_int_equal(on_intel(TME_ON), 52); /* one key for all memory */
}

/* adversarial: 37 */
static void keys_that_are_not_in_effect_take_no_bits(void **state)
{
	make_intel();
	assert_int_equal(on_intel(BIT(0) | TME_BITS(6)), 52); /* locked, not enabled */
	assert_int_equal(on_intel(BIT(1) | TME_BITS(6)), 52); /* enabled, not locked */
	cpu.ecx7 = 0;
	assert_int_equal(on_intel(TME_ON | TME_BITS(6)), 52);
	cpu.ecx7 = BIT(13);
	cpu.max = 6;
	assert_int_equal(on_intel(TME_ON | TME_BITS(6)), 52);
	cpu.max = 0x20;
	cpu.has_tme = false;
	assert_int_equal(on_intel(TME_ON | TME_BITS(6)), 52);
}

static u32 on_amd(u64 syscfg, u32 ebx)
{
	memset(&cpu, 0, sizeof(cpu));
	cpu.max = 0x10;
	cpu.max_extended = 0x8000001f;
	cpu.eax_sizes = 0x3030;
	cpu.has_syscfg = true;
	cpu.syscfg = syscfg;
	cpu.ebx_encryption = ebx;
	return physbits_usable();
}

/* adversarial: 37 */
static void the_reduction_of_amd_is_no_address(void **state)
{
	const u32 c_bit_47_less_5 = 47 | 5 << 6;

	assert_int_equal(on_amd(0, c_bit_47_less_5), 48);
	assert_int_equal(on_amd(SME, c_bit_47_less_5), 43);
	assert_int_equal(on_amd(HOST_KEYS, c_bit_47_less_5), 43);
	assert_int_equal(on_amd(~(u64)(SME | HOST_KEYS), c_bit_47_less_5), 48);
	assert_int_equal(on_amd(SME, 51 | 0 << 6), 48);
	cpu.max_extended = 0x80000008;
	assert_int_equal(physbits_usable(), 48);
	cpu.max_extended = 0x8000001f;
	cpu.has_syscfg = false;
	assert_int_equal(physbits_usable(), 48);
}

/* adversarial: 37 */
static void nonsense_leaves_four_gigabytes(void **state)
{
	assert_int_equal(on_amd(SME, 47 | 63 << 6), 32);
	cpu.max_extended = 0x80000000;
	assert_int_equal(physbits_usable(), 36); /* the leaf is missing: PAE's first width */
	make_intel();
	cpu.eax_sizes = 30;
	assert_int_equal(on_intel(TME_ON | TME_BITS(6)), 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_intel_are_no_address),
		cmocka_unit_test(keys_that_are_not_in_effect_take_no_bits),
		cmocka_unit_test(the_reduction_of_amd_is_no_address),
		cmocka_unit_test(nonsense_leaves_four_gigabytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
