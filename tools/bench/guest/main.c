/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest benchmark, /init of an initramfs: runs workloads of fixed length and
 * prints a line for each on the console. Time is the TSC: under QEMU's
 * -icount shift=0 that is instructions, executed by guest and hypervisor together.
 * The kernel's parameter bench=NAME,NAME picks workloads (it reaches us as an
 * environment variable). workers=N: those of several processors, on so many.
 */
#include "bench.h"
#include "counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <x86intrin.h>

static void measure(const void *workload)
{
	static struct counters before, after;
	const struct workload *w = workload;
	uint64_t start, end;

	if (w->setup)
		w->setup();
	if (w->warmup)
		w->run(w->warmup);
	counters_open(&before);
	start = __rdtsc();
	w->run(w->rounds);
	end = __rdtsc();
	counters_close(&after);
	if (w->cleanup)
		w->cleanup();
	print_result(w->name, 1, (uint64_t)w->rounds * w->ops, end - start, &before, &after);
}

int is_wanted(const char *list, const char *name)
{
	size_t length = strlen(name);

	if (!list || !*list)
		return 1;
	while (list) {
		if (!strncmp(list, name, length) && (list[length] == ',' || !list[length]))
			return 1;
		list = strchr(list, ',');
		if (list)
			list++;
	}
	return 0;
}

static void measure_all(const struct workload *w, const char *wanted)
{
	for (; w->name; w++)
		if (is_wanted(wanted, w->name))
			run_in_child(measure, w);
}

static void prepare_system(void)
{
	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/tmp", 0755);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) || mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("tmp", "/tmp", "tmpfs", 0, NULL))
		fail("mount");
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		if (open("/dev/console", O_RDWR) != fd)
			_exit(1);
	}
}

static void run_all(void)
{
	static const char *const hosts[] = {"bare", "umbra", "kvm", "other"};
	const char *wanted = getenv("bench"), *workers = getenv("workers");
	enum host host;

	prepare_system();
	host = counters_init();
	printf("\n" LINE "{\"host\":\"%s\"}\n", hosts[host]);
	flush_console();
	if (workers) {
		measure_parallel((unsigned)atoi(workers), wanted);
	} else {
		measure_all(process_workloads, wanted);
		measure_all(memory_workloads, wanted);
		measure_all(file_workloads, wanted);
		measure_all(compile_workloads, wanted);
	}
	printf(LINE "{\"end\":true}\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "compile-front"))
		return compile_front(argv[2]);
	if (argc >= 3 && !strcmp(argv[1], "compile-back"))
		return compile_back(argv[2]);
	if (getpid() != 1) {
		fputs("bench: this is an /init, to be run in a virtual machine\n", stderr);
		return 1;
	}
	run_all();
	finish();
}
