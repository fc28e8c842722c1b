/* SPDX-License-Identifier: BSD-2-Clause */
/* See debug_move.h. The hardware says at most which register: the instruction is decoded. */
#include "arch/x86/guest/debug_move.h"

#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"

#define FROM_DEBUG 0x21
#define TO_DEBUG 0x23

int debug_move_register(struct vcpu *vcpu, u32 reg)
{
	if (reg > 7 || ((reg == 4 || reg == 5) && vcpu->cr4 & CR4_DE)) {
		inject_ud(vcpu);
		return -EFAULT;
	}
	if (debug_register_read(vcpu, 7) & DR7_GD) {
		breakpoint_raise(vcpu, DR6_BD);
		return -EFAULT;
	}
	return (int)(reg == 4 || reg == 5 ? reg + 2 : reg);
}

void debug_move_handle(struct vcpu *vcpu)
{
	bool wide = insn_code_bits(vcpu) == 64;
	struct insn insn;
	u64 value;
	int n;

	if (insn_fetch(vcpu, &insn))
		return;
	if (insn.map != 1 || (insn.opcode != FROM_DEBUG && insn.opcode != TO_DEBUG))
		return; /* it has been changed since: executed again */
	if (vcpu->cpl) {
		inject_gp(vcpu);
		return;
	}
	n = debug_move_register(vcpu, insn.reg);
	if (n < 0)
		return;
	value = wide ? vcpu->gpr[insn.rm] : (u32)vcpu->gpr[insn.rm];
	if (insn.opcode == FROM_DEBUG) {
		value = debug_register_read(vcpu, (u32)n);
		vcpu->gpr[insn.rm] = wide ? value : (u32)value;
	} else if (n >= 6 && value >> 32) {
		inject_gp(vcpu);
		return;
	} else {
		debug_register_write(vcpu, (u32)n, value);
	}
	insn_advance(vcpu, insn.len);
}
