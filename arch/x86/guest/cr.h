/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control registers, EFER and XCR0 of the guest: legality as in SDM vol. 2
 * "MOV - Move to/from Control Registers" and vol. 3 sections 2.5 and 4.1, and
 * what a change means for the shadow and the hardware.
 */
#ifndef ARCH_X86_GUEST_CR_H
#define ARCH_X86_GUEST_CR_H

#include "arch/x86/guest/vcpu.h"

/* After CPUID is known: the bits of CR4 and EFER that this guest may set. */
void cr_init(struct vcpu *vcpu);

/* Writes by the guest: 0, or -EINVAL where hardware raises #GP(0) and nothing changes. */
MUST_CHECK int cr_write_cr0(struct vcpu *vcpu, u64 value);
/* In long mode also -EAGAIN: nothing has changed, the guest executes it again, for it is much to flush (S27). */
MUST_CHECK int cr_write_cr3(struct vcpu *vcpu, u64 value);
MUST_CHECK int cr_write_cr4(struct vcpu *vcpu, u64 value);
MUST_CHECK int cr_write_efer(struct vcpu *vcpu, u64 value);

/* The guest's registers or PAT changed: tell the shadow engine and the hardware. */
void cr_apply(struct vcpu *vcpu, bool flush);

/* vcpu->check_root, which depends on the guest's mode and on whether it is stepped. */
void cr_set_check_root(struct vcpu *vcpu);

/* Has those reads exit whose register the hardware holds with another value. Needs vcpu->cr0 and cr4. */
void cr_set_read_intercepts(struct vcpu *vcpu);

void cr_handle_read(struct vcpu *vcpu);
void cr_handle_write(struct vcpu *vcpu);
void cr_handle_xsetbv(struct vcpu *vcpu);

#endif
