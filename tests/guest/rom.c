/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware's ROM as memory: it is neither RAM nor in the map of it, every emulator has it, and its bytes hold some
 * of everything. Instructions that exit or touch the local APIC are looked for and single-stepped where they stand;
 * frames of it serve as page tables, each entry read through that leads to RAM or has reserved bits. ROM takes no
 * accessed bits: an entry without A stays as it is, and serves (option unmarked=0: none of these; bare QEMU tries to set the bit
 * without end). What is right is said by the same in RAM.
 */
#include "tests/guest/lib/guest.h"

#define FOUR_GIB 0x100000000ull
#define LEGACY_ROM 0xc0000ull /* the display's and the system's, below 1 MiB */
#define LEGACY_END 0x100000ull
#define APIC_TPR 0xfee00080ull
#define APIC_VERSION 0xfee00030ull
#define PLACES 8u /* of one instruction */
#define VEC_DB 1u
#define VEC_PF 14u

static u64 rom, reserved_high;
static bool unmarked_too; /* entries without A */

/* Of many checks alike only those that fail are told, and one that they all were made. */
static u32 failed;
#define EXPECT(ok, name, ...) \
	do { \
		if (!(ok)) { \
			failed++; \
			check(false, name, __VA_ARGS__); \
		} \
	} while (0)

static void all_passed(const char *name, bool enough)
{
	check(enough && !failed, name, "%u failed", failed);
	failed = 0;
}

static const u8 *bytes_at(u64 at)
{
	return (const u8 *)(uintptr_t)at;
}

/* The page lies in RAM, to the last byte. */
static bool is_ram(u64 page)
{
	for (u32 i = 0; i < boot.e820_count; i++) {
		struct e820_entry e;

		memcpy(&e, &boot.e820[i], sizeof(e));
		if (e.type == E820_RAM && page >= e.base && page + PAGE_SIZE <= e.base + e.size)
			return true;
	}
	return false;
}

/* --- code ------------------------------------------------------------------------- */

/* One instruction at rip, stepped: RAX and RCX, all other registers but RSP are other. */
struct step {
	u64 rip, rax, rcx, other;
};

static void step_thunk(void *argument)
{
	const struct step *s = argument;

	asm volatile("mov %%rsp, %%rsi; push $0x10; push %%rsi; push $0x102; push $0x08; push %%rdx\n\t"
		     "mov %%rdi, %%rbx; mov %%rdi, %%rdx; mov %%rdi, %%rsi; mov %%rdi, %%rbp\n\t"
		     "mov %%rdi, %%r8; mov %%rdi, %%r9; mov %%rdi, %%r10; mov %%rdi, %%r11\n\t"
		     "mov %%rdi, %%r12; mov %%rdi, %%r13; mov %%rdi, %%r14; mov %%rdi, %%r15\n\t"
		     "iretq"
		     :
		     : "a"(s->rax), "c"(s->rcx), "D"(s->other), "d"(s->rip)
		     : "memory", "cc");
}

static bool steps(struct step s, u32 length)
{
	guarded(step_thunk, &s);
	return caught.vector == VEC_DB && caught.rip == s.rip + length;
}

enum what { W_CPUID, W_RDMSR, W_CR0, W_CR3, W_READ, W_WRITE };
static const struct {
	const char *name, *bytes;
	u32 length;
	enum what what;
} codes[] = {
	{"CPUID", "\x0f\xa2", 2, W_CPUID},
	{"RDMSR", "\x0f\x32", 2, W_RDMSR},
	{"MOV from CR0", "\x0f\x20\xc0", 3, W_CR0},
	{"MOV from CR3", "\x0f\x20\xd8", 3, W_CR3},
	{"a read of the local APIC", "\x8b\x07", 2, W_READ},
	{"a write to the local APIC", "\x89\x07", 2, W_WRITE},
};

