/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of the guest's processors, sent and taken by threads at once, under ThreadSanitizer (UNIT_TSAN in the Makefile): none is
 * lost, and one that looks at the wrong moment is kicked. A lost one shows as a hang, which the alarm ends.
 */
#include "tests/unit/host.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/x86/guest/processors.h"

#define SECONDS 60
#define TARGET 0u
#define SENDERS 3u

static struct processors table;
static u32 rounds, running, disturbing;

/* What the target tells: only its own thread writes. */
static u32 resets, starts, last_vector, nmis;

/* C1: is the target inside the guest, and has it been kicked? */
static u32 inside, kicked;
static bool announces; /* it says when it is about to look, and is kicked at all other times */

static u32 get(const u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set(u32 *word, u32 value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void look(void)
{
	struct processor_event event;

	if (!processors_take(&table, TARGET, &event))
		return;
	if (event.reset)
		set(&resets, resets + 1);
	if (event.start) {
		set(&last_vector, event.vector);
		set(&starts, starts + 1);
	}
	if (event.nmi)
		set(&nmis, nmis + 1);
}

/*
 * It looks behind each exit, those that no kick made too; in the guest and on the way there it sees nothing but a kick. Every other time it
 * stays in the guest until one comes.
 */
static void *target_that_announces(void *unused)
{
	for (u32 n = 0; get(&running); n++) {
		while (n & 1 && get(&running) && !get(&kicked))
			sched_yield();
		set(&kicked, 0);
		processors_announce_look(&table, TARGET);
		if (n & 2)
			sched_yield();
		look();
	}
	return NULL;
}

/* Inside the guest nothing is seen but a kick. */
static void *target(void *unused)
{
	if (announces)
		return target_that_announces(NULL);
	while (get(&running)) {
		set(&inside, 1);
		if (!get(&table.cpu[TARGET].requests))
			while (get(&running) && !__atomic_exchange_n(&kicked, 0, __ATOMIC_SEQ_CST))
				sched_yield();
		set(&inside, 0);
		look();
	}
	return NULL;
}

static void command(u32 sender, u32 icr)
{
	struct processor_set targets;

	assert_int_equal(processors_command(&table, sender, (u64)TARGET << 56 | icr, &targets), COMMAND_SENT);
	assert_int_equal(targets.word[0], 1);
	if (announces ? processors_need_kick(&table, TARGET) : get(&inside))
		set(&kicked, 1);
}

static void wait_until_above(const u32 *word, u32 value)
{
	while (get(word) == value)
		sched_yield();
}

/* One that waits is started at the vector that it is told, whatever NMIs come in between. */
static void *starter(void *unused)
{
	for (u32 n = 0; n < rounds; n++) {
		u32 reset = get(&resets), start = get(&starts);

		command(1, 0x500);
		if (n & 1)
			wait_until_above(&resets, reset);
		command(1, 0x600 | (n & 0xff));
		wait_until_above(&starts, start);
		assert_int_equal(get(&starts), start + 1);
		assert_int_equal(get(&last_vector), n & 0xff);
		command(1, 0x6ff); /* it runs */
	}
	return NULL;
}

/* Keeps the target looking all the time. */
static void *disturber(void *unused)
{
	while (get(&disturbing))
		command(2, 0x400);
	return NULL;
}

/* NMIs alone: each is followed by a delivery that began later. */
static void *nmi_sender(void *number)
{
	u32 sender = *(const u32 *)number;

	for (u32 n = 0; n < rounds; n++) {
		u32 before = get(&nmis);

		command(sender, 0x400);
		wait_until_above(&nmis, before);
	}
	return NULL;
}

static void begin(pthread_t *thread)
{
	resets = starts = last_vector = nmis = inside = kicked = 0;
	rounds = getenv("UMBRA_LONG") ? 100000 : 3000;
	running = disturbing = 1;
	processors_init(&table, false);
	for (u32 i = 0; i < 1 + SENDERS; i++)
		assert_int_equal(processors_add(&table, i, false), i);
	alarm(SECONDS * (getenv("UMBRA_LONG") ? 20 : 1));
	assert_int_equal(pthread_create(thread, NULL, target, NULL), 0);
}

static void end(pthread_t thread)
{
	set(&running, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	alarm(0);
}

static void no_nmi_of_several_senders_is_lost(void **state)
{
	u32 number[SENDERS] = {1, 2, 3};
	pthread_t sender[SENDERS], t;

	begin(&t);
	command(1, 0x500);
	command(1, 0x600);
	wait_until_above(&starts, 0);
	for (u32 i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&sender[i], NULL, nmi_sender, &number[i]), 0);
	for (u32 i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(sender[i], NULL), 0);
	end(t);
}

static void no_start_is_lost_among_other_messages(void **state)
{
	pthread_t other, first, t;
	u32 before;

	begin(&t);
	assert_int_equal(pthread_create(&other, NULL, disturber, NULL), 0);
	assert_int_equal(pthread_create(&first, NULL, starter, NULL), 0);
	assert_int_equal(pthread_join(first, NULL), 0);
	set(&disturbing, 0);
	assert_int_equal(pthread_join(other, NULL), 0);
	before = get(&nmis);
	command(2, 0x400);
	wait_until_above(&nmis, before);
	end(t);
	assert_int_equal(starts, rounds);
	assert_int_equal(resets, rounds);
}

static void who_is_about_to_look_needs_no_kick(void **state)
{
	announces = true;
	no_nmi_of_several_senders_is_lost(NULL);
	no_start_is_lost_among_other_messages(NULL);
	announces = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_nmi_of_several_senders_is_lost),
		cmocka_unit_test(no_start_is_lost_among_other_messages),
		cmocka_unit_test(who_is_about_to_look_needs_no_kick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
