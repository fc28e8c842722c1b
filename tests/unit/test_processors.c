/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of the guest's processors: whom each interrupt command reaches, by an oracle written from SDM vol. 3 sections 10.6
 * and 10.12 entry by entry, and that a target may look at its requests whenever it likes.
 */
#define _GNU_SOURCE
#include "tests/unit/host.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ucontext.h>

#include "arch/x86/guest/processors.h"
#include "tests/unit/rng.h"

static struct processors table;

/* --- what the manual says ------------------------------------------------------------ */

/* Table 10-3, edge-triggered or made so: the delivery modes that go with a shorthand. */
static const char *const valid_modes[4] = {
	[0] = "fixed lowest smi nmi init startup",
	[1] = "fixed",
	[2] = "fixed",
	[3] = "fixed lowest smi nmi init startup",
};
static const char *const mode_name[8] = {"fixed", "lowest", "smi", "-", "nmi", "init", "startup", "-"};

static u64 field(u64 value, u32 high, u32 low)
{
	return value << (63 - high) >> (63 - high + low);
}

/* Figures 10-12 and 10-28 */
struct command {
	u32 vector, mode, logical, level, trigger, shorthand, destination;
	bool x2apic;
};

static u64 encode(const struct command *c)
{
	u64 low = c->vector + c->mode * 0x100 + c->logical * 0x800 + c->level * 0x4000 + c->trigger * 0x8000 +
		  c->shorthand * 0x40000;

	return low + (c->x2apic ? c->destination * 0x100000000ull : c->destination * 0x100000000000000ull);
}

static enum command_verdict manual_verdict(const struct command *c)
{
	if (c->mode == 0 || c->mode == 1)
		return COMMAND_PASS;
	if (c->mode == 2 || mode_name[c->mode][0] == '-')
		return COMMAND_REFUSED;
	if (c->mode == 5 && c->trigger == 1 && c->level == 0)
		return COMMAND_IGNORED;
	if (c->mode == 4 && c->shorthand == 1)
		return COMMAND_SENT; /* not in the table; processors do it */
	return strstr(valid_modes[c->shorthand], mode_name[c->mode]) ? COMMAND_SENT : COMMAND_IGNORED;
}

static bool any_bit_in_common(u32 a, u32 b)
{
	for (u32 i = 0; i < 32; i++)
		if (a >> i & 1 && b >> i & 1)
			return true;
	return false;
}

static bool manual_accepts(const struct processor_address *a, const struct command *c)
{
	u32 mda = c->destination;

	if (a->apic == PROCESSOR_NO_APIC)
		return false;
	/* "Broadcast to all APICs": 8 or 32 ones, in either destination mode. */
	if (mda == (c->x2apic ? 0xffffffff : 0xff))
		return true;
	if (!c->logical)
		return mda == a->apic_id;
	if (a->apic == PROCESSOR_X2APIC) {
		u32 ldr = (u32)(field(a->apic_id, 19, 4) << 16) | 1u << field(a->apic_id, 3, 0);

		return field(mda, 31, 16) == field(ldr, 31, 16) && any_bit_in_common(mda & 0xffff, ldr);
	}
	if (mda > 0xff)
		return false;
	if (field(a->dfr, 31, 28) == 15)
		return any_bit_in_common(mda, field(a->ldr, 31, 24));
	if (field(a->dfr, 31, 28) == 0)
		return field(mda, 7, 4) == field(a->ldr, 31, 28) &&
		       any_bit_in_common(field(mda, 3, 0), field(a->ldr, 27, 24));
	return false;
}

static bool manual_reaches(const struct command *c, u32 sender, u32 target)
{
	const struct processor_address *a = &table.cpu[target].address;

	switch (c->shorthand) {
	case 1: return sender == target;
	case 3: return sender != target && a->apic != PROCESSOR_NO_APIC;
	default: return manual_accepts(a, c);
	}
}

/* --- one command --------------------------------------------------------------------- */

/* Makes the requests visible: a start-up message is seen by one that waits, the others by one that runs. */
static void check_target(const struct command *c, u32 i, bool reached)
{
	struct processor_event want = {0}, got;

	if (reached && c->mode == 4)
		want.nmi = true;
	if (reached && c->mode == 5)
		want.reset = true;
	if (reached && c->mode == 6) {
		want.start = true;
		want.vector = (u8)c->vector;
	}
	table.cpu[i].state = c->mode == 6 ? PROCESSOR_WAITS : PROCESSOR_RUNS;
	assert_int_equal(processors_take(&table, i, &got), reached);
	assert_memory_equal(&want, &got, sizeof(got));
}

