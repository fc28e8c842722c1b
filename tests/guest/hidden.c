/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's memory, seen from the guest: in the memory map it is reserved,
 * as other things are, so it is found by writing back to each page what it reads
 * as, and asking the hypervisor's counter whether that was a write to be dropped.
 * Mapped and touched in every way it reads as all-ones, swallows writes, gives #UD
 * when executed, and the events are counted. Bare, the same memory is RAM that
 * nobody owns, so only the reserved ranges are listed there. tests/system/run.py
 * compares both lists with what the boot loader says it hides.
 */
/* adversarial: 24 */
#include "tests/guest/lib/guest.h"

#define MAX_RANGES 8
#define POOL_MIN (16ull << 20)
#define ONES (~0ull)
#define VA TEST_VA

struct range {
	u64 base, end;
};
static struct range hidden[MAX_RANGES];
static u32 hidden_count;
static u64 miscounted; /* pages where one store counted as more */
static struct space space;

static void map_page(u64 va, u64 pa)
{
	space_map(&space, va, pa, PTE_P | PTE_W | PTE_U | PTE_A | PTE_D, 1);
	invlpg(va);
}

/* --- finding it: pages of reserved ranges up to the end of memory, but for the ROMs below 1 MiB --- */
#define ROM_BASE 0xa0000u
static bool is_hidden(u64 pa, u32 counter)
{
	u64 before = umbra_counter_at(counter), counted;

	map_page(VA, pa);
	store(VA, load(VA));
	counted = umbra_counter_at(counter) - before;
	miscounted += counted > 1;
	return counted;
}

static void add_page(u64 pa)
{
	struct range *last = hidden_count ? &hidden[hidden_count - 1] : NULL;

	if (last && last->end == pa)
		last->end += PAGE_SIZE;
	else if (hidden_count < MAX_RANGES)
		hidden[hidden_count++] = (struct range){pa, pa + PAGE_SIZE};
}

static void find_hidden(const struct e820_entry *e, u32 counter)
{
	for (u64 pa = e->base; pa < e->base + e->size; pa += PAGE_SIZE)
		if (is_hidden(pa, counter))
			add_page(pa);
}

/* Returns the bytes of reserved memory. */
static u64 look_at_map(void)
{
	u32 counter = umbra_counter_find("shadow_hidden_writes");
	u64 limit = option("ram_mib", 512) << 20, bytes = 0;

	for (u32 i = 0; i < boot.e820_count; i++) {
		const struct e820_entry *e = &boot.e820[i];

		if (e->type != E820_RESERVED || (e->base + e->size > ROM_BASE && e->base < 1u << 20) ||
		    e->base + e->size > limit)
			continue;
		print("reserved %lx to %lx\n", e->base, e->base + e->size);
		bytes += e->size;
		if (under_umbra())
			find_hidden(e, counter);
	}
	for (u32 i = 0; i < hidden_count; i++)
		print("hidden %lx to %lx\n", hidden[i].base, hidden[i].end);
	return bytes;
}

/* --- reads --- */
static bool ones_at(u64 va)
{
	volatile u8 *p = (volatile u8 *)va;

	return p[0] == 0xff && *(volatile u16 *)(p + 1) == 0xffff && *(volatile u32 *)(p + 5) == 0xffffffff &&
	       *(volatile u64 *)(p + 9) == ONES && *(volatile u64 *)(p + 16) == ONES;
}

/* Every page of a small range, a sample of a large one; the first and last always. */
static void check_reads(const struct range *h)
{
	u64 pages = (h->end - h->base) >> PAGE_SHIFT, step = MAX(pages / 64, 1), bad = 0;

	for (u64 i = 0; i < pages + step; i += step) {
		map_page(VA, h->base + (MIN(i, pages - 1) << PAGE_SHIFT));
		if (!ones_at(VA) || !ones_at(VA + 0x7f8) || !ones_at(VA + PAGE_SIZE - 24))
			bad++;
	}
	check(!bad, "loads of 1 to 8 bytes from hidden pages give all-ones", "%lu pages differ", bad);
}

