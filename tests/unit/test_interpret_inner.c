/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter where privilege or task changes: calls, interrupts and exceptions on the stack that the task-state segment has for
 * more privilege, task gates and task switches, IRET to virtual-8086 mode. Each expectation is the manual's (SDM vol. 2, CALL, INT n,
 * IRET; vol. 3 chapters 6 and 7).
 */
#include "arch/x86/guest/tss.h"
#include "tests/unit/interpret_world.h"

#define CODE 0x1000u
#define STACK 0x8000u
#define INNER 0x3800u
#define GDT 0x6000u
#define IDT 0x7000u
#define TSS 0x5000u
#define NEXT 0x5800u

/* Selectors. */
enum {
	CODE0 = 0x08,
	DATA0 = 0x10,
	CODE3 = 0x1b,
	DATA3 = 0x23,
	CONFORMING = 0x28,
	TASK = 0x30,
	NEXT_TASK = 0x38,
	GATE = 0x40,
	TASK_GATE_DESCRIPTOR = 0x48,
	ABSENT0 = 0x50,
	READ_ONLY0 = 0x58,
	SMALL0 = 0x60, /* a stack of 16 bits */
};

static void put_dword(u32 at, u32 value)
{
	memcpy(memory + at, &value, 4);
}
static u32 dword(u32 at)
{
	u32 value;

	memcpy(&value, memory + at, 4);
	return value;
}
static u32 word(u32 at)
{
	return dword(at) & 0xffff;
}

static void put_descriptor(u32 selector, u32 base, u32 limit, u32 access, u32 flags)
{
	u32 at = GDT + (selector & ~7u);

	put_dword(at, (limit & 0xffff) | base << 16);
	put_dword(at + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000));
}

static void put_gate_at(u32 at, u16 selector, u32 offset, u32 access, u32 params)
{
	put_dword(at, (offset & 0xffff) | (u32)selector << 16);
	put_dword(at + 4, (offset & 0xffff0000) | access << 8 | params);
}

static struct tss32 *tss(u32 at)
{
	return (struct tss32 *)(memory + at);
}

/* Privilege 3, flat, 32 bits, in the task TASK. */
static void user(void)
{
	reset_world(32);
	memset(memory, 0, 0x20000);
	put_descriptor(CODE0, 0, 0xfffff, 0x9a, 0xc);
	put_descriptor(DATA0, 0, 0xfffff, 0x92, 0xc);
	put_descriptor(CODE3, 0, 0xfffff, 0xfa, 0xc);
	put_descriptor(DATA3, 0, 0xfffff, 0xf2, 0xc);
	put_descriptor(CONFORMING, 0, 0xfffff, 0x9e, 0xc);
	put_descriptor(TASK, TSS, 0x67, 0x8b, 0);
	put_descriptor(NEXT_TASK, NEXT, 0x67, 0x89, 0);
	put_gate_at(GDT + GATE, CODE0, 0x4321, 0xec, 2);
	put_gate_at(GDT + TASK_GATE_DESCRIPTOR, NEXT_TASK, 0, 0xe5, 0);
	put_descriptor(ABSENT0, 0, 0xfffff, 0x12, 0xc);
	put_descriptor(READ_ONLY0, 0, 0xfffff, 0x90, 0xc);
	put_descriptor(SMALL0, 0, 0xffff, 0x92, 0);
	segments[SEG_GDTR] = (struct segment){.base = GDT, .limit = 0x67};
	segments[SEG_IDTR] = (struct segment){.base = IDT, .limit = 0x7ff};
	for (u32 v = 0; v < 0x80; v++) /* handlers run as they are called */
		put_gate_at(IDT + 8 * v, CONFORMING, 0x20000 + v, 0xee, 0);
	segments[SEG_TR] = (struct segment){.selector = TASK, .base = TSS, .limit = 0x67, .attributes = 0x8b};
	*tss(TSS) = (struct tss32){.stacks = {INNER, DATA0}};
	for (u32 i = 0; i <= SEG_GS; i++) {
		segments[i].selector = i == SEG_CS ? CODE3 : DATA3;
		segments[i].attributes |= 0x60;
	}
	vcpu.cpl = 3;
	vcpu.rip = CODE;
	vcpu.gpr[GPR_RSP] = STACK;
	put_dword(STACK, 0x11111111);
	put_dword(STACK + 4, 0x22222222);
}

