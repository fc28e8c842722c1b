/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table for each opcode map, SDM vol. 2 appendix A and the instructions' own
 * pages; tests/unit/test_insn_shape.c holds every row against Zydis. A row has four
 * sizes, one for each mandatory prefix.
 */
#include "arch/x86/guest/insn_shape.h"

/* Sizes that depend on more than the prefix. */
enum {
	SV = 64, /* the operand size */
	SG,      /* 8 bytes with W, else 4; W is for 64-bit code only */
	SF,      /* the same with W in any code */
	SX,      /* a vector: 16 bytes, 32 with L */
	SH,      /* half of one */
	SQ,      /* a quarter */
	SE,      /* an eighth */
	SD,      /* VMOVDDUP: 8 bytes, 32 with L */
	SK,      /* KMOV: 2 and 8 bytes by W, with 66 1 and 4 */
};

enum {
	R = SHAPE_LOAD,
	W = SHAPE_STORE,
	RW = R | W,
	G = SHAPE_REG_GPR,
	V = SHAPE_V_GPR,
	O = SHAPE_OPSIZE,
	M = SHAPE_MASKED,
};

struct row {
	u8 first, last;
	u8 size[4]; /* without prefix, 66, F3, F2; 0: no such instruction */
	u8 flags;
	u8 groups; /* if not 0: the values of ModRM.reg, one bit each */
};

/* clang-format off */
#define ANY(size) {size, size, size, size}

static const struct row one_byte[] = {
	{0x69, 0x69, ANY(SV), R | G | O, 0}, {0x6b, 0x6b, ANY(SV), R | G | O, 0},
	{0xf6, 0xf6, ANY(1), R, 0xf0}, {0xf7, 0xf7, ANY(SV), R | O, 0xf0},
};

/* D8 to DF by ModRM.reg; what loads or stores the environment or all of the state is not here. */
static const u8 x87_size[8][8] = {
	{4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, 4, 4, 0, 2, 0, 2}, {4, 4, 4, 4, 4, 4, 4, 4}, {4, 4, 4, 4, 0, 10, 0, 10},
	{8, 8, 8, 8, 8, 8, 8, 8}, {8, 8, 8, 8, 0, 0, 0, 2}, {2, 2, 2, 2, 2, 2, 2, 2}, {2, 2, 2, 2, 10, 8, 10, 8},
};
/* Which of these store, a bit for each reg. */
static const u8 x87_store[8] = {0, 0x8c, 0, 0x8e, 0, 0x8e, 0, 0xce};

static const struct row legacy_0f[] = {
	{0x0f, 0x0f, ANY(8), R, 0}, /* 3DNow! */
	{0x10, 0x10, {16, 16, 4, 8}, R, 0}, {0x11, 0x11, {16, 16, 4, 8}, W, 0},
	{0x12, 0x12, {8, 8, 16, 8}, R, 0}, {0x13, 0x13, {8, 8}, W, 0}, {0x14, 0x15, {16, 16}, R, 0},
	{0x16, 0x16, {8, 8, 16}, R, 0}, {0x17, 0x17, {8, 8}, W, 0},
	{0x28, 0x28, {16, 16}, R, 0}, {0x29, 0x29, {16, 16}, W, 0}, {0x2a, 0x2a, {8, 8, SG, SG}, R, 0},
	{0x2b, 0x2b, {16, 16, 4, 8}, W, 0}, {0x2c, 0x2d, {8, 16}, R, 0}, {0x2c, 0x2d, {0, 0, 4, 8}, R | G, 0},
	{0x2e, 0x2f, {4, 8}, R, 0}, {0x40, 0x4f, ANY(SV), R | G | O, 0},
	{0x51, 0x51, {16, 16, 4, 8}, R, 0}, {0x52, 0x53, {16, 0, 4}, R, 0}, {0x54, 0x57, {16, 16}, R, 0},
	{0x58, 0x59, {16, 16, 4, 8}, R, 0}, {0x5a, 0x5a, {8, 16, 4, 8}, R, 0}, {0x5b, 0x5b, {16, 16, 16}, R, 0},
	{0x5c, 0x5f, {16, 16, 4, 8}, R, 0}, {0x60, 0x62, {4, 16}, R, 0}, {0x63, 0x6b, {8, 16}, R, 0},
	{0x6c, 0x6d, {0, 16}, R, 0}, {0x6e, 0x6e, {SG, SG}, R, 0}, {0x6f, 0x6f, {8, 16, 16}, R, 0},
	{0x70, 0x70, {8, 16, 16, 16}, R, 0}, {0x74, 0x76, {8, 16}, R, 0}, {0x7c, 0x7d, {0, 16, 0, 16}, R, 0},
	{0x7e, 0x7e, {SG, SG}, W, 0}, {0x7e, 0x7e, {0, 0, 8}, R, 0}, {0x7f, 0x7f, {8, 16, 16}, W, 0},
	{0xa4, 0xa5, ANY(SV), RW | G | O, 0}, {0xac, 0xad, ANY(SV), RW | G | O, 0},
	{0xae, 0xae, {4}, R, BIT(2)}, {0xae, 0xae, {4}, W, BIT(3)}, {0xaf, 0xaf, ANY(SV), R | G | O, 0},
	{0xb8, 0xb8, {0, 0, SV}, R | G | O, 0}, {0xbc, 0xbd, ANY(SV), R | G | O, 0},
	{0xc2, 0xc2, {16, 16, 4, 8}, R, 0}, {0xc4, 0xc4, {2, 2}, R, 0}, {0xc6, 0xc6, {16, 16}, R, 0},
	{0xd0, 0xd0, {0, 16, 0, 16}, R, 0}, {0xd1, 0xd5, {8, 16}, R, 0}, {0xd6, 0xd6, {0, 8}, W, 0},
	{0xd8, 0xe5, {8, 16}, R, 0}, {0xe6, 0xe6, {0, 16, 8, 16}, R, 0}, {0xe7, 0xe7, {8, 16}, W, 0},
	{0xe8, 0xef, {8, 16}, R, 0}, {0xf0, 0xf0, {0, 0, 0, 16}, R, 0}, {0xf1, 0xf6, {8, 16}, R, 0},
	{0xf8, 0xfe, {8, 16}, R, 0},
};

