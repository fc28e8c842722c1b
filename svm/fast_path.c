/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens between an exit and the next entry; enter.asm has the loop. The
 * frequent exits take the fast path: svm_fast_path() works on the VMCB itself and
 * leaves struct vcpu stale. For all others svm_slow_path() copies the guest's state
 * to struct vcpu and back.
 */
#include "arch/x86/guest/fast_path.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/run.h"
#include "arch/x86/guest/trace.h"
#include "lib/log.h"
#include "svm/halt.h"
#include "svm/nmi.h"
#include "svm/svm.h"

/* Something became due meanwhile. */
static NOINLINE void enter_again(struct vcpu *vcpu)
{
	do {
		guest_prepare_entry(vcpu);
		svm_tlb_prepare(svm_of(vcpu));
	} while (!shadow_enter(vcpu->mmu));
}

/* Of several processors: until nothing is due with the others told that this one is inside. */
static ALWAYS_INLINE void enter_shared(struct vcpu *vcpu)
{
	if (unlikely(!shadow_enter(vcpu->mmu)))
		enter_again(vcpu);
}

void svm_enter_shared(struct vcpu *vcpu)
{
	enter_shared(vcpu);
}

void svm_slow_path(struct vcpu *vcpu)
{
	svm_store_guest(vcpu);
	svm_decode_exit(vmcb_of(vcpu), svm_features()->assists, &vcpu->exit);
	if (unlikely(vcpu->several))
		svm_nmi_exit(vcpu);
	guest_exit(vcpu);
	svm_load_guest(vcpu);
	if (unlikely(svm_of(vcpu)->flush_due))
		svm_tlb_prepare(svm_of(vcpu));
	if (unlikely(vcpu->several))
		enter_shared(vcpu);
}

/* --- the fast path ------------------------------------------------------------ */

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

/* See fast_path.h. */
static ALWAYS_INLINE bool fast_allowed(const struct vmcb *vmcb)
{
	return likely(!(vmcb->rflags & (RFLAGS_TF | RFLAGS_RF)) && svm_is_code64(vmcb));
}

/* Goes past an instruction that is done; it ends an interrupt shadow. False: it is not. */
static ALWAYS_INLINE bool fast_skip(struct vmcb *vmcb, u32 len)
{
	if (unlikely(!len || len == FAST_AGAIN))
		return false;
	vmcb->rip += len;
	vmcb->interrupt_shadow = 0;
	return true;
}

/* An access to memory that traps: the local APIC's, by a plain MOV. */
static ALWAYS_INLINE bool apic_allowed(const struct vmcb *vmcb)
{
	return fast_allowed(vmcb) && likely(!(vmcb->dr7 & DR7_ENABLES));
}

static ALWAYS_INLINE void apic_begin(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	vcpu->rip = vmcb->rip;
	vcpu->gpr[GPR_RAX] = vmcb->rax;
}

static ALWAYS_INLINE bool apic_end(const struct vcpu *vcpu, struct vmcb *vmcb, u32 len)
{
	if (!fast_skip(vmcb, len))
		return false;
	vmcb->rax = vcpu->gpr[GPR_RAX];
	return true;
}

/* shadow_handle_fault() says that it is to be emulated. */
static NOINLINE bool fast_apic(struct vcpu *vcpu, struct vmcb *vmcb)
{
	vcpu->mmio.state = MMIO_FOUND;
	if (!apic_allowed(vmcb))
		return false;
	apic_begin(vcpu, vmcb);
	if (!apic_end(vcpu, vmcb, fast_path_apic(vcpu, vmcb->exit_info2, (u32)vmcb->exit_info1)))
		return false;
	vcpu->mmio.state = MMIO_NONE;
	return ready(vcpu);
}

