/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our own VM-entry checks: a good state passes, and each change that the SDM
 * forbids is reported, alone and by the register it is about.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "mm/phys.h"
#include "tests/unit/fake_vmx.h"
#include "vmx/check.h"

#define PHYS_BITS 40
#define NON_CANONICAL BIT(50)

static char last[200];

static void report(void *arg, const char *check)
{
	strncpy(last, check, sizeof(last) - 1);
}

static int setup(void **state)
{
	fake_vmx_reset();
	fake_capability = (struct vmx_capability){
		.basic = BASIC_TRUE_CONTROLS,
		.misc = MISC_ACTIVITY_HLT | 4 << MISC_CR3_TARGETS_SHIFT,
		.ept_vpid = ~0ull,
		.cr0_fixed0 = CR0_PE | CR0_PG | CR0_NE,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = 0x3727ff,
	};
	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++)
		fake_capability.control[w] = 0x7fffffffull << 32;
	fake_capability.control[VMX_PRIMARY] = 0xffffffffull << 32;
	fake_vmx_good_state();
	last[0] = '\0';
	return 0;
}

static u32 check(void)
{
	last[0] = '\0';
	return vmx_check(&fake_capability, PHYS_BITS, report, NULL);
}

static void a_good_state_passes(void **state)
{
	u32 broken = check();

	assert_string_equal(last, "");
	assert_int_equal(broken, 0);
}

struct breakage {
	u32 field;
	u64 value;
	const char *expected;
};

/* One field changed in a good state gives just one report. */
static void expect_all(const struct breakage *list, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 old = vmcs_read_raw(list[i].field);
		u32 broken;

		vmcs_write_raw(list[i].field, list[i].value);
		broken = check();
		if (broken != 1 || !strstr(last, list[i].expected))
			fail_msg("%s = %llx: %u reports, the last \"%s\", wanted \"%s\"",
				 vmx_field_name(list[i].field), (unsigned long long)list[i].value, broken, last,
				 list[i].expected);
		vmcs_write_raw(list[i].field, old);
	}
	assert_int_equal(check(), 0);
}

static void broken_controls_are_named(void **state)
{
	u32 primary = (u32)vmcs_read_raw(VMCS_PRIMARY_CONTROLS), pin = (u32)vmcs_read_raw(VMCS_PIN_CONTROLS);
	const struct breakage list[] = {
		{VMCS_PIN_CONTROLS, pin | BIT(31), "pin-based control: bit 31 (?) must be 0"},
		{VMCS_PIN_CONTROLS, pin | PIN_VIRTUAL_NMIS, "virtual NMIs without NMI exiting"},
		{VMCS_PIN_CONTROLS, pin | PIN_PREEMPTION_TIMER, "timer"},
		{VMCS_PRIMARY_CONTROLS, primary | PRIMARY_NMI_WINDOW, "NMI-window"},
		{VMCS_PRIMARY_CONTROLS, primary | PRIMARY_TPR_SHADOW, "TPR shadow"},
		{VMCS_SECONDARY_CONTROLS, SECONDARY_VPID | SECONDARY_EPT, "EPT"},
		{VMCS_CR3_TARGET_COUNT, 5, "CR3 targets"},
		{VMCS_IO_BITMAP_A, 0x101010, "I/O bitmap A: address not page-aligned"},
		{VMCS_IO_BITMAP_B, BIT(45), "I/O bitmap B: address beyond"},
		{VMCS_MSR_BITMAP, 0x800, "MSR bitmap"},
		{VMCS_VPID, 0, "VPID is 0"},
	};

	expect_all(list, ARRAY_SIZE(list));
}

static void controls_that_must_be_one_are_named(void **state)
{
	fake_capability.control[VMX_EXIT] |= BIT(0);
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "VM-exit control: bit 0 (?) must be 1"));
}

static void broken_msr_areas_are_named(void **state)
{
	vmcs_write_raw(VMCS_EXIT_MSR_LOAD_COUNT, 1);
	vmcs_write_raw(VMCS_EXIT_MSR_LOAD_ADDRESS, 8);
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "exit load: MSR area not 16-byte aligned"));
	vmcs_write_raw(VMCS_EXIT_MSR_LOAD_ADDRESS, BIT(PHYS_BITS) - 8);
	assert_int_equal(check(), 2);
}

