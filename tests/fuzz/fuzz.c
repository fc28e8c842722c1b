/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the fuzz targets: `PROGRAM --seeds DIRECTORY` writes the seed corpus and ends. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_seeds(const char *directory)
{
	static u8 seed[FUZZ_SEED_MAX];
	char path[512];
	u32 bytes;

	for (u32 n = 0; (bytes = fuzz_seed(n, seed)); n++) {
		FILE *file;

		snprintf(path, sizeof(path), "%s/seed-%u", directory, n);
		file = fopen(path, "wb");
		if (!file || fwrite(seed, 1, bytes, file) != bytes || fclose(file)) {
			perror(path);
			exit(1);
		}
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_setup();
	if (*argc == 3 && !strcmp((*argv)[1], "--seeds")) {
		write_seeds((*argv)[2]);
		exit(0);
	}
	return 0;
}

u64 fuzz_take(struct fuzz_input *in, u32 bytes)
{
	u64 value = 0;

	for (u32 i = 0; i < bytes && in->left; i++, in->left--)
		value |= (u64)*in->at++ << 8 * i;
	return value;
}

u8 *fuzz_rest(const struct fuzz_input *in)
{
	u8 *copy = malloc(in->left ? in->left : 1);

	memcpy(copy, in->at, in->left);
	return copy;
}
