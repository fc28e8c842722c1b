/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the interpreter knows of its guest from one instruction to the next: the segment registers and what they allow, whether
 * breakpoints are on, and, with paging off, where pages of RAM are. Nothing is known but between known_begin() and known_forget(),
 * and there whoever changes what it is made of (a segment register, CR0, DR7, the privilege) says so. The emulator's
 * accesses take the short way by it; without it, or where it does not tell, they take the long one, which decides alike.
 */
#ifndef ARCH_X86_GUEST_KNOWN_H
#define ARCH_X86_GUEST_KNOWN_H

#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"

static ALWAYS_INLINE struct guest_known *known_of(const struct vcpu *vcpu)
{
	return &guest_of(vcpu)->known;
}

void known_begin(struct vcpu *vcpu);

static ALWAYS_INLINE void known_forget(struct vcpu *vcpu)
{
	struct guest_known *k = known_of(vcpu);

	k->on = k->quiet = k->flat = false;
	k->segments = 0;
}

/* May a segment be used so, apart from its limit? */
bool known_allows(const struct vcpu *vcpu, const struct segment *s, enum segment_access access);
bool known_expands_down(const struct segment *s);

/* Finds out, while something may be known at all. */
const struct known_segment *known_find_segment(const struct vcpu *vcpu, enum segment_name which);
const struct shadow_ram *known_find_ram(const struct vcpu *vcpu, gfn_t gfn);

/* A segment register; in buf, or good until another instruction. */
static ALWAYS_INLINE const struct segment *known_segment(const struct vcpu *vcpu, enum segment_name which,
							 struct segment *buf)
{
	struct guest_known *k = known_of(vcpu);

	if (likely(k->segments >> which & 1))
		return &k->segment[which].segment;
	if (k->on)
		return &known_find_segment(vcpu, which)->segment;
	vcpu->vendor->get_segment(vcpu, which, buf);
	return buf;
}

/* Every change of a segment register by this half. */
static inline void known_set_segment(struct vcpu *vcpu, enum segment_name which, const struct segment *in)
{
	known_of(vcpu)->segments &= ~(u32)BIT(which);
	vcpu->vendor->set_segment(vcpu, which, in);
}

static ALWAYS_INLINE u16 known_selector(const struct vcpu *vcpu, enum segment_name which)
{
	struct segment buf;

	return known_segment(vcpu, which, &buf)->selector;
}

/* insn_linear() outside 64-bit code. False: it must look itself. */
static ALWAYS_INLINE bool known_linear(const struct vcpu *vcpu, enum segment_name which, u64 offset, u32 len,
				       enum segment_access access, gva_t *out)
{
	const struct guest_known *k = known_of(vcpu);
	const struct known_segment *s = &k->segment[which];

	if (unlikely(!(k->segments >> which & 1))) {
		if (!k->on)
			return false;
		known_find_segment(vcpu, which);
	}
	if (unlikely(offset + len > s->end[access]))
		return false;
	*out = (u32)(s->segment.base + offset);
	return true;
}

/* The RAM that these bytes at a linear address are; NULL: they are none, or it must be found out in another way. */
static ALWAYS_INLINE const struct shadow_ram *known_ram(const struct vcpu *vcpu, gva_t gva, u32 len)
{
	const struct guest_known *k = known_of(vcpu);
	gfn_t gfn = gva >> PAGE_SHIFT;
	const struct known_page *page = &k->page[gfn % KNOWN_PAGES];

	if (unlikely(!k->flat || (gva & ~PAGE_MASK) + len > PAGE_SIZE))
		return NULL;
	return likely(page->number == gfn + 1) ? &page->ram : known_find_ram(vcpu, gfn);
}

#endif
