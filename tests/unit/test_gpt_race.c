/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest page tables that change while they are walked. The tables cannot be
 * accessed: each access of the walker faults, so the test counts it, may change
 * an entry right before it, and lets that one instruction through. Whatever
 * changes when, the walk must end in
 *  - what a processor finds that saw each entry once, top down, old or new, or
 *  - GPT_RETRY, and then without D set for a write that did not happen;
 * no A or D bit may reach an entry whose new value the walk did not see.
 */
#define _GNU_SOURCE /* REG_EFL */
#include "tests/unit/host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "lib/x86.h"
#include "mm/gpt_ept.h"
#include "tests/unit/model_ept.h"
#include "tests/unit/rng.h"
#include "tests/unit/walk_check.h"

#define RAM_BYTES (WALK_RAM_PAGES * PAGE_SIZE)
#define CHANGES_MAX 2u
#define ACCESSES_MAX 64u

/* An entry gets another value right before access number when (from 0). */
struct change {
	u32 when, level;
	u64 old, new;
};

static struct {
	struct change list[CHANGES_MAX];
	u32 count, size;
	u64 gva;
	struct model_state state;
	struct model_access access;
} trial;

static volatile u32 accesses;
static u64 walks, retries;

/* --- the hook -------------------------------------------------------------------- */
static u32 top_of(enum model_mode mode)
{
	return mode == MODEL_5L ? 5 : mode == MODEL_4L ? 4 : 2;
}

static u32 shift_of(u32 level)
{
	return trial.size == 4 ? (level == 2 ? 22 : 12) : 12 + 9 * (level - 1);
}

static void *slot_of(u32 level)
{
	u64 index = trial.gva >> shift_of(level) & (trial.size == 4 ? 1023 : 511);

	return walk_ram + (top_of(trial.state.mode) - level) * PAGE_SIZE + index * trial.size;
}

static void set_entry(u32 level, u64 value)
{
	memcpy(slot_of(level), &value, trial.size);
}

static u64 entry_at(u32 level)
{
	u64 value = 0;

	memcpy(&value, slot_of(level), trial.size);
	return value;
}

static void on_access(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	if ((u8 *)info->si_addr < walk_ram || (u8 *)info->si_addr >= walk_ram + RAM_BYTES || accesses > ACCESSES_MAX)
		_Exit(3);
	mprotect(walk_ram, RAM_BYTES, PROT_READ | PROT_WRITE);
	for (u32 i = 0; i < trial.count; i++)
		if (trial.list[i].when == accesses)
			set_entry(trial.list[i].level, trial.list[i].new);
	accesses++;
	u->uc_mcontext.gregs[REG_EFL] |= RFLAGS_TF;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	u->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)RFLAGS_TF;
	mprotect(walk_ram, RAM_BYTES, PROT_NONE);
}

/* cmocka has handlers of its own while a test runs. */
static void hook(void)
{
	struct sigaction access = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};
	struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &access, NULL);
	sigaction(SIGTRAP, &step, NULL);
}

static enum gpt_status hooked_walk(struct gpt_walk *w)
{
	struct gpt_context c = walk_context(&trial.state);
	struct gpt_access a = {.write = trial.access.write, .fetch = trial.access.fetch, .user = trial.access.user};
	enum gpt_status status;

	accesses = 0;
	memset(w, 0x5a, sizeof(*w));
	mprotect(walk_ram, RAM_BYTES, PROT_NONE);
	status = gpt_walk(&c, trial.gva, a, GPT_SET_AD, w);
	mprotect(walk_ram, RAM_BYTES, PROT_READ | PROT_WRITE);
	return status;
}

/* --- what is right ----------------------------------------------------------------- */
#define SAME(have, want) \
	do { \
		if ((u64)(have) != (u64)(want)) \
			return false; \
	} while (0)