static const struct row legacy_0f38[] = {
	{0x00, 0x0b, {8, 16}, R, 0}, {0x10, 0x10, {0, 16}, R, 0}, {0x14, 0x15, {0, 16}, R, 0},
	{0x17, 0x17, {0, 16}, R, 0}, {0x1c, 0x1e, {8, 16}, R, 0}, {0x20, 0x20, {0, 8}, R, 0},
	{0x21, 0x21, {0, 4}, R, 0}, {0x22, 0x22, {0, 2}, R, 0}, {0x23, 0x23, {0, 8}, R, 0},
	{0x24, 0x24, {0, 4}, R, 0}, {0x25, 0x25, {0, 8}, R, 0}, {0x28, 0x2b, {0, 16}, R, 0},
	{0x30, 0x30, {0, 8}, R, 0}, {0x31, 0x31, {0, 4}, R, 0}, {0x32, 0x32, {0, 2}, R, 0},
	{0x33, 0x33, {0, 8}, R, 0}, {0x34, 0x34, {0, 4}, R, 0}, {0x35, 0x35, {0, 8}, R, 0},
	{0x37, 0x41, {0, 16}, R, 0}, {0xc8, 0xcd, {16}, R, 0}, {0xcf, 0xcf, {0, 16}, R, 0},
	{0xdb, 0xdf, {0, 16}, R, 0}, {0xf0, 0xf0, {0, 0, 0, 1}, R | G, 0}, {0xf1, 0xf1, {0, 0, 0, SV}, R | G | O, 0},
	{0xf6, 0xf6, {0, SG, SG}, R | G, 0}, {0xf9, 0xf9, {SG}, W | G, 0},
};

static const struct row legacy_0f3a[] = {
	{0x08, 0x09, {0, 16}, R, 0}, {0x0a, 0x0a, {0, 4}, R, 0}, {0x0b, 0x0b, {0, 8}, R, 0},
	{0x0c, 0x0e, {0, 16}, R, 0}, {0x0f, 0x0f, {8, 16}, R, 0}, {0x14, 0x14, {0, 1}, W, 0},
	{0x15, 0x15, {0, 2}, W, 0}, {0x16, 0x16, {0, SG}, W, 0}, {0x17, 0x17, {0, 4}, W, 0},
	{0x20, 0x20, {0, 1}, R, 0}, {0x21, 0x21, {0, 4}, R, 0}, {0x22, 0x22, {0, SG}, R, 0},
	{0x40, 0x42, {0, 16}, R, 0}, {0x44, 0x44, {0, 16}, R, 0}, {0x60, 0x63, {0, 16}, R, 0},
	{0xcc, 0xcc, {16}, R, 0}, {0xce, 0xcf, {0, 16}, R, 0}, {0xdf, 0xdf, {0, 16}, R, 0},
};