static enum interpreted step_bytes(const void *bytes, u32 len)
{
	memcpy(memory + (u32)(segments[SEG_CS].base + vcpu.rip), bytes, len);
	return interpret_one(&vcpu);
}
#define STEP(bytes) step_bytes(bytes, sizeof(bytes) - 1)
#define CALL_GATE "\x9a\x00\x00\x00\x00\x43\x00"

static void deliver(u8 type, u8 vector)
{
	const struct vcpu_event event = {
		.type = type, .vector = vector, .insn_len = 2, .has_error = vector == VEC_GP, .error = 0x1238};

	interpret_deliver(&vcpu, &event);
}

static void expect_exception(u8 vector, u32 error)
{
	assert_int_equal(vcpu.inject.type, EVENT_EXCEPTION);
	assert_int_equal(vcpu.inject.vector, vector);
	assert_int_equal(vcpu.inject.error, error);
	vcpu.inject.type = EVENT_NONE;
}

static void expect_outer(void)
{
	assert_int_equal(vcpu.cpl, 3);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	assert_int_equal(segments[SEG_SS].selector, DATA3);
	assert_int_equal(segments[SEG_SS].attributes, 0xc0f3);
	assert_int_equal(segments[SEG_CS].selector, CODE3);
	assert_int_equal(vcpu.rip, CODE);
}

/* --- calls ----------------------------------------------------------------------------------- */

static void a_call_takes_its_parameters_along_and_comes_back(void **state)
{
	static const u32 frame[] = {CODE + 7, CODE3, 0x11111111, 0x22222222, STACK, DATA3};

	user();
	assert_int_equal(STEP(CALL_GATE), INTERPRETED);
	assert_int_equal(vcpu.cpl, 0);
	assert_int_equal(vcpu.rip, 0x4321);
	assert_int_equal(segments[SEG_CS].selector, CODE0);
	assert_int_equal(segments[SEG_SS].selector, DATA0);
	assert_int_equal(segments[SEG_SS].attributes, 0xc093);
	assert_int_equal(vcpu.gpr[GPR_RSP], INNER - sizeof(frame));
	assert_memory_equal(memory + INNER - sizeof(frame), frame, sizeof(frame));
	assert_int_equal(memory[GDT + DATA0 + 5], 0x93);     /* accessed */
	assert_int_equal(STEP("\xca\x08\x00"), INTERPRETED); /* RET 8 */
	assert_int_equal(vcpu.cpl, 3);
	assert_int_equal(vcpu.rip, CODE + 7);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK + 8);
	assert_int_equal(segments[SEG_SS].selector, DATA3);
}

static void words_where_gate_or_task_have_16_bits(void **state)
{
	user();
	put_gate_at(GDT + GATE, CODE0, 0xffff4321, 0xe4, 1);
	segments[SEG_TR].attributes = 0x83;
	segments[SEG_TR].limit = 5; /* as far as SS for privilege 0 */
	put_dword(TSS + 2, 0x3800 | SMALL0 << 16);
	vcpu.gpr[GPR_RSP] = 0x10000 + STACK;
	put_dword(0x10000 + STACK, 0x33334444);
	assert_int_equal(STEP(CALL_GATE), INTERPRETED);
	assert_int_equal(vcpu.rip, 0x4321);
	assert_int_equal(segments[SEG_SS].selector, SMALL0);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x10000 + INNER - 10); /* the upper half is not the stack's */
	assert_int_equal(word(INNER - 2), DATA3);
	assert_int_equal(word(INNER - 4), STACK);
	assert_int_equal(word(INNER - 6), 0x4444);
	assert_int_equal(word(INNER - 8), CODE3);
	assert_int_equal(word(INNER - 10), CODE + 7);
}

