/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast path of SVM's exits: what may take it, what it changes in the VMCB,
 * and that everything else takes the slow path with nothing done yet. Needs
 * svm/fast_path.c, svm/state.c, svm/exits.c and svm/control.c over a fake neutral half.
 */
#include "tests/unit/host.h"

#include <string.h>

#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/run.h"
#include "svm/svm.h"
#include "tests/unit/no_nmis.h"

int hw_msr_read(u32 msr, u64 *value)
{
	*value = 0;
	return 0;
}

struct svm_features svm_found;

/* --- the fake neutral half ----------------------------------------------------- */

static struct {
	struct shadow_mmu_head mmu;
} engine;
static enum shadow_result fault_result;
static u32 faults, prepares, slow_exits, executed, insn_calls, insn_len;
static u64 fault_gva, fault_rflags;
static u32 fault_error, fault_cpl;
static const u8 *code;

enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault)
{
	faults++;
	fault_gva = gva;
	fault_error = error;
	fault_cpl = cpl;
	fault_rflags = rflags;
	fault->error = 0x17;
	fault->gpa = gpa(0xfee00300);
	return fault_result;
}
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	assert_false(engine.mmu.inside); /* it may wait for who waits for this CPU to leave */
	return code;
}
static const u8 *recalled;
const u8 *shadow_recall_code(struct shadow_mmu *mmu, gva_t gva)
{
	return recalled;
}
void cpuid_execute(struct vcpu *v)
{
	executed++;
	v->gpr[GPR_RAX]++;
	v->gpr[GPR_RBX] = 0xb;
}
static u32 insn_done(struct vcpu *v)
{
	insn_calls++;
	assert_int_equal(v->code_bits, 64);
	return insn_len;
}
u32 fast_path_cr3_read(struct vcpu *v)
{
	v->gpr[GPR_RAX] = 0x9000;
	return insn_done(v);
}
static u32 cr2_reads;
u32 fast_path_cr2_read(struct vcpu *v)
{
	cr2_reads++;
	if (code[2] != 0xd0)
		return 0;
	v->gpr[GPR_RAX] = v->cr2;
	return insn_done(v);
}
u32 fast_path_cr3_write(struct vcpu *v)
{
	return insn_done(v);
}
u32 fast_path_invlpg(struct vcpu *v)
{
	return insn_done(v);
}
static u32 apic_calls, apic_inside_calls, apic_len, apic_inside_len;
static u32 apic_done(struct vcpu *v, gva_t gva, u32 len)
{
	assert_true(v->gpr[GPR_RAX] == vmcb_of(v)->rax && v->rip == vmcb_of(v)->rip && gva == 0xfee00300);
	v->gpr[GPR_RAX] = len ? 0xa : 0xbad;
	return len;
}
u32 fast_path_apic(struct vcpu *v, gva_t gva, u32 error)
{
	assert_false(engine.mmu.inside);
	apic_calls++;
	return apic_done(v, gva, apic_len);
}
u32 fast_path_apic_inside(struct vcpu *v, gva_t gva, u32 error, u32 cpl, u64 rflags)
{
	assert_true(engine.mmu.inside && cpl == 3 && rflags == vmcb_of(v)->rflags);
	apic_inside_calls++;
	return apic_done(v, gva, apic_inside_len);
}
void guest_prepare_entry(struct vcpu *v)
{
	prepares++;
	engine.mmu.entry_due = false;
	engine.mmu.flush_seen = engine.mmu.flush_owed;
}
void guest_exit(struct vcpu *v)
{
	slow_exits++;
}

static const struct vendor vendor = {.hardware_root = svm_hardware_root};
#define ROOT 0x7000u

/* --- a guest in 64-bit code ------------------------------------------------------ */

static struct vmcb vmcb;
static u64 stale[PAGE_SIZE / sizeof(u64)];
static struct svm_vcpu svm;
static struct vcpu vcpu;

