/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of rights; see rights.h. */
#include "tests/guest/lib/rights.h"

const char *const rights_mode_name[M_COUNT] = {"32bit", "PAE", "4level", "compat", "5level"};

static const struct rights_shape shapes[] = {
	{M_32, 1, 2},     {M_32, 2, 0}, {M_PAE, 1, 2}, {M_PAE, 1, 3}, {M_PAE, 2, 0}, {M_4L, 1, 2},
	{M_4L, 1, 3},     {M_4L, 1, 4}, {M_4L, 2, 3},  {M_4L, 2, 4},  {M_4L, 3, 4},  {M_COMPAT, 1, 2},
	{M_COMPAT, 2, 3}, {M_5L, 1, 5}, {M_5L, 2, 5},  {M_5L, 3, 5},
};

#define TARGET_OFFSET 0x5000ull /* of the probed page in its 4 MiB block */
#define BLOCK_SIZE (4ull << 20)
#define LOW_VA 0x80000000ull      /* probes of 32-bit code, in the third GiB */
#define LOW_USER_VA 0xc0000000ull /* its ring-3 stubs, under upper entries of their own */
#define VA_4L TEST_VA
#define VA_5L (BIT(48) + TEST_VA)
#define MAX_STATES 64
#define BATCH 256
#define RWU (PTE_P | PTE_W | PTE_U)
#define AD (PTE_A | PTE_D)

static struct probe probes[BATCH];
static u64 target[2];      /* addresses of the two pages that a leaf may map */
static struct space space; /* of 64-bit and compatibility mode */
static u64 *pml5;
static u32 *directory32; /* identity of the image by 4 KiB pages, nothing else */
static u64 *pdpt_pae, *directory_pae;
static u32 control_bits; /* those that exist */

u64 rights_sample = 1, rights_phase, rights_seed = 1, rights_too_small;
struct probe_run rights_run;
bool rights_1g, rights_la57, rights_smep, rights_smap;
void (*rights_record)(struct rights_block *b, struct probe *p);
bool (*rights_wanted)(u32 number);
void (*rights_done)(const struct rights_block *b);

static u64 address(const void *p)
{
	return (u64)(uintptr_t)p;
}

static u64 total_cases;

static u64 mix(u64 v)
{
	v ^= v >> 30;
	v *= 0xbf58476d1ce4e5b9ull;
	v ^= v >> 27;
	v *= 0x94d049bb133111ebull;
	return v ^ v >> 31;
}

/* --- tables: every mode maps the image for the supervisor and has a free range for the probes --- */
static void map_user_low(u64 *pte_table, bool narrow)
{
	extern char user_start[], user_end[];

	for (u64 at = 0; at < (u64)(user_end - user_start); at += PAGE_SIZE) {
		u64 entry = (address(user_start) + at) | PTE_P | PTE_U | PTE_A;

		if (narrow)
			((u32 *)pte_table)[at >> PAGE_SHIFT] = (u32)entry;
		else
			pte_table[at >> PAGE_SHIFT] = entry;
	}
}

static void make_tables_32(void)
{
	u32 *stubs = alloc_pages(1);

	directory32 = alloc_pages(1);
	for (u64 at = IMAGE_BASE; at < SCRATCH_END; at += 4u << 20) {
		u32 *table = alloc_pages(1);

		for (u32 i = 0; i < 1024; i++)
			table[i] = (u32)(at + i * PAGE_SIZE) | PTE_P | PTE_W | AD;
		directory32[at >> 22] = (u32)(address(table) | PTE_P | PTE_W | PTE_A);
	}
	map_user_low((u64 *)stubs, true);
	directory32[LOW_USER_VA >> 22] = (u32)(address(stubs) | RWU | PTE_A);
}

