/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction decoder: what Zydis takes for an instruction gets the same
 * length and operands from ours (the comparison of test_decode.c); any bytes,
 * cut anywhere, are read only so far as they go.
 */
int test_decode_main(void);
#define main test_decode_main
#include "tests/unit/test_decode.c"
#undef main

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 bits = 16u << fuzz_take(&in, 1) % 3;
	u8 bytes[INSN_MAX] = {0}, *rest;
	struct insn insn, part;
	int err;

	if (in.left > INSN_MAX)
		in.left = INSN_MAX;
	memcpy(bytes, in.at, in.left);
	set_mode(bits);
	compare(bytes);
	err = insn_decode(&insn, bytes, INSN_MAX, bits);
	rest = fuzz_rest(&in);
	if (!insn_decode(&part, rest, (u32)in.left, bits) && (err || part.len != insn.len || part.len > in.left))
		abort();
	free(rest);
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const struct {
		u8 len;
		u8 bytes[12];
	} seeds[] = {
		{4, {2, 0x48, 0x89, 0x03}},
		{6, {2, 0xf0, 0x48, 0x0f, 0xc7, 0x0b}},
		{3, {2, 0xf3, 0xab}},
		{6, {2, 0xc4, 0xe2, 0x79, 0x18, 0x00}},
		{8, {2, 0x62, 0xf1, 0x7c, 0x48, 0x11, 0x40, 0x01}},
		{6, {2, 0x8f, 0xe9, 0x78, 0x01, 0x20}},
		{9, {1, 0xc7, 0x84, 0x8b, 1, 2, 3, 4, 5}},
		{4, {0, 0x26, 0x89, 0x47}},
		{11, {2, 0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8}},
		{7, {2, 0x66, 0x0f, 0x3a, 0x0f, 0x00, 1}},
	};

	if (n >= ARRAY_SIZE(seeds))
		return 0;
	memcpy(out, seeds[n].bytes, seeds[n].len);
	return seeds[n].len;
}
