/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workloads of several processors, measured when the kernel's parameter workers=N asks for them: a worker
 * on each processor, pinned to it, a process or a thread. Before and behind the window they wait by PAUSE, for
 * which QEMU lets the next processor run: no processor sleeps (while all do, the emulator's clock would go on), and
 * what the window counts is what all processors executed, next to nothing of it by waiting.
 */
#include "bench.h"
#include "counters.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#define WORKERS_MAX 64
#define FAULT_SIZE (1 * MIB)
#define THREAD_SIZE (64 * KIB)

/* Words that processes share; each has a line of its own. */
union line {
	uint32_t word;
	char whole[64];
};

static struct {
	union line ready, begun, done, ended;
	union line turns[WORKERS_MAX / 2]; /* of pairs: whose turn it is */
} * shared;

static int pipes[WORKERS_MAX][2]; /* what a worker reads */

struct parallel {
	const char *name;
	unsigned warmup, rounds;        /* of each worker */
	unsigned ops;                   /* operations in a round */
	bool pairs;                     /* an operation takes two workers */
	bool threads;                   /* of one process */
	void (*setup)(unsigned worker); /* or NULL */
	void (*run)(unsigned worker, unsigned rounds);
	void (*cleanup)(unsigned worker); /* or NULL */
};

/* --- waiting for one another --- */

static void futex_wait(union line *line, uint32_t while_it_is)
{
	syscall(SYS_futex, &line->word, FUTEX_WAIT, while_it_is, NULL, NULL, 0);
}

static void futex_wake(union line *line)
{
	syscall(SYS_futex, &line->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint32_t read_line(const union line *line)
{
	return __atomic_load_n(&line->word, __ATOMIC_ACQUIRE);
}

static void write_line(union line *line, uint32_t value)
{
	__atomic_store_n(&line->word, value, __ATOMIC_RELEASE);
}

static void add_one(union line *line)
{
	__atomic_fetch_add(&line->word, 1, __ATOMIC_SEQ_CST);
}

static void spin_until(const union line *line, uint32_t value)
{
	while (read_line(line) != value)
		_mm_pause();
}

static void wait_until(union line *line, uint32_t value)
{
	uint32_t now;

	while ((now = read_line(line)) != value)
		futex_wait(line, now);
}

static void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("there is no processor %u", cpu);
}

/* --- the workloads --- */

static void loop(unsigned worker, unsigned rounds)
{
	unsigned long turns = rounds * 1000ul;

	asm volatile("1: dec %0; jnz 1b" : "+r"(turns));
}

static void each_cpuid(unsigned worker, unsigned rounds)
{
	run_cpuid(rounds);
}
static void each_fork(unsigned worker, unsigned rounds)
{
	run_fork(rounds);
}

static void map_and_touch(size_t size, unsigned rounds)
{
	while (rounds--) {
		void *memory = map_memory(size);

		touch_pages(memory, size);
		unmap_memory(memory, size);
	}
}

static void run_mmap(unsigned worker, unsigned rounds)
{
	map_and_touch(PAGE, rounds);
}
static void run_fault(unsigned worker, unsigned rounds)
{
	map_and_touch(FAULT_SIZE, rounds);
}
/* With threads elsewhere an unmapping takes a shootdown. */
static void run_threads(unsigned worker, unsigned rounds)
{
	map_and_touch(THREAD_SIZE, rounds);
}

static void run_pipe(unsigned worker, unsigned rounds)
{
	int in = pipes[worker][0], out = pipes[worker ^ 1][1];
	char token = 0;

	while (rounds--) {
		if (worker % 2 == 0 && write(out, &token, 1) != 1)
			fail("write");
		if (read(in, &token, 1) != 1)
			fail("read");
		if (worker % 2 && write(out, &token, 1) != 1)
			fail("write");
	}
}

static void run_futex(unsigned worker, unsigned rounds)
{
	union line *turn = &shared->turns[worker / 2];

	while (rounds--) {
		wait_until(turn, worker % 2);
		write_line(turn, !(worker % 2));
		futex_wake(turn);
	}
}

/* A line that goes to and fro, and nobody sleeps. */
static void run_line(unsigned worker, unsigned rounds)
{
	union line *turn = &shared->turns[worker / 2];

	while (rounds--) {
		spin_until(turn, worker % 2);
		write_line(turn, !(worker % 2));
	}
}

static void setup_compile(unsigned worker)
{
	compile_begin(worker);
}
static void run_compile(unsigned worker, unsigned rounds)
{
	compile_run(rounds);
}
static void cleanup_compile(unsigned worker)
{
	compile_end();
}

static const struct parallel workloads[] = {
	{"ploop", 1, 20000, 1000, false, false, NULL, loop, NULL},
	{"pcpuid", 1000, 20000, 1, false, false, NULL, each_cpuid, NULL},
	{"pfork", 20, 150, 1, false, false, NULL, each_fork, NULL},
	{"pmmap", 200, 2000, 1, false, false, NULL, run_mmap, NULL},
	{"pfault", 4, 20, FAULT_SIZE / PAGE, false, false, NULL, run_fault, NULL},
	{"pthreads", 20, 200, THREAD_SIZE / PAGE, false, true, NULL, run_threads, NULL},
	{"pline", 200, 20000, 1, true, false, NULL, run_line, NULL},
	{"pfutex", 200, 2000, 1, true, false, NULL, run_futex, NULL},
	{"ppipe", 200, 2000, 1, true, false, NULL, run_pipe, NULL},
	{"pcompile", 1, 2, 1, false, false, setup_compile, run_compile, cleanup_compile},
	{0},
};

/* --- measuring: the first worker does it --- */

static const struct parallel *current;
static unsigned workers;

static void measure(void)
{
	static struct counters before, after;
	uint64_t ops = (uint64_t)current->rounds * current->ops * (current->pairs ? workers / 2 : workers);
	uint64_t start, end;

	spin_until(&shared->ready, workers);
	counters_open(&before);
	start = __rdtsc();
	write_line(&shared->begun, 1);
	current->run(0, current->rounds);
	add_one(&shared->done);
	spin_until(&shared->done, workers);
	end = __rdtsc();
	counters_close(&after);
	write_line(&shared->ended, 1);
	print_result(current->name, workers, ops, end - start, &before, &after);
}

static void work(unsigned worker)
{
	pin_to(worker);
	if (current->setup)
		current->setup(worker);
	current->run(worker, current->warmup);
	add_one(&shared->ready);
	if (worker) {
		spin_until(&shared->begun, 1);
		current->run(worker, current->rounds);
		add_one(&shared->done);
		spin_until(&shared->ended, 1);
	} else {
		measure();
	}
	if (current->cleanup)
		current->cleanup(worker);
}

static void *thread_main(void *worker)
{
	work((unsigned)(uintptr_t)worker);
	return NULL;
}

static void with_threads(void)
{
	pthread_t thread[WORKERS_MAX];

	for (uintptr_t i = 1; i < workers; i++)
		if (pthread_create(&thread[i], NULL, thread_main, (void *)i))
			fail("pthread_create");
	work(0);
	for (unsigned i = 1; i < workers; i++)
		if (pthread_join(thread[i], NULL))
			fail("pthread_join");
}

static void with_processes(void)
{
	pid_t process[WORKERS_MAX];

	for (unsigned i = 1; i < workers; i++) {
		process[i] = start_child();
		if (!process[i]) {
			work(i);
			_exit(0);
		}
	}
	work(0);
	for (unsigned i = 1; i < workers; i++)
		wait_for(process[i]);
}

static void run_workload(const void *workload)
{
	const struct parallel *w = workload;

	current = w;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("mmap");
	for (unsigned i = 0; i < workers; i++)
		if (pipe(pipes[i]))
			fail("pipe");
	if (w->threads)
		with_threads();
	else
		with_processes();
}

void measure_parallel(unsigned count, const char *wanted)
{
	workers = count;
	if (!workers || workers > WORKERS_MAX)
		fail("workers=: 1 to %u", WORKERS_MAX);
	for (const struct parallel *w = workloads; w->name; w++)
		if (is_wanted(wanted, w->name) && !(w->pairs && workers % 2))
			run_in_child(run_workload, w);
}
