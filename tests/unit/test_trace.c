/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace: the ring, its filter and its readers (lib/trace.h), and what the shadow engine tells it: each change of an
 * entry, so that the entries at the end follow from the records, and nothing that did not happen.
 */
#include "tests/unit/host.h"

#include <pthread.h>
#include <string.h>

#include "lib/trace.h"
#include "mm/shadow/accessors.h"
#include "tests/unit/machine.h"

#define RECORDS 8u

static struct trace_record slots[RECORDS];
static struct trace_ring ring;
static const struct trace_filter all = {.kinds = TRACE_ALL, .cpu = TRACE_ANY_CPU, .last = ~0ull};

static struct trace_ring *here(struct trace_record *r)
{
	r->rip = 0x1234;
	r->cr3 = 0x5018;
	return &ring;
}

static int setup(void **state)
{
	memset(slots, 0, sizeof(slots));
	trace_ring_init(&ring, slots, RECORDS + 3, 5);
	trace_set_here(here);
	trace_set_filter(&all);
	return 0;
}

static int teardown(void **state)
{
	trace_set_filter(&(struct trace_filter){.cpu = TRACE_ANY_CPU, .last = ~0ull});
	trace_set_here(NULL);
	return 0;
}

static void emit(enum trace_kind kind, u64 address)
{
	trace_emit(&(struct trace_record){.kind = (u8)kind, .address = address});
}

/* --- the ring --------------------------------------------------------------------- */
static void the_last_records_are_there_and_older_ones_are_not(void **state)
{
	struct trace_record r;

	assert_int_equal(ring.count, RECORDS);
	assert_false(trace_read(&ring, 0, &r));
	for (u64 i = 0; i < 20; i++) {
		emit(TRACE_FILL, i);
		assert_true(trace_read(&ring, i, &r));
		assert_true(r.address == i && r.kind == TRACE_FILL && r.cpu == 5 && r.rip == 0x1234 && r.time);
	}
	assert_int_equal(ring.written, 20);
	for (u64 i = 0; i < 24; i++) {
		/* The slot of the oldest is the one that the next record goes to. */
		assert_int_equal(trace_read(&ring, i, &r), i > 20 - RECORDS && i < 20);
		if (i > 20 - RECORDS && i < 20)
			assert_int_equal(r.address, i);
	}
}

static void a_ring_without_memory_keeps_nothing(void **state)
{
	struct trace_record r;

	trace_ring_init(&ring, NULL, 100, 0);
	emit(TRACE_FILL, 1);
	assert_int_equal(ring.written, 0);
	assert_false(trace_read(&ring, 0, &r));
	trace_dump(&ring, 10);
}

static u64 kept(const struct trace_filter *filter, enum trace_kind kind, u64 address)
{
	u64 before = ring.written;

	trace_set_filter(filter);
	emit(kind, address);
	return ring.written - before;
}

static void the_filter_lets_pass_what_it_says(void **state)
{
	struct trace_filter f = all, got;

	for (u32 kind = 0; kind < TRACE_KIND_COUNT; kind++) {
		f.kinds = 1u << kind;
		for (u32 other = 0; other < TRACE_KIND_COUNT; other++) {
			assert_int_equal(kept(&f, other, 7), other == kind);
			assert_int_equal(trace_on(other), other == kind);
		}
	}
	f = all;
	f.first = 0x1000;
	f.last = 0x1fff;
	assert_int_equal(kept(&f, TRACE_FILL, 0xfff), 0);
	assert_int_equal(kept(&f, TRACE_FILL, 0x1000), 1);
	assert_int_equal(kept(&f, TRACE_FILL, 0x1fff), 1);
	assert_int_equal(kept(&f, TRACE_FILL, 0x2000), 0);
	f = all;
	f.cr3 = 0x5000; /* the low bits are no part of the address */
	assert_int_equal(kept(&f, TRACE_FILL, 1), 1);
	f.cr3 = 0x6000;
	assert_int_equal(kept(&f, TRACE_FILL, 1), 0);
	f = all;
	f.cpu = 5;
	assert_int_equal(kept(&f, TRACE_FILL, 1), 1);
	f.cpu = 4;
	assert_int_equal(kept(&f, TRACE_FILL, 1), 0);
	trace_get_filter(&got);
	assert_int_equal(got.cpu, 4);
	f.kinds = 0;
	assert_int_equal(kept(&f, TRACE_FILL, 1), 0);
	f.kinds = ~0u;
	trace_set_filter(&f);
	assert_int_equal(trace_mask, TRACE_ALL);
}