static void a_conforming_segment_keeps_stack_and_privilege(void **state)
{
	user();
	put_gate_at(GDT + GATE, CONFORMING, 0x4321, 0xec, 2);
	assert_int_equal(STEP(CALL_GATE), INTERPRETED);
	assert_int_equal(vcpu.cpl, 3);
	assert_int_equal(segments[SEG_CS].selector, CONFORMING | 3);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK - 8);
}

struct bad_stack {
	u32 esp;
	u16 ss, limit; /* limit: of the task-state segment */
	u8 vector;
	u32 error;
};
static const struct bad_stack bad_stacks[] = {
	{INNER, DATA0, 0x08, VEC_TS, TASK},
	{INNER, 0, 0x67, VEC_TS, 0},
	{INNER, DATA0 | 3, 0x67, VEC_TS, DATA0},
	{INNER, DATA3, 0x67, VEC_TS, DATA3 & ~3},
	{INNER, READ_ONLY0, 0x67, VEC_TS, READ_ONLY0},
	{INNER, CODE0, 0x67, VEC_TS, CODE0},
	{INNER, 0x70, 0x67, VEC_TS, 0x70},
	{INNER, ABSENT0, 0x67, VEC_SS, ABSENT0},
	{12, SMALL0, 0x67, VEC_SS, SMALL0}, /* the fourth value would be below 0 */
	{0x13, DATA0, 0x67, VEC_SS, DATA0},
};

static void bad_stack(const struct bad_stack *b)
{
	user();
	*tss(TSS) = (struct tss32){.stacks = {b->esp, b->ss}};
	segments[SEG_TR].limit = b->limit;
}

static void a_call_without_a_stack_is_refused(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(bad_stacks); i++) {
		bad_stack(&bad_stacks[i]);
		assert_int_equal(STEP(CALL_GATE), INTERPRET_EVENT);
		expect_exception(bad_stacks[i].vector, bad_stacks[i].error);
		expect_outer();
	}
	user();
	vcpu.cr0 |= CR0_PG;
	absent = INNER & PAGE_MASK;
	tss(TSS)->stacks[0] = (INNER & (u32)PAGE_MASK) + PAGE_SIZE + 8;
	assert_int_equal(STEP(CALL_GATE), INTERPRET_EVENT);
	expect_exception(VEC_PF, PF_W);
	expect_outer();
	user();
	tss(TSS)->stacks[0] = 24; /* just enough */
	assert_int_equal(STEP(CALL_GATE), INTERPRETED);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0);
}

/* --- events ------------------------------------------------------------------------------------ */

static void an_interrupt_pushes_the_old_stack_first(void **state)
{
	static const u32 frame[] = {CODE, CODE3, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT | RFLAGS_TF, STACK, DATA3};

	user();
	put_gate_at(IDT + 0x30 * 8, CODE0, 0x54321, 0x8e, 0);
	vcpu.rflags |= RFLAGS_IF | RFLAGS_NT | RFLAGS_TF;
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.cpl, 0);
	assert_int_equal(vcpu.rip, 0x54321);
	assert_int_equal(segments[SEG_CS].selector, CODE0);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED);
	assert_int_equal(vcpu.gpr[GPR_RSP], INNER - sizeof(frame));
	assert_memory_equal(memory + INNER - sizeof(frame), frame, sizeof(frame));
	vcpu.rip = CODE;
	put_dword(INNER - 12, RFLAGS_FIXED | RFLAGS_IF);
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | RFLAGS_IF);
	expect_outer();
}

static void an_exception_pushes_its_error_code_last(void **state)
{
	user();
	put_gate_at(IDT + VEC_GP * 8, CODE0, 0x54321, 0x8f, 0);
	vcpu.rflags |= RFLAGS_IF;
	deliver(EVENT_EXCEPTION, VEC_GP);
	assert_int_equal(vcpu.gpr[GPR_RSP], INNER - 24);
	assert_int_equal(dword(INNER - 24), 0x1238);
	assert_int_equal(dword(INNER - 20), CODE);
	assert_int_equal(dword(INNER - 4), DATA3);
	assert_true(vcpu.rflags & RFLAGS_IF);
}

