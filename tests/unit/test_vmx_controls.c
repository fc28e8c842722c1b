/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Controls from capability MSRs, and what vmx/control.c puts into the VMCS of a
 * fake CPU: masks, read shadows, intercepts, flushes.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/stop.h"
#include "tests/unit/fake_vmx.h"

static char why[200];

int hw_msr_read(u32 msr, u64 *value)
{
	assert_int_equal(msr, MSR_EFER);
	*value = fake_efer;
	return 0;
}

int hw_msr_write(u32 msr, u64 value)
{
	assert_int_equal(msr, MSR_EFER);
	fake_efer = value;
	return 0;
}

void guest_stop(struct vcpu *vcpu, const char *format, ...)
{
	panic("%s", format);
}

static void read_model(enum fake_model model, struct vmx_capability *c)
{
	fake_vmx_model(model);
	vmx_capability_read(c, fake_vmx_read_msr);
}

static int compute(const struct vmx_capability *c, struct vmx_controls *out)
{
	why[0] = '\0';
	return vmx_controls_compute(c, out, why, sizeof(why));
}

/* Any control may be 0 or 1. */
static struct vmx_capability free_cpu(void)
{
	struct vmx_capability c = {
		.cr0_fixed1 = ~0ull, .cr4_fixed1 = ~0ull, .ept_vpid = ~0ull, .basic = BASIC_TRUE_CONTROLS};

	for (u32 w = 0; w < VMX_CONTROL_WORDS; w++)
		c.control[w] = 0xffffffff00000000ull;
	return c;
}

/* --- capability MSRs ---------------------------------------------------------- */

static void a_cpu_without_any_control_is_refused_by_name(void **state)
{
	struct vmx_capability c;
	struct vmx_controls out;

	read_model(FAKE_ZERO, &c);
	assert_int_equal(compute(&c, &out), -ENODEV);
	assert_non_null(strstr(why, "lacks the primary processor-based control INTR_WINDOW"));
	assert_null(strchr(why, '\n'));
}

static void a_cpu_that_forces_every_control_is_refused_by_name(void **state)
{
	struct vmx_capability c;
	struct vmx_controls out;

	read_model(FAKE_ONES, &c);
	assert_int_equal(compute(&c, &out), -ENODEV);
	assert_non_null(strstr(why, "cannot turn off the pin-based control INTR_EXITING"));
}

static void a_free_cpu_gets_what_umbra_uses_and_nothing_else(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	assert_int_equal(compute(&c, &out), 0);
	assert_int_equal(out.word[VMX_PIN], 0);
	assert_int_equal(out.word[VMX_PRIMARY], PRIMARY_INVLPG_EXITING | PRIMARY_CR3_LOAD_EXITING |
							PRIMARY_CR3_STORE_EXITING | PRIMARY_IO_BITMAPS |
							PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY);
	assert_int_equal(out.word[VMX_SECONDARY], SECONDARY_VPID);
	assert_int_equal(out.word[VMX_EXIT], EXITC_SAVE_DEBUG | EXITC_HOST_64BIT | EXITC_LOAD_EFER);
	assert_int_equal(out.word[VMX_ENTRY], ENTRYC_LOAD_DEBUG | ENTRYC_LOAD_EFER);
	assert_true(out.vpid && out.efer && out.virtual_nmis && out.invvpid_address && out.invvpid_all);
}

static void ept_and_unrestricted_guest_stay_off(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	assert_int_equal(compute(&c, &out), 0);
	assert_false(out.word[VMX_SECONDARY] & (SECONDARY_EPT | SECONDARY_UNRESTRICTED));
	c.control[VMX_SECONDARY] |= SECONDARY_EPT;
	assert_int_equal(compute(&c, &out), -ENODEV);
	assert_non_null(strstr(why, "EPT"));
}