static int fresh(void **state)
{
	memset(&vmcb, 0, sizeof(vmcb));
	memset(stale, 0, sizeof(stale));
	memset(&vcpu, 0, sizeof(vcpu));
	svm = (struct svm_vcpu){.vmcb = &vmcb, .stale = stale, .clean = CLEAN_ALL};
	svm_found = (struct svm_features){.asids = 16};
	engine.mmu = (struct shadow_mmu_head){.trapped_gva = TRAPPED_NONE};
	vcpu.hw = &svm;
	vcpu.vendor = &vendor;
	vcpu.root = hpa(ROOT);
	vmcb.cr3 = ROOT;
	vcpu.mmu = (struct shadow_mmu *)&engine;
	vcpu.next_audit = ~0ull;
	vmcb.asid = 1;
	vmcb.rip = 0x401000;
	vmcb.rflags = RFLAGS_FIXED | RFLAGS_IF;
	vmcb.cs.attributes = VMCB_ATTR_L;
	vmcb.efer = EFER_LMA | EFER_LME;
	vmcb.cpl = 3;
	vmcb.event_inj = EVENTINJ_VALID;
	vmcb.tlb_control = TLB_FLUSH_ALL;
	code = (const u8 *)"\x0f\xa2\x90\x90";
	cr2_reads = 0;
	faults = prepares = slow_exits = executed = insn_calls = 0;
	apic_calls = apic_inside_calls = apic_len = apic_inside_len = 0;
	insn_len = 3;
	fault_result = SHADOW_FIXED;
	return 0;
}

static bool exit_with(u32 exit_code)
{
	vmcb.exit_code = exit_code;
	return svm_fast_path(&vcpu);
}

static void every_exit_is_counted_once_and_kept(void **state)
{
	static const u32 codes[] = {SVM_EXIT_EXCP_PF, SVM_EXIT_CPUID, SVM_EXIT_CR3_WRITE, SVM_EXIT_INVLPG,
				    SVM_EXIT_MSR,     SVM_EXIT_IOIO,  SVM_EXIT_INTR};

	for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
		const struct exit_record *last;

		vmcb.exit_info1 = 2 * i;
		vmcb.exit_info2 = 0x1000 + i;
		vmcb.rip = 0x400000 + i;
		if (!exit_with(codes[i]))
			svm_slow_path(&vcpu);
		last = vcpu_last_exit(&vcpu);
		assert_int_equal(vcpu.exits, i + 1);
		assert_int_equal(vcpu.exit_count[svm_exit_kind(codes[i], 2 * i)], 1);
		assert_true(last->raw == codes[i] && last->kind == svm_exit_kind(codes[i], 2 * i) &&
			    last->rip == 0x400000 + i && last->info1 == 2 * i && last->info2 == 0x1000 + i);
	}
	assert_int_equal(slow_exits, 3);
}

static void what_the_last_entry_asked_for_is_gone(void **state)
{
	vmcb.clean = 0;
	assert_true(exit_with(SVM_EXIT_CPUID));
	assert_true(vmcb.event_inj == 0 && vmcb.tlb_control == TLB_KEEP && vmcb.clean == CLEAN_ALL);
}

static void a_fault_that_is_mended_changes_nothing(void **state)
{
	struct vmcb before;

	vmcb.exit_info1 = 6;
	vmcb.exit_info2 = 0x7fff12345678;
	vmcb.interrupt_shadow = VMCB_INTERRUPT_SHADOW;
	vmcb.rflags |= RFLAGS_TF | RFLAGS_RF;
	exit_with(SVM_EXIT_EXCP_PF);
	before = vmcb;
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_memory_equal(&before, &vmcb, sizeof(vmcb));
	assert_true(fault_gva == 0x7fff12345678 && fault_error == 6 && fault_cpl == 3 && fault_rflags == vmcb.rflags);
	fault_result = SHADOW_RETRY;
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_int_equal(prepares, 0);
}

