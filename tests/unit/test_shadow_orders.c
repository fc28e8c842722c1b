/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine on several CPUs under a scheduler that may let another one go on at each access to what they share
 * (orders.h). Small cases in every order with at most so many switches; random guests (smp_guest.h) in random ones.
 *
 * A failure prints UMBRA_ORDER for the small case, or UMBRA_SEED; an argument names the tests to run. UMBRA_LONG: more
 * seeds. UMBRA_SWITCHES: so many in small cases (one more is an hour and longer). UMBRA_FIRST: end with the first failure.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/x86.h"
#include "mm/phys.h"
#include "mm/shadow/types.h"
#include "tests/unit/orders.h"
#include "tests/unit/smp_guest.h"

/* The hardware has choices, which are by random numbers: so many sets of them. */
#define SMALL_SEEDS 3u

static struct smp guest;

/* --- every order of a small case ----------------------------------------------------------- */
/* What each CPU does. */
struct small {
	void (*before)(struct vcpu *c); /* one CPU after the other, as far as they do not wait */
	void (*run[2])(struct vcpu *c);
	u32 switches, tags, pages, seeds; /* 0: as usual */
	bool plain;                       /* between plain accesses to the records of shadow pages too */
};
static const struct small *small;

static void run_before(u32 cpu)
{
	struct vcpu *c = &guest.vm.cpu[cpu];

	small->before(c);
	smp_meet(&guest, c, 0);
}

static void run_small(u32 cpu)
{
	struct vcpu *c = &guest.vm.cpu[cpu];

	small->run[cpu](c);
	smp_meet(&guest, c, 1);
}

/* What is left in the end must be right for each CPU after a flush of its own, and agree with the books. */
static void check_end(void)
{
	for (u32 i = 0; i < guest.cpus; i++) {
		vcpu_load_cr3(&guest.vm.cpu[i], guest.vm.cpu[i].paging.cr3);
		smp_check_pages(&guest, &guest.vm.cpu[i]);
	}
	if (shadow_audit(guest.vm.cpu[0].mmu))
		vm_fail(&guest.vm, "shadow_audit: mismatches");
}

static u32 number_from(const char *name, u32 standard)
{
	const char *text = getenv(name);

	return text ? (u32)strtoul(text, NULL, 0) : standard;
}

static u64 run_orders(u32 switches)
{
	u64 count = 0;

	orders_first(switches);
	do {
		orders_restore();
		if (!orders_run(2, run_small))
			vm_fail(&guest.vm, "the CPUs wait for each other");
		else
			check_end();
		count++;
	} while (!vm_failed(&guest.vm) && orders_next());
	return count;
}

static void every_order(const struct small *s)
{
	u64 count = 0;

	small = s;
	for (u32 seed = 1; seed <= (s->seeds ? s->seeds : SMALL_SEEDS); seed++) {
		struct vm_config config = {.cpus = 2,
					   .tags = s->tags ? s->tags : 4,
					   .shadow_limit = (s->pages ? s->pages : 64) * PAGE_SIZE,
					   .pool_bytes = 1u << 20,
					   .seed = seed};

		smp_create(&guest, &config, 40);
		orders_first(0);
		assert_true(orders_run(2, run_before));
		orders_shared(phys_to_virt(hpa(0)), VM_POOL + config.pool_bytes, true);
		orders_shared(&guest, sizeof(guest), false);
		if (s->plain)
			orders_plain(guest.vm.shadow->pages,
				     guest.vm.shadow->page_count * sizeof(struct shadow_page));
		count += run_orders(number_from("UMBRA_SWITCHES", s->switches));
		if (vm_failed(&guest.vm) && getenv("UMBRA_FIRST"))
			exit(1);
		if (vm_failed(&guest.vm))
			fail_msg("seed %u UMBRA_ORDER='%s': %s", seed, orders_text(), guest.vm.failure);
		orders_forget();
		smp_destroy(&guest);
	}
	if (getenv("UMBRA_TRACE"))
		printf("%llu orders, %llu points\n", (unsigned long long)count, (unsigned long long)orders_points());
	assert_true(count > 20 || orders_given());
}

/* Both have used pages 0 to 2 and 12, whose tables are unsync. */
static void pages_in_use(struct vcpu *c)
{
	smp_touch(&guest, c, 0, true);
	smp_touch(&guest, c, 1, true);
	smp_touch(&guest, c, 2, false);
	smp_touch(&guest, c, SLOTS, true);
}

