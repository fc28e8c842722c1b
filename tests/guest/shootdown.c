/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables that several processors share and edit (options: cpus=N, seed=, rounds=): one changes an entry, sends an interrupt or
 * an NMI, the others flush, look, and acknowledge; from then on nobody may see what was there before. Each frame
 * says which it is, so that a stale translation shows. Meanwhile all of them edit entries of their own in the same table, set A
 * and D, and reload CR3. What a TLB may still hold (SDM vol. 3 section 4.10.4) is allowed, and nothing else.
 */
/* adversarial: 2, 10, 15, 17 */
#include "tests/guest/lib/smp.h"

#define VECTOR 0x50u
#define CR4_PGE_BIT BIT(7)
#define ERROR_P BIT(0)
#define ERROR_W BIT(1)

#define SHARED 64u  /* slots of the table that the editors change */
#define PRIVATE 16u /* and of each processor */
#define FRAMES 96u
#define OWN_FRAMES 8u
#define SLOT_VA(slot) (TEST_VA + (u64)(slot)*PAGE_SIZE)
#define PRIVATE_SLOT(id, n) (SHARED + (id)*PRIVATE + (n))
#define LOG_VA (TEST_VA + (1ull << 30))   /* one page, for bits that several set */
#define FREE_VA (TEST_VA + (2ull << 30))  /* 2 MiB whose table comes and goes */
#define LARGE_VA (TEST_VA + (3ull << 30)) /* 2 MiB, one page or 512 */
#define COW_VA (TEST_VA + (4ull << 30))
#define COW_PAGES 32u
#define COW_FRAMES 2048u

#define FRAME_TAG 0x46524d0000000000ull
#define LARGE_TAG 0x4c52470000000000ull
#define OWN_WORD(id) (64 + 8 * (id)) /* of a processor in every page; word 0 is the tag */

enum state { ABSENT, READ_ONLY, WRITABLE, READ_ALONE /* writable, and not to be written */ };
enum flush { BY_INVLPG, BY_CR3, BY_CR4, FLUSHES };

static struct mine {
	u64 recover, faulted, error; /* of the access at hand */
	u64 random;
	u32 wrong; /* and the first one: */
	const char *what;
	u64 got, wanted;
	u64 looks, edits;
} mine[SMP_MAX];

static u64 seed, rounds;
static u64 frame[FRAMES], own_frame[SMP_MAX][OWN_FRAMES];
static volatile u64 *entries; /* of the shared table */
static struct smp_barrier barrier;