static void the_guests_own_fault_is_injected(void **state)
{
	vmcb.exit_info2 = 0x1234;
	fault_result = SHADOW_INJECT;
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_true(vmcb.cr2 == 0x1234 && !(vmcb.clean & CLEAN_CR2));
	assert_true(vmcb.rflags & RFLAGS_RF);
	assert_true(vmcb.event_inj ==
		    svm_event_inj(&(struct vcpu_event){
			    .type = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = 0x17}));
}

static void an_access_to_emulate_is_not_looked_up_again(void **state)
{
	fault_result = SHADOW_EMULATE;
	vmcb.exit_info2 = 0xfee00300;
	assert_false(exit_with(SVM_EXIT_EXCP_PF));
	svm_slow_path(&vcpu);
	assert_true(vcpu.mmio.state == MMIO_FOUND && vcpu.mmio.fault.gpa.v == 0xfee00300);
	assert_int_equal(faults, 1);
}

static void an_event_cut_short_takes_the_slow_path(void **state)
{
	static const u32 codes[] = {SVM_EXIT_EXCP_PF, SVM_EXIT_CR3_READ, SVM_EXIT_CR3_WRITE, SVM_EXIT_INVLPG};

	vmcb.exit_int_info = EVENTINJ_VALID | 0x20;
	for (u32 i = 0; i < ARRAY_SIZE(codes); i++)
		assert_false(exit_with(codes[i]));
	assert_int_equal(faults + insn_calls, 0);
	svm_slow_path(&vcpu);
	assert_true(vcpu.exit.interrupted.type == EVENT_INTERRUPT && vcpu.exit.interrupted.vector == 0x20);
}

static void cpuid_is_done_in_the_vmcb(void **state)
{
	vmcb.rax = 7;
	vmcb.interrupt_shadow = VMCB_INTERRUPT_SHADOW;
	assert_true(exit_with(SVM_EXIT_CPUID));
	assert_true(vmcb.rax == 8 && vmcb.rip == 0x401002 && vcpu.gpr[GPR_RBX] == 0xb && vmcb.interrupt_shadow == 0);
	/* The CPU's own length goes before the bytes. */
	svm_found.assists.next_rip = true;
	vmcb.next_rip = vmcb.rip + 3;
	code = NULL;
	assert_true(exit_with(SVM_EXIT_CPUID));
	assert_true(vmcb.rip == 0x401005 && executed == 2);
}

static bool exit_of_several_with(u32 exit_code)
{
	engine.mmu.inside = true;
	vmcb.exit_code = exit_code;
	vmcb.event_inj = EVENTINJ_VALID;
	return svm_fast_path_shared(&vcpu);
}

/* What is due is not looked at: it is as if there had been no exit. Else it leaves, and pays before it enters. */
static void a_cpuid_of_several_stays_inside_if_it_can(void **state)
{
	vcpu.several = true;
	engine.mmu.flush_owed++;
	recalled = code;
	assert_true(exit_of_several_with(SVM_EXIT_CPUID));
	assert_true(vmcb.rip == 0x401002 && vmcb.rax == 1 && executed == 1 && !prepares && engine.mmu.inside);
	assert_true(vcpu.exits == 1 && vcpu_last_exit(&vcpu)->kind == EXIT_CPUID && !vmcb.event_inj);
	recalled = (const u8 *)"\x66\x0f\xa2\x90";
	assert_true(exit_of_several_with(SVM_EXIT_CPUID));
	assert_true(vmcb.rip == 0x401004 && executed == 2 && prepares == 1 && engine.mmu.inside && vcpu.exits == 2);
	recalled = NULL;
	engine.mmu.flush_owed++;
	assert_true(exit_of_several_with(SVM_EXIT_CPUID));
	assert_true(vmcb.rip == 0x401006 && executed == 3 && prepares == 2 && engine.mmu.inside && vcpu.exits == 3);
	recalled = code;
	vmcb.rflags |= RFLAGS_TF;
	assert_false(exit_of_several_with(SVM_EXIT_CPUID));
	assert_true(executed == 3 && !engine.mmu.inside && vcpu.exits == 4);
	vmcb.rflags &= ~RFLAGS_TF;
	svm.step = true;
	assert_false(exit_of_several_with(SVM_EXIT_CPUID));
	assert_true(executed == 3 && !engine.mmu.inside && vcpu.exits == 5);
}