static void each_needed_control_is_named_when_missing(void **state)
{
	static const struct {
		enum vmx_control_word word;
		u32 bit;
		const char *name;
	} needed[] = {
		{VMX_PRIMARY, PRIMARY_INVLPG_EXITING, "INVLPG_EXITING (bit 9)"},
		{VMX_PRIMARY, PRIMARY_CR3_LOAD_EXITING, "CR3_LOAD_EXITING (bit 15)"},
		{VMX_PRIMARY, PRIMARY_IO_BITMAPS, "IO_BITMAPS (bit 25)"},
		{VMX_PRIMARY, PRIMARY_MSR_BITMAPS, "MSR_BITMAPS (bit 28)"},
		{VMX_PRIMARY, PRIMARY_INTR_WINDOW, "INTR_WINDOW (bit 2)"},
		{VMX_EXIT, EXITC_HOST_64BIT, "HOST_64BIT (bit 9)"},
		{VMX_EXIT, EXITC_SAVE_DEBUG, "SAVE_DEBUG (bit 2)"},
		{VMX_ENTRY, ENTRYC_IA32E_GUEST, "IA32E_GUEST (bit 9)"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(needed); i++) {
		struct vmx_capability c = free_cpu();
		struct vmx_controls out;

		c.control[needed[i].word] &= ~((u64)needed[i].bit << 32);
		assert_int_equal(compute(&c, &out), -ENODEV);
		assert_non_null(strstr(why, needed[i].name));
	}
}

/* What CPUID says. */
static u32 cpu_max;
static struct cpuid_regs cpu_leaf7, cpu_leafd, cpu_leafe1;
static struct cpuid_regs ask(u32 leaf, u32 subleaf)
{
	static const struct cpuid_regs none;

	switch (leaf) {
	case 0: return (struct cpuid_regs){.eax = cpu_max};
	case 7: return subleaf ? none : cpu_leaf7;
	case CPUID_LEAF_XSAVE: return subleaf == 1 ? cpu_leafd : none;
	case CPUID_LEAF_EXT: return (struct cpuid_regs){.eax = CPUID_LEAF_EXT1};
	case CPUID_LEAF_EXT1: return cpu_leafe1;
	default: return (struct cpuid_regs){0};
	}
}

static void instructions_are_enabled_and_trapped_as_the_cpu_has_them(void **state)
{
	struct vmx_capability c = {0};

	cpu_leaf7 = cpu_leafd = cpu_leafe1 = (struct cpuid_regs){~0u, ~0u, ~0u, ~0u};
	cpu_max = CPUID_LEAF_XSAVE;
	vmx_capability_instructions(&c, ask);
	assert_int_equal(c.enables, SECONDARY_RDTSCP | SECONDARY_XSAVES | SECONDARY_USER_WAIT);
	assert_int_equal(c.traps, SECONDARY_ENCLS_EXITING | SECONDARY_ENCLV_EXITING);
	cpu_max = 6;
	vmx_capability_instructions(&c, ask);
	assert_int_equal(c.enables, SECONDARY_RDTSCP);
	assert_int_equal(c.traps, 0);
	cpu_leafe1.edx &= ~CPUIDE1_EDX_RDTSCP;
	vmx_capability_instructions(&c, ask);
	assert_int_equal(c.enables, 0);
	cpu_max = CPUID_LEAF_XSAVE; /* RDPID needs the control of RDTSCP */
	cpu_leaf7 = (struct cpuid_regs){.ecx = CPUID7_ECX_RDPID};
	cpu_leafd = (struct cpuid_regs){0};
	vmx_capability_instructions(&c, ask);
	assert_int_equal(c.enables, SECONDARY_RDTSCP);
	assert_int_equal(c.traps, 0);
}

/* Every set of the controls that instructions need, from all to none. */
static void an_instruction_without_its_control_is_hidden_and_nothing_else(void **state)
{
	static const struct {
		u32 control;
		const char *names;
	} needed[] = {
		{SECONDARY_RDTSCP, "rdtscp,rdpid"}, {SECONDARY_XSAVES, "xsaves"}, {SECONDARY_USER_WAIT, "waitpkg"}};

	for (u32 set = 0; set < BIT(ARRAY_SIZE(needed)); set++) {
		struct vmx_capability c = free_cpu();
		struct vmx_controls out;
		u32 missing = 0;
		char names[64], wanted[64] = "";

		c.enables = SECONDARY_RDTSCP | SECONDARY_XSAVES | SECONDARY_USER_WAIT;
		for (u32 i = 0; i < ARRAY_SIZE(needed); i++) {
			if (!(set & BIT(i)))
				continue;
			missing |= needed[i].control;
			strcat(strcat(wanted, *wanted ? "," : ""), needed[i].names);
		}
		c.control[VMX_SECONDARY] &= ~((u64)missing << 32);
		assert_int_equal(compute(&c, &out), 0);
		assert_int_equal(out.word[VMX_SECONDARY], SECONDARY_VPID | (c.enables & ~missing));
		assert_int_equal(out.missing, missing);
		vmx_hidden_features(out.missing, names, sizeof(names));
		assert_string_equal(names, wanted);
	}
}

static void no_instruction_lacks_a_control_that_the_cpu_does_not_need(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	c.control[VMX_SECONDARY] = 0;
	assert_int_equal(compute(&c, &out), 0);
	assert_int_equal(out.missing, 0);
	c.traps = SECONDARY_ENCLS_EXITING | SECONDARY_ENCLV_EXITING;
	c.control[VMX_SECONDARY] = (u64)SECONDARY_ENCLS_EXITING << 32;
	assert_int_equal(compute(&c, &out), 0);
	assert_int_equal(out.word[VMX_SECONDARY], SECONDARY_ENCLS_EXITING);
	assert_int_equal(out.missing, 0);
}

static void no_vpid_without_a_way_to_flush_it(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	c.ept_vpid = EPT_VPID_INVVPID | EPT_VPID_INVVPID_ADDRESS;
	assert_int_equal(compute(&c, &out), 0);
	assert_false(out.vpid || out.invvpid_address);
	assert_int_equal(out.word[VMX_SECONDARY], 0);
	assert_false(out.word[VMX_PRIMARY] & PRIMARY_SECONDARY);
}

static void efer_is_switched_by_both_controls_or_by_hand(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	c.control[VMX_EXIT] &= ~((u64)EXITC_LOAD_EFER << 32);
	assert_int_equal(compute(&c, &out), 0);
	assert_false(out.efer);
	assert_false(out.word[VMX_ENTRY] & ENTRYC_LOAD_EFER);
}

static void bits_that_must_be_one_are_one(void **state)
{
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	c.control[VMX_PIN] |= 0x16;
	c.control[VMX_PRIMARY] |= 0x0401e172;
	c.control[VMX_EXIT] |= 0x36dff;
	c.control[VMX_ENTRY] |= 0x11ff;
	assert_int_equal(compute(&c, &out), 0);
	assert_int_equal(out.word[VMX_PIN], 0x16);
	assert_int_equal(out.word[VMX_PRIMARY] & 0x0401e172, 0x0401e172);
	assert_int_equal(out.word[VMX_EXIT] & 0x36dff, 0x36dff);
	assert_int_equal(out.word[VMX_ENTRY] & 0x11ff, 0x11ff);
}

static void true_controls_are_read_where_there_are_any(void **state)
{
	struct vmx_capability c;

	read_model(FAKE_SKYLAKE_X, &c);
	assert_true(c.basic & BASIC_TRUE_CONTROLS);
	assert_false(vmx_must(&c, VMX_PRIMARY, PRIMARY_CR3_LOAD_EXITING));
	assert_int_equal(c.control[VMX_PIN], 0x7f00000016);
}

static void the_models_of_bochs_are_accepted(void **state)
{
	struct vmx_capability c;
	struct vmx_controls out;

	read_model(FAKE_PENRYN, &c);
	assert_int_equal(compute(&c, &out), 0);
	assert_false(out.vpid || out.efer);
	read_model(FAKE_SKYLAKE_X, &c);
	assert_int_equal(compute(&c, &out), 0);
	assert_true(out.vpid && out.invvpid_address && out.invvpid_single && out.invvpid_all);
	assert_true(out.efer && out.virtual_nmis);
}

static void feature_control_locked_off_is_an_error(void **state)
{
	assert_null(vmx_feature_control_error(0));
	assert_null(vmx_feature_control_error(FEATURE_CONTROL_VMX));
	assert_null(vmx_feature_control_error(FEATURE_CONTROL_VMX | FEATURE_CONTROL_LOCK));
	assert_non_null(vmx_feature_control_error(FEATURE_CONTROL_LOCK));
	assert_non_null(vmx_feature_control_error(FEATURE_CONTROL_LOCK | BIT(1)));
}

/* --- the VMCS ------------------------------------------------------------------ */

static struct vcpu vcpu;
static struct vmx_vcpu hw;

static int setup(void **state)
{
	fake_vmx_reset();
	fake_capability = free_cpu();
	fake_capability.cr0_fixed0 = CR0_PE | CR0_PG | CR0_NE;
	fake_capability.cr4_fixed0 = CR4_VMXE;
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&hw, 0, sizeof(hw));
	vcpu.hw = &hw;
	vcpu.cr0 = CR0_PE | CR0_ET | CR0_PG;
	vcpu.cr4 = CR4_PAE;
	vcpu.efer = EFER_LME | EFER_LMA;
	return vmx_controls_compute(&fake_capability, &fake_controls, why, sizeof(why));
}

