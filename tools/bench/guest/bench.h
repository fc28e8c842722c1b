/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest benchmark: what its files share. main.c runs each workload in a
 * process of its own and measures it; the work_*.c files hold the workloads, and
 * support.c what they share.
 */
#ifndef TOOLS_BENCH_GUEST_BENCH_H
#define TOOLS_BENCH_GUEST_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct counters;

#define BENCH_PATH "/init"
#define NULL_PATH "/bin/null" /* null.c */
#define PAGE 4096ul
#define KIB 1024ul
#define MIB (1024ul * KIB)

struct workload {
	const char *name;
	unsigned warmup;     /* rounds run before the measured ones */
	unsigned rounds;     /* measured */
	unsigned ops;        /* operations in one round */
	void (*setup)(void); /* or NULL */
	void (*run)(unsigned rounds);
	void (*cleanup)(void); /* or NULL: the process ends anyhow */
};

extern const struct workload process_workloads[];
extern const struct workload memory_workloads[];
extern const struct workload file_workloads[];
extern const struct workload compile_workloads[];

/* The workloads of several processors, measured; wanted as in is_wanted(). */
void measure_parallel(unsigned workers, const char *wanted);

/* Is name in the list, separated by commas (NULL or empty: everything is)? */
int is_wanted(const char *list, const char *name);

/* The compile-like mix for a worker, whose output is its own. */
void compile_begin(unsigned worker);
void compile_run(unsigned rounds);
void compile_end(void);

/* Programs inside the one binary, chosen by argv[1]; they return the exit status. */
int compile_front(const char *source_dir);
int compile_back(const char *object);

/* A line of ours on the console begins with this. */
#define LINE "@bench "
void flush_console(void);

/* Switches the machine off. */
__attribute__((noreturn)) void finish(void);

/* Ends the run with a message on the console. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* What was measured, as a line on the console; its operations are those of all workers. */
void print_result(const char *name, unsigned workers, uint64_t ops, uint64_t ticks, const struct counters *before,
		  const struct counters *after);

/* fork() that fails the run where there can be no child. */
pid_t start_child(void);

/* Waits for a child and fails unless it ended with status 0. */
void wait_for(pid_t pid);

/* Has run(workload) in a process of its own, so that no workload leaves anything to the next. */
void run_in_child(void (*run)(const void *workload), const void *workload);

/* Workloads of one processor and of several. */
void run_cpuid(unsigned rounds);
void run_fork(unsigned rounds);

/* Anonymous private memory of 4 KiB pages. */
void *map_memory(size_t size);
void unmap_memory(void *memory, size_t size);

/* Writes one byte to every page. */
void touch_pages(void *memory, size_t size);

/* xorshift: the same sequence in every run. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

#endif