static void check_wide_reads(void)
{
	u64 out[2] ALIGNED(16) = {0, 0};
	u64 left;

	map_page(VA, hidden[0].base);
	asm volatile("movdqu %1, %%xmm0; movdqu %%xmm0, %0" : "=m"(out) : "m"(*(u64(*)[2])(VA + 3)));
	check(out[0] == ONES && out[1] == ONES, "MOVDQU from a hidden page gives all-ones", "%lx %lx", out[0],
	      out[1]);
	out[0] = out[1] = 0;
	asm volatile("movaps %1, %%xmm0; movaps %%xmm0, %0" : "=m"(out) : "m"(*(u64(*)[2])(VA + 32)));
	check(out[0] == ONES && out[1] == ONES, "MOVAPS from a hidden page gives all-ones", "%lx %lx", out[0],
	      out[1]);

	out[0] = out[1] = 0;
	{
		u64 from = VA + 100, to = (u64)(uintptr_t)out;

		left = 16;
		asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(left) : : "memory");
		check(!left && out[0] == ONES && out[1] == ONES && from == VA + 116,
		      "REP MOVSB from a hidden page gives all-ones", "%lx %lx", out[0], out[1]);
	}
	{
		u64 at = VA + 64;

		left = 100;
		asm volatile("repe scasb" : "+D"(at), "+c"(left) : "a"(0xff) : "memory", "cc");
		check(!left && at == VA + 164, "REPE SCASB over a hidden page finds only ones", "%lu left", left);
	}
	{
		u64 v = 0;

		asm volatile("push (%1); pop %0" : "=r"(v) : "r"(VA + 8));
		check(v == ONES, "PUSH from a hidden page gives all-ones", "%lx", v);
		v = 0x1234;
		asm volatile("and (%1), %0" : "+r"(v) : "r"(VA + 8) : "cc");
		check(v == 0x1234, "AND with a hidden operand computes with all-ones", "%lx", v);
		asm volatile("movzbl (%1), %k0" : "=r"(v) : "r"(VA + 8));
		check(v == 0xff, "MOVZX from a hidden page gives 0xff", "%lx", v);
		asm volatile("movslq (%1), %0" : "=r"(v) : "r"(VA + 8));
		check(v == ONES, "MOVSXD from a hidden page gives all-ones", "%lx", v);
	}
}

static void check_page_crossing(void)
{
	u8 *ram = alloc_pages(1);
	u64 v;

	ram[PAGE_SIZE - 1] = 0x11;
	map_page(VA, (u64)(uintptr_t)ram);
	map_page(VA + PAGE_SIZE, hidden[0].base);
	v = load(VA + PAGE_SIZE - 1);
	check(v == 0xffffffffffffff11ull, "a load across RAM and hidden memory joins both", "%lx", v);
	store(VA + PAGE_SIZE - 4, 0x1122334455667788ull);
	check(*(u32 *)(ram + PAGE_SIZE - 4) == 0x55667788 && ones_at(VA + PAGE_SIZE),
	      "a store across RAM and hidden memory changes only the RAM", "%x", *(u32 *)(ram + PAGE_SIZE - 4));
}

/* --- writes --- */
static void write_plain(u64 va)
{
	*(volatile u8 *)va = 0;
	*(volatile u16 *)(va + 1) = 0;
	*(volatile u32 *)(va + 5) = 0;
	store(va + 9, 0);
	asm volatile("movb $5, (%0); movw $5, 2(%0); movl $5, 4(%0); movq $5, 8(%0)" : : "r"(va) : "memory");
}

static void write_strings(u64 va)
{
	static u64 source[8];
	u64 to = va, from = (u64)(uintptr_t)source, n = 64;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
	to = va, n = 8;
	asm volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(0) : "memory");
	to = va, n = 64;
	asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n) : : "memory");
}

static void write_arithmetic(u64 va)
{
	asm volatile("addl $1, (%0); incq 8(%0); decb 16(%0); xorq $-1, (%0); notl 4(%0); negw 8(%0); andb $0, (%0);"
		     "btrl $3, (%0); btcq $9, 8(%0); shll $4, (%0); setc 20(%0); subq %1, 24(%0)"
		     :
		     : "r"(va), "r"(77ull)
		     : "memory", "cc");
}

static void write_locked(u64 va)
{
	u64 a = ONES, x = 5;

	asm volatile("lock addq $1, (%0); lock incl 8(%0); lock btrq $3, 16(%0); lock andl $0, (%0)"
		     :
		     : "r"(va)
		     : "memory", "cc");
	asm volatile("xchgq %0, (%1)" : "+r"(x) : "r"(va) : "memory");
	check(x == ONES, "XCHG with a hidden page returns all-ones", "%lx", x);
	x = 0;
	asm volatile("lock xaddq %0, 8(%1)" : "+r"(x) : "r"(va) : "memory", "cc");
	check(x == ONES, "XADD with a hidden page returns all-ones", "%lx", x);
	x = 1;
	asm volatile("lock cmpxchgq %1, (%2)" : "+a"(a) : "r"(x), "r"(va) : "memory", "cc");
	check(a == ONES, "CMPXCHG with a hidden page compares with all-ones", "%lx", a);
}