static void make_tables_pae(void)
{
	u64 *low = alloc_pages(1), *high = alloc_pages(1), *stubs = alloc_pages(1);

	pdpt_pae = alloc_pages(1);
	directory_pae = alloc_pages(1);
	for (u64 at = IMAGE_BASE; at < SCRATCH_END; at += 2u << 20)
		low[at >> 21] = at | PTE_P | PTE_W | PTE_PS | AD;
	map_user_low(stubs, false);
	high[(LOW_USER_VA & 0x3fffffff) >> 21] = address(stubs) | RWU | PTE_A;
	pdpt_pae[0] = address(low) | PTE_P;
	pdpt_pae[LOW_VA >> 30] = address(directory_pae) | PTE_P;
	pdpt_pae[LOW_USER_VA >> 30] = address(high) | PTE_P;
}

/* Two GiB lose their identity mapping to the probes of compatibility mode and its stubs. */
static void make_tables_long(void)
{
	space = space_new();
	*space_entry(&space, LOW_VA, 3) = *space_entry(&space, LOW_USER_VA, 3) = 0;
	space_entry(&space, LOW_USER_VA, 1);
	map_user_low((u64 *)(*space_entry(&space, LOW_USER_VA, 2) & PTE_ADDR_MASK), false);
	pml5 = alloc_pages(1);
	pml5[0] = address(space.pml4) | RWU | PTE_A;
}

/* --- one shape: addresses, slots and all levels that do not vary open --- */
static u32 leaf_shift(const struct rights_shape *s)
{
	return s->mode == M_32 && s->leaf == 2 ? 22 : 12 + 9 * (s->leaf - 1);
}

static u64 leaf_base(const struct rights_shape *s, u32 which)
{
	return target[which] & ~(BIT(leaf_shift(s)) - 1);
}

/* A table whose address, taken for a large leaf, has reserved bits set at any size. */
static u64 *odd_table(void)
{
	u64 *p = alloc_aligned(BLOCK_SIZE, BLOCK_SIZE);

	return p + ((2u << 20) + (1u << 13)) / sizeof(*p);
}

static void place_32(const struct rights_shape *s, u32 *table)
{
	rights_run.va = LOW_VA + (target[0] & (BIT(leaf_shift(s)) - 1));
	rights_run.narrow = 1;
	rights_run.leaf_slot = address(&directory32[rights_run.va >> 22]);
	if (s->leaf == 2)
		return;
	rights_run.upper_slot = rights_run.leaf_slot;
	rights_run.leaf_slot = address(&table[rights_run.va >> 12 & 1023]);
	directory32[rights_run.va >> 22] = (u32)(address(table) | RWU | PTE_A);
}

static void place_pae(const struct rights_shape *s, u64 *table)
{
	u64 *pde;

	rights_run.va = LOW_VA + (target[0] & (BIT(leaf_shift(s)) - 1));
	pde = &directory_pae[(rights_run.va & 0x3fffffff) >> 21];
	rights_run.leaf_slot = address(pde);
	if (s->leaf == 1) {
		rights_run.leaf_slot = address(&table[rights_run.va >> 12 & 511]);
		*pde = address(table) | RWU | PTE_A;
		rights_run.upper_slot = s->upper == 2 ? address(pde) : address(&pdpt_pae[LOW_VA >> 30]);
	}
}

static void place_long(const struct rights_shape *s, u64 *table)
{
	static const u64 base[] = {[M_4L] = VA_4L, [M_5L] = VA_5L, [M_COMPAT] = LOW_VA};
	struct space tree = space;

	if (s->mode == M_5L) {
		tree.pml4 = alloc_pages(1);
		pml5[VA_5L >> 48] = address(tree.pml4) | RWU | PTE_A;
	}
	rights_run.va = base[s->mode] + (target[0] & (BIT(leaf_shift(s)) - 1));
	if (s->mode != M_COMPAT)
		*space_entry(&tree, rights_run.va, 4) = 0; /* all new tables */
	if (s->leaf == 1)
		*space_entry(&tree, rights_run.va, 2) = address(table) | RWU | PTE_A;
	else
		*space_entry(&tree, rights_run.va, s->leaf) = 0;
	rights_run.leaf_slot = address(space_entry(&tree, rights_run.va, s->leaf));
	rights_run.upper_slot =
		s->upper == 5 ? address(&pml5[VA_5L >> 48]) : address(space_entry(&tree, rights_run.va, s->upper));
}

