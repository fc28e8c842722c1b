/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest-memory accesses that an emulated instruction is made of. */
#ifndef ARCH_X86_GUEST_EMULATE_MEMORY_H
#define ARCH_X86_GUEST_EMULATE_MEMORY_H

#include "arch/x86/guest/vcpu.h"

/*
 * Data accesses as the guest's own at its CPL, to RAM, hidden and trapped
 * memory alike. Return 0, or -EFAULT with #PF or #AC queued. A write that crosses a
 * page is checked in full before its first byte is written.
 */
MUST_CHECK int emulate_read(struct vcpu *vcpu, gva_t gva, void *buf, u32 len);
MUST_CHECK int emulate_write(struct vcpu *vcpu, gva_t gva, const void *buf, u32 len);
/*
 * The write of a locked operation that has read what is expected: 0; -EAGAIN, another processor has changed it meanwhile, nothing is
 * written and the instruction is to be executed again; -EFAULT. At most 8 bytes; across two pages it is a plain write.
 */
MUST_CHECK int emulate_exchange(struct vcpu *vcpu, gva_t gva, const void *expected, const void *value, u32 len);
/* Whether the access would succeed. */
MUST_CHECK int emulate_probe_read(struct vcpu *vcpu, gva_t gva, u32 len);
MUST_CHECK int emulate_probe_write(struct vcpu *vcpu, gva_t gva, u32 len);

/*
 * A write of any length that nobody carries out, once for all of it: 0 where all of it goes to hidden memory, which drops it;
 * -EIO if part of it does not; -EFAULT as above.
 */
MUST_CHECK int emulate_drop_write(struct vcpu *vcpu, gva_t gva, u32 len);

#endif
