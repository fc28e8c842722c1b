/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables used in odd but legal ways: rights and roles, A and D bits, what
 * may be stale and what may not, writes to tables by every means, odd table
 * addresses. Every check holds on a bare machine; there it runs as well.
 * Where QEMU's bare error code differs from the manual (P missing with RSVD),
 * the check looks only at the bits both agree on.
 */
#include "tests/guest/lib/guest.h"

#define RW (PTE_P | PTE_W)
#define RWU (PTE_P | PTE_W | PTE_U)
#define AD (PTE_A | PTE_D)
#define VA TEST_VA
#define VA2 (TEST_VA + (1ull << 39))
#define LARGE (2ull << 20)

static struct space space;
static bool has_1g, has_smep, has_smap;

static u64 address(const void *p)
{
	return (u64)(uintptr_t)p;
}

/* A page filled with a value, so that a read tells which frame it came from. */
static u64 *page_of(u64 value)
{
	u64 *p = alloc_pages(1);

	for (u32 i = 0; i < 512; i++)
		p[i] = value;
	return p;
}

/* The access fails with #PF at va and this error code. */
static bool faults(enum access_kind kind, bool user, u64 va, u64 error)
{
	return !access(kind, user, va) && caught.vector == VEC_PF && caught.cr2 == va && caught.error == error;
}

static bool faults_reserved(enum access_kind kind, bool user, u64 va)
{
	return !access(kind, user, va) && caught.vector == VEC_PF && caught.cr2 == va && (caught.error & PF_RSVD);
}

/* The condition first: it fills in what the message shows. */
#define CHECK(condition, name) \
	do { \
		bool holds = (condition); \
		check(holds, name, "line %u: vector %u error %lx cr2 %lx rip %lx value %lx", (u32)__LINE__, \
		      caught.vector, caught.error, caught.cr2, caught.rip, access_value); \
	} while (0)

/* --- error codes and rights --- */
static void test_rights(void)
{
	u64 page = address(page_of(CODE_RETURN));
	u64 *pte = space_map(&space, VA, page, 0, 1);
	u64 id = PF_ID; /* EFER.NXE is on throughout */

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	CHECK(faults(A_READ, false, VA, 0), "reading an absent page faults with error 0");
	CHECK(faults(A_WRITE, false, VA, PF_W), "writing an absent page faults with W");
	CHECK(faults(A_READ, true, VA, PF_U), "reading an absent page in ring 3 faults with U");
	CHECK(faults(A_FETCH, false, VA, id), "executing an absent page faults with I/D");
	CHECK(faults(A_FETCH, true, VA, id | PF_U), "executing an absent page in ring 3 faults with U and I/D");

	*pte = page | PTE_P;
	access_value = CODE_RETURN;
	CHECK(access(A_READ, false, VA), "a supervisor page is read");
	CHECK(faults(A_READ, true, VA, PF_P | PF_U), "ring 3 may not read a supervisor page");
	CHECK(faults(A_WRITE, true, VA, PF_P | PF_U | PF_W), "ring 3 may not write a supervisor page");
	CHECK(faults(A_FETCH, true, VA, PF_P | PF_U | id), "ring 3 may not execute a supervisor page");
	CHECK(faults(A_WRITE, false, VA, PF_P | PF_W), "a read-only page is not written with WP set");
	CHECK(access(A_FETCH, false, VA), "a supervisor page without NX is executed");

	*pte = page | RWU | PTE_NX;
	invlpg(VA);
	access_value = CODE_RETURN;
	CHECK(access(A_WRITE, true, VA), "ring 3 writes a user page");
	CHECK(faults(A_FETCH, true, VA, PF_P | PF_U | id), "NX forbids ring 3 to execute");
	CHECK(faults(A_FETCH, false, VA, PF_P | id), "NX forbids the supervisor to execute");
	*pte = page | RWU;
	invlpg(VA);
	CHECK(access(A_FETCH, true, VA), "ring 3 executes a user page after NX is cleared");
}

/* 2 and 9 of the list: rights from every level are joined. */
static void test_rights_of_upper_levels(void)
{
	u64 page = address(page_of(CODE_RETURN));

	for (u32 level = 2; level <= 4; level++) {
		u64 *upper;

		space_map(&space, VA, page, RWU | AD, 1);
		upper = space_entry(&space, VA, level);
		*upper &= ~PTE_W;
		flush_tlb();
		CHECK(faults(A_WRITE, true, VA, PF_P | PF_W | PF_U), "a read-only upper entry forbids writes");
		*upper = (*upper | PTE_W) & ~PTE_U;
		flush_tlb();
		CHECK(faults(A_READ, true, VA, PF_P | PF_U), "a supervisor upper entry forbids ring 3");
		CHECK(access(A_READ, false, VA), "and allows the supervisor");
		*upper = *upper | PTE_U | PTE_NX;
		flush_tlb();
		CHECK(faults(A_FETCH, true, VA, PF_P | PF_U | PF_ID), "NX in an upper entry forbids execution");
		*upper &= ~PTE_NX;
		flush_tlb();
		CHECK(access(A_FETCH, true, VA), "and its removal allows it");
		*upper &= ~PTE_P;
		flush_tlb();
		CHECK(faults(A_READ, true, VA, PF_U), "an absent upper entry faults without P");
		*upper |= PTE_P;
		access_value = CODE_RETURN;
		CHECK(access(A_WRITE, true, VA), "absent to present in an upper entry needs no flush");
	}
}

/* 1: one table page through a read-write and a read-only parent. */
/* adversarial: 1 */
static void test_shared_table(void)
{
	u64 page = address(page_of(1)), *second;

	space_map(&space, VA, page, RWU, 1);
	second = space_entry(&space, VA2, 2);
	*second = (*space_entry(&space, VA, 2) & PTE_ADDR_MASK) | PTE_P | PTE_U;
	flush_tlb();
	access_value = 2;
	CHECK(access(A_WRITE, true, VA), "a table reached through a writable parent is written through");
	CHECK(access(A_READ, true, VA2) && access_value == 2, "and read through a read-only parent");
	CHECK(faults(A_WRITE, true, VA2, PF_P | PF_W | PF_U), "and not written through it");
	CHECK(access(A_WRITE, true, VA), "and still written through the first");
	*second = (*second & ~(u64)PTE_U) | PTE_W;
	flush_tlb();
	CHECK(faults(A_READ, true, VA2, PF_P | PF_U),
	      "the same table under a supervisor parent is closed to ring 3");
	CHECK(access(A_WRITE, false, VA2), "and open to the supervisor");
	*second = 0;
	flush_tlb();
}