static void fault_at_the_apic(bool several)
{
	fault_result = SHADOW_EMULATE;
	vmcb.exit_info1 = PF_W;
	vmcb.exit_info2 = 0xfee00300;
	vmcb.rax = 7;
	vmcb.interrupt_shadow = VMCB_INTERRUPT_SHADOW;
	vcpu.several = several;
}

static void an_access_to_the_apic_is_done_in_the_vmcb(void **state)
{
	fault_at_the_apic(false);
	assert_false(exit_with(SVM_EXIT_EXCP_PF));
	assert_true(vcpu.mmio.state == MMIO_FOUND && vmcb.rax == 7 && vmcb.rip == 0x401000 && apic_calls == 1);
	svm_slow_path(&vcpu);
	assert_true(vcpu.gpr[GPR_RAX] == 7);
	vcpu.mmio.state = MMIO_NONE; /* handle_page_fault() */
	apic_len = 3;
	engine.mmu.entry_due = true;
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_true(vcpu.mmio.state == MMIO_NONE && vmcb.rax == 0xa && vmcb.rip == 0x401003 &&
		    !vmcb.interrupt_shadow);
	assert_true(prepares == 1 && faults == 2 && apic_calls == 2 && vcpu.exits == 2);
}

/* What may be owed a #DB, or is no 64-bit code. */
static void the_emulator_has_the_apic_where_debugging_is_on(void **state)
{
	static const u64 flags[] = {RFLAGS_TF, RFLAGS_RF};

	for (u32 several = 0; several < 2; several++)
		for (u32 i = 0; i < 6; i++) {
			fresh(NULL);
			fault_at_the_apic(several);
			apic_len = apic_inside_len = 3;
			engine.mmu.inside = several;
			engine.mmu.trapped_gva = 0xfee00000;
			if (i < 2)
				vmcb.rflags |= flags[i];
			else if (i == 2)
				vmcb.dr7 = BIT(1);
			else if (i == 3)
				vmcb.cs.attributes = 0;
			else if (i == 4)
				vmcb.efer = 0;
			else
				vmcb.exit_int_info = EVENTINJ_VALID | 0x20;
			vmcb.exit_code = SVM_EXIT_EXCP_PF;
			assert_false(several ? svm_fast_path_shared(&vcpu) : svm_fast_path(&vcpu));
			assert_true(apic_calls + apic_inside_calls == 0 && vmcb.rip == 0x401000 &&
				    !engine.mmu.inside);
			assert_int_equal(vcpu.mmio.state, i == 5 ? MMIO_NONE : MMIO_FOUND);
			assert_int_equal(vcpu.exits, 1);
		}
}

