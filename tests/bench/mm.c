/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the walker and the fault path cost, in instructions: `make bench-mm` runs
 * this under callgrind and counts what the two measured functions execute.
 *
 *   walk   a 4-level walk of a 4 KiB page whose A and D bits are set
 *   fault  a fault that installs one leaf in tables that exist: all shadow pages
 *          are there, neighbours have A clear, so nothing is prefetched
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "lib/x86.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define ARENA_BYTES (64ull << 20)
#define POOL_BASE (48ull << 20)
#define TABLES 0x100000ull
#define DATA_GFN 0x1000ull
#define PAGES 512u

int main(int argc, char **argv);
void log_printf(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}
NORETURN void panic(const char *format, ...)
{
	fprintf(stderr, "%s\n", format);
	__builtin_trap();
}

static struct region_map map;
static struct shadow_mmu *mmu;

static void no_flush(void *cpu, u32 tag)
{
	(void)cpu;
	(void)tag;
}
static void no_flush_page(void *cpu, u32 tag, gva_t gva)
{
	(void)cpu;
	(void)tag;
	(void)gva;
}
static const struct shadow_ops ops = {.flush = no_flush, .flush_page = no_flush_page};

static u64 *table(u32 n)
{
	return phys_to_virt(hpa(TABLES + n * PAGE_SIZE));
}

/* One leaf table under one of each upper level; every eighth page is there, so prefetch finds none. */
static void make_guest(void)
{
	for (u32 level = 0; level < 3; level++)
		table(level)[0] = (TABLES + (level + 1) * PAGE_SIZE) | PTE_P | PTE_W | PTE_U | PTE_A;
	for (u32 i = 0; i < PAGES; i += 8)
		table(3)[i] = (DATA_GFN + i) << PAGE_SHIFT | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D;
}

static void make_engine(void)
{
	struct shadow_config config = {
		.pool = hpa(POOL_BASE + 2 * PAGE_SIZE),
		.pool_bytes = ARENA_BYTES - POOL_BASE - 2 * PAGE_SIZE,
		.ones_page = hpa(POOL_BASE + PAGE_SIZE),
		.host_phys_bits = 40,
		.pages_1g = true,
		.tags = 8,
		.regions = &map,
	};
	struct shadow_paging paging = {
		.cr0 = CR0_PE | CR0_PG | CR0_WP,
		.cr3 = TABLES,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA | EFER_NXE,
		.pat = PAT_RESET,
		.phys_bits = 40,
		.pages_1g = true,
	};
	u32 tag;

	region_init(&map);
	if (region_add(&map, 0, POOL_BASE >> PAGE_SHIFT, 0, REGION_RAM) ||
	    region_add(&map, POOL_BASE >> PAGE_SHIFT, (ARENA_BYTES - POOL_BASE) >> PAGE_SHIFT,
		       POOL_BASE >> PAGE_SHIFT, REGION_HIDDEN))
		panic("regions");
	region_seal(&map);
	mmu = shadow_mmu_create(shadow_create(&config), &ops, NULL, hpa(POOL_BASE));
	shadow_set_paging(mmu, &paging, true);
	shadow_prepare_entry(mmu, &tag);
}

/* The link must not learn that every fault here is the same. */
static volatile u32 error = PF_U, cpl = 3;
static volatile u64 rflags;

/* callgrind collects inside these two only. */
__attribute__((noipa)) static void measure_walk(gva_t gva)
{
	struct gpt_walk walk;

	if (shadow_translate(mmu, gva, (struct gpt_access){.user = true}, &walk) != GPT_OK)
		panic("walk");
}

__attribute__((noipa)) static void measure_fault(gva_t gva)
{
	struct shadow_fault fault;

	if (shadow_handle_fault(mmu, gva, error, cpl, rflags, &fault) != SHADOW_FIXED)
		panic("fault");
}

int main(int argc, char **argv)
{
	void *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool walks = argc > 1 && !strcmp(argv[1], "walk");

	phys_map_offset = (u64)(uintptr_t)arena;
	make_guest();
	make_engine();
	for (u32 i = 8; i < PAGES; i += 8)
		if (walks)
			measure_walk((gva_t)i << PAGE_SHIFT);
	if (!walks) {
		struct shadow_fault fault;

		if (shadow_handle_fault(mmu, 0, error, cpl, rflags, &fault) != SHADOW_FIXED)
			panic("first fault");
		/* Downwards: faults in a row upwards would be prefetched. */
		for (u32 i = PAGES - 8; i; i -= 8)
			measure_fault((gva_t)i << PAGE_SHIFT);
	}
	printf("%u\n", PAGES / 8 - 1);
	return 0;
}