/* And they are protected again. */
static void pages_protected(struct vcpu *c)
{
	pages_in_use(c);
	smp_meet(&guest, c, 2);
	vcpu_load_cr3(c, c->paging.cr3);
	smp_user(&guest, c, 0, true);
	smp_user(&guest, c, 1, true);
}

static void unmap_0(struct vcpu *c)
{
	smp_unmap(&guest, c, 0);
}
static void unmap_1(struct vcpu *c)
{
	smp_unmap(&guest, c, 1);
}
static void write_0(struct vcpu *c)
{
	smp_user(&guest, c, 0, true);
	smp_user(&guest, c, 0, true);
}
static void touch_0(struct vcpu *c)
{
	smp_touch(&guest, c, 0, true);
}
static void clean_0(struct vcpu *c)
{
	smp_clean(&guest, c, 0);
}
static void unmap_table(struct vcpu *c)
{
	smp_unmap_table(&guest, c, 0);
}
static void load_cr3(struct vcpu *c)
{
	vcpu_load_cr3(c, c->paging.cr3);
	smp_user(&guest, c, 1, true);
}

/* The first one makes a second process, and there is something in the kernel's window. */
static void two_processes(struct vcpu *c)
{
	smp_touch(&guest, c, 0, true);
	if (c->number == 0) {
		smp_window_remap(&guest, c, 0);
		smp_fork(&guest, c, 1);
	}
	smp_meet(&guest, c, 2);
	if (c->number == 1) {
		smp_switch(&guest, c, 1);
		smp_touch(&guest, c, 0, true);
	}
	smp_window(&guest, c, 0, true);
}

/* Each has its process. */
static void switch_to_1(struct vcpu *c)
{
	smp_switch(&guest, c, 1);
	smp_user(&guest, c, 0, false);
}
/* Of two processes each CPU is in the first. */
static void a_second_process(struct vcpu *c)
{
	smp_touch(&guest, c, 0, true);
	if (c->number == 0)
		smp_fork(&guest, c, 1);
	smp_meet(&guest, c, 2);
}
static void use_0(struct vcpu *c)
{
	smp_user(&guest, c, 0, false);
	vcpu_speculate(c, user_gva(1));
	vcpu_speculate(c, user_gva(SLOTS));
	smp_user(&guest, c, 0, true);
}
static void drop_all(struct vcpu *c)
{
	vcpu_leave(c);
	shadow_drop_all(guest.vm.shadow);
	smp_user(&guest, c, 0, false);
	smp_user(&guest, c, SLOTS, false);
}
/* Until each page of the pool has been another one. */
static void drop_all_often(struct vcpu *c)
{
	for (u32 i = 0; i < 5; i++)
		drop_all(c);
}
static void fork_2(struct vcpu *c)
{
	smp_fork(&guest, c, 2);
}
static void remap_window(struct vcpu *c)
{
	smp_window_remap(&guest, c, 0);
}
static void use_window(struct vcpu *c)
{
	smp_window(&guest, c, 0, true);
	smp_window(&guest, c, 0, true);
}
static void audit(struct vcpu *c)
{
	vcpu_leave(c);
	if (shadow_audit(c->mmu))
		vm_fail(&guest.vm, "shadow_audit between");
}

/* --- fast paths (S25) ------------------------------------------------------------------------ */
static u64 fast_before, fast_orders; /* fast fills before a case; orders with one */
static u64 fast_fills(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < guest.cpus; i++)
		sum += guest.vm.cpu[i].mmu->stats[SHADOW_STAT_fills];
	return sum;
}

/* The guest maps pages 0 to 2 and the shadow has page 2 alone: what asks for the others takes the fast path, in one page. */
static void pages_aged(struct vcpu *c)
{
	pages_in_use(c);
	smp_meet(&guest, c, 2);
	if (c->number == 0) {
		smp_age(&guest, c, 0);
		smp_age(&guest, c, 1);
	}
	smp_meet(&guest, c, 3);
	vcpu_load_cr3(c, c->paging.cr3);
	smp_user(&guest, c, 2, false);
	smp_meet(&guest, c, 2);
	fast_before = fast_fills();
}
/* And their table may be written to. */
static void pages_aged_unsync(struct vcpu *c)
{
	pages_aged(c);
	if (c->number == 0)
		smp_age(&guest, c, 0);
}

