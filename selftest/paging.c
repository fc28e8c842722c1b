/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a shadow must follow: A and D bits, each of the ways by which a guest tells the processor that its tables have
 * changed, tables that are written to while they are in use, and many address spaces.
 */
#include "selftest/selftest.h"

#define RW (PTE_P | PTE_W | PTE_A | PTE_D)
#define FRAMES 32u
#define SPACES 8u
#define ROUNDS 3000u
#define LARGE (2ull << 20)

static u64 frame[FRAMES]; /* each holds its own address, and that at its end */

static struct space begin(void)
{
	struct space space = space_new();

	for (u32 i = 0; i < FRAMES; i++) {
		frame[i] = (u64)(uintptr_t)alloc_pages(1);
		store(frame[i], frame[i]);
		store(frame[i] + PAGE_SIZE - 8, frame[i]);
	}
	space_load(&space);
	return space;
}

static void end(struct space old)
{
	space_load(&old);
}

/* In tables of its own, which are given back. */
static void within(void (*body)(struct space *space))
{
	struct space old = {(u64 *)(read_cr3() & PTE_ADDR_MASK)}, space;
	u64 mark = alloc_mark();

	space = begin();
	body(&space);
	end(old);
	alloc_release(mark);
}

static bool reads(u64 va, u32 i)
{
	return load(va) == frame[i] && load(va + PAGE_SIZE - 8) == frame[i];
}

/* --- A and D --- */
static void accessed_and_dirty_at(struct space *s, u64 va, u64 pa, u32 level)
{
	volatile u64 *leaf = space_map(s, va, pa, PTE_P | PTE_W, level);
	volatile u64 *upper = space_entry(s, va, level + 1);

	*upper &= ~(u64)PTE_A;
	flush_tlb();
	(void)load(va);
	EXPECT((*leaf & (PTE_A | PTE_D)) == PTE_A, "level %u: a load leaves %lx in the entry", level, *leaf);
	EXPECT(*upper & PTE_A, "level %u: a load leaves %lx in the entry above", level, *upper);
	store(va + 64, 1);
	EXPECT((*leaf & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "level %u: a store leaves %lx in the entry", level,
	       *leaf);
	*leaf &= ~(u64)(PTE_A | PTE_D);
	invlpg(va);
	(void)load(va);
	EXPECT((*leaf & (PTE_A | PTE_D)) == PTE_A, "level %u: after INVLPG a load leaves %lx", level, *leaf);
	*leaf &= ~(u64)(PTE_A | PTE_D);
	flush_tlb();
	store(va + 64, 2);
	EXPECT((*leaf & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "level %u: after MOV to CR3 a store leaves %lx",
	       level, *leaf);
}

static void accessed_and_dirty(struct space *s)
{
	u64 large = (u64)(uintptr_t)alloc_aligned(LARGE, LARGE);

	for (u32 i = 0; i < 16; i++)
		accessed_and_dirty_at(s, TEST_VA + i * PAGE_SIZE, frame[i], 1);
	accessed_and_dirty_at(s, TEST_VA + 4 * LARGE, large, 2);
}

/* --- what makes a change take effect --- */
static void by_invlpg(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, frame[0], RW, 1);

	for (u32 i = 0; i < 4 * FRAMES; i++) {
		*leaf = frame[i % FRAMES] | RW;
		invlpg(va);
		if (!EXPECT(reads(va, i % FRAMES), "INVLPG: the page of round %u reads as %lx", i, load(va)))
			return;
	}
}

static void by_cr3(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, frame[0], RW, 1);

	for (u32 i = 0; i < 4 * FRAMES; i++) {
		*leaf = frame[i % FRAMES] | RW;
		flush_tlb();
		if (!EXPECT(reads(va, i % FRAMES), "MOV to CR3: the page of round %u reads as %lx", i, load(va)))
			return;
	}
}

static void by_global(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, frame[0], RW | PTE_G, 1);

	for (u32 i = 0; i < FRAMES; i++) {
		write_cr4(read_cr4() | CR4_PGE);
		*leaf = frame[i] | RW | PTE_G;
		write_cr4(read_cr4() & ~(u64)CR4_PGE);
		if (!EXPECT(reads(va, i), "CR4.PGE: the global page of round %u reads as %lx", i, load(va)))
			return;
	}
}

