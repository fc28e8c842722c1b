/* SPDX-License-Identifier: BSD-2-Clause */
/* The console, the end of the run, children: for main.c and the workloads alike. */
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

void wait_for(int pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (status)
		fail("a child ended with status %#x", status);
}
