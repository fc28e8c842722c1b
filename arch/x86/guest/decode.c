/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction decoder: prefixes, opcode, ModRM, displacement, immediates.
 * One flag byte for each opcode of the one- and two-byte maps says what
 * follows; the other maps are regular. Guest code is hostile: no byte string
 * may lead out of the buffer.
 */
#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/vcpu.h"

enum {
	M = 1,    /* ModRM */
	I8 = 2,   /* one byte of immediate */
	IZ = 4,   /* 2 or 4 bytes, by operand size */
	IV = 8,   /* 2, 4 or 8 bytes: MOV r, imm */
	MO = 16,  /* an address as wide as the address size */
	I16 = 32, /* 2 bytes */
	X = 64,   /* undefined in 64-bit mode */
	U = 128,  /* undefined */
	FAR = IZ | I16,
};

/* SDM vol. 2 table A-2. Prefixes, REX and the escapes never get here. */
/* clang-format off */
static const u8 one_byte[256] = {
#define ALU(n) [n ... (n) + 3] = M, [(n) + 4] = I8, [(n) + 5] = IZ
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
#undef ALU
	[0x06 ... 0x07] = X, [0x0e] = X, [0x16 ... 0x17] = X, [0x1e ... 0x1f] = X,
	[0x27] = X, [0x2f] = X, [0x37] = X, [0x3f] = X,
	[0x60 ... 0x61] = X, [0x62] = M | X, [0x63] = M,
	[0x68] = IZ, [0x69] = M | IZ, [0x6a] = I8, [0x6b] = M | I8,
	[0x70 ... 0x7f] = I8, [0x80] = M | I8, [0x81] = M | IZ, [0x82] = M | I8 | X, [0x83] = M | I8,
	[0x84 ... 0x8f] = M, [0x9a] = FAR | X, [0xa0 ... 0xa3] = MO, [0xa8] = I8, [0xa9] = IZ,
	[0xb0 ... 0xb7] = I8, [0xb8 ... 0xbf] = IV, [0xc0 ... 0xc1] = M | I8, [0xc2] = I16,
	[0xc4 ... 0xc5] = M | X, [0xc6] = M | I8, [0xc7] = M | IZ, [0xc8] = I16 | I8, [0xca] = I16,
	[0xcd] = I8, [0xce] = X, [0xd0 ... 0xd3] = M, [0xd4 ... 0xd5] = I8 | X, [0xd6] = X,
	[0xd8 ... 0xdf] = M, [0xe0 ... 0xe7] = I8, [0xe8 ... 0xe9] = IZ, [0xea] = FAR | X, [0xeb] = I8,
	[0xf6 ... 0xf7] = M, [0xfe ... 0xff] = M,
};
/* clang-format on */

/* SDM vol. 2 table A-3. */
/* clang-format off */
static const u8 two_byte[256] = {
	[0x00 ... 0x03] = M, [0x04] = U, [0x0a] = U, [0x0c] = U, [0x0d] = M, [0x0f] = M | I8,
	[0x10 ... 0x23] = M, [0x24 ... 0x27] = U, [0x28 ... 0x2f] = M, [0x36] = U, [0x39] = U,
	[0x3b ... 0x3f] = U, [0x40 ... 0x6f] = M, [0x70 ... 0x73] = M | I8, [0x74 ... 0x76] = M,
	[0x78 ... 0x79] = M, [0x7a ... 0x7b] = U, [0x7c ... 0x7f] = M, [0x80 ... 0x8f] = IZ,
	[0x90 ... 0x9f] = M, [0xa3] = M, [0xa4] = M | I8, [0xa5 ... 0xa7] = M, [0xab] = M,
	[0xac] = M | I8, [0xad ... 0xb9] = M, [0xba] = M | I8, [0xbb ... 0xc1] = M, [0xc2] = M | I8,
	[0xc3] = M, [0xc4 ... 0xc6] = M | I8, [0xc7] = M, [0xd0 ... 0xff] = M,
};
/* clang-format on */

