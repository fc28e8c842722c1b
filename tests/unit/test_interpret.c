/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter where Unicorn cannot tell (test_interpret_unicorn.c): limits of segments, delivery of events, protected mode's
 * descriptors, debug exceptions, what goes to the handlers of exits. Each expectation is the manual's.
 */
#include <cpuid.h>

#include "tests/unit/interpret_world.h"

#define CODE 0x1000u /* CS:IP of most of these, at linear address CODE */
#define STACK 0x8000u
#define DATA 0x4000u
#define GDT 0x6000u
#define IDT 0x7000u
#define HANDLER 0x2000u

static void real(void)
{
	reset_world(0);
	memset(memory, 0, 0x10000);
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RSP] = STACK;
	for (u32 v = 0; v < 256; v++) {
		memory[4 * v] = (u8)v; /* 0200:20vv */
		memory[4 * v + 1] = HANDLER >> 8;
		memory[4 * v + 3] = 2;
	}
}

#define CS_HANDLER 0x200u

static enum interpreted step_bytes(const void *bytes, u32 len)
{
	memcpy(memory + (u32)(segments[SEG_CS].base + vcpu.rip), bytes, len);
	return interpret_one(&vcpu);
}
#define STEP(bytes) step_bytes(bytes, sizeof(bytes) - 1)

static void expect_exception(u8 vector, u32 error)
{
	assert_int_equal(vcpu.inject.type, EVENT_EXCEPTION);
	assert_int_equal(vcpu.inject.vector, vector);
	assert_int_equal(vcpu.inject.error, error);
	vcpu.inject.type = EVENT_NONE;
	vcpu.rflags &= ~RFLAGS_RF;
}

static u32 word(u32 at)
{
	return memory[at] | memory[at + 1] << 8;
}
static u32 dword(u32 at)
{
	return word(at) | word(at + 2) << 16;
}
static void put_dword(u32 at, u32 value)
{
	memcpy(memory + at, &value, 4);
}

/* --- delivery in real mode ------------------------------------------------------------------- */

static void deliver(u8 type, u8 vector)
{
	const struct vcpu_event event = {.type = type, .vector = vector, .insn_len = 2};

	interpret_deliver(&vcpu, &event);
}

static void an_interrupt_goes_through_the_table(void **state)
{
	real();
	vcpu.rflags |= RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF | FLAG_CF | RFLAGS_NT;
	vcpu.interrupt_shadow = true;
	deliver(EVENT_INTERRUPT, 0x21);
	assert_int_equal(vcpu.rip, HANDLER + 0x21);
	assert_int_equal(segments[SEG_CS].selector, CS_HANDLER);
	assert_int_equal(segments[SEG_CS].base, CS_HANDLER * 16);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 6);
	assert_int_equal(word(STACK - 6), CODE);
	assert_int_equal(word(STACK - 4), 0);
	assert_int_equal(word(STACK - 2), RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF | FLAG_CF | RFLAGS_NT);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | FLAG_CF | RFLAGS_NT);
	assert_false(vcpu.interrupt_shadow);
}

