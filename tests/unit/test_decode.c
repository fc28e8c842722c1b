/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction decoder against Zydis: millions of byte strings, made so that
 * every map and prefix is met. Whatever Zydis takes for an instruction must get
 * the same length, memory operand and immediate from ours, in all three modes.
 */
#include "tests/unit/host.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/guest/decode.h"
#include "arch/x86/guest/insn_fast.h"
#include "arch/x86/guest/vcpu.h"

#define STRINGS 2000000u

static ZydisDecoder decoder;
static u32 code_bits;

static void set_mode(u32 bits)
{
	ZydisMachineMode mode = bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 :
				bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32 :
					     ZYDIS_MACHINE_MODE_LEGACY_16;
	ZydisStackWidth width = bits == 64 ? ZYDIS_STACK_WIDTH_64 :
				bits == 32 ? ZYDIS_STACK_WIDTH_32 :
					     ZYDIS_STACK_WIDTH_16;

	code_bits = bits;
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, mode, width)));
}

static u8 random_prefix(void)
{
	static const u8 all[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65};

	return all[host_random_below(sizeof(all))];
}

/* Prefixes, a REX, then the opcode of a random map; the rest is noise. */
static void random_string(u8 out[INSN_MAX])
{
	u32 at = 0;

	for (u32 i = 0; i < INSN_MAX; i++)
		out[i] = host_random();
	while (host_random_below(3) == 0 && at < 4)
		out[at++] = random_prefix();
	if (host_random_below(2))
		out[at++] = 0x40 | host_random_below(16);
	switch (host_random_below(9)) {
	case 0:
	case 1: out[at] = 0x0f; break;
	case 2:
		out[at++] = 0x0f;
		out[at] = 0x38;
		break;
	case 3:
		out[at++] = 0x0f;
		out[at] = 0x3a;
		break;
	case 4:
		out[at++] = 0xc4;
		out[at] = (out[at] & 0xe0) | host_random_below(4);
		break;
	case 5: out[at] = 0xc5; break;
	case 6:
		out[at++] = 0x62;
		out[at] = (out[at] & 0xf0) | host_random_below(8);
		break;
	case 7:
		out[at++] = 0x8f;
		out[at] = (out[at] & 0xe0) | (8 + host_random_below(3));
		break;
	}
}

static u8 reg_number(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_NONE ? INSN_NO_REG : (u8)ZydisRegisterGetId(reg);
}

static NORETURN void mismatch(const char *what, const u8 *bytes, const ZydisDecodedInstruction *z,
			      const struct insn *insn)
{
	char text[64] = "";

	for (u32 i = 0; i < INSN_MAX; i++)
		snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
	fail_msg("%s: %u-bit %s(%s), length %u, ours %u, map %u opcode %02x", what, code_bits, text,
		 ZydisMnemonicGetString(z->mnemonic), z->length, insn->len, insn->map, insn->opcode);
	abort();
}

/* Address forms that the emulator computes: no vector index, no bound tables. */
static bool plain_memory(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       (op->mem.type == ZYDIS_MEMOP_TYPE_MEM || op->mem.type == ZYDIS_MEMOP_TYPE_AGEN) &&
	       op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;
}

static void check_memory(const u8 *bytes, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op,
			 const struct insn *insn)
{
	bool rip = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;
	u64 mask = insn->addrsize == 8 ? ~0ull : BIT(8 * insn->addrsize) - 1;
	u8 base = rip ? INSN_NO_REG : reg_number(op->mem.base), index = reg_number(op->mem.index);

	if (!insn->has_mem || insn->addrsize * 8 != z->address_width || rip != insn->rip_relative)
		mismatch("memory form", bytes, z, insn);
	/*
	 * SIB base 5 with mod 0 is no base, REX.B or not (SDM vol. 2 table 2-3);
	 * with 32-bit addresses Zydis takes it for R13D.
	 */
	if (op->mem.base == ZYDIS_REGISTER_R13D && insn->mod == 0)
		base = INSN_NO_REG;
	/* EVEX scales an 8-bit displacement: test_drop. */
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX && ((z->raw.disp.value ^ insn->disp) & mask))
		mismatch("displacement", bytes, z, insn);
	if (base != insn->base || index != insn->index)
		mismatch("base or index", bytes, z, insn);
	if (index != INSN_NO_REG && insn->addrsize != 2 && op->mem.scale != 1u << insn->scale)
		mismatch("scale", bytes, z, insn);
}

