/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SVM backend's pure parts: exit codes, events and their quirks, segment
 * attributes; and what control.c puts into a VMCB. Needs svm/exits.c,
 * svm/segments.c and svm/control.c.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "svm/exits.h"
#include "svm/halt.h"
#include "svm/nmi.h"
#include "svm/segments.h"
#include "svm/svm.h"
#include "tests/unit/no_nmis.h"

struct svm_features svm_found;

/* --- exits ----------------------------------------------------------------- */

static void exit_codes_have_their_kind(void **state)
{
	static const struct {
		u64 code, info1;
		enum exit_kind kind;
	} cases[] = {
		{0x000, 0, EXIT_CR_READ},        {0x003, 0, EXIT_CR_READ},
		{0x00f, 0, EXIT_CR_READ},        {0x010, 0, EXIT_CR_WRITE},
		{0x014, 0, EXIT_CR_WRITE},       {0x01f, 0, EXIT_CR_WRITE},
		{0x020, 0, EXIT_DEBUG_REGISTER}, {0x03f, 0, EXIT_DEBUG_REGISTER},
		{0x041, 0, EXIT_EXCEPTION},      {0x04e, 0, EXIT_PAGE_FAULT},
		{0x052, 0, EXIT_MACHINE_CHECK},  {0x05f, 0, EXIT_EXCEPTION},
		{0x060, 0, EXIT_INTERRUPT},      {0x061, 0, EXIT_NMI},
		{0x063, 0, EXIT_INIT},           {0x064, 0, EXIT_WINDOW},
		{0x065, 0, EXIT_CR_WRITE},       {0x06e, 0, EXIT_UNKNOWN},
		{0x072, 0, EXIT_CPUID},          {0x075, 0, EXIT_SOFT_INTERRUPT},
		{0x076, 0, EXIT_INVD},           {0x079, 0, EXIT_INVLPG},
		{0x07a, 0, EXIT_VIRT_INSN},      {0x07b, 0, EXIT_IO},
		{0x07c, 0, EXIT_MSR_READ},       {0x07c, 1, EXIT_MSR_WRITE},
		{0x07d, 0, EXIT_TASK_SWITCH},    {0x07f, 0, EXIT_TRIPLE_FAULT},
		{0x080, 0, EXIT_VIRT_INSN},      {0x081, 0, EXIT_HYPERCALL},
		{0x086, 0, EXIT_VIRT_INSN},      {0x08d, 0, EXIT_XSETBV},
		{0x0a2, 0, EXIT_INVPCID},        {0x400, 0, EXIT_UNKNOWN},
		{~0ull, 0, EXIT_INVALID_STATE},  {0xffffffffull, 0, EXIT_INVALID_STATE},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(svm_exit_kind(cases[i].code, cases[i].info1), cases[i].kind);
}

static void every_code_has_a_name(void **state)
{
	for (u64 code = 0; code < 0x500; code++)
		assert_non_null(svm_exit_name(code));
	assert_string_equal(svm_exit_name(0x72), "CPUID");
	assert_string_equal(svm_exit_name(~0ull), "INVALID");
	assert_string_equal(svm_exit_name(0x5f), "EXCP");
}

static struct vcpu_exit decode(const struct vmcb *vmcb, bool next_rip, bool assists)
{
	struct vcpu_exit exit;

	svm_decode_exit(vmcb, (struct svm_assists){next_rip, assists}, &exit);
	return exit;
}

static void page_fault_has_address_error_and_bytes(void **state)
{
	static struct vmcb vmcb;
	struct vcpu_exit e;

	vmcb.exit_code = SVM_EXIT_EXCP_PF;
	vmcb.exit_info1 = 7;
	vmcb.exit_info2 = 0xffff888000001234ull;
	vmcb.insn_len = 99;
	vmcb.insn_bytes[14] = 0x90;
	e = decode(&vmcb, true, true);
	assert_int_equal(e.kind, EXIT_PAGE_FAULT);
	assert_int_equal(e.error, 7);
	assert_true(e.gva == 0xffff888000001234ull);
	assert_int_equal(e.insn_bytes_len, 15);
	assert_int_equal(e.insn_bytes[14], 0x90);
	assert_int_equal(decode(&vmcb, true, false).insn_bytes_len, 0);
}

static void cr_operand_needs_assists_and_a_mov(void **state)
{
	static struct vmcb vmcb;
	struct vcpu_exit e;

	vmcb.exit_code = SVM_EXIT_CR3_WRITE;
	vmcb.exit_info1 = CR_INFO_MOV | 9;
	e = decode(&vmcb, false, true);
	assert_true(e.operand_known);
	assert_int_equal(e.cr, 3);
	assert_int_equal(e.gpr, 9);
	assert_false(decode(&vmcb, false, false).operand_known);
	vmcb.exit_code = SVM_EXIT_CR0_SEL_WRITE;
	vmcb.exit_info1 = 0;
	e = decode(&vmcb, false, true);
	assert_false(e.operand_known);
	assert_int_equal(e.cr, 0);
}

static void invlpg_operand_needs_assists(void **state)
{
	static struct vmcb vmcb;

	vmcb.exit_code = SVM_EXIT_INVLPG;
	vmcb.exit_info1 = 0x7000;
	assert_true(decode(&vmcb, false, true).operand_known);
	assert_true(decode(&vmcb, false, true).gva == 0x7000);
	assert_false(decode(&vmcb, false, false).operand_known);
}

static void io_exit_is_taken_apart(void **state)
{
	static struct vmcb vmcb;
	struct vcpu_exit e;

	vmcb.exit_code = SVM_EXIT_IOIO;
	vmcb.rip = 0x1000;
	vmcb.exit_info1 = 0x03f80000 | IO_INFO_IN | IO_INFO_REP | IO_INFO_STRING | BIT(4 + 1);
	vmcb.exit_info2 = 0x1003;
	e = decode(&vmcb, false, false);
	assert_int_equal(e.port, 0x3f8);
	assert_int_equal(e.io_size, 2);
	assert_true(e.io_in && e.io_string && e.io_rep);
	assert_int_equal(e.insn_len, 3);
}

static void task_switches_name_the_tss_and_what_led_there(void **state)
{
	struct vmcb vmcb = {.exit_code = SVM_EXIT_TASK_SWITCH, .exit_info1 = 0x28, .rip = 0x100, .next_rip = 0x105};
	struct svm_assists assists = {.next_rip = true};
	struct vcpu_exit exit = {0};

	svm_decode_exit(&vmcb, assists, &exit);
	assert_true(exit.task_source == TASK_CALL && exit.task_selector == 0x28 && exit.insn_len == 0 &&
		    !exit.task_rf);
	vmcb.exit_info2 = TASK_INFO_JUMP;
	svm_decode_exit(&vmcb, assists, &exit);
	assert_int_equal(exit.task_source, TASK_JUMP);
	vmcb.exit_info2 = TASK_INFO_IRET;
	svm_decode_exit(&vmcb, assists, &exit);
	assert_int_equal(exit.task_source, TASK_IRET);
	vmcb.exit_info2 = TASK_INFO_ERROR | TASK_INFO_RF | 0x1234;
	vmcb.exit_int_info = EVENTINJ_VALID | EVENTINJ_EXCEPTION << EVENTINJ_TYPE_SHIFT | VEC_TS;
	svm_decode_exit(&vmcb, assists, &exit);
	assert_true(exit.task_source == TASK_GATE && exit.task_rf && exit.interrupted.has_error &&
		    exit.interrupted.error == 0x1234);
}

static void length_comes_from_nrip_only_where_sane(void **state)
{
	static struct vmcb vmcb;

	vmcb.exit_code = SVM_EXIT_CPUID;
	vmcb.rip = 0xfffffffffffffffeull;
	vmcb.next_rip = 0xfffffffffffffffeull + 2; /* wraps to 0: taken as unknown */
	assert_int_equal(decode(&vmcb, true, false).insn_len, 0);
	vmcb.rip = 0x100;
	vmcb.next_rip = 0x102;
	assert_int_equal(decode(&vmcb, true, false).insn_len, 2);
	assert_int_equal(decode(&vmcb, false, false).insn_len, 0);
	vmcb.next_rip = 0x200;
	assert_int_equal(decode(&vmcb, true, false).insn_len, 0);
}

/* --- events ------------------------------------------------------------------ */

/* adversarial: 30 */
static void interrupted_events_are_decoded_with_their_quirks(void **state)
{
	static const struct {
		u64 info;
		u8 type, vector;
		bool has_error;
		u32 error;
	} cases[] = {
		{0, EVENT_NONE, 0, false, 0},
		{0x000003f3, EVENT_NONE, 0, false, 0}, /* stale bits, not valid */
		{0x800000f3, EVENT_INTERRUPT, 0xf3, false, 0},
		{0x800003f3, EVENT_INTERRUPT, 0xf3, false, 0}, /* QEMU: type 3, vector above 31 */
		{0x80000320, EVENT_INTERRUPT, 0x20, false, 0},
		{0x80000202, EVENT_NMI, 2, false, 0},
		{0x80000302, EVENT_NMI, 2, false, 0},
		{0x80000200, EVENT_NMI, 2, false, 0},
		{0x1880000b0dull, EVENT_EXCEPTION, 13, true, 0x18},
		{0x80000306, EVENT_EXCEPTION, 6, false, 0},
		{0x80000303, EVENT_SOFT_EXCEPTION, 3, false, 0},
		{0x80000304, EVENT_SOFT_EXCEPTION, 4, false, 0},
		{0x80000480, EVENT_SOFT_INTERRUPT, 0x80, false, 0},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vcpu_event e = svm_interrupted_event(cases[i].info);

		assert_int_equal(e.type, cases[i].type);
		assert_int_equal(e.vector, cases[i].vector);
		assert_int_equal(e.has_error, cases[i].has_error);
		assert_int_equal(e.error, cases[i].error);
	}
}

static void events_are_encoded(void **state)
{
	static const struct {
		struct vcpu_event event;
		u64 inj;
	} cases[] = {
		{{.type = EVENT_NONE, .vector = 14}, 0},
		{{.type = EVENT_INTERRUPT, .vector = 0xf3}, 0x800000f3},
		{{.type = EVENT_NMI, .vector = 2}, 0x80000202},
		{{.type = EVENT_EXCEPTION, .vector = 6}, 0x80000306},
		{{.type = EVENT_EXCEPTION, .vector = 14, .has_error = true, .error = 7}, 0x780000b0eull},
		{{.type = EVENT_SOFT_INTERRUPT, .vector = 0x80}, 0x80000480},
		{{.type = EVENT_SOFT_EXCEPTION, .vector = 3}, 0x80000303},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(svm_event_inj(&cases[i].event) == cases[i].inj);
}

/* adversarial: 29, 30 */
static void what_is_injected_and_cut_short_comes_back(void **state)
{
	for (u32 vector = 0; vector < 256; vector++) {
		struct vcpu_event in = {.type = EVENT_INTERRUPT, .vector = (u8)vector};
		struct vcpu_event out = svm_interrupted_event(svm_event_inj(&in));

		assert_memory_equal(&in, &out, sizeof(in));
	}
}

/* --- segments ------------------------------------------------------------------ */

static void attributes_survive_the_round_trip(void **state)
{
	for (u32 packed = 0; packed < 0x1000; packed++) {
		u32 unpacked = svm_attributes_unpack((u16)packed);

		assert_int_equal(svm_attributes_pack(unpacked), packed);
		assert_int_equal(!!(unpacked & SEG_ATTR_UNUSABLE), !(packed & 0x80));
	}
	assert_int_equal(svm_attributes_unpack(0xa9b), 0xa09b);
	assert_int_equal(svm_attributes_pack(0xc093), 0xc93);
	assert_int_equal(svm_attributes_pack((u32)SEG_ATTR_UNUSABLE | 0x93), 0x13);
}

static void every_segment_has_its_own_place(void **state)
{
	static struct vmcb vmcb;

	for (u32 i = 0; i < SEG_COUNT; i++) {
		struct segment in = {.selector = (u16)(i + 1), .attributes = 0x93, .limit = i, .base = i * 16}, out;

		svm_segment_put(svm_segment_of(&vmcb, (enum segment_name)i), &in);
		svm_segment_get(svm_segment_of(&vmcb, (enum segment_name)i), &out);
		assert_int_equal(out.selector, i + 1);
	}
	assert_int_equal(vmcb.cs.selector, SEG_CS + 1);
	assert_int_equal(vmcb.idtr.selector, SEG_IDTR + 1);
}

/* --- control registers and TLB ---------------------------------------------------- */

static struct vmcb vmcb;
static u64 stale[PAGE_SIZE / sizeof(u64)];
static struct svm_vcpu svm;
static struct vcpu vcpu;

static int fresh(void **state)
{
	memset(&vmcb, 0, sizeof(vmcb));
	memset(stale, 0, sizeof(stale));
	memset(&vcpu, 0, sizeof(vcpu));
	svm = (struct svm_vcpu){.vmcb = &vmcb, .stale = stale};
	vcpu.hw = &svm;
	vmcb.asid = 1;
	svm_found = (struct svm_features){.asids = 16};
	return 0;
}

static bool intercepted(enum svm_exit code)
{
	return vmcb.intercept[code / 32] >> code % 32 & 1;
}

/* Every setter, twice: the first time what was changed is not clean, the second time all of it is. */
static void intercepts_are_loaded_again_if_they_change(void **state)
{
	for (u32 on = 0; on < 2; on++) {
		for (u32 twice = 0; twice < 2; twice++) {
			u32 wanted = twice ? CLEAN_ALL : CLEAN_ALL & ~CLEAN_INTERCEPTS;

			vcpu.several = !on;
			vmcb.clean = CLEAN_ALL;
			svm_trap_invlpg(&vcpu, !on);
			assert_int_equal(vmcb.clean, wanted);
			vmcb.clean = CLEAN_ALL;
			svm_set_intercepts(&vcpu, on ? INTERCEPT_DB : INTERCEPT_INVLPG | INTERCEPT_CR3_READ);
			svm_trap_invlpg(&vcpu, !on); /* as it was */
			assert_int_equal(vmcb.clean, wanted);
			vmcb.clean = CLEAN_ALL;
			svm.step = !on; /* all exceptions */
			svm_nmi_set_intercepts(&vcpu);
			assert_int_equal(vmcb.clean, wanted);
			vmcb.clean = CLEAN_ALL;
			svm_halt_set_intercepts(&vcpu);
			assert_int_equal(vmcb.clean, wanted);
		}
	}
	vmcb.clean = CLEAN_ALL;
	svm_set_intercept(&vmcb, SVM_EXIT_TASK_SWITCH, true);
	assert_int_equal(vmcb.clean, CLEAN_ALL & ~CLEAN_INTERCEPTS);
	assert_true(intercepted(SVM_EXIT_TASK_SWITCH));
	vmcb.clean = CLEAN_ALL;
	svm_set_intercept(&vmcb, SVM_EXIT_TASK_SWITCH, true);
	assert_int_equal(vmcb.clean, CLEAN_ALL);
}

static void paging_off_runs_over_a_pae_shadow(void **state)
{
	vcpu.cr0 = CR0_PE | CR0_ET;
	vcpu.cr4 = CR4_SMEP | CR4_SMAP;
	vcpu.efer = EFER_LME;
	vmcb.clean = CLEAN_ALL;
	svm_update_control(&vcpu);
	assert_true(vmcb.cr0 == (CR0_PE | CR0_ET | CR0_PG | CR0_WP));
	assert_true(vmcb.cr4 == CR4_PAE);
	assert_true(vmcb.efer == (EFER_NXE | EFER_SVME));
	assert_true(intercepted(SVM_EXIT_CR0_READ) && intercepted(SVM_EXIT_CR4_READ));
	assert_true(intercepted(SVM_EXIT_CR0_WRITE));
	assert_false(vmcb.clean & (CLEAN_CR | CLEAN_INTERCEPTS));
}

static void long_mode_with_equal_registers_is_read_natively(void **state)
{
	vcpu.cr0 = CR0_PE | CR0_ET | CR0_PG | CR0_WP;
	vcpu.cr4 = CR4_PAE | CR4_SMEP;
	vcpu.efer = EFER_LME | EFER_LMA | EFER_SCE;
	svm_update_control(&vcpu);
	assert_true(vmcb.cr4 == vcpu.cr4);
	assert_true(vmcb.efer == (EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE | EFER_SVME));
	assert_false(intercepted(SVM_EXIT_CR0_READ) || intercepted(SVM_EXIT_CR4_READ));
	assert_false(intercepted(SVM_EXIT_CR0_WRITE));
	assert_true(intercepted(SVM_EXIT_CR0_SEL_WRITE));
}

/* The selective intercept would not see WP turned on: the hardware has it on already. */
static void wp_off_intercepts_every_cr0_write(void **state)
{
	vcpu.cr0 = CR0_PE | CR0_ET | CR0_PG;
	vcpu.cr4 = CR4_PAE;
	vcpu.efer = EFER_LME | EFER_LMA;
	svm_update_control(&vcpu);
	assert_true(intercepted(SVM_EXIT_CR0_WRITE) && intercepted(SVM_EXIT_CR0_READ));
}

/* What the next entry is told, and that it was made. */
static u32 enter(void)
{
	u32 control;

	svm_tlb_prepare(&svm);
	control = vmcb.tlb_control;
	vmcb.tlb_control = TLB_KEEP; /* svm_fast_path() */
	return control;
}

static void flush_of_one_tag(void **state)
{
	svm_found.flush_by_asid = true;
	svm_tlb_flush(&vcpu, 2);
	assert_int_equal(enter(), TLB_KEEP);
	svm_set_shadow_root(&vcpu, hpa(0x5000), 2);
	assert_int_equal(enter(), TLB_FLUSH_ASID);
	assert_int_equal(enter(), TLB_KEEP);
}

static void without_flush_by_asid_a_stale_tag_flushes_all(void **state)
{
	svm_tlb_flush(&vcpu, 1);
	svm_tlb_flush(&vcpu, 2);
	assert_int_equal(enter(), TLB_FLUSH_ALL);
	svm_set_shadow_root(&vcpu, hpa(0x5000), 2);
	assert_int_equal(enter(), TLB_KEEP);
}

static void flush_of_all_covers_every_tag(void **state)
{
	svm_found.flush_by_asid = true;
	svm_tlb_flush(&vcpu, 7);
	svm_tlb_flush(&vcpu, 0);
	assert_int_equal(enter(), TLB_FLUSH_ALL);
	svm_set_shadow_root(&vcpu, hpa(0x5000), 7);
	assert_int_equal(enter(), TLB_KEEP);
}

#define TAGS 4u

/* Enters with that tag: the TLB must have nothing left of it that is to be forgotten. */
static void enter_clean(u32 tag, u32 *owed)
{
	u32 control;

	svm_set_shadow_root(&vcpu, hpa(0x5000), tag);
	control = enter();
	if (control == TLB_FLUSH_ALL)
		*owed = 0;
	else if (control == TLB_FLUSH_ASID)
		*owed &= ~BIT(tag);
	else
		assert_int_equal(control, TLB_KEEP);
	assert_false(*owed & BIT(tag));
}

/* Of several CPUs: shadow_enter() finds that something is due after all, perhaps another root. tag 0: of all. */
static void a_flush_for_an_entry_that_was_not_made_is_not_lost(void **state)
{
	for (u32 n = 0; n < 2 * TAGS * TAGS * TAGS * TAGS; n++) {
		u32 first = n / 2 % TAGS, prepared = n / 8 % TAGS, more = n / 32 % TAGS, entered = n / 128 % TAGS;
		u32 owed = first ? BIT(first) : BITS(TAGS - 1, 0);

		if (!prepared || !entered)
			continue;
		fresh(NULL);
		svm_found.flush_by_asid = n % 2;
		svm_tlb_flush(&vcpu, first);
		svm_set_shadow_root(&vcpu, hpa(0x5000), prepared);
		svm_tlb_prepare(&svm);
		svm_tlb_prepare(&svm);
		if (more) {
			svm_tlb_flush(&vcpu, more);
			owed |= BIT(more);
		}
		enter_clean(entered, &owed);
		for (u32 tag = 1; tag < TAGS; tag++)
			enter_clean(tag, &owed);
	}
}

static void a_new_tag_is_told_to_the_cpu(void **state)
{
	vmcb.clean = CLEAN_ALL;
	svm_set_shadow_root(&vcpu, hpa(0x6000), 3);
	assert_int_equal(vmcb.asid, 3);
	assert_true(vmcb.cr3 == 0x6000);
	assert_int_equal(vmcb.clean, CLEAN_ALL & ~(CLEAN_CR | CLEAN_ASID));
}

static void a_virtual_interrupt_is_not_lost_to_another(void **state)
{
	u64 v = 0x00ff0000000f00ffull; /* other fields keep their values */

	assert_true(svm_queue_virtual_interrupt(&v, 0x31));
	assert_true(v == (0x00ff0000000f00ffull | 1 << 8 | 1 << 20 | 0x31ull << 32));
	assert_true(svm_queue_virtual_interrupt(&v, 0x31));
	assert_false(svm_queue_virtual_interrupt(&v, 0xec));
	assert_true((v & V_INTR_VECTOR) == 0x31ull << 32);
	v &= ~(u64)V_IRQ; /* the CPU delivered it */
	assert_true(svm_queue_virtual_interrupt(&v, 0xec));
	assert_true((v & V_INTR_VECTOR) == 0xecull << 32 && v & V_IRQ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_have_their_kind),
		cmocka_unit_test(every_code_has_a_name),
		cmocka_unit_test(page_fault_has_address_error_and_bytes),
		cmocka_unit_test(cr_operand_needs_assists_and_a_mov),
		cmocka_unit_test(invlpg_operand_needs_assists),
		cmocka_unit_test(io_exit_is_taken_apart),
		cmocka_unit_test(task_switches_name_the_tss_and_what_led_there),
		cmocka_unit_test(length_comes_from_nrip_only_where_sane),
		cmocka_unit_test(interrupted_events_are_decoded_with_their_quirks),
		cmocka_unit_test(events_are_encoded),
		cmocka_unit_test(what_is_injected_and_cut_short_comes_back),
		cmocka_unit_test(a_virtual_interrupt_is_not_lost_to_another),
		cmocka_unit_test(attributes_survive_the_round_trip),
		cmocka_unit_test(every_segment_has_its_own_place),
		cmocka_unit_test_setup(intercepts_are_loaded_again_if_they_change, fresh),
		cmocka_unit_test_setup(paging_off_runs_over_a_pae_shadow, fresh),
		cmocka_unit_test_setup(long_mode_with_equal_registers_is_read_natively, fresh),
		cmocka_unit_test_setup(wp_off_intercepts_every_cr0_write, fresh),
		cmocka_unit_test_setup(flush_of_one_tag, fresh),
		cmocka_unit_test_setup(without_flush_by_asid_a_stale_tag_flushes_all, fresh),
		cmocka_unit_test_setup(flush_of_all_covers_every_tag, fresh),
		cmocka_unit_test_setup(a_flush_for_an_entry_that_was_not_made_is_not_lost, fresh),
		cmocka_unit_test_setup(a_new_tag_is_told_to_the_cpu, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