static bool steps_well(u64 at, enum what what, u32 length)
{
	struct step s = {.rip = at, .other = what == W_WRITE ? APIC_TPR : APIC_VERSION};
	volatile u32 *tpr = (volatile u32 *)APIC_TPR;
	bool good;

	if (what == W_RDMSR)
		s.rcx = MSR_PAT;
	if (what == W_WRITE)
		s.rax = 0x20;
	if (!steps(s, length))
		return false;
	switch (what) {
	case W_CPUID: return (u32)caught.rax == cpuid(0, 0).a;
	case W_RDMSR: return caught.rax == (u32)rdmsr(MSR_PAT);
	case W_CR0: return caught.rax == read_cr0();
	case W_CR3: return caught.rax == read_cr3();
	case W_READ: return caught.rax == *(volatile u32 *)APIC_VERSION;
	case W_WRITE: break;
	}
	good = *tpr == 0x20;
	*tpr = 0;
	return good;
}

static bool matches(u64 at, const char *bytes, u32 length)
{
	for (u32 i = 0; i < length; i++)
		if (bytes_at(at)[i] != (u8)bytes[i])
			return false;
	return true;
}

/* The last ones below end: there the firmware begins, in clear. */
static u32 test_code(u64 start, u64 end, u32 n)
{
	u32 found = 0;

	for (u64 at = end - codes[n].length; at >= start && found < PLACES; at--) {
		if (!matches(at, codes[n].bytes, codes[n].length))
			continue;
		found++;
		check(steps_well(at, codes[n].what, codes[n].length), codes[n].name,
		      "at %lx: vector %u error %lx rip %lx rax %lx", at, caught.vector, caught.error, caught.rip,
		      caught.rax);
	}
	print("NOTE: %s: %u\n", codes[n].name, found);
	return found;
}

/* Instructions of 2 bytes that read [register]: ADD, OR, ADC, SBB, AND, SUB, XOR, CMP and MOV, TEST. */
static bool reads_by_register(const u8 *b)
{
	bool op = b[0] == 0x8b || b[0] == 0x85 || (b[0] < 0x40 && (b[0] & 7) == 3);
	u32 rm = b[1] & 7;

	return op && b[1] < 0x40 && rm != GPR_RSP && rm != GPR_RBP && b[1] >> 3 != GPR_RSP;
}

static void test_crossing_code(void)
{
	u32 found = 0;

	for (u64 page = FOUR_GIB - PAGE_SIZE; page > rom; page -= PAGE_SIZE) {
		struct step s = {.rip = page - 1, .rax = APIC_VERSION, .rcx = APIC_VERSION, .other = APIC_VERSION};

		if (!reads_by_register(bytes_at(s.rip)))
			continue;
		found++;
		check(steps(s, 2), "a read of the local APIC by code across two pages",
		      "at %lx: vector %u error %lx rip %lx", s.rip, caught.vector, caught.error, caught.rip);
	}
	print("NOTE: across two pages: %u\n", found);
}

static void test_all_code(void)
{
	u32 kinds = 0;

	for (u32 n = 0; n < ARRAY_SIZE(codes); n++)
		kinds += test_code(rom, FOUR_GIB, n) != 0;
	check(kinds >= 4, "the ROM has code of four kinds", "of %u", kinds);
	test_crossing_code();
	if (is_ram(LEGACY_END - PAGE_SIZE))
		return;
	print("below 1 MiB\n");
	for (u32 n = 0; n < ARRAY_SIZE(codes); n++)
		test_code(LEGACY_ROM, LEGACY_END, n);
}

/* --- tables of 8-byte entries --------------------------------------------------------- */

static u64 loaded;

static void load_it(void *p)
{
	loaded = load((u64)(uintptr_t)p);
}

/* What a read through the entry of a lowest table must do. */
enum fate { ABSENT, RESERVED, READABLE, ELSEWHERE };
static enum fate fate_of(u64 entry)
{
	if (!(entry & PTE_P))
		return ABSENT;
	if (entry & reserved_high)
		return RESERVED;
	return is_ram(entry & PTE_ADDR_MASK) ? READABLE : ELSEWHERE;
}