static void check_operands(const u8 *bytes, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops,
			   const struct insn *insn)
{
	for (u32 i = 0; i < z->operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (plain_memory(op))
			check_memory(bytes, z, op, insn);
		if (insn->encoding != INSN_LEGACY || op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    ZydisRegisterGetClass(op->reg.value) != ZYDIS_REGCLASS_GPR64)
			continue;
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG && reg_number(op->reg.value) != insn->reg)
			mismatch("reg", bytes, z, insn);
		if (op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && reg_number(op->reg.value) != insn->rm)
			mismatch("rm", bytes, z, insn);
		if (op->encoding == ZYDIS_OPERAND_ENCODING_OPCODE && reg_number(op->reg.value) != insn->rm)
			mismatch("opcode register", bytes, z, insn);
	}
	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && z->raw.imm[0].size && !z->raw.imm[1].size &&
	    z->raw.imm[0].size == 8u * insn->imm_len &&
	    ((insn->imm ^ z->raw.imm[0].value.u) & (insn->imm_len == 8 ? ~0ull : BIT(8 * insn->imm_len) - 1)))
		mismatch("immediate", bytes, z, insn);
}

static bool compare(const u8 bytes[INSN_MAX])
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct insn insn;
	int err;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, INSN_MAX, &z, ops)))
		return false;
	/* Jumps on mask registers of a coprocessor that is no PC's CPU. */
	if (z.meta.isa_set == ZYDIS_ISA_SET_KNCJKBR)
		return false;
	err = insn_decode(&insn, bytes, INSN_MAX, code_bits);
	if (err || insn.len != z.length)
		mismatch(err ? "refused" : "length", bytes, &z, &insn);
	/* MPX ignores the address-size prefix. */
	if (z.meta.isa_set != ZYDIS_ISA_SET_MPX)
		check_operands(bytes, &z, ops, &insn);
	return true;
}

static void random_strings(u32 bits)
{
	u8 bytes[INSN_MAX];
	u32 valid = 0;

	set_mode(bits);
	host_random_seed(bits);
	for (u32 i = 0; i < STRINGS; i++) {
		random_string(bytes);
		valid += compare(bytes);
	}
	printf("%u-bit: %u of %u strings are instructions\n", bits, valid, STRINGS);
	assert_true(valid > STRINGS / 5);
}

static void decode_matches_zydis_in_64_bit_code(void **state)
{
	random_strings(64);
}
static void decode_matches_zydis_in_32_bit_code(void **state)
{
	random_strings(32);
}
static void decode_matches_zydis_in_16_bit_code(void **state)
{
	random_strings(16);
}

/* All opcodes of the maps with all ModRM bytes, without luck. */
static void every_opcode_has_the_right_length(void **state)
{
	static const struct {
		u8 bytes[3];
		u8 len;
	} maps[] = {
		{{0}, 0},
		{{0x0f}, 1},
		{{0x0f, 0x38}, 2},
		{{0x0f, 0x3a}, 2},
		{{0x66}, 1},
		{{0x66, 0x0f}, 2},
		{{0xf2, 0x0f}, 2},
		{{0xf3, 0x0f}, 2},
		{{0x66, 0x0f, 0x38}, 3},
		{{0x66, 0x0f, 0x3a}, 3},
		{{0xc5, 0xf8}, 2},
		{{0xc5, 0xf9}, 2},
		{{0xc4, 0xe2, 0x79}, 3},
		{{0xc4, 0xe3, 0x79}, 3},
		{{0x48}, 1},
		{{0x48, 0x0f}, 2},
		{{0x67}, 1},
	};

	for (u32 bits = 16; bits <= 64; bits *= 2) {
		set_mode(bits);
		for (u32 m = 0; m < ARRAY_SIZE(maps); m++) {
			for (u32 n = 0; n < 0x10000; n++) {
				u8 bytes[INSN_MAX] = {0};

				memcpy(bytes, maps[m].bytes, maps[m].len);
				bytes[maps[m].len] = n >> 8;
				bytes[maps[m].len + 1] = n;
				bytes[maps[m].len + 2] = n * 37;
				compare(bytes);
			}
		}
	}
}

