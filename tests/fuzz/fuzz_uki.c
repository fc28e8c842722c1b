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
	u32 profile = (u32)fuzz_take(&in, 1) % 4;
	u8 *head = fuzz_rest(&in);
	struct text_span text = {(const char *)head, in.left};
	static struct boot_entry entry;
	struct boot_error error = {""};
	struct uki uki;

	switch (uki_parse(&uki, head, in.left, in.left + more, profile, &error)) {
	case UKI_GOOD:
		check_piece(&uki.kernel, in.left + more);
		check_piece(&uki.initrd, in.left + more);
		check_piece(&uki.cmdline, in.left + more);
		check_piece(&uki.osrel, in.left + more);
		check_piece(&uki.profile, in.left + more);
		if (!uki.kernel.size)
			abort();
		break;
	case UKI_OTHER: break;
	case UKI_BROKEN:
		if (!error.text[0])
			abort();
	}
	uki_entry(&entry, "fuzz.efi", &uki, profile, &(struct uki_texts){text, text, text});
	check_entry(&entry);
	free(head);
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const u8 image[] = {
		[3] = 'M',     [4] = 'Z',    [3 + 0x3c] = 0x40, [0x43] = 'P', [0x44] = 'E',  [0x47] = 0x64,
		[0x48] = 0x86, [0x49] = 1,   [0x5b] = '.',      [0x5c] = 'l', [0x5d] = 'i',  [0x5e] = 'n',
		[0x5f] = 'u',  [0x60] = 'x', [0x63] = 8,        [0x6b] = 16,  [0x6f] = 0x20, [0x5b + 40] = 0};
	static const char profile[] = "\1\1\1ID=reset\nTITLE=Factory reset\n";
	static const char osrel[] = "\1\1\1ID=debian\nPRETTY_NAME=\"Debian\"\nIMAGE_VERSION='3'\nVERSION_ID=12\n";

	switch (n) {
	case 0: memcpy(out, image, sizeof(image)); return sizeof(image);
	case 1: memcpy(out, osrel, sizeof(osrel)); return sizeof(osrel);
	case 2: memcpy(out, profile, sizeof(profile)); return sizeof(profile);
	default: return 0;
	}
}