static void broken_host_state_is_named(void **state)
{
	const struct breakage list[] = {
		{VMCS_HOST_CR0, CR0_PE | CR0_PG, "host CR0"},
		{VMCS_HOST_CR4, CR4_PAE, "host CR4"},
		{VMCS_HOST_CR3, BIT(PHYS_BITS), "host CR3"},
		{VMCS_HOST_EFER, EFER_NXE | EFER_LME, "host EFER: LMA or LME"},
		{VMCS_HOST_EFER, EFER_LMA | EFER_LME | BIT(20), "host EFER: reserved"},
		{VMCS_HOST_CS_SELECTOR, 0, "CS or TR is 0"},
		{VMCS_HOST_TR_SELECTOR, 0, "CS or TR is 0"},
		{VMCS_HOST_DS_SELECTOR, 0x13, "RPL or TI"},
		{VMCS_HOST_GS_BASE, NON_CANONICAL, "not canonical"},
		{VMCS_HOST_RIP, NON_CANONICAL, "host RIP"},
		{VMCS_HOST_SYSENTER_EIP, NON_CANONICAL, "host SYSENTER"},
	};

	expect_all(list, ARRAY_SIZE(list));
}

static void broken_guest_registers_are_named(void **state)
{
	const struct breakage list[] = {
		{VMCS_GUEST_CR0, CR0_PE | CR0_PG | CR0_WP, "CR0: a bit that VMX fixes"},
		{VMCS_GUEST_CR4, CR4_PAE, "CR4: a bit that VMX fixes"},
		{VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | BIT(23), "CR4: a bit that VMX fixes"},
		{VMCS_GUEST_CR4, CR4_VMXE, "without CR0.PG or CR4.PAE"},
		{VMCS_GUEST_CR3, BIT(PHYS_BITS), "CR3: beyond"},
		{VMCS_GUEST_EFER, EFER_NXE, "EFER.LMA"},
		{VMCS_GUEST_EFER, EFER_NXE | EFER_LMA, "EFER.LME"},
		{VMCS_GUEST_EFER, EFER_LMA | EFER_LME | BIT(13), "EFER: reserved"},
		{VMCS_GUEST_DR7, BIT(32) | 0x400, "DR7"},
		{VMCS_GUEST_DEBUGCTL, BIT(3), "DEBUGCTL"},
		{VMCS_GUEST_SYSENTER_ESP, NON_CANONICAL, "SYSENTER"},
		{VMCS_GUEST_RIP, NON_CANONICAL, "RIP"},
		{VMCS_GUEST_RFLAGS, 0, "RFLAGS: reserved"},
		{VMCS_GUEST_RFLAGS, RFLAGS_FIXED | BIT(15), "RFLAGS: reserved"},
		{VMCS_GUEST_LINK_POINTER, 0, "link pointer"},
		{VMCS_GUEST_GDTR_BASE, NON_CANONICAL, "GDTR: base"},
		{VMCS_GUEST_IDTR_LIMIT, 0x10000, "IDTR: limit"},
	};

	expect_all(list, ARRAY_SIZE(list));
}