static void check_command(const struct command *c, u32 sender)
{
	enum command_verdict want = manual_verdict(c);
	struct processor_address before[16];
	struct processor_set targets;

	for (u32 i = 0; i < table.count; i++)
		before[i] = table.cpu[i].address;
	if (table.cpu[sender].address.apic == PROCESSOR_NO_APIC)
		want = COMMAND_IGNORED;
	if (processors_command(&table, sender, encode(c), &targets) != want)
		fail_msg("verdict of %llx", (unsigned long long)encode(c));
	for (u32 i = 0; i < table.count; i++) {
		bool reached = want == COMMAND_SENT && manual_reaches(c, sender, i);

		if (processor_set_has(&targets, i) != reached)
			fail_msg("%llx from %u to %u of %u: %s", (unsigned long long)encode(c), sender, i,
				 table.count, reached ? "not sent" : "sent");
		check_target(c, i, reached);
	}
	for (u32 i = table.count; i < PROCESSORS_MAX; i++)
		assert_false(processor_set_has(&targets, i));
	for (u32 i = 0; i < table.count; i++) /* an INIT has taken the logical address */
		processors_set_address(&table, i, &before[i]);
}

enum model { FLAT, CLUSTER, X2APIC, MODELS };

/* Addresses as systems give them: one bit each, four to a cluster, or by the ID. */
static void fill(u32 count, enum model model, u32 first_id)
{
	processors_init(&table, false);
	for (u32 i = 0; i < count; i++) {
		u32 ldr = model == FLAT ? 1u << i % 8 : (i / 4) << 4 | 1u << i % 4;

		assert_int_equal(processors_add(&table, first_id + i, false), i);
		processors_set_address(&table, i,
				       &(struct processor_address){
					       .apic_id = first_id + i,
					       .ldr = ldr << 24,
					       .dfr = model == CLUSTER ? 0x0fffffff : ~0u,
					       .apic = model == X2APIC ? PROCESSOR_X2APIC : PROCESSOR_XAPIC,
				       });
	}
}

/* The fields of one destination, all of them. */
static void check_destination(struct command *c, u32 sender)
{
	for (u32 n = 0; n < 8 * 2 * 2 * 2 * 4; n++) {
		c->mode = n & 7;
		c->logical = n >> 3 & 1;
		c->level = n >> 4 & 1;
		c->trigger = n >> 5 & 1;
		c->shorthand = n >> 6;
		c->vector = c->destination & 0xff;
		check_command(c, sender);
	}
}

static void every_command_in_xapic_mode_reaches_whom_the_manual_says(void **state)
{
	host_log_quiet = true;
	for (u32 count = 1; count <= 16; count++)
		for (u32 model = FLAT; model <= CLUSTER; model++) {
			struct command c = {0};

			fill(count, (enum model)model, count == 16 ? 0xef : count);
			for (c.destination = 0; c.destination<0x100; c.destination += count> 4 ? 1 + count % 3 : 1)
				check_destination(&c, c.destination % count);
			c.destination = 0xff;
			check_destination(&c, count - 1);
		}
	host_log_quiet = false;
}

static void every_command_in_x2apic_mode_reaches_whom_the_manual_says(void **state)
{
	static const u32 first[] = {0, 9, 0xfa, 0xfff8, 0xffff8};

	host_log_quiet = true;
	for (u32 count = 1; count <= 16; count++) {
		u32 id = first[count % ARRAY_SIZE(first)];
		struct command c = {.x2apic = true};
		u32 destinations[] = {
			0,
			1,
			id,
			id + 1,
			id + count - 1,
			id + count,
			0xff,
			0xffff,
			0xffffffff,
			0xfffffffe,
			(id >> 4) << 16 | 1,
			(id >> 4) << 16 | 0xffff,
			(id >> 4) << 16 | 0x0a00,
			((id >> 4) + 1) << 16 | 0x00ff,
			((id >> 4) + 1) << 16,
			0x7fff0001,
		};

		fill(count, X2APIC, id);
		for (u32 i = 0; i < ARRAY_SIZE(destinations); i++) {
			c.destination = destinations[i];
			check_destination(&c, i % count);
		}
	}
	host_log_quiet = false;
}

