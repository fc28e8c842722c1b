/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Enumerates the table of rights (lib/rights.h). A block prints one line with a hash of its records; the bare
 * machine is the oracle, so the runner compares the lines of a bare run with
 * those under the hypervisor.
 *
 *   sample=N   only every Nth pair of entries, chosen by a hash (default 1: all)
 *   seed=N     of that hash
 *   only=N     only block N
 *   verbose=N  prints each case of block N
 *
 * Where the bare emulator breaks the manual and the hypervisor keeps it, the record
 * is made the manual's before it is hashed and the deviation is counted on a line of
 * its own; under the hypervisor the counts must be zero.
 */
/* adversarial: 9, 17 */
#include "tests/guest/lib/rights.h"

#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

static u64 only, verbose;

/* Counts of what differs from the manual and is corrected before it is hashed. */
enum deviation { D_RSVD_WITHOUT_P, D_A_ON_FAULT, D_PDPTE_UNCHECKED, D_PDPTE_ACCESSED, D_IMPLICIT_AC, D_COUNT };
static const char *const deviation_name[] = {
	"reserved-bit fault without P",
	"A set by an access that faulted",
	"MOV CR3 takes a PDPTE with reserved bits",
	"A set in a PDPTE of PAE paging",
	"AC lets an implicit access from ring 3 pass SMAP",
};
static u64 deviations[D_COUNT];
static u64 oddities;

/* --- records --- */
static void print_entry(u64 e)
{
	static const struct {
		char name;
		u64 bit;
	} bits[] = {
		{'P', PTE_P}, {'W', PTE_W},  {'U', PTE_U}, {'A', PTE_A},
		{'D', PTE_D}, {'S', PTE_PS}, {'G', PTE_G}, {'N', PTE_NX},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bits); i++)
		print("%c", e & bits[i].bit ? bits[i].name : '-');
	print(":%lx", (u64)(e & ~PTE_NX));
}

static void print_case(const struct rights_block *b, const struct probe *p, u64 number)
{
	static const char *const kind[] = {"read", "write", "fetch", "segment", "fresh-segment"};
	static const char *const flush[] = {"no flush", "invlpg", "mov cr3", "again"};

	print("case %u.%lu leaf ", b->number, number);
	print_entry(p->leaf);
	print(" upper ");
	print_entry(p->upper);
	print(" %s %s ac=%u %s: vector %u error %x cr2 %lx value %lx data %lx %lx leaf ",
	      p->user ? "user" : "supervisor", kind[p->kind], p->ac, flush[p->flush], p->vector, p->error, p->cr2,
	      p->value, p->data[0], p->data[1]);
	print_entry(p->leaf_after);
	print(" upper ");
	print_entry(p->upper_after);
	print("\n");
}

/* Takes A back where it alone was set; returns whether that was so. */
static bool take_back_accessed(u64 before, u64 *after)
{
	if (before & PTE_A || *after != (before | PTE_A))
		return false;
	*after = before;
	return true;
}

/* A of an entry on the way is set before the walk is known to succeed; a leaf of 1 GiB, and a PDE
 * of 32-bit paging without large pages, count as being on the way. */
static void correct_accessed(const struct rights_block *b, struct probe *p)
{
	const struct rights_shape *s = b->shape;
	bool on_the_way = s->leaf == 3 || (s->mode == M_32 && s->leaf == 2 && !(b->control & C_PSE));
	bool upper = s->upper && take_back_accessed(p->upper, &p->upper_after);
	bool leaf = on_the_way && take_back_accessed(p->leaf, &p->leaf_after);

	deviations[D_A_ON_FAULT] += upper || leaf;
}

/*
 * An implicit access of the supervisor from ring 3 to a user page, SMAP on: AC does not count (SDM
 * vol. 3 section 4.6.1). From ring 0 neither emulator tells implicit accesses from explicit ones.
 */
static bool smap_forbids(const struct rights_block *b, const struct probe *p)
{
	bool translated =
		p->vector == VEC_USER_RETURN || (p->vector == VEC_PF && (p->error & (PF_P | PF_RSVD)) == PF_P);
	bool upper = !b->shape->upper || rights_upper_is_pdpte(b->shape) || p->upper & PTE_U;

	return p->user && p->kind >= PROBE_SEGMENT && b->control & C_SMAP && translated && p->leaf & PTE_U && upper;
}