static void without_anybody_to_write_to_nothing_is_on(void **state)
{
	trace_set_here(NULL);
	trace_set_filter(&all);
	assert_int_equal(trace_mask, 0);
	emit(TRACE_FILL, 1);
	assert_int_equal(ring.written, 0);
}

/* --- several writers, each with its ring, and a reader ------------------------------- */
#define WRITERS 3u
#define WRITES 200000u

static struct trace_record many_slots[WRITERS][RECORDS];
static struct trace_ring many[WRITERS];
static _Thread_local u32 self;

static struct trace_ring *here_of_thread(struct trace_record *r)
{
	r->rip = r->old;
	r->cr3 = r->old;
	return &many[self];
}

static void *write_many(void *number)
{
	self = (u32)(uintptr_t)number;
	for (u64 i = 0; i < WRITES; i++)
		trace_emit(&(struct trace_record){.kind = TRACE_FILL, .address = i, .old = i, .new = i, .where = i});
	return NULL;
}

static void no_reader_sees_half_a_record(void **state)
{
	pthread_t thread[WRITERS];
	u64 seen = 0, ended = 0;

	trace_set_here(here_of_thread);
	trace_set_filter(&all);
	for (u32 i = 0; i < WRITERS; i++)
		trace_ring_init(&many[i], many_slots[i], RECORDS, i);
	for (u32 i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, (void *)(uintptr_t)i), 0);
	while (ended < WRITERS) {
		ended = 0;
		for (u32 i = 0; i < WRITERS; i++) {
			u64 end = __atomic_load_n(&many[i].written, __ATOMIC_ACQUIRE);
			struct trace_record r;

			ended += end == WRITES;
			for (u64 n = end > RECORDS ? end - RECORDS : 0; n < end; n++) {
				if (!trace_read(&many[i], n, &r))
					continue;
				assert_true(r.address == n && r.old == n && r.new == n &&r.where == n &&r.rip == n);
				assert_int_equal(r.cpu, i);
				seen++;
			}
		}
	}
	for (u32 i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	assert_true(seen >= WRITERS * (RECORDS - 1));
}

/* --- the engine ------------------------------------------------------------------------ */
#define ROOT 0x100000ull
#define TABLE(level) (ROOT + (4 - (level)) * PAGE_SIZE) /* 3 to 1: of addresses from 0 on */
#define DATA 0x180000ull
#define WINDOW 0x40000ull /* where the guest sees its table of level 1 */
#define USER (PTE_P | PTE_W | PTE_U)
#define ENGINE_RECORDS 65536u

static struct machine *m;
static struct trace_record engine_slots[ENGINE_RECORDS];

static u64 gpte_at(u64 gva)
{
	return TABLE(1) + (gva >> PAGE_SHIFT) * 8;
}

static void check(void)
{
	if (m->broken)
		fail_msg("%s", m->failure);
}

static void map(u64 gva, u64 bits)
{
	machine_dma(m, gpte_at(gva), (DATA + gva) | bits);
}

/* A guest with 32 pages at DATA from address 0 on, and its lowest table at WINDOW. */
static void start_cpus(u32 cpus)
{
	const struct machine_config config = {.seed = 1, .cpus = cpus};
	struct shadow_paging p = machine_long_mode(ROOT);

	m = machine_create(&config);
	assert_non_null(m);
	m->audit = true;
	for (u32 level = 4; level > 1; level--)
		machine_dma(m, level == 4 ? ROOT : TABLE(level), TABLE(level - 1) | USER);
	for (u64 gva = 0; gva < 32 * PAGE_SIZE; gva += PAGE_SIZE)
		map(gva, USER);
	machine_dma(m, gpte_at(WINDOW), TABLE(1) | USER);
	for (u32 i = 0; i < cpus; i++) {
		machine_use(m, cpus - 1 - i);
		machine_set_paging(m, &p, true);
	}
	trace_ring_init(&ring, engine_slots, ENGINE_RECORDS, 0);
	trace_set_filter(&all);
	shadow_trace(m->shadow, true);
}

static int engine_end(void **state)
{
	machine_destroy(m);
	return teardown(state);
}