static void without_flush(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, 0, 0, 1);

	for (u32 i = 0; i < FRAMES; i++) {
		*leaf = 0;
		invlpg(va);
		EXPECT(!access(A_READ, false, va) && caught.vector == VEC_PF && caught.error == 0 && caught.cr2 == va,
		       "a page that is not there: vector %u error %lx", caught.vector, caught.error);
		*leaf = frame[i] | RW; /* from absent to present none is needed: SDM vol. 3 section 4.10.4.3 */
		if (!EXPECT(access(A_READ, false, va) && reads(va, i), "a page that has come reads as %lx", load(va)))
			return;
	}
}

static void by_rights(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, frame[0], RW, 1);

	for (u32 i = 0; i < FRAMES; i++) {
		*leaf = frame[i] | RW;
		invlpg(va);
		store(va + 8, i);
		*leaf &= ~(u64)PTE_W;
		invlpg(va);
		EXPECT(!access(A_WRITE, false, va + 8) && caught.vector == VEC_PF && caught.error == 3,
		       "a page without W: vector %u error %lx", caught.vector, caught.error);
		write_cr0(read_cr0() & ~(u64)CR0_WP);
		EXPECT(access(A_WRITE, false, va + 8), "CR0.WP clear: vector %u error %lx", caught.vector,
		       caught.error);
		write_cr0(read_cr0() | CR0_WP);
		EXPECT(!access(A_WRITE, false, va + 8), "CR0.WP set again: the store is done");
		*leaf |= PTE_NX;
		invlpg(va);
		EXPECT(!access(A_FETCH, false, va) && caught.error == 0x11, "a page with NX: vector %u error %lx",
		       caught.vector, caught.error);
		EXPECT(!access(A_READ, true, va) && caught.error == 5, "ring 3: vector %u error %lx",
		       caught.vector, caught.error);
	}
}

/* A page table is another page for a while, through a pointer above, and the other way round. */
static void by_upper(struct space *s)
{
	u64 va = TEST_VA;
	volatile u64 *leaf = space_map(s, va, frame[0], RW, 1), *upper = space_entry(s, va, 2);
	u64 *other = alloc_pages(1), first = *upper;

	for (u32 i = 0; i < FRAMES; i++) {
		other[va >> 12 & 511] = frame[i] | RW;
		*upper = (u64)(uintptr_t)other | (first & 0xfff);
		invlpg(va);
		if (!EXPECT(reads(va, i), "an entry above: the page of round %u reads as %lx", i, load(va)))
			return;
		store((u64)leaf, frame[(i + 1) % FRAMES] | RW); /* nothing points to that table now */
		*upper = first;
		invlpg(va);
		if (!EXPECT(reads(va, (i + 1) % FRAMES), "a table that came back: round %u reads as %lx", i,
			    load(va)))
			return;
	}
}

static void by_alias(struct space *s)
{
	u64 va = TEST_VA, alias = TEST_VA + LARGE;
	volatile u64 *leaf = space_map(s, va, frame[0], RW, 1);
	u64 at = alias + ((u64)leaf & (PAGE_SIZE - 1));

	space_map(s, alias, (u64)leaf & PAGE_MASK, RW, 1);
	for (u32 i = 0; i < 4 * FRAMES; i++) {
		(void)load(va);
		*(volatile u32 *)at = (u32)(frame[i % FRAMES] | RW); /* half of the entry, by another address */
		invlpg(va);
		if (!EXPECT(reads(va, i % FRAMES), "a table's alias: round %u reads as %lx", i, load(va)))
			return;
	}
}