/* --- random tables ------------------------------------------------------------------- */

static u32 random_logical(struct rng *r)
{
	return rng_chance(r, 50) ? 1u << rng_below(r, 8) : rng_chance(r, 10) ? 0 : (u32)rng_next(r) & 0xff;
}

static void random_table(struct rng *r)
{
	static const u32 dfr[] = {~0u, 0x0fffffff, 0x5fffffff};
	u32 count = 1 + rng_below(r, 16);
	bool mixed = rng_chance(r, 20), x2apic = rng_chance(r, 50);

	processors_init(&table, false);
	for (u32 i = 0; i < count; i++) {
		struct processor_address a = {
			.apic_id = rng_chance(r, 70) ? i + 8 :
				   rng_chance(r, 50) ? (u32)rng_next(r) :
						       0xf8 + i,
			.ldr = random_logical(r) << 24 | (mixed ? (u32)rng_next(r) & 0xffffff : 0),
			.dfr = dfr[rng_below(r, mixed ? 3 : 2)],
			.apic = (mixed ? rng_chance(r, 50) : x2apic) ? PROCESSOR_X2APIC : PROCESSOR_XAPIC,
		};

		if (mixed && rng_chance(r, 10))
			a.apic = PROCESSOR_NO_APIC;
		assert_int_equal(processors_add(&table, a.apic_id, false), i);
		processors_set_address(&table, i, &a);
	}
}

static u32 random_destination(struct rng *r, bool x2apic)
{
	const struct processor_address *a = &table.cpu[rng_below(r, table.count)].address;

	if (rng_chance(r, 30))
		return x2apic ? a->apic_id : a->apic_id & 0xff;
	if (rng_chance(r, 10))
		return x2apic ? ~0u : 0xff;
	if (!x2apic)
		return rng_chance(r, 50) ? a->ldr >> 24 : (u32)rng_next(r) & 0xff;
	return rng_chance(r, 70) ? (a->apic_id >> 4) << 16 | ((u32)rng_next(r) & 0xffff) : (u32)rng_next(r);
}

static void random_commands_reach_whom_the_manual_says(void **state)
{
	u32 rounds = getenv("UMBRA_LONG") ? 200000 : 20000;
	struct rng r;

	rng_seed(&r, 13);
	host_log_quiet = true;
	for (u32 n = 0; n < rounds; n++) {
		random_table(&r);
		for (u32 k = 0; k < 20; k++) {
			u32 sender = rng_below(&r, table.count);
			bool x2apic = table.cpu[sender].address.apic == PROCESSOR_X2APIC;
			struct command c = {
				.vector = rng_below(&r, 256),
				.mode = rng_below(&r, 8),
				.logical = rng_below(&r, 2),
				.level = rng_below(&r, 2),
				.trigger = rng_below(&r, 2),
				.shorthand = rng_chance(&r, 60) ? 0 : rng_below(&r, 4),
				.destination = random_destination(&r, x2apic),
				.x2apic = x2apic,
			};

			check_command(&c, sender);
		}
	}
	host_log_quiet = false;
}

/* --- bits that do not belong to a command ---------------------------------------------- */

static void reserved_bits_fault_in_x2apic_mode_alone(void **state)
{
	struct processor_set targets;
	struct processor_event event;

	for (u32 bit = 12; bit < 32; bit++) {
		bool reserved = bit == 13 || bit == 16 || bit == 17 || bit >= 20;
		u64 icr = 0x400 | 1ull << bit;

		if (bit == 18 || bit == 19) /* the shorthand */
			continue;
		fill(2, X2APIC, 4);
		assert_int_equal(processors_command(&table, 0, 5ull << 32 | icr, &targets),
				 reserved ? COMMAND_FAULT : COMMAND_SENT);
		assert_int_equal(targets.word[0], reserved ? 0 : 2);
		table.cpu[1].state = PROCESSOR_RUNS;
		assert_int_equal(processors_take(&table, 1, &event), !reserved);
		assert_int_equal(processors_command(&table, 0, 5ull << 32 | 1ull << bit, &targets), COMMAND_PASS);

		fill(2, FLAT, 4);
		assert_int_equal(processors_command(&table, 0, 5ull << 56 | icr, &targets), COMMAND_SENT);
		assert_int_equal(targets.word[0], 2);
	}
}