/* C16: it is as if there had been no exit, whatever is due. */
static void an_access_to_the_apic_of_several_stays_inside_if_it_can(void **state)
{
	fault_at_the_apic(true);
	apic_inside_len = 3;
	apic_len = 2;
	engine.mmu.flush_owed++;
	assert_true(exit_of_several_with(SVM_EXIT_EXCP_PF)); /* the page is not known yet */
	assert_true(apic_calls == 1 && !apic_inside_calls && faults == 1 && prepares == 1 && vmcb.rip == 0x401002);
	engine.mmu.trapped_gva = 0xfee00000;
	engine.mmu.flush_owed++;
	assert_true(exit_of_several_with(SVM_EXIT_EXCP_PF));
	assert_true(apic_inside_calls == 1 && faults == 1 && prepares == 1 && vmcb.rip == 0x401005 &&
		    vmcb.rax == 0xa);
	assert_true(engine.mmu.inside && !vmcb.event_inj && !vmcb.interrupt_shadow && vcpu.exits == 2);
	assert_true(vcpu_last_exit(&vcpu)->kind == EXIT_PAGE_FAULT && vcpu_last_exit(&vcpu)->rip == 0x401002 &&
		    vcpu_last_exit(&vcpu)->info2 == 0xfee00300);
	apic_inside_len = 0; /* to be found by leaving */
	assert_true(exit_of_several_with(SVM_EXIT_EXCP_PF));
	assert_true(apic_calls == 2 && faults == 2 && prepares == 2 && vmcb.rip == 0x401007 && vcpu.exits == 3);
	apic_len = 0;
	assert_false(exit_of_several_with(SVM_EXIT_EXCP_PF));
	assert_true(vcpu.mmio.state == MMIO_FOUND && !engine.mmu.inside && vcpu.exits == 4);
	vcpu.mmio.state = MMIO_NONE;
	apic_inside_len = 3;
	for (u32 i = 0; i < 2; i++) {
		svm.step = !(svm.halted = !i);
		assert_false(exit_of_several_with(SVM_EXIT_EXCP_PF));
		assert_true(apic_inside_calls == 3 && !engine.mmu.inside);
	}
	svm.step = svm.halted = false;
	vmcb.exit_info2 = 0xfee01000; /* the next page */
	fault_result = SHADOW_FIXED;
	assert_true(exit_of_several_with(SVM_EXIT_EXCP_PF));
	assert_int_equal(apic_inside_calls, 3);
}

static void steps_odd_bytes_and_other_modes_take_the_slow_path(void **state)
{
	static const u32 codes[] = {SVM_EXIT_CPUID, SVM_EXIT_CR3_READ, SVM_EXIT_CR3_WRITE, SVM_EXIT_INVLPG};

	for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
		fresh(NULL);
		vmcb.rflags |= RFLAGS_TF;
		assert_false(exit_with(codes[i]));
		vmcb.rflags ^= RFLAGS_TF | RFLAGS_RF;
		assert_false(exit_with(codes[i]));
		vmcb.rflags &= ~RFLAGS_RF;
		vmcb.cs.attributes = 0;
		assert_false(exit_with(codes[i]));
		vmcb.cs.attributes = VMCB_ATTR_L;
		vmcb.efer = 0; /* L means nothing outside long mode */
		assert_false(exit_with(codes[i]));
		vmcb.efer = EFER_LMA;
		insn_len = 0;
		code = (const u8 *)"\x48\x0f\xa2\x90";
		assert_false(exit_with(codes[i]));
		code = NULL;
		assert_false(exit_with(codes[i]));
		assert_true(vmcb.rip == 0x401000 && vmcb.rax == 0 && executed == 0);
	}
}

static void operands_are_handed_over_and_what_comes_due_is_done(void **state)
{
	vmcb.rax = 0x5000;
	engine.mmu.entry_due = true;
	assert_true(exit_with(SVM_EXIT_CR3_WRITE));
	assert_true(vcpu.gpr[GPR_RAX] == 0x5000 && vcpu.rip == 0x401000 && vmcb.rip == 0x401003 && prepares == 1);
	engine.mmu.flush_owed++;
	assert_true(exit_with(SVM_EXIT_INVLPG));
	assert_true(vmcb.rip == 0x401006 && prepares == 2 && insn_calls == 2);
	assert_true(exit_with(SVM_EXIT_CR3_READ));
	assert_true(vmcb.rip == 0x401009 && vmcb.rax == 0x9000 && prepares == 2);
	vcpu.next_audit = vcpu.exits + 1;
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_int_equal(prepares, 3);
	vcpu.next_audit = ~0ull;
	svm_tlb_flush(&vcpu, 0);
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_int_equal(vmcb.tlb_control, TLB_FLUSH_ALL);
	assert_true(exit_with(SVM_EXIT_EXCP_PF));
	assert_int_equal(vmcb.tlb_control, TLB_KEEP);
}