static bool same(const struct gpt_walk *w, enum gpt_status status, const struct model_result *r)
{
	SAME(status, r->fault ? GPT_FAULT : GPT_OK);
	for (u32 i = 0; i < r->count; i++)
		SAME(w->step[r->entries[i].level].entry, r->fault ? r->entries[i].value : r->entries[i].after);
	if (r->fault) {
		SAME(w->error, r->error);
		return true;
	}
	SAME(w->gfn, r->physical >> 12);
	SAME(w->leaf_level, r->level);
	SAME(w->access, (r->w ? ACC_W : 0) | (r->u ? ACC_U : 0) | (r->x ? ACC_X : 0));
	return true;
}

/* Which entries are new (bit i: change i) in the view that a processor may have had of two changes. */
static bool possible(u32 view)
{
	const struct change *a = &trial.list[0], *b = &trial.list[1];

	if (trial.count < 2)
		return true;
	if (a->level == b->level) /* one entry: the earlier value, then the later one; never back */
		return true;
	/* a is read before b if it is above: to see a new and b old, b must have changed later */
	if (view == 1)
		return a->when <= b->when || a->level < b->level;
	if (view == 2)
		return b->when <= a->when || b->level < a->level;
	return true;
}

static void put_view(u32 view)
{
	for (u32 i = 0; i < trial.count; i++)
		set_entry(trial.list[i].level, view & 1u << i ? trial.list[i].new : trial.list[i].old);
}

/* The change of a level's entry, if it came in time. */
static const struct change *change_of(u32 level)
{
	for (u32 i = 0; i < trial.count; i++)
		if (trial.list[i].level == level && trial.list[i].when < accesses)
			return &trial.list[i];
	return NULL;
}

/* What a walk of either kind of table came to. */
struct outcome {
	enum { OK, REFUSED, AGAIN } end;
	u64 entry[GPT_LEVELS_MAX + 1]; /* [level], as the walk gives them */
	u32 last_level;
	u64 a, d; /* the bits */
	bool write;
};

static NORETURN void wrong(const char *what, const struct outcome *o)
{
	for (u32 i = 0; i < trial.count; i++)
		printf("before access %u of %u, level %u: %#llx -> %#llx\n", trial.list[i].when, accesses,
		       trial.list[i].level, (unsigned long long)trial.list[i].old,
		       (unsigned long long)trial.list[i].new);
	printf("mode %u write %u fetch %u user %u: outcome %u\n", trial.state.mode, trial.access.write,
	       trial.access.fetch, trial.access.user, o->end);
	for (u32 level = top_of(trial.state.mode); level; level--)
		printf("  level %u: walk %#llx, memory %#llx\n", level, (unsigned long long)o->entry[level],
		       (unsigned long long)entry_at(level));
	fail_msg("%s", what);
	abort();
}

/* Memory after the walk: A and D only where the walk's own view had that value. */
static void check_memory(const u64 before[6], const struct outcome *o)
{
	u64 marks = o->a | o->d;

	for (u32 level = top_of(trial.state.mode); level; level--) {
		const struct change *change = change_of(level);
		u64 last = change ? change->new : before[level], now = entry_at(level), added = now ^ last;
		bool seen = o->end == OK && level >= o->last_level && (o->entry[level] | marks) == (now | marks);

		if (added & ~marks || last & ~now)
			wrong("more than A and D was written", o);
		if (added && o->end == REFUSED)
			wrong("A or D set at a fault", o);
		if (added & o->d && (!o->write || o->end != OK))
			wrong("D set without a write", o);
		if (added && o->end == OK && !seen)
			wrong("A or D set in an entry that the walk did not see", o);
		if (o->a && o->end == OK && level >= o->last_level && !change && !(now & o->a))
			wrong("A not set in an entry that did not change", o);
	}
}

static bool memory_as_walked(const struct gpt_walk *w)
{
	for (u32 level = top_of(trial.state.mode); level >= w->last_level && level; level--)
		if (entry_at(level) != w->step[level].entry)
			return false;
	return true;
}

static void remember(u64 before[6])
{
	for (u32 level = 1; level <= top_of(trial.state.mode); level++)
		before[level] = entry_at(level);
	walks++;
}

