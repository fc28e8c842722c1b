/* SPDX-License-Identifier: BSD-2-Clause */
/* Scratch memory and page tables of the test images; see guest.h. */
#include "tests/guest/lib/guest.h"

#define USER_VA 0x7f0000000000ull
#define IDENTITY_END 0x100000000ull

extern char user_start[], user_end[], bss_end[];
static u64 next_page;

void *alloc_aligned(u64 size, u64 align)
{
	u64 at = ALIGN_UP(next_page ? next_page : (u64)(uintptr_t)bss_end, align);
	u64 *p = (u64 *)at;

	next_page = at + size;
	if (next_page > SCRATCH_END) {
		check(false, "scratch memory suffices", "asked for %lx", (u64)size);
		finish();
	}
	for (u64 i = 0; i < size / 8; i++)
		p[i] = 0;
	return p;
}

void *alloc_pages(u32 count)
{
	return alloc_aligned(count * PAGE_SIZE, PAGE_SIZE);
}

u64 alloc_mark(void)
{
	return next_page;
}

void alloc_release(u64 mark)
{
	next_page = mark;
}

u64 *space_entry(struct space *s, u64 va, u32 level)
{
	u64 *table = s->pml4;

	for (u32 l = 4; l > level; l--) {
		u64 *entry = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (!(*entry & PTE_P))
			*entry = (u64)(uintptr_t)alloc_pages(1) | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(*entry & PTE_ADDR_MASK);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 511];
}

u64 *space_map(struct space *s, u64 va, u64 pa, u64 flags, u32 level)
{
	u64 *entry = space_entry(s, va, level);

	*entry = pa | flags | (level > 1 ? PTE_PS : 0);
	return entry;
}

u64 user_address(const void *stub)
{
	return USER_VA + (u64)((const char *)stub - user_start);
}

struct space space_new(void)
{
	struct space s = {alloc_pages(1)};

	for (u64 at = 0; at < IDENTITY_END; at += 2u << 20)
		space_map(&s, at, at, PTE_P | PTE_W | PTE_A | PTE_D, 2);
	for (u64 at = 0; at < (u64)(user_end - user_start); at += PAGE_SIZE)
		space_map(&s, USER_VA + at, (u64)(uintptr_t)user_start + at, PTE_P | PTE_U | PTE_A, 1);
	return s;
}

void space_load(struct space *s)
{
	write_cr3((u64)(uintptr_t)s->pml4);
}
