/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMCS numbers the segment registers as enum segment_name does, so a field
 * is found by arithmetic. GDTR and IDTR have a base and a limit only.
 */
#include "vmx/segments.h"

#include "vmx/vmcs.h"

#define FIELD(first, which) ((u32)(first) + VMCS_SEGMENT_STEP * (u32)(which))
#define SAME(kind, name) \
	_Static_assert(FIELD(VMCS_GUEST_ES_##kind, SEG_##name) == VMCS_GUEST_##name##_##kind, #name)
SAME(SELECTOR, CS);
SAME(SELECTOR, LDTR);
SAME(SELECTOR, TR);
SAME(LIMIT, CS);
SAME(LIMIT, TR);
SAME(LIMIT, GDTR);
SAME(LIMIT, IDTR);
SAME(ATTRIBUTES, CS);
SAME(ATTRIBUTES, LDTR);
SAME(ATTRIBUTES, TR);
SAME(BASE, CS);
SAME(BASE, TR);
SAME(BASE, GDTR);
SAME(BASE, IDTR);

/* Bits 11:8 and 31:17 are reserved, SDM vol. 3 table 24-2. */
#define ATTRIBUTES_DEFINED (BITS(16, 12) | BITS(7, 0))

static bool is_table(enum segment_name which)
{
	return which == SEG_GDTR || which == SEG_IDTR;
}

void vmx_segment_get(enum segment_name which, struct segment *out)
{
	*out = (struct segment){
		.limit = (u32)vmcs_read_raw(FIELD(VMCS_GUEST_ES_LIMIT, which)),
		.base = vmcs_read_raw(FIELD(VMCS_GUEST_ES_BASE, which)),
	};
	if (is_table(which))
		return;
	out->selector = (u16)vmcs_read_raw(FIELD(VMCS_GUEST_ES_SELECTOR, which));
	out->attributes = (u32)vmcs_read_raw(FIELD(VMCS_GUEST_ES_ATTRIBUTES, which));
}

void vmx_segment_put(enum segment_name which, const struct segment *in)
{
	vmcs_write_raw(FIELD(VMCS_GUEST_ES_LIMIT, which), in->limit);
	vmcs_write_raw(FIELD(VMCS_GUEST_ES_BASE, which), in->base);
	if (is_table(which))
		return;
	vmcs_write_raw(FIELD(VMCS_GUEST_ES_SELECTOR, which), in->selector);
	vmcs_write_raw(FIELD(VMCS_GUEST_ES_ATTRIBUTES, which), in->attributes & ATTRIBUTES_DEFINED);
}
