/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a libFuzzer target of tests/fuzz/ gives besides LLVMFuzzerTestOneInput().
 * A wrong answer ends the program with abort(); libFuzzer keeps the input.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "lib/types.h"

#define FUZZ_SEED_MAX 16384u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Once, before anything else. */
void fuzz_setup(void);

/* Seed number n of the corpus that fuzzing starts from: bytes written to out, or 0 if there are no more. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX]);

/* Input taken apart from its front; zeros once it is used up. */
struct fuzz_input {
	const u8 *at;
	size_t left;
};

u64 fuzz_take(struct fuzz_input *in, u32 bytes); /* little-endian, at most 8 */

/* A copy of the rest in a block of exactly its size, so that a read beyond it is caught; free() it. */
u8 *fuzz_rest(const struct fuzz_input *in);

#endif
