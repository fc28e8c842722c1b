/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See insn_encode.h. The same instruction needs other bytes where the guest's code
 * is not 64-bit: 66 by the operand size instead of the segment's default, no W where that code
 * has none, no registers above 7 (SDM vol. 2 sections 2.2 and 2.3).
 */
#include "arch/x86/guest/insn_encode.h"

/*
 * An address of 32 bits, sign-extended (SDM vol. 2 table 2-3). Relative to RIP would be shorter, but QEMU's TCG (7.2)
 * forgets that SHLD and SHRD have an immediate behind it.
 */
#define MODRM_SIB 4u
#define SIB_ABSOLUTE 0x25u
#define MODRM_REGISTERS 0xc0u
#define ESCAPE 0x0fu
#define VEX3 0xc4u

static void emit(struct insn_code *out, u8 byte)
{
	out->bytes[out->len++] = byte;
}

static void emit_number(struct insn_code *out, u64 value, u32 size)
{
	for (u32 i = 0; i < size; i++)
		emit(out, (u8)(value >> 8 * i));
}

static void legacy_opcode(const struct insn *insn, const struct insn_shape *shape, u8 reg, struct insn_code *out)
{
	bool op16 = shape->flags & SHAPE_OPSIZE ? insn->opsize == 2 : insn->opsize16;
	u8 rex = (insn->w ? 8 : 0) | (reg & 8 ? 4 : 0) | (!insn->has_mem && insn->rm & 8 ? 1 : 0);

	if (op16)
		emit(out, 0x66);
	if (insn->prefix)
		emit(out, insn->prefix);
	if (rex)
		emit(out, 0x40 | rex);
	if (insn->map)
		emit(out, ESCAPE);
	if (insn->map > 1)
		emit(out, insn->map == 2 ? 0x38 : 0x3a);
	emit(out, insn->opcode);
}

static u8 vex_prefix_number(u8 prefix)
{
	return prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
}

/* The bits of registers are inverted. */
static void vex_opcode(const struct insn *insn, const struct insn_shape *shape, u8 reg, u8 v, struct insn_code *out)
{
	bool b = !insn->has_mem && insn->rm & 8;

	emit(out, VEX3);
	emit(out, (reg & 8 ? 0 : 0x80) | 0x40 | (b ? 0 : 0x20) | insn->map);
	emit(out, (shape->w ? 0x80 : 0) | (~v & 15) << 3 | insn->l << 2 | vex_prefix_number(insn->prefix));
	emit(out, insn->opcode);
}

/* VBLENDVPS and its like, FMA4, VPERMIL2PS: bits 7:4 of the immediate are a register. */
static bool has_register_immediate(const struct insn *insn)
{
	u8 op = insn->opcode;

	return insn->encoding == INSN_VEX && insn->map == 3 &&
	       ((op >= 0x48 && op <= 0x4c) || (op >= 0x5c && op <= 0x5f) || (op >= 0x68 && op <= 0x7f));
}

void insn_encode(const struct insn *insn, const struct insn_shape *shape, u32 bits, u8 reg, u8 v,
		 struct insn_code *out)
{
	u64 imm = insn->imm;

	*out = (struct insn_code){.len = 0};
	if (insn->encoding == INSN_VEX)
		vex_opcode(insn, shape, reg, v, out);
	else
		legacy_opcode(insn, shape, reg, out);
	if (insn->has_mem) {
		emit(out, (reg & 7) << 3 | MODRM_SIB);
		emit(out, SIB_ABSOLUTE);
		out->disp_at = out->len;
		emit_number(out, 0, 4);
	} else {
		emit(out, MODRM_REGISTERS | (reg & 7) << 3 | (insn->rm & 7));
	}
	if (bits != 64 && has_register_immediate(insn))
		imm &= 0x7f;
	emit_number(out, imm, insn->imm_len);
}