static void soft_events_push_the_address_behind(void **state)
{
	static const struct {
		const char *bytes;
		u8 len, vector;
	} cases[] = {{"\xcd\x55", 2, 0x55},
		     {"\xcc", 1, VEC_BP},
		     {"\xce", 1, VEC_OF},
		     {"\xf1", 1, VEC_DB},
		     {"\x66\xcd\x03", 3, 3}};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		real();
		vcpu.rflags |= FLAG_OF;
		vcpu.rflags |= RFLAGS_IF | RFLAGS_TF;
		assert_int_equal(step_bytes(cases[i].bytes, cases[i].len), INTERPRETED);
		assert_int_equal(vcpu.rflags, RFLAGS_FIXED | FLAG_OF);
		assert_int_equal(vcpu.inject.type, EVENT_NONE);
		assert_int_equal(word(STACK - 6), CODE + cases[i].len);
		assert_int_equal(vcpu.rip, HANDLER + cases[i].vector);
	}
	real();
	segments[SEG_IDTR].limit = 0x55 * 4 + 2;
	assert_int_equal(STEP("\xcd\x55"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(vcpu.rip, CODE);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	real();
	vcpu.gpr[GPR_RSP] = 5; /* the third word would wrap in its middle */
	assert_int_equal(STEP("\xcd\x55"), INTERPRET_EVENT);
	expect_exception(VEC_SS, 0);
	assert_int_equal(vcpu.gpr[GPR_RSP], 5);
	real();
	vcpu.gpr[GPR_RSP] = 4; /* it wraps between two */
	assert_int_equal(STEP("\xcd\x55"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0xfffe);
	assert_int_equal(word(0xfffe), CODE + 2);
	real();
	assert_int_equal(STEP("\xce"), INTERPRETED); /* INTO without overflow */
	assert_int_equal(vcpu.rip, CODE + 1);
}

static void a_fault_pushes_its_own_address(void **state)
{
	real();
	assert_int_equal(STEP("\xf6\xf0"), INTERPRET_EVENT); /* DIV AL, of nothing by nothing */
	interpret_deliver(&vcpu, &vcpu.inject);
	assert_int_equal(word(STACK - 6), CODE);
	assert_int_equal(vcpu.rip, HANDLER + VEC_DE);
}

static void the_tables_limit_holds(void **state)
{
	real();
	segments[SEG_IDTR].limit = 0x55 * 4 + 2;
	deliver(EVENT_SOFT_INTERRUPT, 0x55);
	assert_int_equal(vcpu.rip, HANDLER + VEC_GP);
	assert_int_equal(word(STACK - 6), CODE); /* a fault: of the instruction */
	real();
	segments[SEG_IDTR].limit = VEC_GP * 4 + 2; /* no room for #GP: the second of two contributory ones */
	deliver(EVENT_EXCEPTION, VEC_SS + 3);
	assert_int_equal(vcpu.rip, HANDLER + VEC_DF);
	real();
	segments[SEG_IDTR].limit = VEC_DF * 4 + 2;
	assert_panics(deliver(EVENT_SOFT_INTERRUPT, 0x55));
	assert_string_equal(host_panic_message, "guest shut down");
}

static void the_stack_of_a_delivery_wraps_and_has_a_limit(void **state)
{
	real();
	vcpu.gpr[GPR_RSP] = 0x12340002;
	deliver(EVENT_INTERRUPT, 8);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x1234fffc);
	assert_int_equal(word(0xfffc), CODE);
	real();
	vcpu.gpr[GPR_RSP] = 1;
	assert_panics(deliver(EVENT_INTERRUPT, 8));
	assert_string_equal(host_panic_message, "guest shut down");
	real();
	segments[SEG_SS].limit = 0x7fff;
	vcpu.gpr[GPR_RSP] = STACK + 2;
	vcpu.cr0 |= 0;
	assert_panics(deliver(EVENT_NMI, VEC_NMI));
}

static void an_nmi_blocks_others_until_iret(void **state)
{
	real();
	deliver(EVENT_NMI, VEC_NMI);
	assert_true(vcpu.nmi_blocked);
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_false(vcpu.nmi_blocked);
	assert_int_equal(vcpu.rip, CODE);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
}

/* --- limits -------------------------------------------------------------------------------------- */

static void code_ends_at_the_limit(void **state)
{
	real();
	vcpu.rip = 0xffff;
	assert_int_equal(STEP("\x89\xd8"), INTERPRET_EVENT); /* its second byte is beyond */
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x90"), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x10000);
	assert_int_equal(interpret_one(&vcpu), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	vcpu.rip = 0xfff0;
	assert_int_equal(STEP("\xeb\x7f"), INTERPRETED); /* of 16 bits, IP wraps */
	assert_int_equal(vcpu.rip, 0x71);
	vcpu.rip = 0xfff0;
	assert_int_equal(STEP("\x66\xe9\x00\x01\x00\x00"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
}

static void more_than_fifteen_bytes_are_no_instruction(void **state)
{
	real();
	assert_int_equal(STEP("\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x90"), INTERPRETED);
	assert_int_equal(vcpu.rip, CODE + 15);
	assert_int_equal(STEP("\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x2e\x90"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
}

static void code_is_fetched_across_pages(void **state)
{
	real();
	assert_int_equal(STEP("\x43"), INTERPRETED);
	code_in_place = false; /* as of a device's memory */
	vcpu.rip = CODE;
	assert_int_equal(STEP("\x4b"), INTERPRETED);
	code_in_place = true;
	vcpu.rip = CODE;
	assert_int_equal(STEP("\x4b"), INTERPRETED); /* other bytes at an address that was seen before */
	assert_int_equal((u16)vcpu.gpr[GPR_RBX], 0xffff);
	vcpu.gpr[GPR_RBX] = 0;
	for (u32 at = 0x1ff8; at < 0x2000; at++) {
		vcpu.rip = at;
		assert_int_equal(STEP("\x66\x81\xc3\x78\x56\x34\x12"), INTERPRETED); /* ADD EBX, 12345678 */
		assert_int_equal(vcpu.rip, at + 7);
	}
	assert_int_equal((u32)vcpu.gpr[GPR_RBX], (u32)(8 * 0x12345678ull));
	vcpu.gpr[GPR_RBX] = 0;
	for (u32 at = 0x1ff1; at < 0x2000;
	     at++) { /* the same addresses, other bytes: at last in the second page alone */
		vcpu.rip = at;
		assert_int_equal(STEP("\x66\x81\xc3\x01\x00\x00\x00"), INTERPRETED);
		vcpu.rip = at;
		assert_int_equal(STEP("\x66\x81\xc3\x01\x00\x01\x00"), INTERPRETED);
	}
	assert_int_equal((u32)vcpu.gpr[GPR_RBX], 15 * 0x10002u);
}

static void operands_end_at_the_limit(void **state)
{
	real();
	assert_int_equal(STEP("\xa1\xff\xff"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x36\xa1\xff\xff"), INTERPRET_EVENT);
	expect_exception(VEC_SS, 0);
	assert_int_equal(STEP("\x66\xa3\xfd\xff"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\xa0\xff\xff"), INTERPRETED);
	vcpu.gpr[GPR_RBX] = 0x10000;
	assert_int_equal(STEP("\x67\x8a\x03"), INTERPRET_EVENT); /* [EBX], beyond 64 KiB */
	expect_exception(VEC_GP, 0);
	vcpu.gpr[GPR_RSP] = 1;
	assert_int_equal(STEP("\x50"), INTERPRET_EVENT);
	expect_exception(VEC_SS, 0);
	vcpu.gpr[GPR_RSP] = 0xffff;
	assert_int_equal(STEP("\x58"), INTERPRET_EVENT);
	expect_exception(VEC_SS, 0);
	for (u32 sp = 1; sp < 16; sp += 2) { /* PUSHA: all or nothing */
		vcpu.gpr[GPR_RSP] = sp;
		assert_int_equal(STEP("\x60"), INTERPRET_EVENT);
		expect_exception(VEC_SS, 0);
		assert_int_equal(vcpu.gpr[GPR_RSP], sp);
	}
}

static void unreal_mode_survives_loads(void **state)
{
	real();
	segments[SEG_DS] = (struct segment){.selector = 8, .limit = ~0u, .attributes = 0x8093};
	vcpu.gpr[GPR_RAX] = 0x123;
	assert_int_equal(STEP("\x8e\xd8"), INTERPRETED); /* MOV DS, AX */
	assert_int_equal(segments[SEG_DS].base, 0x1230);
	assert_int_equal(segments[SEG_DS].limit, ~0u);
	assert_int_equal(segments[SEG_DS].selector, 0x123);
	vcpu.gpr[GPR_RBX] = 0x100000 - 0x1230;
	memory[0x100000] = 0x5a;
	assert_int_equal(STEP("\x67\x8a\x03"), INTERPRETED);
	assert_int_equal((u8)vcpu.gpr[GPR_RAX], 0x5a);
	/* Of what held a null selector nothing can stay. */
	segments[SEG_ES] = (struct segment){.attributes = SEG_ATTR_UNUSABLE};
	assert_int_equal(STEP("\x26\xa0\x00\x00"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x8e\xc0"), INTERPRETED);
	assert_int_equal(segments[SEG_ES].limit, 0xffff);
	assert_int_equal(segments[SEG_ES].attributes, 0x93);
}

/* --- flags, shadows, single steps ----------------------------------------------------------------- */

static void sti_and_mov_ss_make_a_shadow(void **state)
{
	real();
	assert_int_equal(STEP("\xfb"), INTERPRETED);
	assert_true(vcpu.interrupt_shadow && vcpu.rflags & RFLAGS_IF);
	assert_int_equal(STEP("\xfb"), INTERPRETED); /* IF was set already */
	assert_false(vcpu.interrupt_shadow);
	assert_int_equal(STEP("\x8e\xd0"), INTERPRETED);
	assert_true(vcpu.interrupt_shadow);
	assert_int_equal(STEP("\xfa"), INTERPRETED);
	assert_false(vcpu.interrupt_shadow || vcpu.rflags & RFLAGS_IF);
	assert_int_equal(STEP("\x17"), INTERPRETED);
	assert_true(vcpu.interrupt_shadow);
	assert_int_equal(STEP("\x1f"), INTERPRETED);
	assert_false(vcpu.interrupt_shadow);
}

static void a_step_is_by_the_flags_before(void **state)
{
	real();
	put_dword(STACK, RFLAGS_TF);
	assert_int_equal(STEP("\x9d"), INTERPRETED); /* POPF sets TF: the next one is stepped */
	assert_true(vcpu.rflags & RFLAGS_TF);
	assert_int_equal(STEP("\x90"), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.dr6_set, DR6_BS);
	assert_int_equal(vcpu.rip, CODE + 2);
	assert_int_equal(STEP("\x8e\xd0"), INTERPRETED); /* none behind MOV SS */
	assert_int_equal(STEP("\x9d"), INTERPRET_EVENT); /* POPF clears TF: is stepped itself */
	expect_exception(VEC_DB, 0);
	assert_false(vcpu.rflags & RFLAGS_TF);
	assert_int_equal(STEP("\x90"), INTERPRETED);
}

static void each_element_is_stepped(void **state)
{
	real();
	vcpu.rflags |= RFLAGS_TF;
	vcpu.gpr[GPR_RCX] = 2;
	assert_int_equal(STEP("\xf3\xaa"), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.rip, CODE);
	assert_int_equal(interpret_one(&vcpu), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.rip, CODE + 2);
	assert_int_equal(vcpu.gpr[GPR_RCX], 0);
}

static void popf_and_iret_take_what_they_may(void **state)
{
	real();
	put_dword(STACK, ~(u32)RFLAGS_TF);
	assert_int_equal(STEP("\x66\x9d"), INTERPRETED);
	assert_int_equal(
		vcpu.rflags,
		(RFLAGS_DEFINED & ~(RFLAGS_VM | RFLAGS_RF | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_TF)) | RFLAGS_FIXED);
	real();
	vcpu.rflags |= RFLAGS_AC | RFLAGS_NT;
	put_dword(STACK, 0x3002 << 16 | 0x1234); /* IP, then CS, then flags */
	put_dword(STACK, 0x00501234);
	put_dword(STACK + 4, 0x3203);
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(segments[SEG_CS].selector, 0x50);
	assert_int_equal(vcpu.rflags, 0x3203 | RFLAGS_AC);
	real();
	put_dword(STACK, 0x1234);
	put_dword(STACK + 4, 0xabcd0050);
	put_dword(STACK + 8, ~(u32)RFLAGS_TF);
	assert_int_equal(STEP("\x66\xcf"), INTERPRETED); /* RF, too: it holds for the next instruction */
	assert_int_equal(vcpu.rflags,
			 (RFLAGS_DEFINED & ~(RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP | RFLAGS_TF)) | RFLAGS_FIXED);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK + 12);
	assert_int_equal(STEP("\x90"), INTERPRETED);
	assert_false(vcpu.rflags & RFLAGS_RF);
	put_dword(STACK + 12, 0x10000);
	assert_int_equal(STEP("\x66\xcf"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK + 12);
}

static void halt_ends_the_round(void **state)
{
	real();
	assert_int_equal(STEP("\xf4"), INTERPRET_HALT);
	assert_int_equal(vcpu.rip, CODE + 1);
}

/* --- debug registers ------------------------------------------------------------------------------- */

#define DR7_EXECUTE0 BIT(0)
#define DR7_WRITE1 (BIT(2) | 1ull << 20 | 1ull << 22)

static void breakpoints_are_met(void **state)
{
	real();
	dr[0] = CODE;
	dr[1] = DATA;
	dr7 |= DR7_EXECUTE0 | DR7_WRITE1;
	assert_int_equal(STEP("\xa3\x00\x40"), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.dr6_set, 1);
	assert_int_equal(vcpu.rip, CODE);
	vcpu.dr6_set = 0;
	vcpu.rflags |= RFLAGS_RF; /* as its handler sets it */
	assert_int_equal(interpret_one(&vcpu), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.dr6_set, 2);
	assert_int_equal(vcpu.rip, CODE + 3);
}

static void debug_registers_are_read_and_written(void **state)
{
	real();
	vcpu.gpr[GPR_RAX] = 0x12345678;
	assert_int_equal(STEP("\x0f\x23\xd8"), INTERPRETED);
	assert_int_equal(dr[3], 0x12345678);
	vcpu.dr6_set = DR6_BS | 2;
	assert_int_equal(STEP("\x0f\x21\xf1"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RCX], DR6_RESET | DR6_BS | 2);
	vcpu.gpr[GPR_RAX] = 0;
	assert_int_equal(STEP("\x0f\x23\xe0"), INTERPRETED); /* DR4 is DR6, without CR4.DE */
	assert_int_equal(dr[6], DR6_RESET);
	assert_int_equal(vcpu.dr6_set, 0);
	vcpu.cr4 = CR4_DE;
	assert_int_equal(STEP("\x0f\x23\xe0"), INTERPRET_EVENT);
	expect_exception(VEC_UD, 0);
	dr7 |= DR7_GD;
	assert_int_equal(STEP("\x0f\x21\xf9"), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	assert_int_equal(vcpu.dr6_set, DR6_BD);
	assert_int_equal(dr7, DR7_RESET);
}

/* --- ports and handlers ------------------------------------------------------------------------------ */

static void ports_are_the_handlers(void **state)
{
	real();
	port_in = 0x12345678;
	vcpu.gpr[GPR_RAX] = 0xaaaaaaaa;
	vcpu.gpr[GPR_RDX] = 0x3f8;
	assert_int_equal(STEP("\xe4\x60"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0xaaaaaa78);
	assert_int_equal(port_number, 0x60);
	assert_int_equal(STEP("\x66\xed"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x12345678);
	assert_int_equal(port_number, 0x3f8);
	assert_int_equal(STEP("\xe7\x80"), INTERPRETED);
	assert_int_equal(port_out, 0x5678);
	assert_int_equal(STEP("\xee"), INTERPRETED);
	assert_int_equal(port_out, 0x78);
	assert_int_equal(vcpu.rip, CODE + 2 + 2 + 2 + 1);
	vcpu.gpr[GPR_RDI] = DATA;
	vcpu.gpr[GPR_RCX] = 3;
	assert_int_equal(STEP("\xf3\x6d"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RCX], 2);
	assert_int_equal(vcpu.rip, CODE + 7);
	interpret_one(&vcpu);
	interpret_one(&vcpu);
	assert_int_equal(vcpu.rip, CODE + 9);
	assert_int_equal(dword(DATA + 2), 0x56785678);
	vcpu.gpr[GPR_RSI] = 0xffff;
	assert_int_equal(STEP("\x6f"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
}

static void exits_have_their_handlers(void **state)
{
	static const struct {
		const char *bytes;
		u8 len, kind;
	} cases[] = {{"\x0f\xa2", 2, EXIT_CPUID},       {"\x0f\x30", 2, EXIT_MSR_WRITE},
		     {"\x0f\x32", 2, EXIT_MSR_READ},    {"\x0f\x08", 2, EXIT_INVD},
		     {"\x0f\x09", 2, EXIT_INVD},        {"\x0f\x01\x3e\x34\x12", 5, EXIT_INVLPG},
		     {"\x0f\x01\xd1", 3, EXIT_XSETBV},  {"\x0f\x20\xc0", 3, EXIT_CR_READ},
		     {"\x0f\x22\xe0", 3, EXIT_CR_WRITE}};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		real();
		assert_int_equal(step_bytes(cases[i].bytes, cases[i].len), INTERPRETED);
		assert_int_equal(exits_seen, 1);
		assert_int_equal(last_exit, cases[i].kind);
		assert_int_equal(vcpu.rip, CODE + cases[i].len);
	}
	assert_int_equal(STEP("\x0f\x01\x3e\x34\x12"), INTERPRETED);
	assert_int_equal(vcpu.exit.gva, 0x1234);
}

static void what_real_mode_does_not_have_is_undefined(void **state)
{
	static const char *const undefined[] = {
		"\x0f\x00\xd0", "\x0f\x00\x16\x00\x40",
		"\x63\xc0",     "\x0f\x02\xc0",
		"\x0f\x03\xc0", "\x0f\x0b",
		"\x0f\xb9\xc0", "\x0f\xff\xc0",
		"\x8e\xc8",     "\x8e\xf0",
		"\x8c\xf0",     "\xf0\x90",
		"\xf0\x01\xc0", "\x8d\xc0",
		"\xff\xd8",     "\xff\xe8",
		"\xff\xf8",     "\xfe\xd0",
		"\x8f\xc8",     "\xc6\xc8\x01",
		"\x62\xc0",     "\x0f\xb2\xc0",
		"\x0f\xba\xc0", "\x0f\xc7\xc8",
		"\x0f\x01\xc1", "\x0f\x01\xd9",
		"\x0f\xaa",     "\xc4\xe2\x79\x18",
		"\x0f\x05",     "\x0f\x20\x08",
		"\x0f\x78\xc0", "\x0f\x04",
		"\x0f\xa6",     "\x0f\x01\xf8",
		"\x0f\x3b",     "\x0f\xc3\xc0",
	};

	for (u32 i = 0; i < ARRAY_SIZE(undefined); i++) {
		real();
		memset(memory + CODE, 0, INSN_MAX);
		if (step_bytes(undefined[i], (u32)strlen(undefined[i])) != INTERPRET_EVENT ||
		    vcpu.inject.vector != VEC_UD)
			fail_msg("%u: vector %u", i, vcpu.inject.vector);
		assert_int_equal(vcpu.rip, CODE);
		expect_exception(VEC_UD, 0);
	}
	real();
	assert_int_equal(STEP("\x0f\x34"), INTERPRET_EVENT); /* SYSENTER */
	expect_exception(VEC_GP, 0);
}

static void an_unknown_instruction_is_named(void **state)
{
	real();
	host_log_quiet = true;
	assert_panics(STEP("\xdd\x36\x00\x40")); /* FNSAVE */
	host_log_quiet = false;
	assert_non_null(strstr(host_panic_message, "instruction dd 36 00 40 at 0:1000"));
}

/* Of an instruction that is not known, FNSAVE. */
static void what_the_hardware_refused_is_the_guests_fault(void **state)
{
	real();
	vcpu.exit.kind = EXIT_EXCEPTION;
	vcpu.exit.vector = VEC_GP;
	STEP("\xdd\x36\x01\x40");
	expect_exception(VEC_GP, 0);
	assert_int_equal(vcpu.rip, CODE);
	vcpu.exit.vector = VEC_SS;
	STEP("\xdd\x76\x01");
	expect_exception(VEC_SS, 0);
	vcpu.exit.vector = VEC_BP;
	host_log_quiet = true;
	assert_panics(STEP("\xdd\x36\x01\x40"));
	host_log_quiet = false;
}

/* With CR0.NE clear as well, which VMX does not let the hardware have. */
static void a_pending_x87_exception_is_raised(void **state)
{
	real();
	vcpu.execution = EXECUTION_INTERPRETED;
	host_state_reset(&host_guest_state);
	host_guest_state.fcw = 0x37b;
	host_guest_state.fsw = 0x8084; /* #Z */
	assert_int_equal(STEP("\x9b"), INTERPRET_EVENT);
	expect_exception(VEC_MF, 0);
	assert_int_equal(STEP("\xd9\x06\x00\x40"), INTERPRET_EVENT); /* FLD */
	expect_exception(VEC_MF, 0);
	assert_int_equal(vcpu.rip, CODE);
}

#define AREA 512u
#define MXCSR_AT 24u
#define XMM_AT 160u
#define XMM8_AT 288u

static void fxsave_and_fxrstor_are_the_cpus(void **state)
{
	real();
	host_state_reset(&host_guest_state);
	memset(memory + DATA, 0xcc, AREA);
	memset(host_guest_state.xmm, 0x5a, sizeof(host_guest_state.xmm));
	host_guest_state.fcw = 0x27f;
	vcpu.cr4 = CR4_OSFXSR;
	assert_int_equal(STEP("\x0f\xae\x06\x00\x40"), INTERPRETED); /* FXSAVE */
	assert_int_equal(vcpu.rip, CODE + 5);
	assert_int_equal(word(DATA), 0x27f);
	assert_int_equal(dword(DATA + MXCSR_AT), 0x1f80);
	for (u32 i = XMM_AT; i < AREA; i++)
		assert_int_equal(memory[DATA + i], i < XMM8_AT ? 0x5a : 0xcc); /* XMM8 to XMM15 are not there */
	memset(memory + DATA + XMM_AT, 0x77, AREA - XMM_AT);
	put_dword(DATA + MXCSR_AT, 0x1fa0);
	assert_int_equal(STEP("\x0f\xae\x0e\x00\x40"), INTERPRETED); /* FXRSTOR */
	assert_int_equal(host_guest_state.xmm[7][3], 0x77);
	assert_int_equal(host_guest_state.xmm[8][3], 0x5a);
	assert_int_equal(host_guest_state.mxcsr, 0x1fa0);
	put_dword(DATA + MXCSR_AT, 0xffff1f80);
	assert_int_equal(STEP("\x0f\xae\x0e\x00\x40"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(host_guest_state.mxcsr, 0x1fa0);
}

static void fxsave_is_checked(void **state)
{
	real();
	host_state_reset(&host_guest_state);
	memset(memory + DATA, 0xcc, AREA);
	vcpu.cr4 = CR4_OSFXSR;
	STEP("\x0f\xae\x06\x08\x40");
	expect_exception(VEC_GP, 0); /* not a multiple of 16 */
	vcpu.gpr[GPR_RSI] = 0xff00;
	STEP("\x0f\xae\x04");
	expect_exception(VEC_GP, 0); /* beyond the limit with its last byte */
	for (u32 bit = CR0_EM; bit <= CR0_TS; bit <<= 1) {
		vcpu.cr0 |= bit;
		STEP("\x0f\xae\x06\x00\x40");
		expect_exception(VEC_NM, 0);
		vcpu.cr0 &= ~(u64)bit;
	}
	assert_int_equal(dword(DATA), 0xcccccccc);
}

static void x87_state_is_the_cpus(void **state)
{
	real();
	host_state_reset(&host_guest_state);
	host_guest_state.fcw = 0;
	vcpu.gpr[GPR_RAX] = 0x12345678;
	assert_int_equal(STEP("\xdb\xe3"), INTERPRETED); /* FNINIT */
	assert_int_equal(host_guest_state.fcw, 0x37f);
	assert_int_equal(STEP("\xdf\xe0"), INTERPRETED); /* FNSTSW AX */
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x12340000);
	assert_int_equal(STEP("\xd9\x3e\x00\x40"), INTERPRETED); /* FNSTCW */
	assert_int_equal(word(DATA), 0x37f);
	assert_int_equal(STEP("\xd9\xe8"), INTERPRETED); /* FLD1 */
	assert_int_equal(host_guest_state.st[0][9], 0x3f);
	assert_int_equal(STEP("\x9b"), INTERPRETED);
	assert_int_equal(vcpu.rip, CODE + 11);
}

/* --- protected mode ------------------------------------------------------------------------------------ */

static void put_descriptor(u32 at, u32 base, u32 limit, u32 access, u32 flags)
{
	put_dword(at, (limit & 0xffff) | base << 16);
	put_dword(at + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000));
}

/* 8: code of 32 bits, 10: data, 18: code of 16 bits, 20: data not present, 28: LDT, 30: TSS, 38: conforming code, DPL 3 data, read-only. */
static void make_tables(void)
{
	put_descriptor(GDT + 0x08, 0, 0xfffff, 0x9a, 0xc);
	put_descriptor(GDT + 0x10, 0, 0xfffff, 0x92, 0xc);
	put_descriptor(GDT + 0x18, 0, 0xffff, 0x9a, 0);
	put_descriptor(GDT + 0x20, 0, 0xfffff, 0x12, 0xc);
	put_descriptor(GDT + 0x28, GDT, 0xff, 0x82, 0);
	put_descriptor(GDT + 0x30, DATA, 0x67, 0x89, 0);
	put_descriptor(GDT + 0x38, 0, 0xfffff, 0x9e, 0xc);
	put_descriptor(GDT + 0x40, 0, 0xfffff, 0xf2, 0xc);
	put_descriptor(GDT + 0x48, 0, 0xfffff, 0x90, 0xc);
	put_descriptor(GDT + 0x50, 0, 0xfffff, 0x1a, 0xc);
	put_descriptor(GDT + 0x58, 0, 0xfffff, 0xfa, 0xc);
	segments[SEG_GDTR] = (struct segment){.base = GDT, .limit = 0x5f};
}

static void to_protected_mode_and_back(void **state)
{
	real();
	make_tables();
	vcpu.gpr[GPR_RAX] = vcpu.cr0 | CR0_PE;
	assert_int_equal(STEP("\x0f\x22\xc0"), INTERPRETED);
	assert_true(vcpu.cr0 & CR0_PE);
	assert_int_equal(segments[SEG_CS].selector, 0);
	vcpu.gpr[GPR_RCX] = 1;
	assert_int_equal(STEP("\xe2\x00"), INTERPRETED); /* still of 16 bits */
	assert_int_equal(STEP("\x66\xea\x00\x11\x00\x00\x08\x00"), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x1100);
	assert_int_equal(segments[SEG_CS].selector, 8);
	assert_int_equal(segments[SEG_CS].limit, ~0u);
	assert_int_equal(segments[SEG_CS].attributes, 0xc09b);
	assert_int_equal(memory[GDT + 0x0d], 0x9b); /* accessed */
	assert_int_equal(STEP("\xb8\x10\x00\x00\x00"), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0x10);
	assert_int_equal(STEP("\x8e\xd8"), INTERPRETED);
	assert_int_equal(segments[SEG_DS].attributes, 0xc093);
	assert_int_equal(STEP("\xea\x00\x12\x00\x00\x18\x00"), INTERPRETED);
	assert_int_equal(STEP("\x0f\x20\xc0"), INTERPRETED);
	assert_int_equal(STEP("\x24\xfe"), INTERPRETED); /* AND AL, FE */
	assert_int_equal(STEP("\x0f\x22\xc0"), INTERPRETED);
	assert_int_equal(STEP("\xea\x00\x10\x12\x00"), INTERPRETED);
	assert_int_equal(segments[SEG_CS].selector, 0x12);
	assert_int_equal(segments[SEG_CS].base, 0x120);
	assert_int_equal(segments[SEG_DS].limit, ~0u);
}

static void prot(void)
{
	real();
	make_tables();
	vcpu.cr0 |= CR0_PE;
	set_flat(SEG_CS, 8, 32);
	for (u32 i = 0; i <= SEG_GS; i++)
		if (i != SEG_CS)
			set_flat(i, 0x10, 32);
}

/* XSAVE, of which nothing is known but how long it is at most. */
static void a_store_of_state_to_hidden_memory_is_dropped(void **state)
{
	prot();
	vcpu.gpr[GPR_RDI] = (MEM_END + PAGE_SIZE) & PAGE_MASK;
	STEP("\x0f\xae\x27");
	expect_exception(VEC_UD, 0);
	vcpu.cr4 = CR4_OSXSAVE;
	vcpu.cr0 |= CR0_TS;
	STEP("\x0f\xae\x27");
	expect_exception(VEC_NM, 0);
	vcpu.cr0 &= ~(u64)CR0_TS;
	assert_int_equal(STEP("\x0f\xae\x27"), INTERPRETED);
	vcpu.gpr[GPR_RDI] = DATA;
	host_log_quiet = true;
	assert_panics(STEP("\x0f\xae\x27"));
	host_log_quiet = false;
}

static void refused_selectors(void **state)
{
	static const struct {
		u8 reg; /* as in 8E */
		u16 selector;
		u8 vector;
		u32 error;
	} cases[] = {
		{0, 0x61, VEC_GP, 0x60}, {0, 0x20, VEC_NP, 0x20}, {2, 0x20, VEC_SS, 0x20}, {2, 0, VEC_GP, 0},
		{2, 0x13, VEC_GP, 0x10}, {2, 8, VEC_GP, 8},       {2, 0x48, VEC_GP, 0x48}, {3, 0x28, VEC_GP, 0x28},
		{3, 0x0c, VEC_GP, 0x0c}, {3, 0x13, VEC_GP, 0x10}, {2, 0x40, VEC_GP, 0x40},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 code[] = {0x8e, (u8)(0xc0 | cases[i].reg << 3)};

		prot();
		vcpu.gpr[GPR_RAX] = cases[i].selector;
		assert_int_equal(step_bytes(code, 2), INTERPRET_EVENT);
		expect_exception(cases[i].vector, cases[i].error);
		assert_int_equal(segments[cases[i].reg].selector, 0x10);
		assert_int_equal(vcpu.rip, CODE);
	}
	prot();
	vcpu.gpr[GPR_RAX] = 3;
	assert_int_equal(STEP("\x8e\xd8"), INTERPRETED); /* null */
	assert_true(segments[SEG_DS].attributes & SEG_ATTR_UNUSABLE);
	vcpu.gpr[GPR_RAX] = 0x43; /* DPL 3 */
	assert_int_equal(STEP("\x8e\xd8"), INTERPRETED);
	assert_int_equal(segments[SEG_DS].selector, 0x43);
}

static void far_transfers_are_checked(void **state)
{
	static const struct {
		u16 selector;
		u32 offset;
		u8 vector;
		u32 error;
	} cases[] = {
		{0, 0, VEC_GP, 0},       {0x60, 0, VEC_GP, 0x60},    {0x10, 0, VEC_GP, 0x10},
		{0x50, 0, VEC_NP, 0x50}, {0x18, 0x10000, VEC_GP, 0}, {0x58, 0, VEC_GP, 0x58},
		{0x0b, 0, VEC_GP, 8},
	};
	u8 code[7] = {0x9a};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		prot();
		memcpy(code + 1, &cases[i].offset, 4);
		memcpy(code + 5, &cases[i].selector, 2);
		assert_int_equal(step_bytes(code, 7), INTERPRET_EVENT);
		expect_exception(cases[i].vector, cases[i].error);
		assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
		assert_int_equal(segments[SEG_CS].selector, 8);
	}
	prot();
	assert_int_equal(STEP("\x9a\x00\x13\x00\x00\x38\x00"), INTERPRETED); /* conforming */
	assert_int_equal(dword(STACK - 4), 8);
	assert_int_equal(dword(STACK - 8), CODE + 7);
	assert_int_equal(segments[SEG_CS].selector, 0x38);
	assert_int_equal(STEP("\xca\x04\x00"), INTERPRETED);
	assert_int_equal(vcpu.rip, CODE + 7);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK + 4);
}

/* 60: of 32 bits to 18:1234, 68: of 16 bits to 8:5678, 70: DPL 3, to the conforming code. */
static void make_call_gates(void)
{
	prot();
	put_dword(GDT + 0x60, 0x00181234);
	put_dword(GDT + 0x64, 0x00008c00);
	put_dword(GDT + 0x68, 0x00085678);
	put_dword(GDT + 0x6c, 0xffff8400);
	put_dword(GDT + 0x70, 0x00389abc);
	put_dword(GDT + 0x74, 0x0000ec00);
	segments[SEG_GDTR].limit = 0x77;
}

static void call_gates_lead_to_code_of_the_same_privilege(void **state)
{
	make_call_gates();
	assert_int_equal(STEP("\x9a\xff\xff\xff\xff\x60\x00"), INTERPRETED);
	assert_int_equal(segments[SEG_CS].selector, 0x18);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(dword(STACK - 4), 8);
	assert_int_equal(dword(STACK - 8), CODE + 7);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 8);
	make_call_gates();
	assert_int_equal(STEP("\x9a\x00\x00\x00\x00\x68\x00"), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x5678); /* the upper half is not the gate's */
	assert_int_equal(dword(STACK - 4), 8 << 16 | (CODE + 7));
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 4);
	make_call_gates();
	assert_int_equal(STEP("\xea\x00\x00\x00\x00\x60\x00"), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	make_call_gates();
	vcpu.cpl = 3;
	segments[SEG_CS].selector = 0x5b;
	assert_int_equal(STEP("\xea\x00\x00\x00\x00\x73\x00"), INTERPRETED);
	assert_int_equal(segments[SEG_CS].selector, 0x3b);
	assert_int_equal(vcpu.rip, 0x9abc);
}

static void call_gates_are_checked(void **state)
{
	static const struct {
		u32 low, high; /* the gate */
		u8 opcode;
		u16 selector;
		u8 vector;
		u32 error;
	} cases[] = {
		{0x00181234, 0x00008c00, 0x9a, 0x61, VEC_GP, 0x60}, /* RPL */
		{0x00181234, 0x00000c00, 0x9a, 0x60, VEC_NP, 0x60},
		{0x00001234, 0x00008c00, 0x9a, 0x60, VEC_GP, 0},
		{0x00f81234, 0x00008c00, 0x9a, 0x60, VEC_GP, 0xf8},
		{0x00101234, 0x00008c00, 0x9a, 0x60, VEC_GP, 0x10},
		{0x00501234, 0x00008c00, 0x9a, 0x60, VEC_NP, 0x50},
		{0x00581234, 0x00008c00, 0xea, 0x60, VEC_GP, 0x58},
		{0x00181234, 0x00018c00, 0x9a, 0x60, VEC_GP, 0}, /* beyond its limit */
		{0x00181234, 0x00008f00, 0x9a, 0x60, VEC_GP, 0x60},
		{0x00181234, 0x00008200, 0xea, 0x60, VEC_GP, 0x60},
		{0x00181234, 0x00008b00, 0xea, 0x60, VEC_GP, 0x60}, /* a TSS that is busy */
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 code[7] = {cases[i].opcode};

		make_call_gates();
		put_dword(GDT + 0x60, cases[i].low);
		put_dword(GDT + 0x64, cases[i].high);
		memcpy(code + 5, &cases[i].selector, 2);
		assert_int_equal(step_bytes(code, 7), INTERPRET_EVENT);
		expect_exception(cases[i].vector, cases[i].error);
		assert_int_equal(segments[SEG_CS].selector, 8);
		assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	}
}

/* What is on the stack: an address of code, flags if there are any, a stack. */
static void push_outer(u32 cs, u32 flags, u32 sp, u32 ss)
{
	u32 at = STACK + 4;

	put_dword(STACK, 0x1300);
	put_dword(at, cs);
	if (flags)
		put_dword(at += 4, flags);
	put_dword(at + 4, sp);
	put_dword(at + 8, ss);
}

static void returns_to_less_privilege_take_its_stack(void **state)
{
	prot();
	push_outer(0x5b, 0, 0x3000, 0x43);
	segments[SEG_ES].attributes |= 0x60; /* DPL 3 */
	set_flat(SEG_FS, 0x38, 32);
	segments[SEG_FS].attributes = 0xc09f;
	assert_int_equal(STEP("\xcb"), INTERPRETED);
	assert_int_equal(vcpu.cpl, 3);
	assert_int_equal(vcpu.rip, 0x1300);
	assert_int_equal(segments[SEG_CS].selector, 0x5b);
	assert_int_equal(segments[SEG_SS].selector, 0x43);
	assert_int_equal(segments[SEG_SS].attributes, 0xc0f3);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x3000);
	assert_int_equal(segments[SEG_ES].selector, 0x10);
	assert_int_equal(segments[SEG_FS].selector, 0x38); /* conforming code */
	assert_int_equal(segments[SEG_DS].selector, 0);
	assert_true(segments[SEG_DS].attributes & segments[SEG_GS].attributes & SEG_ATTR_UNUSABLE);
	prot();
	push_outer(0x5b, 0, 0, 0);
	put_dword(STACK + 12, 0x3000);
	put_dword(STACK + 16, 0x43);
	assert_int_equal(STEP("\xca\x04\x00"), INTERPRETED); /* RET 4: of both stacks */
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x3004);
	prot();
	vcpu.rflags = RFLAGS_FIXED;
	push_outer(0x5b, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_IOPL | FLAG_CF, 0x3000, 0x43);
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_IOPL | FLAG_CF); /* as privilege 0 may */
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x3000);
	assert_int_equal(vcpu.cpl, 3);
}

static void returns_to_less_privilege_are_checked(void **state)
{
	static const struct {
		u32 cs, ss;
		u8 vector;
		u32 error;
	} cases[] = {
		{0x5b, 0, VEC_GP, 0},       {0x5b, 0x40, VEC_GP, 0x40}, {0x5b, 0x13, VEC_GP, 0x10},
		{0x5b, 0x5b, VEC_GP, 0x58}, {0x5b, 0x7b, VEC_GP, 0x78}, {0x0b, 0x43, VEC_GP, 0x08},
		{0x30, 0x43, VEC_GP, 0x30}, {0x60, 0x43, VEC_GP, 0x60}, {0x5b, 0x6b, VEC_SS, 0x68},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		make_call_gates();
		put_descriptor(GDT + 0x68, 0, 0xfffff, 0x72, 0xc); /* a stack that is not there */
		push_outer(cases[i].cs, 0, 0x3000, cases[i].ss);
		assert_int_equal(STEP("\xcb"), INTERPRET_EVENT);
		expect_exception(cases[i].vector, cases[i].error);
		assert_int_equal(vcpu.cpl, 0);
		assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
		assert_int_equal(segments[SEG_DS].selector, 0x10);
	}
}

static void tables_and_tasks_are_loaded(void **state)
{
	prot();
	put_dword(DATA, 0x50001234);
	put_dword(DATA + 4, 0x8765);
	assert_int_equal(STEP("\x0f\x01\x15\x00\x40\x00\x00"), INTERPRETED); /* LGDT */
	assert_int_equal(segments[SEG_GDTR].limit, 0x1234);
	assert_int_equal(segments[SEG_GDTR].base, 0x87655000);
	assert_int_equal(STEP("\x66\x0f\x01\x1d\x00\x40\x00\x00"), INTERPRETED); /* LIDT, 24 bits */
	assert_int_equal(segments[SEG_IDTR].base, 0x655000);
	assert_int_equal(STEP("\x0f\x01\x05\x10\x40\x00\x00"), INTERPRETED); /* SGDT */
	assert_int_equal(dword(DATA + 0x10), 0x50001234);
	assert_int_equal(word(DATA + 0x14), 0x8765);
	prot();
	vcpu.gpr[GPR_RAX] = 0x30;
	assert_int_equal(STEP("\x0f\x00\xd8"), INTERPRETED); /* LTR */
	assert_int_equal(memory[GDT + 0x35], 0x8b);
	assert_int_equal(segments[SEG_TR].attributes & 0xff, 0x8b);
	assert_int_equal(STEP("\x0f\x00\xd8"), INTERPRET_EVENT); /* busy */
	expect_exception(VEC_GP, 0x30);
	vcpu.gpr[GPR_RAX] = 0x28;
	assert_int_equal(STEP("\x0f\x00\xd0"), INTERPRETED); /* LLDT */
	assert_int_equal(segments[SEG_LDTR].base, GDT);
	vcpu.gpr[GPR_RAX] = 0x14; /* entry 2 of it */
	assert_int_equal(STEP("\x8e\xc0"), INTERPRETED);
	assert_int_equal(segments[SEG_ES].selector, 0x14);
	assert_int_equal(STEP("\x0f\x02\xd8"), INTERPRETED); /* LAR */
	assert_int_equal(vcpu.gpr[GPR_RBX], 0xc09300);
	assert_int_equal(STEP("\x0f\x03\xd8"), INTERPRETED); /* LSL */
	assert_int_equal(vcpu.gpr[GPR_RBX], 0xffffffff);
	assert_true(vcpu.rflags & FLAG_ZF);
	vcpu.gpr[GPR_RAX] = 0x48;
	assert_int_equal(STEP("\x0f\x00\xe8"), INTERPRETED); /* VERW: read-only */
	assert_false(vcpu.rflags & FLAG_ZF);
	assert_int_equal(STEP("\x0f\x00\xe0"), INTERPRETED);
	assert_true(vcpu.rflags & FLAG_ZF);
}

/* --- gates --------------------------------------------------------------------------------------------- */

static void put_gate(u8 vector, u16 selector, u32 offset, u32 access)
{
	put_dword(IDT + vector * 8, (offset & 0xffff) | (u32)selector << 16);
	put_dword(IDT + vector * 8 + 4, (offset & 0xffff0000) | access << 8);
}

static void gates(void)
{
	prot();
	segments[SEG_IDTR] = (struct segment){.base = IDT, .limit = 0x7ff};
	for (u32 v = 0; v < 0x80; v++)
		put_gate((u8)v, 8, 0x20000 + v, 0x8e);
}

static void gates_of_the_same_privilege(void **state)
{
	gates();
	vcpu.rflags |= RFLAGS_IF | RFLAGS_NT | RFLAGS_TF;
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.rip, 0x20030);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED);
	assert_int_equal(dword(STACK - 12), CODE);
	assert_int_equal(dword(STACK - 8), 8);
	assert_int_equal(dword(STACK - 4), RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT | RFLAGS_TF);
	gates();
	put_gate(VEC_GP, 0x18, 0x11234, 0x87); /* 16 bits, trap: the offset's upper half does not count */
	vcpu.rflags |= RFLAGS_IF;
	vcpu.inject =
		(struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_GP, .has_error = true, .error = 0x1238};
	interpret_deliver(&vcpu, &vcpu.inject);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 8);
	assert_int_equal(word(STACK - 8), 0x1238);
	assert_int_equal(word(STACK - 6), CODE);
	assert_true(vcpu.rflags & RFLAGS_IF);
}

/* What the handler of the exception finds as its error code. */
static u32 pushed_error(void)
{
	return dword((u32)vcpu.gpr[GPR_RSP]);
}

static void broken_gates_raise_exceptions(void **state)
{
	gates();
	put_gate(0x30, 8, 0, 0x0e);
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.rip, 0x20000 + VEC_NP);
	assert_int_equal(pushed_error(), 0x30 * 8 + 3);
	gates();
	put_gate(0x30, 8, 0, 0x8c); /* a call gate */
	deliver(EVENT_SOFT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.rip, 0x20000 + VEC_GP);
	assert_int_equal(pushed_error(), 0x30 * 8 + 2);
	gates();
	segments[SEG_IDTR].limit = 0x30 * 8 + 6;
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(pushed_error(), 0x30 * 8 + 3);
	gates();
	put_gate(0x30, 0x10, 0, 0x8e); /* no code */
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.rip, 0x20000 + VEC_GP);
	assert_int_equal(pushed_error(), 0x11);
	gates();
	put_gate(VEC_UD, 0x10, 0, 0x8e);
	put_gate(VEC_GP, 0x10, 0, 0x8e); /* of the two the second is in vain */
	deliver(EVENT_EXCEPTION, VEC_UD);
	assert_int_equal(vcpu.rip, 0x20000 + VEC_DF);
	assert_int_equal(pushed_error(), 0);
	gates();
	host_log_quiet = true;
	segments[SEG_IDTR].limit = 0;
	assert_panics(deliver(EVENT_INTERRUPT, 0x30));
	assert_string_equal(host_panic_message, "guest shut down");
	host_log_quiet = false;
}

static void a_page_fault_is_delivered_instead(void **state)
{
	gates();
	vcpu.cr0 |= CR0_PG;
	absent = 0x9000;
	vcpu.gpr[GPR_RBX] = 0x9004;
	assert_int_equal(STEP("\x89\x03"), INTERPRET_EVENT);
	expect_exception(VEC_PF, PF_W);
	assert_int_equal(vcpu.cr2, 0x9004);
	assert_int_equal(STEP("\xf0\x01\x03"), INTERPRET_EVENT); /* it reads what it can write alone */
	expect_exception(VEC_PF, PF_W);
	vcpu.gpr[GPR_RBX] = 0x8ffe;
	assert_int_equal(STEP("\x89\x03"), INTERPRET_EVENT);
	expect_exception(VEC_PF, PF_W);
	assert_int_equal(vcpu.cr2, 0x9000);
	assert_int_equal(word(0x8ffe), 0);
}

static void user_mode_has_what_iopl_gives(void **state)
{
	prot();
	vcpu.cpl = 3;
	vcpu.cr4 = CR4_TSD | CR4_UMIP;
	assert_int_equal(STEP("\xfa"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\xf4"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x0f\x31"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x0f\x01\xe0"), INTERPRET_EVENT); /* SMSW */
	expect_exception(VEC_GP, 0);
	assert_int_equal(STEP("\x0f\x22\xc0"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	put_dword(STACK, RFLAGS_IF | RFLAGS_IOPL | FLAG_CF);
	assert_int_equal(STEP("\x9d"), INTERPRETED);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | FLAG_CF);
	vcpu.rflags |= RFLAGS_IOPL;
	assert_int_equal(STEP("\xfb"), INTERPRETED);
	assert_int_equal(STEP("\xec"), INTERPRETED);
	put_dword((u32)vcpu.gpr[GPR_RSP], 0);
	assert_int_equal(STEP("\x9d"), INTERPRETED); /* IF, but not IOPL */
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | RFLAGS_IOPL);
}

/* Ports 13H to 15H and 17H are closed; the segment ends with the byte behind that of ports 18H to 1FH. */
static void user_mode_has_the_ports_of_its_task(void **state)
{
	static const struct {
		u16 port;
		u8 bytes[2], len;
		bool allowed;
	} cases[] = {
		{0x12, {0xec}, 1, true},  {0x13, {0xec}, 1, false},       {0x16, {0xee}, 1, true},
		{0x17, {0xee}, 1, false}, {0x12, {0x66, 0xed}, 2, false}, {0x11, {0x66, 0xed}, 2, true},
		{0x0e, {0xed}, 1, true},  {0x0f, {0xed}, 1, true},        {0x10, {0xed}, 1, false},
		{0x1f, {0xec}, 1, true},  {0x20, {0xec}, 1, false},       {0x0f, {0x6d}, 1, true},
		{0x10, {0x6e}, 1, true},  {0x13, {0x6e}, 1, false},       {0xffff, {0xec}, 1, false},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		prot();
		vcpu.cpl = 3;
		segments[SEG_TR] = (struct segment){.base = DATA, .limit = 0x80 + 4, .attributes = 0x8b};
		put_dword(DATA + 0x64, 0x80 << 16);
		put_dword(DATA + 0x80, 0x00b80000);
		memory[DATA + 0x84] = 0xff;
		vcpu.gpr[GPR_RDX] = cases[i].port;
		vcpu.gpr[GPR_RSI] = vcpu.gpr[GPR_RDI] = 0x5000;
		if (cases[i].allowed) {
			assert_int_equal(step_bytes(cases[i].bytes, cases[i].len), INTERPRETED);
			assert_int_equal(port_accesses, 1);
			continue;
		}
		assert_int_equal(step_bytes(cases[i].bytes, cases[i].len), INTERPRET_EVENT);
		expect_exception(VEC_GP, 0);
		assert_int_equal(port_accesses, 0);
	}
	vcpu.gpr[GPR_RDX] = 0x12;
	segments[SEG_TR].attributes = 0x83; /* one of 16 bits has no map */
	assert_int_equal(STEP("\xec"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	segments[SEG_TR] = (struct segment){.base = DATA, .limit = 0x66, .attributes = 0x8b};
	assert_int_equal(STEP("\xec"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
}

static void random_numbers_are_the_cpus(void **state)
{
	u32 a, b, c, d;
	u64 before;

	real();
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_RDRND))
		skip();
	host_state_reset(&host_guest_state);
	before = vcpu.gpr[GPR_RSP] = 0x12340000;
	assert_int_equal(STEP("\x66\x0f\xc7\xf4"), INTERPRETED); /* RDRAND ESP */
	assert_true(vcpu.rflags & FLAG_CF);
	assert_int_not_equal(vcpu.gpr[GPR_RSP], before);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0);
}

/* --- locked operations -------------------------------------------------------------------------------------- */

static void a_locked_operation_is_one(void **state)
{
	static const struct {
		const char *bytes;
		u8 len, result; /* of 3 as the other has left it, with AL = 3 or 4, BL = 7 */
	} cases[] = {
		{"\xf0\x00\x1e\x00\x40", 5, 10},     {"\x86\x1e\x00\x40", 4, 7},
		{"\xf0\xfe\x06\x00\x40", 5, 4},      {"\xf0\xf6\x1e\x00\x40", 5, 0xfd},
		{"\xf0\x0f\xc0\x1e\x00\x40", 6, 10}, {"\xf0\x0f\xb0\x1e\x00\x40", 6, 7},
		{"\xf0\x80\x26\x00\x40\x01", 6, 1},  {"\xf0\x0f\xba\x36\x00\x40\x01", 7, 1},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vcpu before;

		real();
		exchanges = 0;
		interference = 1;
		memory[DATA] = 2;
		vcpu.gpr[GPR_RAX] = 3;
		vcpu.gpr[GPR_RBX] = 7;
		before = vcpu;
		assert_int_equal(step_bytes(cases[i].bytes, cases[i].len), INTERPRETED);
		assert_int_equal(vcpu.rip, CODE); /* again */
		assert_memory_equal(vcpu.gpr, before.gpr, sizeof(vcpu.gpr));
		assert_int_equal(vcpu.rflags, before.rflags);
		assert_int_equal(memory[DATA], 3);
		assert_int_equal(interpret_one(&vcpu), INTERPRETED);
		assert_int_equal(vcpu.rip, CODE + cases[i].len);
		assert_int_equal(memory[DATA], cases[i].result);
		assert_int_equal(exchanges, 2);
	}
	interference = 1; /* CMPXCHG8B of what is there */
	vcpu.gpr[GPR_RDX] = 0;
	vcpu.gpr[GPR_RAX] = 2;
	vcpu.gpr[GPR_RCX] = 0;
	memory[DATA] = 1;
	assert_int_equal(STEP("\xf0\x0f\xc7\x0e\x00\x40"), INTERPRETED);
	assert_int_equal(memory[DATA], 2);
	interpret_one(&vcpu);
	assert_int_equal(memory[DATA], 7);
	exchanges = 0;
	assert_int_equal(STEP("\x00\x1e\x00\x40"), INTERPRETED); /* without LOCK nothing of that */
	assert_int_equal(exchanges, 0);
}

/* --- the stack ------------------------------------------------------------------------------------------- */

static void enter_copies_frame_pointers(void **state)
{
	for (u32 level = 0; level < 34; level++) {
		u8 code[] = {0xc8, 0x10, 0, (u8)level};
		u32 count = level & 31;

		real();
		vcpu.gpr[GPR_RBP] = 0x5000;
		for (u32 i = 0; i < 64; i++)
			put_dword(0x4f00 + 4 * i, 0xa000a000u + i * 0x20002 + 0x10000);
		assert_int_equal(step_bytes(code, 4), INTERPRETED);
		assert_int_equal(vcpu.gpr[GPR_RBP], STACK - 2);
		assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 2 - 2 * count - 0x10);
		assert_int_equal(word(STACK - 2), 0x5000);
		for (u32 i = 1; i < count; i++)
			assert_int_equal(word(STACK - 2 - 2 * i), word(0x5000 - 2 * i));
		if (count)
			assert_int_equal(word(STACK - 2 - 2 * count), STACK - 2);
	}
}

static void what_is_costly_is_counted(void **state)
{
	u32 before;

	real();
	before = vcpu.interpreted;
	STEP("\x90");
	assert_in_range(vcpu.interpreted - before, 1, 4);
	before = vcpu.interpreted;
	STEP("\x60");
	assert_in_range(vcpu.interpreted - before, 1, 8);
	vcpu.gpr[GPR_RSP] = 2; /* one by one */
	before = vcpu.interpreted;
	STEP("\x60");
	assert_in_range(vcpu.interpreted - before, 8, 100);
	before = vcpu.interpreted;
	vcpu.gpr[GPR_RCX] = 0xffff;
	STEP("\xf3\xaa");
	assert_in_range(0xffff - vcpu.gpr[GPR_RCX], 1, 16 * (vcpu.interpreted - before));
	assert_int_equal(vcpu.rip, CODE + 3);
}

/* --- what is known from one instruction to the next ------------------------------------------------------ */

static enum interpreted go_on(const void *bytes, u32 len)
{
	memcpy(memory + (u32)(segments[SEG_CS].base + vcpu.rip), bytes, len);
	return interpret_some(&vcpu); /* of a guest that is not to be interpreted: one */
}
#define GO_ON(bytes) go_on(bytes, sizeof(bytes) - 1)
#define LOAD_AX "\xa1\x00\x40" /* MOV AX, [4000] */
#define STORE_AX "\xa3\x00\x40"

static void what_is_known_ends_with_what_it_is_of(void **state)
{
	real();
	memory[DATA] = 1;
	memory[DATA + 0x1000] = 2;
	assert_int_equal(GO_ON(LOAD_AX), INTERPRETED);
	assert_int_equal((u16)vcpu.gpr[GPR_RAX], 1);
	memory[DATA] = 3; /* RAM is looked at each time, */
	vcpu.gpr[GPR_RBX] = 0x100;
	assert_int_equal(GO_ON("\x8e\xdb"), INTERPRETED); /* MOV DS, BX */
	assert_int_equal(GO_ON("\x26" LOAD_AX), INTERPRETED);
	assert_int_equal((u16)vcpu.gpr[GPR_RAX], 3);
	assert_int_equal(GO_ON(LOAD_AX), INTERPRETED); /* a segment until it is loaded, */
	assert_int_equal((u16)vcpu.gpr[GPR_RAX], 2);
	deliver(EVENT_INTERRUPT, 0x21);
	assert_int_equal(GO_ON(LOAD_AX), INTERPRETED); /* code until an event */
	assert_int_equal(vcpu.rip, HANDLER + 0x21 + 3);
	dr[0] = 0x5000;
	vcpu.gpr[GPR_RAX] = DR7_RESET | 0x30001; /* and breakpoints until DR7 is written */
	assert_int_equal(GO_ON("\x0f\x23\xf8"), INTERPRETED);
	assert_int_equal(GO_ON(LOAD_AX), INTERPRET_EVENT);
	expect_exception(VEC_DB, 0);
	known_forget(&vcpu);
}

static void types_hold_from_the_instruction_that_sets_pe(void **state)
{
	real();
	segments[SEG_DS].attributes = 0x91; /* read only */
	assert_int_equal(GO_ON(STORE_AX), INTERPRETED);
	vcpu.gpr[GPR_RAX] = CR0_ET | CR0_PE;
	assert_int_equal(GO_ON("\x0f\x22\xc0"), INTERPRETED);
	assert_int_equal(GO_ON(STORE_AX), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(GO_ON(LOAD_AX), INTERPRETED);
	vcpu.gpr[GPR_RAX] = CR0_ET | CR0_PE | CR0_PG;
	assert_int_equal(GO_ON("\x0f\x22\xc0"), INTERPRETED);
	absent = DATA; /* pages from the one that sets PG */
	assert_int_equal(GO_ON(LOAD_AX), INTERPRET_EVENT);
	expect_exception(VEC_PF, 0);
	known_forget(&vcpu);
}

static void expect_some(const char *bytes, u32 len, enum interpreted result, u32 done)
{
	known_forget(&vcpu);
	vcpu.rip = CODE;
	memset(memory + CODE, 0x90, 64);
	memcpy(memory + CODE, bytes, len);
	assert_int_equal(interpret_some(&vcpu), result);
	assert_int_equal(vcpu.rip, CODE + done);
}

static void some_end_where_their_caller_has_to_look(void **state)
{
	real();
	vcpu.execution = EXECUTION_INTERPRETED;
	expect_some("", 0, INTERPRETED, INTERPRET_SOME);
	expect_some("\x90\xf4", 2, INTERPRET_HALT, 2);
	expect_some("\x90\x0f\x0b", 3, INTERPRET_EVENT, 1);
	expect_exception(VEC_UD, 0);
	expect_some("\x90\x0f\xa2", 3, INTERPRETED, 3); /* a handler of exits */
	expect_some("\x90\xe4\x60", 3, INTERPRETED, INTERPRET_SOME + 1);
	expect_some("\xfb\x90\x90", 3, INTERPRETED, 2);  /* interrupts are open from the NOP behind STI on: */
	expect_some("", 0, INTERPRETED, INTERPRET_SOME); /* known to the caller */
	expect_some("\xfa\x90\x90", 3, INTERPRETED, INTERPRET_SOME);
	vcpu.execution = EXECUTION_UNDECIDED;
	expect_some("", 0, INTERPRETED, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_ends_with_what_it_is_of),
		cmocka_unit_test(types_hold_from_the_instruction_that_sets_pe),
		cmocka_unit_test(some_end_where_their_caller_has_to_look),
		cmocka_unit_test(an_interrupt_goes_through_the_table),
		cmocka_unit_test(soft_events_push_the_address_behind),
		cmocka_unit_test(a_fault_pushes_its_own_address),
		cmocka_unit_test(the_tables_limit_holds),
		cmocka_unit_test(the_stack_of_a_delivery_wraps_and_has_a_limit),
		cmocka_unit_test(an_nmi_blocks_others_until_iret),
		cmocka_unit_test(code_ends_at_the_limit),
		cmocka_unit_test(more_than_fifteen_bytes_are_no_instruction),
		cmocka_unit_test(code_is_fetched_across_pages),
		cmocka_unit_test(operands_end_at_the_limit),
		cmocka_unit_test(unreal_mode_survives_loads),
		cmocka_unit_test(sti_and_mov_ss_make_a_shadow),
		cmocka_unit_test(a_step_is_by_the_flags_before),
		cmocka_unit_test(each_element_is_stepped),
		cmocka_unit_test(popf_and_iret_take_what_they_may),
		cmocka_unit_test(halt_ends_the_round),
		cmocka_unit_test(breakpoints_are_met),
		cmocka_unit_test(debug_registers_are_read_and_written),
		cmocka_unit_test(ports_are_the_handlers),
		cmocka_unit_test(exits_have_their_handlers),
		cmocka_unit_test(what_real_mode_does_not_have_is_undefined),
		cmocka_unit_test(an_unknown_instruction_is_named),
		cmocka_unit_test(what_the_hardware_refused_is_the_guests_fault),
		cmocka_unit_test(x87_state_is_the_cpus),
		cmocka_unit_test(a_pending_x87_exception_is_raised),
		cmocka_unit_test(fxsave_and_fxrstor_are_the_cpus),
		cmocka_unit_test(fxsave_is_checked),
		cmocka_unit_test(a_store_of_state_to_hidden_memory_is_dropped),
		cmocka_unit_test(to_protected_mode_and_back),
		cmocka_unit_test(refused_selectors),
		cmocka_unit_test(far_transfers_are_checked),
		cmocka_unit_test(call_gates_lead_to_code_of_the_same_privilege),
		cmocka_unit_test(call_gates_are_checked),
		cmocka_unit_test(returns_to_less_privilege_take_its_stack),
		cmocka_unit_test(returns_to_less_privilege_are_checked),
		cmocka_unit_test(tables_and_tasks_are_loaded),
		cmocka_unit_test(gates_of_the_same_privilege),
		cmocka_unit_test(broken_gates_raise_exceptions),
		cmocka_unit_test(a_page_fault_is_delivered_instead),
		cmocka_unit_test(user_mode_has_what_iopl_gives),
		cmocka_unit_test(user_mode_has_the_ports_of_its_task),
		cmocka_unit_test(random_numbers_are_the_cpus),
		cmocka_unit_test(a_locked_operation_is_one),
		cmocka_unit_test(enter_copies_frame_pointers),
		cmocka_unit_test(what_is_costly_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
