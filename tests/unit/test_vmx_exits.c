/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX backend's pure parts: exit reasons, qualifications, events, interruptibility, segments. */
#include "tests/unit/host.h"

#include <string.h>

#include "tests/unit/fake_vmx.h"
#include "vmx/exits.h"
#include "vmx/segments.h"

/* --- kinds -------------------------------------------------------------------- */

static void exit_reasons_have_their_kind(void **state)
{
	static const struct {
		u32 reason;
		enum exit_kind kind;
	} cases[] = {
		{1, EXIT_INTERRUPT},
		{2, EXIT_TRIPLE_FAULT},
		{3, EXIT_INIT},
		{4, EXIT_SIPI},
		{7, EXIT_WINDOW},
		{8, EXIT_WINDOW},
		{9, EXIT_TASK_SWITCH},
		{10, EXIT_CPUID},
		{11, EXIT_VIRT_INSN},
		{12, EXIT_HALT},
		{13, EXIT_INVD},
		{14, EXIT_INVLPG},
		{16, EXIT_UNKNOWN},
		{18, EXIT_HYPERCALL},
		{19, EXIT_VIRT_INSN},
		{27, EXIT_VIRT_INSN},
		{30, EXIT_IO},
		{31, EXIT_MSR_READ},
		{32, EXIT_MSR_WRITE},
		{33, EXIT_UNKNOWN},
		{50, EXIT_VIRT_INSN},
		{53, EXIT_VIRT_INSN},
		{55, EXIT_XSETBV},
		{60, EXIT_VIRT_INSN},
		{65, EXIT_VIRT_INSN},
		{69, EXIT_VIRT_INSN},
		{70, EXIT_VIRT_INSN},
		{76, EXIT_VIRT_INSN},
		{77, EXIT_VIRT_INSN},
		{78, EXIT_VIRT_INSN},
		{79, EXIT_VIRT_INSN},
		{58, EXIT_INVPCID},
		{48, EXIT_UNKNOWN},
		{100, EXIT_UNKNOWN},
		{33 | BIT(31), EXIT_INVALID_STATE},
		{34 | BIT(31), EXIT_INVALID_STATE},
		{41 | BIT(31), EXIT_MACHINE_CHECK},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vmx_exit_info info = {.reason = cases[i].reason};

		assert_int_equal(vmx_exit_kind(&info), cases[i].kind);
	}
}

static enum exit_kind exception(u32 intr_info)
{
	struct vmx_exit_info info = {.reason = REASON_EXCEPTION_NMI, .intr_info = intr_info};

	return vmx_exit_kind(&info);
}

static void exceptions_are_told_apart(void **state)
{
	assert_int_equal(exception(0x80000b0e), EXIT_PAGE_FAULT);
	assert_int_equal(exception(0x80000202), EXIT_NMI);
	assert_int_equal(exception(0x80000312), EXIT_MACHINE_CHECK);
	assert_int_equal(exception(0x80000301), EXIT_EXCEPTION);
}

static void names_are_never_null(void **state)
{
	for (u64 reason = 0; reason < 200; reason++)
		assert_non_null(vmx_exit_name(reason));
	assert_string_equal(vmx_exit_name(10), "CPUID");
	assert_string_equal(vmx_exit_name(BIT(31) | 33), "ENTRY_GUEST_STATE");
	assert_string_equal(vmx_field_name(VMCS_GUEST_RIP), "GUEST_RIP");
	assert_string_equal(vmx_field_name(0x7777), "?");
	for (u32 error = 0; error < 40; error++)
		assert_non_null(vmx_error_text(error));
	assert_string_equal(vmx_error_text(7), "VM entry with invalid control fields");
}

/* --- decoding ------------------------------------------------------------------ */

static struct vcpu_exit decode(struct vmx_exit_info info)
{
	struct vcpu_exit exit;

	vmx_decode_exit(&info, &exit);
	return exit;
}