static const struct row vex_0f[] = {
	{0x10, 0x10, {SX, SX, 4, 8}, R, 0}, {0x11, 0x11, {SX, SX, 4, 8}, W, 0}, {0x12, 0x12, {8, 8, SX, SD}, R, 0},
	{0x13, 0x13, {8, 8}, W, 0}, {0x14, 0x15, {SX, SX}, R, 0}, {0x16, 0x16, {8, 8, SX}, R, 0},
	{0x17, 0x17, {8, 8}, W, 0}, {0x28, 0x28, {SX, SX}, R, 0}, {0x29, 0x29, {SX, SX}, W, 0},
	{0x2a, 0x2a, {0, 0, SG, SG}, R, 0}, {0x2b, 0x2b, {SX, SX}, W, 0}, {0x2c, 0x2d, {0, 0, 4, 8}, R | G, 0},
	{0x2e, 0x2f, {4, 8}, R, 0}, {0x51, 0x51, {SX, SX, 4, 8}, R, 0}, {0x52, 0x53, {SX, 0, 4}, R, 0},
	{0x54, 0x57, {SX, SX}, R, 0}, {0x58, 0x59, {SX, SX, 4, 8}, R, 0}, {0x5a, 0x5a, {SH, SX, 4, 8}, R, 0},
	{0x5b, 0x5b, {SX, SX, SX}, R, 0}, {0x5c, 0x5f, {SX, SX, 4, 8}, R, 0}, {0x60, 0x6d, {0, SX}, R, 0},
	{0x6e, 0x6e, {0, SG}, R, 0}, {0x6f, 0x6f, {0, SX, SX}, R, 0}, {0x70, 0x70, {0, SX, SX, SX}, R, 0},
	{0x74, 0x76, {0, SX}, R, 0}, {0x7c, 0x7d, {0, SX, 0, SX}, R, 0}, {0x7e, 0x7e, {0, SG}, W, 0},
	{0x7e, 0x7e, {0, 0, 8}, R, 0}, {0x7f, 0x7f, {0, SX, SX}, W, 0}, {0x90, 0x90, {SK, SK}, R, 0},
	{0x91, 0x91, {SK, SK}, W, 0}, {0xae, 0xae, {4}, R, BIT(2)}, {0xae, 0xae, {4}, W, BIT(3)},
	{0xc2, 0xc2, {SX, SX, 4, 8}, R, 0}, {0xc4, 0xc4, {0, 2}, R, 0}, {0xc6, 0xc6, {SX, SX}, R, 0},
	{0xd0, 0xd0, {0, SX, 0, SX}, R, 0}, {0xd1, 0xd3, {0, 16}, R, 0}, {0xd4, 0xd5, {0, SX}, R, 0},
	{0xd6, 0xd6, {0, 8}, W, 0}, {0xd8, 0xe0, {0, SX}, R, 0}, {0xe1, 0xe2, {0, 16}, R, 0},
	{0xe3, 0xe5, {0, SX}, R, 0}, {0xe6, 0xe6, {0, SX, SH, SX}, R, 0}, {0xe7, 0xe7, {0, SX}, W, 0},
	{0xe8, 0xef, {0, SX}, R, 0}, {0xf0, 0xf0, {0, 0, 0, SX}, R, 0}, {0xf1, 0xf3, {0, 16}, R, 0},
	{0xf4, 0xf6, {0, SX}, R, 0}, {0xf8, 0xfe, {0, SX}, R, 0},
};