/* The exception instead has a handler that runs at privilege 3, on its stack. */
static void an_interrupt_without_a_stack_is_an_exception(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(bad_stacks); i++) {
		const struct bad_stack *b = &bad_stacks[i];

		bad_stack(b);
		put_gate_at(IDT + 0x30 * 8, CODE0, 0x54321, 0xee, 0);
		deliver(EVENT_INTERRUPT, 0x30);
		assert_int_equal(vcpu.rip, 0x20000 + b->vector);
		assert_int_equal(vcpu.cpl, 3);
		assert_int_equal(dword((u32)vcpu.gpr[GPR_RSP]), b->error | 1); /* from outside */
		bad_stack(b);
		put_gate_at(IDT + 0x30 * 8, CODE0, 0x54321, 0xee, 0);
		deliver(EVENT_SOFT_INTERRUPT, 0x30);
		assert_int_equal(dword((u32)vcpu.gpr[GPR_RSP]), b->error);
	}
}

/* --- tasks ------------------------------------------------------------------------------------- */

static void make_next(void)
{
	user();
	*tss(NEXT) = (struct tss32){
		.eip = 0x9000,
		.eflags = RFLAGS_FIXED | FLAG_CF,
		.gpr = {1, 2, 3, 4, 0x2800, 6, 7, 8},
		.segment = {DATA3, CODE3, DATA3, DATA3, 0, 0},
	};
}

static void expect_next(u32 left_at, bool nested)
{
	assert_int_equal(vcpu.rip, 0x9000);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | FLAG_CF | (nested ? RFLAGS_NT : 0));
	assert_int_equal(vcpu.gpr[GPR_RDI], 8);
	assert_int_equal(segments[SEG_TR].selector, NEXT_TASK);
	assert_int_equal(segments[SEG_TR].attributes & 0xff, 0x8b);
	assert_true(vcpu.cr0 & CR0_TS);
	assert_int_equal(tss(TSS)->eip, left_at);
	assert_int_equal(tss(TSS)->gpr[GPR_RSP], STACK);
	assert_int_equal(memory[GDT + NEXT_TASK + 5], 0x8b);
	assert_int_equal(memory[GDT + TASK + 5], nested ? 0x8b : 0x89);
	assert_int_equal(tss(NEXT)->link, nested ? TASK : 0);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
}

static void jumps_and_calls_switch_tasks(void **state)
{
	static const u16 selectors[] = {NEXT_TASK, TASK_GATE_DESCRIPTOR | 3};

	for (u32 i = 0; i < 2 * ARRAY_SIZE(selectors); i++) {
		u8 code[7] = {i & 1 ? 0x9a : 0xea};

		make_next();
		put_descriptor(NEXT_TASK, NEXT, 0x67, 0xe9, 0);
		memory[GDT + NEXT_TASK + 5] =
			i < 2 ? 0xe9 : 0x89; /* the gate's privilege counts, not that behind it */
		memcpy(code + 5, &selectors[i / 2], 2);
		assert_int_equal(step_bytes(code, 7), INTERPRETED);
		memory[GDT + NEXT_TASK + 5] &= (u8)~0x60;
		segments[SEG_TR].attributes &= ~0x60u;
		expect_next(CODE + 7, i & 1);
	}
}