static void page_faults_carry_address_and_error(void **state)
{
	struct vcpu_exit e = decode((struct vmx_exit_info){
		.reason = 0,
		.intr_info = 0x80000b0e,
		.intr_error = 7,
		.qualification = 0xffff888000001234ull,
		.insn_len = 9,
	});

	assert_int_equal(e.kind, EXIT_PAGE_FAULT);
	assert_int_equal(e.gva, 0xffff888000001234ull);
	assert_int_equal(e.error, 7);
	assert_int_equal(e.insn_len, 0); /* not defined for faults */
	assert_int_equal(e.interrupted.type, EVENT_NONE);
}

static void exceptions_without_an_error_code_have_error_zero(void **state)
{
	struct vcpu_exit e = decode(
		(struct vmx_exit_info){.intr_info = 0x80000301, .intr_error = 0x55, .qualification = BIT(14)});

	assert_int_equal(e.vector, VEC_DB);
	assert_int_equal(e.error, 0);
	assert_int_equal(e.gva, 0);
}

static struct vcpu_exit decode_cr(u64 qualification)
{
	return decode(
		(struct vmx_exit_info){.reason = REASON_CR_ACCESS, .qualification = qualification, .insn_len = 3});
}

static void cr_accesses_are_decoded(void **state)
{
	struct vcpu_exit e = decode_cr(0xb03); /* MOV CR3, R11 */

	assert_int_equal(e.kind, EXIT_CR_WRITE);
	assert_true(e.operand_known && !e.clts && !e.lmsw);
	assert_int_equal(e.cr, 3);
	assert_int_equal(e.gpr, GPR_R11);
	assert_int_equal(e.insn_len, 3);
	e = decode_cr(0x413); /* MOV RSP, CR3 */
	assert_int_equal(e.kind, EXIT_CR_READ);
	assert_int_equal(e.cr, 3);
	assert_int_equal(e.gpr, GPR_RSP);
	e = decode_cr(0x20); /* CLTS */
	assert_int_equal(e.kind, EXIT_CR_WRITE);
	assert_true(e.clts && !e.lmsw);
	e = decode_cr(0xabcd0070); /* LMSW from memory */
	assert_int_equal(e.kind, EXIT_CR_WRITE);
	assert_true(e.lmsw && !e.clts);
	assert_int_equal(e.lmsw_value, 0xabcd);
}

static void port_accesses_are_decoded(void **state)
{
	struct vcpu_exit e =
		decode((struct vmx_exit_info){.reason = REASON_IO, .qualification = 0x03f8003b, .insn_len = 2});

	assert_int_equal(e.kind, EXIT_IO);
	assert_int_equal(e.port, 0x3f8);
	assert_int_equal(e.io_size, 4);
	assert_true(e.io_in && e.io_string && e.io_rep);
	e = decode((struct vmx_exit_info){.reason = REASON_IO, .qualification = 0x00640000, .insn_len = 1});
	assert_int_equal(e.port, 0x64);
	assert_int_equal(e.io_size, 1);
	assert_false(e.io_in || e.io_string || e.io_rep);
}

static void task_switches_name_the_tss_and_what_led_there(void **state)
{
	struct vmx_exit_info info = {.reason = REASON_TASK_SWITCH, .insn_len = 7};
	struct vcpu_exit exit;

	for (u64 source = TASK_CALL; source <= TASK_GATE; source++) {
		info.qualification = source << 30 | 0x28;
		vmx_decode_exit(&info, &exit);
		assert_true(exit.kind == EXIT_TASK_SWITCH && exit.task_selector == 0x28 &&
			    exit.task_source == source);
		assert_int_equal(exit.insn_len, source == TASK_GATE ? 0 : 7); /* not defined there */
	}
	info.idt_info = (u32)(INTR_INFO_VALID | INTR_TYPE_SOFT_INTERRUPT << INTR_INFO_TYPE_SHIFT | 0x40);
	vmx_decode_exit(&info, &exit);
	assert_true(exit.insn_len == 7 && exit.interrupted.type == EVENT_SOFT_INTERRUPT);
}

