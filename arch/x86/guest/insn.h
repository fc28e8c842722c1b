/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction that the guest stopped at: its bytes, its operands, going past it. */
#ifndef ARCH_X86_GUEST_INSN_H
#define ARCH_X86_GUEST_INSN_H

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/vendor.h"

/* 64, 32 or 16: how code at RIP is decoded. Without CR0.PE as with it: by the D flag that CS has kept. */
u32 insn_code_bits(const struct vcpu *vcpu);

/*
 * Fetches and decodes the instruction at RIP. Returns 0, or -EFAULT with the
 * exception that hardware would raise already queued.
 */
MUST_CHECK int insn_fetch(struct vcpu *vcpu, struct insn *insn);

/* Bytes of code at a linear address; 0, or -EFAULT with an exception queued. */
MUST_CHECK int insn_fetch_bytes(struct vcpu *vcpu, gva_t at, u8 *buf, u32 len);

/* The first len bytes at RIP, at most INSN_MAX, as they are now. Returns 0, or -EFAULT, with an exception queued. */
MUST_CHECK int insn_read_bytes(struct vcpu *vcpu, u8 *bytes, u32 len);

/*
 * Where the hardware does not say it: length and operands of an exit by an instruction
 * that insn_fast.h knows, read through the shadow. Leaves the exit alone when it looks
 * otherwise.
 */
void insn_fill_exit(struct vcpu *vcpu);

/* Goes past an instruction of len bytes: ends an interrupt shadow and RF, raises the debug trap that is due. */
void insn_advance(struct vcpu *vcpu, u32 len);
/* The same for a branch that is taken. */
void insn_branch(struct vcpu *vcpu, u64 target);
/* An element of a repeated string instruction is done, and it is not the last: RIP stays. */
void insn_repeat(struct vcpu *vcpu);

/* Goes past the instruction that caused the exit, decoding it if its length is unknown. */
void insn_skip(struct vcpu *vcpu);

/*
 * Offset to linear address for an access of len bytes: the one place where the emulator checks segments.
 * Returns 0, or -EFAULT with #GP or #SS queued: the segment's type, or there is none; the limit, to the last
 * byte (SDM vol. 3 sections 5.3 and 5.4); in 64-bit code, not canonical.
 */
MUST_CHECK int insn_linear(struct vcpu *vcpu, enum segment_name segment, u64 offset, u32 len,
			   enum segment_access access, gva_t *out);

/* Linear address of the memory operand, for an access of len bytes. */
MUST_CHECK int insn_memory_operand(struct vcpu *vcpu, const struct insn *insn, u32 len, enum segment_access access,
				   gva_t *out);
/* Whether a near branch may go there; else #GP is queued: -EFAULT. */
MUST_CHECK int insn_check_target(struct vcpu *vcpu, u64 target);
/* The same without the checks (INVLPG). */
gva_t insn_effective_linear(struct vcpu *vcpu, const struct insn *insn);
static inline enum segment_name insn_segment(const struct insn *insn)
{
	if (insn->segment != INSN_NO_REG)
		return insn->segment;
	return insn->base == GPR_RSP || insn->base == GPR_RBP ? SEG_SS : SEG_DS;
}

/*
 * Fills the exit's operands (cr, gpr, lmsw, clts, gva) of a MOV CR, LMSW, CLTS
 * or INVLPG that the hardware did not decode. Returns 0, or -EFAULT with an
 * exception queued. A memory operand of LMSW is read here.
 */
MUST_CHECK int insn_exit_operands(struct vcpu *vcpu, struct insn *insn);

static inline u16 insn_selector(const struct vcpu *vcpu, enum segment_name which)
{
	struct segment s;

	vcpu->vendor->get_segment(vcpu, which, &s);
	return s.selector;
}

/* How the guest at its CPL accesses memory. */
static inline struct gpt_access insn_access(const struct vcpu *vcpu, bool write, bool fetch)
{
	return (struct gpt_access){
		.write = write,
		.fetch = fetch,
		.user = vcpu->cpl == 3,
		.ac = vcpu->rflags & RFLAGS_AC,
	};
}

/* Low size bytes of v. */
static inline u64 insn_truncate(u64 v, u32 size)
{
	return size >= 8 ? v : v & (BIT(8 * size) - 1);
}

/* A memory operand's offset in its segment. */
static inline u64 insn_effective_offset(const struct vcpu *vcpu, const struct insn *insn)
{
	u64 offset = insn->disp;

	if (unlikely(insn->rip_relative))
		offset += vcpu->rip + insn->len;
	if (insn->base != INSN_NO_REG)
		offset += vcpu->gpr[insn->base];
	if (insn->index != INSN_NO_REG)
		offset += vcpu->gpr[insn->index] << insn->scale;
	return insn_truncate(offset, insn->addrsize);
}

#endif
