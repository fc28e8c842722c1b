/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast path of the frequent exits: with a part of the guest's state, and
 * without dispatch. A backend may take it when the exit cut no event short, the
 * code is 64-bit and RFLAGS.TF and RF are clear.
 *
 * Valid on entry: rip, code_bits unless rip is above 4 GiB, gpr but RBP and R12 to
 * R15 (RSP for MOV to and from CR3 only), cr0 but TS and MP, cr3, cr4, efer; of
 * vcpu->exit: insn_len, operand_known and what it says. Each returns the length of
 * the instruction, which is done; the backend goes past it and ends an interrupt
 * shadow. Or 0: nothing has happened, the exit takes the slow path. Or FAST_AGAIN:
 * the guest executes the instruction again, and is as it was.
 */
#ifndef ARCH_X86_GUEST_FAST_PATH_H
#define ARCH_X86_GUEST_FAST_PATH_H

#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/insn_fast.h"
#include "arch/x86/guest/vcpu.h"

#define CPUID_LEN 2u
#define FAST_AGAIN (~0u)

/* The length of CPUID at b, which may be NULL, 0: not in the usual form. Then cpuid_execute(). */
static ALWAYS_INLINE u32 fast_path_cpuid_len(const u8 *b)
{
	return likely(b && insn_fast_opcode(b) == OPCODE_CPUID) ? CPUID_LEN : 0;
}

/*
 * Where exit.cr3_pair is set, rflags is valid too, and the code up to the next MOV to CR3
 * may be done with it (cr3_pair.h): the length is that of all, rflags may have changed.
 */
u32 fast_path_cr3_read(struct vcpu *vcpu);
/* Needs cr2; for a CPU that reports every read of a control register alike, and no operands. */
u32 fast_path_cr2_read(struct vcpu *vcpu);
u32 fast_path_cr3_write(struct vcpu *vcpu);
u32 fast_path_invlpg(struct vcpu *vcpu);

/*
 * A page fault at gva, with the hardware's error code, by a MOV of 32 bits to or from a register of the local APIC.
 * The backend calls it only if no breakpoint is on; RF is to be cleared behind it. Valid on entry are rip and gpr but
 * RSP, RBP and R12 to R15. The first: the shadow engine answered EMULATE, with vcpu->mmio.fault. The second: it was
 * not asked; takes no lock and waits for nobody, so the CPU may be inside (C16).
 */
u32 fast_path_apic(struct vcpu *vcpu, gva_t gva, u32 error);
u32 fast_path_apic_inside(struct vcpu *vcpu, gva_t gva, u32 error, u32 cpl, u64 rflags);

#endif