static void each_kind_of_refusal_is_told_once(void **state)
{
	static const u32 told[] = {0x00200, 0x00300, 0x80500};
	struct processor_set targets;

	host_log_quiet = true;
	fill(2, FLAT, 0);
	memset(host_log_count, 0, sizeof(host_log_count));
	for (u32 n = 0; n < ARRAY_SIZE(told); n++)
		for (u32 again = 0; again < 3; again++) {
			assert_int_not_equal(processors_command(&table, again & 1, told[n], &targets), COMMAND_SENT);
			assert_int_equal(host_log_count[LOG_WARN], n + 1);
		}
	assert_int_equal(processors_command(&table, 0, 0x08500, &targets), COMMAND_IGNORED); /* INIT de-assert */
	assert_int_equal(host_log_count[LOG_WARN], ARRAY_SIZE(told));
	host_log_quiet = false;
}

static void the_table_has_an_end(void **state)
{
	struct processor_set targets;

	processors_init(&table, false);
	for (u32 i = 0; i < PROCESSORS_MAX; i++)
		assert_int_equal(processors_add(&table, i, !i), i);
	assert_int_equal(processors_add(&table, 1000, false), -ENOSPC);
	assert_int_equal(processors_command(&table, 3, 0xc0500, &targets), COMMAND_SENT);
	for (u32 i = 0; i < PROCESSORS_MAX; i++)
		assert_int_equal(processor_set_has(&targets, i), i != 3);
}

/* --- a target may look when it likes ---------------------------------------------------- */

enum step { STEP_INIT, STEP_SIPI_10, STEP_SIPI_20, STEP_NMI, STEP_TAKE, STEPS };
#define LENGTH 6
enum origin { UNTOUCHED = 0x100, RESET_VECTOR, NOWHERE }; /* else the vector it was started at */

/* One processor to which everything happens at once when it is sent. */
struct immediate {
	enum processor_state state;
	u32 origin;
	bool nmi;
};

static void happens(struct immediate *m, enum step step, bool boot)
{
	if (step == STEP_INIT) {
		m->state = boot ? PROCESSOR_RUNS : PROCESSOR_WAITS;
		m->origin = boot ? RESET_VECTOR : NOWHERE;
		m->nmi = false;
	} else if (step == STEP_NMI) {
		m->nmi |= m->state != PROCESSOR_OFF;
	} else if (step != STEP_TAKE && m->state == PROCESSOR_WAITS) {
		m->state = PROCESSOR_RUNS;
		m->origin = step == STEP_SIPI_10 ? 0x10 : 0x20;
	}
}

static void apply(struct immediate *seen, const struct processor_event *event, bool boot)
{
	if (event->reset) {
		seen->origin = boot ? RESET_VECTOR : NOWHERE;
		seen->nmi = false;
	}
	if (event->start) {
		assert_int_equal(seen->origin, NOWHERE);
		seen->origin = event->vector;
	}
	seen->nmi |= event->nmi;
	seen->state = processors_state(&table, 0);
	assert_true(!event->nmi || seen->state == PROCESSOR_RUNS);
}

static void take(struct immediate *seen, bool boot)
{
	struct processor_event event;

	processors_take(&table, 0, &event);
	apply(seen, &event, boot);
}

static void begin(enum processor_state start, bool boot)
{
	processors_init(&table, false);
	assert_int_equal(processors_add(&table, 7, boot), 0);
	assert_int_equal(processors_add(&table, 8, false), 1);
	table.cpu[0].state = start;
}

static struct immediate at_first(enum processor_state start)
{
	return (struct immediate){start, start == PROCESSOR_WAITS ? NOWHERE : UNTOUCHED, false};
}

static void do_step(struct immediate *seen, enum step step, bool boot)
{
	static const u64 icr[] = {
		[STEP_INIT] = 0x500, [STEP_SIPI_10] = 0x610, [STEP_SIPI_20] = 0x620, [STEP_NMI] = 0x400};
	struct processor_set targets;

	if (step == STEP_TAKE)
		take(seen, boot);
	else
		assert_int_equal(processors_command(&table, 1, 7ull << 56 | icr[step], &targets), COMMAND_SENT);
}