static NOINLINE bool fast_page_fault(struct vcpu *vcpu, struct vmcb *vmcb)
{
	vcpu_note_event(vcpu, NOTED_ACCESS, vmcb->exit_info2);
	switch (shadow_handle_fault(vcpu->mmu, vmcb->exit_info2, (u32)vmcb->exit_info1, vmcb->cpl, vmcb->rflags,
				    &vcpu->mmio.fault)) {
	case SHADOW_FIXED:
	case SHADOW_RETRY: return ready(vcpu);
	case SHADOW_INJECT:
		vmcb->cr2 = vmcb->exit_info2;
		svm_dirty(vmcb, CLEAN_CR2);
		vmcb->rflags |= RFLAGS_RF; /* in the frame of a fault (APM vol. 2 section 13.1.3) */
		vmcb->event_inj = EVENTINJ_VALID | EVENTINJ_ERROR_VALID | EVENTINJ_EXCEPTION << EVENTINJ_TYPE_SHIFT |
				  VEC_PF | (u64)vcpu->mmio.fault.error << EVENTINJ_ERROR_SHIFT;
		return ready(vcpu);
	default: return fast_apic(vcpu, vmcb);
	}
}

static ALWAYS_INLINE void do_cpuid(struct vcpu *vcpu, struct vmcb *vmcb)
{
	vcpu->gpr[GPR_RAX] = vmcb->rax;
	cpuid_execute(vcpu);
	vmcb->rax = vcpu->gpr[GPR_RAX];
}

/* No flush and no other root can come to be due by a CPUID. */
static NOINLINE bool fast_cpuid(struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct svm_assists *assists = &svm_features()->assists;

	if (!fast_allowed(vmcb))
		return false;
	vcpu->rip = vmcb->rip;
	if (!fast_skip(vmcb, assists->next_rip ? svm_insn_len(vmcb, *assists) :
						 fast_path_cpuid_len(shadow_peek_code(vcpu->mmu, vmcb->rip))))
		return false;
	do_cpuid(vcpu, vmcb);
	return true;
}

/* RSP and flags go there and back only for a read of CR3: see fast_path_cr3_read(). */
static ALWAYS_INLINE bool fast_insn(struct vcpu *vcpu, struct vmcb *vmcb, enum exit_kind kind,
				    u32 (*insn)(struct vcpu *vcpu))
{
	const struct svm_assists *assists = &svm_features()->assists;
	u32 len;

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
		vcpu->exit.cr3_pair = !(vmcb->dr7 & DR7_ENABLES);
	}
	vcpu->exit.insn_len = 0;
	vcpu->exit.operand_known = false;
	if (assists->next_rip || assists->decode)
		svm_decode_exit(vmcb, *assists, &vcpu->exit);
	len = insn(vcpu);
	if (!fast_skip(vmcb, len))
		return len && ready(vcpu);
	if (kind == EXIT_CR_READ) {
		vmcb->rflags = vcpu->rflags;
		vmcb->rax = vcpu->gpr[GPR_RAX];
		vmcb->rsp = vcpu->gpr[GPR_RSP];
	}
	return ready(vcpu);
}

static NOINLINE bool fast_cr3_read(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_CR_READ, fast_path_cr3_read);
}

static NOINLINE bool fast_cr3_write(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_CR_WRITE, fast_path_cr3_write);
}

static NOINLINE bool fast_invlpg(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return fast_insn(vcpu, vmcb, EXIT_INVLPG, fast_path_invlpg);
}

/* What was read is in the instruction: CR3, or CR2 in the guest's page-fault handler. */
static u32 fast_cr_read_any(struct vcpu *vcpu)
{
	u32 len;

	vcpu->cr2 = vmcb_of(vcpu)->cr2;
	len = fast_path_cr2_read(vcpu);
	return len ? len : fast_path_cr3_read(vcpu);
}

static NOINLINE bool fast_other(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if ((u32)vmcb->exit_code == SVM_EXIT_CR0_READ && svm_features()->cr_reads_as_cr0)
		return fast_insn(vcpu, vmcb, EXIT_CR_READ, fast_cr_read_any);
	note_exit(vcpu, vmcb, svm_exit_kind(vmcb->exit_code, vmcb->exit_info1));
	return false;
}