static void invlpg_has_its_address(void **state)
{
	struct vcpu_exit e =
		decode((struct vmx_exit_info){.reason = REASON_INVLPG, .qualification = 0x7fff1000, .insn_len = 4});

	assert_true(e.operand_known);
	assert_int_equal(e.gva, 0x7fff1000);
	assert_int_equal(e.insn_len, 4);
}

/* --- events -------------------------------------------------------------------- */

static struct vcpu_event interrupted(u32 idt_info, u32 idt_error, u32 insn_len)
{
	struct vmx_exit_info info = {.idt_info = idt_info, .idt_error = idt_error, .insn_len = insn_len};

	return vmx_interrupted_event(&info);
}

/* adversarial: 30 */
static void cut_short_deliveries_are_recognised(void **state)
{
	struct vcpu_event e = interrupted(0x800000ec, 0, 0);

	assert_int_equal(e.type, EVENT_INTERRUPT);
	assert_int_equal(e.vector, 0xec);
	assert_int_equal(interrupted(0x80000202, 0, 0).type, EVENT_NMI);
	e = interrupted(0x80000b0d, 0x18, 2);
	assert_int_equal(e.type, EVENT_EXCEPTION);
	assert_true(e.has_error);
	assert_int_equal(e.error, 0x18);
	assert_int_equal(e.insn_len, 0);
	e = interrupted(0x80000480, 0, 2);
	assert_int_equal(e.type, EVENT_SOFT_INTERRUPT);
	assert_int_equal(e.vector, 0x80);
	assert_int_equal(e.insn_len, 2);
	assert_int_equal(interrupted(0x80000603, 0, 1).type, EVENT_SOFT_EXCEPTION);
	assert_int_equal(interrupted(0x80000501, 0, 1).type, EVENT_PRIV_SOFT_EXCEPTION);
	assert_int_equal(interrupted(0x00000b0e, 7, 3).type, EVENT_NONE); /* stale bits */
}

/* adversarial: 30 */
static void events_survive_the_way_back(void **state)
{
	static const u32 infos[] = {
		0x800000ec, 0x80000202, 0x80000b0d, 0x80000301, 0x80000480, 0x80000603, 0x80000501,
	};

	for (u32 i = 0; i < ARRAY_SIZE(infos); i++) {
		struct vcpu_event e = interrupted(infos[i], 0x18, 2);
		struct vmx_entry_event entry = vmx_entry_event(&e);

		assert_int_equal(entry.info, infos[i]);
		assert_int_equal(entry.error, infos[i] & INTR_INFO_ERROR ? 0x18 : 0);
		assert_int_equal(entry.insn_len, e.type >= EVENT_SOFT_INTERRUPT ? 2 : 0);
	}
}

static void no_event_is_no_info(void **state)
{
	struct vcpu_event none = {.type = EVENT_NONE, .vector = 14};

	assert_int_equal(vmx_entry_event(&none).info, 0);
}

static void an_nmi_always_has_vector_two_and_no_error_code(void **state)
{
	struct vcpu_event e = {.type = EVENT_NMI, .has_error = true, .error = 5};

	assert_int_equal(vmx_entry_event(&e).info, 0x80000202);
	assert_int_equal(vmx_entry_event(&e).error, 0);
}

static void error_codes_fit_what_the_entry_accepts(void **state)
{
	struct vcpu_event e = {.type = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true, .error = ~0u};

	assert_int_equal(vmx_entry_event(&e).error, 0x7fff);
}

/* adversarial: 29 */
static void nmi_blocking_that_iret_ended_is_restored(void **state)
{
	struct vmx_exit_info info = {.reason = 0, .intr_info = 0x80001b0e};

	assert_true(vmx_nmi_unblocked(&info));
	info.idt_info = 0x80000b0d;
	assert_false(vmx_nmi_unblocked(&info));
	info.idt_info = 0;
	info.intr_info = 0x80001b08; /* #DF: not defined */
	assert_false(vmx_nmi_unblocked(&info));
	info.intr_info = 0x80000b0e;
	assert_false(vmx_nmi_unblocked(&info));
	info = (struct vmx_exit_info){.reason = REASON_CPUID, .intr_info = 0x80001b0e};
	assert_false(vmx_nmi_unblocked(&info));
}

