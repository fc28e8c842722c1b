/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of the guest's tables outside IA-32e mode: reading one, checking
 * it, loading a segment register with it as a task switch does (SDM vol. 3
 * sections 3.4.5, 5.5 and table 7-1).
 */
#ifndef ARCH_X86_GUEST_SEGMENT_LOAD_H
#define ARCH_X86_GUEST_SEGMENT_LOAD_H

#include "arch/x86/guest/known.h"

#define SELECTOR_RPL 3u
#define SELECTOR_LDT BIT(2)
#define SELECTOR_INDEX 0xfff8u

#define DESCRIPTOR_TYPE 0xfu
#define DESCRIPTOR_S BIT(4)
#define DESCRIPTOR_DPL(attributes) ((attributes) >> 5 & 3)
#define DESCRIPTOR_P BIT(7)
#define TYPE_ACCESSED BIT(0)
#define TYPE_WRITABLE BIT(1)   /* of data; of code: readable */
#define TYPE_CONFORMING BIT(2) /* of code; of data: expands down */
#define TYPE_CODE BIT(3)
#define TYPE_LDT 2u

/*
 * Implicit supervisor accesses, as to descriptor tables and task-state segments: 0, or -EFAULT with
 * #PF queued (#GP where it is device memory).
 */
MUST_CHECK int system_read_anywhere(struct vcpu *vcpu, gva_t at, void *buf, u32 len);
MUST_CHECK int system_write(struct vcpu *vcpu, gva_t at, const void *buf, u32 len);
/* Whether a write would succeed, every byte of it. */
MUST_CHECK int system_probe_write(struct vcpu *vcpu, gva_t at, u32 len);

/* Where it is known to be RAM it takes no call. */
MUST_CHECK static ALWAYS_INLINE int system_read(struct vcpu *vcpu, gva_t at, void *buf, u32 len)
{
	const struct shadow_ram *ram = known_ram(vcpu, at, len);

	if (unlikely(!ram))
		return system_read_anywhere(vcpu, at, buf, len);
	shadow_read_ram(ram, at & ~PAGE_MASK, buf, len);
	return 0;
}

/*
 * The descriptor that a selector names, and its linear address. 0; -ENOENT, nothing queued: null or beyond
 * the table's limit; -EFAULT with an exception queued.
 */
MUST_CHECK int descriptor_read(struct vcpu *vcpu, u16 selector, struct segment *out, gva_t *at);

/* The access-rights byte of a descriptor at its address. */
MUST_CHECK int descriptor_write_access(struct vcpu *vcpu, gva_t descriptor, u8 access);

/*
 * Loads one of ES to GS, or LDTR, as the last part of a task switch. cpl: the new task's. 0, or -EFAULT
 * with the exception of table 7-1 queued.
 */
MUST_CHECK int segment_load(struct vcpu *vcpu, enum segment_name which, u16 selector, u32 cpl);

/* The same by MOV, POP, LDS and their like at the guest's CPL: #GP instead of #TS. Not for CS. */
MUST_CHECK int segment_move(struct vcpu *vcpu, enum segment_name which, u16 selector);

/*
 * A far return to privilege cpl, which is less: SS, with #GP or #SS queued where it does not fit; and the null selector in each
 * register whose segment that privilege may not use.
 */
MUST_CHECK int segment_load_outer_stack(struct vcpu *vcpu, u16 selector, u32 cpl);
void segment_drop_inner(struct vcpu *vcpu, u32 cpl);

/* Marks the descriptor at this address, which is loaded. */
MUST_CHECK int descriptor_mark_accessed(struct vcpu *vcpu, struct segment *s, gva_t at);

/* Of a register that is not known, or holds a null selector: segment_load_real() calls it. */
void segment_load_real_anew(struct vcpu *vcpu, enum segment_name which, u16 selector);

/*
 * Without CR0.PE: the base follows from the selector; limit and rights stay ("unreal mode"). What is known of them stays known, and who
 * executes the guest stays decided as long as another register alone asks for the interpreter.
 */
static ALWAYS_INLINE void segment_load_real(struct vcpu *vcpu, enum segment_name which, u16 selector)
{
	struct guest_known *k = known_of(vcpu);
	struct segment *s = &k->segment[which].segment;
	bool decided = vcpu->execution == EXECUTION_INTERPRETED && vcpu->unfit & ~(u32)BIT(which);

	if (unlikely(!(k->segments >> which & 1) || s->attributes & SEG_ATTR_UNUSABLE)) {
		segment_load_real_anew(vcpu, which, selector);
		return;
	}
	s->selector = selector;
	s->base = (u32)selector << 4;
	vcpu->vendor->set_segment(vcpu, which, s);
	if (likely(decided)) {
		vcpu->unfit &= ~(u32)BIT(which);
		vcpu->execution = EXECUTION_INTERPRETED;
	}
}

/* Virtual-8086 mode: base and rights follow from the selector (SDM vol. 3 section 20.1.1). */
void segment_load_v86(struct vcpu *vcpu, enum segment_name which, u16 selector);

#endif