/* A reserved bit's error code has P in it, but not in QEMU's bare processor. */
static bool ends_as(enum fate fate, bool faulted, u64 value)
{
	switch (fate) {
	case ABSENT: return faulted && caught.vector == VEC_PF && caught.error == 0;
	case RESERVED: return faulted && caught.vector == VEC_PF && (caught.error | PF_P) == (PF_RSVD | PF_P);
	default: return !faulted && loaded == value;
	}
}

static bool reads_as(u64 va, u64 entry)
{
	enum fate fate = fate_of(entry);
	bool faulted;

	if (fate == READABLE && !(entry & PTE_A) && !unmarked_too)
		return true;
	faulted = guarded(load_it, (void *)(uintptr_t)va);

	return fate == ELSEWHERE || ends_as(fate, faulted, fate == READABLE ? load(entry & PTE_ADDR_MASK) : 0);
}

struct counts {
	u32 readable, unmarked, reserved, absent;
};

/* Every entry that leads to RAM, some of those that fault. */
static bool is_chosen(u64 entry, u32 n, struct counts *c)
{
	switch (fate_of(entry)) {
	case READABLE:
		if (!(entry & PTE_A) && !unmarked_too)
			return false;
		c->readable++;
		c->unmarked += !(entry & PTE_A);
		return true;
	case RESERVED: return n % 61 == 0 && ++c->reserved;
	case ABSENT: return n % 997 == 0 && ++c->absent;
	default: return false;
	}
}

static void test_lowest(struct space *space)
{
	u64 *slot = space_entry(space, TEST_VA, 2);
	struct counts c = {0};
	u32 n = 0;

	for (u64 frame = rom; frame < FOUR_GIB; frame += PAGE_SIZE) {
		*slot = frame | PTE_P | PTE_W | PTE_U;
		for (u64 i = 0; i < 512; i++, n++) {
			u64 entry = load(frame + 8 * i), va = TEST_VA + i * PAGE_SIZE;

			if (!is_chosen(entry, n, &c))
				continue;
			flush_tlb();
			EXPECT(reads_as(va, entry) && reads_as(va, entry), "an entry in ROM leads where it says",
			       "entry %lx at %lx: vector %u error %lx, read %lx", entry, frame + 8 * i,
			       caught.vector, caught.error, loaded);
			EXPECT(load(frame + 8 * i) == entry, "it stays as it is", "%lx", load(frame + 8 * i));
		}
	}
	print("NOTE: lowest tables: %u readable, %u of them without A, %u reserved, %u absent\n", c.readable,
	      c.unmarked, c.reserved, c.absent);
	all_passed("entries of lowest tables in ROM, with A and without, with reserved bits, absent",
		   c.readable > c.unmarked && !c.unmarked == !unmarked_too && c.reserved && c.absent);
}

/* The upper entry goes from one frame of ROM to another; one flush of the page. */
static void test_changed(struct space *space)
{
	u64 *slot = space_entry(space, TEST_VA, 2), before = FOUR_GIB - PAGE_SIZE;
	u32 n = 0;

	for (u64 frame = rom; frame < FOUR_GIB; frame += 4 * PAGE_SIZE, n++) {
		u64 i = n * 37 % 512, va = TEST_VA + i * PAGE_SIZE;

		*slot = before | PTE_P | PTE_W | PTE_U;
		invlpg(va);
		EXPECT(reads_as(va, load(before + 8 * i)), "the entry of one frame", "%lx: vector %u error %lx",
		       load(before + 8 * i), caught.vector, caught.error);
		*slot = frame | PTE_P | PTE_W | PTE_U;
		invlpg(va);
		EXPECT(reads_as(va, load(frame + 8 * i)), "the entry of another frame from INVLPG on",
		       "%lx: vector %u error %lx", load(frame + 8 * i), caught.vector, caught.error);
		before = frame;
	}
	all_passed("one frame of ROM in place of another from INVLPG on", n > 100);
}

