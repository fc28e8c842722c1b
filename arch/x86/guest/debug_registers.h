/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's debug registers, as the guest has them (SDM vol. 3 section 17.2), whether they are the processor's or not. Without points of
 * debug/ they are: DR0 to DR3 stay in the CPU, and MOV DR does not exit. While there are such points the registers are armed: MOV DR and
 * #DB exit, the guest's values are kept here, each breakpoint that it has enabled stays in its own register, and
 * the points get those that are left. DR6 of the processor has no causes then but those of the exit at hand. On the processor of vcpu.
 */
#ifndef ARCH_X86_GUEST_DEBUG_REGISTERS_H
#define ARCH_X86_GUEST_DEBUG_REGISTERS_H

#include "arch/x86/guest/debug_point.h"
#include "arch/x86/guest/vcpu.h"

/*
 * Arms for these points, or for none: then the registers are the guest's again. Returns bits by number: those that found no
 * register, since the guest has enabled too many breakpoints. They get one as soon as the guest gives it up.
 */
u32 debug_registers_arm(struct vcpu *vcpu, const struct debug_point *points, u32 count, debug_points_hit_fn *hit);

/* Of the causes of a debug exception (as in DR6): what is the guest's. What is of points is told to hit(). */
u64 debug_registers_sort(struct vcpu *vcpu, u64 causes);

/* A #DB that exited: its causes, which are no longer in DR6 and not queued either. */
u64 debug_registers_causes(struct vcpu *vcpu);

/* The guest shall find these causes in DR6. */
void debug_registers_tell(struct vcpu *vcpu, u64 causes);

/* n: 0 to 3, 6 or 7. Bits that are fixed are as the processor has them. */
u64 debug_register_read(const struct vcpu *vcpu, u32 n);
void debug_register_write(struct vcpu *vcpu, u32 n, u64 value);

#endif