static void broken_segments_are_named(void **state)
{
	const struct breakage list[] = {
		{VMCS_GUEST_CS_ATTRIBUTES, 0xe09b, "CS: D is 1 in 64-bit code"},
		{VMCS_GUEST_CS_ATTRIBUTES, 0xa09a, "CS: not accessed code"},
		{VMCS_GUEST_CS_ATTRIBUTES, 0xa0fb, "CS: DPL"},
		{VMCS_GUEST_CS_ATTRIBUTES, 0xa01b, "CS: not present"},
		{VMCS_GUEST_CS_ATTRIBUTES, 0x209b, "CS: limit and granularity"},
		{VMCS_GUEST_CS_BASE, BIT(32), "CS base"},
		{VMCS_GUEST_SS_SELECTOR, 0x14, ""},
		{VMCS_GUEST_SS_ATTRIBUTES, 0xc091, "SS: not accessed writable"},
		{VMCS_GUEST_DS_ATTRIBUTES, 0xc092, "DS: not accessed"},
		{VMCS_GUEST_DS_ATTRIBUTES, 0xc099, "DS: code that is not readable"},
		{VMCS_GUEST_ES_SELECTOR, 0x13, "ES: DPL below RPL"},
		{VMCS_GUEST_ES_ATTRIBUTES, 0xc083, "ES: descriptor type"},
		{VMCS_GUEST_FS_ATTRIBUTES, 0xc193, "FS: reserved"},
		{VMCS_GUEST_GS_LIMIT, 0x1000, "GS: limit"},
		{VMCS_GUEST_GS_BASE, NON_CANONICAL, "TR, FS or GS base"},
		{VMCS_GUEST_DS_BASE, BIT(32), "SS, DS or ES base"},
		{VMCS_GUEST_TR_ATTRIBUTES, 0x89, "TR: not a busy TSS"},
		{VMCS_GUEST_TR_ATTRIBUTES, 0x83, "TR: not a busy TSS"}, /* of 16 bits, in IA-32e mode */
		{VMCS_GUEST_TR_ATTRIBUTES, 0x1008b, "TR: unusable"},
		{VMCS_GUEST_TR_SELECTOR, 4, "TR selector"},
		{VMCS_GUEST_LDTR_ATTRIBUTES, 0x8b, "LDTR: not an LDT"},
	};

	vmcs_write_raw(VMCS_GUEST_SS_SELECTOR, 0x10);
	for (u32 i = 0; i < ARRAY_SIZE(list); i++) {
		if (list[i].field == VMCS_GUEST_SS_SELECTOR)
			continue; /* TI of SS is free */
		expect_all(&list[i], 1);
	}
	vmcs_write_raw(VMCS_GUEST_SS_SELECTOR, 0x13);
	assert_int_equal(check(), 2); /* RPL of CS, DPL of SS */
}

static void unusable_segments_are_not_looked_at(void **state)
{
	vmcs_write_raw(VMCS_GUEST_DS_ATTRIBUTES, SEG_ATTR_UNUSABLE);
	vmcs_write_raw(VMCS_GUEST_DS_LIMIT, 0x1001);
	vmcs_write_raw(VMCS_GUEST_DS_BASE, ~0ull);
	assert_int_equal(check(), 0);
}

static void virtual_8086_segments_have_one_shape(void **state)
{
	static const u32 names[] = {0, 1, 2, 3, 4, 5};

	vmcs_write_raw(VMCS_ENTRY_CONTROLS, vmcs_read_raw(VMCS_ENTRY_CONTROLS) & ~(u64)ENTRYC_IA32E_GUEST);
	vmcs_write_raw(VMCS_GUEST_EFER, EFER_NXE);
	vmcs_write_raw(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_VM);
	host_arena_create(1 << 20);
	vmcs_write_raw(VMCS_GUEST_CR3, HOST_ARENA_BASE);
	assert_int_equal(check(), 6);
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		vmcs_write_raw(VMCS_GUEST_ES_SELECTOR + 2 * i, 0x1234);
		vmcs_write_raw(VMCS_GUEST_ES_BASE + 2 * i, 0x12340);
		vmcs_write_raw(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffff);
		vmcs_write_raw(VMCS_GUEST_ES_ATTRIBUTES + 2 * i, 0xf3);
	}
	assert_int_equal(check(), 0);
	host_arena_destroy();
}