static void correct_implicit(const struct rights_block *b, struct probe *p)
{
	u64 at = rights_run.va + offset_of[p->kind];

	if (!smap_forbids(b, p) || (p->vector == VEC_PF && p->error == PF_P && p->cr2 == at))
		return;
	deviations[D_IMPLICIT_AC] += p->ac;
	oddities += !p->ac; /* nobody is known to do that */
	p->vector = VEC_PF;
	p->error = PF_P;
	p->cr2 = at;
	p->leaf_after = p->leaf;
	p->upper_after = p->upper;
}

/* Turns what the bare emulator is known to do against the manual into what the manual says. */
static void correct(const struct rights_block *b, struct probe *p)
{
	if (rights_pdpte_is_reserved(b, p) && p->vector != VEC_GP) {
		deviations[D_PDPTE_UNCHECKED]++;
		*p = (struct probe){.leaf = p->leaf,
				    .upper = p->upper,
				    .leaf_after = p->leaf,
				    .upper_after = p->upper,
				    .kind = p->kind,
				    .user = p->user,
				    .ac = p->ac,
				    .flush = p->flush,
				    .vector = VEC_GP};
		return;
	}
	if (rights_upper_is_pdpte(b->shape) && take_back_accessed(p->upper, &p->upper_after))
		deviations[D_PDPTE_ACCESSED]++;
	/* Which of the descriptor's bytes is written to set its accessed bit differs between models. */
	if (p->kind == PROBE_FRESH)
		p->cr2 &= ~7ull;
	correct_implicit(b, p);
	if (p->vector != VEC_PF)
		return;
	if ((p->error & PF_RSVD) && !(p->error & PF_P)) {
		deviations[D_RSVD_WITHOUT_P]++;
		p->error |= PF_P;
	}
	/* A fresh segment's write comes after its read, which may have set A rightly. */
	if (p->kind != PROBE_FRESH || !(p->error & PF_W))
		correct_accessed(b, p);
}

static void hash_word(struct rights_block *b, u64 word)
{
	for (u32 i = 0; i < 64; i += 8)
		b->hash = (b->hash ^ (word >> i & 0xff)) * FNV_PRIME;
}

static void record(struct rights_block *b, struct probe *p)
{
	correct(b, p);
	if (!b->cases)
		b->hash = FNV_BASIS;
	if (b->number == verbose)
		print_case(b, p, b->cases);
	oddities += p->vector && p->vector != VEC_PF && p->vector != VEC_USER_RETURN && p->vector != VEC_GP;
	hash_word(b, p->leaf_after);
	hash_word(b, p->upper_after);
	hash_word(b, p->cr2);
	hash_word(b, p->value);
	hash_word(b, p->data[0]);
	hash_word(b, p->data[1]);
	hash_word(b, (u64)p->vector << 32 | p->error);
}

static bool wanted(u32 number)
{
	return only == ~0ull || only == number;
}

static void done(const struct rights_block *b)
{
	const struct rights_shape *s = b->shape;
	u32 control = b->control;

	print("rights %u %s leaf=%u upper=%u wp=%u smep=%u smap=%u nxe=%u pse=%u: n=%lu hash=%lx\n", b->number,
	      rights_mode_name[s->mode], s->leaf, s->upper, !!(control & C_WP), !!(control & C_SMEP),
	      !!(control & C_SMAP), !!(control & C_NXE), !!(control & C_PSE), b->cases,
	      b->cases ? b->hash : (u64)FNV_BASIS);
}

static void set_up(void)
{
	rights_sample = MAX(option("sample", 1), 1ull);
	rights_seed = option("seed", 1);
	only = option("only", ~0ull);
	verbose = option("verbose", ~0ull);
	rights_record = record;
	rights_wanted = wanted;
	rights_done = done;
	rights_init();
	print("phys_bits=%u 1g=%u smep=%u smap=%u la57=%u sample=%lu seed=%lu\n", phys_bits, rights_1g,
	      rights_smep, rights_smap, rights_la57, rights_sample, rights_seed);
}

void run_tests(void)
{
	u64 deviating = 0, all = 0;

	set_up();
	for (enum rights_mode mode = M_32; mode <= M_5L; mode++) {
		u64 cases = rights_run_mode(mode);

		print("cases %s %lu\n", rights_mode_name[mode], cases);
		all += cases;
	}
	print("cases all %lu\n", all);
	for (u32 i = 0; i < D_COUNT; i++) {
		print("deviation %s: %lu\n", deviation_name[i], deviations[i]);
		if (i != D_IMPLICIT_AC) /* a right that the processor itself gives, once the page is mapped */
			deviating += deviations[i];
	}
	oddities += rights_too_small;
	check(!oddities, "a case ends well, with #PF or with #GP", "%lu do not", oddities);
	if (under_umbra())
		check(!deviating, "no case deviates from the manual", "%lu do", deviating);
}
