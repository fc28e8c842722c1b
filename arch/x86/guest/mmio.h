/* SPDX-License-Identifier: BSD-2-Clause */
/* Trapped pages of device memory. All other device memory is the guest's without an exit. */
#ifndef ARCH_X86_GUEST_MMIO_H
#define ARCH_X86_GUEST_MMIO_H

#include "arch/x86/guest/io_filter.h"

/* The page must be of kind REGION_TRAPPED and mapped for the hypervisor (memory_trap_device()). 0 or -ENOSPC. */
MUST_CHECK int mmio_trap(struct vcpu *vcpu, gpa_t page, io_filter_fn *filter);

/* Accesses to trapped pages, for the emulator: len bytes inside one page. */
bool mmio_owns(const struct vcpu *vcpu, gpa_t at);
void mmio_read(struct vcpu *vcpu, gpa_t at, void *buf, u32 len);
void mmio_write(struct vcpu *vcpu, gpa_t at, const void *buf, u32 len);

#endif
