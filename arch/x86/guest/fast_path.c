/* SPDX-License-Identifier: BSD-2-Clause */
/* See fast_path.h. */
#include "arch/x86/guest/fast_path.h"

#include "arch/x86/guest/cr3_pair.h"
#include "arch/x86/guest/cr.h"
#include "arch/x86/guest/state.h"
#include "mm/shadow.h"

/* The others are in the backend's hands still. */
static bool gpr_valid(u32 gpr)
{
	return gpr != GPR_RBP && gpr < GPR_R12;
}

/*
 * The three bytes 0F opcode ModRM at RIP, if the ModRM's reg field is as said; a
 * register operand is below 8, so that no prefix is needed. NULL: something else.
 */
static ALWAYS_INLINE const u8 *code_is(struct vcpu *vcpu, u8 opcode, u8 reg)
{
	const u8 *b = shadow_peek_code(vcpu->mmu, vcpu->rip);

	return likely(b && b[0] == 0x0f && b[1] == opcode && (b[2] >> 3 & 7) == reg) ? b : NULL;
}

/* MOV to or from CR3 (0F 22, 0F 20) with a register that is here; its mod field means nothing. */
static ALWAYS_INLINE bool is_cr3_move(struct vcpu *vcpu, u8 opcode)
{
	struct vcpu_exit *exit = &vcpu->exit;
	const u8 *b;

	if (!exit->operand_known) {
		b = code_is(vcpu, opcode, 3);
		if (!b)
			return false;
		exit->insn_len = 3;
		exit->cr = 3;
		exit->gpr = b[2] & 7;
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

	if (!is_cr3_move(vcpu, 0x20))
		return 0;
	len = vcpu->exit.insn_len;
	vcpu->gpr[vcpu->exit.gpr] = vcpu->cr3;
	return len + (vcpu->exit.cr3_pair ? pair_length(vcpu, len) : 0);
}

u32 fast_path_cr2_read(struct vcpu *vcpu)
{
	const u8 *b = code_is(vcpu, 0x20, 2);

	if (!b || !gpr_valid(b[2] & 7))
		return 0;
	vcpu->gpr[b[2] & 7] = vcpu->cr2;
	return 3;
}

u32 fast_path_cr3_write(struct vcpu *vcpu)
{
	if (!is_cr3_move(vcpu, 0x22) || !in_long_mode(vcpu) || cr_write_cr3(vcpu, vcpu->gpr[vcpu->exit.gpr]))
		return 0;
	return vcpu->exit.insn_len;
}

/* INVLPG (0F 01 /7) of the address in a register. */
u32 fast_path_invlpg(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	const u8 *b;

	if (!exit->operand_known) {
		b = code_is(vcpu, 0x01, 7);
		if (!b || b[2] >> 6 || (b[2] & 7) == GPR_RSP || !gpr_valid(b[2] & 7)) /* 4: SIB, 5: relative to RIP */
			return 0;
		exit->insn_len = 3;
		exit->gva = vcpu->gpr[b[2] & 7];
	}
	if (!exit->insn_len)
		return 0;
	shadow_invlpg(vcpu->mmu, exit->gva);
	return exit->insn_len;
}
