/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The code between a MOV from CR3 and a MOV to CR3: what is done at once is what a
 * processor (Unicorn) does one by one, and whatever else lies there is left alone.
 */
#include "tests/unit/host.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86/guest/cr3_pair.h"
#include "arch/x86/guest/vcpu.h"
#include "lib/x86.h"
#include "tests/unit/rng.h"
#include "tests/unit/unicorn.h"

#define CODE 0x10000ull
#define CODE_ROOM 128u
#define FLAGS_START 0x8d7u /* every status flag set */
/* Flags that are defined: AND and OR leave AF open, BTS and BTR all but CF and ZF. */
#define FLAGS_ALU 0x8c5u
#define FLAGS_BIT 0x041u

static u8 code[CODE_ROOM];
static u32 len;

static void byte(u32 b)
{
	code[len++] = (u8)b;
}
static void bytes(const char *b, u32 n)
{
	memcpy(code + len, b, n);
	len += n;
}

static void imm32(u32 v)
{
	for (u32 i = 0; i < 4; i++)
		byte(v >> (8 * i) & 0xff);
}

static void start(void)
{
	memset(code, 0xcc, sizeof(code));
	len = 0;
}

static void rex_w(u32 gpr)
{
	byte(0x48 | gpr >> 3);
}

static void write_cr3(u32 gpr)
{
	if (gpr >= 8)
		byte(0x41);
	byte(0x0f);
	byte(0x22);
	byte(0xd8 | (gpr & 7));
}

static u32 pair(u32 gpr, u64 *value, u64 *flags)
{
	return cr3_pair_length(code, CODE_ROOM, gpr, value, flags);
}

/* One random instruction of those that are known. Returns the flags it defines, all where it leaves them alone. */
static u32 random_step(struct rng *rng, u32 gpr)
{
	static const char *const nops[] = {
		"\x90",
		"\x66\x90",
		"\x0f\x1f\x00",
		"\x0f\x1f\x40\x00",
		"\x0f\x1f\x44\x00\x00",
		"\x66\x0f\x1f\x44\x00\x00",
		"\x0f\x1f\x80\x00\x00\x00\x00",
		"\x0f\x1f\x84\x00\x00\x00\x00\x00",
	};
	static const u8 nop_len[] = {1, 2, 3, 4, 5, 6, 7, 8};
	u32 kind = rng_below(rng, 7), op = rng_chance(rng, 50) ? 1 : 4, n;

	switch (kind) {
	case 0:
	case 1: /* AND, OR of group 1 */
		rex_w(gpr);
		byte(kind ? 0x83 : 0x81);
		byte(0xc0 | op << 3 | (gpr & 7));
		if (kind)
			byte((u32)rng_next(rng) & 0xff);
		else
			imm32((u32)rng_next(rng));
		return FLAGS_ALU;
	case 2: /* BTS, BTR */
		rex_w(gpr);
		bytes("\x0f\xba", 2);
		byte(0xc0 | (rng_chance(rng, 50) ? 5 : 6) << 3 | (gpr & 7));
		byte((u32)rng_next(rng) & 0xff);
		return FLAGS_BIT;
	case 3: /* the accumulator's own form */
		if (gpr)
			break;
		rex_w(0);
		byte(op == 1 ? 0x0d : 0x25);
		imm32((u32)rng_next(rng));
		return FLAGS_ALU;
	case 4: /* JMP over bytes that must not be looked at */
		n = rng_below(rng, 6);
		byte(0xeb);
		byte(n);
		while (n--)
			byte(0xcc);
		break;
	default:
		n = rng_below(rng, ARRAY_SIZE(nops));
		bytes(nops[n], nop_len[n]);
		break;
	}
	return ~0u;
}

static const int uc_regs[GPR_COUNT] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
	UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
	UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15,
};

static void a_processor_does_the_same(void **state)
{
	struct rng rng;
	uc_engine *uc;

	rng_seed(&rng, 3);
	assert_int_equal(uc_open(UC_ARCH_X86, UC_MODE_64, &uc), UC_ERR_OK);
	assert_int_equal(uc_mem_map(uc, CODE, 0x1000, UC_PROT_ALL), UC_ERR_OK);
	for (u32 i = 0; i < 20000; i++) {
		u32 gpr = rng_below(&rng, GPR_COUNT), steps = rng_below(&rng, 7), body, defined = FLAGS_START;
		u64 first = rng_next(&rng), value = first, flags = FLAGS_START, theirs, their_flags = FLAGS_START;

		start();
		for (u32 n = 0; n < steps; n++) {
			u32 mask = random_step(&rng, gpr);

			/* What AND and OR define is defined again. */
			defined = mask == FLAGS_ALU ? FLAGS_ALU : defined & mask;
		}
		body = len;
		write_cr3(gpr);
		assert_int_equal(pair(gpr, &value, &flags), len);
		uc_ctl_remove_cache(uc, CODE, CODE + CODE_ROOM);
		assert_int_equal(uc_mem_write(uc, CODE, code, sizeof(code)), UC_ERR_OK);
		uc_reg_write(uc, uc_regs[gpr], &first);
		uc_reg_write(uc, UC_X86_REG_EFLAGS, &their_flags);
		if (body)
			assert_int_equal(uc_emu_start(uc, CODE, CODE + body, 0, 0), UC_ERR_OK);
		uc_reg_read(uc, uc_regs[gpr], &theirs);
		uc_reg_read(uc, UC_X86_REG_EFLAGS, &their_flags);
		assert_true(value == theirs);
		assert_true((flags & defined) == (their_flags & defined));
	}
	uc_close(uc);
}