static void judge(bool good, const u64 before[6], const struct outcome *o)
{
	retries += o->end == AGAIN;
	if (!good && o->end != AGAIN)
		wrong("not what any processor could see", o);
	if (o->end == AGAIN && trial.list[0].when >= accesses)
		wrong("nothing changed, and yet the walk gave up", o);
	check_memory(before, o);
}

/* True if a later change may still matter. */
static bool finish(const u64 before[6])
{
	for (u32 level = 1; level <= top_of(trial.state.mode); level++)
		set_entry(level, before[level]);
	return trial.list[trial.count - 1].when < accesses;
}

/* Walks once with the changes on the way. False: they came too late to matter. */
static bool run_trial(void)
{
	struct outcome o = {.a = PTE_A, .d = PTE_D, .write = trial.access.write};
	struct gpt_context c = walk_context(&trial.state);
	struct model_result r[1 << CHANGES_MAX];
	u32 views = 1u << trial.count;
	enum gpt_status status;
	u64 before[6] = {0};
	struct gpt_walk w;
	bool good = false;

	for (u32 view = 0; view < views; view++) {
		put_view(view);
		model_walk(&trial.state, &walk_memory, trial.gva, trial.access, &r[view]);
	}
	put_view(0);
	remember(before);
	status = hooked_walk(&w);
	o.end = status == GPT_OK ? OK : status == GPT_FAULT ? REFUSED : AGAIN;
	o.last_level = w.last_level;
	for (u32 level = w.last_level; level && level <= GPT_LEVELS_MAX; level++)
		o.entry[level] = w.step[level].entry;
	for (u32 view = 0; view < views; view++)
		good |= possible(view) && same(&w, status, &r[view]);
	judge(good, before, &o);
	if (status == GPT_OK && gpt_walk_unchanged(&c, &w) != memory_as_walked(&w))
		wrong("gpt_walk_unchanged() is wrong", &o);
	return finish(before);
}

/* --- EPT: the same with four levels of its entries ------------------------------------- */
static struct model_ept_state ept_state;
static struct model_ept_access ept_access;

static enum gpt_ept_status hooked_ept_walk(struct gpt_ept_walk *w)
{
	struct gpt_ept ept = {.regions = &walk_regions,
			      .eptp = ept_state.eptp,
			      .phys_bits = ept_state.maxphyaddr,
			      .pages_2m = true,
			      .pages_1g = true};
	struct gpt_ept_access a = {
		.read = ept_access.read, .write = ept_access.write, .fetch = ept_access.fetch, .linear = true};
	enum gpt_ept_status status;

	accesses = 0;
	memset(w, 0x5a, sizeof(*w));
	mprotect(walk_ram, RAM_BYTES, PROT_NONE);
	status = gpt_walk_ept(&ept, trial.gva, a, GPT_SET_AD, w);
	mprotect(walk_ram, RAM_BYTES, PROT_READ | PROT_WRITE);
	return status;
}

static bool same_ept(const struct gpt_ept_walk *w, enum gpt_ept_status status, const struct model_ept_result *r)
{
	SAME(status, r->status == MODEL_EPT_OK        ? EPT_OK :
		     r->status == MODEL_EPT_VIOLATION ? EPT_VIOLATION :
							EPT_MISCONFIG);
	for (u32 i = 0; i < r->count; i++)
		SAME(w->entry[r->entries[i].level], status == EPT_OK ? r->entries[i].after : r->entries[i].value);
	SAME(w->qualification, r->qualification);
	if (status == EPT_OK)
		SAME(w->address, r->physical);
	return true;
}