/* Entries of level 2 that lead to a table: the RAM there is made one for a moment. */
static bool holds_a_table(u64 page, u64 leaf)
{
	static u64 kept[512];
	u64 *table = (u64 *)(uintptr_t)page;
	u64 params = (u64)(uintptr_t)boot.e820 & PAGE_MASK, line = (u64)(uintptr_t)boot.cmdline & PAGE_MASK;
	bool good;

	if (page == params || page == line || (page >= IMAGE_BASE && page < SCRATCH_END))
		return false;
	memcpy(kept, table, sizeof(kept));
	for (u32 i = 0; i < 512; i++)
		((volatile u64 *)table)[i] = leaf | PTE_P | PTE_W;
	good = table[5] == (leaf | PTE_P | PTE_W); /* else it is the hypervisor's */
	if (!good)
		memcpy(table, kept, sizeof(kept));
	return good;
}

static void test_upper(struct space *space)
{
	u64 *slot = space_entry(space, TEST_VA, 3), *leaf = alloc_pages(1), kept[512];
	u32 tables = 0, reserved = 0;

	leaf[0] = 0x1122334455667788ull;
	for (u64 at = rom; at < FOUR_GIB; at += 8) {
		u64 entry = load(at), page = entry & PTE_ADDR_MASK,
		    va = TEST_VA + (at & ~PAGE_MASK) / 8 * (2u << 20);
		bool large = entry & PTE_PS;

		if (!(entry & PTE_P) || entry & reserved_high || !is_ram(page) ||
		    (!(entry & PTE_A) && !unmarked_too))
			continue;
		if (large && !(entry & BITS(20, 13)))
			continue;
		*slot = (at & PAGE_MASK) | PTE_P | PTE_W | PTE_U;
		memcpy(kept, (void *)(uintptr_t)page, sizeof(kept));
		if (!large && !holds_a_table(page, (u64)(uintptr_t)leaf))
			continue;
		flush_tlb();
		guarded(load_it, (void *)(uintptr_t)va);
		EXPECT(large ? ends_as(RESERVED, caught.happened, 0) : ends_as(READABLE, caught.happened, leaf[0]),
		       "an entry of level 2 in ROM leads where it says",
		       "entry %lx at %lx: vector %u error %lx, read %lx", entry, at, caught.vector, caught.error,
		       loaded);
		if (!large)
			memcpy((void *)(uintptr_t)page, kept, sizeof(kept));
		large ? reserved++ : tables++;
	}
	print("NOTE: level 2: %u tables, %u reserved\n", tables, reserved);
	all_passed("entries of level 2 in ROM", tables && reserved);
}

/* --- 32-bit paging and PAE --------------------------------------------------------------- */

#define LEGACY_VA 0x80000000u
#define TARGETS 0x5000000ull /* to SCRATCH_END: RAM of ours that entries may lead to */
#define READ_AT 0x20u        /* offset_of[PROBE_READ] */
#define PROBES_MAX 512u

static struct probe probe;
static u64 pdpt[4] ALIGNED(PAGE_SIZE);

static u32 value_of(u64 page)
{
	return (u32)(page >> PAGE_SHIFT) * 2654435761u;
}

static struct probe_run legacy_run(bool pae)
{
	u64 *target = alloc_pages(1);

	return (struct probe_run){
		.target = {(u64)(uintptr_t)target, (u64)(uintptr_t)target},
		.probes = (u64)(uintptr_t)&probe,
		.cr0 = (u32)read_cr0(),
		.cr4 = (u32)((read_cr4() & ~(CR4_PAE | CR4_LA57)) | CR4_PSE | (pae ? CR4_PAE : 0)),
		.efer_nxe = EFER_NXE,
		.narrow = !pae,
	};
}

