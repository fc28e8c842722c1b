/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens between an exit and the next entry; enter.asm has the loop. FPU
 * and vector state, DR0 to DR3 and XCR0 are the guest's all the time and are not
 * touched.
 *
 * The frequent exits take the short way: svm_exit_fast() works on the VMCB itself
 * and leaves struct vcpu stale. For all others svm_exit_full() copies the guest's
 * state to struct vcpu and back.
 */
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/quick.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"
#include "mm/phys.h"
#include "svm/svm.h"

/* Bits of CR0 that a guest changes without an exit. */
#define CR0_NATIVE (CR0_TS | CR0_MP)

/*
 * QEMU's TCG (7.2) does not forget an external interrupt that EVENTINJ brought: if
 * a device calls before the next exit, the vector is delivered a second time,
 * interrupts off or not. Its virtual interrupts have no such fault. The event
 * was cut short, so the guest takes interrupts: it comes before anything else.
 */
static bool load_virtual_interrupt(const struct vcpu_event *event, struct vmcb *vmcb)
{
	if (!svm_features()->repeats_interrupts || event->type != EVENT_INTERRUPT ||
	    !svm_queue_virtual_interrupt(&vmcb->virtual_interrupt, event->vector))
		return false;
	svm_dirty(vmcb, CLEAN_TPR);
	return true;
}

static void load_event(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct vcpu_event *event = &vcpu->inject;

	if (likely(event->type == EVENT_NONE))
		return;
	if (load_virtual_interrupt(event, vmcb)) {
		event->type = EVENT_NONE;
		return;
	}
	vmcb->event_inj = svm_event_inj(event);
	/* A soft event returns behind its instruction: the CPU pushes this RIP. */
	if (event->type >= EVENT_SOFT_INTERRUPT) {
		vmcb->rip += event->insn_len;
		vmcb->next_rip = vmcb->rip;
	}
	event->type = EVENT_NONE;
}

static void load_debug(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (!vcpu->dr6_set)
		return;
	vmcb->dr6 |= vcpu->dr6_set;
	vcpu->dr6_set = 0;
	svm_dirty(vmcb, CLEAN_DR);
}

static void load_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->rax = vcpu->gpr[GPR_RAX];
	vmcb->rsp = vcpu->gpr[GPR_RSP];
	vmcb->rip = vcpu->rip;
	vmcb->rflags = vcpu->rflags | RFLAGS_FIXED;
	if (vmcb->cr2 != vcpu->cr2) {
		vmcb->cr2 = vcpu->cr2;
		svm_dirty(vmcb, CLEAN_CR2);
	}
	vmcb->interrupt_shadow = vcpu->interrupt_shadow ? VMCB_INTERRUPT_SHADOW : 0;
	load_event(vcpu, vmcb);
	load_debug(vcpu, vmcb);
}

static bool is_code64(const struct vmcb *vmcb)
{
	return (vmcb->cs.attributes & VMCB_ATTR_L) && (vmcb->efer & EFER_LMA);
}

/* NMI blocking stays in the CPU: NMIs and IRET are the guest's own. */
static void store_guest(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vcpu->gpr[GPR_RAX] = vmcb->rax;
	vcpu->gpr[GPR_RSP] = vmcb->rsp;
	vcpu->rip = vmcb->rip;
	vcpu->rflags = vmcb->rflags;
	vcpu->cr0 = (vcpu->cr0 & ~CR0_NATIVE) | (vmcb->cr0 & CR0_NATIVE);
	vcpu->cr2 = vmcb->cr2;
	vcpu->cpl = vmcb->cpl;
	vcpu->code_bits = is_code64(vmcb) ? 64 : 0;
	vcpu->interrupt_shadow = vmcb->interrupt_shadow & VMCB_INTERRUPT_SHADOW;
}

void svm_exit_full(struct vcpu *vcpu)
{
	store_guest(vcpu);
	svm_decode_exit(vmcb_of(vcpu), svm_features()->assists, &vcpu->exit);
	guest_exit(vcpu);
	load_guest(vcpu);
	if (unlikely(svm_of(vcpu)->flush_due))
		svm_tlb_prepare(svm_of(vcpu));
}

/* --- the short way ----------------------------------------------------------- */

static ALWAYS_INLINE bool ready(struct vcpu *vcpu)
{
	if (guest_entry_due(vcpu))
		guest_prepare_entry(vcpu);
	if (unlikely(svm_of(vcpu)->flush_due))
		svm_tlb_prepare(svm_of(vcpu));
	return true;
}

static ALWAYS_INLINE void note_exit(struct vcpu *vcpu, const struct vmcb *vmcb, enum exit_kind kind)
{
	vcpu_note_exit(vcpu, kind, (u32)vmcb->exit_code, vmcb->rip, vmcb->exit_info1, vmcb->exit_info2);
}

static NOINLINE bool fast_page_fault(struct vcpu *vcpu, struct vmcb *vmcb)
{
	switch (shadow_handle_fault(vcpu->mmu, vmcb->exit_info2, (u32)vmcb->exit_info1, vmcb->cpl, vmcb->rflags,
				    &vcpu->fault)) {
	case SHADOW_FIXED:
	case SHADOW_RETRY:
		return ready(vcpu);
	case SHADOW_INJECT:
		vmcb->cr2 = vmcb->exit_info2;
		svm_dirty(vmcb, CLEAN_CR2);
		vmcb->event_inj = EVENTINJ_VALID | EVENTINJ_ERROR_VALID | EVENTINJ_EXCEPTION << EVENTINJ_TYPE_SHIFT |
				  VEC_PF | (u64)vcpu->fault.error << EVENTINJ_ERROR_SHIFT;
		return ready(vcpu);
	default:
		vcpu->to_emulate = true;
		return false;
	}
}

