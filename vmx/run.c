/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries into the guest and exits from it. FPU and vector state, DR0 to DR3, DR6,
 * CR2 and XCR0 are the guest's all the time. The frequent exits take a short way
 * that reads what it needs from the VMCS and leaves struct vcpu stale.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/guest.h"
#include "arch/x86/guest/quick.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "vmx/check.h"
#include "vmx/insn.h"
#include "vmx/vmx.h"

#define ATTR_DPL(attributes) ((attributes) >> 5 & 3)
#define DEBUGCTL_BTF BIT(1)

/* --- NMIs that came while the hypervisor ran ---------------------------------- */

/* An NMI whose delivery was cut short blocks others, not itself. */
static bool nmi_can_go(const struct vcpu *vcpu)
{
	return !vcpu->nmi_blocked || vcpu->exit.interrupted.type == EVENT_NMI;
}

static bool nmi_is_due(const struct vmx_vcpu *vmx)
{
	return unlikely(vmx->nmi_waiting || this_cpu()->nmi_count != vmx->nmi_seen);
}

/*
 * One NMI waits at most, as in the hardware. Until the guest can take it, an
 * exit is asked for: when NMIs open, or, without virtual NMIs, when interrupts
 * do; if NMIs are still blocked then, the next exit of any kind looks again.
 */
static void pass_nmi(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	u64 count = this_cpu()->nmi_count;

	if (unlikely(count != vmx->nmi_seen)) {
		vmx->nmi_seen = count;
		vmx->nmi_waiting = true;
	}
	if (vcpu->inject.type == EVENT_NMI && !nmi_can_go(vcpu)) {
		vcpu->inject.type = EVENT_NONE;
		vmx->nmi_waiting = true;
	}
	if (likely(!vmx->nmi_waiting)) {
		vmx_set_nmi_window(vcpu, false);
		return;
	}
	if (vcpu->inject.type == EVENT_NONE && nmi_can_go(vcpu) && !vcpu->interrupt_shadow) {
		vcpu->inject = (struct vcpu_event){ .type = EVENT_NMI, .vector = VEC_NMI };
		vmx->nmi_waiting = false;
	}
	vmx_set_nmi_window(vcpu, vmx->nmi_waiting &&
			   (vmx_controls()->virtual_nmis || vcpu->exit.kind != EXIT_WINDOW));
}

/* --- entry --------------------------------------------------------------------- */

static void load_interruptibility(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	u32 state = vmx_interruptibility(vmx->interruptibility, vcpu, vmx->word[VMX_PIN] & PIN_VIRTUAL_NMIS);

	if (state != vmx->interruptibility) {
		vmx->interruptibility = state;
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state);
	}
}

/* The CPU clears the valid bit at each exit. A delivery wakes a halted guest. */
static void load_event(struct vcpu *vcpu)
{
	struct vmx_entry_event event;

	if (likely(vcpu->inject.type == EVENT_NONE))
		return;
	event = vmx_entry_event(&vcpu->inject);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, event.info);
	vmcs_write32(VMCS_ENTRY_INTR_ERROR, event.error);
	vmcs_write32(VMCS_ENTRY_INSN_LENGTH, event.insn_len);
	vmcs_write32(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vcpu->inject.type = EVENT_NONE;
}

/*
 * A single-step trap under a shadow must be pending, or the entry fails
 * (section 26.3.1.5).
 */
static void load_pending_debug(const struct vcpu *vcpu, const struct vmx_vcpu *vmx)
{
	u64 pending;
	bool step;

	if (likely(!(vmx->interruptibility & BLOCKING_SHADOW)))
		return;
	pending = vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG);
	step = vcpu->rflags & RFLAGS_TF && !(vmcs_read64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG, step ? pending | PENDING_DEBUG_BS
							  : pending & ~PENDING_DEBUG_BS);
}

#define LOAD_CHANGED(vmx, member, field, value) do { \
		u64 new_value = (value); \
		if ((vmx)->member != new_value) { \
			(vmx)->member = new_value; \
			vmcs_write_natural(field, new_value); \
		} \
	} while (0)