/* The kinds of the records from n on, by their first letters: "w", "A", "D", "F" fill, "P" prefetch, "E" entry, "U", "S". */
static const char *story(u64 n)
{
	static const char letters[TRACE_KIND_COUNT] = {
		[TRACE_WALK] = 'w',     [TRACE_A_SET] = 'A',  [TRACE_D_SET] = 'D', [TRACE_FILL] = 'F',
		[TRACE_PREFETCH] = 'P', [TRACE_UNSYNC] = 'U', [TRACE_SYNC] = 'S',  [TRACE_ZAP] = 'Z',
		[TRACE_RECLAIM] = 'R',  [TRACE_ENTRY] = 'E',
	};
	static char text[256];
	u32 at = 0;

	for (; n < ring.written && at < sizeof(text) - 1; n++)
		text[at++] = letters[engine_slots[n % ENGINE_RECORDS].kind];
	text[at] = '\0';
	return text;
}

static const struct trace_record *record(u64 n)
{
	return &engine_slots[n % ENGINE_RECORDS];
}

static void a_first_read_and_a_first_write_are_told_step_by_step(void **state)
{
	u64 n;

	start_cpus(1);
	machine_read(m, 0x3000);
	check();
	/* Three links, then the leaf; A in all four entries. */
	assert_string_equal(story(0), "wAEEEEF");
	assert_true(record(0)->address == 0x3000 && record(0)->detail == SHADOW_FIXED && record(0)->level == 1);
	assert_int_equal(record(1)->detail, 4);
	assert_true(record(2)->level == 4 && record(2)->old == 0 && (record(2)->new &PTE_ADDR_MASK) == TABLE(3));
	assert_true(record(4)->level == 2 && (record(4)->new &PTE_ADDR_MASK) == TABLE(1));
	assert_true(record(5)->level == 1 && record(5)->where == gpte_at(0x3000) && record(5)->address == 0x3000);
	assert_int_equal(record(5)->new, ((DATA + 0x3000) | USER | PTE_A) & ~PTE_W);
	assert_int_equal(record(6)->old, (DATA + 0x3000) | USER | PTE_A);
	n = ring.written;
	machine_write(m, 0x3000, 1);
	check();
	assert_string_equal(story(n), "wDEF");
	n++;
	assert_true(record(n)->old == ((DATA + 0x3000) | USER | PTE_A) && record(n)->new == (record(n)->old | PTE_D));
	assert_true(!(record(n + 1)->old & PTE_W) && (record(n + 1)->new &PTE_W));
	n = ring.written;
	machine_write(m, 0x3008, 1);
	machine_read(m, 0x3010);
	assert_string_equal(story(n), "");
}

static void leaves_ahead_of_their_faults_are_told(void **state)
{
	u64 n;

	start_cpus(1);
	machine_read(m, 0x3000);
	for (u64 gva = 0x8000; gva < 0xb000; gva += PAGE_SIZE)
		map(gva, USER | PTE_A);
	n = ring.written;
	machine_read(m, 0xa000);
	check();
	assert_string_equal(story(n), "wEFEPEP");
	assert_int_equal(record(n + 4)->address, 0x8000);
	assert_int_equal(record(n + 6)->address, 0x9000);
}

static void a_flush_tells_what_went(void **state)
{
	u64 n;

	start_cpus(1);
	machine_read(m, 0x3000);
	machine_read(m, 0x4000);
	machine_write(m, WINDOW + 0x4000 / PAGE_SIZE * 8, 0);
	n = ring.written;
	machine_invlpg(m, 0x4000);
	check();
	assert_string_equal(story(n), "SSSE"); /* the tables above became unsync with the one that was written */
	n += 3;
	assert_true(record(n)->address == 0x4000 && (record(n)->old & PTE_P) && record(n)->new == 0);
	assert_true(record(n)->detail & TRACE_ENTRY_KNOWN);
	n = ring.written;
	assert_int_equal(machine_read(m, 0x4000).outcome, MACHINE_FAULT);
	assert_int_equal(record(n)->detail, SHADOW_INJECT);
}

static void off_again_the_engine_tells_nothing_and_counts_as_before(void **state)
{
	u64 n;

	start_cpus(1);
	machine_read(m, 0x3000);
	shadow_trace(m->shadow, false);
	trace_set_filter(&(struct trace_filter){.cpu = TRACE_ANY_CPU, .last = ~0ull});
	n = ring.written;
	for (u64 gva = 0; gva < 32 * PAGE_SIZE; gva += PAGE_SIZE)
		machine_write(m, gva, gva);
	machine_write(m, WINDOW, 0);
	machine_flush(m);
	check();
	assert_int_equal(ring.written, n);
	assert_ptr_equal(m->shadow->quick_debt, m->shadow->only_debt);
	assert_int_equal(m->mmu->sync_role, m->mmu->copied_role);
}

