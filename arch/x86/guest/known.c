/* SPDX-License-Identifier: BSD-2-Clause */
/* See known.h. */
#include "arch/x86/guest/known.h"

#define SEG_TYPE_WRITABLE BIT(1) /* of data; of code: readable */
#define SEG_TYPE_EXPAND_DOWN BIT(2)
#define SEG_TYPE_CODE BIT(3)

/*
 * A null selector gives access to nothing. Code is not written, nor read unless it is readable, and data is written if
 * it is writable (SDM vol. 3 section 5.4). Without CR0.PE there are no types (section 5.1): CS is written as DS is.
 */
bool known_allows(const struct vcpu *vcpu, const struct segment *s, enum segment_access access)
{
	bool code = s->attributes & SEG_TYPE_CODE, rights = s->attributes & SEG_TYPE_WRITABLE;

	if (s->attributes & SEG_ATTR_UNUSABLE)
		return false;
	if (!(vcpu->cr0 & CR0_PE) || access == SEGMENT_FLUSH)
		return true;
	return access == SEGMENT_WRITE ? rights && !code : rights || !code;
}

bool known_expands_down(const struct segment *s)
{
	return (s->attributes & (SEG_TYPE_EXPAND_DOWN | SEG_TYPE_CODE)) == SEG_TYPE_EXPAND_DOWN;
}

const struct known_segment *known_find_segment(const struct vcpu *vcpu, enum segment_name which)
{
	struct guest_known *k = known_of(vcpu);
	struct known_segment *s = &k->segment[which];

	vcpu->vendor->get_segment(vcpu, which, &s->segment);
	for (u32 access = 0; access < SEGMENT_ACCESSES; access++)
		s->end[access] = known_allows(vcpu, &s->segment, (enum segment_access)access) &&
						 !known_expands_down(&s->segment) ?
					 (u64)s->segment.limit + 1 :
					 0;
	s->bits = s->segment.attributes & SEG_ATTR_DB ? 32 : 16;
	k->segments |= (u32)BIT(which);
	return s;
}

/* Which frames are RAM, and where, never changes: what is found once is right for good. */
const struct shadow_ram *known_find_ram(const struct vcpu *vcpu, gfn_t gfn)
{
	struct known_page *page = &known_of(vcpu)->page[gfn % KNOWN_PAGES];

	page->number = 0;
	if (!shadow_find_ram(vcpu->mmu, gfn, &page->ram))
		return NULL;
	page->number = gfn + 1;
	return &page->ram;
}

/* At privilege 3 there would be alignment to check. */
void known_begin(struct vcpu *vcpu)
{
	struct guest_known *k = known_of(vcpu);

	known_forget(vcpu);
	k->on = true;
	k->quiet = !(vcpu->vendor->get_dr7(vcpu) & DR7_ENABLES);
	k->flat = k->quiet && !(vcpu->cr0 & CR0_PG) && !vcpu->cpl;
}