static void tasks_that_cannot_be_switched_to(void **state)
{
	static const struct {
		u16 selector;
		u8 task, gate; /* access rights */
		u8 vector;
		u32 error;
	} cases[] = {
		{NEXT_TASK, 0x89, 0xe5, VEC_GP, NEXT_TASK}, /* DPL */
		{NEXT_TASK | 3, 0xe9, 0x85, VEC_GP, 0},     /* allowed: see below */
		{TASK_GATE_DESCRIPTOR, 0x89, 0x85, VEC_GP, TASK_GATE_DESCRIPTOR},
		{TASK_GATE_DESCRIPTOR, 0x89, 0x65, VEC_NP, TASK_GATE_DESCRIPTOR},
		{TASK_GATE_DESCRIPTOR, 0x8b, 0xe5, VEC_GP, NEXT_TASK}, /* busy */
		{TASK_GATE_DESCRIPTOR, 0x82, 0xe5, VEC_GP, NEXT_TASK}, /* none */
		{TASK_GATE_DESCRIPTOR, 0x09, 0xe5, VEC_NP, NEXT_TASK},
		{NEXT_TASK, 0x69, 0xe5, VEC_NP, NEXT_TASK},
		{NEXT_TASK, 0xeb, 0xe5, VEC_GP, NEXT_TASK},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 code[7] = {0xea};

		make_next();
		memory[GDT + NEXT_TASK + 5] = cases[i].task;
		memory[GDT + TASK_GATE_DESCRIPTOR + 5] = cases[i].gate;
		memcpy(code + 5, &cases[i].selector, 2);
		if (!cases[i].error) {
			assert_int_equal(step_bytes(code, 7), INTERPRETED);
			continue;
		}
		assert_int_equal(step_bytes(code, 7), INTERPRET_EVENT);
		expect_exception(cases[i].vector, cases[i].error);
		expect_outer();
	}
}

static void iret_goes_back_to_the_task_that_called(void **state)
{
	make_next();
	segments[SEG_TR].limit = 0x67;
	assert_int_equal(STEP("\x9a\x00\x00\x00\x00\x4b\x00"), INTERPRETED);
	expect_next(CODE + 7, true);
	tss(TSS)->eflags |= FLAG_ZF;
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.rip, CODE + 7);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	assert_int_equal(segments[SEG_TR].selector, TASK);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED | FLAG_ZF);
	assert_int_equal(memory[GDT + NEXT_TASK + 5], 0x89);
	assert_int_equal(tss(NEXT)->eip, 0x9001);
	assert_false(tss(NEXT)->eflags & RFLAGS_NT);
	user();
	vcpu.rflags |= RFLAGS_NT;
	vcpu.nmi_blocked = true;
	tss(TSS)->link = NEXT_TASK; /* not busy */
	assert_int_equal(STEP("\xcf"), INTERPRET_EVENT);
	expect_exception(VEC_TS, NEXT_TASK);
	assert_false(vcpu.nmi_blocked);
	expect_outer();
}

static void task_gates_of_the_idt_switch_tasks(void **state)
{
	make_next();
	put_gate_at(IDT + 0x30 * 8, NEXT_TASK, 0, 0x85, 0);
	deliver(EVENT_INTERRUPT, 0x30);
	expect_next(CODE, true);
	make_next();
	put_gate_at(IDT + 0x30 * 8, NEXT_TASK, 0, 0xe5, 0);
	deliver(EVENT_SOFT_INTERRUPT, 0x30);
	expect_next(CODE + 2, true);
	make_next();
	put_gate_at(IDT + VEC_GP * 8, NEXT_TASK, 0, 0x85, 0);
	deliver(EVENT_EXCEPTION, VEC_GP);
	expect_next(CODE, true);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0x2800 - 4);
	assert_int_equal(dword(0x2800 - 4), 0x1238);
	make_next();
	put_gate_at(IDT + VEC_NMI * 8, NEXT_TASK, 0, 0x85, 0);
	deliver(EVENT_NMI, VEC_NMI);
	expect_next(CODE, true);
	assert_true(vcpu.nmi_blocked);
	make_next();
	tss(NEXT)->trap = 1;
	put_gate_at(IDT + 0x30 * 8, NEXT_TASK, 0, 0x85, 0);
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(segments[SEG_TR].selector, NEXT_TASK);
	assert_int_equal(vcpu.rip, 0x9000);
	assert_int_equal(vcpu.inject.vector, VEC_DB); /* the trap, in the new task */
	interpret_deliver(&vcpu, &(struct vcpu_event){.type = EVENT_EXCEPTION, .vector = VEC_DB});
	assert_int_equal(vcpu.rip, 0x20000 + VEC_DB);
	assert_int_equal(dword((u32)vcpu.gpr[GPR_RSP]), 0x9000);
	make_next();
	memory[GDT + NEXT_TASK + 5] = 0x8b; /* busy: an exception in the old task */
	put_gate_at(IDT + 0x30 * 8, NEXT_TASK, 0, 0x85, 0);
	deliver(EVENT_INTERRUPT, 0x30);
	assert_int_equal(vcpu.rip, 0x20000 + VEC_GP);
	assert_int_equal(segments[SEG_TR].selector, TASK);
	assert_int_equal(dword((u32)vcpu.gpr[GPR_RSP]), NEXT_TASK | 1);
}

