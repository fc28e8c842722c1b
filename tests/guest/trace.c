/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the trace tells of known events: the guest maps, reads, writes, takes away, and then reads the records by CPUID. Of
 * each event there must be exactly the records that it caused, in their order; and none while the trace is off or the filter
 * keeps them out. Booted with trace=guest; the filter is set to the addresses of the test.
 */
#include "tests/guest/lib/guest.h"

#include "lib/trace_record.h"

#define LEAF_TRACE 0x40000020u
#define LEAF_RECORD 0x40000021u
#define LEAF_FILTER 0x40000022u
#define SET 0x100u
#define ENTRY_OF_PAGE (PTE_P | PTE_W | PTE_U)
#define STORY_MAX 64

static struct space space;
static u64 page;   /* the memory behind TEST_VA */
static u64 *entry; /* of TEST_VA */

static struct cpuid_regs cpuid_with(u32 leaf, u32 index, u64 value)
{
	struct cpuid_regs r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "b"((u32)value), "c"(index), "d"((u32)(value >> 32)));
	return r;
}

static u64 written(void)
{
	struct cpuid_regs r = cpuid_with(LEAF_TRACE, 0, 0);

	return (u64)r.d << 32 | r.a;
}

static struct trace_record record(u64 n)
{
	struct trace_record r;

	for (u32 part = 0; part < 4; part++) {
		struct cpuid_regs c = cpuid_with(LEAF_RECORD, (u32)n * 4 + part, 0);

		memcpy((u8 *)&r + part * 16, &c, 16);
	}
	return r;
}

static bool set(u32 what, u64 value)
{
	return cpuid_with(LEAF_FILTER, SET + what, value).a;
}

/* The kinds of the records from n on, a letter each. */
static const char *story(u64 n)
{
	static const char letters[TRACE_KIND_COUNT + 1] = "xwADFPUSZRfkicmE";
	static char text[STORY_MAX];
	u64 end = written();
	u32 at = 0;

	for (; n < end && at < STORY_MAX - 1; n++)
		text[at++] = record(n).kind < TRACE_KIND_COUNT ? letters[record(n).kind] : '?';
	text[at] = '\0';
	return text;
}

static bool is(const char *got, const char *wanted)
{
	while (*got && *got == *wanted)
		got++, wanted++;
	return *got == *wanted;
}

static void tells(u64 n, const char *wanted, const char *name)
{
	const char *got = story(n);

	check(is(got, wanted), name, "records %s, not %s", got, wanted);
}

static void read_and_write(void)
{
	struct trace_record r;
	u64 n = written();

	access(A_READ, false, TEST_VA);
	tells(n, "wAEEEEFx", "a first read: the walk, A, three links, the leaf, the exit");
	r = record(n + 5);
	check(r.level == 1 && !r.old && (r.new &PTE_ADDR_MASK) == page && !(r.new &PTE_W) && r.address == TEST_VA,
	      "the leaf leads to the page, without W", "level %u, %lx -> %lx at %lx", r.level, r.old, r.new,
	      r.address);
	check(r.where == (u64)(uintptr_t)entry, "it names the guest's entry", "%lx, not %p", r.where, entry);
	check(r.cr3 == read_cr3() && r.rip >= IMAGE_BASE && r.rip < SCRATCH_END, "and where the guest was",
	      "%lx %lx", r.cr3, r.rip);
	r = record(n + 1);
	check(r.detail == 4, "A was set in four entries", "%u", r.detail);
	n = written();
	access(A_WRITE, false, TEST_VA);
	tells(n, "wDEFx", "a first write: the walk, D, the leaf, the exit");
	r = record(n + 1);
	check((r.new &PTE_D) && r.new == *entry && (!r.old || r.old == (r.new & ~PTE_D)), "D as the entry has it",
	      "%lx -> %lx", r.old, r.new);
	n = written();
	access(A_WRITE, false, TEST_VA);
	access(A_READ, false, TEST_VA);
	tells(n, "", "what does not exit is not told");
}

static void take_away(void)
{
	struct trace_record r;
	u64 n;

	*entry = 0;
	n = written();
	invlpg(TEST_VA);
	tells(n, "Ef", "INVLPG of an entry that is gone: the leaf goes, and from the TLB");
	r = record(n);
	check(r.kind == TRACE_ENTRY && r.new == 0 && r.address == TEST_VA &&r.where == (u64)(uintptr_t)entry,
	      "it is the leaf of the page", "records %s", story(n));
	n = written();
	access(A_READ, false, TEST_VA);
	tells(n, "wix", "a fault of the guest's own: the walk, the event, the exit");
	check(record(n).detail == 1 && record(n + 1).detail == VEC_PF, "it is told as one", "%u %u",
	      record(n).detail, record(n + 1).detail);
	check(caught.vector == VEC_PF, "and the guest gets it", "vector %u", caught.vector);
}

static void filters(void)
{
	struct trace_record r;
	u64 n, cr3 = read_cr3();

	*entry = page | ENTRY_OF_PAGE;
	set(1, TEST_VA + PAGE_SIZE);
	set(2, TEST_VA + 2 * PAGE_SIZE);
	n = written();
	access(A_READ, false, TEST_VA);
	tells(n, "", "addresses that the filter keeps out are not told");
	set(1, 0);
	set(2, ~0ull);
	set(3, cr3 ^ PAGE_SIZE);
	access(A_WRITE, false, TEST_VA);
	tells(n, "", "address spaces that the filter keeps out are not told");
	set(3, 0);
	set(4, 1);
	invlpg(TEST_VA);
	cpuid(0, 0);
	tells(n, "", "nor are other processors");
	set(4, 0);
	set(0, 1u << TRACE_EXIT);
	n = written();
	cpuid(1, 0);
	cpuid(0, 0);
	write_cr3(cr3);
	tells(n, "xxx", "CPUID twice and MOV to CR3: three exits");
	set(0, 1u << TRACE_CR);
	n = written();
	write_cr3(cr3 | CR3_PCD);
	write_cr3(cr3);
	tells(n, "cc", "CR3 changed twice");
	r = record(n);
	check(r.detail == 3 && r.old == cr3 && r.new == (cr3 | CR3_PCD), "from what to what", "%u: %lx -> %lx",
	      r.detail, r.old, r.new);
	set(0, 1u << TRACE_EXIT);
	n = written();
	record(0);
	written();
	tells(n, "", "reading the trace is not told");
	set(0, 0);
	n = written();
	cpuid(1, 0);
	write_cr3(cr3);
	tells(n, "", "off, it tells nothing");
}

void run_tests(void)
{
	struct cpuid_regs r;

	if (!under_umbra()) {
		check(true, "bare: there is no trace", "never");
		return;
	}
	r = cpuid_with(LEAF_TRACE, 0, 0);
	if (!option("guest", 0)) {
		check(!r.b || !set(0, TRACE_ALL),
		      "the trace is the host's affair unless the boot entry says guest", "%u records", r.b);
		return;
	}
	check(r.b >= 64, "there is a ring", "%u records", r.b);
	space = space_new();
	page = (u64)(uintptr_t)alloc_pages(1);
	entry = space_map(&space, TEST_VA, page, ENTRY_OF_PAGE, 1);
	space_load(&space);
	check(set(1, TEST_VA) && set(2, TEST_VA + PAGE_SIZE - 1) && set(0, TRACE_ALL),
	      "the guest may change the filter", "it was refused");
	read_and_write();
	take_away();
	filters();
}