/* 3: CR0.WP = 0, with user pages in every order of access. */
/* adversarial: 3 */
static void test_wp_off(void)
{
	u64 page = address(page_of(CODE_RETURN));
	u64 *pte = space_map(&space, VA, page, PTE_P | PTE_U, 1);

	flush_tlb();
	write_cr0(read_cr0() & ~CR0_WP);
	access_value = CODE_RETURN;
	CHECK(access(A_WRITE, false, VA), "WP=0: the supervisor writes a read-only user page");
	CHECK(*pte & PTE_D, "WP=0: that write sets D");
	CHECK(access(A_READ, true, VA) && access_value == CODE_RETURN, "WP=0: then ring 3 reads it");
	CHECK(faults(A_WRITE, true, VA, PF_P | PF_W | PF_U), "WP=0: and may not write it");
	CHECK(access(A_WRITE, false, VA), "WP=0: the supervisor writes it again");
	CHECK(access(A_FETCH, true, VA), "WP=0: ring 3 executes it");
	CHECK(access(A_FETCH, false, VA), "WP=0: the supervisor executes it without SMEP");
	if (has_smep) {
		write_cr4(read_cr4() | CR4_SMEP);
		access_value = CODE_RETURN;
		access(A_WRITE, false, VA);
		CHECK(faults(A_FETCH, false, VA, PF_P | PF_ID), "WP=0 with SMEP: the supervisor may not execute it");
		write_cr4(read_cr4() & ~CR4_SMEP);
	}
	write_cr0(read_cr0() | CR0_WP);
	CHECK(faults(A_WRITE, false, VA, PF_P | PF_W), "WP=1 again: the supervisor may not write it");

	/* a supervisor read-only page, and a read-only upper level */
	*pte = page | PTE_P;
	*space_entry(&space, VA, 3) &= ~PTE_W;
	flush_tlb();
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK(access(A_WRITE, false, VA), "WP=0: a read-only supervisor page under a read-only level is written");
	CHECK(faults(A_READ, true, VA, PF_P | PF_U), "WP=0: and stays closed to ring 3");
	write_cr0(read_cr0() | CR0_WP);
	*space_entry(&space, VA, 3) |= PTE_W;
	flush_tlb();
}

/* 6 and 7: control bits toggled with the same CR3. */
/* adversarial: 6 */
static void test_toggles(void)
{
	u64 page = address(page_of(CODE_RETURN));
	u64 *pte = space_map(&space, VA, page, RWU, 1);

	flush_tlb();
	if (has_smep) {
		CHECK(access(A_FETCH, false, VA), "SMEP off: the supervisor executes a user page");
		write_cr4(read_cr4() | CR4_SMEP);
		CHECK(faults(A_FETCH, false, VA, PF_P | PF_ID), "SMEP on: it may not");
		write_cr4(read_cr4() & ~CR4_SMEP);
		CHECK(access(A_FETCH, false, VA), "SMEP off again: it may");
	}
	if (has_smap) {
		write_cr4(read_cr4() | CR4_SMAP);
		CHECK(faults(A_READ, false, VA, PF_P), "SMAP on, AC=0: the supervisor may not read a user page");
		CHECK(faults(A_WRITE, false, VA, PF_P | PF_W), "SMAP on, AC=0: nor write it");
		asm volatile("stac" : : : "cc");
		CHECK(access(A_READ, false, VA), "SMAP on, AC=1: it reads");
		access_value = CODE_RETURN;
		CHECK(access(A_WRITE, false, VA), "SMAP on, AC=1: it writes");
		asm volatile("clac" : : : "cc");
		CHECK(faults(A_READ, false, VA, PF_P), "SMAP on, AC=0 again: it may not");
		CHECK(access(A_READ, true, VA), "SMAP does not concern ring 3");
		write_cr4(read_cr4() & ~CR4_SMAP);
		CHECK(access(A_READ, false, VA), "SMAP off: it reads");
	}
	*pte = page | RWU | PTE_NX;
	invlpg(VA);
	CHECK(faults(A_FETCH, true, VA, PF_P | PF_U | PF_ID), "NXE on: NX forbids execution");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_NXE);
	flush_tlb();
	CHECK(faults_reserved(A_READ, true, VA), "NXE off: bit 63 is reserved");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	flush_tlb();
	CHECK(access(A_READ, true, VA), "NXE on again: the page is read");
}

/* --- protection keys --- */
#define KEY(n) ((u64)(n) << PTE_KEY_SHIFT)
#define KEY_AD(n) (1u << (2 * (n)))
#define KEY_WD(n) (2u << (2 * (n)))
#define XCR0_PKRU BIT(9)

