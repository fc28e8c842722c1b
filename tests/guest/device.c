/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the firmware's map does not call RAM, used as memory: instructions that exit, page tables of every
 * level and what they map, in the display's linear framebuffer. It is found as a PCI function does it (option at=:
 * its address). Bare, all of it works, but for code in Bochs, which gives up there (option code=0: none).
 */
#include "tests/guest/lib/guest.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE BIT(31)
#define PCI_CLASS 0x08
#define PCI_BAR0 0x10
#define PCI_CLASS_DISPLAY 3u
#define BAR_KIND BITS(3, 0) /* bit 0: ports; bits 2:1: 2 for 64 bits */

#define APIC_VERSION 0xfee00030ull
#define USED 0x200000ull /* from here on: behind what a screen shows */
#define CODE_OFFSET 0x1000
#define TABLE_OFFSET 0x2000 /* five pages */
#define VALUE 0x1122334455667788ull

static u64 device;
static u64 loaded;

static u32 pci_read(u32 function, u32 offset)
{
	u32 value;

	asm volatile("outl %0, %w1" : : "a"((u32)PCI_ENABLE | function << 8 | offset), "Nd"(PCI_ADDRESS));
	asm volatile("inl %w1, %0" : "=a"(value) : "Nd"(PCI_DATA));
	return value;
}

/* The first memory BAR of the display on bus 0; 0: there is none below 4 GiB. */
static u64 find_framebuffer(void)
{
	for (u32 function = 0; function < 256; function++) {
		u32 bar = pci_read(function, PCI_BAR0);

		if (pci_read(function, 0) != ~0u && pci_read(function, PCI_CLASS) >> 24 == PCI_CLASS_DISPLAY &&
		    !(bar & 1))
			return bar & ~BAR_KIND;
	}
	return 0;
}

static volatile u64 *table(u32 n)
{
	return (volatile u64 *)(uintptr_t)(device + TABLE_OFFSET + n * PAGE_SIZE);
}

static void put(u64 at, const char *bytes, u32 n)
{
	for (u32 i = 0; i < n; i++)
		((volatile u8 *)(uintptr_t)at)[i] = (u8)bytes[i];
}

/* --- code ------------------------------------------------------------------------- */
static void call_it(void *at)
{
	asm volatile("push %%rbx; call *%0; pop %%rbx"
		     :
		     : "r"(at), "D"(APIC_VERSION)
		     : "rax", "rcx", "rdx", "rsi", "r8", "memory", "cc");
}

static const struct {
	const char *name, *bytes;
	u32 len;
} codes[] = {
	{"NOP", "\x90\xc3", 2},
	{"CPUID", "\x31\xc0\x0f\xa2\xc3", 5},
	{"CPUID with a prefix", "\x31\xc0\x66\x0f\xa2\xc3", 6},
	{"RDMSR of the PAT", "\xb9\x77\x02\x00\x00\x0f\x32\xc3", 8},
	{"MOV from and to CR3", "\x0f\x20\xd8\x0f\x22\xd8\xc3", 7},
	{"MOV from and to CR0", "\x0f\x20\xc0\x0f\x22\xc0\xc3", 7},
	{"MOV from and to CR4", "\x0f\x20\xe0\x0f\x22\xe0\xc3", 7},
	{"INVLPG", "\x0f\x01\x3f\xc3", 4},
	{"a read of the local APIC", "\x8b\x07\xc3", 3},
};

static void test_code(u64 offset, const char *where)
{
	print("code %s\n", where);
	for (u32 i = 0; i < ARRAY_SIZE(codes); i++) {
		bool faulted;

		put(device + offset, codes[i].bytes, codes[i].len);
		faulted = guarded(call_it, (void *)(uintptr_t)(device + offset));
		check(!faulted, codes[i].name, "vector %u error %lx rip %lx", caught.vector, caught.error,
		      caught.rip);
	}
}

/* --- tables ------------------------------------------------------------------------ */
static void load_it(void *p)
{
	loaded = load((u64)(uintptr_t)p);
}

static bool reads(u64 va, u64 value)
{
	return !guarded(load_it, (void *)(uintptr_t)va) && loaded == value;
}

static void expect(u64 va, u64 value, const char *name)
{
	bool good = reads(va, value);

	check(good, name, "read %lx, vector %u error %lx cr2 %lx", loaded, caught.vector, caught.error, caught.cr2);
}

/* Levels 1 to n of the path of TEST_VA lie in the device; page[] is what the leaf may map. */
static void test_tables(u32 levels, u64 *page[2])
{
	struct space space = space_new();
	volatile u64 *leaf = &table(1)[(TEST_VA >> PAGE_SHIFT) & 511];
	bool marked;

	print("tables up to level %u\n", levels);
	for (u32 n = 1; n <= levels; n++)
		for (u32 i = 0; i < 512; i++)
			table(n)[i] = n == 4 ? space.pml4[i] : 0;
	for (u32 n = 2; n <= levels; n++)
		table(n)[(TEST_VA >> (12 + 9 * (n - 1))) & 511] =
			(u64)(uintptr_t)table(n - 1) | PTE_P | PTE_W | PTE_U;
	if (levels == 4)
		space.pml4 = (u64 *)(uintptr_t)table(4);
	else
		*space_entry(&space, TEST_VA, levels + 1) = (u64)(uintptr_t)table(levels) | PTE_P | PTE_W | PTE_U;
	space_load(&space);
	check(!reads(TEST_VA, 0) && caught.vector == 14 && caught.error == 0, "an absent entry faults",
	      "error %lx", caught.error);
	*leaf = (u64)(uintptr_t)page[0] | PTE_P | PTE_W;
	expect(TEST_VA, page[0][0], "absent to present without a flush");
	marked = *leaf & PTE_A;
	check(marked && !(*leaf & PTE_D), "A is set and D is not", "entry %lx", *leaf);
	*(volatile u64 *)TEST_VA = page[0][0];
	check(*leaf & PTE_D, "D is set", "entry %lx", *leaf);
	*leaf = (u64)(uintptr_t)page[1] | PTE_P | PTE_W;
	invlpg(TEST_VA);
	expect(TEST_VA, page[1][0], "another page from INVLPG on");
	*leaf = (u64)(uintptr_t)page[0] | PTE_P | PTE_W;
	space_load(&space);
	expect(TEST_VA, page[0][0], "another page from MOV to CR3 on");
	*leaf = 0;
	invlpg(TEST_VA);
	check(!reads(TEST_VA, page[0][0]), "nothing from INVLPG on", "read %lx", loaded);
}

void run_tests(void)
{
	struct space space = space_new();
	u64 *page[2] = {alloc_pages(1), alloc_pages(1)};

	device = find_framebuffer();
	check(device != 0, "there is a framebuffer", " ");
	if (!device)
		return;
	device = option("at", device + USED);
	page[0][0] = VALUE;
	page[1][0] = ~VALUE;
	write_cr4((read_cr4() | CR4_OSFXSR) & ~(CR4_SMEP | CR4_SMAP));
	space_load(&space);
	if (option("code", 1)) {
		test_code(CODE_OFFSET, "in device memory");
		test_code(CODE_OFFSET + PAGE_SIZE - 3, "across two of its pages");
	}
	for (u32 levels = 1; levels <= 4; levels++)
		test_tables(levels, page);
	space_load(&space);
}