static bool run_ept_trial(void)
{
	bool ad = ept_state.eptp & EPTP_AD;
	struct outcome o = {.a = ad ? EPT_A : 0, .d = ad ? EPT_D : 0, .write = ept_access.write};
	struct model_ept_result r[1 << CHANGES_MAX];
	u32 views = 1u << trial.count;
	enum gpt_ept_status status;
	struct gpt_ept_walk w;
	u64 before[6] = {0};
	bool good = false;

	for (u32 view = 0; view < views; view++) {
		put_view(view);
		model_ept_walk(&ept_state, &walk_memory, trial.gva, ept_access, &r[view]);
	}
	put_view(0);
	remember(before);
	status = hooked_ept_walk(&w);
	o.end = status == EPT_OK ? OK : status == EPT_RETRY ? AGAIN : REFUSED;
	o.last_level = w.last_level;
	memcpy(o.entry, w.entry, sizeof(o.entry));
	for (u32 view = 0; view < views; view++)
		good |= possible(view) && same_ept(&w, status, &r[view]);
	judge(good, before, &o);
	return finish(before);
}

/* --- the spaces ---------------------------------------------------------------------- */
#define GVA_LONG 0x7fc0123b5678ull
#define GVA_SHORT 0x12bb5678ull

static void open_path(enum model_mode mode, u64 bits)
{
	trial.state = (struct model_state){
		.mode = mode,
		.maxphyaddr = 40,
		.cr3 = WALK_RAM_BASE,
		.wp = true,
		.nxe = mode != MODEL_32,
		.pse = true,
		.pages_1g = true,
		.pdpte = {WALK_RAM_BASE | PTE_P},
	};
	trial.size = mode == MODEL_32 ? 4 : 8;
	trial.gva = mode == MODEL_4L || mode == MODEL_5L ? GVA_LONG : GVA_SHORT;
	memset(walk_ram, 0, RAM_BYTES);
	for (u32 level = top_of(mode); level; level--)
		set_entry(level, (WALK_RAM_BASE + (top_of(mode) - level + 1) * PAGE_SIZE) | bits);
}

static const struct model_access kinds[] = {
	{0},
	{.write = true},
	{.user = true, .write = true},
	{.fetch = true},
};

#define VARIANTS 11u

/* Values that an entry changes to or from. */
static u64 variant(u64 entry, u32 n)
{
	switch (n) {
	case 0: return entry;
	case 1: return entry | PTE_A;
	case 2: return entry | PTE_A | PTE_D;
	case 3: return 0;
	case 4: return entry & ~PTE_W;
	case 5: return entry & ~PTE_U;
	case 6: return trial.size == 8 ? entry | PTE_NX : entry & ~PTE_P;
	case 7: return entry ^ PAGE_SIZE << 4; /* another frame: data or an empty table */
	case 8: return trial.size == 8 ? entry | BIT(45) : entry & ~(PTE_W | PTE_U);
	case 9: return (entry & ~PTE_ADDR_MASK) | PTE_PS; /* a large leaf */
	default: return entry ^ PTE_PWT;
	}
}

static void one_entry_changes(void **state)
{
	u32 step = getenv("UMBRA_LONG") ? 1 : 7, turn = 0;

	hook();
	for (u32 mode = MODEL_32; mode <= MODEL_5L; mode++)
		for (u32 marked = 0; marked < 2; marked++)
			for (u32 level = top_of(mode); level; level--)
				for (u32 n = turn++ % step; n < VARIANTS * VARIANTS * ARRAY_SIZE(kinds); n += step) {
					u64 entry;

					open_path(mode, PTE_P | PTE_W | PTE_U | (marked ? PTE_A | PTE_D : 0));
					entry = entry_at(level);
					trial.access = kinds[n % ARRAY_SIZE(kinds)];
					trial.count = 1;
					trial.list[0] = (struct change){
						.level = level,
						.old = variant(entry, n / ARRAY_SIZE(kinds) % VARIANTS),
						.new = variant(entry, n / ARRAY_SIZE(kinds) / VARIANTS),
					};
					if (trial.list[0].old == trial.list[0].new)
						continue;
					while (run_trial())
						trial.list[0].when++;
				}
	printf("%llu walks, %llu of them to be done again\n", (unsigned long long)walks,
	       (unsigned long long)retries);
	assert_true(retries > 1000);
}

