/* SPDX-License-Identifier: BSD-2-Clause */
/* The console, the end of the run, children, and the workloads that both one processor and several have. */
#include "bench.h"
#include "counters.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A slow serial port would still be sending while the next workload runs, or at power-off. */
void flush_console(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
}

void finish(void)
{
	flush_console();
	sync();
	/* Our KVM monitor cannot power off; it ends at a reset. */
	reboot(counters_host() == HOST_KVM ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		pause();
}

void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	printf("\n" LINE "{\"error\":\"");
	vprintf(format, args);
	printf(": %s\"}\n", strerror(error));
	va_end(args);
	fflush(stdout);
	if (getpid() != 1)
		_exit(1);
	finish();
}

void print_result(const char *name, unsigned workers, uint64_t ops, uint64_t ticks, const struct counters *before,
		  const struct counters *after)
{
	printf(LINE "{\"name\":\"%s\",\"workers\":%u,\"ops\":%llu,\"instructions\":%llu,\"counters\":{", name,
	       workers, (unsigned long long)ops, (unsigned long long)ticks);
	counters_print(before, after);
	printf("}}\n");
	flush_console();
}

pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	return pid;
}

void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (status)
		fail("a child ended with status %#x", status);
}

void run_in_child(void (*run)(const void *workload), const void *workload)
{
	pid_t pid;

	fflush(stdout);
	pid = start_child();
	if (!pid) {
		run(workload);
		_exit(0);
	}
	wait_for(pid);
}

/* The null exit: the least that a hypervisor can do. */
void run_cpuid(unsigned rounds)
{
	while (rounds--) {
		uint32_t a = 0, b, c = 0, d;

		asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	}
}

void run_fork(unsigned rounds)
{
	while (rounds--) {
		pid_t pid = start_child();

		if (!pid)
			_exit(0);
		wait_for(pid);
	}
}
