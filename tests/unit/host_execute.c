/* SPDX-License-Identifier: BSD-2-Clause */
/* See host_execute.h. */
#define _GNU_SOURCE
#include "tests/unit/host.h"

#include "tests/unit/host_execute.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "arch/x86/guest/hw.h"

#define PAGES 2u

struct host_state host_guest_state;
u32 host_executed;

u8 *host_execute_pages(void)
{
	static u8 *pages;

	if (!pages) {
		pages = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		assert_true(pages != MAP_FAILED);
	}
	return pages;
}

void host_state_reset(struct host_state *s)
{
	memset(s, 0, sizeof(*s));
	s->fcw = 0x37f;
	s->mxcsr = 0x1f80;
	s->xstate_bv = HOST_STATE_COMPONENTS;
}

static void save(struct host_state *s)
{
	asm volatile("xsave64 %0" : "+m"(*s) : "a"(HOST_STATE_COMPONENTS), "d"(0));
}

static void restore(const struct host_state *s)
{
	asm volatile("xrstor64 %0" : : "m"(*s), "a"(HOST_STATE_COMPONENTS), "d"(0));
}

/* The kernel hands the exception's number on. */
static void on_signal(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	u64 rip = (u64)regs[REG_RIP];

	if (!execute_fault((u8)regs[REG_TRAPNO], &rip)) {
		char text[128];
		int n = snprintf(text, sizeof(text), "exception %u at %llx\n", (u32)regs[REG_TRAPNO],
				 (unsigned long long)rip);

		if (write(STDERR_FILENO, text, (size_t)n) > 0)
			signal(number, SIG_DFL);
		return;
	}
	regs[REG_RIP] = (greg_t)rip;
	regs[REG_RAX] = regs[REG_TRAPNO];
}

static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS};

/* Again for each instruction: cmocka takes the signals at the start of a test. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

void host_run(struct execute *e, struct host_state *s)
{
	static struct host_state own;

	catch_signals();
	save(&own);
	restore(s);
	execute_run(e);
	execute_x87_end(e);
	s->xstate_bv = 0;
	save(s);
	restore(&own);
}

void hw_execute(struct execute *e)
{
	u8 *page = host_execute_pages();
	struct execute_bounce *bounce = (struct execute_bounce *)(page + PAGE_SIZE);

	host_executed++;
	execute_prepare(e, page, bounce);
	host_run(e, &host_guest_state);
	execute_finish(e, bounce);
}

bool host_has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