static void wrpkru(u32 v)
{
	asm volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static u32 rdpkru(void)
{
	u32 v, zero;

	asm volatile("rdpkru" : "=a"(v), "=d"(zero) : "c"(0));
	return v;
}

static void check_key(u64 va, u64 *entry, u32 key)
{
	const u64 pk = PF_P | PF_PK;

	wrpkru(KEY_AD(key));
	CHECK(faults(A_READ, true, va, pk | PF_U), "PKRU.AD: ring 3 may not read the page");
	CHECK(faults(A_READ, false, va, pk), "PKRU.AD: nor may the supervisor");
	CHECK(faults(A_WRITE, true, va, pk | PF_W | PF_U), "PKRU.AD: ring 3 may not write it");
	CHECK(access(A_FETCH, true, va), "PKRU.AD: ring 3 executes it");
	CHECK(!(*entry & PTE_D), "PKRU.AD: a write that faults sets no D");
	wrpkru(KEY_WD(key));
	CHECK(access(A_READ, true, va) && access(A_READ, false, va), "PKRU.WD: the page is read");
	CHECK(faults(A_WRITE, true, va, pk | PF_W | PF_U), "PKRU.WD: ring 3 may not write it");
	CHECK(faults(A_WRITE, false, va, pk | PF_W), "PKRU.WD: nor may the supervisor");
	wrpkru(~(KEY_AD(key) | KEY_WD(key)) & ~3u);
	access_value = CODE_RETURN;
	CHECK(access(A_WRITE, true, va) && access(A_WRITE, false, va), "PKRU of other keys: the page is written");
	wrpkru(KEY_WD(key));
	write_cr0(read_cr0() & ~CR0_WP);
	CHECK(access(A_WRITE, false, va), "PKRU.WD, WP=0: the supervisor writes the page");
	CHECK(access(A_READ, true, va), "PKRU.WD, WP=0: ring 3 reads it");
	CHECK(faults(A_WRITE, true, va, pk | PF_W | PF_U), "PKRU.WD, WP=0: ring 3 may not write it");
	write_cr0(read_cr0() | CR0_WP);
	CHECK(faults(A_WRITE, false, va, pk | PF_W), "PKRU.WD, WP=1 again: the supervisor may not write it");
	*entry = (*entry & ~PTE_KEY) | KEY(key ^ 1);
	invlpg(va);
	CHECK(access(A_WRITE, true, va), "a key changed in the entry counts after INVLPG");
	wrpkru(0);
}

static void check_key_of_supervisor_page(u64 page)
{
	u64 *pte = space_map(&space, VA, page | KEY(3), RW, 1);

	flush_tlb();
	wrpkru(KEY_AD(3));
	CHECK(access(A_READ, false, VA) && access(A_WRITE, false, VA), "PKRU does not concern a supervisor page");
	wrpkru(0);
	*pte = 0;
	flush_tlb();
}

/* XSAVE keeps PKRU as its component 9. */
static void check_key_state(void)
{
	struct cpuid_regs part = cpuid(0xd, 9);
	u8 *area = alloc_pages(2);

	CHECK(cpuid(0xd, 0).a & XCR0_PKRU, "CPUID shows PKRU among the XSAVE components");
	CHECK(part.a == 8 && part.b + part.a <= cpuid(0xd, 0).c, "its place is within the XSAVE area");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("xsetbv" : : "c"(0), "a"((u32)XCR0_PKRU | 3), "d"(0));
	CHECK(cpuid(0xd, 0).b == part.b + part.a, "XCR0 with PKRU: CPUID shows the size with it");
	wrpkru(0x12345670);
	asm volatile("xsave (%0)" : : "r"(area), "a"((u32)XCR0_PKRU), "d"(0) : "memory");
	CHECK(*(u32 *)(area + part.b) == 0x12345670, "XSAVE stores PKRU");
	wrpkru(0);
	asm volatile("xrstor (%0)" : : "r"(area), "a"((u32)XCR0_PKRU), "d"(0) : "memory");
	CHECK(rdpkru() == 0x12345670, "XRSTOR loads PKRU");
	wrpkru(0);
	asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

static void test_keys(void)
{
	u64 page = address(page_of(CODE_RETURN)), block = address(alloc_aligned(LARGE, LARGE));
	u64 *entry;

	if (!(cpuid(7, 0).c & BIT(3))) /* PKU */
		return;
	CHECK(!(cpuid(7, 0).c & BIT(4)), "CPUID hides OSPKE before CR4.PKE is set");
	write_cr4(read_cr4() | CR4_PKE);
	CHECK(cpuid(7, 0).c & BIT(4), "CPUID shows OSPKE after CR4.PKE was set");
	wrpkru(0xfedcba98);
	CHECK(rdpkru() == 0xfedcba98, "RDPKRU reads what WRPKRU wrote");
	wrpkru(0);
	entry = space_map(&space, VA, page | KEY(6), RWU, 1);
	flush_tlb();
	check_key(VA, entry, 6);
	check_key_of_supervisor_page(page);
	for (u64 at = 0; at < LARGE; at += PAGE_SIZE)
		store(block + at, CODE_RETURN);
	entry = space_map(&space, VA2, block | KEY(15), RWU, 2);
	flush_tlb();
	check_key(VA2 + 7 * PAGE_SIZE, entry, 15);
	/* a table in the block, so that the page is splintered */
	space_map(&space, VA, page, RWU, 1);
	*space_entry(&space, VA, 2) = (block + 9 * PAGE_SIZE) | RWU;
	for (u64 i = 0; i < 512; i++)
		store(block + 9 * PAGE_SIZE + i * 8, page | RWU);
	flush_tlb();
	CHECK(access(A_READ, true, VA), "a table inside of a large page maps");
	*entry = block | RWU | PTE_PS | KEY(15);
	flush_tlb();
	check_key(VA2 + 7 * PAGE_SIZE, entry, 15);
	*entry = *space_entry(&space, VA, 2) = 0;
	check_key_state();
	write_cr4(read_cr4() & ~CR4_PKE);
	space_map(&space, VA, page | KEY(6), RWU, 1);
	flush_tlb();
	CHECK(access(A_WRITE, true, VA), "without CR4.PKE a key means nothing");
	CHECK(!(cpuid(7, 0).c & BIT(4)), "CPUID hides OSPKE after CR4.PKE was cleared");
	*space_entry(&space, VA, 1) = 0;
	flush_tlb();
}

/* 8 and 9: reserved bits at every level. */
/* adversarial: 9 */
static void test_reserved(void)
{
	u64 page = address(page_of(7));

	space_map(&space, VA, page, RWU, 1);
	for (u32 level = 1; level <= 4 && phys_bits < 52; level++) {
		u64 *entry = space_entry(&space, VA, level), old = *entry;
		bool all = true;

		for (u32 bit = phys_bits; bit < 52; bit++) {
			*entry = old | BIT(bit);
			flush_tlb();
			all &= faults_reserved(A_READ, false, VA) && faults_reserved(A_WRITE, true, VA);
		}
		*entry = old;
		flush_tlb();
		CHECK(all, "an address above MAXPHYADDR faults with RSVD");
	}
	{
		u64 *entry = space_entry(&space, VA2, 2);

		for (u32 bit = 13; bit < 21; bit++) {
			*entry = BIT(bit) | RW | PTE_PS;
			flush_tlb();
			CHECK(faults_reserved(A_READ, false, VA2),
			      "low address bits in a 2 MiB entry fault with RSVD");
		}
		*entry = 0;
		entry = space_entry(&space, VA, 4);
		*entry |= PTE_PS;
		flush_tlb();
		CHECK(faults_reserved(A_READ, false, VA), "PS in a level 4 entry faults with RSVD");
		*entry &= ~PTE_PS;
		flush_tlb();
	}
	/* ignored bits stay ignored */
	*space_entry(&space, VA, 1) = page | RWU | BITS(11, 9) | BITS(58, 52);
	invlpg(VA);
	CHECK(access(A_READ, true, VA) && access_value == 7, "ignored bits of a leaf are ignored");
	*space_entry(&space, VA, 1) = page | RWU | PTE_PAT_4K | PTE_PWT | PTE_PCD | PTE_G;
	invlpg(VA);
	CHECK(access(A_READ, true, VA) && access_value == 7, "memory-type bits and G of a leaf are no fault");
	*space_entry(&space, VA, 1) = 0;
	invlpg(VA);
}

/* --- accessed and dirty --- */
static void test_accessed_dirty(void)
{
	u64 page = address(page_of(3));
	u64 *pte = space_map(&space, VA, page, RWU, 1);

	for (u32 level = 2; level <= 4; level++)
		*space_entry(&space, VA, level) &= ~(u64)AD;
	flush_tlb();
	CHECK(!(*pte & AD), "A and D are clear before any access");
	access(A_READ, true, VA);
	CHECK((*pte & AD) == PTE_A, "a read sets A alone");
	for (u32 level = 2; level <= 4; level++)
		CHECK((*space_entry(&space, VA, level) & AD) == PTE_A, "a read sets A alone in every upper level");
	access(A_WRITE, true, VA);
	CHECK((*pte & AD) == AD, "a write sets D");
	CHECK(!(*space_entry(&space, VA, 2) & PTE_D), "D is not set in an upper level");
	*pte &= ~(u64)AD;
	invlpg(VA);
	access(A_WRITE, false, VA);
	CHECK((*pte & AD) == AD, "after clearing both and INVLPG a write sets both");
	*pte &= ~(u64)PTE_D;
	invlpg(VA);
	access(A_READ, false, VA);
	CHECK((*pte & AD) == PTE_A, "a read does not set D");
	access(A_WRITE, false, VA);
	CHECK(*pte & PTE_D, "the write after it does");

	*pte = page | PTE_P | PTE_U;
	invlpg(VA);
	access(A_WRITE, true, VA);
	CHECK(!(*pte & PTE_D), "a write that faults sets no D");
	*pte = page | RW;
	invlpg(VA);
	access(A_READ, true, VA);
	CHECK(!(*pte & PTE_D), "a read that faults sets no D");
	CHECK(*pte == (page | RW) || *pte == (page | RW | PTE_A), "and nothing else changes");
	*pte = page | RW | PTE_NX;
	invlpg(VA);
	access(A_FETCH, false, VA);
	CHECK(!(*pte & PTE_D), "a forbidden fetch sets no D");
}

/* 14: dirty information survives a change to read-only. */
/* adversarial: 14 */
static void test_dirty_survives(void)
{
	u64 page = address(page_of(3));
	u64 *pte = space_map(&space, VA, page, RWU, 1);

	flush_tlb();
	access_value = 9;
	access(A_WRITE, true, VA);
	*pte &= ~(u64)PTE_W;
	flush_tlb();
	CHECK((*pte & AD) == AD, "D set by a write survives the page becoming read-only");
	CHECK(faults(A_WRITE, true, VA, PF_P | PF_W | PF_U), "and the page is read-only");
	CHECK(access(A_READ, true, VA) && access_value == 9, "and holds what was written");
}

/* --- large pages --- */
/* adversarial: 5 */
static void test_large(void)
{
	u64 block = address(alloc_aligned(2 * LARGE, LARGE));
	u64 *pde = space_map(&space, VA2, block, RWU, 2);

	for (u64 at = 0; at < 2 * LARGE; at += PAGE_SIZE)
		store(block + at, at);
	flush_tlb();
	CHECK(access(A_READ, true, VA2 + 5 * PAGE_SIZE) && access_value == 5 * PAGE_SIZE, "a 2 MiB page is read");
	CHECK((*pde & AD) == PTE_A, "a read of a 2 MiB page sets A alone");
	access_value = 77;
	CHECK(access(A_WRITE, true, VA2 + 6 * PAGE_SIZE) && load(block + 6 * PAGE_SIZE) == 77,
	      "a 2 MiB page is written");
	CHECK((*pde & AD) == AD, "a write to a 2 MiB page sets D");
	CHECK(access(A_READ, true, VA2 + 511 * PAGE_SIZE) && access_value == 511 * PAGE_SIZE, "up to its last page");

	/* 15: INVLPG anywhere in it */
	*pde = (block + LARGE) | RWU;
	*pde |= PTE_PS;
	invlpg(VA2 + 300 * PAGE_SIZE + 5);
	CHECK(access(A_READ, true, VA2 + 5 * PAGE_SIZE) && access_value == LARGE + 5 * PAGE_SIZE,
	      "INVLPG of any address in a 2 MiB page drops all of it");
	CHECK(access(A_READ, true, VA2 + 400 * PAGE_SIZE) && access_value == LARGE + 400 * PAGE_SIZE,
	      "also far from the address");

	/* 2: the slot becomes a table of the same frame, and back */
	{
		u64 *table = alloc_pages(1);

		for (u64 i = 0; i < 512; i++)
			table[i] = (block + i * PAGE_SIZE) | RWU;
		*pde = address(table) | RWU;
		invlpg(VA2);
		CHECK(access(A_READ, true, VA2 + 7 * PAGE_SIZE) && access_value == 7 * PAGE_SIZE,
		      "a 2 MiB entry turned into a table maps by the table");
		table[7] = (block + 8 * PAGE_SIZE) | RWU;
		invlpg(VA2 + 7 * PAGE_SIZE);
		CHECK(access(A_READ, true, VA2 + 7 * PAGE_SIZE) && access_value == 8 * PAGE_SIZE,
		      "the table's edit counts");
		*pde = block | RWU | PTE_PS;
		invlpg(VA2 + 7 * PAGE_SIZE);
		CHECK(access(A_READ, true, VA2 + 7 * PAGE_SIZE) && access_value == 7 * PAGE_SIZE,
		      "and back into a 2 MiB page");
		/* the block's own first page, used as the table: same frame, large leaf and table by turns */
		for (u64 i = 0; i < 512; i++)
			store(block + i * 8, (block + LARGE + i * PAGE_SIZE) | RWU);
		for (u32 round = 0; round < 20; round++) {
			*pde = block | RWU;
			invlpg(VA2 + 9 * PAGE_SIZE);
			CHECK(access(A_READ, true, VA2 + 9 * PAGE_SIZE) && access_value == LARGE + 9 * PAGE_SIZE,
			      "one frame as table and large page by turns: table");
			*pde = block | RWU | PTE_PS;
			invlpg(VA2 + 9 * PAGE_SIZE);
			CHECK(access(A_READ, true, VA2 + 9 * PAGE_SIZE) && access_value == 9 * PAGE_SIZE,
			      "one frame as table and large page by turns: large page");
		}
	}
	/* 4 and 5: aliases of one block, WP=0 */
	{
		u64 *other = space_map(&space, VA2 + (1ull << 30), block, PTE_P | PTE_U, 2);

		*pde = block | RWU | PTE_PS;
		flush_tlb();
		access(A_READ, false, VA2);
		access(A_READ, false, VA2 + (1ull << 30));
		access_value = 11;
		access(A_WRITE, false, VA2 + 64);
		CHECK((*pde & PTE_D) && !(*other & PTE_D), "D is set in the alias that was written");
		CHECK(faults(A_WRITE, false, VA2 + (1ull << 30), PF_P | PF_W),
		      "a read-only large alias stays read-only");
		write_cr0(read_cr0() & ~CR0_WP);
		*pde &= ~(u64)PTE_D;
		flush_tlb();
		access_value = 12;
		access(A_WRITE, false, VA2 + (1ull << 30) + 64);
		CHECK(!(*pde & PTE_D) && (*other & PTE_D), "WP=0: D is set in the alias that was written");
		write_cr0(read_cr0() | CR0_WP);
		*other = 0;
	}
	*pde = 0;
	flush_tlb();
	if (has_1g) {
		u64 *pdpte = space_map(&space, VA2 + (4ull << 30), 0, RW, 3);

		CHECK(access(A_READ, false, VA2 + (4ull << 30) + block + 5 * PAGE_SIZE) &&
			      access_value == 5 * PAGE_SIZE,
		      "a 1 GiB page is read");
		CHECK((*pdpte & AD) == PTE_A, "and gets A");
		access_value = 5 * PAGE_SIZE;
		access(A_WRITE, false, VA2 + (4ull << 30) + block + 5 * PAGE_SIZE);
		CHECK(*pdpte & PTE_D, "and D when written");
		*pdpte = 0;
		flush_tlb();
	}
}

/* --- staleness --- */
/* 17: absent to present without a flush, each level, many times. */
/* adversarial: 17 */
static void test_absent_to_present(void)
{
	u64 pages[4];
	u64 *entry;
	u64 seed = 12345;
	bool ok = true;

	for (u32 i = 0; i < 4; i++)
		pages[i] = address(page_of(100 + i));
	space_map(&space, VA, pages[0], RWU, 1);
	for (u32 round = 0; round < 10000 && ok; round++) {
		u32 level = 1 + (u32)(seed >> 33) % 4, which = (u32)(seed >> 20) & 3;
		u64 old;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		entry = space_entry(&space, VA, level);
		old = *entry;
		*entry = 0;
		flush_tlb();
		ok &= !access(A_READ, round & 1, VA) && caught.vector == VEC_PF && !(caught.error & PF_P);
		if (level == 1)
			old = pages[which] | RWU;
		*entry = old;
		ok &= access(A_READ, round & 1, VA) &&
		      access_value == *(u64 *)(*space_entry(&space, VA, 1) & PTE_ADDR_MASK);
	}
	CHECK(ok, "absent to present needs no flush, 10,000 times at random levels");
}

/* 10: a table edited while nothing points to it. */
/* adversarial: 10 */
static void test_unlinked_edit(void)
{
	u64 one = address(page_of(1)), two = address(page_of(2));
	u64 *pte = space_map(&space, VA, one, RWU, 1), *pde = space_entry(&space, VA, 2), link = *pde;

	flush_tlb();
	access(A_READ, false, VA);
	for (u32 level = 2; level <= 4; level++) {
		pde = space_entry(&space, VA, level);
		link = *pde;
		*pde = 0;
		flush_tlb();
		CHECK(!access(A_READ, false, VA), "an unlinked table maps nothing");
		*pte = two | RWU;
		*pde = link;
		CHECK(access(A_READ, false, VA) && access_value == 2,
		      "a table edited while unlinked shows the edit when linked");
		*pte = one | RWU;
		flush_tlb();
		CHECK(access(A_READ, false, VA) && access_value == 1, "a flush after an edit shows it");
		*pte = one | RWU;
	}
}

/*
 * Copy-on-write as kernels do it, page after page, with other pages changed and
 * flushed between the fault and the retried write.
 */
static void test_copy_on_write(void)
{
	u64 shared = address(page_of(1)), other = address(page_of(2)), third = address(page_of(3));
	u64 *pte = space_map(&space, VA, shared, PTE_P | PTE_U, 1);
	bool refused = true, old = true, copied = true, seen = true, later = true;

	for (u32 i = 0; i < 64; i++)
		pte[i] = shared | PTE_P | PTE_U;
	flush_tlb();
	for (u32 i = 0; i < 48; i++) {
		u64 va = VA + i * PAGE_SIZE, another = VA + (48 + i % 16) * PAGE_SIZE;
		u64 *copy = page_of(1);

		old &= access(A_READ, true, another) && access_value == (i < 16 ? 1 : 3);
		refused &= faults(A_WRITE, true, va, PF_P | PF_W | PF_U);
		pte[i] = 0;
		invlpg(va);
		if (i % 3 == 0) {
			pte[48 + i % 16] = other | PTE_P | PTE_U;
			invlpg(another);
			seen &= access(A_READ, true, another) && access_value == 2;
		}
		pte[48 + i % 16] = third | PTE_P | PTE_U;
		pte[i] = address(copy) | RWU | AD;
		access_value = 4;
		copied &= access(A_WRITE, true, va) && copy[0] == 4;
		invlpg(another);
		later &= access(A_READ, true, another) && access_value == 3;
	}
	CHECK(refused, "copy-on-write: a shared page is not written");
	CHECK(old && *(u64 *)(uintptr_t)shared == 1, "copy-on-write: the shared page stays as it is");
	CHECK(copied, "copy-on-write: after entry cleared, INVLPG, entry set the copy is written");
	CHECK(seen, "copy-on-write: another page changed meanwhile is seen after its INVLPG");
	CHECK(later, "copy-on-write: and one changed meanwhile is seen after an INVLPG later");
}

/* 15: flushes of several kinds after an edit. */
/* adversarial: 15 */
static void test_flushes(void)
{
	u64 one = address(page_of(1)), two = address(page_of(2));
	u64 *pte = space_map(&space, VA, one, RWU, 1);

	flush_tlb();
	access(A_READ, false, VA);
	*pte = two | RWU;
	invlpg(VA + 123);
	CHECK(access(A_READ, false, VA) && access_value == 2, "INVLPG drops a changed translation");
	*pte = one | RWU;
	flush_tlb();
	CHECK(access(A_READ, false, VA) && access_value == 1, "MOV CR3 drops a changed translation");
	*pte = two | RWU;
	write_cr4(read_cr4() ^ CR4_PGE);
	CHECK(access(A_READ, false, VA) && access_value == 2, "a change of CR4.PGE drops a changed translation");
	write_cr4(read_cr4() ^ CR4_PGE);
	*pte = two | PTE_P | PTE_U;
	invlpg(VA);
	CHECK(faults(A_WRITE, false, VA, PF_P | PF_W), "INVLPG makes a downgrade hold");
	*pte = 0;
	invlpg(VA);
	CHECK(faults(A_READ, false, VA, 0), "INVLPG makes a removal hold");
	invlpg(VA + (5ull << 30));
	invlpg(0x8000000000000000ull);
	check(true, "INVLPG of unmapped and non-canonical addresses does nothing", " ");

	/* an edit of an upper level, mov cr3 */
	{
		u64 *pdpte = space_entry(&space, VA, 3), old = *pdpte;
		struct space other = {alloc_pages(1)};
		u64 *pte2 = space_map(&other, VA, two, RWU, 1);

		*pte = one | RWU;
		access(A_READ, false, VA);
		*pdpte = *space_entry(&other, VA, 3);
		flush_tlb();
		CHECK(access(A_READ, false, VA) && access_value == 2,
		      "MOV CR3 after an edit of an upper level shows it");
		*pte2 = one | RWU;
		invlpg(VA);
		CHECK(access(A_READ, false, VA) && access_value == 1,
		      "INVLPG after an edit under the new table shows it");
		*pdpte = old;
		flush_tlb();
	}
}

/* Global pages: kept over MOV CR3 or not, but never wrong after INVLPG. */
static void test_global(void)
{
	u64 one = address(page_of(1)), two = address(page_of(2));
	u64 *pte = space_map(&space, VA, one, RWU | PTE_G, 1);

	write_cr4(read_cr4() | CR4_PGE);
	flush_tlb();
	access(A_READ, false, VA);
	*pte = two | RWU | PTE_G;
	invlpg(VA);
	CHECK(access(A_READ, false, VA) && access_value == 2, "INVLPG drops a global translation");
	*pte = one | RWU | PTE_G;
	write_cr4(read_cr4() & ~CR4_PGE);
	CHECK(access(A_READ, false, VA) && access_value == 1, "clearing CR4.PGE drops global translations");
	*pte = 0;
	flush_tlb();
}

/* 13: two leaf tables, each mapping the other writable. */
/* adversarial: 13 */
static void test_mutual_tables(void)
{
	u64 one = address(page_of(1)), two = address(page_of(2));
	u64 va_a = VA, va_b = VA + LARGE;
	u64 *a, *b;
	bool ok = true;

	space_map(&space, va_a, one, RWU, 1);
	space_map(&space, va_b, one, RWU, 1);
	a = (u64 *)(*space_entry(&space, va_a, 2) & PTE_ADDR_MASK);
	b = (u64 *)(*space_entry(&space, va_b, 2) & PTE_ADDR_MASK);
	a[1] = address(b) | RWU;
	b[1] = address(a) | RWU;
	flush_tlb();
	for (u32 i = 0; i < 50; i++) {
		u64 now = i & 1 ? one : two;

		store(va_a + PAGE_SIZE, now | RWU); /* b[0] through a */
		store(va_b + PAGE_SIZE, now | RWU); /* a[0] through b */
		flush_tlb();
		ok &= load(va_a) == (i & 1 ? 1 : 2) && load(va_b) == (i & 1 ? 1 : 2);
	}
	CHECK(ok, "two tables that map each other writable follow each write after MOV CR3");
	a[1] = b[1] = 0;
	flush_tlb();
}

/* 18: a level 4 entry that points at its own table. */
/* adversarial: 18 */
static void test_self_map(void)
{
	u32 slot = 300;
	u64 base = 0xffff000000000000ull | (u64)slot << 39;
	u64 ptes = base, pml4 = base | (u64)slot << 30 | (u64)slot << 21 | (u64)slot << 12;
	u64 one = address(page_of(1)), two = address(page_of(2)), pte_va;

	space.pml4[slot] = address(space.pml4) | RWU;
	space_map(&space, VA, one, RWU, 1);
	flush_tlb();
	access(A_READ, false, VA);
	pte_va = ptes + (VA >> 12) * 8;
	CHECK((load(pte_va) & PTE_ADDR_MASK) == one, "the self-map shows the leaf entry");
	CHECK((load(pml4 + slot * 8) & PTE_ADDR_MASK) == address(space.pml4), "the self-map shows its own entry");
	store(pte_va, two | RWU);
	invlpg(VA);
	CHECK(access(A_READ, false, VA) && access_value == 2, "a leaf entry written through the self-map counts");
	access_value = one | RWU;
	CHECK(access(A_WRITE, true, pte_va), "ring 3 writes a leaf entry through the self-map");
	invlpg(VA);
	CHECK(access(A_READ, true, VA) && access_value == 1, "and it counts");
	store(pte_va, 0);
	invlpg(VA);
	CHECK(!access(A_READ, false, VA), "a leaf entry cleared through the self-map is absent");
	store(pte_va, two | RWU);
	CHECK(access(A_READ, false, VA) && access_value == 2, "and present again without a flush");
	store(pml4 + 301 * 8, address(space.pml4) | RWU);
	CHECK((load((0xffff000000000000ull | 301ull << 39 | (u64)slot << 30 | (u64)slot << 21 | (u64)slot << 12) +
		    slot * 8) &
	       PTE_ADDR_MASK) == address(space.pml4),
	      "a level 4 entry made through the self-map works");
	space.pml4[301] = 0;
	space.pml4[slot] = 0;
	flush_tlb();
}

/* 19: a leaf table promoted to an upper level, and the reverse. */
/* adversarial: 19 */
static void test_promotion(void)
{
	u64 *table = alloc_pages(1), *leaf = alloc_pages(1);
	u64 one = address(page_of(1)), *pde, *pdpte;

	leaf[0] = one | RWU;
	table[0] = address(leaf) | RWU;
	pde = space_entry(&space, VA, 2);
	pdpte = space_entry(&space, VA2, 3);
	for (u32 i = 0; i < 10; i++) {
		*pde = address(table) | RWU; /* as a leaf table: maps `leaf` as a page */
		flush_tlb();
		CHECK(access(A_READ, false, VA) && (access_value & PTE_ADDR_MASK) == one,
		      "a table used as a leaf table");
		*pdpte = address(table) | RWU; /* as a level 2 table at the same time */
		CHECK(access(A_READ, false, VA2) && access_value == 1, "the same table used one level up");
		store(VA, 0); /* clears leaf[0] through the first mapping */
		invlpg(VA2);
		CHECK(!access(A_READ, false, VA2), "an entry cleared through the leaf mapping is absent");
		store(VA, one | RWU);
		CHECK(access(A_READ, false, VA2) && access_value == 1, "and present when written back");
		*pde = *pdpte = 0;
		flush_tlb();
	}
}

/* 25: one table in every slot of every level. */
/* adversarial: 25 */
static void test_everywhere(void)
{
	struct space s = space_new();
	u64 *table = alloc_pages(1);
	u64 one = address(page_of(1));
	bool ok = true;

	for (u32 i = 0; i < 512; i++)
		table[i] = address(table) | RWU;
	for (u32 i = 256; i < 512; i++)
		s.pml4[i] = address(table) | RWU;
	space_load(&s);
	for (u32 i = 0; i < 2000; i++) {
		u64 va = 0xffff800000000000ull + (u64)i * 0x1003007000ull % 0x7ff000000000ull;

		ok &= (load(va & ~7ull) & PTE_ADDR_MASK) == address(table);
	}
	CHECK(ok, "one table in every slot of every level is read through any of them");
	store(0xffff800000000000ull + 8, one | RWU);
	flush_tlb();
	CHECK(load(0xffff800000000000ull + 0x1000) == 1, "an entry changed through itself counts");
	space_load(&space);
}

/* --- writes to tables --- */
static u64 *w_table; /* a leaf table, written through va w_va */
static u64 w_va, w_one, w_two;

/* The entry's effect is as the table says, after INVLPG. */
static bool table_shows(u32 index, u64 expected)
{
	u64 va = VA + (u64)index * PAGE_SIZE;

	invlpg(va);
	if (!expected)
		return !access(A_READ, false, va) && caught.vector == VEC_PF;
	return access(A_READ, false, va) && access_value == expected;
}

static void table_reset(void)
{
	for (u32 i = 0; i < 16; i++)
		w_table[i] = w_one | RWU | AD;
	flush_tlb();
	for (u32 i = 0; i < 16; i++)
		access(A_READ, false, VA + i * PAGE_SIZE);
}

/* adversarial: 20, 22 */
static void test_table_writes(void)
{
	u64 a, b, c, d;

	w_one = address(page_of(1));
	w_two = address(page_of(2));
	space_map(&space, VA, w_one, RWU, 1);
	w_table = (u64 *)(*space_entry(&space, VA, 2) & PTE_ADDR_MASK);
	w_va = VA2;
	space_map(&space, w_va, address(w_table), RWU, 1);
	space_map(&space, w_va + PAGE_SIZE, address(page_of(0)), RWU, 1);
	d = w_two | RWU | AD;

	table_reset();
	*(volatile u32 *)(w_va + 4) = 0;
	*(volatile u32 *)w_va = (u32)d;
	CHECK(table_shows(0, 2), "an entry written by halves, high first");
	*(volatile u32 *)w_va = 0;
	CHECK(table_shows(0, 0), "its low half cleared");
	*(volatile u32 *)w_va = (u32)(w_one | RWU);
	*(volatile u32 *)(w_va + 4) = 0;
	CHECK(table_shows(0, 1), "an entry written by halves, low first");

	table_reset();
	for (u32 i = 0; i < 8; i++)
		*(volatile u8 *)(w_va + 8 + i) = (u8)(d >> (8 * i));
	CHECK(table_shows(1, 2), "an entry written by bytes");
	*(volatile u8 *)(w_va + 8) &= (u8)~PTE_P;
	CHECK(table_shows(1, 0), "P cleared by a byte write");

	table_reset();
	*(volatile u64 *)(w_va + 4) = (u32)(w_one >> 32) | d << 32; /* high half of 0, low half of 1 */
	CHECK(table_shows(0, 1) && table_shows(1, 2), "a write across two entries");
	*(volatile u64 *)(w_va + PAGE_SIZE - 4) = 0;
	CHECK(w_table[511] >> 32 == 0, "a write across the table's end");

	table_reset();
	a = w_table[2];
	asm volatile("lock cmpxchgq %2, %1" : "+a"(a), "+m"(*(u64 *)(w_va + 16)) : "r"(d) : "cc", "memory");
	CHECK(table_shows(2, 2), "LOCK CMPXCHG on an entry");
	a = w_table[4];
	b = w_table[5];
	asm volatile("lock cmpxchg16b %2"
		     : "+a"(a), "+d"(b), "+m"(*(u64(*)[2])(w_va + 32))
		     : "b"(d), "c"(0ull)
		     : "cc", "memory");
	CHECK(table_shows(4, 2) && table_shows(5, 0), "LOCK CMPXCHG16B on two entries");
	a = (u32)w_table[6];
	b = w_table[6] >> 32;
	asm volatile("lock cmpxchg8b %2"
		     : "+a"(a), "+d"(b), "+m"(*(u64 *)(w_va + 48))
		     : "b"(d), "c"(d >> 32)
		     : "cc", "memory");
	CHECK(table_shows(6, 2), "LOCK CMPXCHG8B on an entry");
	a = d;
	asm volatile("xchgq %0, %1" : "+r"(a), "+m"(*(u64 *)(w_va + 56)) : : "memory");
	CHECK(table_shows(7, 2) && (a & PTE_ADDR_MASK) == w_one, "XCHG on an entry");
	a = w_two - w_one;
	asm volatile("lock xaddq %0, %1" : "+r"(a), "+m"(*(u64 *)(w_va + 64)) : : "cc", "memory");
	CHECK(table_shows(8, 2), "LOCK XADD on an entry");
	asm volatile("lock btrq $0, %0" : "+m"(*(u64 *)(w_va + 72)) : : "cc", "memory");
	CHECK(table_shows(9, 0), "LOCK BTR on an entry");
	asm volatile("btsq $0, %0" : "+m"(*(u64 *)(w_va + 72)) : : "cc", "memory");
	CHECK(table_shows(9, 1), "BTS on an entry");
	asm volatile("lock andq $-2, %0" : "+m"(*(u64 *)(w_va + 80)) : : "cc", "memory");
	CHECK(table_shows(10, 0), "LOCK AND on an entry");
	asm volatile("orq $1, %0; addq %1, %0" : "+m"(*(u64 *)(w_va + 80)) : "r"(w_two - w_one) : "cc", "memory");
	CHECK(table_shows(10, 2), "OR and ADD on an entry");
	asm volatile("movnti %1, %0" : "=m"(*(u64 *)(w_va + 88)) : "r"(d) : "memory");
	CHECK(table_shows(11, 2), "MOVNTI on an entry");

	table_reset();
	{
		u64 source[4] ALIGNED(16) = {d, d, 0, w_one | RWU};
		u64 from = address(source), to = w_va, n = 4;

		asm volatile("movdqa (%0), %%xmm0; movups %%xmm0, (%1)" : : "r"(from), "r"(w_va + 96) : "memory");
		CHECK(table_shows(12, 2) && table_shows(13, 2), "a 16-byte SSE store on two entries");
		asm volatile("movq 16(%0), %%xmm0; movq %%xmm0, (%1)" : : "r"(from), "r"(w_va + 96) : "memory");
		CHECK(table_shows(12, 0), "an 8-byte SSE store on an entry");
		asm volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
		CHECK(table_shows(0, 2) && table_shows(1, 2) && table_shows(2, 0) && table_shows(3, 1),
		      "REP MOVSQ over entries");
		to = w_va, n = 6;
		asm volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(d) : "memory");
		CHECK(table_shows(0, 2) && table_shows(5, 2), "REP STOSQ over entries");
		to = w_va, n = 40;
		asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
		CHECK(table_shows(0, 0) && table_shows(4, 0) && table_shows(5, 2), "REP STOSB over entries");
		from = w_va + 40, to = w_va, n = 8;
		asm volatile("std; add $7, %0; add $7, %1; rep movsb; cld"
			     : "+S"(from), "+D"(to), "+c"(n)
			     :
			     : "cc", "memory");
		CHECK(table_shows(0, 2), "REP MOVSB downwards from entry to entry");
	}

	table_reset();
	asm volatile("mov %%rsp, %0; mov %1, %%rsp; push %2; push $0; mov %0, %%rsp"
		     : "=&r"(c)
		     : "r"(w_va + 16), "r"(d)
		     : "memory");
	CHECK(table_shows(1, 2) && table_shows(0, 0), "PUSH into a table");
	asm volatile("mov %%rsp, %0; mov %1, %%rsp; call 1f; 1: mov %0, %%rsp"
		     : "=&r"(c)
		     : "r"(w_va + 64)
		     : "memory");
	CHECK(w_table[7] > IMAGE_BASE && w_table[7] < IMAGE_BASE + 0x100000,
	      "CALL pushes its return address into a table");

	/* many writes in a row without use: the table may be dropped, the result is the same */
	table_reset();
	for (u32 i = 0; i < 500; i++)
		*(volatile u64 *)(w_va + 8 * (i & 15)) = (i & 1 ? w_one : w_two) | RWU;
	CHECK(table_shows(14, 2) && table_shows(15, 1), "500 writes in a row");

	/* 22: ring 3 writes a read-only page that is a page table */
	*space_entry(&space, w_va, 1) = address(w_table) | PTE_P | PTE_U;
	invlpg(w_va);
	CHECK(faults(A_WRITE, true, w_va, PF_P | PF_W | PF_U),
	      "ring 3 faults on a read-only table and does not hang");
	CHECK(faults(A_WRITE, false, w_va, PF_P | PF_W), "so does the supervisor");
	*space_entry(&space, w_va, 1) = address(w_table) | RWU;
	invlpg(w_va);
	access_value = d;
	CHECK(access(A_WRITE, true, w_va) && table_shows(0, 2), "ring 3 writes an entry");
}

/* 20: an exception frame pushed onto a table. */
static void breakpoint(void *unused)
{
	asm volatile("int3");
}

/* adversarial: 20, 30 */
static void test_frame_on_table(void)
{
	table_reset();
	/* five words and nothing else: entries 11 to 15 */
	set_ist(VEC_BP, 1, w_va + 16 * 8);
	guarded(breakpoint, NULL);
	set_ist(VEC_BP, 0, 0);
	CHECK(caught.vector == VEC_BP, "an exception frame is pushed onto a table");
	CHECK(w_table[15] == 0x10 && w_table[12] == 0x08, "and is whole");
	invlpg(VA + 15 * PAGE_SIZE);
	CHECK(!access(A_READ, false, VA + 15 * PAGE_SIZE), "and its words count as entries");
	table_reset();

	/* the stack's page absent: #PF during delivery, then #DF or the nested #PF's frame */
	set_ist(VEC_PF, 2, address(alloc_pages(2)) + 8192);
	set_ist(VEC_BP, 1, VA2 + (3ull << 30));
	guarded(breakpoint, NULL);
	CHECK(caught.vector == VEC_PF && caught.cr2 >= VA2 + (3ull << 30) - 64,
	      "#PF while #BP is delivered on an absent stack");
	set_ist(VEC_BP, 0, 0);
	set_ist(VEC_PF, 0, 0);
}

/* 21: instructions whose own bytes lie in the table they write. */
/* adversarial: 21 */
static void test_code_in_table(void)
{
	/* mov %rsi, 0(%rdi) ; ret at entry 100 */
	static const u8 code[] = {0x48, 0x89, 0x37, 0xc3};
	void (*run)(u64, u64) = (void (*)(u64, u64))(uintptr_t)(w_va + 800);

	table_reset();
	for (u32 i = 0; i < sizeof(code); i++)
		((volatile u8 *)w_va)[800 + i] = code[i];
	for (u32 i = 0; i < 10; i++) {
		run(w_va, (i & 1 ? w_one : w_two) | RWU);
		CHECK(table_shows(0, i & 1 ? 1 : 2), "code inside a table writes to that table");
	}
	w_table[100] = 0;
	flush_tlb();
}

/* --- bounds --- */
/* 23: CR3 may name odd memory as long as nothing is fetched through it; entries of tables may too. */
/* adversarial: 23 */
static void test_odd_tables(void)
{
	u64 va = VA + (200ull << 30);
	u64 *pdpte = space_entry(&space, va, 3);

	*pdpte = 0xfee00000ull | RWU; /* the local APIC as a level 2 table */
	flush_tlb();
	access(A_READ, false, va);
	CHECK(caught.happened && caught.vector == VEC_PF, "a table in the local APIC page faults and does no harm");
	*pdpte = 0xfffff000ull | RWU; /* flash */
	flush_tlb();
	access(A_READ, false, va);
	check(true, "a table in flash memory does no harm", " ");
	*pdpte = ((1ull << phys_bits) - PAGE_SIZE) | RWU;
	flush_tlb();
	access(A_READ, false, va);
	check(true, "a table at the end of the address space does no harm", " ");
	*pdpte = 0;
	flush_tlb();
	CHECK(faults(A_READ, false, va, 0), "and the slot is absent afterwards");
	CHECK(!access(A_READ, false, 0x8000000000000000ull) && caught.vector == VEC_GP && !caught.error,
	      "a non-canonical address gives #GP(0)");
}

/* 12: an entry from RAM to MMIO and back. */
/* adversarial: 12 */
static void test_ram_mmio(void)
{
	u64 one = address(page_of(1));
	u64 *pte = space_map(&space, VA, one, RWU, 1);
	u32 version = *(volatile u32 *)0xfee00030ull;

	flush_tlb();
	for (u32 i = 0; i < 20; i++) {
		*pte = one | RWU;
		invlpg(VA);
		CHECK(access(A_READ, false, VA) && access_value == 1, "an entry between RAM and MMIO: RAM");
		*pte = 0xfee00000ull | RWU | PTE_PCD;
		invlpg(VA);
		CHECK(*(volatile u32 *)(VA + 0x30) == version, "an entry between RAM and MMIO: local APIC");
		*pte = 0xfed00000ull | RWU | PTE_PCD; /* HPET */
		invlpg(VA);
		CHECK(*(volatile u32 *)VA == *(volatile u32 *)0xfed00000ull, "an entry between RAM and MMIO: HPET");
	}
	*pte = 0;
	invlpg(VA);
}

/* 26 and 27: many address spaces, then all dropped. */
/* adversarial: 26, 27 */
static void test_many_spaces(void)
{
	enum { SPACES = 200 };
	static struct space many[SPACES];
	u64 one = address(page_of(5));
	bool ok = true;

	for (u32 i = 0; i < SPACES; i++) {
		many[i].pml4 = alloc_pages(1);
		many[i].pml4[0] = space.pml4[0]; /* identity and stubs shared */
		many[i].pml4[254] = space.pml4[254];
		space_map(&many[i], VA + i * PAGE_SIZE, one, RWU, 1);
	}
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < SPACES; i++) {
			space_load(&many[i]);
			ok &= access(A_READ, true, VA + i * PAGE_SIZE) && access_value == 5;
			ok &= !access(A_READ, true, VA + (i + 1) * PAGE_SIZE);
		}
	}
	space_load(&space);
	CHECK(ok, "200 address spaces in turn, each sees its own mapping alone");
	for (u32 i = 0; i < SPACES; i++) {
		for (u32 n = 0; n < 512; n++)
			many[i].pml4[n] = n ? 0 : many[i].pml4[0];
		many[i].pml4[254] = space.pml4[254];
	}
	for (u32 i = 0; i < SPACES; i += 10) {
		space_load(&many[i]);
		ok &= !access(A_READ, true, VA + i * PAGE_SIZE);
	}
	space_load(&space);
	CHECK(ok, "after all are torn down none maps anything");
}

void run_tests(void)
{
	has_1g = cpuid(0x80000001, 0).d & BIT(26);
	has_smep = cpuid(7, 0).b & BIT(7);
	has_smap = cpuid(7, 0).b & BIT(20);
	write_cr4((read_cr4() | CR4_OSFXSR) & ~(CR4_SMEP | CR4_SMAP));
	write_cr0(read_cr0() | CR0_WP);
	space = space_new();
	space_load(&space);
	test_rights();
	test_rights_of_upper_levels();
	test_shared_table();
	test_wp_off();
	test_toggles();
	test_keys();
	test_reserved();
	test_accessed_dirty();
	test_dirty_survives();
	test_large();
	test_absent_to_present();
	test_unlinked_edit();
	test_copy_on_write();
	test_flushes();
	test_global();
	test_mutual_tables();
	test_self_map();
	test_promotion();
	test_everywhere();
	test_table_writes();
	test_frame_on_table();
	test_code_in_table();
	test_odd_tables();
	test_ram_mmio();
	test_many_spaces();
}