static void write_wide(u64 va)
{
	u64 low = ONES, high = ONES;

	asm volatile("pxor %%xmm0, %%xmm0; movdqu %%xmm0, 1(%0); movaps %%xmm0, 32(%0); movq %%xmm0, 64(%0);"
		     "movntdq %%xmm0, 80(%0)"
		     :
		     : "r"(va)
		     : "memory");
	asm volatile("lock cmpxchg16b (%2)"
		     : "+a"(low), "+d"(high)
		     : "r"(va), "b"(0ull), "c"(0ull)
		     : "memory", "cc");
	asm volatile("lock cmpxchg8b 16(%2)" : "+a"(low), "+d"(high) : "r"(va), "b"(0), "c"(0) : "memory", "cc");
}

static void write_stack(u64 va)
{
	u64 saved;

	asm volatile("mov %%rsp, %0; lea 256(%1), %%rsp; push $0; push %1; pushfq; mov %0, %%rsp"
		     : "=&r"(saved)
		     : "r"(va)
		     : "memory");
}

static void check_writes(u64 pa)
{
	static const struct {
		void (*fn)(u64);
		const char *name;
	} kinds[] = {
		{write_plain, "plain stores to a hidden page change nothing"},
		{write_strings, "string stores to a hidden page change nothing"},
		{write_arithmetic, "read-modify-write on a hidden page changes nothing"},
		{write_locked, "locked operations on a hidden page change nothing"},
		{write_wide, "16-byte stores to a hidden page change nothing"},
		{write_stack, "pushes into a hidden page change nothing"},
	};

	map_page(VA, pa);
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool ones = true;

		kinds[i].fn(VA + 0x100);
		for (u64 at = 0; at < PAGE_SIZE; at += 8)
			ones &= load(VA + at) == ONES;
		check(ones, kinds[i].name, "the page changed");
	}
}

/* --- the rest --- */
static void check_fetch(void)
{
	map_page(VA, hidden[0].base);
	check(!access(A_FETCH, false, VA) && caught.vector == VEC_UD && caught.rip == VA,
	      "executing a hidden page gives #UD", "vector %u rip %lx", caught.vector, caught.rip);
	check(!access(A_FETCH, true, VA) && caught.vector == VEC_UD, "executing a hidden page in ring 3 gives #UD",
	      "vector %u", caught.vector);
}

static void check_user(void)
{
	map_page(VA, hidden[0].base);
	check(access(A_READ, true, VA + 8) && access_value == ONES, "ring 3 reads all-ones", "%lx", access_value);
	access_value = 0;
	check(access(A_WRITE, true, VA + 8) && ones_at(VA), "a store from ring 3 changes nothing", "vector %u",
	      caught.vector);
	space_map(&space, VA, hidden[0].base, PTE_P | PTE_A, 1);
	invlpg(VA);
	check(!access(A_WRITE, true, VA) && caught.vector == VEC_PF && (caught.error & 0x1f) == (PF_P | PF_W | PF_U),
	      "rights are checked before the hidden page is seen", "vector %u error %lx", caught.vector,
	      caught.error);
}

/* Hidden memory as a page table: all-ones entries, so reserved bits; its A bits go nowhere. */
static void check_as_table(u32 level, const char *name)
{
	u64 va = VA + (1ull << 40);
	u64 *entry = space_entry(&space, va, level), old = *entry;

	*entry = hidden[0].base | PTE_P | PTE_W | PTE_U;
	flush_tlb();
	check(!access(A_READ, false, va) && caught.vector == VEC_PF && (caught.error & PF_RSVD) && caught.cr2 == va,
	      name, "vector %u error %lx cr2 %lx", caught.vector, caught.error, caught.cr2);
	access_value = 0;
	check(!access(A_WRITE, true, va) && caught.vector == VEC_PF && (caught.error & PF_RSVD), name,
	      "write: vector %u error %lx", caught.vector, caught.error);
	*entry = old;
	flush_tlb();
}

/* A 2 MiB page over hidden memory and over RAM beside it. */
static void check_large_page(const struct range *h)
{
	u64 base = h->base & ~0x1fffffull, before = h->base - PAGE_SIZE;
	u64 alias = VA + (2ull << 40);

	space_map(&space, alias, base, PTE_P | PTE_W | PTE_A | PTE_D, 2);
	invlpg(alias);
	check(ones_at(alias + (h->base - base)), "a large page shows its hidden part as all-ones", "base %lx", base);
	store(alias + (h->base - base), 0);
	check(ones_at(alias + (h->base - base)), "a large page drops writes to its hidden part", "base %lx", base);
	if (before >= base) {
		map_page(VA, before);
		check(load(alias + (before - base)) == load(VA), "a large page shows its RAM part", "base %lx",
		      base);
	}
}