static void the_guest_reads_its_own_cr0_and_cr4(void **state)
{
	u64 cr0, cr4;

	vcpu.cr0 |= CR0_TS | CR0_CD;
	vcpu.cr4 |= CR4_TSD | CR4_SMEP;
	vmx_update_control(&vcpu);
	cr0 = (vmcs_read_raw(VMCS_CR0_SHADOW) & vmcs_read_raw(VMCS_CR0_MASK)) |
	      (vmcs_read_raw(VMCS_GUEST_CR0) & ~vmcs_read_raw(VMCS_CR0_MASK));
	cr4 = (vmcs_read_raw(VMCS_CR4_SHADOW) & vmcs_read_raw(VMCS_CR4_MASK)) |
	      (vmcs_read_raw(VMCS_GUEST_CR4) & ~vmcs_read_raw(VMCS_CR4_MASK));
	assert_int_equal(cr0, vcpu.cr0);
	assert_int_equal(cr4, vcpu.cr4);
}

static void the_hardware_pages_and_protects_whatever_the_guest_does(void **state)
{
	const u64 need = CR0_PE | CR0_PG | CR0_WP | CR0_NE;

	vcpu.cr0 = CR0_PE | CR0_ET | CR0_CD | CR0_NW;
	vcpu.cr4 = CR4_SMEP | CR4_SMAP;
	vcpu.efer = EFER_LME;
	vmx_update_control(&vcpu);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_CR0) & need, need);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_CR0) & (CR0_CD | CR0_NW), 0);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_CR4), CR4_PAE | CR4_VMXE);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_EFER), EFER_NXE);
	assert_false(hw.word[VMX_ENTRY] & ENTRYC_IA32E_GUEST);
}

