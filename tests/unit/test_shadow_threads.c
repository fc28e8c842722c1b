/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine on several CPUs at once, each a thread, under ThreadSanitizer (UNIT_TSAN in the Makefile): random guests
 * that keep the rules of smp_guest.h. Operations are counted, not time. A wait that does not end is ended by the alarm.
 *
 * UMBRA_SEED=n runs one seed; what the threads make of it differs from run to run. UMBRA_STEPS: operations of a CPU.
 */
#include "tests/unit/host.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/bits.h"
#include "lib/x86.h"
#include "tests/unit/smp_guest.h"

#define SECONDS 120u
#define ROUNDS 4u

/* Read by the CPU that they belong to without the lock, which others hold when they write them; and counters. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:shadow_entry_due\nrace_top:shadow_enter\nrace_top:shadow_prepare_entry\n"
	       "race_top:shadow_stat\nrace_top:fast_refuse\nrace_top:shadow_peek_code\nrace_top:top_entry\n";
}

static struct smp guest;
static u32 steps;

static u32 number_from(const char *name, u32 standard)
{
	const char *text = getenv(name);

	return text ? (u32)strtoul(text, NULL, 0) : standard;
}

/* What the hypervisor does on its own on the CPU's behalf. */
static void hypervisor(struct smp *g, struct vcpu *c)
{
	struct gpt_access access = {.user = true};
	u64 gva = user_gva(rng_below(&c->rng, PAGES));
	struct gpt_walk walk;

	vcpu_leave(c);
	switch (rng_below(&c->rng, 3)) {
	case 0: shadow_translate(c->mmu, gva, access, &walk); break;
	case 1: shadow_peek_code(c->mmu, gva); break;
	default: shadow_stat(g->vm.shadow, SHADOW_STAT_walks); break;
	}
}

static void one_operation(struct smp *g, struct vcpu *c)
{
	u32 dice = rng_below(&c->rng, 1000), page = rng_below(&c->rng, PAGES), i = rng_below(&c->rng, WINDOWS);

	smp_poll(g, c);
	if (dice < 560)
		smp_touch(g, c, page, dice & 1);
	else if (dice < 640)
		vcpu_speculate(c, user_gva(page));
	else if (dice < 690)
		smp_window(g, c, i, dice & 1);
	else if (dice < 760)
		smp_unmap(g, c, page);
	else if (dice < 775)
		smp_unmap_table(g, c, page / SLOTS);
	else if (dice < 805)
		smp_clean(g, c, page);
	else if (dice < 825)
		smp_age(g, c, page);
	else if (dice < 845)
		smp_fork(g, c, 1 + rng_below(&c->rng, PROCESSES - 1));
	else if (dice < 870)
		smp_exit(g, c, 1 + rng_below(&c->rng, PROCESSES - 1));
	else if (dice < 920)
		smp_switch(g, c, rng_below(&c->rng, PROCESSES));
	else if (dice < 945)
		smp_window_remap(g, c, i);
	else if (dice < 965)
		vcpu_invlpg(c, user_gva(page));
	else if (dice < 975)
		vcpu_flush(c);
	else if (dice < 998)
		hypervisor(g, c);
	else if (dice < 999)
		vcpu_leave(c), shadow_drop_all(g->vm.shadow);
	else if (vcpu_leave(c), shadow_audit(c->mmu))
		vm_fail(&g->vm, "shadow_audit between: mismatches");
}

static void *run_cpu(void *cpu)
{
	struct vcpu *c = cpu;
	struct smp *g = &guest;

	for (u32 round = 0; round < ROUNDS && !vm_failed(&g->vm); round++) {
		for (u32 i = 0; i < steps / ROUNDS && !vm_failed(&g->vm); i++)
			one_operation(g, c);
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

/* adversarial: 6, 40, 43 */
static void two_cpus_with_room(void **state)
{
	run_guests((struct vm_config){.cpus = 2, .tags = 8}, 200, 100);
}

/* adversarial: 6, 40, 43 */
static void two_cpus_with_few_shadow_pages_and_tags(void **state)
{
	run_guests((struct vm_config){.cpus = 2, .tags = 2, .shadow_limit = 64 * PAGE_SIZE}, 90, 100);
}

/* adversarial: 6, 40, 43 */
static void four_cpus(void **state)
{
	run_guests((struct vm_config){.cpus = 4, .tags = 3, .shadow_limit = 96 * PAGE_SIZE}, 120, 50);
}

/* adversarial: 6, 40, 43 */
static void three_cpus_of_one_tag(void **state)
{
	run_guests((struct vm_config){.cpus = 3, .tags = 1}, 150, 60);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_cpus_with_room),
		cmocka_unit_test(two_cpus_with_few_shadow_pages_and_tags),
		cmocka_unit_test(four_cpus),
		cmocka_unit_test(three_cpus_of_one_tag),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