static void events_under_a_wrong_state_are_named(void **state)
{
	const struct breakage injected[] = {
		{VMCS_ENTRY_INTR_INFO, 0x80000020, "RFLAGS.IF"},
		{VMCS_ENTRY_INTR_INFO, 0x80000203, "vector is not 2"},
		{VMCS_ENTRY_INTR_INFO, 0x80000320, "vector above 31"},
		{VMCS_ENTRY_INTR_INFO, 0x8000030e, "error code"},
		{VMCS_ENTRY_INTR_INFO, 0x80000b03, "error code"},
		{VMCS_ENTRY_INTR_INFO, 0x80000103, "reserved type"},
		{VMCS_ENTRY_INTR_INFO, 0x80001301, "reserved bits"},
		{VMCS_ENTRY_INTR_INFO, 0x80000480, "instruction length"},
		{VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI, "not supported"},
		{VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_STI, "STI with RFLAGS.IF"},
		{VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_SMI, "SMI"},
		{VMCS_GUEST_INTERRUPTIBILITY, BIT(9), "reserved"},
		{VMCS_GUEST_PENDING_DEBUG, BIT(5), "reserved"},
	};

	expect_all(injected, ARRAY_SIZE(injected));
	vmcs_write_raw(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	vmcs_write_raw(VMCS_ENTRY_INTR_INFO, 0x80000020);
	assert_int_equal(check(), 0);
	vmcs_write_raw(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "under a shadow"));
}

static void a_halted_guest_takes_only_what_wakes_it(void **state)
{
	vmcs_write_raw(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmcs_write_raw(VMCS_ENTRY_INTR_INFO, 0x80000202);
	assert_int_equal(check(), 0);
	vmcs_write_raw(VMCS_ENTRY_INTR_INFO, 0x80000b0e);
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "HLT with an event"));
}

static void a_single_step_under_a_shadow_must_be_pending(void **state)
{
	vmcs_write_raw(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
	assert_int_equal(check(), 0);
	vmcs_write_raw(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "BS differs"));
	vmcs_write_raw(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
	assert_int_equal(check(), 0);
	vmcs_write_raw(VMCS_GUEST_DEBUGCTL, BIT(1)); /* BTF */
	assert_int_equal(check(), 1);
}

static void pae_roots_are_read_from_memory(void **state)
{
	u64 *pdpt;

	host_arena_create(1 << 20);
	vmcs_write_raw(VMCS_ENTRY_CONTROLS, vmcs_read_raw(VMCS_ENTRY_CONTROLS) & ~(u64)ENTRYC_IA32E_GUEST);
	vmcs_write_raw(VMCS_GUEST_EFER, EFER_NXE);
	vmcs_write_raw(VMCS_GUEST_CR3, HOST_ARENA_BASE);
	vmcs_write_raw(VMCS_GUEST_CS_ATTRIBUTES, 0xc09b);
	pdpt = phys_to_virt(hpa(HOST_ARENA_BASE));
	pdpt[0] = 0x200000 | PTE_P;
	assert_int_equal(check(), 0);
	vmcs_write_raw(VMCS_GUEST_TR_ATTRIBUTES, 0x83); /* a 16-bit task is no harm here */
	assert_int_equal(check(), 0);
	pdpt[1] = 0x200000 | PTE_P | PTE_W;
	assert_int_equal(check(), 1);
	assert_non_null(strstr(last, "PDPTE"));
	pdpt[1] = BIT(PHYS_BITS) | PTE_P;
	assert_int_equal(check(), 1);
	pdpt[1] = ~0ull & ~PTE_P;
	assert_int_equal(check(), 0);
	host_arena_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_good_state_passes, setup),
		cmocka_unit_test_setup(broken_controls_are_named, setup),
		cmocka_unit_test_setup(controls_that_must_be_one_are_named, setup),
		cmocka_unit_test_setup(broken_msr_areas_are_named, setup),
		cmocka_unit_test_setup(broken_host_state_is_named, setup),
		cmocka_unit_test_setup(broken_guest_registers_are_named, setup),
		cmocka_unit_test_setup(broken_segments_are_named, setup),
		cmocka_unit_test_setup(unusable_segments_are_not_looked_at, setup),
		cmocka_unit_test_setup(virtual_8086_segments_have_one_shape, setup),
		cmocka_unit_test_setup(events_under_a_wrong_state_are_named, setup),
		cmocka_unit_test_setup(a_halted_guest_takes_only_what_wakes_it, setup),
		cmocka_unit_test_setup(a_single_step_under_a_shadow_must_be_pending, setup),
		cmocka_unit_test_setup(pae_roots_are_read_from_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