/* Cut short at any place, the decoder asks for more and never reads past the end. */
static void a_cut_instruction_wants_more_bytes(void **state)
{
	u8 bytes[INSN_MAX], *cut;
	struct insn insn;
	int err;

	host_random_seed(7);
	for (u32 i = 0; i < 200000; i++) {
		u32 bits = 16u << host_random_below(3);

		random_string(bytes);
		err = insn_decode(&insn, bytes, INSN_MAX, bits);
		if (err)
			continue;
		for (u32 len = 0; len < insn.len; len++) {
			struct insn part;

			cut = malloc(len + !len);
			memcpy(cut, bytes, len);
			assert_int_equal(insn_decode(&part, cut, len, bits), -ERANGE);
			free(cut);
		}
	}
}

static void fifteen_bytes_are_the_limit(void **state)
{
	u8 bytes[INSN_MAX];
	struct insn insn;

	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(insn_decode(&insn, bytes, sizeof(bytes), 64), -ERANGE);
	bytes[14] = 0x90;
	assert_int_equal(insn_decode(&insn, bytes, sizeof(bytes), 64), 0);
	assert_int_equal(insn.len, 15);
}

/* Of what the fast decoder knows: the opcode behind the prefixes, as 0F xx or xx alone. */
static bool is_same(const struct insn_fast *f, const struct insn *insn)
{
	switch (f->op) {
	case FAST_CPUID: return insn->map == 1 && insn->opcode == 0xa2;
	case FAST_RDMSR: return insn->map == 1 && insn->opcode == 0x32;
	case FAST_WRMSR: return insn->map == 1 && insn->opcode == 0x30;
	case FAST_MOV_FROM_CR:
		return insn->map == 1 && insn->opcode == 0x20 && f->cr == insn->reg && f->gpr == insn->rm;
	case FAST_MOV_TO_CR:
		return insn->map == 1 && insn->opcode == 0x22 && f->cr == insn->reg && f->gpr == insn->rm;
	case FAST_INVLPG:
		return insn->map == 1 && insn->opcode == 0x01 && (insn->reg & 7) == 7 && insn->has_mem &&
		       f->gpr == insn->base && insn->index == INSN_NO_REG && !insn->disp && insn->addrsize == 8;
	case FAST_AND:
	case FAST_OR:
		return insn->map == 0 && insn->opsize == 8 && f->imm == insn->imm &&
		       (insn->opcode == 0x0d || insn->opcode == 0x25 ?
				f->gpr == GPR_RAX && (insn->opcode == 0x25) == (f->op == FAST_AND) :
				(insn->opcode == 0x81 || insn->opcode == 0x83) && insn->mod == 3 &&
					f->gpr == insn->rm && (insn->reg & 7) == (f->op == FAST_AND ? 4 : 1));
	case FAST_BTS:
	case FAST_BTR:
		return insn->map == 1 && insn->opcode == 0xba && insn->opsize == 8 && insn->mod == 3 &&
		       f->gpr == insn->rm && f->imm == BIT(insn->imm & 63) &&
		       (insn->reg & 7) == (f->op == FAST_BTS ? 5 : 6);
	case FAST_NOP:
		return (insn->map == 1 && insn->opcode == 0x1f) ||
		       (insn->map == 0 && insn->opcode == 0x90 && insn->rm == 0);
	case FAST_JUMP: return insn->map == 0 && insn->opcode == 0xeb;
	default: return false;
	}
}