static void place(const struct rights_shape *s)
{
	static u64 *table; /* of the lowest level, one for all shapes */
	extern char user_start[];

	if (!table)
		table = odd_table();
	for (u32 i = 0; i < 512; i++)
		table[i] = 0;
	rights_run = (struct probe_run){
		.target = {target[0], target[1]},
		.probes = address(probes),
		.user_base = LOW_USER_VA - address(user_start),
	};
	if (s->mode == M_32)
		place_32(s, (u32 *)table);
	else if (s->mode == M_PAE)
		place_pae(s, table);
	else
		place_long(s, table);
	probe_set_ldt(rights_run.va & PAGE_MASK);
	rights_run.va &= PAGE_MASK;
}

/* --- the states of an entry --- */
struct states {
	u64 flags[MAX_STATES];
	u32 count;
};

static void add(struct states *s, u64 flags)
{
	if (s->count < MAX_STATES)
		s->flags[s->count++] = flags;
	else
		rights_too_small++; /* the table is too small: fails the run */
}

static bool is_narrow(const struct rights_shape *s)
{
	return s->mode == M_32;
}

/* Every combination of W, U and NX with each of the values of A and D. */
static void add_rights(struct states *out, bool narrow, const u64 *marks, u32 count)
{
	for (u32 rights = 0; rights < (narrow ? 4 : 8); rights++)
		for (u32 i = 0; i < count; i++)
			add(out, PTE_P | (rights & 1 ? PTE_W : 0) | (rights & 2 ? PTE_U : 0) |
					 (rights & 4 ? PTE_NX : 0) | marks[i]);
}

static void add_reserved(struct states *out, u64 bit)
{
	add(out, RWU | AD | bit);
	add(out, PTE_P | bit);
}

static void add_absent(struct states *out, bool narrow, u64 reserved)
{
	add(out, 0);
	add(out, PTE_W | PTE_U | AD);
	if (!narrow)
		add(out, PTE_W | PTE_NX | reserved);
}

static u64 above_phys_bits(void)
{
	return phys_bits < 52 ? BIT(phys_bits) : 0;
}

static void leaf_states(const struct rights_shape *s, struct states *out)
{
	static const u64 marks[] = {0, PTE_A, AD};
	bool narrow = is_narrow(s);

	out->count = 0;
	add_rights(out, narrow, marks, ARRAY_SIZE(marks));
	add(out, RWU | PTE_D);
	add(out, RWU | PTE_G);
	add(out, RWU | BITS(11, 9) | (s->leaf == 1 ? PTE_PAT_4K : PTE_PAT_LARGE)); /* ignored, and a memory type */
	add_absent(out, narrow, above_phys_bits());
	if (!narrow && above_phys_bits())
		add_reserved(out, above_phys_bits());
	if (!narrow)
		add_reserved(out, BIT(62)); /* reserved in PAE, ignored elsewhere */
	if (s->leaf > 1)
		add_reserved(out, narrow ? BIT(21) : BIT(13));
	if (s->leaf > 1)
		for (u32 i = 0; i < out->count; i++)
			out->flags[i] |= PTE_PS;
}

/* A PDPTE of PAE paging has no rights; its reserved bits fail the MOV to CR3. */
static void pdpte_states(struct states *out)
{
	static const u64 reserved[] = {PTE_W, PTE_U, PTE_A, PTE_D, PTE_PS, PTE_G, PTE_NX, BIT(62), BIT(52)};

	out->count = 0;
	add(out, PTE_P);
	add(out, PTE_P | PTE_PWT | BITS(11, 9));
	add(out, 0);
	add(out, PTE_W | PTE_NX | above_phys_bits());
	for (u32 i = 0; i < ARRAY_SIZE(reserved); i++)
		add(out, PTE_P | reserved[i]);
	add(out, PTE_P | above_phys_bits());
}

