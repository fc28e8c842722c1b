/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unified kernel images: whatever the headers say, what is taken lies inside the
 * file; whatever the texts say, the entry's strings end.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/uki.h"
#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

static void check_piece(const struct entry_piece *piece, u64 file_size)
{
	if (piece->offset > file_size || piece->size > file_size - piece->offset)
		abort();
}

static void check_string(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
}

static void check_entry(const struct boot_entry *e)
{
	check_string(e->title, sizeof(e->title));
	check_string(e->version, sizeof(e->version));
	check_string(e->sort_key, sizeof(e->sort_key));
	check_string(e->options, sizeof(e->options));
	check_string(e->kernel, sizeof(e->kernel));
	if (e->broken != !!e->error.text[0])
		abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u64 more = fuzz_take(&in, 2);
	u8 *head = fuzz_rest(&in);
	struct text_span text = {(const char *)head, in.left};
	static struct boot_entry entry;
	struct boot_error error = {""};
	struct uki uki;

	switch (uki_parse(&uki, head, in.left, in.left + more, &error)) {
	case UKI_GOOD:
		check_piece(&uki.kernel, in.left + more);
		check_piece(&uki.initrd, in.left + more);
		check_piece(&uki.cmdline, in.left + more);
		check_piece(&uki.osrel, in.left + more);
		if (!uki.kernel.size)
			abort();
		break;
	case UKI_OTHER: break;
	case UKI_BROKEN:
		if (!error.text[0])
			abort();
	}
	uki_entry(&entry, "fuzz.efi", &uki, text, text);
	check_entry(&entry);
	free(head);
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const u8 image[] = {
		[2] = 'M',     [3] = 'Z',    [2 + 0x3c] = 0x40, [0x42] = 'P', [0x43] = 'E',  [0x46] = 0x64,
		[0x47] = 0x86, [0x48] = 1,   [0x5a] = '.',      [0x5b] = 'l', [0x5c] = 'i',  [0x5d] = 'n',
		[0x5e] = 'u',  [0x5f] = 'x', [0x62] = 8,        [0x6a] = 16,  [0x6e] = 0x20, [0x5a + 40] = 0};
	static const char osrel[] = "\1\1ID=debian\nPRETTY_NAME=\"Debian\"\nIMAGE_VERSION='3'\nVERSION_ID=12\n";

	switch (n) {
	case 0: memcpy(out, image, sizeof(image)); return sizeof(image);
	case 1: memcpy(out, osrel, sizeof(osrel)); return sizeof(osrel);
	default: return 0;
	}
}