static void what_the_fast_decoder_knows_is_what_the_full_one_finds(void **state)
{
	static const u8 first[] = {0x0f, 0x0d, 0x25, 0x66, 0x81, 0x83, 0x90, 0xeb};
	static const u8 second[] = {0xa2, 0x32, 0x30, 0x20, 0x22, 0x01, 0x1f, 0xba, 0x0f, 0x90};
	u32 known = 0;

	host_random_seed(64);
	for (u32 i = 0; i < STRINGS / 4; i++) {
		u8 bytes[INSN_MAX];
		u32 at = host_random_below(2);
		struct insn_fast fast;
		struct insn insn;

		for (u32 k = 0; k < INSN_MAX; k++)
			bytes[k] = host_random();
		bytes[0] = 0x40 | host_random_below(16);
		bytes[at] = first[host_random_below(sizeof(first))];
		bytes[at + 1] = second[host_random_below(sizeof(second))];
		if (!insn_fast_decode(&fast, bytes) && !insn_fast_decode_between(&fast, bytes))
			continue;
		known++;
		assert_int_equal(insn_decode(&insn, bytes, sizeof(bytes), 64), 0);
		if (!is_same(&fast, &insn) || fast.len != insn.len + (fast.op == FAST_JUMP ? (u32)insn.imm : 0))
			fail_msg("%02x %02x %02x %02x: another instruction", bytes[0], bytes[1], bytes[2], bytes[3]);
	}
	assert_true(known > STRINGS / 40);
}

static bool is_same_move(const struct insn_fast_move *m, const struct insn *insn)
{
	u8 base = insn->rip_relative ? INSN_FAST_RIP : insn->base == INSN_NO_REG ? INSN_FAST_ZERO : insn->base;

	return insn->encoding == INSN_LEGACY && insn->map == 0 && insn->has_mem && insn->opsize == 4 &&
	       insn->addrsize == 8 && !insn->prefix && !insn->lock && insn->segment == INSN_NO_REG &&
	       insn->index == INSN_NO_REG && m->base == base && m->disp == (u64)insn->disp &&
	       m->len == insn->len && m->store == (insn->opcode != 0x8b) && m->constant == (insn->opcode == 0xc7) &&
	       (m->constant ? m->imm == (u32)insn->imm && !(insn->reg & 7) : m->gpr == insn->reg);
}

/* And it knows all that it says it does. */
static void fast_moves_are_what_the_full_decoder_finds(void **state)
{
	static const u8 opcodes[] = {0x89, 0x8b, 0xc7, 0x88, 0x87};
	u32 known = 0;

	host_random_seed(65);
	for (u32 i = 0; i < STRINGS / 4; i++) {
		u8 bytes[INSN_MAX];
		u32 at = host_random_below(2);
		struct insn_fast_move move;
		struct insn insn;
		bool fast;

		for (u32 k = 0; k < INSN_MAX; k++)
			bytes[k] = host_random();
		bytes[0] = 0x40 | host_random_below(16);
		bytes[at] = opcodes[host_random_below(sizeof(opcodes))];
		if (host_random_below(2))
			bytes[at + 2] = (bytes[at + 2] & 0xc7) | 0x20;
		fast = insn_fast_decode_move(&move, bytes);
		known += fast;
		if (insn_decode(&insn, bytes, sizeof(bytes), 64)) {
			assert_false(fast);
			continue;
		}
		if (fast ? !is_same_move(&move, &insn) :
			   insn.opcode != 0x87 && insn.opcode != 0x88 && insn.has_mem && insn.opsize == 4 &&
				    insn.index == INSN_NO_REG && !(bytes[0] >> 4 == 4 && at && bytes[0] & 2) &&
				    (insn.opcode != 0xc7 || !(insn.reg & 7)))
			fail_msg("%02x %02x %02x %02x", bytes[0], bytes[1], bytes[2], bytes[3]);
		assert_true(!fast || move.len <= INSN_FAST_MOVE_BYTES);
	}
	assert_true(known > STRINGS / 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_opcode_has_the_right_length),
		cmocka_unit_test(decode_matches_zydis_in_64_bit_code),
		cmocka_unit_test(decode_matches_zydis_in_32_bit_code),
		cmocka_unit_test(decode_matches_zydis_in_16_bit_code),
		cmocka_unit_test(a_cut_instruction_wants_more_bytes),
		cmocka_unit_test(fifteen_bytes_are_the_limit),
		cmocka_unit_test(what_the_fast_decoder_knows_is_what_the_full_one_finds),
		cmocka_unit_test(fast_moves_are_what_the_full_decoder_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