/* Where the decoder stands. */
struct cursor {
	const u8 *bytes;
	u32 len, at, bits;
	bool rex_b, rex_x, rex_r, addr_prefix;
	bool ran_out;
};

static u8 next(struct cursor *c)
{
	if (c->at >= c->len || c->at >= INSN_MAX) {
		c->ran_out = true;
		return 0;
	}
	return c->bytes[c->at++];
}

static u8 peek(const struct cursor *c)
{
	return c->at < c->len ? c->bytes[c->at] : 0;
}

/* A little-endian number of size bytes, sign-extended. */
static s64 number(struct cursor *c, u32 size)
{
	u64 v = 0;

	if (!size)
		return 0;
	for (u32 i = 0; i < size; i++)
		v |= (u64)next(c) << (8 * i);
	return (s64)(v << (64 - 8 * size)) >> (64 - 8 * size);
}

static u8 segment_prefix(u8 byte)
{
	switch (byte) {
	case 0x26: return SEG_ES;
	case 0x2e: return SEG_CS;
	case 0x36: return SEG_SS;
	case 0x3e: return SEG_DS;
	case 0x64: return SEG_FS;
	case 0x65: return SEG_GS;
	default: return INSN_NO_REG;
	}
}

/* Takes one legacy prefix; false if the byte is none. */
static bool take_prefix(struct insn *insn, struct cursor *c, u8 byte)
{
	u8 segment = segment_prefix(byte);

	if (segment != INSN_NO_REG) {
		/* In 64-bit mode ES, CS, SS and DS overrides are ignored altogether. */
		if (c->bits != 64 || segment >= SEG_FS)
			insn->segment = segment;
		return true;
	}
	switch (byte) {
	case 0x66: insn->opsize16 = true; return true;
	case 0x67: c->addr_prefix = true; return true;
	case 0xf0: insn->lock = true; return true;
	case 0xf2:
	case 0xf3: insn->prefix = byte; return true;
	default: return false;
	}
}

/* All prefixes; returns the first opcode byte. A REX counts only just before it. */
static u8 prefixes(struct insn *insn, struct cursor *c)
{
	u8 rex = 0;

	for (;;) {
		u8 byte = next(c);

		if (c->ran_out)
			return 0;
		if (c->bits == 64 && (byte & 0xf0) == 0x40) {
			rex = byte;
			continue;
		}
		if (take_prefix(insn, c, byte)) {
			rex = 0;
			continue;
		}
		insn->rex = rex;
		insn->w = rex & 8;
		c->rex_r = rex & 4;
		c->rex_x = rex & 2;
		c->rex_b = rex & 1;
		return byte;
	}
}

static void set_sizes(struct insn *insn, const struct cursor *c)
{
	u32 bits = c->bits;

	if (bits == 64)
		insn->opsize = insn->w ? 8 : insn->opsize16 ? 2 : 4;
	else
		insn->opsize = (bits == 16) != insn->opsize16 ? 2 : 4;
	if (bits == 64)
		insn->addrsize = c->addr_prefix ? 4 : 8;
	else
		insn->addrsize = (bits == 16) != c->addr_prefix ? 2 : 4;
}

static void extended_prefix_bits(struct insn *insn, struct cursor *c, u8 rxb, u8 wpp)
{
	static const u8 pp[4] = {0, 0x66, 0xf3, 0xf2};

	if (c->bits == 64) {
		c->rex_r = !(rxb & 0x80);
		c->rex_x = !(rxb & 0x40);
		c->rex_b = !(rxb & 0x20);
	}
	/* Eight registers outside 64-bit mode: the upper bit is ignored (SDM vol. 2 section 2.3.5.6). */
	insn->v = (~wpp >> 3) & (c->bits == 64 ? 15 : 7);
	insn->l = wpp >> 2 & 1;
	insn->w = wpp & 0x80;
	insn->prefix = pp[wpp & 3];
}