/* What an entry used up. */
static ALWAYS_INLINE struct vmcb *begin_exit(const struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	vmcb->clean = svm->clean;
	vmcb->event_inj = 0;
	vmcb->tlb_control = TLB_KEEP;
	return vmcb;
}

static ALWAYS_INLINE bool fast_dispatch(struct vcpu *vcpu, struct vmcb *vmcb)
{
	switch ((u32)vmcb->exit_code) {
	case SVM_EXIT_EXCP_PF:
		note_exit(vcpu, vmcb, EXIT_PAGE_FAULT);
		return likely(!(vmcb->exit_int_info & EVENTINJ_VALID)) && fast_page_fault(vcpu, vmcb);
	case SVM_EXIT_CPUID: note_exit(vcpu, vmcb, EXIT_CPUID); return fast_cpuid(vcpu, vmcb);
	case SVM_EXIT_CR3_READ: return fast_cr3_read(vcpu, vmcb);
	case SVM_EXIT_CR3_WRITE: return fast_cr3_write(vcpu, vmcb);
	case SVM_EXIT_INVLPG: return fast_invlpg(vcpu, vmcb);
	default: return fast_other(vcpu, vmcb);
	}
}

/* On its own, so that the others need no frame for the vendor's call. */
static NOINLINE bool fast_checked(struct vcpu *vcpu, struct vmcb *vmcb)
{
	if (vcpu->stepped || !guest_root_is_ours(vcpu))
		return fast_other(vcpu, vmcb); /* of another root guest_exit() stops the guest */
	return fast_dispatch(vcpu, vmcb);
}

static ALWAYS_INLINE bool fast_path(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return guest_root_is_checked(vcpu) ? fast_checked(vcpu, vmcb) : fast_dispatch(vcpu, vmcb);
}

bool svm_fast_path(struct vcpu *vcpu)
{
	return fast_path(vcpu, begin_exit(svm_of(vcpu)));
}

/* --- of several processors -------------------------------------------------------- */

/* Into a halt and out of it; else the slow path, with all of the state. */
static NOINLINE bool fast_halt(struct vcpu *vcpu, struct vmcb *vmcb)
{
	bool wakes = svm_of(vcpu)->halted && (u32)vmcb->exit_code == SVM_EXIT_INTR;

	if (!wakes && (svm_of(vcpu)->halted || (u32)vmcb->exit_code != SVM_EXIT_HLT))
		return fast_other(vcpu, vmcb);
	note_exit(vcpu, vmcb, wakes ? EXIT_INTERRUPT : EXIT_HALT);
	if (wakes)
		svm_halt_end(vcpu);
	else
		svm_halt_begin(vcpu);
	return ready(vcpu);
}

/*
 * A CPUID without leaving (C16): nothing here waits for another CPU, and a kick that came meanwhile is an NMI that exits
 * from the entry. False: nothing has happened; where the code lies takes the lock to tell, or it is no usual one.
 */
static ALWAYS_INLINE bool cpuid_inside(struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct svm_assists *assists = &svm_features()->assists;
	const struct svm_vcpu *svm = svm_of(vcpu);
	u64 rip = vmcb->rip;
	u32 len;

	if (unlikely(svm->halted || svm->step) || !fast_allowed(vmcb))
		return false;
	len = assists->next_rip ? svm_insn_len(vmcb, *assists) :
				  fast_path_cpuid_len(shadow_recall_code(vcpu->mmu, rip));
	if (unlikely(!len))
		return false;
	vcpu_note_exit(vcpu, EXIT_CPUID, SVM_EXIT_CPUID, rip, vmcb->exit_info1, vmcb->exit_info2);
	vcpu->rip = rip;
	fast_skip(vmcb, len);
	do_cpuid(vcpu, vmcb);
	return true;
}

