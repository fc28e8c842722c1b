/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries into the guest, the loop around them, and what an entry that fails leaves to say. */
#include "arch/x86/guest/execution_run.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/insn.h"
#include "vmx/vmx.h"

/* Only what the reason defines is read. */
static void read_exit_info(struct vmx_exit_info *info)
{
	*info = (struct vmx_exit_info){
		.reason = vmcs_read32(VMCS_EXIT_REASON) & REASON_DEFINED,
		.qualification = vmcs_read_natural(VMCS_EXIT_QUALIFICATION),
		.idt_info = vmcs_read32(VMCS_IDT_INFO),
	};
	if (info->reason == REASON_EXCEPTION_NMI) {
		info->intr_info = vmcs_read32(VMCS_EXIT_INTR_INFO);
		if (info->intr_info & INTR_INFO_ERROR)
			info->intr_error = vmcs_read32(VMCS_EXIT_INTR_ERROR);
	}
	if (info->reason != REASON_EXCEPTION_NMI || info->idt_info & INTR_INFO_VALID)
		info->insn_len = vmcs_read32(VMCS_EXIT_INSN_LENGTH);
	if (info->idt_info & INTR_INFO_VALID)
		info->idt_error = vmcs_read32(VMCS_IDT_ERROR);
}

static void report(void *arg, const char *check)
{
	log_error("VMX: likely broken: %s\n", check);
}

static void check_state(void)
{
	if (!vmx_check(vmx_capability(), vmx_phys_bits(), report, NULL))
		log_error("VMX: every check that Umbra knows holds\n");
}

/* The entry never began: a control or host field is wrong (section 26.2). */
static NORETURN void entry_failed(struct vcpu *vcpu, u32 status)
{
	u32 error = status == VMX_FAIL_VALID ? vmcs_read32(VMCS_INSTRUCTION_ERROR) : 0;

	check_state();
	guest_stop(vcpu, "VM entry failed: %s (VM-instruction error %u)",
		   status == VMX_FAIL_VALID ? vmx_error_text(error) : "no current VMCS", error);
}

static void check_before_first_entry(void)
{
	if (UMBRA_DEBUG_ENABLED && vmx_check(vmx_capability(), vmx_phys_bits(), report, NULL))
		log_error("VMX: the first entry is going to fail\n");
}

/* What the exit means beyond its decoding. */
static void finish_exit(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	vmx_decode_exit(info, &vcpu->exit);
	vcpu->exit.nmi_unblocked = vmx_nmi_unblocked(info);
	if (vcpu->exit.kind == EXIT_EXCEPTION && vcpu->exit.vector == VEC_DB)
		vcpu->dr6_set |= info->qualification & DB_QUAL_DR6;
	if (unlikely(vcpu->exit.kind == EXIT_TIMER))
		vmx_start_timer(VMX_TIMER_TICKS);
	if (unlikely(vcpu->exit.kind == EXIT_INVALID_STATE)) {
		log_error("VMX: VM entry failed: %s, qualification %llx\n", vmx_exit_name(info->reason),
			  (unsigned long long)info->qualification);
		check_state();
	}
}

/*
 * Of several processors: nothing is due, the others know that this one is inside, and no kick came between the two and the
 * entry. NMIs are not held back here: one in between makes the entry begin anew (vmx_entry_begin).
 */
static u32 enter_shared(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vmx_of(vcpu);
	struct percpu *cpu = this_cpu();
	u32 status = VMX_KICKED;

	while (status == VMX_KICKED) {
		__atomic_store_n(&cpu->kicked, false, __ATOMIC_SEQ_CST);
		if (cpu->looks || cpu->nmi_count != vmx->nmi_seen) /* not one that waits: that takes an entry */
			return VMX_KICKED;
		if (!shadow_enter(vcpu->mmu)) {
			guest_prepare_entry(vcpu);
			continue;
		}
		status = vmx_enter_shared(vcpu, vmx->launched, VMCS_HOST_RSP, &cpu->kicked);
		shadow_leave(vcpu->mmu);
	}
	return status;
}

/* An NMI that exits is gone from the hardware, which blocks others until an IRET: the hypervisor's handler does both. */
static void take_nmi(struct vcpu *vcpu)
{
	asm volatile("int $2" : : : "memory");
	vcpu->exit.kind = EXIT_WINDOW;
}

/* False: there was none, since a message came before it. */
static ALWAYS_INLINE bool enter(struct vcpu *vcpu, struct vmx_exit_info *info)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	u32 status;

	if (unlikely(!vmx->launched))
		check_before_first_entry();
	status = unlikely(vcpu->several) ? enter_shared(vcpu) : vmx_enter(vcpu, vmx->launched, VMCS_HOST_RSP);
	if (unlikely(status != VMX_OK)) {
		if (status == VMX_KICKED)
			return false;
		entry_failed(vcpu, status);
	}
	read_exit_info(info);
	vmx->launched = vmx->launched || !(info->reason & REASON_ENTRY_FAILURE);
	vcpu_note_exit(vcpu, vmx_exit_kind(info), info->reason, vmcs_read_natural(VMCS_GUEST_RIP),
		       info->qualification, vmx_exit_info2(info));
	return true;
}

/*
 * Enters until an exit is not for the fast path, or something is due for the next entry. False: there is an exit
 * to deal with. The only place that enters, for enter() is inline then: a frame of its own is 20 instructions of each exit.
 */
static NOINLINE bool enter_while_fast(struct vcpu *vcpu, struct vmx_exit_info *info, bool fast)
{
	bool entered, done;

	do {
		entered = enter(vcpu, info);
		done = !entered || (fast && (vmx_fast_path(vcpu, info) || vmx_halt_begin(vcpu, info)));
	} while (entered && done && !vmx_nmi_is_due(vcpu));
	return done;
}

void vmx_run_once(struct vcpu *vcpu)
{
	struct vmx_exit_info info;

	vmx_load_guest(vcpu);
	while (enter_while_fast(vcpu, &info, false))
		;
	vmx_store_guest(vcpu);
	finish_exit(vcpu, &info);
}

/* What an entry that was not made, or the fast path, has put into the VMCS already. */
static void take_back_event(struct vcpu *vcpu)
{
	struct vmx_exit_info info = {.idt_info = vmcs_read32(VMCS_ENTRY_INTR_INFO)};

	if (!(info.idt_info & INTR_INFO_VALID))
		return;
	info.idt_error = vmcs_read32(VMCS_ENTRY_INTR_ERROR);
	info.insn_len = vmcs_read32(VMCS_ENTRY_INSN_LENGTH);
	vcpu->inject = vmx_interrupted_event(&info);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, 0);
}

NORETURN void vmx_run(struct vcpu *vcpu)
{
	struct vmx_exit_info info;
	bool done;

	for (;;) {
		if (unlikely(vcpu->execution != EXECUTION_NATIVE))
			execution_run(vcpu);
		vmx_load_guest(vcpu);
		done = enter_while_fast(vcpu, &info, true);
		vmx_store_guest(vcpu);
		if (unlikely(done)) { /* an NMI or a message came meanwhile */
			take_back_event(vcpu);
			vcpu->exit = (struct vcpu_exit){.kind = vcpu_last_exit(vcpu)->kind};
			guest_messages(vcpu);
			continue;
		}
		if (unlikely(vmx_of(vcpu)->halt_exits))
			vmx_halt_exit(vcpu);
		finish_exit(vcpu, &info);
		if (unlikely(vcpu->several || vmx_of(vcpu)->v8086) && vcpu->exit.kind == EXIT_NMI)
			take_nmi(vcpu);
		guest_exit(vcpu);
	}
}
