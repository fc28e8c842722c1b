/* SPDX-License-Identifier: BSD-2-Clause */
/* See halt.h. */
#include "svm/halt.h"

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/hw.h"
#include "mm/shadow.h"
#include "svm/svm.h"

#define OPCODE_HLT 0xf4

static bool is_prefix(u8 byte, bool code64)
{
	/* clang-format off */
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: /* segments */
	case 0x66: case 0x67: case 0xf2: case 0xf3: return true; /* F0 makes it #UD */
	default: return code64 && (byte & 0xf0) == 0x40; /* REX */
	}
	/* clang-format on */
}

/*
 * Length of the HLT that has just exited at halt_rip, prefixes too. As its bytes were fetched just now they can be read; 0 if not,
 * or if another processor has changed them.
 */
static u8 halt_len(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);
	const struct vmcb *vmcb = svm->vmcb;
	const struct gpt_access fetch = {.fetch = true};
	u8 len = svm_insn_len(vmcb, svm_features()->assists), byte;
	bool code64 = svm_is_code64(vmcb);
	const u8 *code;

	if (len)
		return len;
	code = code64 ? shadow_peek_code(vcpu->mmu, svm->halt_rip) : NULL;
	if (code && *code == OPCODE_HLT)
		return 1;
	for (len = 0; len < INSN_MAX; len++) {
		u64 rip = svm->halt_rip + len;
		gva_t at = code64 ? rip : (u32)(vmcb->cs.base + rip), fault_gva;
		u32 error;

		if (shadow_read_guest(vcpu->mmu, at, &byte, 1, fetch, &fault_gva, &error))
			return 0;
		if (byte == OPCODE_HLT)
			return len + 1;
		if (!is_prefix(byte, code64))
			return 0;
	}
	return 0;
}

void svm_halt_set_intercepts(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);

	svm_set_intercept(svm->vmcb, SVM_EXIT_HLT, vcpu->several && !svm->halted);
	svm_set_intercept(svm->vmcb, SVM_EXIT_INTR, svm->halted || svm->step || svm->requested & INTERCEPT_INTR);
}

static void set_halted(struct vcpu *vcpu, bool on)
{
	svm_of(vcpu)->halted = on;
	svm_halt_set_intercepts(vcpu);
}

/* A HLT that is single-stepped ends with #DB, so it needs no help; until the next exit it does not exit. */
void svm_halt_begin(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->halt_rip = svm->vmcb->rip;
	svm->halt_next = 0;
	svm->halt_shadow = svm->vmcb->interrupt_shadow;
	svm->halt_len = svm->halt_shadow ? halt_len(vcpu) : 0;
	set_halted(vcpu, !(svm->vmcb->rflags & RFLAGS_TF));
	if (!svm->halted)
		svm_set_intercept(svm->vmcb, SVM_EXIT_HLT, false);
}

/*
 * QEMU's VMRUN drops the interrupt shadow (APM vol. 2 section 15.21.5): an interrupt that is pending exits at the HLT behind an
 * STI. Taken there it would return to the HLT, and what its handler asked for, a switch to another thread, would wait for
 * the next interrupt. With the shadow the HLT comes first, and ends at once.
 */
static void pass_halt(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);

	if (svm->vmcb->rip != svm->halt_rip || !svm->halt_shadow)
		return;
	if (!svm->halt_next && !svm->halt_len)
		return; /* the interrupt comes first */
	svm->vmcb->rip = svm->halt_next ? svm->halt_next : svm->halt_rip + svm->halt_len;
	svm->vmcb->interrupt_shadow = 0;
}

void svm_halt_end(struct vcpu *vcpu)
{
	pass_halt(vcpu);
	set_halted(vcpu, false);
}

void svm_halt_entry(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	if (!svm->halted) {
		svm_halt_set_intercepts(vcpu);
		return;
	}
	if (vcpu->rip - svm->halt_rip - 1 < INSN_MAX) /* it slept */
		svm->halt_next = vcpu->rip;
	else if (vcpu->rip != svm->halt_rip)
		set_halted(vcpu, false); /* an INIT, or an event that was not ours */
	if (!svm->halted)
		return;
	if (vcpu->inject.type == EVENT_NONE) {
		vcpu->rip = svm->halt_rip;
		vcpu->interrupt_shadow = svm->halt_shadow;
	} else {
		vcpu->rip = svm->halt_next ? svm->halt_next : svm->halt_rip;
		set_halted(vcpu, false);
	}
}

bool svm_halt_lasts(const struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_of(vcpu);

	return svm->halted && !(vcpu->rflags & RFLAGS_IF) && vcpu->rip - svm->halt_rip <= INSN_MAX && !svm->step &&
	       vcpu->inject.type == EVENT_NONE && !vcpu->nmi_waits && hw_nmi_count() == svm->nmi_seen;
}

void svm_wake(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_of(vcpu);

	svm->halted = svm->step = false;
	svm->nmi_seen = hw_nmi_count(); /* those before an INIT */
}
