/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC: the guest has the hardware's own, but its page is trapped so
 * that no other processor can be started or reset, and IA32_APIC_BASE is
 * filtered: see apic.c.
 */
#ifndef ARCH_X86_GUEST_APIC_H
#define ARCH_X86_GUEST_APIC_H

#include "arch/x86/guest/vcpu.h"

/* Takes the guest's first view from the hardware. */
void apic_init(struct vcpu *vcpu);
/* The page's address; the same for guest and hardware, since it cannot be moved. */
static inline u64 apic_page(const struct vcpu *vcpu)
{
	return vcpu->apic_base & BITS(51, 12);
}
static inline bool apic_owns(const struct vcpu *vcpu, gpa_t a)
{
	return (a.v & PAGE_MASK) == apic_page(vcpu);
}
/* Accesses of 1, 2, 4 or 8 bytes inside the page. */
u64 apic_read(struct vcpu *vcpu, u32 offset, u32 size);
void apic_write(struct vcpu *vcpu, u32 offset, u32 size, u64 value);

/*
 * For the fast path: an access of 4 bytes that needs nothing but the hardware's register: no message but fixed ones, nothing
 * that the others' table has, no line in the log. Then apic_read() and apic_write() take no lock and wait for nobody (C16).
 */
bool apic_is_quick(const struct vcpu *vcpu, u32 offset, bool write, u32 value);

/* MSRs: 0, or -EFAULT for #GP. */
MUST_CHECK int apic_write_base(struct vcpu *vcpu, u64 value);
MUST_CHECK int apic_write_x2apic_icr(struct vcpu *vcpu, u64 value);
MUST_CHECK int apic_read_x2apic_icr(struct vcpu *vcpu, u64 *value);
bool apic_is_x2apic(const struct vcpu *vcpu);

/*
 * What an INIT does to the APIC of this processor (SDM vol. 3 sections 10.4.7.3 and 10.12.5.1): all but ID, mode and,
 * since no register tells it to, what is pending in IRR.
 */
void apic_reset(struct vcpu *vcpu);

#endif