/* Page 9 is not beside page 0: the shadow has forgotten it alone, and the guest's A and D are set, so no compare-exchange is between. */
static void forget_9(struct vcpu *c, bool clean)
{
	smp_touch(&guest, c, 0, true);
	smp_touch(&guest, c, 9, true);
	smp_meet(&guest, c, 2);
	if (c->number == 0 && clean)
		smp_clean(&guest, c, 9);
	if (c->number == 0)
		smp_forget(&guest, c, 9);
	smp_meet(&guest, c, 3);
	vcpu_load_cr3(c, c->paging.cr3);
	smp_user(&guest, c, 0, false);
	smp_meet(&guest, c, 2);
	fast_before = fast_fills();
}
static void page_9_forgotten(struct vcpu *c)
{
	forget_9(c, false);
}
/* D is clear: its entry may not be written through, and is in no list. */
static void clean_page_9_forgotten(struct vcpu *c)
{
	forget_9(c, true);
}
static void read_9(struct vcpu *c)
{
	smp_user(&guest, c, 9, false);
	fast_orders += fast_fills() != fast_before;
}
static void write_9(struct vcpu *c)
{
	smp_user(&guest, c, 9, true);
	fast_orders += fast_fills() != fast_before;
}

static void write_0_and_1(struct vcpu *c)
{
	smp_user(&guest, c, 0, true);
	smp_user(&guest, c, 1, true);
	fast_orders += fast_fills() != fast_before;
}
static void write_1_and_0(struct vcpu *c)
{
	smp_user(&guest, c, 1, true);
	smp_user(&guest, c, 0, true);
}
static void read_0_write_0(struct vcpu *c)
{
	smp_user(&guest, c, 0, false);
	smp_user(&guest, c, 0, true);
}

/* adversarial: 43 */
static void two_fast_paths_meet_in_one_page(void **state)
{
	fast_orders = 0;
	every_order(&(struct small){page_9_forgotten, {write_9, write_9}, .switches = 2});
	every_order(&(struct small){page_9_forgotten, {write_9, write_9}, .switches = 2, .plain = true});
	every_order(&(struct small){clean_page_9_forgotten, {read_9, read_9}, .switches = 2, .plain = true});
	assert_true(fast_orders > 100 || orders_given());
	fast_orders = 0;
	every_order(&(struct small){pages_aged, {write_0_and_1, write_1_and_0}, .switches = 2});
	every_order(&(struct small){pages_aged, {write_0_and_1, read_0_write_0}, .switches = 2});
	every_order(&(struct small){pages_aged_unsync, {write_0_and_1, write_0_and_1}, .switches = 2});
	assert_true(fast_orders > 1000 || orders_given());
}

/* adversarial: 43 */
static void a_fast_path_meets_a_sync(void **state)
{
	every_order(&(struct small){pages_aged, {load_cr3, write_1_and_0}, .switches = 2});
	every_order(&(struct small){pages_aged_unsync, {load_cr3, write_1_and_0}, .switches = 2});
	every_order(&(struct small){pages_aged_unsync, {unmap_1, write_1_and_0}, .switches = 2});
}

/* adversarial: 43 */
static void a_fast_path_meets_a_drop(void **state)
{
	every_order(&(struct small){pages_aged, {drop_all, write_1_and_0}, .switches = 1});
	every_order(&(struct small){pages_aged, {write_1_and_0, drop_all}, .switches = 1});
	every_order(&(struct small){pages_aged, {unmap_table, write_1_and_0}, .switches = 1});
	/* An entry that is in no list and needs no bits set: between the store that says who is inside and the end no locked instruction. */
	every_order(&(struct small){clean_page_9_forgotten, {read_9, unmap_table}, .switches = 2});
}

/* A frame that a fast path is about to map becomes a table that the other CPU walks through. */
static void fork_1(struct vcpu *c)
{
	smp_fork(&guest, c, 1);
}
/* adversarial: 43 */
static void a_fast_path_meets_a_fork(void **state)
{
	every_order(&(struct small){pages_aged, {fork_1, write_1_and_0}, .switches = 1});
}

