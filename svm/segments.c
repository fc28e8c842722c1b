/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attribute layouts:
 *   VMCB      11 G  10 D/B  9 L  8 AVL  7 P  6:5 DPL  4 S  3:0 type
 *   neutral   16 unusable  15 G  14 D/B  13 L  12 AVL  7 P  6:5 DPL  4 S  3:0 type
 */
#include "svm/segments.h"

#define LOW_BITS 0xffu
#define HIGH_BITS 0xfu
#define VMCB_HIGH_SHIFT 8
#define NEUTRAL_HIGH_SHIFT 12

u16 svm_attributes_pack(u32 attributes)
{
	u32 packed = (attributes & LOW_BITS) | (attributes >> NEUTRAL_HIGH_SHIFT & HIGH_BITS) << VMCB_HIGH_SHIFT;

	if (attributes & SEG_ATTR_UNUSABLE)
		packed &= ~(u32)SEG_ATTR_P;
	return (u16)packed;
}

u32 svm_attributes_unpack(u16 attributes)
{
	u32 unpacked = (attributes & LOW_BITS) | ((u32)attributes >> VMCB_HIGH_SHIFT & HIGH_BITS)
							 << NEUTRAL_HIGH_SHIFT;

	if (!(attributes & SEG_ATTR_P))
		unpacked |= SEG_ATTR_UNUSABLE;
	return unpacked;
}

struct vmcb_segment *svm_segment_of(struct vmcb *vmcb, enum segment_name which)
{
	struct vmcb_segment *const table[SEG_COUNT] = {
		[SEG_ES] = &vmcb->es,     [SEG_CS] = &vmcb->cs,     [SEG_SS] = &vmcb->ss,     [SEG_DS] = &vmcb->ds,
		[SEG_FS] = &vmcb->fs,     [SEG_GS] = &vmcb->gs,     [SEG_LDTR] = &vmcb->ldtr, [SEG_TR] = &vmcb->tr,
		[SEG_GDTR] = &vmcb->gdtr, [SEG_IDTR] = &vmcb->idtr,
	};

	return table[which];
}

void svm_segment_get(const struct vmcb_segment *from, struct segment *out)
{
	*out = (struct segment){
		.selector = from->selector,
		.attributes = svm_attributes_unpack(from->attributes),
		.limit = from->limit,
		.base = from->base,
	};
}

void svm_segment_put(struct vmcb_segment *to, const struct segment *in)
{
	*to = (struct vmcb_segment){
		.selector = in->selector,
		.attributes = svm_attributes_pack(in->attributes),
		.limit = in->limit,
		.base = in->base,
	};
}
