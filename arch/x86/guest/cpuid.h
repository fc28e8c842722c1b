/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID as the guest sees it, and the hypervisor's own leaves. */
#ifndef ARCH_X86_GUEST_CPUID_H
#define ARCH_X86_GUEST_CPUID_H

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid_bits.h"
#include "arch/x86/guest/vcpu.h"

/* Computes what the guest sees. hide: "-pku,-la57", names as in Linux's /proc/cpuinfo. */
void cpuid_init(struct vcpu *vcpu, const char *hide);

struct cpuid_regs cpuid_answer(struct vcpu *vcpu, u32 leaf, u32 subleaf);

/* CPUID on the guest's registers. */
void cpuid_execute(struct vcpu *vcpu);

/* Is a feature bit of mask on, subleaf 0, as the guest sees it? */
bool cpuid_has(struct vcpu *vcpu, u32 leaf, enum cpuid_reg reg, u32 mask);
/* A feature bit, or any bit of a leaf. */
bool cpuid_shows(struct vcpu *vcpu, const struct cpuid_bit *bit);

/* The hypervisor's leaves; the first one names it. */
#define CPUID_HV_BASE CPUID_LEAF_HYPERVISOR
#define CPUID_HV_VERSION 0x40000001u
#define CPUID_HV_RELEASE 0x40000002u
#define CPUID_HV_COUNTER 0x40000010u
#define CPUID_HV_COUNTER_NAME 0x40000011u
#define CPUID_HV_LOG 0x40000012u
#define CPUID_HV_LOG_TEXT 0x40000013u

#endif
