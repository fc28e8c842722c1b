/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace of a guest (lib/trace.h): exits and what follows from them, the rings' memory, on and off, and the CPUID leaves
 * by which the guest reads it. docs/tracing.md.
 */
#ifndef ARCH_X86_GUEST_TRACE_H
#define ARCH_X86_GUEST_TRACE_H

#include "arch/x86/cpu.h"
#include "arch/x86/guest/vcpu.h"

/* What a boot entry asks for; it stays where it is. */
struct guest_trace_config {
	u32 kinds;    /* BIT(enum trace_kind): on from the start */
	bool changes; /* the guest may change the filter */
	u64 bytes;    /* of each processor's ring; 0: there is no trace */
	u32 ticks_per_us;
};

/* On the boot processor: a ring in config->bytes at records. NULL: there is a line if there should be a ring, and none. */
void guest_trace_give(struct vcpu *vcpu, const struct guest_trace_config *config, void *records);

/* When all have their rings. here: trace_set_here(). */
void guest_trace_start(struct vcpu *boot, const struct guest_trace_config *config, trace_here_fn *here);

/* For a virtual CPU that has just got its shadow MMU, or is about to run: it does what is on now. */
void guest_trace_apply(struct vcpu *vcpu);

/* An exit is handled, by the fast path or the slow one; event: what the next entry delivers. */
__attribute__((cold)) void guest_trace_exit(struct vcpu *vcpu, u64 ticks, const struct vcpu_event *event);

/* CPUID's leaves of the trace, see docs/tracing.md; may be called inside (C16). False: it is none of them. */
bool guest_trace_leaf(struct vcpu *vcpu, u32 leaf, u32 subleaf, struct cpuid_regs *r);
#define CPUID_HV_TRACE 0x40000020u
#define CPUID_HV_TRACE_RECORD 0x40000021u
#define CPUID_HV_TRACE_FILTER 0x40000022u

#endif
