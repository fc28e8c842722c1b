/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shadow_translate() in every paging mode: it finds what the naive model finds,
 * and it has no side effects. While it runs, the guest's RAM is write-protected,
 * so that a write of A or D (even of what is there already) is caught; no counter
 * moves and no flush is asked for.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/x86.h"
#include "tests/unit/machine.h"

#define TABLES 0x100000ull
#define TABLE_COUNT 16u

static struct machine *m;

static u64 frame(u32 n)
{
	return TABLES + n * PAGE_SIZE;
}

static u64 random_entry(struct rng *r, bool wide)
{
	u64 e = frame(rng_below(r, TABLE_COUNT));

	e |= rng_chance(r, 97) ? PTE_P : 0;
	e |= rng_chance(r, 80) ? PTE_W : 0;
	e |= rng_chance(r, 80) ? PTE_U : 0;
	e |= rng_chance(r, 20) ? PTE_A : 0;
	e |= rng_chance(r, 20) ? PTE_D : 0;
	e |= wide && rng_chance(r, 5) ? PTE_NX : 0;
	e |= rng_chance(r, 1) ? BIT(rng_below(r, wide ? 63 : 32)) : 0;
	if (rng_chance(r, 10))
		e = (e & 0xfff) | (e & PTE_NX) | PTE_PS;
	return e;
}

static void fill_tables(struct rng *r, bool wide)
{
	for (u32 i = 0; i < TABLE_COUNT * PAGE_SIZE / 8; i++) {
		u64 e = random_entry(r, wide);

		machine_dma(m, TABLES + 8 * i, wide ? e : (u32)e | random_entry(r, false) << 32);
	}
}

static struct shadow_paging paging_of(enum model_mode mode, u32 controls)
{
	struct shadow_paging p = {
		.cr0 = CR0_PE | (mode == MODEL_OFF ? 0 : CR0_PG) | (controls & 1 ? CR0_WP : 0),
		.cr3 = frame(0),
		.cr4 = (mode >= MODEL_PAE ? CR4_PAE : CR4_PSE) | (mode == MODEL_5L ? CR4_LA57 : 0) |
		       (controls & 2 ? CR4_SMEP : 0) | (controls & 4 ? CR4_SMAP : 0),
		.efer = mode >= MODEL_4L ? EFER_LME | EFER_LMA : 0,
		.pat = PAT_RESET,
		.phys_bits = 40,
		.pages_1g = true,
	};

	if (mode >= MODEL_PAE && controls & 8)
		p.efer |= EFER_NXE;
	for (u32 i = 0; i < 4; i++)
		p.pdpte[i] = frame(1 + i) | (controls >> i & 1 ? PTE_P : 0);
	return p;
}

static u64 random_gva(struct rng *r, enum model_mode mode)
{
	u32 bits = mode == MODEL_5L ? 57 : mode == MODEL_4L ? 48 : 32;
	u64 gva = rng_next(r) & (BIT(bits) - 1);

	return bits > 32 && gva & BIT(bits - 1) ? gva | ~(BIT(bits) - 1) : gva;
}

/* Guest RAM; the pool of the engine is elsewhere. */
static void protect_ram(int protection)
{
	assert_int_equal(mprotect(machine_ram(m, 0), MACHINE_LOW_END, protection), 0);
	assert_int_equal(mprotect(machine_ram(m, MACHINE_HIGH), MACHINE_HIGH_END - MACHINE_HIGH, protection), 0);
}

static void translate(u64 gva, struct model_access k, bool *fault)
{
	struct gpt_access a = {
		.write = k.write, .fetch = k.fetch, .user = k.user, .implicit = k.implicit, .ac = k.ac};
	struct model_result want = machine_naive(m, gva, k);
	u64 before[SHADOW_STAT_COUNT];
	u32 flushes = m->pending_count;
	enum gpt_status status;
	struct gpt_walk walk;

	for (u32 i = 0; i < SHADOW_STAT_COUNT; i++)
		before[i] = shadow_stat(m->shadow, i);
	protect_ram(PROT_READ);
	status = shadow_translate(m->mmu, gva, a, &walk);
	protect_ram(PROT_READ | PROT_WRITE);
	assert_int_equal(status, want.fault ? GPT_FAULT : GPT_OK);
	if (want.fault)
		assert_int_equal(walk.error, want.error);
	else
		assert_int_equal(walk.gfn, want.physical >> PAGE_SHIFT);
	for (u32 i = 0; i < SHADOW_STAT_COUNT; i++)
		if (shadow_stat(m->shadow, i) != before[i])
			fail_msg("%s counted", shadow_stat_name(i));
	assert_int_equal(m->pending_count, flushes);
	*fault = want.fault;
}

static void translate_in(enum model_mode mode)
{
	struct machine_config config = {.seed = mode};
	u32 faults = 0, count = 0;
	struct rng r;

	rng_seed(&r, mode);
	m = machine_create(&config);
	for (u32 round = 0; round < 32; round++) {
		struct shadow_paging p = paging_of(mode, round);

		fill_tables(&r, mode != MODEL_32);
		machine_drop_all(m);
		machine_set_paging(m, &p, true);
		for (u32 i = 0; i < 300; i++) {
			struct model_access k = {.user = rng_chance(&r, 50), .write = rng_chance(&r, 30)};
			u64 gva = random_gva(&r, mode);
			bool fault;

			k.fetch = !k.write && rng_chance(&r, 30);
			k.ac = rng_chance(&r, 50);
			translate(gva, k, &fault);
			faults += fault;
			count++;
			/* shadow pages, protected and released tables come and go meanwhile */
			if (i % 4 == 0)
				machine_access(
					m, (struct machine_access){.gva = gva & ~7ull,
								   .kind = k,
								   .size = 8,
								   .value = random_entry(&r, mode != MODEL_32)});
			if (m->broken)
				fail_msg("%s", m->failure);
		}
	}
	assert_true(mode == MODEL_OFF ? !faults : faults > count / 20 && faults < count - count / 20);
	machine_destroy(m);
}

static void without_paging(void **state)
{
	translate_in(MODEL_OFF);
}
static void in_32_bit_paging(void **state)
{
	translate_in(MODEL_32);
}
static void in_pae_paging(void **state)
{
	translate_in(MODEL_PAE);
}
static void in_4_level_paging(void **state)
{
	translate_in(MODEL_4L);
}
static void in_5_level_paging(void **state)
{
	translate_in(MODEL_5L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_paging),    cmocka_unit_test(in_32_bit_paging),
		cmocka_unit_test(in_pae_paging),     cmocka_unit_test(in_4_level_paging),
		cmocka_unit_test(in_5_level_paging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