static void take_the_rest(struct immediate *seen, bool boot)
{
	take(seen, boot);
	if (table.cpu[0].nmi_waits)
		seen->nmi = true;
	assert_int_equal(table.cpu[0].requests | table.cpu[1].requests, 0);
}

static bool same(const struct immediate *a, const struct immediate *b)
{
	return a->state == b->state && a->origin == b->origin && a->nmi == b->nmi;
}

static void play(u32 sequence, enum processor_state start, bool boot)
{
	struct immediate want = at_first(start), seen = want;

	begin(start, boot);
	for (u32 i = 0; i < LENGTH; i++, sequence /= STEPS) {
		happens(&want, (enum step)(sequence % STEPS), boot);
		do_step(&seen, (enum step)(sequence % STEPS), boot);
	}
	take_the_rest(&seen, boot);
	assert_true(same(&seen, &want));
}

/* adversarial: 29 */
static void requests_taken_late_end_where_those_taken_at_once_do(void **state)
{
	u32 sequences = 1;

	for (u32 i = 0; i < LENGTH; i++)
		sequences *= STEPS;
	host_log_quiet = true;
	for (u32 n = 0; n < sequences; n++) {
		for (u32 start = PROCESSOR_OFF; start <= PROCESSOR_RUNS; start++)
			play(n, (enum processor_state)start, false);
		play(n, PROCESSOR_RUNS, true);
	}
	host_log_quiet = false;
}

/* --- another processor comes in between at any instruction -------------------------------- */

#define TRAP_FLAG 0x100

/* What SIGTRAP does: at the instruction of this number, count from 0, the other step. */
static struct {
	u32 left;
	bool done;
	enum step other;
	struct immediate *seen;
	bool need_kick; /* what a sender is told behind it */
} trap;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (trap.left--)
		return;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	trap.done = true;
	do_step(trap.seen, trap.other, false);
	trap.need_kick = processors_need_kick(&table, 0);
}

/* Below the red zone. */
#define CHANGE_FLAGS(instruction, value) \
	asm volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\t" instruction \
		     " %0, (%%rsp)\n\tpopfq\n\tleaq 128(%%rsp), %%rsp" \
		     : \
		     : "i"(value) \
		     : "memory", "cc")

static void take_with_other(struct immediate *seen)
{
	struct processor_event event;

	CHANGE_FLAGS("orl", TRAP_FLAG);
	processors_take(&table, 0, &event);
	CHANGE_FLAGS("andl", ~TRAP_FLAG);
	apply(seen, &event, false);
}

static bool post_with_other(void)
{
	struct processor_set targets;
	bool need;

	CHANGE_FLAGS("orl", TRAP_FLAG);
	processors_command(&table, 1, 7ull << 56 | 0x400, &targets);
	need = processors_need_kick(&table, 0);
	CHANGE_FLAGS("andl", ~TRAP_FLAG);
	return need;
}

/* Either order of the two, behind what came before. */
static bool is_explained(const struct immediate *seen, enum processor_state start, const enum step before,
			 enum step one, enum step two)
{
	const enum step order[2][3] = {{before, one, two}, {before, two, one}};

	for (u32 i = 0; i < 2; i++) {
		struct immediate want = at_first(start);

		for (u32 n = 0; n < 3; n++)
			happens(&want, order[i][n], false);
		if (same(seen, &want))
			return true;
	}
	return false;
}

/* False: the step has fewer instructions than that. */
static bool interleave(enum processor_state start, enum step before, enum step step, enum step other, u32 instruction)
{
	struct immediate seen = at_first(start);

	begin(start, false);
	do_step(&seen, before, false);
	trap.left = instruction;
	trap.done = false;
	trap.other = other;
	trap.seen = &seen;
	if (step == STEP_TAKE)
		take_with_other(&seen);
	else
		post_with_other();
	if (!trap.done)
		return false;
	take_the_rest(&seen, false);
	if (!is_explained(&seen, start, before, step, other))
		fail_msg("start %d, before %d: step %d, and %d at its instruction %u: state %d, origin %x, NMI %d",
			 start, before, step, other, instruction, seen.state, seen.origin, seen.nmi);
	return true;
}