static void upper_states(const struct rights_shape *s, struct states *out)
{
	static const u64 accessed[] = {PTE_A};
	bool narrow = is_narrow(s);

	out->count = 0;
	if (!s->upper) {
		add(out, 0);
		return;
	}
	if (s->mode == M_PAE && s->upper == 3) {
		pdpte_states(out);
		return;
	}
	add_rights(out, narrow, accessed, 1);
	add(out, RWU);
	add(out, PTE_P);
	add(out, RWU | PTE_D | BITS(11, 9));
	add_absent(out, narrow, above_phys_bits());
	add(out, RWU | PTE_PS);
	if (!narrow)
		add(out, RWU | PTE_A | BIT(62));
	if (!narrow && above_phys_bits())
		add_reserved(out, above_phys_bits());
}

/* --- control bits --- */
static u64 with(u64 value, u64 mask, bool on)
{
	return on ? value | mask : value & ~mask;
}

static void set_controls(const struct rights_block *b)
{
	enum rights_mode mode = b->shape->mode;
	u64 cr0 = with(read_cr0(), CR0_WP, b->control & C_WP);
	u64 cr4 = with(read_cr4(), CR4_SMEP, b->control & C_SMEP);

	cr4 = with(cr4, CR4_SMAP, b->control & C_SMAP);
	if (mode == M_32 || mode == M_PAE) {
		rights_run.cr0 = (u32)cr0;
		rights_run.cr4 = (u32)with(with(cr4, CR4_PSE, b->control & C_PSE), CR4_PAE, mode == M_PAE);
		rights_run.cr3 = (u32)address(mode == M_PAE ? pdpt_pae : (void *)directory32);
		rights_run.efer_nxe = b->control & C_NXE ? EFER_NXE : 0;
		return;
	}
	write_cr0(cr0);
	write_cr4(cr4);
	wrmsr(MSR_EFER, with(rdmsr(MSR_EFER), EFER_NXE, b->control & C_NXE));
	flush_tlb();
}

static void reset_controls(void)
{
	write_cr0(read_cr0() | CR0_WP);
	write_cr4(read_cr4() & ~(CR4_SMEP | CR4_SMAP | CR4_PGE | CR4_PSE));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
}

bool rights_upper_is_pdpte(const struct rights_shape *s)
{
	return s->mode == M_PAE && s->upper == 3;
}

bool rights_pdpte_is_reserved(const struct rights_block *b, const struct probe *p)
{
	u64 reserved = BITS(2, 1) | BITS(8, 5) | (~0ull << phys_bits);

	return rights_upper_is_pdpte(b->shape) && (p->upper & PTE_P) && (p->upper & reserved);
}

static void record(struct rights_block *b, struct probe *p)
{
	if (p->flush == FLUSH_KEEP) {
		p->leaf = b->last_leaf;
		p->upper = b->last_upper;
	}
	rights_record(b, p);
	b->last_leaf = p->leaf_after;
	b->last_upper = p->upper_after;
	b->cases++;
}

/* --- cases --- */
static void run_batch(struct rights_block *b)
{
	enum rights_mode mode = b->shape->mode;

	rights_run.count = b->queued;
	b->queued = 0;
	if (!rights_run.count)
		return;
	pdpt_pae[LOW_VA >> 30] = address(directory_pae) | PTE_P; /* or turning paging on fails */
	if (mode == M_32 || mode == M_PAE)
		probe_legacy(&rights_run);
	else
		probe_long(&rights_run, mode == M_COMPAT);
	for (u32 i = 0; i < rights_run.count; i++)
		record(b, &probes[i]);
}

