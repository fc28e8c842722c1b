/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads about processes: calls, starting and ending, switching, signals, threads. */
#include "bench.h"

#include <cpuid.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *const null_arguments[] = {(char *)NULL_PATH, NULL};
static char *const no_environment[] = {NULL};

static void run_getpid(unsigned rounds)
{
	while (rounds--)
		syscall(SYS_getpid);
}

static void run_exec(unsigned rounds)
{
	while (rounds--) {
		pid_t pid = start_child();

		if (!pid) {
			execve(NULL_PATH, null_arguments, no_environment);
			_exit(1);
		}
		wait_for(pid);
	}
}

static void run_spawn(unsigned rounds)
{
	while (rounds--) {
		pid_t pid;

		if (posix_spawn(&pid, NULL_PATH, NULL, NULL, null_arguments, no_environment))
			fail("posix_spawn");
		wait_for(pid);
	}
}

/* --- a token that goes round in a ring of processes --- */

static struct {
	int in, out;           /* ours, the first member's */
	unsigned char *memory; /* each member's working set after the fork */
	size_t working_set;
} ring;

static void pass_token(void)
{
	char token;

	if (read(ring.in, &token, 1) != 1)
		_exit(0);
	for (size_t at = 0; at < ring.working_set; at += PAGE)
		ring.memory[at]++;
	if (write(ring.out, &token, 1) != 1)
		_exit(0);
}

/* The member reads from the pipe before it and writes to the one after it. */
static void start_member(int in, int out, const int *pipes, unsigned ends)
{
	if (start_child())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < ends; i++)
		if (pipes[i] != in && pipes[i] != out)
			close(pipes[i]);
	ring.in = in;
	ring.out = out;
	for (;;)
		pass_token();
}

static void setup_ring(unsigned members, size_t working_set)
{
	int pipes[2 * 64];

	ring.working_set = working_set;
	if (working_set)
		ring.memory = map_memory(working_set);
	for (unsigned i = 0; i < members; i++)
		if (pipe(pipes + 2 * i))
			fail("pipe");
	/* Pipe i leads from member i to member i + 1; we are member 0. */
	for (unsigned i = 1; i < members; i++)
		start_member(pipes[2 * (i - 1)], pipes[2 * i + 1], pipes, 2 * members);
	ring.in = pipes[2 * (members - 1)];
	ring.out = pipes[1];
}

static void setup_pair(void)
{
	setup_ring(2, 0);
}
static void setup_ring16(void)
{
	setup_ring(16, 64 * KIB);
}
static void setup_ring64(void)
{
	setup_ring(64, 16 * KIB);
}

static void run_ring(unsigned rounds)
{
	char token = 0;

	while (rounds--) {
		for (size_t at = 0; at < ring.working_set; at += PAGE)
			ring.memory[at]++;
		if (write(ring.out, &token, 1) != 1 || read(ring.in, &token, 1) != 1)
			fail("the ring broke");
	}
}

/* --- signals: a fault the guest's kernel hands to the program --- */

static unsigned char *guarded;

static void on_fault(int number, siginfo_t *info, void *context)
{
	if ((unsigned char *)info->si_addr != guarded || mprotect(guarded, PAGE, PROT_READ | PROT_WRITE))
		_exit(1);
}

static void setup_signal(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	guarded = map_memory(PAGE);
	touch_pages(guarded, PAGE);
	sigaction(SIGSEGV, &action, NULL);
}

/* What a garbage collector's write barrier does. */
static void run_signal(unsigned rounds)
{
	while (rounds--) {
		mprotect(guarded, PAGE, PROT_READ);
		*(volatile unsigned char *)guarded = 1;
	}
}

static void *thread_main(void *argument)
{
	return argument;
}

static void run_thread(unsigned rounds)
{
	while (rounds--) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, thread_main, NULL) || pthread_join(thread, NULL))
			fail("pthread");
	}
}

#define SHELL_PROGRAMS 200
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

static void run_shell(unsigned rounds)
{
	static char *const arguments[] = {
		(char *)"sh",
		(char *)"-c",
		(char *)"i=0; while [ $i -lt " TEXT_OF(SHELL_PROGRAMS) " ]; do " NULL_PATH "; i=$((i+1)); done",
		NULL,
	};

	while (rounds--) {
		pid_t pid = start_child();

		if (!pid) {
			execve("/bin/sh", arguments, no_environment);
			_exit(1);
		}
		wait_for(pid);
	}
}

const struct workload process_workloads[] = {
	{"getpid", 1000, 20000, 1, NULL, run_getpid, NULL},
	{"cpuid", 1000, 20000, 1, NULL, run_cpuid, NULL},
	{"fork", 20, 200, 1, NULL, run_fork, NULL},
	{"exec", 20, 200, 1, NULL, run_exec, NULL},
	{"spawn", 20, 200, 1, NULL, run_spawn, NULL},
	{"pipe", 200, 2000, 1, setup_pair, run_ring, NULL},
	{"ring16", 20, 200, 1, setup_ring16, run_ring, NULL},
	{"ring64", 5, 50, 1, setup_ring64, run_ring, NULL},
	{"signal", 200, 2000, 1, setup_signal, run_signal, NULL},
	{"thread", 100, 1000, 1, NULL, run_thread, NULL},
	{"shell", 1, 1, SHELL_PROGRAMS, NULL, run_shell, NULL},
	{0},
};