/* Both halves of it: the target that takes, and the sender; a processor takes its own requests alone. */
static void no_request_is_lost_whenever_another_comes_in_between(void **state)
{
	static const enum step halves[] = {STEP_TAKE, STEP_NMI}, before[] = {STEP_NMI, STEP_SIPI_20, STEP_TAKE};
	enum processor_state last = getenv("UMBRA_LONG") ? PROCESSOR_RUNS : PROCESSOR_WAITS;
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;

	assert_int_equal(sigaction(SIGTRAP, &action, &old), 0);
	for (u32 start = PROCESSOR_WAITS; start <= last; start++)
		for (u32 n = 0; n < ARRAY_SIZE(before) * ARRAY_SIZE(halves) * STEPS; n++) {
			enum step first = before[n % 3], step = halves[n / 3 % 2], other = (enum step)(n / 6);
			u32 instruction = 0;

			if (step == other || other == STEP_SIPI_20) /* another than the first that came */
				continue;
			while (interleave((enum processor_state)start, first, step, other, instruction))
				instruction++;
			assert_true(instruction > 5);
		}
	assert_int_equal(sigaction(SIGTRAP, &old, NULL), 0);
}

/* One that has announced its look, and a sender that comes at any instruction of it; or the look at any instruction of the sender. */
static bool look_is_enough(enum step step, u32 instruction)
{
	struct immediate seen = at_first(PROCESSOR_RUNS);
	bool need;

	begin(PROCESSOR_RUNS, false);
	processors_announce_look(&table, 0);
	trap.left = instruction;
	trap.done = false;
	trap.other = step == STEP_TAKE ? STEP_NMI : STEP_TAKE;
	trap.seen = &seen;
	if (step == STEP_TAKE) {
		take_with_other(&seen);
		need = trap.need_kick;
	} else {
		need = post_with_other();
	}
	if (trap.done && !need && table.cpu[0].requests)
		fail_msg("step %d, the other at its instruction %u: a request without a kick is left", step,
			 instruction);
	if (trap.done)
		assert_true(processors_need_kick(&table, 0));
	return trap.done;
}

static void who_needs_no_kick_finds_the_request(void **state)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;
	u32 spared = 0, instruction;

	assert_int_equal(sigaction(SIGTRAP, &action, &old), 0);
	for (instruction = 0; look_is_enough(STEP_TAKE, instruction); instruction++)
		spared += !trap.need_kick;
	assert_in_range(spared, 3, instruction - 5); /* both come to pass */
	for (instruction = 0; look_is_enough(STEP_NMI, instruction); instruction++)
		;
	assert_true(instruction > 20);
	assert_int_equal(sigaction(SIGTRAP, &old, NULL), 0);
}

static void an_init_takes_the_logical_address_and_leaves_id_and_mode(void **state)
{
	struct processor_set targets;
	struct processor_event event;

	fill(2, CLUSTER, 3);
	assert_int_equal(processors_command(&table, 0, 4ull << 56 | 0x500, &targets), COMMAND_SENT);
	assert_int_equal(targets.word[0], 2);
	assert_int_equal(table.cpu[1].address.ldr, 0x02000000); /* until it looks */
	assert_true(processors_take(&table, 1, &event) && event.reset && !event.start);
	assert_int_equal(processors_state(&table, 1), PROCESSOR_WAITS);
	assert_true(!table.cpu[1].address.ldr && table.cpu[1].address.dfr == ~0u);
	assert_true(table.cpu[1].address.apic_id == 4 && table.cpu[1].address.apic == PROCESSOR_XAPIC);
	assert_int_equal(table.cpu[0].address.ldr, 0x01000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_in_xapic_mode_reaches_whom_the_manual_says),
		cmocka_unit_test(every_command_in_x2apic_mode_reaches_whom_the_manual_says),
		cmocka_unit_test(random_commands_reach_whom_the_manual_says),
		cmocka_unit_test(reserved_bits_fault_in_x2apic_mode_alone),
		cmocka_unit_test(each_kind_of_refusal_is_told_once),
		cmocka_unit_test(the_table_has_an_end),
		cmocka_unit_test(requests_taken_late_end_where_those_taken_at_once_do),
		cmocka_unit_test(no_request_is_lost_whenever_another_comes_in_between),
		cmocka_unit_test(who_needs_no_kick_finds_the_request),
		cmocka_unit_test(an_init_takes_the_logical_address_and_leaves_id_and_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