/* See quick.h. */
static ALWAYS_INLINE bool fast_allowed(const struct vmcb *vmcb)
{
	return likely(!(vmcb->rflags & (RFLAGS_TF | RFLAGS_RF)) && is_code64(vmcb));
}

/* Goes past an instruction that is done; it ends an interrupt shadow. */
static ALWAYS_INLINE bool fast_skip(struct vmcb *vmcb, u32 len)
{
	if (unlikely(!len))
		return false;
	vmcb->rip += len;
	vmcb->interrupt_shadow = 0;
	return true;
}

/* No flush and no other root can come to be due by a CPUID. */
static NOINLINE bool fast_cpuid(struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct svm_assists *assists = &svm_features()->assists;

	if (!fast_allowed(vmcb))
		return false;
	vcpu->rip = vmcb->rip;
	if (!fast_skip(vmcb, assists->next_rip ? svm_insn_len(vmcb, *assists) : quick_cpuid_len(vcpu)))
		return false;
	vcpu->gpr[GPR_RAX] = vmcb->rax;
	cpuid_execute(vcpu);
	vmcb->rax = vcpu->gpr[GPR_RAX];
	return true;
}

/* RSP and flags go there and back only for a read of CR3: see quick_cr3_read(). */
static ALWAYS_INLINE bool fast_insn(struct vcpu *vcpu, struct vmcb *vmcb, enum exit_kind kind,
				    u32 (*quick)(struct vcpu *vcpu))
{
	const struct svm_assists *assists = &svm_features()->assists;

	note_exit(vcpu, vmcb, kind);
	if (unlikely(vmcb->exit_int_info & EVENTINJ_VALID) || !fast_allowed(vmcb))
		return false;
	vcpu->rip = vmcb->rip;
	vcpu->code_bits = 64;
	vcpu->gpr[GPR_RAX] = vmcb->rax;
	if (kind != EXIT_INVLPG)
		vcpu->gpr[GPR_RSP] = vmcb->rsp;
	if (kind == EXIT_CR_READ) {
		vcpu->rflags = vmcb->rflags;
		vcpu->exit.ahead = !(vmcb->dr7 & DR7_ENABLES);
	}
	vcpu->exit.insn_len = 0;
	vcpu->exit.operand_known = false;
	if (assists->next_rip || assists->decode)
		svm_decode_exit(vmcb, *assists, &vcpu->exit);
	if (!fast_skip(vmcb, quick(vcpu)))
		return false;
	if (kind == EXIT_CR_READ) {
		vmcb->rflags = vcpu->rflags;
		vmcb->rax = vcpu->gpr[GPR_RAX];
		vmcb->rsp = vcpu->gpr[GPR_RSP];
	}
	return ready(vcpu);
}

static NOINLINE bool fast_cr3_read(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_CR_READ, quick_cr3_read);
}

static NOINLINE bool fast_cr3_write(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_CR_WRITE, quick_cr3_write);
}

static NOINLINE bool fast_invlpg(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_INVLPG, quick_invlpg);
}

/* What was read is in the instruction: CR3, or CR2 in the guest's page-fault handler. */
static u32 fast_cr_read_any(struct vcpu *vcpu)
{
	u32 len;

	vcpu->cr2 = vmcb_of(vcpu)->cr2;
	len = quick_cr2_read(vcpu);
	return len ? len : quick_cr3_read(vcpu);
}

static NOINLINE bool fast_other(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if ((u32)vmcb->exit_code == SVM_EXIT_CR0_READ && svm_features()->cr_reads_as_cr0)
		return fast_insn(vcpu, vmcb, EXIT_CR_READ, fast_cr_read_any);
	note_exit(vcpu, vmcb, svm_exit_kind(vmcb->exit_code, vmcb->exit_info1));
	return false;
}

/* Called by enter.asm after every exit; true: enter the guest again. */
bool svm_exit_fast(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	vmcb->clean = svm->clean;
	vmcb->event_inj = 0;
	vmcb->tlb_control = TLB_KEEP;
	if (guest_root_is_foreign(vcpu))
		return fast_other(vcpu, vmcb); /* guest_exit() stops the guest */
	switch ((u32)vmcb->exit_code) {
	case SVM_EXIT_EXCP_PF:
		note_exit(vcpu, vmcb, EXIT_PAGE_FAULT);
		return likely(!(vmcb->exit_int_info & EVENTINJ_VALID)) && fast_page_fault(vcpu, vmcb);
	case SVM_EXIT_CPUID:
		note_exit(vcpu, vmcb, EXIT_CPUID);
		return fast_cpuid(vcpu, vmcb);
	case SVM_EXIT_CR3_READ:
		return fast_cr3_read(vcpu, vmcb);
	case SVM_EXIT_CR3_WRITE:
		return fast_cr3_write(vcpu, vmcb);
	case SVM_EXIT_INVLPG:
		return fast_invlpg(vcpu, vmcb);
	default:
		return fast_other(vcpu, vmcb);
	}
}

static void prepare_first_entry(struct vcpu *vcpu)
{
	const struct svm_cpu *cpu = this_cpu()->backend;

	vcpu->control = virt_to_phys(vmcb_of(vcpu));
	vcpu->host = cpu->host_vmcb;
	load_guest(vcpu);
	svm_tlb_prepare(svm_of(vcpu));
}

NORETURN void svm_run(struct vcpu *vcpu)
{
	prepare_first_entry(vcpu);
	svm_loop(vcpu);
}

void svm_run_once(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->clean = vmcb->event_inj = 0;
	prepare_first_entry(vcpu);
	svm_enter(vcpu);
	store_guest(vcpu);
	svm_decode_exit(vmcb, svm_features()->assists, &vcpu->exit);
}
