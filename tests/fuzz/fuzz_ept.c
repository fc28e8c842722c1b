/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest hypervisor's EPT tables: mm/gpt.c and the naive model must agree on any
 * tables, capabilities and access (the comparison of test_gpt_ept.c). The input
 * is laid out as that of fuzz_walk.c.
 */
int test_gpt_ept_main(void);
#define main test_gpt_ept_main
#include "tests/unit/test_gpt_ept.c"
#undef main

#include "tests/fuzz/fuzz.h"

#define TABLES 6u
#define LEVELS 5u
#define ENTRY_ADDRESS BITS(51, 12)

void fuzz_setup(void)
{
	walk_check_setup(NULL);
}

static u64 take_entry(struct fuzz_input *in, bool wild)
{
	u64 e = fuzz_take(in, 8);

	return wild ? e : (e & ~ENTRY_ADDRESS) | (WALK_RAM_BASE + (e >> 12) % TABLES * PAGE_SIZE);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 bits = fuzz_take(&in, 2);
	struct model_ept_state s = state_of(bits & 16 ? 5 : 4, bits % STATES);
	struct model_ept_access a = {.read = bits & 256,
				     .write = bits & 512,
				     .fetch = bits & 1024,
				     .user = bits & 2048,
				     .paging = bits & 4096,
				     .linear = bits & 8192};
	u64 gpa, wild;

	s.maxphyaddr = 36 + fuzz_take(&in, 1) % 17;
	s.pages_1g = bits & 32;
	s.eptp = (s.eptp & 0xfff) | (WALK_RAM_BASE + fuzz_take(&in, 1) % TABLES * PAGE_SIZE);
	if (a.fetch) /* one kind of access at a time, but for read and write */
		a.read = a.write = a.paging = false;
	a.read |= !a.write && !a.fetch;
	a.linear |= a.paging;
	gpa = fuzz_take(&in, 8) & BITS(51, 0);
	wild = fuzz_take(&in, 4);
	memset(walk_ram, 0, TABLES * PAGE_SIZE);
	for (u32 level = 1; level <= LEVELS; level++)
		for (u32 table = 0; table < TABLES; table++)
			((u64 *)(walk_ram + table * PAGE_SIZE))[gpa >> (12 + 9 * (level - 1)) & 511] =
				take_entry(&in, wild >> (table * LEVELS + level - 1) & 1);
	if (!one_walk(&s, gpa, a, GPT_SET_AD) || !one_walk(&s, gpa, a, GPT_PEEK))
		abort();
	return 0;
}

/* Reads that succeed, of 4 and 5 levels, with pages of 4 KiB and 2 MiB. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u32 at = 2 + 1 + 1 + 8 + 4;

	if (n >= 4)
		return 0;
	memset(out, 0, FUZZ_SEED_MAX);
	out[0] = n & 1 ? 0x39 : 0x29;
	out[1] = 0x21;
	out[2] = 4;
	out[4] = 0x78;
	out[5] = 0x56;
	out[6] = 0x3b;
	out[7] = 0x12;
	out[8] = 0xc0;
	out[9] = 0x7f;
	for (u32 i = 0; i < LEVELS * TABLES; i++, at += 8) {
		u32 level = 1 + i / TABLES;

		out[at] = EPT_R | EPT_W | EPT_X | (level == 1 ? 6 << 3 : 0);
		out[at + 1] = (u8)((i + 1) % TABLES << 4);
		if (n & 2 && level == 2)
			out[at] |= EPT_PS | 6 << 3;
	}
	return at;
}