static void common_toggles_do_not_exit(void **state)
{
	vmx_update_control(&vcpu);
	assert_int_equal(vmcs_read_raw(VMCS_CR0_MASK) & (CR0_TS | CR0_MP | CR0_EM | CR0_AM), 0);
	assert_int_equal(vmcs_read_raw(VMCS_CR4_MASK) & (CR4_TSD | CR4_PCE | CR4_OSFXSR), 0);
	assert_int_equal(~vmcs_read_raw(VMCS_CR0_MASK) & (CR0_PG | CR0_WP | CR0_CD | CR0_NE | BIT(40)), 0);
	assert_int_equal(~vmcs_read_raw(VMCS_CR4_MASK) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_VMXE | BIT(30)), 0);
}

static void what_the_guest_changed_by_itself_is_seen(void **state)
{
	vmx_update_control(&vcpu);
	vmcs_write_raw(VMCS_GUEST_CR0, vmcs_read_raw(VMCS_GUEST_CR0) | CR0_TS);
	vmcs_write_raw(VMCS_GUEST_CR4, vmcs_read_raw(VMCS_GUEST_CR4) | CR4_TSD);
	vmx_store_control(&vcpu);
	assert_int_equal(vcpu.cr0, CR0_PE | CR0_ET | CR0_PG | CR0_TS);
	assert_int_equal(vcpu.cr4, CR4_PAE | CR4_TSD);
}

static void ia32e_mode_follows_the_guests_lma(void **state)
{
	vmx_update_control(&vcpu);
	assert_true(vmcs_read_raw(VMCS_ENTRY_CONTROLS) & ENTRYC_IA32E_GUEST);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_EFER), EFER_LME | EFER_LMA | EFER_NXE);
	vcpu.efer = EFER_LME;
	vcpu.cr0 &= ~CR0_PG;
	vmx_update_control(&vcpu);
	assert_false(vmcs_read_raw(VMCS_ENTRY_CONTROLS) & ENTRYC_IA32E_GUEST);
}

