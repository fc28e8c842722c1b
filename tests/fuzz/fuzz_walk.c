/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest page tables: mm/gpt.c and the naive model must agree on any tables, any
 * control state and any access. The input gives every entry that the walk of
 * its address can reach in a few tables; its address field names one of them
 * unless the entry's wild bit is set.
 */
#include "tests/unit/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/walk_check.h"

#define TABLES 6u
#define LEVELS 5u

void fuzz_setup(void)
{
	walk_check_setup(NULL);
}

static struct model_state take_state(struct fuzz_input *in)
{
	u32 bits = fuzz_take(in, 2), mode = fuzz_take(in, 1);
	struct model_state s = {
		.mode = mode % 5,
		.maxphyaddr = 36 + fuzz_take(in, 1) % 17,
		.wp = bits & 1,
		.smep = bits & 2,
		.smap = bits & 4,
		.nxe = bits & 8,
		.pse = bits & 16,
		.pages_1g = bits & 32,
		.pke = bits & 64,
		.pks = bits & 128,
		.pkru = fuzz_take(in, 4),
		.pkrs = fuzz_take(in, 4),
	};

	s.cr3 = WALK_RAM_BASE + fuzz_take(in, 1) % TABLES * PAGE_SIZE;
	for (u32 i = 0; i < 4; i++)
		s.pdpte[i] =
			(WALK_RAM_BASE + (mode / 5 + i) % TABLES * PAGE_SIZE) | (bits >> (8 + i) & 1 ? 0 : PTE_P);
	return s;
}

static struct model_access take_access(struct fuzz_input *in)
{
	u32 bits = fuzz_take(in, 1);
	struct model_access a = {.user = bits & 1, .write = bits & 2, .fetch = (bits & 6) == 4, .ac = bits & 8};

	a.implicit = !a.user && !a.fetch && bits & 16;
	return a;
}

static u64 take_gva(struct fuzz_input *in, const struct model_state *s)
{
	u64 gva = fuzz_take(in, 8);
	u32 bits = s->mode == MODEL_5L ? 57 : s->mode == MODEL_4L ? 48 : 32;

	gva &= BIT(bits) - 1;
	return bits > 32 && gva & BIT(bits - 1) ? gva | ~(BIT(bits) - 1) : gva;
}

static void put_entry(const struct model_state *s, u32 table, u32 level, u64 gva, u64 entry, bool wild)
{
	u64 named = WALK_RAM_BASE + (entry >> 12) % TABLES * PAGE_SIZE;

	if (!wild)
		entry = (entry & ~PTE_ADDR_MASK) | named;
	if (s->mode == MODEL_32)
		((u32 *)(walk_ram + table * PAGE_SIZE))[gva >> (level == 2 ? 22 : 12) & 1023] = (u32)entry;
	else
		((u64 *)(walk_ram + table * PAGE_SIZE))[gva >> (12 + 9 * (level - 1)) & 511] = entry;
}

/* adversarial: 9 */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct model_state s = take_state(&in);
	struct model_access a = take_access(&in);
	u64 gva = take_gva(&in, &s), wild = fuzz_take(&in, 4);

	memset(walk_ram, 0, TABLES * PAGE_SIZE);
	for (u32 level = 1; level <= LEVELS; level++)
		for (u32 table = 0; table < TABLES; table++)
			if (s.mode != MODEL_32 || level <= 2)
				put_entry(&s, table, level, gva, fuzz_take(&in, 8),
					  wild >> (table * LEVELS + level - 1) & 1);
	if (!walk_agrees(&s, gva, a, GPT_SET_AD) || !walk_agrees(&s, gva, a, GPT_PEEK))
		abort();
	return 0;
}

/* For each mode a read that succeeds. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u32 at = 0;

	if (n >= 5)
		return 0;
	memset(out, 0, FUZZ_SEED_MAX);
	out[0] = 0x39;
	out[2] = (u8)n;
	out[3] = 4;
	at = 4 + 4 + 4 + 1 + 1 + 8 + 4;
	for (u32 i = 0; i < LEVELS * TABLES; i++, at += 8) {
		out[at] = PTE_P | PTE_W | PTE_U;
		out[at + 1] = (u8)((i + 1) % TABLES << 4);
	}
	return at;
}
