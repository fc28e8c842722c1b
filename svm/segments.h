/* SPDX-License-Identifier: BSD-2-Clause */
/* Segment registers between the VMCB's form and the neutral one. */
#ifndef SVM_SEGMENTS_H
#define SVM_SEGMENTS_H

#include "arch/x86/guest/vcpu.h"
#include "svm/vmcb.h"

/* Neutral attributes (VMX layout) to the VMCB's 12 bits; unusable becomes not present. */
u16 svm_attributes_pack(u32 attributes);

/* And back; not present becomes unusable. */
u32 svm_attributes_unpack(u16 attributes);

/* The register in the save area. */
struct vmcb_segment *svm_segment_of(struct vmcb *vmcb, enum segment_name which);

void svm_segment_get(const struct vmcb_segment *from, struct segment *out);
void svm_segment_put(struct vmcb_segment *to, const struct segment *in);

#endif