/* Written by the emulator, it is unsync until then: else its store would be lost to the sync (S22). */
static void age_0_emulated(struct vcpu *c)
{
	smp_age_emulated(&guest, c, 0, false);
}
static void age_0_locked(struct vcpu *c)
{
	smp_age_emulated(&guest, c, 0, true);
}
static void load_cr3_alone(struct vcpu *c)
{
	vcpu_load_cr3(c, c->paging.cr3);
}
/* adversarial: 43 */
static void the_emulator_writes_to_a_table_that_is_protected(void **state)
{
	every_order(&(struct small){pages_protected, {load_cr3_alone, age_0_emulated}, .switches = 2});
	every_order(&(struct small){pages_in_use, {load_cr3_alone, age_0_emulated}, .switches = 2});
	every_order(&(struct small){pages_protected, {load_cr3_alone, age_0_locked}, .switches = 2});
	every_order(&(struct small){pages_in_use, {load_cr3_alone, age_0_locked}, .switches = 2});
}

/* adversarial: 43 */
static void a_tag_goes_to_another_root(void **state)
{
	every_order(&(struct small){two_processes, {switch_to_1, use_0}, .switches = 2, .tags = 1});
	every_order(&(struct small){two_processes, {switch_to_1, use_0}, .switches = 2, .tags = 2});
}

/* adversarial: 43 */
static void all_pages_are_dropped_and_used_again(void **state)
{
	every_order(&(struct small){pages_in_use, {drop_all, use_0}, .switches = 2});
	every_order(&(struct small){two_processes, {drop_all, use_0}, .switches = 1});
}

/* A root with nothing below it goes without a flush: who is inside on it must have left before the page is another table. */
/* adversarial: 43 */
static void a_root_goes_that_the_other_has_just_taken(void **state)
{
	every_order(&(struct small){a_second_process, {drop_all_often, switch_to_1}, .switches = 2, .seeds = 1});
}

/* adversarial: 43 */
static void a_process_forks_while_it_writes(void **state)
{
	every_order(&(struct small){pages_in_use, {fork_2, write_0}, .switches = 1});
}

/* adversarial: 43 */
static void the_kernels_window_changes(void **state)
{
	every_order(&(struct small){two_processes, {remap_window, use_window}, .switches = 2});
}

/* adversarial: 43 */
static void an_audit_comes_in_between(void **state)
{
	every_order(&(struct small){pages_in_use, {audit, unmap_0}, .switches = 1});
	every_order(&(struct small){pages_in_use, {audit, touch_0}, .switches = 2});
}

/* --- random guests --------------------------------------------------------------------------- */
#define ROUNDS 2u
static u32 steps;

static void run_random(u32 cpu)
{
	struct vcpu *c = &guest.vm.cpu[cpu];

	for (u32 round = 0; round < ROUNDS && !vm_failed(&guest.vm); round++) {
		for (u32 i = 0; i < steps && !vm_failed(&guest.vm); i++)
			smp_operation(&guest, c);
		smp_meet(&guest, c, 0);
		vcpu_load_cr3(c, c->paging.cr3);
		smp_meet(&guest, c, 1);
		if (!cpu)
			smp_check(&guest);
		smp_meet(&guest, c, 2);
	}
}

static void random_orders(u32 cpus)
{
	static const u32 tags[] = {1, 2, 3, 8}, pages[] = {0, 64, 72, 96};
	u32 one = number_from("UMBRA_SEED", 0), seeds = number_from("UMBRA_SEEDS", getenv("UMBRA_LONG") ? 400 : 12);

	steps = number_from("UMBRA_STEPS", 120);
	for (u32 seed = one ? one : 1; seed <= (one ? one : seeds); seed++) {
		struct vm_config config = {.cpus = cpus,
					   .tags = tags[seed % 4],
					   .shadow_limit = pages[seed / 4 % 4] * PAGE_SIZE,
					   .hurry = seed % 3 == 0 ? 1 + seed / 3 % 3 : 0,
					   .seed = seed};

		smp_create(&guest, &config, 90 + seed % 3 * 50);
		orders_shared(phys_to_virt(hpa(0)), VM_POOL + VM_POOL_MAX, true);
		orders_random(seed);
		if (!orders_run(cpus, run_random))
			vm_fail(&guest.vm, "the CPUs wait for each other");
		orders_forget();
		if (vm_failed(&guest.vm) && getenv("UMBRA_FIRST"))
			exit(1);
		if (vm_failed(&guest.vm))
			fail_msg("UMBRA_SEED=%u, %u CPUs: %s", seed, cpus, guest.vm.failure);
		smp_destroy(&guest);
	}
}

/* adversarial: 43 */
static void random_guests_on_two_cpus(void **state)
{
	random_orders(2);
}

/* adversarial: 43 */
static void random_guests_on_four_cpus(void **state)
{
	random_orders(4);
}