/* --- interruptibility ----------------------------------------------------------- */

static u32 state_after(u32 old, bool shadow, bool nmi_blocked, bool if_flag, u8 inject, bool virtual_nmis)
{
	struct vcpu vcpu = {
		.interrupt_shadow = shadow,
		.nmi_blocked = nmi_blocked,
		.rflags = if_flag ? RFLAGS_IF : 0,
		.inject = {.type = inject},
	};

	return vmx_interruptibility(old, &vcpu, virtual_nmis);
}

static void the_shadow_is_kept_until_neutral_code_ends_it(void **state)
{
	assert_int_equal(state_after(BLOCKING_STI, true, false, true, EVENT_NONE, false), BLOCKING_STI);
	assert_int_equal(state_after(BLOCKING_MOV_SS, true, false, false, EVENT_NONE, false), BLOCKING_MOV_SS);
	assert_int_equal(state_after(BLOCKING_STI, false, false, true, EVENT_NONE, false), 0);
	assert_int_equal(state_after(0, true, false, false, EVENT_NONE, false), BLOCKING_MOV_SS);
	assert_int_equal(state_after(BLOCKING_SMI | BLOCKING_STI, false, false, true, EVENT_NONE, false),
			 BLOCKING_SMI);
}

static void no_state_that_the_entry_checks_refuse(void **state)
{
	for (u32 old = 0; old < 3; old++) {
		for (u32 bits = 0; bits < 16; bits++) {
			for (u8 inject = EVENT_NONE; inject <= EVENT_PRIV_SOFT_EXCEPTION; inject++) {
				u32 s = state_after(old, bits & 1, bits & 2, bits & 4, inject, bits & 8);

				assert_int_not_equal(s & BLOCKING_SHADOW, BLOCKING_SHADOW);
				assert_true(!(s & BLOCKING_STI) || bits & 4);
				assert_true(inject == EVENT_NONE || !(s & BLOCKING_SHADOW));
				assert_true(inject != EVENT_NMI || !(bits & 8) || !(s & BLOCKING_NMI));
			}
		}
	}
}

/* adversarial: 29 */
static void nmi_blocking_is_the_guests(void **state)
{
	assert_int_equal(state_after(0, false, true, false, EVENT_NONE, false), BLOCKING_NMI);
	assert_int_equal(state_after(BLOCKING_NMI, false, false, false, EVENT_NONE, false), 0);
	assert_int_equal(state_after(BLOCKING_NMI, false, true, false, EVENT_NMI, false), BLOCKING_NMI);
	assert_int_equal(state_after(BLOCKING_NMI, false, true, false, EVENT_NMI, true), 0);
}

/* --- segments ------------------------------------------------------------------- */

static void segments_are_kept_one_to_one(void **state)
{
	fake_vmx_reset();
	for (u32 i = 0; i < SEG_COUNT; i++) {
		bool table = i == SEG_GDTR || i == SEG_IDTR;
		struct segment in =
				       {
					       .selector = table ? 0 : (u16)(8 * i),
					       .attributes = table ? 0 : 0xc093 + i,
					       .limit = 0x1000 + i,
					       .base = 0xffff800000000000ull + i,
				       },
			       out;

		vmx_segment_put((enum segment_name)i, &in);
		vmx_segment_get((enum segment_name)i, &out);
		assert_int_equal(out.selector, in.selector);
		assert_int_equal(out.attributes, in.attributes);
		assert_int_equal(out.limit, in.limit);
		assert_int_equal(out.base, in.base);
	}
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_TR_SELECTOR), 8 * SEG_TR);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_IDTR_BASE), 0xffff800000000000ull + SEG_IDTR);
}