static void what_the_hardware_decoded_is_handed_over(void **state)
{
	svm_found.assists = (struct svm_assists){.next_rip = true, .decode = true};
	vmcb.next_rip = vmcb.rip + 3;
	vmcb.exit_info1 = CR_INFO_MOV | GPR_RSI;
	assert_true(exit_with(SVM_EXIT_CR3_WRITE));
	assert_true(vcpu.exit.operand_known && vcpu.exit.cr == 3 && vcpu.exit.gpr == GPR_RSI &&
		    vcpu.exit.insn_len == 3);
	vmcb.exit_info1 = 0x7000;
	assert_true(exit_with(SVM_EXIT_INVLPG));
	assert_true(vcpu.exit.operand_known && vcpu.exit.gva == 0x7000);
	svm_found.assists = (struct svm_assists){.next_rip = false};
	assert_true(exit_with(SVM_EXIT_INVLPG));
	assert_true(!vcpu.exit.operand_known && vcpu.exit.insn_len == 0);
}

static void the_slow_path_copies_the_state_there_and_back(void **state)
{
	vmcb.rax = 1;
	vmcb.rsp = 2;
	vmcb.cr2 = 3;
	vmcb.cr0 = CR0_TS;
	vmcb.interrupt_shadow = VMCB_INTERRUPT_SHADOW;
	assert_false(exit_with(SVM_EXIT_MSR));
	svm_slow_path(&vcpu);
	assert_true(vcpu.gpr[GPR_RAX] == 1 && vcpu.gpr[GPR_RSP] == 2 && vcpu.cr2 == 3 && vcpu.cr0 == CR0_TS &&
		    vcpu.cpl == 3 && vcpu.rip == 0x401000 && vcpu.interrupt_shadow && vcpu.code_bits == 64);
	vcpu.inject = (struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true};
	assert_false(exit_with(SVM_EXIT_MSR));
	svm_slow_path(&vcpu);
	assert_true(vmcb.event_inj == 0x80000b0dull && vcpu.inject.type == EVENT_NONE);
	assert_true(vmcb.rax == 1 && vmcb.rsp == 2 && vmcb.cr2 == 3);
	/* a debug exception replaces B0 to B3 and keeps the rest */
	vmcb.dr6 = DR6_RESET | DR6_BT | BIT(0);
	vcpu.dr6_set = DR6_BS | BIT(2);
	svm_load_guest(&vcpu);
	assert_true(vmcb.dr6 == (DR6_RESET | DR6_BT | DR6_BS | BIT(2)) && !vcpu.dr6_set);
}

static void cr_reads_that_come_as_cr0s_are_told_apart_by_the_instruction(void **state)
{
	svm_found.assists.decode = true;
	vmcb.exit_info1 = CR_INFO_MOV | GPR_RSI; /* not to be believed */
	vmcb.cr2 = 0x1234;
	assert_false(exit_with(SVM_EXIT_CR0_READ));
	assert_int_equal(cr2_reads, 0);
	assert_string_equal(svm_work_round(&vcpu, EXIT_CR_READ), "CR reads by the intercept of CR0");
	assert_true(vmcb.intercept[0] & 1);
	code = (const u8 *)"\x0f\x20\xd0";
	assert_true(exit_with(SVM_EXIT_CR0_READ));
	assert_true(vmcb.rax == 0x1234 && vmcb.rip == 0x401003 && vcpu.exit_count[EXIT_CR_READ] == 2);
	code = (const u8 *)"\x0f\x20\xd8";
	assert_true(exit_with(SVM_EXIT_CR0_READ));
	assert_true(vmcb.rax == 0x9000 && vmcb.rip == 0x401006 && !vcpu.exit.operand_known);
	insn_len = 0;
	assert_false(exit_with(SVM_EXIT_CR0_READ));
	svm_slow_path(&vcpu);
	assert_false(vcpu.exit.operand_known);
	assert_null(svm_work_round(&vcpu, EXIT_CPUID));
}

