/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast path of accesses to the local APIC's page (fast_path.h): a MOV of 32 bits, as kernels have it for end of
 * interrupt, task priority, timer and the messages that pass to the hardware. What else reaches the page takes the slow
 * path, whose emulator and whose rules (apic.c) decide alone. The instruction is found by the bytes at RIP; it counts
 * only if it is one that makes the very access that faulted, since another processor may have written there since.
 */
#include "arch/x86/guest/apic.h"
#include "arch/x86/guest/fast_path.h"

/* Registers that are in struct vcpu on the fast path. */
#define REGISTERS_HERE \
	(BIT(GPR_RAX) | BIT(GPR_RCX) | BIT(GPR_RDX) | BIT(GPR_RBX) | BIT(GPR_RSI) | BIT(GPR_RDI) | BIT(GPR_R8) | \
	 BIT(GPR_R9) | BIT(GPR_R10) | BIT(GPR_R11))

static bool is_here(u32 gpr)
{
	return REGISTERS_HERE >> gpr & 1;
}

/* Does it access this address? In 64-bit code the segments that go without a prefix have no base. */
static ALWAYS_INLINE bool reaches(const struct vcpu *vcpu, const struct insn_fast_move *move, gva_t gva)
{
	switch (move->base) {
	case INSN_FAST_ZERO: return move->disp == gva;
	case INSN_FAST_RIP: return vcpu->rip + move->len + move->disp == gva;
	default: return is_here(move->base) && vcpu->gpr[move->base] + move->disp == gva;
	}
}

/* The instruction at code, if it is that of the fault and has nothing unusual. */
static bool find_move(const struct vcpu *vcpu, const u8 *code, gva_t gva, u32 error, struct insn_fast_move *move)
{
	if (!code || (vcpu->rip & (PAGE_SIZE - 1)) > PAGE_SIZE - INSN_FAST_MOVE_BYTES ||
	    !insn_fast_decode_move(move, code))
		return false;
	if (move->store != !!(error & PF_W) || error & PF_ID || !reaches(vcpu, move, gva))
		return false;
	if (!move->constant) {
		if (!is_here(move->gpr))
			return false;
		move->imm = (u32)vcpu->gpr[move->gpr];
	}
	return apic_is_quick(vcpu, gva & (PAGE_SIZE - 1), move->store, move->imm);
}

static u32 do_move(struct vcpu *vcpu, const struct insn_fast_move *move, u32 offset)
{
	if (move->store)
		apic_write(vcpu, offset, 4, move->imm);
	else
		vcpu->gpr[move->gpr] = (u32)apic_read(vcpu, offset, 4);
	return move->len;
}

u32 fast_path_apic(struct vcpu *vcpu, gva_t gva, u32 error)
{
	struct insn_fast_move move;

	if (!apic_owns(vcpu, vcpu->mmio.fault.gpa) ||
	    !find_move(vcpu, shadow_peek_code(vcpu->mmu, vcpu->rip), gva, error, &move))
		return 0;
	return do_move(vcpu, &move, gva & (PAGE_SIZE - 1));
}

/* What is remembered is asked last: then the access is counted. */
u32 fast_path_apic_inside(struct vcpu *vcpu, gva_t gva, u32 error, u32 cpl, u64 rflags)
{
	struct insn_fast_move move;
	gpa_t at;

	if (!find_move(vcpu, shadow_recall_code(vcpu->mmu, vcpu->rip), gva, error, &move) ||
	    !shadow_recall_trapped(vcpu->mmu, gva, error, cpl, rflags, &at))
		return 0;
	if (!apic_owns(vcpu, at))
		return 0;
	return do_move(vcpu, &move, gva & (PAGE_SIZE - 1));
}
