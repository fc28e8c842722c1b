/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of many accesses, which the interpreter makes in one piece where it can: strings, PUSHA, POPA, ENTER. Whatever it does so
 * is what it does one by one (which test_interpret_unicorn.c has), at every edge there is: pages, limits, 64 KiB, a page that is
 * absent, both directions, overlaps.
 */
#include "tests/unit/interpret_world.h"

#define CODE_BASE 0x30000u
#define CODE 0x100u
#define DATA 0x4000u
#define ROUNDS 6000u

static u8 before[CODE_BASE], one_by_one[CODE_BASE];

static u64 near_an_edge(u64 other)
{
	static const u32 edges[] = {0, 0x4000, 0x4010, 0x5000, 0x10000, 0x11000};
	u64 at = host_random_below(4) ? edges[host_random_below(ARRAY_SIZE(edges))] : other;

	at += host_random_below(24) - 12ull;
	return host_random_below(3) ? (u16)at : at % CODE_BASE;
}

static void random_state(void)
{
	static const u32 limits[] = {0xffff, 0xffff, 0xffff, 0x4010, 0x4fff, ~0u};

	reset_world(0);
	for (u32 i = 0; i <= SEG_GS; i++) {
		segments[i].limit = limits[host_random_below(ARRAY_SIZE(limits))];
		segments[i].base = host_random_below(3) * 16;
	}
	segments[SEG_SS].attributes |= host_random_below(2) ? SEG_ATTR_DB : 0;
	segments[SEG_CS].base = CODE_BASE;
	segments[SEG_CS].limit = 0xffff;
	for (u32 r = 0; r < 8; r++)
		vcpu.gpr[r] = (u32)host_random();
	vcpu.gpr[GPR_RSI] = near_an_edge(0x4800);
	vcpu.gpr[GPR_RDI] = near_an_edge(vcpu.gpr[GPR_RSI]);
	vcpu.gpr[GPR_RSP] = near_an_edge(0x4800);
	vcpu.gpr[GPR_RBP] = near_an_edge(vcpu.gpr[GPR_RSP]);
	vcpu.gpr[GPR_RCX] = host_random_below(4) ? host_random_below(100) : host_random_below(3);
	vcpu.gpr[GPR_RAX] = host_random_below(2) ? 0 : vcpu.gpr[GPR_RAX];
	vcpu.rip = CODE;
	if (host_random_below(2))
		vcpu.rflags |= RFLAGS_DF;
	if (host_random_below(8) == 0)
		vcpu.rflags |= RFLAGS_TF;
	if (host_random_below(4) == 0)
		absent = host_random_below(6) << PAGE_SHIFT;
}

static void random_instruction(u8 *bytes)
{
	static const u8 opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
				     0xa4, 0xa5, 0xa6, 0xab, 0xaf, 0x60, 0x61, 0xc8, 0xc9};
	u8 opcode = opcodes[host_random_below(ARRAY_SIZE(opcodes))];
	u32 len = 0;

	if (opcode >= 0xa4 && opcode <= 0xaf && host_random_below(4))
		bytes[len++] = 0xf2 + host_random_below(2);
	if (host_random_below(2))
		bytes[len++] = 0x66;
	if (host_random_below(2))
		bytes[len++] = 0x67;
	bytes[len++] = opcode;
	bytes[len++] = (u8)host_random_below(20); /* ENTER's: */
	bytes[len++] = 0;
	bytes[len++] = (u8)host_random_below(9);
}

/* To its end, or to an event. */
static void run(bool in_place)
{
	ram_in_place = in_place;
	while (interpret_one(&vcpu) == INTERPRETED && vcpu.rip == CODE)
		;
	ram_in_place = true;
}

/* Mostly equal bytes, so that comparisons go on. */
static void random_memory(void)
{
	for (u32 at = 0; at < CODE_BASE; at++)
		memory[at] = host_random_below(16) ? 0 : (u8)host_random();
	memcpy(before, memory, CODE_BASE);
}