static void load_guest(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	LOAD_CHANGED(vmx, rip, VMCS_GUEST_RIP, vcpu->rip);
	LOAD_CHANGED(vmx, rsp, VMCS_GUEST_RSP, vcpu->gpr[GPR_RSP]);
	LOAD_CHANGED(vmx, rflags, VMCS_GUEST_RFLAGS, vcpu->rflags | RFLAGS_FIXED);
	if (read_cr2() != vcpu->cr2)
		write_cr2(vcpu->cr2);
	if (unlikely(vcpu->dr6_set)) {
		write_dr6(read_dr6() | vcpu->dr6_set);
		vcpu->dr6_set = 0;
	}
	pass_nmi(vcpu, vmx);
	load_interruptibility(vcpu, vmx);
	load_event(vcpu);
	load_pending_debug(vcpu, vmx);
}

/* --- exit ---------------------------------------------------------------------- */

/* Only what the reason defines is read. */
static void read_exit_info(struct vmx_exit_info *info)
{
	*info = (struct vmx_exit_info){
		.reason = vmcs_read32(VMCS_EXIT_REASON),
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

static u32 guest_cpl(void)
{
	return ATTR_DPL(vmcs_read32(VMCS_GUEST_SS_ATTRIBUTES));
}

static void store_guest(struct vcpu *vcpu, struct vmx_vcpu *vmx)
{
	vcpu->rip = vmx->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	vcpu->gpr[GPR_RSP] = vmx->rsp = vmcs_read_natural(VMCS_GUEST_RSP);
	vcpu->rflags = vmx->rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
	vcpu->cr2 = read_cr2();
	vcpu->cpl = guest_cpl();
	vmx->interruptibility = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	vcpu->interrupt_shadow = vmx->interruptibility & BLOCKING_SHADOW;
	vcpu->nmi_blocked = vmx->interruptibility & BLOCKING_NMI;
	vmx_store_control(vcpu);
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
	if (vmx_nmi_unblocked(info))
		vcpu->nmi_blocked = true;
	if (vcpu->exit.kind == EXIT_EXCEPTION && vcpu->exit.vector == VEC_DB)
		vcpu->dr6_set |= info->qualification & DB_QUAL_DR6;
	if (unlikely(vcpu->exit.kind == EXIT_INVALID_STATE)) {
		log_error("VMX: VM entry failed: %s, qualification %llx\n", vmx_exit_name(info->reason),
			  (unsigned long long)info->qualification);
		check_state();
	}
}

/* --- the short way --------------------------------------------------------------- */

/* An event that is delivered ends the shadow of the instruction before. */
static void quick_inject_pf(gva_t gva, u32 error)
{
	const struct vcpu_event pf = { .type = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = error };
	struct vmx_entry_event event = vmx_entry_event(&pf);
	u32 state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	if (state & BLOCKING_SHADOW) {
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state & ~(u32)BLOCKING_SHADOW);
		vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG,
				   vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG) & ~PENDING_DEBUG_BS);
	}
	write_cr2(gva);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, event.info);
	vmcs_write32(VMCS_ENTRY_INTR_ERROR, event.error);
}

static bool quick_page_fault(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	switch (shadow_handle_fault(vcpu->mmu, info->qualification, info->intr_error, guest_cpl(),
				    vmcs_read_natural(VMCS_GUEST_RFLAGS), &vcpu->fault)) {
	case SHADOW_FIXED:
	case SHADOW_RETRY:
		return true;
	case SHADOW_INJECT:
		quick_inject_pf(info->qualification, vcpu->fault.error);
		return true;
	default:
		vcpu->to_emulate = true;
		return false;
	}
}

