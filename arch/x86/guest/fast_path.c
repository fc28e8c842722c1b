/* SPDX-License-Identifier: BSD-2-Clause */
/* See fast_path.h. */
#include "arch/x86/guest/fast_path.h"

#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/cr3_pair.h"
#include "arch/x86/guest/state.h"
#include "mm/shadow.h"

/* The others are in the backend's hands still. */
static bool gpr_valid(u32 gpr)
{
	return gpr != GPR_RBP && gpr < GPR_R12;
}

/* MOV to or from CR3 with a register that is here. */
static ALWAYS_INLINE bool is_cr3_move(struct vcpu *vcpu, u32 opcode)
{
	struct vcpu_exit *exit = &vcpu->exit;
	const u8 *b;

	if (!exit->operand_known) {
		b = insn_fast_peek(vcpu, opcode, 3);
		if (!b)
			return false;
		exit->insn_len = 3;
		exit->cr = 3;
		exit->gpr = insn_fast_rm(b[2]);
	}
	return exit->insn_len && exit->cr == 3 && gpr_valid(exit->gpr);
}

/* The MOV to CR3 that belongs to a MOV from CR3 of len bytes. Returns how many bytes further that is, 0: none. */
static u32 pair_length(struct vcpu *vcpu, u32 len)
{
	gva_t rip = vcpu->rip + len;
	u32 gpr = vcpu->exit.gpr, room = PAGE_SIZE - (rip & (PAGE_SIZE - 1)), more;
	u64 value = vcpu->cr3, flags = vcpu->rflags;
	const u8 *code;

	if ((rip ^ vcpu->rip) >> PAGE_SHIFT || !in_long_mode(vcpu))
		return 0;
	code = shadow_peek_code(vcpu->mmu, rip);
	more = code ? cr3_pair_length(code, room, gpr, &value, &flags) : 0;
	if (!more || cr_write_cr3(vcpu, value))
		return 0;
	vcpu->gpr[gpr] = value;
	vcpu->rflags = flags;
	return more;
}

u32 fast_path_cr3_read(struct vcpu *vcpu)
{
	u32 len;

	if (!is_cr3_move(vcpu, OPCODE_MOV_FROM_CR))
		return 0;
	len = vcpu->exit.insn_len;
	vcpu->gpr[vcpu->exit.gpr] = vcpu->cr3;
	return len + (vcpu->exit.cr3_pair ? pair_length(vcpu, len) : 0);
}

u32 fast_path_cr2_read(struct vcpu *vcpu)
{
	const u8 *b = insn_fast_peek(vcpu, OPCODE_MOV_FROM_CR, 2);

	if (!b || !gpr_valid(insn_fast_rm(b[2])))
		return 0;
	vcpu->gpr[insn_fast_rm(b[2])] = vcpu->cr2;
	return 3;
}

u32 fast_path_cr3_write(struct vcpu *vcpu)
{
	int err;

	if (!is_cr3_move(vcpu, OPCODE_MOV_TO_CR) || !in_long_mode(vcpu))
		return 0;
	err = cr_write_cr3(vcpu, vcpu->gpr[vcpu->exit.gpr]);
	if (unlikely(err))
		return err == -EAGAIN ? FAST_AGAIN : 0;
	return vcpu->exit.insn_len;
}

/* INVLPG of the address in a register. */
u32 fast_path_invlpg(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	const u8 *b;

	if (!exit->operand_known) {
		b = insn_fast_peek(vcpu, OPCODE_GROUP7, GROUP7_INVLPG);
		if (!b || !insn_fast_is_plain_address(b[2]))
			return 0;
		exit->insn_len = 3;
		exit->gva = vcpu->gpr[insn_fast_rm(b[2])];
	}
	if (!exit->insn_len)
		return 0;
	vcpu_note_event(vcpu, NOTED_FLUSH_PAGE, exit->gva);
	shadow_invlpg(vcpu->mmu, exit->gva);
	return exit->insn_len;
}
