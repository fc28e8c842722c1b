/* SPDX-License-Identifier: BSD-2-Clause */
/* See segment_load.h. */
#include "arch/x86/guest/segment_load.h"

#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/vendor.h"

#define DESCRIPTOR_BYTES 8u
#define ACCESS_BYTE 5u        /* of a descriptor */
#define REAL_ATTRIBUTES 0x93u /* data, writable, accessed, DPL 0, present */
#define V86_ATTRIBUTES 0xf3u  /* data, writable, accessed, DPL 3, present */

/* --- memory ------------------------------------------------------------------------- */

static struct gpt_access implicit_access(bool write)
{
	return (struct gpt_access){.write = write, .implicit = true};
}

static int queue(struct vcpu *vcpu, int err, gva_t fault_gva, u32 error)
{
	if (err == -EFAULT)
		inject_pf(vcpu, fault_gva, error);
	else if (err)
		inject_gp(vcpu);
	return err ? -EFAULT : 0;
}

int system_read_anywhere(struct vcpu *vcpu, gva_t at, void *buf, u32 len)
{
	gva_t fault_gva = at;
	u32 error = 0;
	int err = shadow_read_guest(vcpu->mmu, at, buf, len, implicit_access(false), &fault_gva, &error);

	return queue(vcpu, err, fault_gva, error);
}

int system_write(struct vcpu *vcpu, gva_t at, const void *buf, u32 len)
{
	gva_t fault_gva = at;
	u32 error = 0;
	int err = shadow_write_guest(vcpu->mmu, at, buf, len, implicit_access(true), &fault_gva, &error);

	return queue(vcpu, err, fault_gva, error);
}

int system_probe_write(struct vcpu *vcpu, gva_t at, u32 len)
{
	gva_t ends[] = {at, at + len - 1};
	struct gpt_walk walk;

	for (u32 i = 0; i < ARRAY_SIZE(ends); i++) {
		if (shadow_translate(vcpu->mmu, ends[i], implicit_access(true), &walk) == GPT_OK)
			continue;
		inject_pf(vcpu, i ? ends[i] & PAGE_MASK : at, walk.error);
		return -EFAULT;
	}
	return 0;
}

/* --- descriptors ---------------------------------------------------------------------- */

static void unpack(u64 raw, u16 selector, struct segment *out)
{
	u32 limit = (u32)((raw & 0xffff) | (raw >> 32 & 0xf0000));

	*out = (struct segment){
		.selector = selector,
		.base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24,
		.attributes = (u32)((raw >> 40 & 0xff) | (raw >> 52 & 0xf) << 12),
		.limit = raw & BIT(55) ? limit << 12 | 0xfff : limit,
	};
}

/* The table, or an empty one where the LDT is not usable. */
static struct segment table_of(const struct vcpu *vcpu, u16 selector)
{
	struct segment table;

	vcpu->vendor->get_segment(vcpu, selector & SELECTOR_LDT ? SEG_LDTR : SEG_GDTR, &table);
	if (selector & SELECTOR_LDT && table.attributes & SEG_ATTR_UNUSABLE)
		return (struct segment){0};
	return table;
}

int descriptor_read(struct vcpu *vcpu, u16 selector, struct segment *out, gva_t *at)
{
	struct segment table = table_of(vcpu, selector);
	u32 offset = selector & SELECTOR_INDEX;
	u64 raw;
	int err;

	if (!(selector & (SELECTOR_INDEX | SELECTOR_LDT)) || offset + DESCRIPTOR_BYTES - 1 > table.limit)
		return -ENOENT;
	*at = (u32)(table.base + offset);
	err = system_read(vcpu, *at, &raw, sizeof(raw));
	if (!err)
		unpack(raw, selector, out);
	return err;
}

int descriptor_write_access(struct vcpu *vcpu, gva_t descriptor, u8 access)
{
	return system_write(vcpu, (u32)(descriptor + ACCESS_BYTE), &access, sizeof(access));
}

/* --- segment registers ------------------------------------------------------------------- */

static bool is_null(u16 selector)
{
	return !(selector & ~SELECTOR_RPL);
}