static void reserved_access_rights_never_reach_the_vmcs(void **state)
{
	struct segment in = {.attributes = ~0u};

	fake_vmx_reset();
	vmx_segment_put(SEG_DS, &in);
	assert_int_equal(vmcs_read_raw(VMCS_GUEST_DS_ATTRIBUTES), 0x1f0ff);
}

static bool is_fast(u32 reason, u64 qualification, u32 intr_info, u32 idt_info)
{
	struct vmx_exit_info info = {
		.reason = reason, .qualification = qualification, .intr_info = intr_info, .idt_info = idt_info};

	return vmx_exit_is_fast(&info, vmx_exit_kind(&info));
}

static void the_fast_path_is_for_few_exits(void **state)
{
	const u32 pf = 0x80000b0e;

	assert_true(is_fast(REASON_EXCEPTION_NMI, 0x1000, pf, 0));
	assert_false(is_fast(REASON_EXCEPTION_NMI, 0x1000, pf | INTR_INFO_NMI_UNBLOCKED, 0));
	assert_false(is_fast(REASON_EXCEPTION_NMI, 0x1000, pf, 0x80000020)); /* while an interrupt was delivered */
	assert_true(is_fast(REASON_EXCEPTION_NMI, 0x1000, pf, 0x20));        /* not valid */
	assert_false(is_fast(REASON_EXCEPTION_NMI, 0, 0x80000301, 0));       /* #DB */
	assert_false(is_fast(REASON_EXCEPTION_NMI, 0, 0x80000202, 0));       /* NMI */
	assert_true(is_fast(REASON_CPUID, 0, 0, 0));
	assert_false(is_fast(REASON_CPUID | REASON_ENTRY_FAILURE, 0, 0, 0));
	assert_true(is_fast(REASON_INVLPG, 0x1000, 0, 0));
	assert_true(is_fast(REASON_CR_ACCESS, 0x003, 0, 0)); /* MOV to CR3 */
	assert_true(is_fast(REASON_CR_ACCESS, 0x013, 0, 0)); /* from CR3 */
	assert_false(is_fast(REASON_CR_ACCESS, 0x004, 0, 0));
	assert_false(is_fast(REASON_CR_ACCESS, 0x020, 0, 0)); /* CLTS */
	assert_false(is_fast(REASON_CR_ACCESS, 0x030, 0, 0)); /* LMSW */
	assert_false(is_fast(REASON_RDMSR, 0, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_reasons_have_their_kind),
		cmocka_unit_test(exceptions_are_told_apart),
		cmocka_unit_test(names_are_never_null),
		cmocka_unit_test(page_faults_carry_address_and_error),
		cmocka_unit_test(exceptions_without_an_error_code_have_error_zero),
		cmocka_unit_test(cr_accesses_are_decoded),
		cmocka_unit_test(port_accesses_are_decoded),
		cmocka_unit_test(task_switches_name_the_tss_and_what_led_there),
		cmocka_unit_test(invlpg_has_its_address),
		cmocka_unit_test(cut_short_deliveries_are_recognised),
		cmocka_unit_test(events_survive_the_way_back),
		cmocka_unit_test(no_event_is_no_info),
		cmocka_unit_test(an_nmi_always_has_vector_two_and_no_error_code),
		cmocka_unit_test(error_codes_fit_what_the_entry_accepts),
		cmocka_unit_test(nmi_blocking_that_iret_ended_is_restored),
		cmocka_unit_test(the_shadow_is_kept_until_neutral_code_ends_it),
		cmocka_unit_test(no_state_that_the_entry_checks_refuse),
		cmocka_unit_test(nmi_blocking_is_the_guests),
		cmocka_unit_test(segments_are_kept_one_to_one),
		cmocka_unit_test(reserved_access_rights_never_reach_the_vmcs),
		cmocka_unit_test(the_fast_path_is_for_few_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
