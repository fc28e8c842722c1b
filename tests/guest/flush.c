/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLB flushes that a guest forgets (options: plant=1, cpus=N): pages are unmapped, exchanged and lose rights, with the flush that
 * the manual demands (SDM vol. 3 section 4.10.4), and with plant=1 without. Booted with flushcheck=; the counter of
 * stale uses rises by one for each that was planted, and stands still otherwise.
 */
#include "tests/guest/lib/smp.h"

#define ENTRY_OF_PAGE (PTE_P | PTE_W | PTE_U)
#define CR4_PGE_BIT BIT(7)
#define PAGES 8u
#define PAGE_VA(n) (TEST_VA + (u64)(n)*PAGE_SIZE)
#define FRESH_VA (TEST_VA + (1ull << 30))
#define KERNEL_VA 0xffff900000000000ull
/* Ticks of the TSC: more than the second in which a flush may be on its way, at 10 GHz. */
#define LONG_AGO 12000000000ull

static struct space *space;
static u64 *entry[PAGES], frame[PAGES + 1];
static bool plant;
static u64 stale; /* the counter, as it should be */

static void told(u32 more, const char *name)
{
	u64 now = umbra_counter("shadow_stale_uses");

	stale += plant ? more : 0;
	check(now == stale, name, "the counter of stale uses is %lu, not %lu", now, stale);
	stale = now;
}

static void flush_page(u64 va)
{
	if (!plant)
		invlpg(va);
}

static void forgotten_here(void)
{
	access(A_WRITE, false, PAGE_VA(0));
	*entry[0] = 0;
	flush_page(PAGE_VA(0));
	access(A_READ, false, PAGE_VA(0));
	told(1, "a page that is unmapped and read");

	access(A_READ, true, PAGE_VA(1));
	*entry[1] = frame[PAGES] | ENTRY_OF_PAGE;
	flush_page(PAGE_VA(1));
	access(A_READ, true, PAGE_VA(1));
	told(1, "a page that another one takes the place of");

	access(A_WRITE, true, PAGE_VA(2));
	*entry[2] &= ~PTE_W;
	flush_page(PAGE_VA(2));
	access(A_READ, true, PAGE_VA(2));
	told(0, "a page that became read-only and is read");
	access(A_WRITE, true, PAGE_VA(2));
	told(1, "and is written");

	*entry[3] &= ~PTE_W;
	access(A_READ, false, PAGE_VA(3));
	*entry[3] |= PTE_W;
	access(A_WRITE, false, PAGE_VA(3));
	told(0, "rights that are gained need no flush");
}

static void forgotten_for_good(void)
{
	u64 frame_of_kernel = (u64)(uintptr_t)alloc_pages(1);
	u64 *at = space_map(space, KERNEL_VA, frame_of_kernel, PTE_P | PTE_W | PTE_G, 1);

	write_cr4(read_cr4() | CR4_PGE_BIT);
	access(A_WRITE, false, KERNEL_VA);
	*at = 0;
	if (plant)
		flush_tlb();
	else
		invlpg(KERNEL_VA);
	access(A_READ, false, KERNEL_VA);
	told(1, "a global page that was flushed by a load of CR3 alone");
}

/* --- of another processor ---------------------------------------------------------------- */
static void read_page(struct smp_cpu *cpu)
{
	*(volatile u64 *)cpu->argument;
}

static void flush_there(struct smp_cpu *cpu)
{
	invlpg(cpu->argument);
}

static void forgotten_there(void)
{
	u64 begun;

	check(smp_start_all(), "the other processor is up", " ");
	load(PAGE_VA(4));
	smp_do(1, read_page, PAGE_VA(4));
	*entry[4] = frame[PAGES] | ENTRY_OF_PAGE;
	invlpg(PAGE_VA(4));
	if (!plant)
		check(smp_do(1, flush_there, PAGE_VA(4)), "it has flushed", " ");
	smp_do(1, read_page, PAGE_VA(4));
	begun = __builtin_ia32_rdtsc();
	while (__builtin_ia32_rdtsc() - begun < LONG_AGO)
		asm volatile("pause");
	space_map(space, FRESH_VA, frame[5], ENTRY_OF_PAGE, 1);
	smp_do(1, read_page, FRESH_VA);
	told(1, "a processor that is not told");
}

/* What the hypervisor's log says of it. */
#define LEAF_LOG 0x40000012u
#define LEAF_LOG_TEXT 0x40000013u

static void print_log(void)
{
	static char line[257];
	static const char word[] = "flushcheck: ";
	u32 end = cpuid(LEAF_LOG, 0).a, length = 0, found = 0; /* the ring has room for more */

	for (u32 at = 0; at < end; at++) {
		struct cpuid_regs part = cpuid(LEAF_LOG_TEXT, at / 16);
		char c = ((const char *)&part)[at % 16];

		if (c == '\n') {
			line[length] = '\0';
			if (found == sizeof(word) - 1)
				print("%s\n", line);
			length = found = 0;
			continue;
		}
		if (length < sizeof(line) - 1)
			line[length++] = c;
		if (found < sizeof(word) - 1)
			found = c == word[found] ? found + 1 : c == word[0];
	}
}

static void all_tests(void)
{
	if (smp_count > 1)
		space = &smp_space;
	for (u32 i = 0; i <= PAGES; i++)
		frame[i] = (u64)(uintptr_t)alloc_pages(1);
	for (u32 i = 0; i < PAGES; i++)
		entry[i] = space_map(space, PAGE_VA(i), frame[i], ENTRY_OF_PAGE, 1);
	space_load(space);
	stale = umbra_counter("shadow_stale_uses");
	if (smp_count > 1) { /* where nobody recovers from a page fault */
		forgotten_there();
	} else {
		forgotten_here();
		forgotten_for_good();
	}
	print_log();
}

void run_tests(void)
{
	static struct space own;

	if (!under_umbra()) {
		check(true, "bare: nobody checks", "never");
		return;
	}
	plant = option("plant", 0);
	if (option("cpus", 1) > 1) {
		smp_run(all_tests);
		return;
	}
	own = space_new();
	space = &own;
	smp_count = 1;
	all_tests();
}