static u64 next_random(struct mine *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static u32 below(struct mine *m, u32 limit)
{
	return (u32)(next_random(m) >> 20) % limit;
}

static void wrong(struct mine *m, const char *what, u64 got, u64 wanted)
{
	if (m->wrong++)
		return;
	m->what = what;
	m->got = got;
	m->wanted = wanted;
}

/* --- accesses that may fault -------------------------------------------------------------- */

#define ACCESS(m, instruction, value, va) \
	asm volatile("movq $1f, %[recover]\n" instruction "\n1: movq $0, %[recover]" \
		     : [recover] "+m"((m)->recover), [v] "+r"(value) \
		     : [va] "r"(va) \
		     : "memory", "cc")

static bool try_read(struct mine *m, u64 va, u64 *value)
{
	m->faulted = *value = 0;
	ACCESS(m, "mov (%[va]), %[v]", *value, va);
	return !m->faulted;
}

static bool try_write(struct mine *m, u64 va, u64 value)
{
	m->faulted = 0;
	ACCESS(m, "mov %[v], (%[va])", value, va);
	return !m->faulted;
}

static bool try_increment(struct mine *m, u64 va)
{
	u64 unused = 0;

	m->faulted = 0;
	ACCESS(m, "lock incq (%[va])", unused, va);
	return !m->faulted;
}

static bool copy_on_write(struct smp_cpu *cpu, u64 error);

static void on_page_fault(struct smp_cpu *cpu, struct smp_frame *f)
{
	struct mine *m = &mine[cpu->id];

	if (copy_on_write(cpu, f->error))
		return;
	if (!m->recover) {
		check(false, "no page fault comes that nobody expects", "CPU %u at %lx rip %lx error %lx", cpu->id,
		      read_cr2(), f->rip, f->error);
		finish();
	}
	m->faulted = 1;
	m->error = f->error;
	f->rip = m->recover;
}

/* --- flushes, here and there ------------------------------------------------------------------ */

static void do_flush(u64 va, enum flush how)
{
	u64 cr4;

	switch (how) {
	case BY_INVLPG: invlpg(va); break;
	case BY_CR3: flush_tlb(); break;
	default:
		cr4 = read_cr4();
		write_cr4(cr4 ^ CR4_PGE_BIT);
		write_cr4(cr4);
		break;
	}
}

/* Behind the flush: what is at va is what it should be, and no more is allowed. */
static void look(struct mine *m, u32 id, u64 va, enum state state, u64 wanted)
{
	u64 value, mark = next_random(m);
	bool there = try_read(m, va, &value);

	m->looks++;
	if (state == ABSENT) {
		if (there || m->error & ERROR_P)
			wrong(m, "an absent page is read", value, m->error);
		return;
	}
	if (!there || value != wanted)
		wrong(m, there ? "another page is read" : "a page is absent", value, wanted);
	if (state == READ_ONLY &&
	    (try_write(m, va + OWN_WORD(id), mark) || !(m->error & ERROR_P) || !(m->error & ERROR_W)))
		wrong(m, "a read-only page is written", value, m->error);
	if (state != WRITABLE)
		return;
	if (!try_write(m, va + OWN_WORD(id), mark) || !try_read(m, va + OWN_WORD(id), &value) || value != mark)
		wrong(m, "a page is not written", value, mark);
}

/* What an editor wants of the others, until all have acknowledged. */
static struct {
	u64 va, wanted;
	enum state state;
	enum flush flush;
	bool silent; /* flush, and do not look */
} request;
static volatile u32 acknowledged;

/* It comes at any moment, in an access that may fault too. */
static void on_request(struct smp_cpu *cpu, struct smp_frame *f)
{
	struct mine *m = &mine[cpu->id];
	u64 recover = m->recover, faulted = m->faulted, error = m->error, cr2 = read_cr2();

	do_flush(request.va, request.flush);
	if (!request.silent)
		look(m, cpu->id, request.va, request.state, request.wanted);
	m->recover = recover;
	m->faulted = faulted;
	m->error = error;
	asm volatile("mov %0, %%cr2" : : "r"(cr2));
	__atomic_add_fetch(&acknowledged, 1, __ATOMIC_SEQ_CST);
}

static void ask_others(struct mine *m, bool by_nmi)
{
	acknowledged = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	apic_send(0, (by_nmi ? ICR_NMI : ICR_FIXED | VECTOR) | ICR_ASSERT | ICR_OTHERS);
	if (!SMP_WAIT(acknowledged == smp_count - 1))
		wrong(m, "not all have acknowledged", acknowledged, smp_count - 1);
}

/* The editor flushes too, before or behind the others. */
static void shoot_down(struct mine *m, u32 id, u64 va, enum state state, u64 wanted)
{
	u32 dice = below(m, 16);
	bool own_first = dice & 1;

	request.va = va;
	request.wanted = wanted;
	request.state = state;
	request.flush = dice == 15 ? BY_CR4 : dice & 2 ? BY_CR3 : BY_INVLPG;
	request.silent = false;
	if (own_first)
		do_flush(va, BY_INVLPG);
	ask_others(m, dice & 4);
	if (!own_first)
		do_flush(va, dice & 8 ? BY_CR3 : BY_INVLPG);
	look(m, id, va, state, wanted);
}

/* --- all processors in one function, and what they say ----------------------------------------- */

static volatile u64 turn_done; /* so many turns are over */

static void on_all(void (*work)(struct smp_cpu *cpu), const char *name)
{
	u64 looks = 0, edits = 0;
	u32 bad = 0;

	turn_done = 0;
	for (u32 id = 0; id < smp_count; id++)
		mine[id] = (struct mine){.random = (seed + 1) * 0x9e3779b97f4a7c15ull + id * 0x1234567};
	for (u32 id = 1; id < smp_count; id++)
		smp_call(id, work, 0);
	work(smp_cpus[0]);
	for (u32 id = 1; id < smp_count; id++)
		if (!smp_join(id))
			wrong(&mine[id], "it does not end", id, 0);
	for (u32 id = 0; id < smp_count; id++) {
		const struct mine *m = &mine[id];

		looks += m->looks;
		edits += m->edits;
		bad += m->wrong;
		if (m->wrong)
			print("CPU %u: %u wrong, first: %s, %lx, %lx\n", id, m->wrong, m->what, m->got, m->wanted);
	}
	check(!bad && looks, name, "%u wrong, seed %lu", bad, seed);
	print("NOTE: %lu edits, %lu looks\n", edits, looks);
}

/* Each processor in turn is the editor, with interrupts off; the others make noise with interrupts on. */
static void in_turns(struct smp_cpu *cpu, u64 count, void (*edit)(struct smp_cpu *cpu),
		     void (*noise)(struct smp_cpu *cpu))
{
	for (u64 turn = 0; turn < 2ull * smp_count; turn++) {
		smp_barrier_wait(&barrier, smp_count);
		if (turn % smp_count == cpu->id) {
			for (u64 i = 0; i < count / (2 * smp_count); i++) {
				edit(cpu);
				mine[cpu->id].edits++;
			}
			turn_done = turn + 1;
			continue;
		}
		asm volatile("sti");
		while (turn_done != turn + 1)
			noise(cpu);
		asm volatile("cli");
	}
}

/* --- entries of one table ----------------------------------------------------------------------- */

static volatile u64 sequence; /* odd: an edit is under way */
static struct {
	volatile u32 state, frame;
} slots[SHARED];

static u64 tag_of(u32 f)
{
	return FRAME_TAG | f;
}

/* A and D appear by the accesses, and only then. */
static void edit_accessed(struct smp_cpu *cpu, u32 slot)
{
	struct mine *m = &mine[cpu->id];
	u64 value;

	__atomic_and_fetch(&entries[slot], ~(u64)(PTE_A | PTE_D), __ATOMIC_SEQ_CST);
	shoot_down(m, cpu->id, SLOT_VA(slot), READ_ALONE, tag_of(slots[slot].frame));
	value = entries[slot];
	if (!(value & PTE_A) || value & PTE_D)
		wrong(m, "A and D after reads", value, PTE_A);
	try_write(m, SLOT_VA(slot) + OWN_WORD(cpu->id), value);
	if (!(entries[slot] & PTE_D))
		wrong(m, "D after a write", entries[slot], PTE_D);
}

static void edit_slot(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u32 slot = below(m, SHARED), op = below(m, 5), f = below(m, FRAMES);
	u64 bits = below(m, 2) ? PTE_A | PTE_D : 0;
	bool was_absent = slots[slot].state == ABSENT;

	sequence++;
	if (op == 3 && slots[slot].state == WRITABLE) {
		edit_accessed(cpu, slot);
		sequence++;
		return;
	}
	if (op != 1 || was_absent)
		slots[slot].frame = f;
	slots[slot].state = op == 0 ? ABSENT : op == 1 ? READ_ONLY : WRITABLE;
	f = slots[slot].frame;
	entries[slot] = op == 0 ? 0 : frame[f] | bits | PTE_P | (op == 1 ? 0 : PTE_W);
	if (was_absent && op)
		look(m, cpu->id, SLOT_VA(slot), slots[slot].state, tag_of(f)); /* needs no flush, here or there */
	else
		shoot_down(m, cpu->id, SLOT_VA(slot), slots[slot].state, tag_of(f));
	sequence++;
}

/* Nothing was edited meanwhile: so it is what it was. */
static void watch_slot(struct mine *m)
{
	u32 slot = below(m, SHARED);
	u64 before = sequence, value;
	u32 state = slots[slot].state, f = slots[slot].frame;
	bool there = try_read(m, SLOT_VA(slot), &value);

	if (before & 1 || sequence != before)
		return;
	m->looks++;
	if (there != (state != ABSENT) || (there && value != tag_of(f)))
		wrong(m, "without an edit another page is read", value, there ? tag_of(f) : 0);
}

/* Entries of its own in the same table. */
static void edit_own(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u32 n = below(m, PRIVATE), f = below(m, OWN_FRAMES), slot = PRIVATE_SLOT(cpu->id, n);
	u64 va = SLOT_VA(slot), value;

	entries[slot] = own_frame[cpu->id][f] | PTE_P | PTE_W;
	do_flush(va, below(m, 8) ? BY_INVLPG : BY_CR3);
	look(m, cpu->id, va, below(m, 2) ? READ_ALONE : WRITABLE, tag_of(0x1000 * (cpu->id + 1) + f));
	value = entries[slot];
	if (!(value & PTE_A))
		wrong(m, "A in an entry of its own", value, PTE_A);
	__atomic_and_fetch(&entries[slot], ~(u64)(PTE_A | PTE_D), __ATOMIC_SEQ_CST);
	invlpg(va);
	try_write(m, va + OWN_WORD(cpu->id), value);
	if ((entries[slot] & (PTE_A | PTE_D)) != (PTE_A | PTE_D))
		wrong(m, "D in an entry of its own", entries[slot], PTE_D);
	if (below(m, 4))
		return;
	entries[slot] = 0;
	do_flush(va, BY_INVLPG);
	look(m, cpu->id, va, ABSENT, 0);
}

static void slot_noise(struct smp_cpu *cpu)
{
	for (u32 i = 0; i < 100; i++)
		watch_slot(&mine[cpu->id]);
	edit_own(cpu);
}

static void test_slots(struct smp_cpu *cpu)
{
	in_turns(cpu, rounds, edit_slot, slot_noise);
}

/* --- without messages: no later than the own flush ------------------------------------------------- */

static volatile u64 edit_begins, edit_done; /* numbers of the edits of slot 0, whose frame is that number's */

static bool is_between(u64 value, u64 first, u64 last)
{
	u64 f = value ^ FRAME_TAG;

	return f < FRAMES && (f + FRAMES - first % FRAMES) % FRAMES <= last - first;
}

/* The first edits, and waits for nobody. */
static void test_own_flush(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u64 count = 10 * rounds, flushed, value;

	smp_barrier_wait(&barrier, smp_count);
	if (!cpu->id) {
		for (u64 i = 1; i <= count; i++) {
			edit_begins = i;
			entries[0] = frame[i % FRAMES] | PTE_P | PTE_W | (i & 1 ? PTE_A | PTE_D : 0);
			edit_done = i;
			m->edits++;
			if (!(i % 16)) {
				do_flush(SLOT_VA(0), i & 16 ? BY_INVLPG : BY_CR3);
				look(m, 0, SLOT_VA(0), WRITABLE, tag_of(i % FRAMES));
			}
		}
		return;
	}
	do {
		flushed = edit_done;
		do_flush(SLOT_VA(0), below(m, 2) ? BY_INVLPG : BY_CR3);
		for (u32 i = 0; i < 3; i++) {
			if (!try_read(m, SLOT_VA(0), &value) || !is_between(value, flushed, edit_begins))
				wrong(m, "behind its own flush a processor reads an older page", value, flushed);
			m->looks++;
		}
	} while (flushed != count);
}

/* --- a table that becomes data -------------------------------------------------------------------- */

static volatile u64 *free_table; /* the page that is now a table, now data */
static u64 *free_slot;           /* the entry of the upper level */

static void make_table(struct mine *m, u32 id)
{
	u32 page = below(m, 512), f = below(m, FRAMES);

	for (u32 i = 0; i < 512; i++)
		free_table[i] = 0;
	free_table[page] = frame[f] | PTE_P | PTE_W;
	*(volatile u64 *)free_slot = (u64)(uintptr_t)free_table | PTE_P | PTE_W;
	shoot_down(m, id, FREE_VA + page * PAGE_SIZE, WRITABLE, tag_of(f));
	if ((free_table[page] & (PTE_A | PTE_D)) != (PTE_A | PTE_D))
		wrong(m, "A and D in the table", free_table[page], PTE_A | PTE_D);
}

/* Data that looks like entries: nobody translates by it, and nobody sets A or D in it. */
static void use_as_data(struct mine *m)
{
	u64 page = next_random(m) & 511;

	for (u32 i = 0; i < 512; i++)
		free_table[i] = frame[i % FRAMES] | PTE_P | PTE_W;
	request.va = FREE_VA + page * PAGE_SIZE;
	request.state = ABSENT;
	request.flush = FLUSHES; /* any: nothing is cached any more */
	ask_others(m, true);
	for (u32 i = 0; i < 512; i++)
		if (free_table[i] != (frame[i % FRAMES] | PTE_P | PTE_W))
			wrong(m, "data that was a table has changed", free_table[i], i);
}

static void edit_table(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];

	make_table(m, cpu->id);
	*(volatile u64 *)free_slot = 0;
	shoot_down(m, cpu->id, FREE_VA + below(m, 512) * PAGE_SIZE, ABSENT, 0);
	use_as_data(m);
}