/* Table 7-1: the vector for this descriptor in this register, 0 if it may be loaded. */
static u8 data_fault(const struct segment *s, u32 cpl)
{
	u32 type = s->attributes & DESCRIPTOR_TYPE, dpl = DESCRIPTOR_DPL(s->attributes);
	bool conforming = (type & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);

	if (!(s->attributes & DESCRIPTOR_S) || (type & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_CODE)
		return VEC_TS;
	if (!conforming && dpl < MAX(cpl, s->selector & SELECTOR_RPL))
		return VEC_TS;
	return s->attributes & DESCRIPTOR_P ? 0 : VEC_NP;
}

static u8 stack_fault(const struct segment *s, u32 cpl)
{
	u32 type = s->attributes & DESCRIPTOR_TYPE;

	if (!(s->attributes & DESCRIPTOR_S) || (type & (TYPE_CODE | TYPE_WRITABLE)) != TYPE_WRITABLE)
		return VEC_TS;
	if (DESCRIPTOR_DPL(s->attributes) != cpl || (s->selector & SELECTOR_RPL) != cpl)
		return VEC_TS;
	return s->attributes & DESCRIPTOR_P ? 0 : VEC_SS;
}

static u8 code_fault(const struct segment *s)
{
	u32 type = s->attributes & DESCRIPTOR_TYPE, dpl = DESCRIPTOR_DPL(s->attributes);
	u32 rpl = s->selector & SELECTOR_RPL;

	if (!(s->attributes & DESCRIPTOR_S) || !(type & TYPE_CODE))
		return VEC_TS;
	if (type & TYPE_CONFORMING ? dpl > rpl : dpl != rpl)
		return VEC_TS;
	return s->attributes & DESCRIPTOR_P ? 0 : VEC_NP;
}

static u8 ldt_fault(const struct segment *s)
{
	return (s->attributes & (DESCRIPTOR_S | DESCRIPTOR_TYPE | DESCRIPTOR_P)) == (TYPE_LDT | DESCRIPTOR_P) ?
		       0 :
		       VEC_TS;
}

static u8 fault_of(enum segment_name which, const struct segment *s, u32 cpl)
{
	switch (which) {
	case SEG_CS: return code_fault(s);
	case SEG_SS: return stack_fault(s, cpl);
	case SEG_LDTR: return ldt_fault(s);
	default: return data_fault(s, cpl);
	}
}

static int refuse(struct vcpu *vcpu, u8 vector, u16 selector)
{
	inject_exception(vcpu, vector, selector & ~SELECTOR_RPL);
	return -EFAULT;
}

int descriptor_mark_accessed(struct vcpu *vcpu, struct segment *s, gva_t at)
{
	if (!(s->attributes & DESCRIPTOR_S) || s->attributes & TYPE_ACCESSED)
		return 0;
	s->attributes |= TYPE_ACCESSED;
	return descriptor_write_access(vcpu, at, (u8)s->attributes);
}

/* invalid: the vector for a descriptor or selector that does not fit. */
static int load(struct vcpu *vcpu, enum segment_name which, u16 selector, u32 cpl, u8 invalid)
{
	struct segment s = {.selector = selector, .attributes = SEG_ATTR_UNUSABLE};
	gva_t at;
	u8 vector;
	int err;

	if (is_null(selector) && which != SEG_CS && which != SEG_SS) {
		known_set_segment(vcpu, which, &s);
		return 0;
	}
	err = which == SEG_LDTR && selector & SELECTOR_LDT ? -ENOENT : descriptor_read(vcpu, selector, &s, &at);
	if (err)
		return err == -ENOENT ? refuse(vcpu, invalid, selector) : err;
	vector = fault_of(which, &s, cpl);
	if (vector)
		return refuse(vcpu, vector == VEC_TS ? invalid : vector, selector);
	err = descriptor_mark_accessed(vcpu, &s, at);
	if (!err)
		known_set_segment(vcpu, which, &s);
	return err;
}

int segment_load(struct vcpu *vcpu, enum segment_name which, u16 selector, u32 cpl)
{
	return load(vcpu, which, selector, cpl, VEC_TS);
}

int segment_move(struct vcpu *vcpu, enum segment_name which, u16 selector)
{
	return load(vcpu, which, selector, vcpu->cpl, VEC_GP);
}

int segment_load_outer_stack(struct vcpu *vcpu, u16 selector, u32 cpl)
{
	return load(vcpu, SEG_SS, selector, cpl, VEC_GP);
}

/* SDM vol. 2, RET: "return to outer privilege level". */
void segment_drop_inner(struct vcpu *vcpu, u32 cpl)
{
	static const u8 dropped[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
	const struct segment null = {.attributes = SEG_ATTR_UNUSABLE};
	struct segment s;

	for (u32 i = 0; i < ARRAY_SIZE(dropped); i++) {
		vcpu->vendor->get_segment(vcpu, dropped[i], &s);
		if (!(s.attributes & SEG_ATTR_UNUSABLE) && DESCRIPTOR_DPL(s.attributes) < cpl &&
		    (s.attributes & (TYPE_CODE | TYPE_CONFORMING)) != (TYPE_CODE | TYPE_CONFORMING))
			vcpu->vendor->set_segment(vcpu, dropped[i], &null);
	}
}

/*
 * A register that holds a null selector has no limit and no rights that could be kept; it gets those of a reset, as software
 * expects that did not look.
 */
void segment_load_real_anew(struct vcpu *vcpu, enum segment_name which, u16 selector)
{
	struct segment s;

	vcpu->vendor->get_segment(vcpu, which, &s);
	s.selector = selector;
	s.base = (u32)selector << 4;
	if (s.attributes & SEG_ATTR_UNUSABLE) {
		s.attributes = REAL_ATTRIBUTES;
		s.limit = 0xffff;
	}
	known_set_segment(vcpu, which, &s);
}

void segment_load_v86(struct vcpu *vcpu, enum segment_name which, u16 selector)
{
	const struct segment s = {
		.selector = selector,
		.base = (u32)selector << 4,
		.limit = 0xffff,
		.attributes = V86_ATTRIBUTES,
	};

	known_set_segment(vcpu, which, &s);
}