/* MOV to or from CR3; what else it may need or change is here only if it does. */
static u32 quick_cr3(struct vcpu *vcpu, enum exit_kind kind, u64 rflags)
{
	bool rsp = vcpu->exit.gpr == GPR_RSP;
	u32 len;

	if (rsp)
		vcpu->gpr[GPR_RSP] = vmcs_read_natural(VMCS_GUEST_RSP);
	if (kind == EXIT_CR_WRITE)
		return quick_cr3_write(vcpu);
	vcpu->rflags = rflags;
	vcpu->exit.ahead = !(vmcs_read_natural(VMCS_GUEST_DR7) & DR7_ENABLES);
	len = quick_cr3_read(vcpu);
	if (len && rsp)
		vmcs_write_natural(VMCS_GUEST_RSP, vcpu->gpr[GPR_RSP]);
	if (vcpu->rflags != rflags)
		vmcs_write_natural(VMCS_GUEST_RFLAGS, vcpu->rflags);
	return len;
}

/* An address above 4 GiB is in 64-bit code, without looking at CS. */
static u32 quick_insn(struct vcpu *vcpu, const struct vmx_exit_info *info, enum exit_kind kind, u64 rip, u64 rflags)
{
	if (kind == EXIT_CPUID) {
		if ((rip + info->insn_len) >> 32 != rip >> 32)
			return 0;
		cpuid_execute(vcpu);
		return info->insn_len;
	}
	if (!(rip >> 32))
		return 0;
	vcpu->rip = rip;
	vmx_decode_exit(info, &vcpu->exit);
	if (kind == EXIT_INVLPG)
		return quick_invlpg(vcpu);
	return quick_cr3(vcpu, kind, rflags);
}

static bool quick_exit(struct vcpu *vcpu, const struct vmx_vcpu *vmx, const struct vmx_exit_info *info)
{
	const struct exit_record *exit = vcpu_last_exit(vcpu);
	u64 rflags;
	u32 len;

	if (!vmx_exit_is_quick(info, (enum exit_kind)exit->kind) || nmi_is_due(vmx))
		return false;
	if (guest_root_is_foreign(vcpu))
		return false;
	if (exit->kind == EXIT_PAGE_FAULT) {
		if (!quick_page_fault(vcpu, info))
			return false;
	} else {
		rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
		if (rflags & (RFLAGS_TF | RFLAGS_RF) ||
		    vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_SHADOW)
			return false;
		len = quick_insn(vcpu, info, (enum exit_kind)exit->kind, exit->rip, rflags);
		if (!len)
			return false;
		vmcs_write_natural(VMCS_GUEST_RIP, exit->rip + len);
	}
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
	return true;
}

static void enter(struct vcpu *vcpu, struct vmx_vcpu *vmx, struct vmx_exit_info *info)
{
	u32 status;

	if (unlikely(!vmx->launched))
		check_before_first_entry();
	status = vmx_enter(vcpu, vmx->launched, VMCS_HOST_RSP);
	if (unlikely(status != VMX_OK))
		entry_failed(vcpu, status);
	read_exit_info(info);
	vmx->launched = vmx->launched || !(info->reason & REASON_ENTRY_FAILURE);
	vcpu_note_exit(vcpu, vmx_exit_kind(info), info->reason, vmcs_read_natural(VMCS_GUEST_RIP),
		       info->qualification, vmx_exit_info2(info));
}

void vmx_run_once(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	struct vmx_exit_info info;

	load_guest(vcpu, vmx);
	enter(vcpu, vmx, &info);
	store_guest(vcpu, vmx);
	finish_exit(vcpu, &info);
}

NORETURN void vmx_run(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	struct vmx_exit_info info;
	bool done;

	for (;;) {
		load_guest(vcpu, vmx);
		do {
			enter(vcpu, vmx, &info);
			done = quick_exit(vcpu, vmx, &info);
		} while (done && !nmi_is_due(vmx));
		store_guest(vcpu, vmx);
		if (unlikely(done)) { /* an NMI came meanwhile; a #PF that it displaces comes again */
			vcpu->exit = (struct vcpu_exit){ .kind = vcpu_last_exit(vcpu)->kind };
			continue;
		}
		finish_exit(vcpu, &info);
		guest_exit(vcpu);
	}
}
