/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter on any bytes, registers, segments and memory, in real mode and in protected mode (the world of
 * test_interpret.c), with what it raises delivered: it comes back, at a cost that is bounded; a fault leaves general registers and RIP as they
 * were, unless it was a string instruction's or another task's; nothing but what the guest's segments reach is written, which ASan sees. It may stop the guest
 * where interpret.h says so.
 */
#include "tests/unit/interpret_world.h"

#include <setjmp.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define STEPS 24u
#define COST_MAX 100u

void fuzz_setup(void)
{
	host_log_quiet = true;
}

static bool is_string(const u8 *bytes, u32 bits)
{
	struct insn insn;

	return insn_decode(&insn, bytes, INSN_MAX, bits) == 0 && insn.map == 0 &&
	       ((insn.opcode >= 0x6c && insn.opcode <= 0x6f) || (insn.opcode >= 0xa4 && insn.opcode <= 0xaf));
}

static bool goes_on; /* with what is known from the instruction before */

static void step(void)
{
	u32 at = (u32)(segments[SEG_CS].base + vcpu.rip), cost = vcpu.interpreted;
	bool string = at >= MEM_END - INSN_MAX ||
		      is_string(memory + at, segments[SEG_CS].attributes & SEG_ATTR_DB ? 32 : 16);
	struct vcpu before = vcpu;
	struct segment task = segments[SEG_TR];
	enum interpreted result = goes_on ? interpret_some(&vcpu) : interpret_one(&vcpu);

	if (vcpu.interpreted - cost > COST_MAX || vcpu.interpreted == cost || vcpu.code_bits)
		abort();
	if ((result == INTERPRET_EVENT) != (vcpu.inject.type != EVENT_NONE))
		abort();
	if (result != INTERPRET_EVENT)
		return;
	if (!string && vcpu.inject.vector != VEC_DB && memcmp(&task, &segments[SEG_TR], sizeof(task)) == 0 &&
	    (memcmp(vcpu.gpr, before.gpr, sizeof(vcpu.gpr)) || vcpu.rip != before.rip))
		abort();
	task = segments[SEG_TR];
	interpret_deliver(&vcpu, &vcpu.inject);
	if ((vcpu.inject.type != EVENT_NONE && memcmp(&task, &segments[SEG_TR], sizeof(task)) == 0) ||
	    vcpu.interrupt_shadow)
		abort();
}

static void take_segments(struct fuzz_input *in)
{
	static const u32 limits[] = {0xffff, 0xfffff, ~0u, 0x10, 0xffff, 0x7fff, 0xffff, 0x10ffef};

	for (u32 i = 0; i < SEG_COUNT; i++) {
		u32 pick = (u32)fuzz_take(in, 1);

		if (pick & 7)
			segments[i].limit = limits[pick & 7];
		if (i <= SEG_GS && pick & 8)
			segments[i].base = (segments[i].selector = (u16)fuzz_take(in, 2)) * 16u;
		if (pick & 16)
			segments[i].attributes = (segments[i].attributes & ~15u) | (u32)(fuzz_take(in, 1) & 15);
		if (pick & 32)
			segments[i].attributes ^= SEG_ATTR_DB;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	u32 mode = (u32)fuzz_take(&in, 1);
	u8 pattern[64];

	reset_world(mode & 1 ? (mode & 2 ? 32 : 16) : 0);
	vcpu.rip = 0x1000;
	segments[SEG_GDTR] = (struct segment){.base = 0x3000, .limit = 0xff};
	if (mode & 1)
		segments[SEG_IDTR] = (struct segment){.base = 0x3000, .limit = 0x7ff};
	for (u32 r = 0; r < 8; r++) {
		u32 pick = (u32)fuzz_take(&in, 1);

		vcpu.gpr[r] = pick & 1 ? fuzz_take(&in, 4) : pick * 0x101;
	}
	vcpu.rflags |= fuzz_take(&in, 2) & (RFLAGS_DEFINED & 0x7fff);
	if (mode & 4)
		take_segments(&in);
	if (mode & 8)
		absent = 0x5000;
	if (mode & 16)
		dr7 = fuzz_take(&in, 4), dr[0] = 0x1000, dr[1] = 0x4000;
	code_in_place = mode & 32;
	ram_in_place = mode & 64;
	goes_on = mode & 128;
	for (u32 i = 0; i < sizeof(pattern); i++)
		pattern[i] = (u8)fuzz_take(&in, 1);
	for (u32 at = 0; at < MEM_END; at += sizeof(pattern))
		memcpy(memory + at, pattern, sizeof(pattern));
	memcpy(memory + 0x1000, in.at, MIN(in.left, 0x1000));
	host_state_reset(&host_guest_state);
	host_panic_expected = true;
	if (!setjmp(host_panic_jump)) {
		for (u32 n = 0; n < STEPS; n++)
			step();
	} else if (!strstr(host_panic_message, "is not interpreted") &&
		   !strstr(host_panic_message, "guest shut down") &&
		   !strstr(host_panic_message, "is not delivered")) {
		abort();
	}
	host_panic_expected = false;
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const char *const seeds[] = {
		"\x0f\x22\xc0\xea\x08\x10\x08\x08",     "\x60\x61\xc8\x10\x08\x03\xc9",
		"\xf3\xa5\xf3\xab\xf2\xae\xf3\x6d",     "\x9d\xcf\x9c\xcd\x21\xcc\xce",
		"\x0f\x01\x16\x08\x40\x0f\x23\xf8",     "\xf7\x36\x01\x40\xd4\x01\x27\x62\x06\x01\x40",
		"\xf0\x87\x06\x01\x40\x0f\xb1\x06",     "\x8e\xd8\x1f\x17\xc5\x06\x01\x40",
		"\xdb\xe3\xd9\x3e\x01\x40\x9b\xd9\xe8",
	};
	u32 at = 1 + 8 + 2;

	if (n >= 6 * ARRAY_SIZE(seeds))
		return 0;
	memset(out, 0, 128);
	out[0] = (u8)(n % 6 * 7);
	if (out[0] & 4)
		at += SEG_COUNT;
	if (out[0] & 16)
		at += 4;
	memset(out + at, 0x93, 64);
	strcpy((char *)out + at + 64, seeds[n / 6]);
	return at + 64 + (u32)strlen(seeds[n / 6]);
}
