/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction at RIP. The hardware's instruction bytes, length and decoded
 * operands are used when the exit has them; otherwise the bytes come from guest
 * memory by an instruction fetch that may fault as the guest's own would.
 */
#include "arch/x86/guest/insn.h"

#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn_fast.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/state.h"
#include "mm/shadow.h"

u32 insn_code_bits(const struct vcpu *vcpu)
{
	struct segment cs;

	if (likely(vcpu->code_bits == 64 || vcpu->rip >> 32)) /* no other code lies above 4 GiB */
		return 64;
	if (vcpu->code_bits)
		return vcpu->code_bits;
	if (vcpu->rflags & RFLAGS_VM)
		return 16;
	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	if (in_long_mode(vcpu) && cs.attributes & SEG_ATTR_L)
		return 64;
	return cs.attributes & SEG_ATTR_DB ? 32 : 16;
}

int insn_fetch_bytes(struct vcpu *vcpu, gva_t at, u8 *buf, u32 len)
{
	gva_t fault_gva = at;
	u32 error = 0;
	int err = shadow_read_guest(vcpu->mmu, at, buf, len, insn_access(vcpu, false, true), &fault_gva, &error);

	if (err == -EFAULT)
		inject_pf(vcpu, fault_gva, error);
	else if (err)
		inject_gp(vcpu); /* code in a trapped page is not executed by us */
	return err ? -EFAULT : 0;
}

/* Decodes; too few bytes is reported as -ERANGE, the other errors are queued. */
static int decode(struct vcpu *vcpu, struct insn *insn, const u8 *bytes, u32 len, u32 bits)
{
	int err = insn_decode(insn, bytes, len, bits);

	if (err == -ERANGE && len < INSN_MAX)
		return -ERANGE;
	if (err == -ERANGE)
		inject_gp(vcpu);
	else if (err)
		inject_ud(vcpu);
	return err ? -EFAULT : 0;
}

int insn_fetch(struct vcpu *vcpu, struct insn *insn)
{
	const struct vcpu_exit *exit = &vcpu->exit;
	u32 bits = insn_code_bits(vcpu), first;
	u8 bytes[INSN_MAX];
	struct segment cs;
	gva_t at;
	int err;

	if (exit->insn_bytes_len) {
		err = decode(vcpu, insn, exit->insn_bytes, MIN(exit->insn_bytes_len, INSN_MAX), bits);
		if (err != -ERANGE)
			return err;
	}
	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	at = bits == 64 ? vcpu->rip : (u32)(cs.base + vcpu->rip);
	first = MIN(INSN_MAX, PAGE_SIZE - (at & ~PAGE_MASK));
	err = insn_fetch_bytes(vcpu, at, bytes, first);
	if (err)
		return err;
	err = decode(vcpu, insn, bytes, first, bits);
	if (err != -ERANGE)
		return err;
	err = insn_fetch_bytes(vcpu, bits == 64 ? at + first : (u32)(at + first), bytes + first, INSN_MAX - first);
	return err ? err : decode(vcpu, insn, bytes, INSN_MAX, bits);
}

int insn_read_bytes(struct vcpu *vcpu, u8 *bytes, u32 len)
{
	u32 bits = insn_code_bits(vcpu), first;
	struct segment cs;
	gva_t at;
	int err;

	vcpu->vendor->get_segment(vcpu, SEG_CS, &cs);
	at = bits == 64 ? vcpu->rip : (u32)(cs.base + vcpu->rip);
	first = MIN(len, PAGE_SIZE - (at & ~PAGE_MASK));
	err = insn_fetch_bytes(vcpu, at, bytes, first);
	if (err || first == len)
		return err;
	return insn_fetch_bytes(vcpu, bits == 64 ? at + first : (u32)(at + first), bytes + first, len - first);
}

void insn_fill_exit(struct vcpu *vcpu)
{
	struct vcpu_exit *exit = &vcpu->exit;
	struct insn_fast insn;
	const u8 *b;

	if (exit->insn_len || insn_code_bits(vcpu) != 64)
		return;
	b = shadow_peek_code(vcpu->mmu, vcpu->rip);
	if (!b || !insn_fast_decode(&insn, b))
		return;
	exit->insn_len = (u8)insn.len;
	switch (insn.op) {
	case FAST_MOV_FROM_CR:
	case FAST_MOV_TO_CR: exit->cr = insn.cr; break;
	case FAST_INVLPG: exit->gva = vcpu->gpr[insn.gpr]; break;
	default: return;
	}
	exit->gpr = insn.gpr;
	exit->operand_known = true;
}

static void finish(struct vcpu *vcpu, u64 rip, bool branch)
{
	vcpu->rip = rip;
	vcpu->interrupt_shadow = false;
	vcpu->rflags &= ~RFLAGS_RF;
	if (unlikely(breakpoint_is_due(vcpu)))
		breakpoint_finish(vcpu, branch);
}

void insn_advance(struct vcpu *vcpu, u32 len)
{
	u64 rip = vcpu->rip + len;

	finish(vcpu, insn_code_bits(vcpu) == 64 ? rip : (u32)rip, false);
}

void insn_branch(struct vcpu *vcpu, u64 target)
{
	finish(vcpu, target, true);
}