static void efer_by_hand_passes_on_sce_alone(void **state)
{
	fake_controls.efer = false;
	vcpu.efer |= EFER_SCE;
	vmx_update_control(&vcpu);
	assert_int_equal(fake_efer, EFER_NXE | EFER_LME | EFER_LMA | EFER_SCE);
	vcpu.efer = 0;
	vmx_update_control(&vcpu);
	assert_int_equal(fake_efer, EFER_NXE | EFER_LME | EFER_LMA);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_EFER), 0);
}

/* Out of protected mode, and wherever the hardware does not run the guest already. */
static void who_executes_is_asked_again_behind_a_change_of_mode(void **state)
{
	for (u32 i = 0; i < 4; i++) {
		u8 before = i & 1 ? EXECUTION_INTERPRETED : EXECUTION_NATIVE;

		vcpu.execution = before;
		vcpu.cr0 = CR0_ET | (i & 2 ? CR0_PE : 0);
		vcpu.efer = 0;
		vmx_update_control(&vcpu);
		assert_int_equal(vcpu.execution, i == 2 ? EXECUTION_NATIVE : EXECUTION_UNDECIDED);
	}
	vcpu.execution = EXECUTION_NATIVE;
}

static void intercepts_are_switched_where_the_cpu_allows(void **state)
{
	vmx_set_intercepts(&vcpu, INTERCEPT_INVLPG | INTERCEPT_DB | INTERCEPT_NMI | INTERCEPT_INTR);
	assert_true(hw.word[VMX_PRIMARY] & PRIMARY_INVLPG_EXITING);
	assert_false(hw.word[VMX_PRIMARY] & PRIMARY_CR3_STORE_EXITING);
	assert_int_equal(vmcs_read_raw(VMCS_EXCEPTION_BITMAP), BIT(VEC_PF) | BIT(VEC_DB));
	assert_int_equal(vmcs_read_raw(VMCS_PIN_CONTROLS), PIN_INTR_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
	fake_capability.control[VMX_PRIMARY] |= PRIMARY_CR3_STORE_EXITING;
	vmx_set_intercepts(&vcpu, 0);
	assert_true(hw.word[VMX_PRIMARY] & PRIMARY_CR3_STORE_EXITING);
	assert_false(hw.word[VMX_PRIMARY] & PRIMARY_INVLPG_EXITING);
	assert_int_equal(vmcs_read_raw(VMCS_EXCEPTION_BITMAP), BIT(VEC_PF));
}

static void without_virtual_nmis_a_guest_has_one_processor(void **state)
{
	static const struct {
		enum vmx_control_word word;
		u32 bit;
	} needed[] = {{VMX_PIN, PIN_NMI_EXITING}, {VMX_PIN, PIN_VIRTUAL_NMIS}, {VMX_PRIMARY, PRIMARY_NMI_WINDOW}};
	struct vmx_capability c = free_cpu();
	struct vmx_controls out;

	assert_int_equal(compute(&c, &out), 0);
	assert_null(vmx_several_error(&out));
	for (u32 i = 0; i < ARRAY_SIZE(needed); i++) {
		c = free_cpu();
		c.control[needed[i].word] &= ~((u64)needed[i].bit << 32);
		assert_int_equal(compute(&c, &out), 0);
		assert_non_null(strstr(vmx_several_error(&out), "no virtual NMIs"));
	}
}

static void an_nmi_window_needs_virtual_nmis_or_the_interrupt_window(void **state)
{
	vmx_set_nmi_window(&vcpu, true);
	assert_true(hw.word[VMX_PRIMARY] & PRIMARY_NMI_WINDOW);
	assert_int_equal(hw.word[VMX_PIN], PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
	vmx_set_nmi_window(&vcpu, false);
	assert_int_equal(hw.word[VMX_PIN], 0);
	fake_controls.virtual_nmis = false;
	vmx_set_nmi_window(&vcpu, true);
	assert_true(hw.word[VMX_PRIMARY] & PRIMARY_INTR_WINDOW);
	assert_false(hw.word[VMX_PRIMARY] & PRIMARY_NMI_WINDOW);
	assert_int_equal(hw.word[VMX_PIN], 0);
}

static void flushes_use_the_narrowest_type_there_is(void **state)
{
	vmx_tlb_flush_page(&vcpu, 3, 0x1000);
	vmx_tlb_flush(&vcpu, 3);
	vmx_tlb_flush(&vcpu, 0);
	assert_int_equal(fake_flush_count, 3);
	assert_int_equal(fake_flushes[0].type, INVVPID_ADDRESS);
	assert_int_equal(fake_flushes[0].gva, 0x1000);
	assert_int_equal(fake_flushes[1].type, INVVPID_SINGLE);
	assert_int_equal(fake_flushes[1].vpid, 3);
	assert_int_equal(fake_flushes[2].type, INVVPID_ALL);
	fake_controls.invvpid_address = fake_controls.invvpid_single = false;
	vmx_tlb_flush_page(&vcpu, 3, 0x1000);
	assert_int_equal(fake_flushes[3].type, INVVPID_ALL);
}

static void all_tags_are_flushed_one_by_one_where_there_is_no_other_way(void **state)
{
	bool seen[VMX_TAGS + 1] = {false};

	fake_controls.invvpid_all = false;
	vmx_tlb_flush(&vcpu, 0);
	assert_int_equal(fake_flush_count, VMX_TAGS);
	for (u32 i = 0; i < fake_flush_count; i++) {
		assert_int_equal(fake_flushes[i].type, INVVPID_SINGLE);
		assert_true(fake_flushes[i].vpid >= 1 && fake_flushes[i].vpid <= VMX_TAGS);
		seen[fake_flushes[i].vpid] = true;
	}
	for (u32 tag = 1; tag <= VMX_TAGS; tag++)
		assert_true(seen[tag]);
}

static void no_invvpid_without_vpid_nor_for_addresses_it_refuses(void **state)
{
	vmx_tlb_flush_page(&vcpu, 1, BIT(50));
	fake_controls.vpid = false;
	vmx_tlb_flush(&vcpu, 0);
	vmx_tlb_flush(&vcpu, 1);
	vmx_tlb_flush_page(&vcpu, 1, 0);
	assert_int_equal(fake_flush_count, 0);
	vmx_set_shadow_root(&vcpu, hpa(0x5000), 7);
	assert_int_equal(vmcs_read_raw(VMCS_VPID), 0);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_CR3), 0x5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cpu_without_any_control_is_refused_by_name),
		cmocka_unit_test(a_cpu_that_forces_every_control_is_refused_by_name),
		cmocka_unit_test(a_free_cpu_gets_what_umbra_uses_and_nothing_else),
		cmocka_unit_test(ept_and_unrestricted_guest_stay_off),
		cmocka_unit_test(each_needed_control_is_named_when_missing),
		cmocka_unit_test(instructions_are_enabled_and_trapped_as_the_cpu_has_them),
		cmocka_unit_test(an_instruction_without_its_control_is_hidden_and_nothing_else),
		cmocka_unit_test(no_instruction_lacks_a_control_that_the_cpu_does_not_need),
		cmocka_unit_test(no_vpid_without_a_way_to_flush_it),
		cmocka_unit_test(efer_is_switched_by_both_controls_or_by_hand),
		cmocka_unit_test(bits_that_must_be_one_are_one),
		cmocka_unit_test(true_controls_are_read_where_there_are_any),
		cmocka_unit_test(the_models_of_bochs_are_accepted),
		cmocka_unit_test(feature_control_locked_off_is_an_error),
		cmocka_unit_test_setup(the_guest_reads_its_own_cr0_and_cr4, setup),
		cmocka_unit_test_setup(the_hardware_pages_and_protects_whatever_the_guest_does, setup),
		cmocka_unit_test_setup(common_toggles_do_not_exit, setup),
		cmocka_unit_test_setup(what_the_guest_changed_by_itself_is_seen, setup),
		cmocka_unit_test_setup(ia32e_mode_follows_the_guests_lma, setup),
		cmocka_unit_test_setup(efer_by_hand_passes_on_sce_alone, setup),
		cmocka_unit_test_setup(who_executes_is_asked_again_behind_a_change_of_mode, setup),
		cmocka_unit_test_setup(intercepts_are_switched_where_the_cpu_allows, setup),
		cmocka_unit_test_setup(without_virtual_nmis_a_guest_has_one_processor, setup),
		cmocka_unit_test_setup(an_nmi_window_needs_virtual_nmis_or_the_interrupt_window, setup),
		cmocka_unit_test_setup(flushes_use_the_narrowest_type_there_is, setup),
		cmocka_unit_test_setup(all_tags_are_flushed_one_by_one_where_there_is_no_other_way, setup),
		cmocka_unit_test_setup(no_invvpid_without_vpid_nor_for_addresses_it_refuses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