/* --- virtual-8086 mode ------------------------------------------------------------------------- */

static void supervisor(void)
{
	user();
	for (u32 i = 0; i <= SEG_GS; i++) {
		segments[i].selector = i == SEG_CS ? CODE0 : DATA0;
		segments[i].attributes &= ~0x60u;
	}
	vcpu.cpl = 0;
}

static void iret_enters_virtual_8086_mode(void **state)
{
	static const u32 frame[] = {0x1234, 0x100, RFLAGS_FIXED | RFLAGS_VM | RFLAGS_IF | RFLAGS_IOPL,
				    0xfff0, 0x200, 0x300,
				    0x400,  0x500, 0x600};
	static const u8 order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	supervisor();
	memcpy(memory + STACK, frame, sizeof(frame));
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.cpl, 3);
	assert_int_equal(vcpu.rip, 0x1234);
	assert_int_equal(vcpu.rflags, frame[2]);
	assert_int_equal(vcpu.gpr[GPR_RSP], 0xfff0);
	assert_int_equal(segments[SEG_CS].base, 0x1000);
	for (u32 i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_equal(segments[order[i]].selector, 0x200 + 0x100 * i);
		assert_int_equal(segments[order[i]].base, 0x2000 + 0x1000 * i);
		assert_int_equal(segments[order[i]].attributes, 0xf3);
	}
	supervisor();
	memcpy(memory + STACK, frame, sizeof(frame));
	put_dword(STACK, 0x10000);
	assert_int_equal(STEP("\xcf"), INTERPRET_EVENT);
	expect_exception(VEC_GP, 0);
	assert_int_equal(vcpu.gpr[GPR_RSP], STACK);
	user(); /* outside privilege 0 the flag is not looked at */
	put_dword(STACK, 0x1234);
	put_dword(STACK + 4, CODE3);
	put_dword(STACK + 8, RFLAGS_FIXED | RFLAGS_VM);
	assert_int_equal(STEP("\xcf"), INTERPRETED);
	assert_int_equal(vcpu.rflags, RFLAGS_FIXED);
	assert_int_equal(segments[SEG_CS].selector, CODE3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_takes_its_parameters_along_and_comes_back),
		cmocka_unit_test(words_where_gate_or_task_have_16_bits),
		cmocka_unit_test(a_conforming_segment_keeps_stack_and_privilege),
		cmocka_unit_test(a_call_without_a_stack_is_refused),
		cmocka_unit_test(an_interrupt_pushes_the_old_stack_first),
		cmocka_unit_test(an_exception_pushes_its_error_code_last),
		cmocka_unit_test(an_interrupt_without_a_stack_is_an_exception),
		cmocka_unit_test(jumps_and_calls_switch_tasks),
		cmocka_unit_test(tasks_that_cannot_be_switched_to),
		cmocka_unit_test(iret_goes_back_to_the_task_that_called),
		cmocka_unit_test(task_gates_of_the_idt_switch_tasks),
		cmocka_unit_test(iret_enters_virtual_8086_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