/* adversarial: 43 */
static void a_page_goes_that_the_other_writes_to(void **state)
{
	every_order(&(struct small){pages_in_use, {unmap_0, write_0}, .switches = 2});
	every_order(&(struct small){pages_protected, {unmap_0, write_0}, .switches = 2});
}

/*
 * A write that nothing follows: one that was lost is found in the end, since the table counts as protected. Between the two
 * the CPU was outside, and owed no flush when it looked.
 */
static void age_twice(struct vcpu *c)
{
	smp_age(&guest, c, 0);
	vcpu_leave(c);
	smp_age(&guest, c, 1);
}

/* adversarial: 43 */
static void a_table_is_protected_while_the_other_enters(void **state)
{
	every_order(&(struct small){pages_in_use, {load_cr3, age_twice}, .switches = 2});
	every_order(&(struct small){pages_protected, {load_cr3, age_twice}, .switches = 2});
}

/* Of these pages' table there is no shadow: its frame is memory like any other. */
static void pages_forgotten(struct vcpu *c)
{
	smp_touch(&guest, c, SLOTS, true);
	smp_touch(&guest, c, SLOTS + 1, true);
	smp_meet(&guest, c, 2);
	if (c->number == 0)
		shadow_drop_all(guest.vm.shadow);
	smp_meet(&guest, c, 3);
	smp_touch(&guest, c, 0, true);
	/* What was dropped has been flushed by all, so that a new page needs no wait for them. */
	if (c->number == 0) {
		smp_age(&guest, c, 0);
		vcpu_load_cr3(c, c->paging.cr3);
	}
}
static void read_12(struct vcpu *c)
{
	smp_user(&guest, c, SLOTS, false);
}
static void age_12_and_13(struct vcpu *c)
{
	smp_age(&guest, c, SLOTS);
	smp_age(&guest, c, SLOTS + 1);
}

/* adversarial: 43 */
static void a_frame_becomes_a_table_that_the_other_writes_to(void **state)
{
	every_order(&(struct small){pages_forgotten, {read_12, age_12_and_13}, .switches = 2});
}

/* adversarial: 43 */
static void both_change_one_table(void **state)
{
	every_order(&(struct small){pages_in_use, {unmap_0, unmap_1}, .switches = 1});
	every_order(&(struct small){pages_protected, {unmap_0, unmap_1}, .switches = 1});
}

/* adversarial: 43 */
static void a_table_is_protected_that_the_other_writes_to(void **state)
{
	every_order(&(struct small){pages_in_use, {load_cr3, unmap_0}, .switches = 2});
	every_order(&(struct small){pages_in_use, {load_cr3, touch_0}, .switches = 2});
}

/* adversarial: 43 */
static void d_is_cleared_while_the_other_writes(void **state)
{
	every_order(&(struct small){pages_in_use, {clean_0, write_0}, .switches = 2});
	every_order(&(struct small){pages_protected, {clean_0, write_0}, .switches = 2});
}

/* adversarial: 43 */
static void a_table_goes_that_the_other_uses(void **state)
{
	every_order(&(struct small){pages_in_use, {unmap_table, touch_0}, .switches = 1});
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_goes_that_the_other_writes_to),
		cmocka_unit_test(a_table_is_protected_while_the_other_enters),
		cmocka_unit_test(a_frame_becomes_a_table_that_the_other_writes_to),
		cmocka_unit_test(both_change_one_table),
		cmocka_unit_test(a_table_is_protected_that_the_other_writes_to),
		cmocka_unit_test(d_is_cleared_while_the_other_writes),
		cmocka_unit_test(a_table_goes_that_the_other_uses),
		cmocka_unit_test(two_fast_paths_meet_in_one_page),
		cmocka_unit_test(a_fast_path_meets_a_sync),
		cmocka_unit_test(a_fast_path_meets_a_drop),
		cmocka_unit_test(a_fast_path_meets_a_fork),
		cmocka_unit_test(the_emulator_writes_to_a_table_that_is_protected),
		cmocka_unit_test(a_tag_goes_to_another_root),
		cmocka_unit_test(all_pages_are_dropped_and_used_again),
		cmocka_unit_test(a_root_goes_that_the_other_has_just_taken),
		cmocka_unit_test(a_process_forks_while_it_writes),
		cmocka_unit_test(the_kernels_window_changes),
		cmocka_unit_test(an_audit_comes_in_between),
		cmocka_unit_test(random_guests_on_two_cpus),
		cmocka_unit_test(random_guests_on_four_cpus),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
