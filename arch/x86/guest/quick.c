/* SPDX-License-Identifier: BSD-2-Clause */
/* See quick.h. */
#include "arch/x86/guest/quick.h"

#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/state.h"

/* The others are in the backend's hands still. */
static bool gpr_valid(u32 gpr)
{
	return gpr != GPR_RSP && gpr != GPR_RBP && gpr < GPR_R12;
}

/* MOV to or from CR3 with a register that is here? Decodes it if the hardware did not. */
static bool is_cr3_move(struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;

	insn_quick(vcpu);
	return exit->insn_len && exit->operand_known && exit->cr == 3 && gpr_valid(exit->gpr);
}

u32 quick_cr3_read(struct vcpu *vcpu)
{
	if (!is_cr3_move(vcpu))
		return 0;
	vcpu->gpr[vcpu->exit.gpr] = vcpu->cr3;
	return vcpu->exit.insn_len;
}

u32 quick_cr3_write(struct vcpu *vcpu)
{
	if (!is_cr3_move(vcpu) || !in_long_mode(vcpu) || cr_write_cr3(vcpu, vcpu->gpr[vcpu->exit.gpr]))
		return 0;
	return vcpu->exit.insn_len;
}

u32 quick_invlpg(struct vcpu *vcpu)
{
	const struct vcpu_exit *exit = &vcpu->exit;

	insn_quick(vcpu);
	if (!exit->insn_len || !exit->operand_known || !gpr_valid(exit->gpr))
		return 0;
	shadow_invlpg(vcpu->mmu, exit->gva);
	return exit->insn_len;
}
