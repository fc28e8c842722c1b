/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads about memory: mapping, touching, protecting, copying on write, giving back. */
#include "bench.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE (2 * MIB)

#define LARGE (64 * MIB)
#define PROTECTED (1 * MIB)
#define COPIED (16 * MIB)
#define RANDOM (256 * MIB)
#define HEAP (1 * MIB)
#define ARENA (1 * MIB)
#define LONELY_PLACE ((void *)(1ul << 46))

static unsigned char *area;

static unsigned char *map_anonymous(size_t size)
{
	unsigned char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap of %zu bytes", size);
	return memory;
}

static void advise(void *memory, size_t size, int advice)
{
	if (madvise(memory, size, advice))
		fail("madvise");
}

void *map_memory(size_t size)
{
	void *memory = map_anonymous(size);

	advise(memory, size, MADV_NOHUGEPAGE);
	return memory;
}

/* At a multiple of 2 MiB: how many tables map it does not depend on what lies around. */
static void *map_aligned(size_t size, int advice)
{
	unsigned char *memory = map_anonymous(size + HUGE_PAGE);
	size_t head = -(uintptr_t)memory & (HUGE_PAGE - 1);

	if (head)
		unmap_memory(memory, head);
	memory += head;
	if (head != HUGE_PAGE)
		unmap_memory(memory + size, HUGE_PAGE - head);
	advise(memory, size, advice);
	return memory;
}

void unmap_memory(void *memory, size_t size)
{
	if (munmap(memory, size))
		fail("munmap");
}

void touch_pages(void *memory, size_t size)
{
	volatile unsigned char *bytes = memory;

	for (size_t at = 0; at < size; at += PAGE)
		bytes[at] = 1;
}

static void map_page(void *where, int flags)
{
	unsigned char *page = mmap(where, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (page == MAP_FAILED)
		fail("mmap");
	touch_pages(page, PAGE);
	unmap_memory(page, PAGE);
}

static void run_mmap(unsigned rounds)
{
	while (rounds--)
		map_page(NULL, 0);
}

/* A page far from everything: its tables, three of them, come and go with it. */
static void run_mmap_lone(unsigned rounds)
{
	while (rounds--)
		map_page(LONELY_PLACE, MAP_FIXED_NOREPLACE);
}

static void map_touch_unmap(unsigned rounds, int advice)
{
	while (rounds--) {
		void *memory = map_aligned(LARGE, advice);

		touch_pages(memory, LARGE);
		unmap_memory(memory, LARGE);
	}
}

static void run_mmap64(unsigned rounds)
{
	map_touch_unmap(rounds, MADV_NOHUGEPAGE);
}
static void run_thp(unsigned rounds)
{
	map_touch_unmap(rounds, MADV_HUGEPAGE);
}

static void setup_area(size_t size)
{
	area = map_aligned(size, MADV_NOHUGEPAGE);
	touch_pages(area, size);
}

static void setup_protected(void)
{
	setup_area(PROTECTED);
}
static void setup_copied(void)
{
	setup_area(COPIED);
}
static void setup_random(void)
{
	setup_area(RANDOM);
}
static void setup_arena(void)
{
	setup_area(ARENA);
}

static void run_mprotect(unsigned rounds)
{
	while (rounds--) {
		volatile unsigned char *bytes = area;

		if (mprotect(area, PROTECTED, PROT_READ))
			fail("mprotect");
		(void)bytes[0];
		if (mprotect(area, PROTECTED, PROT_READ | PROT_WRITE))
			fail("mprotect");
		bytes[0] = 1;
	}
}

static void run_cow(unsigned rounds)
{
	while (rounds--) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (!pid) {
			touch_pages(area, COPIED);
			_exit(0);
		}
		wait_for(pid);
	}
}

#define READS 100000

static void run_random(unsigned rounds)
{
	uint64_t seed = 88172645463325252ull;

	while (rounds--)
		for (unsigned i = 0; i < READS; i++)
			(void)*(volatile unsigned char *)(area + next_random(&seed) % RANDOM);
}

/* What malloc() does when a program frees much: give pages back, then use them again. */
static void run_dontneed(unsigned rounds)
{
	while (rounds--) {
		advise(area, ARENA, MADV_DONTNEED);
		touch_pages(area, ARENA);
	}
}

/* Grows and shrinks the heap by 1 MiB in steps of 64 KiB. */
static void run_brk(unsigned rounds)
{
	while (rounds--) {
		for (size_t done = 0; done < HEAP; done += 64 * KIB) {
			void *memory = sbrk(64 * KIB);

			if (memory == (void *)-1)
				fail("sbrk");
			touch_pages(memory, 64 * KIB);
		}
		if (sbrk(-(intptr_t)HEAP) == (void *)-1)
			fail("sbrk");
	}
}

#define MOVED (4 * MIB)

static void *other_place;

static void setup_moved(void)
{
	setup_area(MOVED);
	other_place = map_aligned(MOVED, MADV_NOHUGEPAGE);
	unmap_memory(other_place, MOVED);
}

/* What realloc() of a large block does: the pages stay, the tables move. */
static void run_mremap(unsigned rounds)
{
	while (rounds--) {
		void *old = area;

		area = mremap(old, MOVED, MOVED, MREMAP_MAYMOVE | MREMAP_FIXED, other_place);
		if (area == MAP_FAILED)
			fail("mremap");
		other_place = old;
		touch_pages(area, MOVED);
	}
}

const struct workload memory_workloads[] = {
	{"mmap", 100, 1000, 1, NULL, run_mmap, NULL},
	{"mmaplone", 200, 3000, 1, NULL, run_mmap_lone, NULL},
	{"mmap64", 1, 2, LARGE / PAGE, NULL, run_mmap64, NULL},
	{"thp", 1, 4, LARGE / PAGE, NULL, run_thp, NULL},
	{"mprotect", 20, 200, 1, setup_protected, run_mprotect, NULL},
	{"cow", 1, 3, COPIED / PAGE, setup_copied, run_cow, NULL},
	{"random", 1, 10, READS, setup_random, run_random, NULL},
	{"dontneed", 4, 20, ARENA / PAGE, setup_arena, run_dontneed, NULL},
	{"brk", 4, 20, HEAP / PAGE, NULL, run_brk, NULL},
	{"mremap", 10, 500, MOVED / PAGE, setup_moved, run_mremap, NULL},
	{0},
};