/* --- the entries follow from the records -------------------------------------------------- */
#define PLACES 8192u

static struct place {
	u64 where, entry;
	u32 level; /* 0: free */
} places[PLACES];

static struct place *place_of(u64 where, u32 level)
{
	u32 at = (u32)(where / 8 * 31 + level) % PLACES;

	while (places[at].level && (places[at].where != where || places[at].level != level))
		at = (at + 1) % PLACES;
	places[at].where = where;
	places[at].level = level;
	return &places[at];
}

static u32 levels; /* looked at are those below: of two CPUs each has a root of its own */

/* Each record begins where the one before it for the same entry ended. */
static void replay(u64 from)
{
	for (u64 n = from; n < ring.written; n++) {
		const struct trace_record *r = record(n);
		struct place *p;

		if (r->kind != TRACE_ENTRY || r->level >= levels)
			continue;
		p = place_of(r->where, r->level);
		assert_int_equal(p->entry, r->old);
		p->entry = r->new;
	}
}

static u32 compare_with_the_shadow(void)
{
	struct shadow *s = m->shadow;
	u32 present = 0;

	for (u32 page = 1; page < s->page_count; page++) {
		const struct shadow_page *sp = &s->pages[page];

		if (sp->state != PAGE_TABLE || sp->role.direct || sp->role.level >= levels)
			continue;
		for (u32 i = 0; i < ENTRIES; i++) {
			u64 spte = page_table(s, page)[i],
			    told = place_of(sp->gfn * PAGE_SIZE + i * 8, sp->role.level)->entry;

			assert_int_equal(!!(told & PTE_P), !!(spte & PTE_P));
			present += spte & PTE_P;
			if (spte & PTE_P && sp->role.level == 1)
				assert_int_equal(told, spte & ~SPTE_RMAP);
		}
	}
	return present;
}

static void step(u64 what)
{
	u64 gva = host_random_below(32) * PAGE_SIZE, gpte = gpte_at(gva) - TABLE(1);

	switch (what) {
	case 0: machine_write(m, WINDOW + gpte, 0); break;
	case 1: machine_write(m, WINDOW + gpte, (DATA + host_random_below(32) * PAGE_SIZE) | USER); break;
	case 2: machine_write(m, WINDOW + gpte, (DATA + gva) | (USER & ~PTE_W) | PTE_A); break;
	case 3: machine_invlpg(m, gva); break;
	case 4: machine_flush(m); break;
	case 5: machine_load_cr3(m, ROOT); break;
	case 6 ... 9: machine_user_write(m, gva, what); break;
	default: machine_user_read(m, gva); break;
	}
}

static void follow(u32 cpus)
{
	start_cpus(cpus);
	levels = cpus > 1 ? 4 : 5;
	host_random_seed(3);
	memset(places, 0, sizeof(places));
	for (u32 round = 0; round < 200; round++) {
		u64 from = ring.written;

		for (u32 i = 0; i < 20; i++) {
			if (cpus > 1)
				machine_use(m, (u32)host_random_below(cpus));
			step(host_random_below(14));
			check();
		}
		assert_true(ring.written - from < ENGINE_RECORDS);
		replay(from);
	}
	assert_true(ring.written > 2000);
	assert_true(compare_with_the_shadow() > 3);
}

static void the_entries_follow_from_the_records(void **state)
{
	follow(1);
}

static void with_two_cpus_they_do_as_well(void **state)
{
	follow(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_records_are_there_and_older_ones_are_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_without_memory_keeps_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_filter_lets_pass_what_it_says, setup, teardown),
		cmocka_unit_test_setup_teardown(without_anybody_to_write_to_nothing_is_on, setup, teardown),
		cmocka_unit_test_setup_teardown(no_reader_sees_half_a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(a_first_read_and_a_first_write_are_told_step_by_step, setup,
						engine_end),
		cmocka_unit_test_setup_teardown(leaves_ahead_of_their_faults_are_told, setup, engine_end),
		cmocka_unit_test_setup_teardown(a_flush_tells_what_went, setup, engine_end),
		cmocka_unit_test_setup_teardown(off_again_the_engine_tells_nothing_and_counts_as_before, setup,
						engine_end),
		cmocka_unit_test_setup_teardown(the_entries_follow_from_the_records, setup, engine_end),
		cmocka_unit_test_setup_teardown(with_two_cpus_they_do_as_well, setup, engine_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
