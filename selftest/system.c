/* SPDX-License-Identifier: BSD-2-Clause */
/* Hidden memory, exceptions, what CPUID says, real mode. */
#include "selftest/selftest.h"

#define ONES (~0ull)
#define SAMPLES 64u
#define LOW_FIRST 0x2000ull /* a page that 16-bit code reaches from segment 0 */
#define LOW_END 0xf000ull

/* --- hidden memory --- */
static void map_page(struct space *s, u64 pa)
{
	space_map(s, TEST_VA, pa, PTE_P | PTE_W | PTE_A | PTE_D, 1);
	invlpg(TEST_VA);
}

static void check_page(struct space *s, u64 pa)
{
	map_page(s, pa);
	EXPECT(load(TEST_VA) == ONES && load(TEST_VA + PAGE_SIZE - 8) == ONES, "the page at %lx reads as %lx", pa,
	       load(TEST_VA));
	store(TEST_VA + 16, pa);
	EXPECT(load(TEST_VA + 16) == ONES, "the page at %lx keeps what is stored", pa);
}

static bool is_ram(u64 pa)
{
	for (u32 i = 0; i < boot.e820_count; i++) {
		const struct e820_entry *e = &boot.e820[i];

		if (e->type == E820_RAM && e->base <= pa && pa < e->base + e->size)
			return true;
	}
	return false;
}

static void check_range(struct space *s, const struct selftest_range *h)
{
	u64 pages = h->bytes >> PAGE_SHIFT, step = MAX(pages / SAMPLES, 1);

	for (u64 i = 0; i < pages + step && !has_failed(); i += step) {
		u64 pa = h->base + (MIN(i, pages - 1) << PAGE_SHIFT);

		EXPECT(!is_ram(pa), "the memory map has %lx as RAM", pa);
		check_page(s, pa);
	}
	map_page(s, h->base);
	EXPECT(!access(A_FETCH, false, TEST_VA) && caught.vector == VEC_UD, "code at %lx: vector %u", h->base,
	       caught.vector);
}

static void check_hidden(void)
{
	const struct selftest_machine *m = &block->machine;
	struct space old = {(u64 *)(read_cr3() & PTE_ADDR_MASK)}, space;
	u64 mark = alloc_mark();

	if (!m->hidden_count) {
		skip("there is no hypervisor");
		return;
	}
	space = space_new();
	space_load(&space);
	for (u32 i = 0; i < m->hidden_count && !has_failed(); i++)
		check_range(&space, &m->hidden[i]);
	space_load(&old);
	alloc_release(mark);
	note("%u ranges", m->hidden_count);
}

/* --- CPUID and control registers --- */
static void check_identity(void)
{
	if (!block->machine.hidden_count) {
		skip("there is no hypervisor");
		return;
	}
	EXPECT(under_umbra(), "leaf 40000000 is not Umbra's");
	EXPECT(!(cpuid(1, 0).c & BIT(5)) && !(cpuid(0x80000001, 0).c & BIT(2)), "SVM or VMX can be seen");
	EXPECT(!(read_cr4() & CR4_VMXE), "CR4.VMXE reads as set");
	EXPECT((read_cr3() & PTE_ADDR_MASK) != 0 && is_ram(read_cr3() & PTE_ADDR_MASK),
	       "CR3 reads as %lx, which is no memory of the guest's", read_cr3());
}

/* --- exceptions --- */
static void divide(void *unused)
{
	asm volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
		     :
		     :
		     : "eax", "ecx", "edx", "cc");
}

static void undefined(void *unused)
{
	asm volatile("ud2");
}

static void breakpoint(void *unused)
{
	asm volatile("int3");
}

static void software(void *unused)
{
	asm volatile("int $0x81");
}

static void not_canonical(void *unused)
{
	(void)load(BIT(62));
}

static void step(void *unused)
{
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" : : : "memory", "cc");
}

static void virtualise(void *unused)
{
	asm volatile("vmcall");
}

static void bad_cr4(void *unused)
{
	write_cr4(read_cr4() | BIT(31));
}

static void check_exceptions(void)
{
	static const struct {
		void (*run)(void *);
		u32 vector;
		const char *name;
	} list[] = {
		{divide, VEC_DE, "a division by zero"},
		{undefined, VEC_UD, "UD2"},
		{breakpoint, VEC_BP, "INT3"},
		{software, 0x81, "INT 81H"},
		{not_canonical, VEC_GP, "an address that is not canonical"},
		{step, VEC_DB, "a single step"},
		{virtualise, VEC_UD, "VMCALL"},
		{bad_cr4, VEC_GP, "a reserved bit of CR4"},
	};

	/* QEMU's own processor hangs at the last one where no hypervisor takes it. */
	for (u32 i = 0; i < ARRAY_SIZE(list) - !under_umbra(); i++)
		EXPECT(guarded(list[i].run, NULL) && caught.vector == list[i].vector, "%s gives vector %u",
		       list[i].name, caught.vector);
}

/* --- real mode --- */
extern char real_code[], real_code_end[], real_segment[];
struct real_notes {
	u32 cr0, cpuid_b, soft, divided, copied, wrapped, flags;
};
/* Runs the copy of real_code at that address in real mode; what it notes lies at NOTES_OFFSET of the page. */
void real_run(u64 page);
#define NOTES_OFFSET 0xe00u

static void check_real_notes(const struct real_notes *n)
{
	EXPECT(!(n->cr0 & (CR0_PE | CR0_PG)), "CR0 reads as %x", n->cr0);
	EXPECT(n->cpuid_b == cpuid(0x40000000, 0).b, "CPUID gives %x", n->cpuid_b);
	EXPECT(n->soft == 3, "of 3 INT n %u came", n->soft);
	EXPECT(n->divided == 2, "of 2 division errors %u came", n->divided);
	EXPECT(n->copied == 0x12345678, "REP MOVSB copies %x", n->copied);
	EXPECT(n->wrapped == 0x5678, "a segment's end reads as %x", n->wrapped);
	EXPECT((n->flags & 0x8d5) == 0x55, "the flags are %x", n->flags);
}

static void check_real_mode(void)
{
	static u8 saved[PAGE_SIZE], vectors[0x400];
	volatile u8 *ivt = NULL;
	u64 at = LOW_FIRST;
	u16 segment;

	while (at < LOW_END && !is_ram(at))
		at += PAGE_SIZE;
	if (at >= LOW_END) {
		skip("no free memory below 60 KiB");
		return;
	}
	asm volatile("" : "+r"(ivt)); /* an address that the compiler takes for one behind NULL */
	memcpy(saved, (void *)at, PAGE_SIZE);
	for (u32 i = 0; i < sizeof(vectors); i++)
		vectors[i] = ivt[i];
	memset((void *)at, 0, PAGE_SIZE);
	memcpy((void *)at, real_code, (uintptr_t)real_code_end - (uintptr_t)real_code);
	segment = (u16)(at >> 4);
	memcpy((u8 *)at + (real_segment - real_code), &segment, sizeof(segment));
	real_run(at);
	for (u32 i = 0; i < sizeof(vectors); i++)
		ivt[i] = vectors[i];
	check_real_notes((const struct real_notes *)(at + NOTES_OFFSET));
	memcpy((void *)at, saved, PAGE_SIZE);
}

const struct check_item system_checks[] = {
	{"hidden memory", check_hidden},
	{"what CPUID and control registers show", check_identity},
	{"exceptions", check_exceptions},
	{"real mode", check_real_mode},
	{NULL, NULL},
};
