/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory by the guest's tables, rights aside; on the processor of vcpu. See target.h. */
#ifndef DEBUG_MEMORY_H
#define DEBUG_MEMORY_H

#include "arch/x86/guest/vcpu.h"

/* 0 and the guest-physical address, or -EFAULT. */
MUST_CHECK int memory_translate(struct vcpu *vcpu, gva_t gva, u64 *out);

/*
 * The page of the guest's RAM at a guest-physical address, or NULL: there is none. It may be read, on any processor, as long as the
 * guest is stopped.
 */
const u8 *memory_page(struct vcpu *vcpu, u64 address);

/* How many bytes from the first on were copied. */
u32 memory_copy(struct vcpu *vcpu, u64 address, bool physical, void *buf, u32 len, bool write);

#endif