static const struct row vex_0f38[] = {
	{0x00, 0x0f, {0, SX}, R, 0}, {0x13, 0x13, {0, SH}, R, 0}, {0x16, 0x17, {0, SX}, R, 0},
	{0x18, 0x18, {0, 4}, R, 0}, {0x19, 0x19, {0, 8}, R, 0}, {0x1a, 0x1a, {0, 16}, R, 0},
	{0x1c, 0x1e, {0, SX}, R, 0}, {0x20, 0x20, {0, SH}, R, 0}, {0x21, 0x21, {0, SQ}, R, 0},
	{0x22, 0x22, {0, SE}, R, 0}, {0x23, 0x23, {0, SH}, R, 0}, {0x24, 0x24, {0, SQ}, R, 0},
	{0x25, 0x25, {0, SH}, R, 0}, {0x28, 0x2b, {0, SX}, R, 0}, {0x2c, 0x2d, {0, SX}, R | M, 0},
	{0x2e, 0x2f, {0, SX}, W | M, 0}, {0x30, 0x30, {0, SH}, R, 0}, {0x31, 0x31, {0, SQ}, R, 0},
	{0x32, 0x32, {0, SE}, R, 0}, {0x33, 0x33, {0, SH}, R, 0}, {0x34, 0x34, {0, SQ}, R, 0},
	{0x35, 0x35, {0, SH}, R, 0}, {0x36, 0x40, {0, SX}, R, 0}, {0x41, 0x41, {0, 16}, R, 0},
	{0x45, 0x47, {0, SX}, R, 0}, {0x50, 0x53, {0, SX}, R, 0}, {0x58, 0x58, {0, 4}, R, 0},
	{0x59, 0x59, {0, 8}, R, 0}, {0x5a, 0x5a, {0, 16}, R, 0}, {0x78, 0x78, {0, 1}, R, 0},
	{0x79, 0x79, {0, 2}, R, 0}, {0x8c, 0x8c, {0, SX}, R | M, 0}, {0x8e, 0x8e, {0, SX}, W | M, 0},
	{0x96, 0x98, {0, SX}, R, 0}, {0x99, 0x99, {0, SF}, R, 0}, {0x9a, 0x9a, {0, SX}, R, 0},
	{0x9b, 0x9b, {0, SF}, R, 0}, {0x9c, 0x9c, {0, SX}, R, 0}, {0x9d, 0x9d, {0, SF}, R, 0},
	{0x9e, 0x9e, {0, SX}, R, 0}, {0x9f, 0x9f, {0, SF}, R, 0}, {0xa6, 0xa8, {0, SX}, R, 0},
	{0xa9, 0xa9, {0, SF}, R, 0}, {0xaa, 0xaa, {0, SX}, R, 0}, {0xab, 0xab, {0, SF}, R, 0},
	{0xac, 0xac, {0, SX}, R, 0}, {0xad, 0xad, {0, SF}, R, 0}, {0xae, 0xae, {0, SX}, R, 0},
	{0xaf, 0xaf, {0, SF}, R, 0}, {0xb6, 0xb8, {0, SX}, R, 0}, {0xb9, 0xb9, {0, SF}, R, 0},
	{0xba, 0xba, {0, SX}, R, 0}, {0xbb, 0xbb, {0, SF}, R, 0}, {0xbc, 0xbc, {0, SX}, R, 0},
	{0xbd, 0xbd, {0, SF}, R, 0}, {0xbe, 0xbe, {0, SX}, R, 0}, {0xbf, 0xbf, {0, SF}, R, 0},
	{0xcf, 0xcf, {0, SX}, R, 0}, {0xdb, 0xdb, {0, 16}, R, 0}, {0xdc, 0xdf, {0, SX}, R, 0},
	{0xf2, 0xf2, {SG}, R | G | V, 0}, {0xf3, 0xf3, {SG}, R | V, 0x0e}, {0xf5, 0xf5, {SG, 0, SG, SG}, R | G | V, 0},
	{0xf6, 0xf6, {0, 0, 0, SG}, R | G | V, 0}, {0xf7, 0xf7, ANY(SG), R | G | V, 0},
};

/* FMA4 at 5C and from 68 on; its fourth register is in the immediate. */
static const struct row vex_0f3a[] = {
	{0x00, 0x02, {0, SX}, R, 0}, {0x04, 0x06, {0, SX}, R, 0}, {0x08, 0x09, {0, SX}, R, 0},
	{0x0a, 0x0a, {0, 4}, R, 0}, {0x0b, 0x0b, {0, 8}, R, 0}, {0x0c, 0x0f, {0, SX}, R, 0},
	{0x14, 0x14, {0, 1}, W, 0}, {0x15, 0x15, {0, 2}, W, 0}, {0x16, 0x16, {0, SG}, W, 0},
	{0x17, 0x17, {0, 4}, W, 0}, {0x18, 0x18, {0, 16}, R, 0}, {0x19, 0x19, {0, 16}, W, 0},
	{0x1d, 0x1d, {0, SH}, W, 0}, {0x20, 0x20, {0, 1}, R, 0}, {0x21, 0x21, {0, 4}, R, 0},
	{0x22, 0x22, {0, SG}, R, 0}, {0x38, 0x38, {0, 16}, R, 0}, {0x39, 0x39, {0, 16}, W, 0},
	{0x40, 0x40, {0, SX}, R, 0}, {0x41, 0x41, {0, 16}, R, 0}, {0x42, 0x42, {0, SX}, R, 0},
	{0x44, 0x44, {0, SX}, R, 0}, {0x46, 0x46, {0, SX}, R, 0}, {0x48, 0x4c, {0, SX}, R, 0},
	{0x5c, 0x5f, {0, SX}, R, 0}, {0x60, 0x63, {0, 16}, R, 0}, {0x68, 0x69, {0, SX}, R, 0},
	{0x6a, 0x6a, {0, 4}, R, 0}, {0x6b, 0x6b, {0, 8}, R, 0}, {0x6c, 0x6d, {0, SX}, R, 0},
	{0x6e, 0x6e, {0, 4}, R, 0}, {0x6f, 0x6f, {0, 8}, R, 0}, {0x78, 0x79, {0, SX}, R, 0},
	{0x7a, 0x7a, {0, 4}, R, 0}, {0x7b, 0x7b, {0, 8}, R, 0}, {0x7c, 0x7d, {0, SX}, R, 0},
	{0x7e, 0x7e, {0, 4}, R, 0}, {0x7f, 0x7f, {0, 8}, R, 0}, {0xce, 0xcf, {0, SX}, R, 0},
	{0xdf, 0xdf, {0, 16}, R, 0}, {0xf0, 0xf0, {0, 0, 0, SG}, R | G, 0},
};