/* An instruction breakpoint there has been met already: RF holds it off, in what is pushed too (SDM vol. 3 section 17.3.1.1). */
void insn_repeat(struct vcpu *vcpu)
{
	vcpu->interrupt_shadow = false;
	vcpu->rflags |= RFLAGS_RF;
	breakpoint_finish(vcpu, false);
}

void insn_skip(struct vcpu *vcpu)
{
	struct insn insn;

	if (vcpu->exit.insn_len)
		insn_advance(vcpu, vcpu->exit.insn_len);
	else if (insn_fetch(vcpu, &insn) == 0)
		insn_advance(vcpu, insn.len);
}

static bool is_canonical(const struct vcpu *vcpu, gva_t gva)
{
	return address_is_canonical(gva, vcpu->cr4 & CR4_LA57);
}

static int segment_fault(struct vcpu *vcpu, enum segment_name segment)
{
	inject_exception(vcpu, segment == SEG_SS ? VEC_SS : VEC_GP, 0);
	return -EFAULT;
}

static bool within_limit(const struct segment *s, u64 offset, u32 len)
{
	u64 last = offset + len - 1;

	if (known_expands_down(s))
		return offset > s->limit && last <= (s->attributes & SEG_ATTR_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

static gva_t linear(struct vcpu *vcpu, enum segment_name segment, u64 offset, bool mode64, struct segment *s)
{
	vcpu->vendor->get_segment(vcpu, segment, s);
	if (!mode64)
		return (u32)(s->base + offset);
	return segment == SEG_FS || segment == SEG_GS ? s->base + offset : offset;
}

int insn_linear(struct vcpu *vcpu, enum segment_name segment, u64 offset, u32 len, enum segment_access access,
		gva_t *out)
{
	struct segment s;
	bool mode64;

	if (likely(known_linear(vcpu, segment, offset, len, access, out)))
		return 0;
	mode64 = insn_code_bits(vcpu) == 64;
	*out = linear(vcpu, segment, offset, mode64, &s);
	if (mode64 ? !is_canonical(vcpu, *out) || !is_canonical(vcpu, *out + len - 1) :
		     !known_allows(vcpu, &s, access) || !within_limit(&s, offset, len))
		return segment_fault(vcpu, segment);
	return 0;
}

int insn_check_target(struct vcpu *vcpu, u64 target)
{
	struct segment buf;

	if (insn_code_bits(vcpu) == 64 ? is_canonical(vcpu, target) :
					 target <= known_segment(vcpu, SEG_CS, &buf)->limit)
		return 0;
	inject_gp(vcpu);
	return -EFAULT;
}

int insn_memory_operand(struct vcpu *vcpu, const struct insn *insn, u32 len, enum segment_access access, gva_t *out)
{
	return insn_linear(vcpu, insn_segment(insn), insn_effective_offset(vcpu, insn), len, access, out);
}

gva_t insn_effective_linear(struct vcpu *vcpu, const struct insn *insn)
{
	struct segment s;

	return linear(vcpu, insn_segment(insn), insn_effective_offset(vcpu, insn), insn_code_bits(vcpu) == 64, &s);
}

static int lmsw_operand(struct vcpu *vcpu, const struct insn *insn)
{
	gva_t gva, fault_gva;
	u32 error;
	int err;

	vcpu->exit.lmsw = true;
	if (!insn->has_mem) {
		vcpu->exit.lmsw_value = vcpu->gpr[insn->rm];
		return 0;
	}
	err = insn_memory_operand(vcpu, insn, 2, SEGMENT_READ, &gva);
	if (err)
		return err;
	err = shadow_read_guest(vcpu->mmu, gva, &vcpu->exit.lmsw_value, 2, insn_access(vcpu, false, false),
				&fault_gva, &error);
	if (!err)
		breakpoint_note_access(vcpu, gva, 2, false);
	if (err == -EFAULT)
		inject_pf(vcpu, fault_gva, error);
	else if (err)
		inject_gp(vcpu);
	return err ? -EFAULT : 0;
}

static int group7_operand(struct vcpu *vcpu, const struct insn *insn)
{
	switch (insn->reg & 7) {
	case 4: /* SMSW: the destination is the handler's business */ vcpu->exit.lmsw = true; return 0;
	case 6: return lmsw_operand(vcpu, insn);
	case 7:
		if (insn->has_mem) {
			vcpu->exit.gva = insn_effective_linear(vcpu, insn);
			return 0;
		}
		break;
	}
	inject_ud(vcpu);
	return -EFAULT;
}

int insn_exit_operands(struct vcpu *vcpu, struct insn *insn)
{
	int err = insn_fetch(vcpu, insn);

	if (err)
		return err;
	vcpu->exit.insn_len = insn->len;
	vcpu->exit.clts = vcpu->exit.lmsw = false;
	if (insn->map == 1 && insn->encoding == INSN_LEGACY) {
		switch (insn->opcode) {
		case 0x01: return group7_operand(vcpu, insn);
		case 0x06: vcpu->exit.clts = true; return 0;
		case 0x20:
		case 0x22:
			/* LOCK MOV CR0 is AMD's way to CR8 outside 64-bit mode. */
			vcpu->exit.cr = insn->lock ? 8 : insn->reg;
			vcpu->exit.gpr = insn->rm;
			return 0;
		}
	}
	inject_ud(vcpu);
	return -EFAULT;
}