static void spaces(struct space *first)
{
	struct space space[SPACES];
	volatile u64 *leaf[SPACES];
	u64 va = TEST_VA;
	u32 holds[SPACES];

	for (u32 i = 0; i < SPACES; i++) {
		space[i] = space_new();
		leaf[i] = space_map(&space[i], va, frame[i], RW, 1);
		holds[i] = i;
	}
	for (u32 round = 0; round < ROUNDS; round++) {
		u32 i = (round * 7 + round / 13) % SPACES, target = (i + 3) % SPACES;

		space_load(&space[i]);
		if (!EXPECT(reads(va, holds[i]), "space %u in round %u reads as %lx", i, round, load(va)))
			break;
		holds[target] = (holds[target] + 5) % FRAMES; /* in another one, which is loaded before it is used */
		*leaf[target] = frame[holds[target]] | RW;
	}
	space_load(first);
}

static void large_and_small(struct space *s)
{
	u64 va = TEST_VA + 8 * LARGE, large = (u64)(uintptr_t)alloc_aligned(LARGE, LARGE);
	volatile u64 *table = alloc_pages(1), *pde;

	for (u32 i = 0; i < 512; i++) {
		store(large + i * PAGE_SIZE, i);
		table[i] = (large + (511 - i) * PAGE_SIZE) | RW;
	}
	pde = space_map(s, va, large, RW, 2);
	for (u32 round = 0; round < 16; round++) {
		*pde = large | RW | PTE_PS;
		flush_tlb();
		for (u32 i = round; i < 512; i += 37)
			EXPECT(load(va + i * PAGE_SIZE) == i, "a large page: page %u of it reads as %lx", i,
			       load(va + i * PAGE_SIZE));
		*pde = (u64)(uintptr_t)table | RW;
		flush_tlb();
		for (u32 i = round; i < 512; i += 37)
			EXPECT(load(va + i * PAGE_SIZE) == 511 - i, "split: page %u of it reads as %lx", i,
			       load(va + i * PAGE_SIZE));
	}
}

/* Anything, anywhere, each change with its INVLPG; what is not there must fault. */
static void churn(struct space *s)
{
	volatile u64 *table = space_entry(s, TEST_VA, 1);
	u64 random = 1;
	u32 holds[64] = {0}; /* 0: absent; else a frame's number + 1 */

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 page, f;
		u64 va;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		page = random >> 33 & 63;
		f = random >> 40 & (FRAMES - 1);
		va = TEST_VA + page * PAGE_SIZE;
		if (random >> 60 & 1) {
			holds[page] = random >> 61 & 3 ? f + 1 : 0;
			table[page] = holds[page] ? frame[f] | RW : 0;
			invlpg(va);
		}
		if (!EXPECT(access(A_READ, false, va) == (holds[page] != 0) &&
				    (!holds[page] || reads(va, holds[page] - 1)),
			    "page %u in round %u, which holds %u: vector %u error %lx", page, round, holds[page],
			    caught.vector, caught.error))
			return;
	}
}

#define PAGING_CHECK(name, body) \
	static void name(void) \
	{ \
		within(body); \
	}
PAGING_CHECK(check_accessed_and_dirty, accessed_and_dirty)
PAGING_CHECK(check_by_invlpg, by_invlpg)
PAGING_CHECK(check_by_cr3, by_cr3)
PAGING_CHECK(check_by_global, by_global)
PAGING_CHECK(check_without_flush, without_flush)
PAGING_CHECK(check_by_rights, by_rights)
PAGING_CHECK(check_by_upper, by_upper)
PAGING_CHECK(check_by_alias, by_alias)
PAGING_CHECK(check_spaces, spaces)
PAGING_CHECK(check_large_and_small, large_and_small)
PAGING_CHECK(check_churn, churn)

const struct check_item paging_checks[] = {
	{"A and D bits", check_accessed_and_dirty},
	{"sync: INVLPG", check_by_invlpg},
	{"sync: MOV to CR3", check_by_cr3},
	{"sync: CR4.PGE, global pages", check_by_global},
	{"sync: a page that comes needs no flush", check_without_flush},
	{"sync: rights taken away and given, CR0.WP", check_by_rights},
	{"sync: entries above, tables that come and go", check_by_upper},
	{"sync: tables written by another address", check_by_alias},
	{"large pages split and joined", check_large_and_small},
	{"many address spaces", check_spaces},
	{"random changes", check_churn},
	{NULL, NULL},
};
