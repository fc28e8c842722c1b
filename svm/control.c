/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hardware holds while the guest runs: control registers, intercepts,
 * root and tag, TLB flushes. Each setter clears the clean bit of what it changes.
 */
#include "lib/string.h"
#include "svm/halt.h"
#include "svm/insn.h"
#include "svm/nmi.h"
#include "svm/svm.h"

#define DEBUG_REGISTERS ((u32)SVM_EXIT_DR0_READ / 32) /* the word of intercepts that is for them alone */

/* --- control registers ------------------------------------------------------ */

static u64 hardware_cr0(const struct vcpu *vcpu)
{
	return vcpu->cr0 | CR0_PG | CR0_WP | CR0_ET;
}

/*
 * With guest paging off its pages are all user pages in the shadow, which SMEP,
 * SMAP and protection keys would forbid to the guest's kernel.
 */
static u64 hardware_cr4(const struct vcpu *vcpu)
{
	u64 cr4 = vcpu->cr4 | CR4_PAE;

	if (!(vcpu->cr0 & CR0_PG))
		cr4 &= ~(CR4_SMEP | CR4_SMAP | CR4_PKE);
	if (!(vcpu->efer & EFER_LMA))
		cr4 &= ~(CR4_PCIDE | CR4_LA57);
	return cr4;
}

static u64 hardware_efer(const struct vcpu *vcpu)
{
	u64 efer = (vcpu->efer & ~(EFER_LME | EFER_LMA)) | EFER_NXE | EFER_SVME;

	return vcpu->efer & EFER_LMA ? efer | EFER_LME | EFER_LMA : efer;
}

/*
 * Reads exit where the guest would see a foreign value. CR0 writes: the
 * selective intercept compares with the hardware's CR0, so it misses a guest
 * that turns on a bit which the hardware has on already; then all writes exit.
 */
static void update_cr_intercepts(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);
	u32 requested = svm_of(vcpu)->requested;
	bool cr0_differs = vmcb->cr0 != (vcpu->cr0 | CR0_ET);
	bool cr4_differs = vmcb->cr4 != vcpu->cr4;

	svm_set_intercept(vmcb, SVM_EXIT_CR0_READ,
			  cr0_differs || (requested & INTERCEPT_CR0_READ) || svm_features()->cr_reads_as_cr0);
	svm_set_intercept(vmcb, SVM_EXIT_CR4_READ, cr4_differs || (requested & INTERCEPT_CR4_READ));
	svm_set_intercept(vmcb, SVM_EXIT_CR0_WRITE, cr0_differs);
	svm_set_intercept(vmcb, SVM_EXIT_CR0_SEL_WRITE, !cr0_differs);
}

void svm_update_control(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->cr0 = hardware_cr0(vcpu);
	vmcb->cr4 = hardware_cr4(vcpu);
	vmcb->efer = hardware_efer(vcpu);
	svm_dirty(vmcb, CLEAN_CR);
	update_cr_intercepts(vcpu);
}

void svm_set_intercepts(struct vcpu *vcpu, u32 mask)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	svm_of(vcpu)->requested = mask;
	svm_set_intercept(vmcb, SVM_EXIT_CR3_READ, mask & INTERCEPT_CR3_READ);
	svm_set_intercept(vmcb, SVM_EXIT_INVLPG, mask & INTERCEPT_INVLPG);
	svm_set_intercept_word(vmcb, DEBUG_REGISTERS, mask & INTERCEPT_DEBUG_REGISTERS ? ~0u : 0);
	svm_nmi_set_intercepts(vcpu);
	svm_halt_set_intercepts(vcpu);
	update_cr_intercepts(vcpu);
}

/*
 * QEMU's TCG from 9.1 on tests every MOV from a control register against the intercept of
 * CR0 reads, and reports exit code 0 for all. So that one is set, and what was
 * read is left to the decoder; the CPU's own word for it (decode assists) is not believed.
 */
const char *svm_work_round(struct vcpu *vcpu, enum exit_kind kind)
{
	if (kind != EXIT_CR_READ)
		return NULL;
	svm_found.cr_reads_as_cr0 = true;
	svm_found.assists.decode = false;
	update_cr_intercepts(vcpu);
	return "CR reads by the intercept of CR0";
}

void svm_trap_invlpg(struct vcpu *vcpu, bool on)
{
	svm_set_intercept(vmcb_of(vcpu), SVM_EXIT_INVLPG, on);
}

/* --- root, tag and TLB ------------------------------------------------------ */

static bool tag_stale(const struct svm_vcpu *svm, u32 tag)
{
	return svm->stale[tag / 64] & BIT(tag % 64);
}

void svm_set_shadow_root(struct vcpu *vcpu, hpa_t root, u32 tag)
{
	struct vmcb *vmcb = vmcb_of(vcpu);

	vmcb->cr3 = root.v;
	svm_dirty(vmcb, CLEAN_CR);
	if (vmcb->asid != tag) {
		vmcb->asid = tag;
		svm_dirty(vmcb, CLEAN_ASID);
	}
}

hpa_t svm_hardware_root(const struct vcpu *vcpu)
{
	return hpa(vmcb_of(vcpu)->cr3);
}

void svm_tlb_flush(struct vcpu *vcpu, u32 tag)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->flush_due = true;
	if (tag == 0) {
		svm->flush_all = true;
	} else {
		svm->stale_words = MAX(svm->stale_words, tag / 64 + 1);
		svm->stale[tag / 64] |= BIT(tag % 64);
	}
}

void svm_tlb_flush_page(struct vcpu *vcpu, u32 tag, gva_t gva)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (tag == 0)
		svm_tlb_flush(vcpu, 0);
	else if (!svm->flush_all && !tag_stale(svm, tag))
		insn_invlpga(gva, tag);
}

/* Without flush by ASID, one stale tag costs a flush of all; then none is stale. */
void svm_tlb_prepare(struct svm_vcpu *svm)
{
	struct vmcb *vmcb = svm->vmcb;
	bool stale = tag_stale(svm, vmcb->asid);

	if (unlikely(vmcb->tlb_control != TLB_KEEP)) /* for an entry that was not made, with another tag perhaps */
		svm->flush_all = true;
	if (svm->flush_all || (stale && !svm_features()->flush_by_asid)) {
		vmcb->tlb_control = TLB_FLUSH_ALL;
		svm->flush_all = svm->flush_due = false;
		memset(svm->stale, 0, svm->stale_words * sizeof(u64));
		svm->stale_words = 0;
	} else if (stale) {
		vmcb->tlb_control = TLB_FLUSH_ASID;
		svm->stale[vmcb->asid / 64] &= ~BIT(vmcb->asid % 64);
	} else {
		vmcb->tlb_control = TLB_KEEP;
	}
}