static void queue(struct rights_block *b, const struct probe *p)
{
	probes[b->queued++] = *p;
	if (b->queued == BATCH)
		run_batch(b);
}

/*
 * What an earlier access left behind must not matter to another one with the same entries. Left out:
 * PDPTEs, which the processor may have refused, and what deviations have touched. With WP clear and
 * SMAP on, a page that the supervisor has written is open to its accesses with AC clear until ring 3
 * touches it or the entry is flushed: a known limit of the hypervisor.
 */
static bool may_be_followed(const struct rights_block *b, const struct probe *p)
{
	if (rights_upper_is_pdpte(b->shape) || (b->control & (C_SMAP | C_WP)) == C_SMAP)
		return false;
	return !(p->user && p->ac && p->kind >= PROBE_SEGMENT);
}

static void add_follower(struct rights_block *b, const struct probe *p, u64 random)
{
	struct probe again = {
		.flush = FLUSH_KEEP,
		.kind = (u8)(random % PROBE_KINDS),
		.user = random >> 16 & 1,
		.ac = b->control & C_SMAP ? random >> 17 & 1 : 0,
		.pattern = (u32)(random >> 24) | 1,
	};

	if (!(random >> 18 & 3) && may_be_followed(b, p))
		queue(b, &again);
}

/*
 * A quarter of the cases come after one that finds the leaf or the upper entry
 * absent: nothing may be cached of that, so they need no flush (SDM vol. 3 section 4.10.4.3).
 * A quarter are followed by another access that finds the entries as they are.
 */
static void add_case(struct rights_block *b, u64 leaf, u64 upper, enum probe_kind kind, bool user, bool ac)
{
	u64 random = mix(b->random + 32 * kind + 2 * user + ac);
	u32 which = (b->random ^ ((random & 3) == 0)) & 1; /* mostly one target for all accesses of a pair */
	struct probe p = {
		.leaf = leaf | leaf_base(b->shape, b->shape->leaf == 3 ? 0 : which),
		.upper = upper,
		.kind = (u8)kind,
		.user = user,
		.ac = ac,
		.pattern = (u32)(random >> 8) | 1,
		.flush = rights_upper_is_pdpte(b->shape) || random >> 41 & 1 ? FLUSH_ALL : FLUSH_PAGE,
	};

	if (!(random >> 44 & 3) && !rights_upper_is_pdpte(b->shape)) {
		struct probe before = p;
		u64 *absent = random >> 46 & 1 && b->shape->upper ? &before.upper : &before.leaf;

		*absent &= ~(u64)PTE_P;
		queue(b, &before);
		p.flush = FLUSH_NONE;
	}
	queue(b, &p);
	add_follower(b, &p, mix(random));
}

struct access_choice {
	u8 kind, user, ac;
};

static u32 list_accesses(const struct rights_block *b, struct access_choice *list)
{
	u32 count = 0;

	for (u32 kind = 0; kind < PROBE_KINDS; kind++)
		for (u32 user = 0; user < 2; user++)
			for (u32 ac = 0; ac < (b->control & C_SMAP && kind != PROBE_FETCH ? 2 : 1); ac++)
				list[count++] = (struct access_choice){(u8)kind, (u8)user, (u8)ac};
	return count;
}

/* All accesses with one pair of entries, in an order that differs from pair to pair. */
static void add_accesses(struct rights_block *b, u64 leaf, u64 upper)
{
	static const u8 steps[] = {1, 7, 11, 13}; /* prime to the number of accesses, 10 or 18 */
	struct access_choice list[PROBE_KINDS * 4];
	u32 count = list_accesses(b, list);
	u32 step = steps[b->random >> 8 & 3], at = b->random >> 10 & 7;

	for (u32 i = 0; i < count; i++) {
		const struct access_choice *c = &list[(at + i * step) % count];

		add_case(b, leaf, upper, c->kind, c->user, c->ac);
	}
}

