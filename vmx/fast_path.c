/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast path of the frequent exits: reads what it needs from the VMCS and leaves
 * struct vcpu stale.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/trace.h"
#include "lib/log.h"
#include "vmx/vmx.h"

/*
 * An event that is delivered ends the shadow of the instruction before. RF belongs in the frame of a fault;
 * the exit has saved it so (section 27.3.3), but for Bochs.
 */
static void inject_page_fault(gva_t gva, u32 error, u64 rflags)
{
	const struct vcpu_event pf = {.type = EVENT_EXCEPTION, .vector = VEC_PF, .has_error = true, .error = error};
	struct vmx_entry_event event = vmx_entry_event(&pf);
	u32 state = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	if (state & BLOCKING_SHADOW) {
		vmcs_write32(VMCS_GUEST_INTERRUPTIBILITY, state & ~(u32)BLOCKING_SHADOW);
		vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG,
				   vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG) & ~PENDING_DEBUG_BS);
	}
	if (unlikely(!(rflags & RFLAGS_RF)))
		vmcs_write_natural(VMCS_GUEST_RFLAGS, rflags | RFLAGS_RF);
	write_cr2(gva);
	vmcs_write32(VMCS_ENTRY_INTR_INFO, event.info);
	vmcs_write32(VMCS_ENTRY_INTR_ERROR, event.error);
}

/*
 * An access to memory that traps: the local APIC's, by a plain MOV in 64-bit code, and nothing that it may owe a #DB. RF is of
 * the fault (section 27.3.3), and the instruction ends it.
 */
static bool fast_apic(struct vcpu *vcpu, const struct vmx_exit_info *info, u64 rflags)
{
	u64 rip = vcpu_last_exit(vcpu)->rip;
	u32 len;

	vcpu->mmio.state = MMIO_FOUND;
	if (!(rip >> 32) || rflags & RFLAGS_TF || vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_SHADOW ||
	    vmcs_read_natural(VMCS_GUEST_DR7) & DR7_ENABLES)
		return false;
	vcpu->rip = rip;
	len = fast_path_apic(vcpu, info->qualification, info->intr_error);
	if (!len)
		return false;
	vcpu->mmio.state = MMIO_NONE;
	vmcs_write_natural(VMCS_GUEST_RIP, rip + len);
	if (rflags & RFLAGS_RF)
		vmcs_write_natural(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	return true;
}

static bool fast_page_fault(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	u64 rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);

	vcpu_note_event(vcpu, NOTED_ACCESS, info->qualification);
	/* With paging off, as in the place of real mode, none is the guest's own. */
	switch (shadow_handle_fault(vcpu->mmu, info->qualification, info->intr_error, vmx_guest_cpl(), rflags,
				    &vcpu->mmio.fault)) {
	case SHADOW_FIXED:
	case SHADOW_RETRY: return true;
	case SHADOW_INJECT: inject_page_fault(info->qualification, vcpu->mmio.fault.error, rflags); return true;
	default: return fast_apic(vcpu, info, rflags);
	}
}

/* MOV to or from CR3; what else it may need or change is here only if it does. */
static u32 fast_cr3(struct vcpu *vcpu, enum exit_kind kind, u64 rflags)
{
	bool rsp = vcpu->exit.gpr == GPR_RSP;
	u32 len;

	if (rsp)
		vcpu->gpr[GPR_RSP] = vmcs_read_natural(VMCS_GUEST_RSP);
	if (kind == EXIT_CR_WRITE)
		return fast_path_cr3_write(vcpu);
	vcpu->rflags = rflags;
	vcpu->exit.cr3_pair = !(vmcs_read_natural(VMCS_GUEST_DR7) & DR7_ENABLES);
	len = fast_path_cr3_read(vcpu);
	if (len && rsp)
		vmcs_write_natural(VMCS_GUEST_RSP, vcpu->gpr[GPR_RSP]);
	if (vcpu->rflags != rflags)
		vmcs_write_natural(VMCS_GUEST_RFLAGS, vcpu->rflags);
	return len;
}

/* An address above 4 GiB is in 64-bit code, without looking at CS. */
static u32 fast_insn(struct vcpu *vcpu, const struct vmx_exit_info *info, enum exit_kind kind, u64 rip, u64 rflags)
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
		return fast_path_invlpg(vcpu);
	return fast_cr3(vcpu, kind, rflags);
}

static ALWAYS_INLINE bool fast_dispatch(struct vcpu *vcpu, const struct vmx_exit_info *info,
					const struct exit_record *exit)
{
	u64 rflags;
	u32 len;

	if (exit->kind == EXIT_PAGE_FAULT) {
		if (!fast_page_fault(vcpu, info))
			return false;
	} else {
		rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS);
		if (rflags & (RFLAGS_TF | RFLAGS_RF) || vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_SHADOW)
			return false;
		len = fast_insn(vcpu, info, (enum exit_kind)exit->kind, exit->rip, rflags);
		if (!len)
			return false;
		if (likely(len != FAST_AGAIN))
			vmcs_write_natural(VMCS_GUEST_RIP, exit->rip + len);
	}
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
	return true;
}

/* The event that the next entry delivers. */
static struct vcpu_event event_given(void)
{
	struct vmx_exit_info info = {.idt_info = vmcs_read32(VMCS_ENTRY_INTR_INFO)};

	info.idt_error = info.idt_info & INTR_INFO_VALID ? vmcs_read32(VMCS_ENTRY_INTR_ERROR) : 0;
	return vmx_interrupted_event(&info);
}

/* guest_root_is_checked(), the trace is on, or an instruction is stepped over. */
static NOINLINE bool fast_closely(struct vcpu *vcpu, const struct vmx_exit_info *info, const struct exit_record *exit)
{
	u64 begun = __builtin_ia32_rdtsc();
	struct vcpu_event event;

	if (vcpu->stepped || !guest_root_is_ours(vcpu) || !fast_dispatch(vcpu, info, exit))
		return false;
	if (vcpu->traced) {
		event = event_given();
		guest_trace_exit(vcpu, __builtin_ia32_rdtsc() - begun, &event);
	}
	return true;
}

bool vmx_fast_path(struct vcpu *vcpu, const struct vmx_exit_info *info)
{
	const struct exit_record *exit = vcpu_last_exit(vcpu);

	if (!vmx_exit_is_fast(info, (enum exit_kind)exit->kind) || vmx_nmi_is_due(vcpu))
		return false;
	if (guest_root_is_checked(vcpu))
		return fast_closely(vcpu, info, exit);
	return fast_dispatch(vcpu, info, exit);
}
