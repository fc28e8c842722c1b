/* SPDX-License-Identifier: BSD-2-Clause */
/* forks MIB, inside a guest: a process of so many MiB in 4 KiB pages forks, writes all of it again, and lets go of it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul

static void touch(volatile char *memory, size_t bytes, size_t step)
{
	for (size_t i = 0; i < bytes; i += step)
		memory[i]++;
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) << 20 : 0;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	if (!bytes || memory == MAP_FAILED) {
		fprintf(stderr, "forks: no memory\n");
		return 1;
	}
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	touch(memory, bytes, PAGE);
	for (int child = 0; child < 2; child++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("forks: fork");
			return 1;
		}
		if (!pid) {
			touch(memory, bytes, 64 * PAGE);
			_exit(memory[0] != child + 2);
		}
		waitpid(pid, &status, 0);
		touch(memory, bytes, PAGE);
		if (status || memory[bytes - PAGE] != child + 2) {
			fprintf(stderr, "forks: the memory is not what was written\n");
			return 1;
		}
	}
	mprotect(memory, bytes, PROT_READ);
	mprotect(memory, bytes, PROT_READ | PROT_WRITE);
	touch(memory, bytes, PAGE);
	madvise(memory, bytes, MADV_DONTNEED);
	touch(memory, bytes, 16 * PAGE);
	munmap(memory, bytes);
	printf("forks: done\n");
	return 0;
}