/* VEX, EVEX and XOP: the rest of the prefix, the map and the opcode. */
static int extended(struct insn *insn, struct cursor *c, u8 first)
{
	u8 p0 = next(c), p1;

	if (insn->prefix || insn->opsize16 || insn->lock || insn->rex)
		return -EINVAL;
	if (first == 0xc5) {
		insn->encoding = INSN_VEX;
		insn->map = 1;
		extended_prefix_bits(insn, c, p0 | 0x60, p0 & 0x7f);
	} else {
		p1 = next(c);
		insn->encoding = first == 0xc4 ? INSN_VEX : first == 0x62 ? INSN_EVEX : INSN_XOP;
		insn->map = p0 & (first == 0x62 ? 7 : 0x1f);
		extended_prefix_bits(insn, c, p0, p1);
		if (first == 0x62)
			insn->l = next(c) >> 5 & 3;
	}
	insn->opcode = next(c);
	if (insn->encoding == INSN_XOP)
		return insn->map <= 10 ? 0 : -EINVAL;
	if (insn->encoding == INSN_EVEX)
		return insn->map && insn->map != 4 && insn->map != 7 ? 0 : -EINVAL;
	return insn->map && insn->map <= 3 ? 0 : -EINVAL;
}

static bool is_extended(const struct cursor *c, u8 first)
{
	if (first == 0x8f)
		return (peek(c) & 0x1f) >= 8;
	if (first != 0xc4 && first != 0xc5 && first != 0x62)
		return false;
	return c->bits == 64 || (peek(c) & 0xc0) == 0xc0;
}

static u8 extended_flags(const struct insn *insn)
{
	u8 op = insn->opcode;

	if (insn->encoding == INSN_XOP)
		return insn->map == 8 ? M | I8 : M;
	if (insn->map == 3)
		return M | I8;
	if (insn->map != 1)
		return M;
	if (op == 0x77 && insn->encoding == INSN_VEX)
		return 0;
	return (op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6) ? M | I8 : M;
}

/* The opcode, its map, and the flags that say what follows. */
static int opcode(struct insn *insn, struct cursor *c, u8 *flags)
{
	u8 byte = prefixes(insn, c);
	int err;

	if (is_extended(c, byte)) {
		err = extended(insn, c, byte);
		*flags = extended_flags(insn);
		return err;
	}
	if (byte != 0x0f) {
		insn->opcode = byte;
		*flags = one_byte[byte];
		return 0;
	}
	insn->map = 1;
	insn->opcode = next(c);
	if (insn->opcode != 0x38 && insn->opcode != 0x3a) {
		*flags = two_byte[insn->opcode];
		return 0;
	}
	insn->map = insn->opcode == 0x38 ? 2 : 3;
	insn->opcode = next(c);
	*flags = insn->map == 2 ? M : M | I8;
	return 0;
}

static void memory16(struct insn *insn, struct cursor *c, u8 rm)
{
	static const u8 base[8] = {GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX};
	static const u8 index[4] = {GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI};

	insn->base = insn->mod == 0 && rm == 6 ? INSN_NO_REG : base[rm];
	insn->index = rm < 4 ? index[rm] : INSN_NO_REG;
	insn->disp = number(c, insn->mod == 1 ? 1 : insn->mod == 2 || insn->base == INSN_NO_REG ? 2 : 0);
}

static void sib(struct insn *insn, struct cursor *c)
{
	u8 byte = next(c);

	insn->scale = byte >> 6;
	insn->index = (byte >> 3 & 7) | (c->rex_x ? 8 : 0);
	insn->base = (byte & 7) | (c->rex_b ? 8 : 0);
	if (insn->index == GPR_RSP)
		insn->index = INSN_NO_REG;
	if ((byte & 7) == 5 && insn->mod == 0)
		insn->base = INSN_NO_REG;
}

