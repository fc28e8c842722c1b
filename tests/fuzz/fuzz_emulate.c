/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction emulator on any bytes, registers and memory (the world of
 * test_emulate.c): it comes back; an exception leaves registers, flags (but RF, which a fault sets) and RIP as
 * they were, unless a string instruction had got some way; without one RIP is
 * behind the instruction unless it branched. What the CPU executes on a copy of its operand
 * writes to no other memory. An instruction that is not emulated may stop the guest.
 */
int test_emulate_main(void);
#define main test_emulate_main
#include "tests/unit/test_emulate.c"
#undef main

#include <setjmp.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/host_execute.h"

void fuzz_setup(void)
{
	host_log_quiet = true;
}

static bool is_string(const struct insn *insn)
{
	return insn->map == 0 && ((insn->opcode >= 0x6c && insn->opcode <= 0x6f) ||
				  (insn->opcode >= 0xa4 && insn->opcode <= 0xaf && (insn->opcode & 0xfe) != 0xa8));
}

static void check_end(const struct vcpu *before, const struct insn *insn, int err)
{
	bool raised = vcpu.inject.type == EVENT_EXCEPTION;

	if (raised && vcpu.rip != CODE)
		abort();
	if (raised && !(err == 0 && is_string(insn)) &&
	    (memcmp(vcpu.gpr, before->gpr, sizeof(vcpu.gpr)) || vcpu.rflags != (before->rflags | RFLAGS_RF)))
		abort();
	if (!raised && err)
		abort();
	if ((vcpu.rflags ^ before->rflags) & ~(u64)(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF) &&
	    (vcpu.rflags ^ before->rflags) & (RFLAGS_VM | RFLAGS_FIXED | BITS(63, 22)))
		abort();
}

/* The pattern, again and again. */
static void fill_data(const u8 *pattern, size_t length)
{
	u32 total = DATA_END - DATA, have = length < total ? (u32)length : total;

	if (!have) {
		memset(memory + DATA, 0, total);
		return;
	}
	memcpy(memory + DATA, pattern, have);
	for (; have < total; have *= 2)
		memcpy(memory + DATA + have, memory + DATA, have < total - have ? have : total - have);
}

/* One segment register with any type and limit, or null. */
static void limit_segment(struct fuzz_input *in)
{
	static struct segment s;
	u32 pick = fuzz_take(in, 1), type = fuzz_take(in, 1);

	limited_name = pick % 6;
	s = (struct segment){.limit = (pick & 0x80 ? DATA : DATA_END) + fuzz_take(in, 1),
			     .attributes = 0x90 | (type & 15)};
	if (type & 16)
		s.attributes |= SEG_ATTR_DB;
	if (type & 32)
		s.attributes = SEG_ATTR_UNUSABLE;
	if (limited_name == SEG_CS) /* it holds the code */
		s.attributes = 0x98 | (type & 7) | SEG_ATTR_DB;
	limited = limited_name == SEG_CS && code_bits == 64 ? NULL : &s;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u64 places[] = {DATA, DATA_END - 2, HIDDEN, HIDDEN + 0xffc, APIC, APIC + 0x300, 0, ~0ull};
	struct fuzz_input in = {data, size};
	u32 bits = fuzz_take(&in, 1), length;
	struct vcpu before;
	struct insn insn;
	int err;

	reset_vcpu(bits & 1 ? 32 : 64);
	vcpu.rflags |= fuzz_take(&in, 2) & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF | RFLAGS_DF);
	for (u32 r = 0; r < GPR_COUNT; r++) {
		u32 pick = fuzz_take(&in, 1);

		vcpu.gpr[r] = places[pick & 7] + (pick >> 3);
		if (code_bits == 32)
			vcpu.gpr[r] = (u32)vcpu.gpr[r];
	}
	vcpu.exit.gva = places[fuzz_take(&in, 1) & 7];
	vcpu.mmio.fault = (struct shadow_fault){
		.gpa = gpa(vcpu.exit.gva),
		.kind = bits & 2 ? REGION_TRAPPED : REGION_HIDDEN,
	};
	limited = NULL;
	if (bits & 4)
		limit_segment(&in);
	memset(memory + CODE, 0x90, 0x1000);
	length = in.left < INSN_MAX ? (u32)in.left : INSN_MAX;
	memcpy(memory + CODE, in.at, length);
	in.at += length;
	in.left -= length;
	fill_data(in.at, in.left);
	before = vcpu;
	host_state_reset(&host_guest_state);
	err = insn_decode(&insn, memory + CODE, INSN_MAX, code_bits);
	host_panic_expected = true;
	if (!setjmp(host_panic_jump)) {
		emulate_access(&vcpu);
		check_end(&before, &insn, err);
	} else if (!strstr(host_panic_message, "is not emulated") && !strstr(host_panic_message, "guest shut down")) {
		abort();
	}
	host_panic_expected = false;
	return 0;
}

u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const struct {
		u8 len;
		u8 bytes[6];
	} seeds[] = {
		{3, {0x48, 0x89, 0x03}},
		{2, {0x8b, 0x03}},
		{3, {0xf3, 0x48, 0xab}},
		{2, {0xf3, 0xa5}},
		{2, {0xff, 0x33}},
		{2, {0x8f, 0x03}},
		{4, {0x48, 0x0f, 0xc7, 0x0b}},
		{3, {0xf0, 0x01, 0x03}},
		{4, {0x0f, 0xba, 0x2b, 5}},
		{3, {0xd0, 0x1b, 0}},
		{3, {0x0f, 0x11, 0x03}},
		{3, {0xf6, 0x33, 0}},
		{2, {0xff, 0x13}},
		{2, {0x60, 0}},
		{4, {0x0f, 0x38, 0xf1, 0x03}},
		{1, {0xa6}},
		{5, {0xc8, 8, 0, 1, 0}},
		{1, {0xc9}},
		{3, {0x0f, 0xaf, 0x03}},
		{3, {0x0f, 0x10, 0x03}},
		{4, {0x66, 0x0f, 0x7e, 0x03}},
		{2, {0xdb, 0x03}},
		{2, {0xdd, 0x1b}},
		{5, {0xc4, 0xe2, 0x78, 0xf2, 0x03}},
		{5, {0xc4, 0xe2, 0x71, 0x2e, 0x03}},
		{5, {0xc4, 0xe2, 0x71, 0x90, 0x03}},
		{4, {0x66, 0x0f, 0xf7, 0xc1}},
		{4, {0x0f, 0xa4, 0x03, 4}},
	};
	u32 at = 20;

	if (n >= 4 * ARRAY_SIZE(seeds))
		return 0;
	memset(out, 0, 24);
	out[0] = n & 1;
	out[3 + GPR_RBX] = 4;
	out[3 + GPR_RDI] = 2;
	if (n & 2) { /* data that is only read, in DS */
		out[0] |= 4;
		out[20] = SEG_DS;
		out[21] = 0x11;
		at += 3;
	}
	memcpy(out + at, seeds[n / 4].bytes, seeds[n / 4].len);
	return at + seeds[n / 4].len;
}
