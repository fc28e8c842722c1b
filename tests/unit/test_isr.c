/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way back from an exception by arch/x86/isr.asm itself, on frames as the CPU pushes them. Those of #SX have selectors
 * that an IRET would not take: it must not be one, since that would end the blocking of NMIs.
 */
#include "tests/unit/host.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/percpu.h"
#include "arch/x86/trap_frame.h"
#include "lib/x86.h"

#define GPRS 15
#define STACK_WORDS 1024
#define CF BIT(0)
#define SELECTOR_OF_NOBODY 0xdead

extern const u64 isr_stubs[TRAP_VECTORS];
extern const u8 isr_taken[256][ISR_TAKEN_BYTES];

/* Used by interrupt() below. */
u64 isr_gprs_in[GPRS], isr_gprs_out[GPRS], isr_rsp, isr_flags, isr_saved, isr_stub, isr_selectors[2];
bool isr_without_error;
static struct trap_frame seen;
static u64 stack[STACK_WORDS] ALIGNED(16);

/* Makes of RSP and the flags given an interrupted program that goes on behind the jump, where all registers are kept. */
void interrupt(u64 rsp, u64 flags);
asm("interrupt:\n"
    "	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "	mov %rsp, isr_saved\n"
    "	mov %rdi, %rsp\n"
    "	and $-16, %rsp\n"
    "	push isr_selectors + 8\n"
    "	push %rdi\n"
    "	push %rsi\n"
    "	push isr_selectors\n"
    "	push $1f\n"
    "	cmpb $0, isr_without_error\n"
    "	jne 2f\n"
    "	push $1\n"
    "2:\n"
    "	mov isr_gprs_in, %rax\n mov isr_gprs_in + 8, %rbx\n mov isr_gprs_in + 16, %rcx\n"
    "	mov isr_gprs_in + 24, %rdx\n mov isr_gprs_in + 32, %rsi\n mov isr_gprs_in + 40, %rdi\n"
    "	mov isr_gprs_in + 48, %rbp\n mov isr_gprs_in + 56, %r8\n mov isr_gprs_in + 64, %r9\n"
    "	mov isr_gprs_in + 72, %r10\n mov isr_gprs_in + 80, %r11\n mov isr_gprs_in + 88, %r12\n"
    "	mov isr_gprs_in + 96, %r13\n mov isr_gprs_in + 104, %r14\n mov isr_gprs_in + 112, %r15\n"
    "	jmp *isr_stub\n"
    "1:	mov %rsp, isr_rsp\n"
    "	mov isr_saved, %rsp\n"
    "	pushfq\n popq isr_flags\n"
    "	mov %rax, isr_gprs_out\n mov %rbx, isr_gprs_out + 8\n mov %rcx, isr_gprs_out + 16\n"
    "	mov %rdx, isr_gprs_out + 24\n mov %rsi, isr_gprs_out + 32\n mov %rdi, isr_gprs_out + 40\n"
    "	mov %rbp, isr_gprs_out + 48\n mov %r8, isr_gprs_out + 56\n mov %r9, isr_gprs_out + 64\n"
    "	mov %r10, isr_gprs_out + 72\n mov %r11, isr_gprs_out + 80\n mov %r12, isr_gprs_out + 88\n"
    "	mov %r13, isr_gprs_out + 96\n mov %r14, isr_gprs_out + 104\n mov %r15, isr_gprs_out + 112\n"
    "	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "	ret\n");

static void interrupt_without_error(u64 rsp, u64 flags)
{
	isr_without_error = true;
	interrupt(rsp, flags);
	isr_without_error = false;
}

void trap_handle(struct trap_frame *frame);

__attribute__((no_sanitize("address", "undefined"))) void trap_handle(struct trap_frame *frame)
{
	seen = *frame;
}

static void take(u32 vector, u64 *rsp, u64 flags)
{
	for (u32 i = 0; i < GPRS; i++)
		isr_gprs_in[i] = 0x1111111111111111ull * (i + 1);
	isr_stub = isr_stubs[vector];
	interrupt((u64)rsp, flags);
	assert_int_equal(seen.vector, vector);
	assert_int_equal(seen.error, 1);
	assert_int_equal(seen.rsp, (u64)rsp);
	assert_int_equal(isr_rsp, (u64)rsp);
	assert_int_equal(isr_flags & CF, flags & CF);
	assert_memory_equal(isr_gprs_in, isr_gprs_out, sizeof(isr_gprs_in));
}

static void every_alignment(u32 vector)
{
	for (u32 i = 0; i < 2; i++)
		for (u64 flags = 0x202; flags <= 0x203; flags++) {
			u64 *rsp = stack + STACK_WORDS / 2 + i;

			*rsp = ~0ull; /* the interrupted program's own */
			take(vector, rsp, flags);
			assert_int_equal(*rsp, ~0ull);
		}
}

static void sx_returns_without_an_iret(void **state)
{
	(void)state;
	isr_selectors[0] = isr_selectors[1] = SELECTOR_OF_NOBODY;
	every_alignment(VEC_SX);
}

static void others_return_by_an_iret(void **state)
{
	(void)state;
	asm("mov %%cs, %0" : "=r"(isr_selectors[0]));
	asm("mov %%ss, %0" : "=r"(isr_selectors[1]));
	every_alignment(VEC_GP);
}

/* The flags that it returns with have interrupts off; an IRET of a program may not change them, so it is the frame that tells. */
static void an_interrupt_is_noted_and_the_only_one(void **state)
{
	static struct percpu cpu;
	u64 *rsp = stack + STACK_WORDS / 2;

	(void)state;
	asm("mov %%cs, %0" : "=r"(isr_selectors[0]));
	asm("mov %%ss, %0" : "=r"(isr_selectors[1]));
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	for (u32 vector = 0; vector < 256; vector++) {
		u64 *flags = rsp - 3; /* SS, RSP, RFLAGS, CS, RIP */

		for (u32 i = 0; i < GPRS; i++)
			isr_gprs_in[i] = 0x1111111111111111ull * (i + 1);
		cpu.interrupt = -1;
		isr_stub = (u64)isr_taken[vector];
		interrupt_without_error((u64)rsp, 0x203);
		assert_int_equal(cpu.interrupt, vector);
		assert_int_equal(*flags, 0x003);
		assert_int_equal(isr_rsp, (u64)rsp);
		assert_memory_equal(isr_gprs_in, isr_gprs_out, sizeof(isr_gprs_in));
	}
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sx_returns_without_an_iret),
		cmocka_unit_test(others_return_by_an_iret),
		cmocka_unit_test(an_interrupt_is_noted_and_the_only_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
