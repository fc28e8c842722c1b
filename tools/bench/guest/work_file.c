/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads about files, all in a tmpfs: writing, reading, mapping, opening. */
#include "bench.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_PATH "/tmp/bench"
#define FILE_SIZE (4 * MIB)

static int file = -1;
static unsigned char buffer[PAGE];

static void setup_file(void)
{
	file = open(FILE_PATH, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file < 0)
		fail("open " FILE_PATH);
	memset(buffer, 1, sizeof(buffer));
	for (size_t at = 0; at < FILE_SIZE; at += sizeof(buffer))
		if (write(file, buffer, sizeof(buffer)) != (ssize_t)sizeof(buffer))
			fail("write");
}

static void remove_file(void)
{
	close(file);
	unlink(FILE_PATH);
}

/* New pages every round: the file is cut to nothing first. */
static void run_write(unsigned rounds)
{
	while (rounds--) {
		if (ftruncate(file, 0))
			fail("ftruncate");
		for (size_t at = 0; at < FILE_SIZE; at += sizeof(buffer))
			if (pwrite(file, buffer, sizeof(buffer), at) != (ssize_t)sizeof(buffer))
				fail("pwrite");
	}
}

static void run_read(unsigned rounds)
{
	while (rounds--)
		for (size_t at = 0; at < FILE_SIZE; at += sizeof(buffer))
			if (pread(file, buffer, sizeof(buffer), at) != (ssize_t)sizeof(buffer))
				fail("pread");
}

/* A shared mapping of the file, read page by page, as programs read their libraries. */
static void run_map(unsigned rounds)
{
	while (rounds--) {
		volatile unsigned char *memory = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, file, 0);

		if (memory == MAP_FAILED)
			fail("mmap of a file");
		for (size_t at = 0; at < FILE_SIZE; at += PAGE)
			(void)memory[at];
		unmap_memory((void *)memory, FILE_SIZE);
	}
}

static void run_open(unsigned rounds)
{
	while (rounds--) {
		int fd = open(FILE_PATH, O_RDONLY);

		if (fd < 0)
			fail("open " FILE_PATH);
		close(fd);
	}
}

const struct workload file_workloads[] = {
	{"write", 1, 4, FILE_SIZE / PAGE, setup_file, run_write, remove_file},
	{"read", 1, 8, FILE_SIZE / PAGE, setup_file, run_read, remove_file},
	{"filemap", 1, 16, FILE_SIZE / PAGE, setup_file, run_map, remove_file},
	{"open", 500, 8000, 1, setup_file, run_open, remove_file},
	{0},
};