static void page_table_isolation_of_linux(void **state)
{
	u64 value = 0x12345800, flags = FLAGS_START;

	start(); /* its way in: MOV RSP, CR3; a patched-out BTS; AND RSP, ~0x1800; MOV CR3, RSP */
	bytes("\x0f\x1f\x44\x00\x00\x48\x81\xe4\xff\xe7\xff\xff\x0f\x22\xdc", 15);
	assert_int_equal(pair(GPR_RSP, &value, &flags), 15);
	assert_true(value == 0x12344000);
	start(); /* its way out: JMP; OR RDI, 0x1000; MOV CR3, RDI */
	bytes("\xeb\x03\xcc\xcc\xcc\x48\x81\xcf\x00\x10\x00\x00\x0f\x22\xdf", 15);
	assert_int_equal(pair(GPR_RDI, &value, &flags), 15);
	assert_true(value == 0x12345000);
	start(); /* a flush */
	write_cr3(GPR_RAX);
	assert_int_equal(pair(GPR_RAX, &value, &flags), 3);
}

static void anything_else_is_left_alone(void **state)
{
	static const struct {
		const char *code;
		u32 len;
	} others[] = {
		{"\x81\xe0\xff\xe7\xff\xff\x0f\x22\xd8", 9},          /* AND EAX: 32 bits */
		{"\x48\x81\xe1\xff\xe7\xff\xff\x0f\x22\xd8", 10},     /* another register */
		{"\x49\x81\xe0\xff\xe7\xff\xff\x0f\x22\xd8", 10},     /* R8 */
		{"\x48\x81\x20\xff\xe7\xff\xff\x0f\x22\xd8", 10},     /* memory */
		{"\x48\x81\xc0\x00\x10\x00\x00\x0f\x22\xd8", 10},     /* ADD */
		{"\x0f\x22\xd9", 3},                                  /* MOV CR3, RCX */
		{"\x0f\x22\xe0", 3},                                  /* MOV CR4, RAX */
		{"\x44\x0f\x22\xd8", 4},                              /* REX.R: MOV CR11 */
		{"\x41\x0f\x22\xd8", 4},                              /* MOV CR3, R8 */
		{"\xf0\x0f\x22\xd8", 4},                              /* LOCK */
		{"\x66\x0f\x22\xd8", 4},                              /* a prefix */
		{"\x41\x90\x0f\x22\xd8", 5},                          /* XCHG R8, RAX */
		{"\xeb\xfe", 2},                                      /* JMP to itself */
		{"\x0f\x1f\xc8\x0f\x22\xd8", 6},                      /* 0F 1F /1 */
		{"\x48\x0f\xba\xf8\x01\x0f\x22\xd8", 8},              /* BTC */
		{"\x48\x0f\xab\xc0\x0f\x22\xd8", 7},                  /* BTS by a register */
		{"\xfb\x0f\x22\xd8", 4},                              /* STI */
		{"\x90\x90\x90\x90\x90\x90\x90\x90\x0f\x22\xd8", 11}, /* too far */
	};

	for (u32 i = 0; i < ARRAY_SIZE(others); i++) {
		u64 value = 0x5000, flags = FLAGS_START;

		start();
		bytes(others[i].code, others[i].len);
		assert_int_equal(pair(GPR_RAX, &value, &flags), 0);
		assert_true(value == 0x5000 && flags == FLAGS_START);
	}
}

/* ASan guards the end: no byte beyond the room is read, whatever is there. */
static void nothing_beyond_the_room_is_read(void **state)
{
	struct rng rng;

	rng_seed(&rng, 4);
	for (u32 i = 0; i < 20000; i++) {
		u32 room = rng_below(&rng, 40), gpr = rng_below(&rng, GPR_COUNT);
		u8 *small = malloc(room ? room : 1);
		u64 value = 0, flags = 0;

		start();
		while (len < room)
			random_step(&rng, gpr);
		assert_non_null(small);
		memcpy(small, code, room);
		assert_true(cr3_pair_length(small, room, gpr, &value, &flags) <= room);
		free(small);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_processor_does_the_same),
		cmocka_unit_test(page_table_isolation_of_linux),
		cmocka_unit_test(anything_else_is_left_alone),
		cmocka_unit_test(nothing_beyond_the_room_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
