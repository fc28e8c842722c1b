/* SPDX-License-Identifier: BSD-2-Clause */
/* Segment registers of the current VMCS; its access-rights layout is the neutral one. */
#ifndef VMX_SEGMENTS_H
#define VMX_SEGMENTS_H

#include "arch/x86/guest/vcpu.h"

void vmx_segment_get(enum segment_name which, struct segment *out);
void vmx_segment_put(enum segment_name which, const struct segment *in);

#endif