static void what_is_executed_again_is_as_it_was(void **state)
{
	u64 rip = vmcb.rip;

	insn_len = FAST_AGAIN;
	vmcb.interrupt_shadow = 1;
	assert_true(exit_with(SVM_EXIT_CR3_WRITE));
	assert_true(vmcb.rip == rip && vmcb.interrupt_shadow);
	insn_len = 3;
	assert_true(exit_with(SVM_EXIT_CR3_WRITE));
	assert_true(vmcb.rip == rip + 3 && !vmcb.interrupt_shadow);
}

static void the_intercept_stays_whatever_cr0_holds(void **state)
{
	vcpu.cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE;
	svm_update_control(&vcpu);
	assert_false(vmcb.intercept[0] & 1);
	svm_work_round(&vcpu, EXIT_CR_READ);
	svm_update_control(&vcpu);
	svm_set_intercepts(&vcpu, INTERCEPT_CR3_READ);
	assert_true(vmcb.intercept[0] & 1);
}

static void a_foreign_root_takes_the_slow_path_in_debug_builds(void **state)
{
	static const u32 codes[] = {SVM_EXIT_EXCP_PF, SVM_EXIT_CPUID, SVM_EXIT_CR3_WRITE, SVM_EXIT_INVLPG};

	vmcb.cr3 = ROOT + PAGE_SIZE;
	for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_false(exit_with(codes[i]));
		assert_int_equal(vcpu.exits, i + 1);
	}
	assert_true(faults == 0 && executed == 0 && insn_calls == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_exit_is_counted_once_and_kept, fresh),
		cmocka_unit_test_setup(what_the_last_entry_asked_for_is_gone, fresh),
		cmocka_unit_test_setup(a_fault_that_is_mended_changes_nothing, fresh),
		cmocka_unit_test_setup(the_guests_own_fault_is_injected, fresh),
		cmocka_unit_test_setup(an_access_to_emulate_is_not_looked_up_again, fresh),
		cmocka_unit_test_setup(an_event_cut_short_takes_the_slow_path, fresh),
		cmocka_unit_test_setup(cpuid_is_done_in_the_vmcb, fresh),
		cmocka_unit_test_setup(a_cpuid_of_several_stays_inside_if_it_can, fresh),
		cmocka_unit_test_setup(an_access_to_the_apic_is_done_in_the_vmcb, fresh),
		cmocka_unit_test_setup(the_emulator_has_the_apic_where_debugging_is_on, fresh),
		cmocka_unit_test_setup(an_access_to_the_apic_of_several_stays_inside_if_it_can, fresh),
		cmocka_unit_test_setup(steps_odd_bytes_and_other_modes_take_the_slow_path, fresh),
		cmocka_unit_test_setup(operands_are_handed_over_and_what_comes_due_is_done, fresh),
		cmocka_unit_test_setup(what_the_hardware_decoded_is_handed_over, fresh),
		cmocka_unit_test_setup(the_slow_path_copies_the_state_there_and_back, fresh),
		cmocka_unit_test_setup(cr_reads_that_come_as_cr0s_are_told_apart_by_the_instruction, fresh),
		cmocka_unit_test_setup(what_is_executed_again_is_as_it_was, fresh),
		cmocka_unit_test_setup(the_intercept_stays_whatever_cr0_holds, fresh),
		cmocka_unit_test_setup(a_foreign_root_takes_the_slow_path_in_debug_builds, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
