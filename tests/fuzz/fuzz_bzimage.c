/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux kernel headers: any file is taken or refused; what is taken lies inside the file. */
#include <stdlib.h>
#include <string.h>

#include "boot/bzimage.h"
#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u64 more = fuzz_take(&in, 4);
	size_t probe = in.left < BZIMAGE_PROBE_BYTES ? in.left : BZIMAGE_PROBE_BYTES;
	u64 file_size = probe == BZIMAGE_PROBE_BYTES ? probe + more : probe;
	u8 *copy;
	struct bzimage image;
	struct boot_error error = {""};

	in.left = probe;
	copy = fuzz_rest(&in);
	if (bzimage_check(&image, copy, probe, file_size, "/vmlinuz", &error)) {
		if (image.header_end > probe || image.header_end > BZIMAGE_HEADER_LIMIT)
			abort();
		if (image.payload_offset > file_size || image.payload_size > file_size - image.payload_offset)
			abort();
		if (image.init_size < image.payload_size || !image.payload_size)
			abort();
		if (!image.relocatable && image.alignment &&
		    image.pref_address + image.init_size < image.pref_address)
			abort();
	} else if (!error.text[0] || !memchr(error.text, 0, sizeof(error.text)) || strchr(error.text, '\n')) {
		abort();
	}
	free(copy);
	return 0;
}

static void put(u8 *out, u32 offset, u32 bytes, u64 v)
{
	for (; bytes; bytes--, v >>= 8)
		out[offset++] = (u8)v;
}

/* Protocol 2.15 with a 64-bit entry, and 2.06 without. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	u8 *h = out + 4;

	if (n >= 2)
		return 0;
	memset(out, 0, 4 + BZIMAGE_PROBE_BYTES);
	put(out, 0, 4, 0x1000000);
	put(h, 0x1f1, 1, 7);
	put(h, 0x1f4, 4, 0x8000);
	put(h, 0x1fe, 2, 0xaa55);
	put(h, 0x200, 2, 0x6aeb);
	put(h, 0x202, 4, 0x53726448);
	put(h, 0x206, 2, n ? 0x0206 : 0x020f);
	put(h, 0x211, 1, 0x01);
	put(h, 0x22c, 4, 0x7fffffff);
	put(h, 0x230, 4, 0x200000);
	put(h, 0x234, 1, 1);
	put(h, 0x235, 1, 21);
	put(h, 0x236, 2, 0x7f);
	put(h, 0x238, 4, 2047);
	put(h, 0x258, 8, 0x1000000);
	put(h, 0x260, 4, 0x3378000);
	return 4 + BZIMAGE_PROBE_BYTES;
}
