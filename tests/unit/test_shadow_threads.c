/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine on several CPUs at once, each a thread, under ThreadSanitizer (UNIT_TSAN in the Makefile): random guests
 * that keep the rules of smp_guest.h. Operations are counted, not time. A wait that does not end is ended by the alarm.
 *
 * UMBRA_SEED=n runs one seed; what the threads make of it differs from run to run. UMBRA_STEPS: operations of a CPU.
 * UMBRA_FIRST: end with the first failure.
 */
#include "tests/unit/host.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/smp_guest.h"

#define SECONDS 300u
#define ROUNDS 4u

static struct smp guest;
static u32 steps;

static u32 number_from(const char *name, u32 standard)
{
	const char *text = getenv(name);

	return text ? (u32)strtoul(text, NULL, 0) : standard;
}

static void *run_cpu(void *cpu)
{
	struct vcpu *c = cpu;
	struct smp *g = &guest;

	for (u32 round = 0; round < ROUNDS && !vm_failed(&g->vm); round++) {
		for (u32 i = 0; i < steps / ROUNDS && !vm_failed(&g->vm); i++)
			smp_operation(g, c);
		smp_meet(g, c, 0);
		vcpu_load_cr3(c, c->paging.cr3);
		smp_meet(g, c, 1);
		if (c->number == 0)
			smp_check(g);
		smp_meet(g, c, 2);
	}
	vcpu_leave(c);
	return NULL;
}

static void run_guest(const struct vm_config *config, u32 frames)
{
	pthread_t thread[VM_CPUS_MAX];

	smp_create(&guest, config, frames);
	alarm(SECONDS * (getenv("UMBRA_LONG") ? 20 : 1));
	for (u32 i = 0; i < config->cpus; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_cpu, &guest.vm.cpu[i]), 0);
	for (u32 i = 0; i < config->cpus; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	alarm(0);
	if (vm_failed(&guest.vm) && getenv("UMBRA_FIRST"))
		exit(1);
	if (vm_failed(&guest.vm))
		fail_msg("UMBRA_SEED=%llu, %u CPUs: %s", (unsigned long long)config->seed, config->cpus,
			 guest.vm.failure);
}

/* Seeds for one set of sizes; share: of the steps, in percent. */
static void run_guests(struct vm_config config, u32 frames, u32 share)
{
	u32 seeds = getenv("UMBRA_LONG") ? 30 : 2, one = number_from("UMBRA_SEED", 0);
	u64 kicks = 0;

	steps = number_from("UMBRA_STEPS", 3000) * share / 100;
	for (u32 seed = one ? one : 1; seed <= (one ? one : seeds); seed++) {
		config.seed = seed;
		run_guest(&config, frames);
		kicks += shadow_stat(guest.vm.shadow, SHADOW_STAT_kicks);
		smp_destroy(&guest);
	}
	assert_true(kicks);
}

/* adversarial: 43 */
static void two_cpus_with_room(void **state)
{
	run_guests((struct vm_config){.cpus = 2, .tags = 8}, 200, 100);
}

/* adversarial: 43 */
static void two_cpus_with_few_shadow_pages_and_tags(void **state)
{
	run_guests((struct vm_config){.cpus = 2, .tags = 2, .shadow_limit = 64 * PAGE_SIZE}, 90, 100);
}

/* adversarial: 43 */
static void four_cpus(void **state)
{
	run_guests((struct vm_config){.cpus = 4, .tags = 3, .shadow_limit = 96 * PAGE_SIZE}, 120, 50);
}

/* adversarial: 43 */
static void three_cpus_of_one_tag(void **state)
{
	run_guests((struct vm_config){.cpus = 3, .tags = 1}, 150, 60);
}

/* Most tables that are unsync at a flush leave the shadow. */
/* adversarial: 43 */
static void three_cpus_in_a_hurry(void **state)
{
	run_guests((struct vm_config){.cpus = 3, .tags = 4, .hurry = 1}, 150, 40);
	run_guests((struct vm_config){.cpus = 3, .tags = 4, .hurry = 2}, 150, 40);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_cpus_with_room),
		cmocka_unit_test(two_cpus_with_few_shadow_pages_and_tags),
		cmocka_unit_test(four_cpus),
		cmocka_unit_test(three_cpus_of_one_tag),
		cmocka_unit_test(three_cpus_in_a_hurry),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