/* What an upper entry holds besides its flags: the table below, as place() left it. */
static u64 upper_pointer(const struct rights_shape *s)
{
	u64 mask = is_narrow(s) ? BITS(31, 12) : PTE_ADDR_MASK;

	if (!s->upper)
		return 0;
	return (is_narrow(s) ? *(u32 *)rights_run.upper_slot : *(u64 *)rights_run.upper_slot) & mask;
}

static void run_block(const struct rights_shape *s, u32 control)
{
	struct rights_block b = {
		.shape = s, .number = (u32)(s - shapes) * (C_ALL + 1) + control, .control = control};
	struct states leaf, upper;
	u64 pointer = upper_pointer(s), old = is_narrow(s) || !s->upper ? 0 : *(u64 *)rights_run.upper_slot;

	if (rights_wanted && !rights_wanted(b.number))
		return;
	leaf_states(s, &leaf);
	upper_states(s, &upper);
	set_controls(&b);
	for (u32 pair = 0; pair < leaf.count * upper.count; pair++) {
		b.random = mix(mix(rights_seed << 32 | b.number) + pair);
		if (b.random % rights_sample == rights_phase)
			add_accesses(&b, leaf.flags[pair % leaf.count], upper.flags[pair / leaf.count] | pointer);
	}
	run_batch(&b);
	reset_controls();
	if (is_narrow(s) && s->upper)
		*(u32 *)rights_run.upper_slot = (u32)(pointer | RWU | PTE_A);
	else if (s->upper)
		*(u64 *)rights_run.upper_slot = old;
	total_cases += b.cases;
	if (rights_done)
		rights_done(&b);
}

static void run_shape(const struct rights_shape *s)
{
	u32 bits = control_bits & ~(s->mode == M_32 ? 0 : C_PSE);

	place(s);
	for (u32 control = 0; control <= C_ALL; control++)
		if (!(control & ~bits))
			run_block(s, control);
}

static bool shape_exists(const struct rights_shape *s)
{
	if (s->mode == M_5L && !rights_la57)
		return false;
	return s->mode == M_32 || s->leaf < 3 || rights_1g;
}

bool rights_mode_exists(enum rights_mode mode)
{
	return mode != M_5L || rights_la57;
}

u64 rights_run_mode(enum rights_mode mode)
{
	total_cases = 0;
	if (mode == M_5L && rights_la57)
		switch_levels(address(pml5));
	for (u32 i = 0; i < ARRAY_SIZE(shapes); i++)
		if (shapes[i].mode == mode && shape_exists(&shapes[i]))
			run_shape(&shapes[i]);
	if (mode == M_5L && rights_la57)
		switch_levels(address(space.pml4));
	return total_cases;
}

u64 rights_root(enum rights_mode mode)
{
	switch (mode) {
	case M_32: return address(directory32);
	case M_PAE: return address(pdpt_pae);
	case M_5L: return address(pml5);
	default: return address(space.pml4);
	}
}

void rights_init(void)
{
	rights_1g = cpuid(0x80000001, 0).d & BIT(26);
	rights_smep = cpuid(7, 0).b & BIT(7);
	rights_smap = cpuid(7, 0).b & BIT(20);
	rights_la57 = cpuid(7, 0).c & BIT(16);
	control_bits = C_WP | C_NXE | C_PSE | (rights_smep ? C_SMEP : 0) | (rights_smap ? C_SMAP : 0);
	for (u32 i = 0; i < 2; i++) {
		target[i] = address(alloc_aligned(BLOCK_SIZE, BLOCK_SIZE)) + TARGET_OFFSET;
		probe_fill_target(target[i], 0x11111111 * (i + 1));
	}
	make_tables_32();
	make_tables_pae();
	make_tables_long();
	space_load(&space);
	reset_controls();
	probe_init();
}