static void table_noise(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u64 value;

	if (try_read(m, FREE_VA + below(m, 512) * PAGE_SIZE, &value) && (value & ~0xffull) != FRAME_TAG)
		wrong(m, "what is no table translates", value, FRAME_TAG);
	m->looks++;
	if (!below(m, 32))
		edit_own(cpu);
}

static void test_tables(struct smp_cpu *cpu)
{
	in_turns(cpu, rounds / 4, edit_table, table_noise);
}

/* --- 2 MiB as one page or as 512 -------------------------------------------------------------------- */

static u64 *large_slot;
static u64 large_frame, small_table;
static volatile bool is_large;

static u64 large_wanted(u32 page)
{
	return is_large ? LARGE_TAG | page : tag_of(page % FRAMES);
}

static void edit_large(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u32 page = below(m, 512);
	bool split = is_large;

	sequence++;
	is_large = !is_large;
	*(volatile u64 *)large_slot = split ? small_table | PTE_P | PTE_W : large_frame | PTE_PS | PTE_P | PTE_W;
	request.va = LARGE_VA + page * PAGE_SIZE;
	request.state = WRITABLE;
	request.wanted = large_wanted(page);
	request.flush = BY_CR3; /* INVLPG of one of the small pages may leave the others */
	request.silent = false;
	flush_tlb();
	ask_others(m, below(m, 2));
	for (u32 i = 0; i < 4; i++) {
		page = below(m, 512);
		look(m, cpu->id, LARGE_VA + page * PAGE_SIZE, WRITABLE, large_wanted(page));
	}
	sequence++;
}

