/* SPDX-License-Identifier: BSD-2-Clause */
/* Trapped I/O ports. All other ports are the guest's without an exit. */
#ifndef ARCH_X86_GUEST_IO_H
#define ARCH_X86_GUEST_IO_H

#include "arch/x86/guest/io_filter.h"

/* Traps count ports from first on. 0 or -ENOSPC. */
MUST_CHECK int io_trap(struct vcpu *vcpu, u16 first, u16 count, io_filter_fn *filter);

/* The same with a function that does each access itself. */
MUST_CHECK int io_trap_instead(struct vcpu *vcpu, u16 first, u16 count, io_instead_fn *instead);

/* EXIT_IO */
void io_handle(struct vcpu *vcpu);

#endif