/* 4-byte entries that lead into TARGETS, as many as there is room for: one run each, as the address differs. */
static void test_32_bit(void)
{
	u32 *directory = alloc_pages(1), found = 0, unmarked = 0;
	struct probe_run run = legacy_run(false);

	for (u32 i = 0; i < 1024; i++)
		directory[i] = i << 22 | PTE_P | PTE_W | PTE_PS;
	run.cr3 = (u32)(uintptr_t)directory;
	run.upper_slot = (u64)(uintptr_t)&directory[LEGACY_VA >> 22];
	for (u64 at = rom; at < FOUR_GIB && found < PROBES_MAX; at += 4) {
		u32 entry = *(volatile u32 *)(uintptr_t)at, page = entry & 0xfffff000;

		if (!(entry & PTE_P) || page < TARGETS || page >= SCRATCH_END || (!(entry & PTE_A) && !unmarked_too))
			continue;
		run.va = LEGACY_VA + (at & ~PAGE_MASK) / 4 * PAGE_SIZE;
		run.count = 1;
		probe = (struct probe){.upper = (at & PAGE_MASK) | PTE_P | PTE_W | PTE_U,
				       .kind = PROBE_READ,
				       .flush = found & 1 ? FLUSH_PAGE : FLUSH_ALL};
		probe_legacy(&run);
		found++;
		unmarked += !(entry & PTE_A);
		EXPECT(!probe.vector && (u32)probe.value == value_of(page),
		       "an entry of 4 bytes in ROM leads where it says",
		       "entry %x at %lx: vector %u error %x, read %lx", entry, at, probe.vector, probe.error,
		       probe.value);
	}
	print("NOTE: 32-bit tables: %u, %u of them without A\n", found, unmarked);
	all_passed("entries of 4 bytes in ROM", found >= unmarked + 16 && !unmarked == !unmarked_too);
}

static void test_pae(void)
{
	u64 *directories = alloc_pages(4);
	struct probe_run run = legacy_run(true);
	u32 found = 0;

	for (u32 i = 0; i < 4; i++)
		pdpt[i] = (u64)(uintptr_t)(directories + 512 * i) | PTE_P;
	for (u64 i = 0; i < 2048; i++)
		directories[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
	run.cr3 = (u32)(uintptr_t)pdpt;
	run.upper_slot = (u64)(uintptr_t)&directories[LEGACY_VA >> 21];
	for (u64 at = rom; at < FOUR_GIB; at += 8) {
		u64 entry = load(at), page = entry & PTE_ADDR_MASK;
		bool reserved = entry & (reserved_high | BITS(62, 52));

		if (!(entry & PTE_P) || entry & reserved_high || !is_ram(page) ||
		    (!(entry & PTE_A) && !unmarked_too))
			continue;
		run.va = LEGACY_VA + (at & ~PAGE_MASK) / 8 * PAGE_SIZE;
		run.count = 1;
		probe = (struct probe){.upper = (at & PAGE_MASK) | PTE_P, .kind = PROBE_READ, .flush = FLUSH_ALL};
		probe_legacy(&run);
		found++;
		EXPECT(reserved ? probe.vector == VEC_PF && (probe.error | PF_P) == (PF_RSVD | PF_P) :
				  !probe.vector && (u32)probe.value == (u32)load(page + READ_AT),
		       "an entry of PAE paging in ROM leads where it says",
		       "entry %lx at %lx: vector %u error %x, read %lx", entry, at, probe.vector, probe.error,
		       probe.value);
	}
	print("NOTE: PAE tables: %u\n", found);
	all_passed("entries of PAE paging in ROM", found != 0);
}

void run_tests(void)
{
	struct space space = space_new();

	rom = FOUR_GIB - (option("rom_mib", 2) << 20);
	unmarked_too = option("unmarked", 1);
	reserved_high = BITS(51, 0) & ~(BIT(phys_bits) - 1);
	check(!is_ram(rom), "the ROM is not in the map of RAM", " ");
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	space_load(&space);
	test_all_code();
	test_lowest(&space);
	test_changed(&space);
	test_upper(&space);
	for (u64 page = TARGETS; page < SCRATCH_END; page += PAGE_SIZE)
		*(volatile u32 *)(uintptr_t)(page + READ_AT) = value_of(page);
	probe_init();
	probe_set_ldt((u64)(uintptr_t)alloc_pages(1)); /* probe_legacy() loads it */
	test_32_bit();
	test_pae();
}