static void large_noise(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u32 page = below(m, 512);
	u64 before = sequence, value, wanted = large_wanted(page);

	if (!try_read(m, LARGE_VA + page * PAGE_SIZE, &value))
		wrong(m, "a page of 2 MiB is absent", page, 0);
	if (!(before & 1) && sequence == before && value != wanted)
		wrong(m, "a page of the other size is read", value, wanted);
	m->looks++;
	if (!below(m, 32))
		edit_own(cpu);
}

static void test_large(struct smp_cpu *cpu)
{
	in_turns(cpu, rounds / 2, edit_large, large_noise);
}

/* --- copy on write -------------------------------------------------------------------------------------- */

static volatile u64 *cow_entries;
static volatile bool cow_on;
static u64 cow_frames;
static volatile u32 cow_next;
static volatile u32 cow_lock;
static u64 cow_written[SMP_MAX][COW_PAGES];

/* A processor that waits for the lock in its page-fault handler answers by NMI. */
static bool copy_on_write(struct smp_cpu *cpu, u64 error)
{
	u64 va = read_cr2(), page = (va - COW_VA) / PAGE_SIZE, entry, copy;

	if (!cow_on || page >= COW_PAGES || !(error & ERROR_W))
		return false;
	while (__atomic_exchange_n(&cow_lock, 1, __ATOMIC_SEQ_CST))
		asm volatile("pause" : : : "memory");
	entry = cow_entries[page];
	if (!(entry & PTE_W)) { /* else another one has done it, and this fault was of an old translation */
		copy = cow_frames + (u64)(cow_next++ % COW_FRAMES) * PAGE_SIZE;
		cow_entries[page] = entry & ~(u64)PTE_P; /* nobody reads the old one any more */
		request.va = va;
		request.flush = BY_INVLPG;
		request.silent = true;
		invlpg(va);
		ask_others(&mine[cpu->id], true);
		memcpy((void *)copy, (const void *)(entry & PTE_ADDR_MASK), PAGE_SIZE);
		cow_entries[page] = copy | PTE_P | PTE_W;
		mine[cpu->id].edits++;
	}
	__atomic_store_n(&cow_lock, 0, __ATOMIC_SEQ_CST);
	return true;
}

