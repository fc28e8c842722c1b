/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of memory operands against Zydis, every opcode of every map with every
 * prefix, ModRM.reg, W and L, in 64- and 32-bit code: what the table has is just what Zydis has, with the same size,
 * direction and registers, and what it has not is named below. Then the encoder: Zydis finds
 * the same instruction in what comes out of it.
 */
#include "tests/unit/host.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/guest/insn_encode.h"
#include "arch/x86/guest/insn_shape.h"

static ZydisDecoder decoder, decoder64;

struct bytes {
	u8 at[INSN_MAX];
	u32 len;
};

struct key {
	u32 bits;
	bool vex;
	u32 map, opcode, prefix, reg, l, w;
};

static void emit(struct bytes *b, u8 byte)
{
	b->at[b->len++] = byte;
}

/* An instruction on [EBX] or [RBX]; v: VEX.vvvv. */
static struct bytes make(const struct key *k, u8 v)
{
	static const u8 prefixes[] = {0, 0x66, 0xf3, 0xf2};
	struct bytes b = {.len = 0};

	if (k->vex) {
		emit(&b, 0xc4);
		emit(&b, 0xe0 | k->map);
		emit(&b, k->w << 7 | (~v & 15) << 3 | k->l << 2 | k->prefix);
	} else {
		if (k->prefix)
			emit(&b, prefixes[k->prefix]);
		if (k->w)
			emit(&b, 0x48);
		if (k->map)
			emit(&b, 0x0f);
		if (k->map > 1)
			emit(&b, k->map == 2 ? 0x38 : 0x3a);
	}
	emit(&b, k->opcode);
	emit(&b, k->reg << 3 | 3);
	while (b.len < INSN_MAX)
		emit(&b, 0x11);
	return b;
}

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const ZydisDecoder *d, const u8 *bytes, u32 len, struct decoded *out)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, bytes, len, &out->insn, out->ops));
}