static void in_one_piece_is_as_one_by_one(void **state)
{
	struct vcpu start, first;
	u32 events = 0;

	host_random_seed(7);
	random_memory();
	for (u32 n = 0; n < ROUNDS; n++) {
		random_state();
		random_instruction(memory + CODE_BASE + CODE);
		start = vcpu;
		run(false);
		first = vcpu;
		memcpy(one_by_one, memory, CODE_BASE);
		memcpy(memory, before, CODE_BASE);
		vcpu = start;
		run(true);
		assert_memory_equal(vcpu.gpr, first.gpr, sizeof(vcpu.gpr));
		assert_int_equal(vcpu.rip, first.rip);
		assert_int_equal(vcpu.rflags, first.rflags);
		assert_memory_equal(&vcpu.inject, &first.inject, sizeof(vcpu.inject));
		assert_int_equal(memcmp(memory, one_by_one, CODE_BASE), 0); /* a fault's, too */
		events += vcpu.inject.type != EVENT_NONE;
		memcpy(before, memory, CODE_BASE);
	}
	assert_in_range(events, ROUNDS / 20, ROUNDS * 2 / 3);
}

static enum interpreted string(const char *bytes, u32 len, u64 count)
{
	reset_world(0);
	memset(memory, 0, 0x10000);
	segments[SEG_CS].base = CODE_BASE;
	memcpy(memory + CODE_BASE + CODE, bytes, len);
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RCX] = count;
	vcpu.gpr[GPR_RDI] = DATA;
	vcpu.gpr[GPR_RSI] = DATA - 1;
	vcpu.gpr[GPR_RAX] = 0x5a;
	return interpret_one(&vcpu);
}
#define STRING(bytes, count) string(bytes, sizeof(bytes) - 1, count)

/* The interrupt is looked for between two steps. */
static void a_step_has_an_end(void **state)
{
	u64 left = 4000, cost;

	assert_int_equal(STRING("\xf3\xaa", left), INTERPRETED);
	assert_int_equal(vcpu.rip, CODE);
	assert_true(vcpu.rflags & RFLAGS_RF);
	assert_in_range(left - vcpu.gpr[GPR_RCX], 16, 256);
	assert_int_equal(vcpu.gpr[GPR_RDI], DATA + left - vcpu.gpr[GPR_RCX]);
	while (vcpu.rip == CODE) {
		left = vcpu.gpr[GPR_RCX];
		cost = vcpu.interpreted;
		assert_int_equal(interpret_one(&vcpu), INTERPRETED);
		assert_in_range(left - vcpu.gpr[GPR_RCX], 0, 20 * (vcpu.interpreted - cost));
	}
	assert_int_equal(vcpu.gpr[GPR_RDI], DATA + 4000);
	assert_int_equal(memory[DATA + 3999], 0x5a);
	assert_int_equal(memory[DATA + 4000], 0);
}

/* An element is what the one before it has written. */
static void what_overlaps_goes_on(void **state)
{
	string("\xf3\xa4", 2, 0);
	memory[DATA - 1] = 0x77;
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RCX] = 40;
	assert_int_equal(interpret_one(&vcpu), INTERPRETED);
	for (u32 i = 0; i < 40; i++)
		assert_int_equal(memory[DATA + i], 0x77);
	assert_int_equal(memory[DATA + 40], 0);
}

static void a_breakpoint_stops_behind_its_element(void **state)
{
	string("\xf3\xaa", 2, 0);
	dr[0] = DATA + 5;
	dr7 |= BIT(0) | BIT(16);
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RCX] = 40;
	assert_int_equal(interpret_one(&vcpu), INTERPRET_EVENT);
	assert_int_equal(vcpu.inject.vector, VEC_DB);
	assert_int_equal(vcpu.rip, CODE);
	assert_int_equal(vcpu.gpr[GPR_RDI], DATA + 6);
	assert_int_equal(vcpu.gpr[GPR_RCX], 34);
}

/* Paging off: what is behind the memory is none, reads are all-ones. */
static void hidden_memory_is_read_as_ones(void **state)
{
	string("\x67\xf3\xa4", 3, 0);
	segments[SEG_DS].limit = ~0u;
	vcpu.gpr[GPR_RSI] = MEM_END - 4;
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RCX] = 8;
	assert_int_equal(interpret_one(&vcpu), INTERPRETED);
	assert_int_equal(memory[DATA + 3], memory[MEM_END - 1]);
	for (u32 i = 4; i < 8; i++)
		assert_int_equal(memory[DATA + i], 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_one_piece_is_as_one_by_one),
		cmocka_unit_test(a_step_has_an_end),
		cmocka_unit_test(what_overlaps_goes_on),
		cmocka_unit_test(a_breakpoint_stops_behind_its_element),
		cmocka_unit_test(hidden_memory_is_read_as_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