/* As a fork does; nobody is writing. */
static void protect_all(struct mine *m)
{
	for (u32 i = 0; i < COW_PAGES; i++)
		cow_entries[i] &= ~(u64)(PTE_W | PTE_D);
	request.flush = BY_CR3;
	request.silent = true;
	flush_tlb();
	ask_others(m, true);
}

#define COW_FORKS 30u
static void test_cow(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u64 value;

	for (u32 fork = 0; fork < COW_FORKS; fork++) {
		smp_barrier_wait(&barrier, smp_count);
		if (!cpu->id)
			protect_all(m);
		smp_barrier_wait(&barrier, smp_count);
		for (u64 i = 0; i < rounds / 10; i++) {
			u32 page = below(m, COW_PAGES);
			u64 at = COW_VA + page * PAGE_SIZE + OWN_WORD(cpu->id);

			while (!try_increment(m, at)) /* absent while another one copies */
				asm volatile("pause");
			cow_written[cpu->id][page]++;
			while (!try_read(m, at, &value))
				asm volatile("pause");
			if (value != cow_written[cpu->id][page])
				wrong(m, "a write before or during a copy is lost", value,
				      cow_written[cpu->id][page]);
			m->looks++;
		}
	}
}

/* --- bits of one entry, from all at once ------------------------------------------------------------------ */