static void two_entries_change(void **state)
{
	u32 rounds = getenv("UMBRA_LONG") ? 100000 : 8000;
	struct rng r;

	hook();
	rng_seed(&r, 11);
	walks = retries = 0;
	trial.count = 0;
	for (u32 i = 0; i < rounds; i++) {
		u32 mode = MODEL_32 + rng_below(&r, 4), top = top_of(mode), level = 1 + rng_below(&r, top);

		open_path(mode, PTE_P | PTE_W | PTE_U | (rng_chance(&r, 50) ? PTE_A : 0));
		trial.access = kinds[rng_below(&r, ARRAY_SIZE(kinds))];
		trial.count = 2;
		for (u32 k = 0; k < 2; k++) {
			u64 entry = entry_at(level);

			trial.list[k] = (struct change){
				.when = rng_below(&r, 2 * top + 2),
				.level = level,
				.old = variant(entry, rng_below(&r, VARIANTS)),
				.new = variant(entry, rng_below(&r, VARIANTS)),
			};
			level = level % top + 1;
		}
		if (trial.list[0].when > trial.list[1].when) {
			struct change first = trial.list[1];

			trial.list[1] = trial.list[0];
			trial.list[0] = first;
		}
		run_trial();
	}
	printf("%llu walks, %llu of them to be done again\n", (unsigned long long)walks,
	       (unsigned long long)retries);
	assert_true(retries > rounds / 200);
}

#define EPT_VARIANTS 9u

static u64 ept_variant(u64 entry, u32 n)
{
	switch (n) {
	case 0: return entry;
	case 1: return entry | EPT_A;
	case 2: return entry | EPT_A | EPT_D;
	case 3: return 0;
	case 4: return entry & ~EPT_W;
	case 5: return entry & ~EPT_X;
	case 6: return entry ^ PAGE_SIZE << 4;
	case 7: return entry | BIT(45);
	default: return (entry & 0x7) | EPT_PS | 6 << 3;
	}
}

static void open_ept_path(u32 marks)
{
	trial.state = (struct model_state){.mode = MODEL_4L};
	trial.size = 8;
	trial.gva = GVA_LONG;
	memset(walk_ram, 0, RAM_BYTES);
	for (u32 level = 4; level; level--)
		set_entry(level, (WALK_RAM_BASE + (5 - level) * PAGE_SIZE) | EPT_R | EPT_W | EPT_X | marks |
					 (level == 1 ? 6 << 3 : 0));
}

static void ept_entries_change(void **state)
{
	static const struct model_ept_access all[] = {
		{.read = true, .linear = true},
		{.write = true, .linear = true},
		{.fetch = true, .linear = true},
	};
	u32 rounds = getenv("UMBRA_LONG") ? 50000 : 5000;
	struct rng r;

	hook();
	rng_seed(&r, 12);
	walks = retries = 0;
	for (u32 i = 0; i < rounds; i++) {
		u32 level = 1 + rng_below(&r, 4);

		open_ept_path(rng_chance(&r, 50) ? EPT_A : 0);
		ept_state = (struct model_ept_state){
			.eptp = WALK_RAM_BASE | 3 << 3 | (rng_chance(&r, 80) ? EPTP_AD : 0),
			.maxphyaddr = 40,
			.pages_2m = true,
			.pages_1g = true,
		};
		ept_access = all[rng_below(&r, 3)];
		trial.count = 1 + rng_below(&r, 2);
		for (u32 k = 0; k < trial.count; k++) {
			u64 entry = entry_at(level);

			trial.list[k] = (struct change){
				.when = k ? trial.list[0].when + rng_below(&r, 4) : rng_below(&r, 9),
				.level = level,
				.old = ept_variant(entry, rng_below(&r, 3)),
				.new = ept_variant(entry, rng_below(&r, EPT_VARIANTS)),
			};
			level = level % 4 + 1;
		}
		run_ept_trial();
	}
	printf("%llu walks, %llu of them to be done again\n", (unsigned long long)walks,
	       (unsigned long long)retries);
	assert_true(retries > rounds / 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_entry_changes),
		cmocka_unit_test(two_entries_change),
		cmocka_unit_test(ept_entries_change),
	};

	return cmocka_run_group_tests(tests, walk_check_setup, walk_check_teardown);
}