static void memory32(struct insn *insn, struct cursor *c, u8 rm)
{
	bool absolute = false;

	if (rm == 4) {
		sib(insn, c);
		absolute = insn->base == INSN_NO_REG;
	} else if (rm == 5 && insn->mod == 0) {
		absolute = true;
		insn->rip_relative = c->bits == 64;
	} else {
		insn->base = rm | (c->rex_b ? 8 : 0);
	}
	insn->disp = number(c, insn->mod == 1 ? 1 : insn->mod == 2 || absolute ? 4 : 0);
}

/* MOV to and from control and debug registers takes any mod as a register. */
static bool register_only(const struct insn *insn)
{
	return insn->encoding == INSN_LEGACY && insn->map == 1 && insn->opcode >= 0x20 && insn->opcode <= 0x23;
}

static void modrm(struct insn *insn, struct cursor *c)
{
	u8 byte = next(c), rm = byte & 7;

	insn->has_modrm = true;
	insn->mod = register_only(insn) ? 3 : byte >> 6;
	insn->reg = (byte >> 3 & 7) | (c->rex_r ? 8 : 0);
	insn->rm = rm | (c->rex_b ? 8 : 0);
	if (insn->mod == 3)
		return;
	insn->has_mem = true;
	if (insn->addrsize == 2)
		memory16(insn, c, rm);
	else
		memory32(insn, c, rm);
}

/* Immediates that the flag byte alone does not tell. */
static u32 special_immediate(const struct insn *insn)
{
	u8 op = insn->opcode;

	if (insn->encoding == INSN_XOP)
		return insn->map == 10 ? 4 : 0;
	if (insn->encoding != INSN_LEGACY)
		return 0;
	if (insn->map == 0 && (op == 0xf6 || op == 0xf7) && (insn->reg & 7) < 2)
		return op == 0xf6 ? 1 : MIN(insn->opsize, 4);
	/* EXTRQ, INSERTQ */
	if (insn->map == 1 && op == 0x78 && (insn->opsize16 || insn->prefix == 0xf2))
		return 2;
	return 0;
}

static bool near_branch(const struct insn *insn)
{
	if (insn->map == 0)
		return insn->opcode == 0xe8 || insn->opcode == 0xe9;
	return insn->opcode >= 0x80 && insn->opcode <= 0x8f;
}

static void immediates(struct insn *insn, struct cursor *c, u8 flags)
{
	u32 size = special_immediate(insn);

	if (flags & IZ)
		/* Near branches in 64-bit mode ignore the 66 prefix. */
		size = c->bits == 64 && near_branch(insn) ? 4 : MIN(insn->opsize, 4);
	if (flags & IV)
		size = insn->opsize;
	if ((flags & (IZ | I16)) == I16)
		size = 2;
	if (flags & I8 && !(flags & I16))
		size = 1;
	insn->imm_len = size;
	insn->imm = number(c, size);
	if ((flags & FAR) == FAR)
		insn->imm2 = (u16)number(c, 2);
	if ((flags & (I8 | I16)) == (I8 | I16))
		insn->imm2 = (u8)number(c, 1);
	if (flags & MO)
		insn->disp = number(c, insn->addrsize);
}

int insn_decode(struct insn *insn, const u8 *bytes, u32 len, u32 bits)
{
	struct cursor c = {.bytes = bytes, .len = len, .bits = bits};
	u8 flags = 0;
	int err;

	*insn = (struct insn){.segment = INSN_NO_REG, .base = INSN_NO_REG, .index = INSN_NO_REG};
	err = opcode(insn, &c, &flags);
	if (c.ran_out)
		return -ERANGE;
	if (err)
		return err;
	if (flags & U || (flags & X && bits == 64))
		return -EINVAL;
	set_sizes(insn, &c);
	if (flags & M)
		modrm(insn, &c);
	else
		insn->rm = (insn->opcode & 7) | (c.rex_b ? 8 : 0);
	if (flags & MO)
		insn->has_mem = true;
	immediates(insn, &c, flags);
	if (c.ran_out)
		return -ERANGE;
	insn->len = c.at;
	return 0;
}