/* --- each access that exits counts once, for each page that it touches --- */
static void count_load(u64 va)
{
	load(va);
}
static void count_loads(u64 va)
{
	load(va);
	load(va + 8);
}
static void count_fetch(u64 va)
{
	access(A_FETCH, false, va);
}
static void count_store(u64 va)
{
	store(va, 1);
}
static void count_add(u64 va)
{
	asm volatile("addq $1, (%0)" : : "r"(va) : "memory", "cc");
}
static void count_exchange(u64 va)
{
	u64 x = 5;

	asm volatile("xchgq %0, (%1)" : "+r"(x) : "r"(va) : "memory");
}
static void count_exchange_wide(u64 va)
{
	u64 low = 0, high = 0;

	asm volatile("lock cmpxchg16b (%2)"
		     : "+a"(low), "+d"(high)
		     : "r"(va), "b"(0ull), "c"(0ull)
		     : "memory", "cc");
}
static void count_vector(u64 va)
{
	asm volatile("movups %%xmm0, (%0)" : : "r"(va) : "memory");
}
static void count_state(u64 va)
{
	asm volatile("fxsave64 (%0)" : : "r"(va) : "memory");
}
static void count_string(u64 va)
{
	u64 n = 64;

	asm volatile("rep stosb" : "+D"(va), "+c"(n) : "a"(0) : "memory");
}
static void count_push(u64 va)
{
	u64 saved;

	asm volatile("mov %%rsp, %0; lea 256(%1), %%rsp; push $0; mov %0, %%rsp"
		     : "=&r"(saved)
		     : "r"(va)
		     : "memory");
}
/* Over the end of the page, into one that is hidden too or is RAM. */
static void count_crossing(u64 va)
{
	map_page(va + PAGE_SIZE, hidden[0].base);
	store(va + PAGE_SIZE - 4, 0);
}
static void count_half(u64 va)
{
	map_page(va + PAGE_SIZE, (u64)(uintptr_t)alloc_pages(1));
	store(va + PAGE_SIZE - 4, 0);
}

static void check_counters(void)
{
	static const struct {
		void (*fn)(u64);
		u32 reads, writes;
		const char *name;
	} cases[] = {
		{count_load, 1, 0, "a load from hidden memory counts once"},
		{count_loads, 1, 0, "a load from hidden memory that is mapped does not exit"},
		{count_fetch, 1, 0, "a fetch from hidden memory counts once"},
		{count_store, 0, 1, "a store to hidden memory counts once"},
		{count_add, 1, 1, "a read-modify-write of hidden memory counts as both"},
		{count_exchange, 1, 1, "XCHG with hidden memory counts as both"},
		{count_exchange_wide, 1, 1, "CMPXCHG16B on hidden memory counts as both"},
		{count_vector, 0, 1, "MOVUPS to hidden memory counts once"},
		{count_state, 0, 1, "FXSAVE to hidden memory counts once"},
		{count_string, 0, 64, "REP STOSB to hidden memory counts each element"},
		{count_push, 0, 1, "a push to hidden memory counts once"},
		{count_crossing, 0, 2, "a store over two hidden pages counts once for each"},
		{count_half, 0, 1, "a store over hidden memory and RAM counts once"},
	};
	u32 reads = umbra_counter_find("shadow_hidden_reads"), writes = umbra_counter_find("shadow_hidden_writes");

	check(!miscounted, "a store to a hidden page is counted once", "more on %lu pages", miscounted);
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 va = VA + (3ull << 40) + ((u64)i << 30), r, w; /* nothing is mapped there yet, nor beside it */

		map_page(va, hidden[0].base);
		/* What reads and writes may exit for either; the read does not once the page is mapped. */
		if (cases[i].writes)
			load(va);
		r = umbra_counter_at(reads);
		w = umbra_counter_at(writes);
		cases[i].fn(va);
		r = umbra_counter_at(reads) - r;
		w = umbra_counter_at(writes) - w;
		check(r == cases[i].reads && w == cases[i].writes, cases[i].name, "%lu reads, %lu writes", r, w);
	}
}

void run_tests(void)
{
	u64 reserved;

	space = space_new();
	space_load(&space);
	reserved = look_at_map();
	if (!check(reserved > POOL_MIN, "the memory map has the hypervisor's memory as reserved", "%lu bytes",
		   reserved))
		return;
	if (!under_umbra() || !check(hidden_count > 0, "reserved memory is hidden", "no page is"))
		return;
	write_cr4(read_cr4() | CR4_OSFXSR);
	for (u32 i = 0; i < hidden_count; i++) {
		check_reads(&hidden[i]);
		check_writes(hidden[i].base);
		check_writes(hidden[i].end - PAGE_SIZE);
		check_large_page(&hidden[i]);
	}
	check_wide_reads();
	check_page_crossing();
	check_fetch();
	check_user();
	check_as_table(4, "hidden memory as a level 3 table faults with RSVD");
	check_as_table(3, "hidden memory as a level 2 table faults with RSVD");
	check_as_table(2, "hidden memory as a level 1 table faults with RSVD");
	check_counters();
}