#define MAP(rows) {rows, ARRAY_SIZE(rows)}
static const struct map {
	const struct row *rows;
	u32 count;
} maps[2][4] = {
	{MAP(one_byte), MAP(legacy_0f), MAP(legacy_0f38), MAP(legacy_0f3a)},
	{{NULL, 0}, MAP(vex_0f), MAP(vex_0f38), MAP(vex_0f3a)},
};
/* clang-format on */

/* Number of the mandatory prefix. F3 and F2 come before 66, SDM vol. 2 section 2.1.2. */
static u32 prefix_number(const struct insn *insn)
{
	switch (insn->prefix) {
	case 0xf2: return 3;
	case 0xf3: return 2;
	case 0x66: return 1;
	default: return insn->opsize16;
	}
}

static u32 size_of(const struct insn *insn, u32 code, bool w)
{
	bool wide = insn->l;

	switch (code) {
	case SV: return insn->opsize;
	case SG:
	case SF: return w ? 8 : 4;
	case SX: return wide ? 32 : 16;
	case SH: return wide ? 16 : 8;
	case SQ: return wide ? 8 : 4;
	case SE: return wide ? 4 : 2;
	case SD: return wide ? 32 : 8;
	case SK: return prefix_number(insn) ? (w ? 4 : 1) : (w ? 8 : 2);
	default: return code;
	}
}

static bool x87_shape(const struct insn *insn, struct insn_shape *out)
{
	u32 op = insn->opcode & 7, reg = insn->reg & 7;

	out->size = x87_size[op][reg];
	out->flags = SHAPE_X87 | (x87_store[op] >> reg & 1 ? SHAPE_STORE : SHAPE_LOAD);
	out->w = false;
	return out->size;
}

bool insn_is_maskmov(const struct insn *insn)
{
	bool any_prefix = insn->prefix == 0xf2 || insn->prefix == 0xf3;

	return insn->map == 1 && insn->opcode == 0xf7 && insn->has_modrm && !insn->has_mem && !any_prefix &&
	       (insn->encoding == INSN_LEGACY || (insn->encoding == INSN_VEX && insn->prefix == 0x66 && !insn->l));
}

bool insn_is_cache_hint(const struct insn *insn)
{
	if (insn->encoding != INSN_LEGACY || insn->map != 1 || insn->opcode != 0xae || !insn->has_mem || insn->prefix)
		return false;
	return (insn->reg & 7) == 7 || ((insn->reg & 7) == 6 && insn->opsize16);
}

static bool matches(const struct row *row, const struct insn *insn, u32 prefix)
{
	if (insn->opcode < row->first || insn->opcode > row->last || !row->size[prefix])
		return false;
	return !row->groups || row->groups >> (insn->reg & 7) & 1;
}

bool insn_shape(const struct insn *insn, u32 bits, struct insn_shape *out)
{
	u32 prefix = prefix_number(insn);
	const struct map *map;

	if (insn_is_maskmov(insn)) {
		*out = (struct insn_shape){.flags = SHAPE_STORE | SHAPE_MASKED};
		out->size = prefix ? 16 : 8;
		return true;
	}
	if (!insn->has_mem || insn->encoding > INSN_VEX)
		return false;
	if (insn->encoding == INSN_LEGACY && insn->map == 0 && insn->opcode >= 0xd8 && insn->opcode <= 0xdf)
		return x87_shape(insn, out);
	map = &maps[insn->encoding == INSN_VEX][insn->map];
	for (const struct row *row = map->rows; row < map->rows + map->count; row++) {
		if (!matches(row, insn, prefix))
			continue;
		out->flags = row->flags;
		out->w = insn->w && (bits == 64 || (row->size[prefix] != SG && !(row->flags & (G | V))));
		out->size = size_of(insn, row->size[prefix], out->w);
		return true;
	}
	return false;
}