/* The operand that ModRM names in memory; NULL: none. */
static const ZydisDecodedOperand *memory_of(const struct decoded *d)
{
	for (u32 i = 0; i < d->insn.operand_count; i++)
		if (d->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && d->ops[i].mem.type == ZYDIS_MEMOP_TYPE_MEM &&
		    d->ops[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			return &d->ops[i];
	return NULL;
}

static const ZydisDecodedOperand *operand(const struct decoded *d, ZydisOperandEncoding encoding)
{
	for (u32 i = 0; i < d->insn.operand_count; i++)
		if (d->ops[i].encoding == encoding && d->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			return &d->ops[i];
	return NULL;
}

static bool is_gpr(const ZydisDecodedOperand *op)
{
	ZydisRegisterClass class = op ? ZydisRegisterGetClass(op->reg.value) : ZYDIS_REGCLASS_INVALID;

	return class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 || class == ZYDIS_REGCLASS_GPR32 ||
	       class == ZYDIS_REGCLASS_GPR64;
}

/* Done by hand: emulate.c and its like. Prefix of the mnemonic, '*' for the rest. */
static const char *const by_hand[] = {
	"add",
	"or",
	"adc",
	"sbb",
	"and",
	"sub",
	"xor",
	"cmp",
	"test",
	"xchg",
	"mov",
	"movzx",
	"movsx",
	"movsxd",
	"lea",
	"rol",
	"ror",
	"rcl",
	"rcr",
	"shl",
	"shr",
	"sar",
	"not",
	"neg",
	"inc",
	"dec",
	"call",
	"jmp",
	"push",
	"pop",
	"set*",
	"bt",
	"bts",
	"btr",
	"btc",
	"cmpxchg",
	"cmpxchg8b",
	"cmpxchg16b",
	"xadd",
	"movnti",
	"movbe",
	/* no access, or one that moves nothing */
	"nop",
	"prefetch*",
	"vprefetch*",
	"cldemote",
	"clflush",
	"clflushopt",
	"clwb",
	"ud0",
	"ud1",
};

/* Stops the guest: the system's state, more than one operand's worth of memory, other features' state. */
static const char *const refused[] = {
	"sldt",
	"str",
	"lldt",
	"ltr",
	"verr",
	"verw",
	"sgdt",
	"sidt",
	"lgdt",
	"lidt",
	"smsw",
	"lmsw",
	"invlpg",
	"lar",
	"lsl",
	"rstorssp",
	"clrssbsy",
	"saveprevssp",
	"wrss*",
	"wruss*",
	"bndmov",
	"bndcl",
	"bndcu",
	"bndcn",
	"bndldx",
	"bndstx",
	"bndmk",
	"ptwrite",
	"vmread",
	"vmwrite",
	"vmptrld",
	"vmptrst",
	"vmclear",
	"vmxon",
	"invept",
	"invvpid",
	"invpcid",
	"lss",
	"lfs",
	"lgs",
	"lds",
	"les",
	"bound",
	"arpl",
	"clevict*",
	"fxsave*",
	"fxrstor*",
	"xsave*",
	"xrstor*",
	"fldenv",
	"fnstenv",
	"frstor",
	"fnsave",
	"movdir64b",
	"enqcmd*",
	"aes*kl",
	"ldtilecfg",
	"sttilecfg",
	"tileloadd*",
	"tilestored",
	"vgather*",
	"vpgather*",
	/* known from Zydis 4.1 on: the last VNNI, IFMA and conversions, SM3, SM4, atomic operations */
	"vpdpb*",
	"vpdpw*",
	"vpmadd52*",
	"vbcstne*",
	"vcvtne*",
	"vsm3*",
	"vsm4*",
	"aadd",
	"aand",
	"aor",
	"axor",
	"cmp*xadd",
};

static bool named(const char *const *list, u32 count, const char *mnemonic)
{
	for (u32 i = 0; i < count; i++) {
		const char *star = strchr(list[i], '*');
		size_t head = star ? (size_t)(star - list[i]) : strlen(list[i]);

		if (!star ? !strcmp(list[i], mnemonic) :
			    !strncmp(list[i], mnemonic, head) &&
				    (!star[1] || (strlen(mnemonic) >= strlen(list[i]) - 1 &&
						  !strcmp(mnemonic + strlen(mnemonic) - strlen(star + 1), star + 1))))
			return true;
	}
	return false;
}

static void complain(const struct key *k, const struct decoded *d, const char *what)
{
	fail_msg("%u-bit %s map %u opcode %02x prefix %u reg %u L%u W%u (%s): %s", k->bits,
		 k->vex ? "VEX" : "legacy", k->map, k->opcode, k->prefix, k->reg, k->l, k->w,
		 d ? ZydisMnemonicGetString(d->insn.mnemonic) : "nothing", what);
}

static void check_encoding(const struct key *k, const struct insn *insn, const struct insn_shape *shape,
			   const struct decoded *d)
{
	const ZydisDecodedOperand *m;
	struct insn_code code;
	struct decoded again;

	insn_encode(insn, shape, k->bits, insn->reg, insn->v, &code);
	if (!decode(&decoder64, code.bytes, code.len, &again) || again.insn.length != code.len)
		complain(k, d, "is not encoded");
	m = memory_of(&again);
	if (again.insn.mnemonic != d->insn.mnemonic || !m || m->size != memory_of(d)->size ||
	    m->mem.base != ZYDIS_REGISTER_NONE || m->mem.index != ZYDIS_REGISTER_NONE)
		complain(k, d, "is encoded as something else");
	if (again.insn.raw.disp.offset != code.disp_at)
		complain(k, d, "displacement is elsewhere");
	for (u32 i = 0; i < d->insn.operand_count; i++)
		if (d->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(&d->ops[i]) &&
		    d->ops[i].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN && d->ops[i].size != again.ops[i].size)
			complain(k, d, "is encoded with another operand size");
}

static void check_shape(const struct key *k, const struct insn *insn, const struct insn_shape *shape,
			const struct decoded *d)
{
	const ZydisDecodedOperand *m = memory_of(d), *v = operand(d, ZYDIS_OPERAND_ENCODING_NDSNDD);
	bool r, w;

	if (!m) {
		complain(k, d, "has no memory operand");
		return;
	}
	r = m->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	w = m->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	if (m->size != 8 * shape->size)
		complain(k, d, "size");
	if (r != !!(shape->flags & SHAPE_LOAD) || w != !!(shape->flags & SHAPE_STORE))
		complain(k, d, "direction");
	if (is_gpr(operand(d, ZYDIS_OPERAND_ENCODING_MODRM_REG)) != !!(shape->flags & SHAPE_REG_GPR) ||
	    is_gpr(v) != !!(shape->flags & SHAPE_V_GPR))
		complain(k, d, "general registers");
	if (d->insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		complain(k, d, "is privileged");
	check_encoding(k, insn, shape, d);
}

/* Returns whether Zydis knows it. */
static bool check(const struct key *k, u32 *covered)
{
	struct insn_shape shape;
	struct decoded d;
	struct insn insn;
	/* Those that have no vvvv want it 1111; gathers want it to differ from the rest. */
	struct bytes b = make(k, 0);
	bool known = decode(&decoder, b.at, INSN_MAX, &d), found;

	if (!known && k->vex) {
		b = make(k, 1);
		known = decode(&decoder, b.at, INSN_MAX, &d);
	}
	if (insn_decode(&insn, b.at, INSN_MAX, k->bits))
		return true;
	found = insn_shape(&insn, k->bits, &shape);
	if (known && found) {
		check_shape(k, &insn, &shape, &d);
		++*covered;
	} else if (known && memory_of(&d) &&
		   !named(by_hand, ARRAY_SIZE(by_hand), ZydisMnemonicGetString(d.insn.mnemonic)) &&
		   !named(refused, ARRAY_SIZE(refused), ZydisMnemonicGetString(d.insn.mnemonic))) {
		complain(k, &d, "is in no list");
	}
	return known || !found;
}

/* All W and L of an opcode: one of them at least is an instruction if the table has it. */
static void check_forms(struct key *k, u32 *covered)
{
	bool any = false;

	for (k->l = 0; k->l < (k->vex ? 2 : 1); k->l++)
		for (k->w = 0; k->w < (k->vex || k->bits == 64 ? 2 : 1); k->w++)
			any |= check(k, covered);
	/* 3DNow! has its operation in the immediate. */
	if (!any && !(k->map == 1 && k->opcode == 0x0f))
		complain(k, NULL, "is no instruction");
}

static bool is_opcode(const struct key *k)
{
	if (k->vex)
		return k->map;
	if (k->map == 1)
		return k->opcode != 0x38 && k->opcode != 0x3a;
	if (k->map)
		return true;
	return !k->prefix && k->opcode != 0x0f && (k->opcode & 0xf0) != 0x40 && (k->opcode & 0xfe) != 0xc4 &&
	       k->opcode != 0x62 && (k->opcode & 0xe7) != 0x26 && (k->opcode < 0x64 || k->opcode > 0x67) &&
	       k->opcode != 0xf0 && k->opcode != 0xf2 && k->opcode != 0xf3;
}

static void every_row_is_what_zydis_says(void **state)
{
	u32 covered = 0;

	ZydisDecoderInit(&decoder64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (u32 n = 0; n < 2 * 2 * 4 * 256 * 4 * 8; n++) {
		struct key k = {.bits = n & 1 ? 32 : 64,
				.vex = n >> 1 & 1,
				.reg = n >> 2 & 7,
				.prefix = n >> 5 & 3,
				.opcode = n >> 7 & 0xff,
				.map = n >> 15 & 3};

		if (!is_opcode(&k))
			continue;
		ZydisDecoderInit(&decoder, k.bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
				 k.bits == 64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
		check_forms(&k, &covered);
	}
	printf("%u forms of instructions\n", covered);
	assert_true(covered > 10000);
}

/* 66 of 16-bit code is the 32-bit operand. */
static void code_of_16_bits_keeps_its_operand_size(void **state)
{
	static const struct {
		const char *bytes;
		u8 len;
		const char *encoded;
		u8 encoded_len;
	} cases[] = {
		{"\x0f\x44\x07", 3, "\x66\x0f\x44\x04\x25\0\0\0\0", 9},              /* CMOVE AX, [BX] */
		{"\x66\x0f\x44\x07", 4, "\x0f\x44\x04\x25\0\0\0\0", 8},              /* CMOVE EAX, [BX] */
		{"\x66\x0f\x6f\x07", 4, "\x66\x0f\x6f\x04\x25\0\0\0\0", 9},          /* MOVDQA XMM0, [BX] */
		{"\x69\x07\x34\x12", 4, "\x66\x69\x04\x25\0\0\0\0\x34\x12", 10},     /* IMUL AX, [BX], 1234 */
		{"\xf3\x0f\xb8\x07", 4, "\x66\xf3\x0f\xb8\x04\x25\0\0\0\0", 10},     /* POPCNT AX, [BX] */
		{"\x65\xf7\x37", 3, "\x66\xf7\x34\x25\0\0\0\0", 8},                  /* DIV WORD GS:[BX] */
		{"\xc4\xe2\x78\xf2\x07", 5, "\xc4\xe2\x78\xf2\x04\x25\0\0\0\0", 10}, /* ANDN EAX, EAX, [BX] */
	};
	struct insn_shape shape;
	struct insn_code code;
	struct insn insn;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 bytes[INSN_MAX] = {0};

		memcpy(bytes, cases[i].bytes, cases[i].len);
		assert_int_equal(insn_decode(&insn, bytes, INSN_MAX, 16), 0);
		assert_true(insn_shape(&insn, 16, &shape));
		insn_encode(&insn, &shape, 16, insn.reg, insn.v, &code);
		if (code.len != cases[i].encoded_len || memcmp(code.bytes, cases[i].encoded, code.len))
			fail_msg("case %u", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_what_zydis_says),
		cmocka_unit_test(code_of_16_bits_keeps_its_operand_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
