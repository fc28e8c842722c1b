/* SPDX-License-Identifier: BSD-2-Clause */
/* Trapped I/O ports. All other ports are the guest's without an exit. */
#ifndef ARCH_X86_GUEST_IO_H
#define ARCH_X86_GUEST_IO_H

#include "arch/x86/guest/vcpu.h"

typedef void io_access_fn(struct vcpu *vcpu, void *arg, u16 port, u32 size, bool in, u32 *value);

/* Traps count ports from first on; the access function stands for the device. 0 or -ENOSPC. */
MUST_CHECK int io_trap(struct vcpu *vcpu, u16 first, u16 count, io_access_fn *access, void *arg);

void io_handle(struct vcpu *vcpu);

#endif
