/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debug exceptions that the hypervisor owes the guest for the instructions which it
 * executes itself: single steps, data and I/O breakpoints (SDM vol. 3 sections 17.2 and
 * 17.3). DR0 to DR3 are the guest's all the time; instruction breakpoints and general
 * detect are the hardware's business, since every MOV DR and every fetch is, but for the interpreter's.
 */
#ifndef ARCH_X86_GUEST_BREAKPOINT_H
#define ARCH_X86_GUEST_BREAKPOINT_H

#include "arch/x86/guest/vcpu.h"

/* The instruction at hand has read or written len bytes at gva, or at a port. Nothing happens before it is done. */
void breakpoint_note_access(struct vcpu *vcpu, gva_t gva, u32 len, bool write);
void breakpoint_note_port(struct vcpu *vcpu, u16 port, u32 len);

/*
 * For an instruction that the hardware does not fetch, before it: is there a breakpoint at it that RF and the shadow of a MOV SS
 * do not hold off? Then #DB is queued, a fault that leaves RF as it is (SDM vol. 3 section 17.3.1.1).
 */
bool breakpoint_is_at(struct vcpu *vcpu, gva_t gva);

/* Has an access of the instruction at hand met a breakpoint? A repeated one stops behind that element. */
static inline bool breakpoint_is_hit(const struct vcpu *vcpu)
{
	return vcpu->breakpoints_hit;
}

/* Has breakpoint_finish() anything to do? */
static inline bool breakpoint_is_due(const struct vcpu *vcpu)
{
	return vcpu->breakpoints_hit || vcpu->rflags & RFLAGS_TF;
}

/*
 * The instruction, or one element of a repeated one, is done and RIP is where it leads:
 * queues the #DB that is due. TF counts as it stands: no instruction done here changes it.
 */
void breakpoint_finish(struct vcpu *vcpu, bool branch);

/* #DB as a trap with these bits of DR6, with what the processor does beside its delivery. */
void breakpoint_raise(struct vcpu *vcpu, u64 dr6);

#endif