/* An access to the local APIC without leaving, with what is remembered of the way there. False: nothing has happened. */
static bool apic_inside(struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct svm_vcpu *svm = svm_of(vcpu);

	if (unlikely(svm->halted || svm->step || vmcb->exit_int_info & EVENTINJ_VALID) || !apic_allowed(vmcb))
		return false;
	apic_begin(vcpu, vmcb);
	if (!apic_end(vcpu, vmcb,
		      fast_path_apic_inside(vcpu, vmcb->exit_info2, (u32)vmcb->exit_info1, vmcb->cpl, vmcb->rflags)))
		return false;
	vcpu_note_event(vcpu, NOTED_ACCESS, vmcb->exit_info2);
	vcpu_note_exit(vcpu, EXIT_PAGE_FAULT, SVM_EXIT_EXCP_PF, vcpu->rip, vmcb->exit_info1, vmcb->exit_info2);
	return true;
}

/* These three on their own, so that none needs registers for another. */
static NOINLINE bool leave_and_handle(struct vcpu *vcpu, struct vmcb *vmcb)
{
	const struct svm_vcpu *svm = svm_of(vcpu);
	bool done;

	shadow_leave(vcpu->mmu);
	if (svm->halted || svm->step || (u32)vmcb->exit_code == SVM_EXIT_HLT)
		done = fast_halt(vcpu, vmcb);
	else
		done = fast_path(vcpu, vmcb);
	if (done)
		enter_shared(vcpu);
	return done;
}

static NOINLINE bool cpuid_shared(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return cpuid_inside(vcpu, vmcb) || leave_and_handle(vcpu, vmcb);
}

static NOINLINE bool apic_shared(struct vcpu *vcpu, struct vmcb *vmcb)
{
	return apic_inside(vcpu, vmcb) || leave_and_handle(vcpu, vmcb);
}

bool svm_fast_path_shared(struct vcpu *vcpu)
{
	struct vmcb *vmcb = begin_exit(svm_of(vcpu));
	u32 code = (u32)vmcb->exit_code;

	if (code == SVM_EXIT_CPUID)
		return cpuid_shared(vcpu, vmcb);
	if (code == SVM_EXIT_EXCP_PF && unlikely(shadow_is_trapped_page(vcpu->mmu, vmcb->exit_info2)))
		return apic_shared(vcpu, vmcb);
	return leave_and_handle(vcpu, vmcb);
}

/* --- while the trace is on ------------------------------------------------------------ */

static bool fast_path_traced(struct vcpu *vcpu)
{
	u64 begun = __builtin_ia32_rdtsc();
	struct vcpu_event event;

	if (!(vcpu->several ? svm_fast_path_shared(vcpu) : svm_fast_path(vcpu)))
		return false; /* guest_exit() tells */
	event = svm_interrupted_event(vmcb_of(vcpu)->event_inj);
	guest_trace_exit(vcpu, __builtin_ia32_rdtsc() - begun, &event);
	return true;
}

/* The flush checker asks for FS_BASE, which is still the processor's. */
static bool fast_path_checked(struct vcpu *vcpu)
{
	(void)!hw_msr_read(MSR_FS_BASE, &vmcb_of(vcpu)->fs.base); /* it is there in any processor with 64-bit mode */
	if (vcpu->traced)
		return fast_path_traced(vcpu);
	return vcpu->several ? svm_fast_path_shared(vcpu) : svm_fast_path(vcpu);
}

void svm_trace(struct vcpu *vcpu, bool on)
{
	bool (*path)(struct vcpu * vcpu) = vcpu->several ? svm_fast_path_shared : svm_fast_path;

	if (vcpu->flush_checked)
		path = fast_path_checked;
	else if (on)
		path = fast_path_traced;
	__atomic_store_n(&vcpu->fast_path, path, __ATOMIC_RELAXED);
}