static volatile u64 *log_entry;
static u64 log_frame;
#define OWN_BIT(id) ((id) < 7 ? 52 + (id) : 9 + (id)-7) /* that the processor ignores */
#define OWN_BITS 10u

static void toggle_own(struct mine *m, u32 id)
{
	u64 bit = OWN_BIT(id), old;

	switch (below(m, 3)) {
	case 0: asm volatile("lock xorq %1, %0" : "+m"(*log_entry) : "r"(BIT(bit)) : "cc", "memory"); break;
	case 1: asm volatile("lock btcq %1, %0" : "+m"(*log_entry) : "r"(bit) : "cc", "memory"); break;
	default:
		old = *log_entry;
		while (!__atomic_compare_exchange_n(log_entry, &old, old ^ BIT(bit), false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
			;
	}
}

/* Only the first clears A and D, so its own write behind the flush must bring both back. */
static void clear_and_write(struct mine *m)
{
	u64 old = *log_entry;

	while (!__atomic_compare_exchange_n(log_entry, &old, old & ~(u64)(PTE_A | PTE_D), false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
	do_flush(LOG_VA, below(m, 8) ? BY_INVLPG : BY_CR3);
	if (!try_increment(m, LOG_VA + OWN_WORD(0)))
		wrong(m, "the page is absent", *log_entry, 0);
	if ((*log_entry & (PTE_A | PTE_D)) != (PTE_A | PTE_D))
		wrong(m, "A or D is lost against a locked operation", *log_entry, PTE_A | PTE_D);
}

static void test_bits(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u64 bit = OWN_BIT(cpu->id), set = *log_entry >> bit & 1;

	smp_barrier_wait(&barrier, smp_count);
	for (u64 i = 0; i < 5 * rounds; i++) {
		u64 value;

		toggle_own(m, cpu->id);
		set ^= 1;
		value = *log_entry;
		if ((value >> bit & 1) != set || (value & PTE_ADDR_MASK) != log_frame || !(value & PTE_P))
			wrong(m, "an update of an entry is lost", value, set);
		if (!cpu->id)
			clear_and_write(m);
		else if (!try_increment(m, LOG_VA + OWN_WORD(cpu->id)))
			wrong(m, "the page is absent", value, 0);
		m->looks++;
	}
}

/* What the first finds changed since its last look has D in the entry that it took. */
static void take_log(struct mine *m, u64 *seen)
{
	u64 old = __atomic_exchange_n(log_entry, 0, __ATOMIC_SEQ_CST);

	request.va = LOG_VA;
	request.flush = below(m, 2) ? BY_INVLPG : BY_CR3;
	request.silent = true;
	do_flush(LOG_VA, BY_INVLPG);
	ask_others(m, below(m, 2));
	old |= *log_entry; /* which nobody has touched: it was absent */
	for (u32 id = 1; id < smp_count; id++) {
		u64 now = load(log_frame + OWN_WORD(id));

		if (now != seen[id] && !(old & PTE_D))
			wrong(m, "a page was written, and its entry is clean", now, old);
		seen[id] = now;
		m->looks++;
	}
	*log_entry = old & ~(u64)(PTE_A | PTE_D);
	m->edits++;
}

static void test_log(struct smp_cpu *cpu)
{
	struct mine *m = &mine[cpu->id];
	u64 seen[SMP_MAX], done;

	smp_barrier_wait(&barrier, smp_count);
	if (!cpu->id) {
		for (u32 id = 0; id < smp_count; id++)
			seen[id] = load(log_frame + OWN_WORD(id));
		for (u64 i = 0; i < rounds; i++)
			take_log(m, seen);
		turn_done = 1;
		return;
	}
	done = load(log_frame + OWN_WORD(cpu->id));
	asm volatile("sti");
	while (!turn_done)
		done += try_increment(m, LOG_VA + OWN_WORD(cpu->id));
	asm volatile("cli");
	if (load(log_frame + OWN_WORD(cpu->id)) != done)
		wrong(m, "a write is lost", load(log_frame + OWN_WORD(cpu->id)), done);
}

/* --- */

static u64 new_frame(u64 tag)
{
	u64 at = (u64)(uintptr_t)alloc_pages(1);

	store(at, tag);
	return at;
}

static void set_up(void)
{
	for (u32 f = 0; f < FRAMES; f++)
		frame[f] = new_frame(tag_of(f));
	for (u32 id = 0; id < smp_count; id++)
		for (u32 f = 0; f < OWN_FRAMES; f++)
			own_frame[id][f] = new_frame(tag_of(0x1000 * (id + 1) + f));
	entries = space_entry(&smp_space, TEST_VA, 1);
	log_frame = new_frame(0);
	log_entry = space_map(&smp_space, LOG_VA, log_frame, PTE_P | PTE_W, 1);
	free_slot = space_entry(&smp_space, FREE_VA, 2);
	free_table = alloc_pages(1);
	large_slot = space_entry(&smp_space, LARGE_VA, 2);
	large_frame = (u64)(uintptr_t)alloc_aligned(2u << 20, 2u << 20);
	small_table = (u64)(uintptr_t)alloc_pages(1);
	for (u32 page = 0; page < 512; page++) {
		store(large_frame + page * PAGE_SIZE, LARGE_TAG | page);
		store(small_table + 8 * page, frame[page % FRAMES] | PTE_P | PTE_W);
	}
	*large_slot = small_table | PTE_P | PTE_W;
	cow_frames = (u64)(uintptr_t)alloc_pages(COW_FRAMES);
	for (u32 page = 0; page < COW_PAGES; page++)
		space_map(&smp_space, COW_VA + page * PAGE_SIZE, new_frame(0), PTE_P, 1);
	cow_entries = space_entry(&smp_space, COW_VA, 1);
}

static void check_cow(void)
{
	u32 bad = 0;

	for (u32 page = 0; page < COW_PAGES; page++)
		for (u32 id = 0; id < smp_count; id++)
			bad += load((cow_entries[page] & PTE_ADDR_MASK) + OWN_WORD(id)) != cow_written[id][page];
	check(!bad && cow_next, "every write is in the page that is there at the end", "%u words of %u are not",
	      bad, smp_count * COW_PAGES);
}

static void all_tests(void)
{
	set_up();
	smp_handle(VEC_PF, on_page_fault);
	smp_handle(VEC_NMI, on_request);
	smp_handle(VECTOR, on_request);
	if (!check(smp_start_all(), "all processors start", " "))
		return;
	print("NOTE: seed %lu, %lu rounds, %u processors\n", seed, rounds, smp_count);
	on_all(test_slots, "behind a shootdown nobody sees what an entry was");
	entries[0] = frame[0] | PTE_P | PTE_W;
	edit_begins = edit_done = 0;
	flush_tlb();
	on_all(test_own_flush, "edits are seen no later than by the own flush");
	on_all(test_tables, "a table that became data is neither read nor written as one");
	on_all(test_large, "a large page and its small ones replace each other");
	on_all(test_bits, "no update of an entry is lost against another or against A and D");
	on_all(test_log, "every write shows as D, and none comes behind its shootdown");
	cow_on = true;
	on_all(test_cow, "pages copied on write by several processors keep every write");
	cow_on = false;
	check_cow();
}

void run_tests(void)
{
	outb(0x21, 0xff); /* the PIC is masked */
	outb(0xa1, 0xff);
	seed = option("seed", 1);
	rounds = option("rounds", 1000);
	if (check(option("cpus", 1) > 1 && option("cpus", 1) <= OWN_BITS,
		  "there are several processors (options: cpus=N)", " "))
		smp_run(all_tests);
}
