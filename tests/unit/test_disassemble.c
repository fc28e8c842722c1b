/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions as text (debug/disassemble.c): names are Zydis's wherever there is one, and the operands of a list are as they should be. */
#include "tests/unit/host.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "debug/disassemble.h"
#include "tests/unit/rng.h"

#define ADDRESS 0x100000ull

static struct rng rng = {3};

static const char *text_of(const char *bytes, u32 length, u32 bits)
{
	static char text[DISASSEMBLE_TEXT];
	u8 copy[INSN_MAX] = {0};
	struct insn insn;

	memcpy(copy, bytes, length);
	assert_int_equal(insn_decode(&insn, copy, sizeof(copy), bits), 0);
	assert_int_equal(insn.len, length);
	disassemble(&insn, ADDRESS, bits, text);
	return text;
}

static void instructions_have_their_text(void **state)
{
	static const struct {
		u32 bits, length;
		const char *bytes, *text;
	} cases[] = {
		{64, 1, "\x55", "push   rbp"},
		{64, 3, "\x48\x89\xe5", "mov    rbp, rsp"},
		{64, 4, "\x48\x83\xec\x20", "sub    rsp, 0x20"},
		{64, 7, "\x48\x8b\x05\x10\0\0\0", "mov    rax, qword [0x100017]"},
		{64, 9, "\x65\x48\x8b\x04\x25\x28\0\0\0", "mov    rax, qword gs:[0x28]"},
		{64, 5, "\xe8\xfb\xff\xff\xff", "call   0x100000"},
		{64, 2, "\x74\x10", "jz     0x100012"},
		{64, 2, "\xff\xd0", "call   rax"},
		{64, 4, "\x41\x0f\xb6\x07", "movzx  eax, byte [r15]"},
		{64, 4, "\x8b\x44\x8b\xfc", "mov    eax, dword [rbx+rcx*4-0x4]"},
		{64, 3, "\x0f\x22\xd8", "mov    cr3, rax"},
		{64, 4, "\xf0\x0f\xb1\x0f", "lock cmpxchg dword [rdi], ecx"},
		{64, 3, "\x0f\x01\xf8", "swapgs"},
		{64, 4, "\xf3\x0f\x1e\xfa", "endbr64"},
		{64, 2, "\xf3\x90", "pause"},
		{64, 3, "\x0f\x01\x38", "invlpg [rax]"},
		{64, 4, "\x0f\x6f\x47\x08", "(0f 6f) [rdi+0x8]"},
		{64, 5, "\xb8\xff\xff\xff\xff", "mov    eax, 0xffffffff"},
		{64, 3, "\x40\xb6\x05", "mov    sil, 0x5"},
		{32, 3, "\x8b\x45\x08", "mov    eax, dword [ebp+0x8]"},
		{32, 2, "\xa8\x01", "test   al, 0x1"},
		{16, 3, "\xb8\x34\x12", "mov    ax, 0x1234"},
		{16, 2, "\x8b\x07", "mov    ax, word [bx]"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_of(cases[i].bytes, cases[i].length, cases[i].bits), cases[i].text);
}

static void names_are_those_of_another_disassembler(void **state)
{
	static const u32 kinds[] = {16, 32, 64};
	static const ZydisMachineMode modes[] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32,
						 ZYDIS_MACHINE_MODE_LONG_64};
	static const ZydisStackWidth widths[] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64};
	u32 named = 0;

	for (u32 round = 0; round < 600000; round++) {
		u32 kind = round % 3;
		ZydisDecodedInstruction other;
		ZydisDecoder decoder;
		struct insn insn;
		u8 bytes[INSN_MAX];
		char text[DISASSEMBLE_TEXT];
		const char *name, *theirs;

		for (u32 i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)rng_next(&rng);
		if (rng_below(&rng, 3) == 0)
			bytes[0] = 0x0f;
		if (insn_decode(&insn, bytes, sizeof(bytes), kinds[kind]))
			continue;
		disassemble(&insn, ADDRESS, kinds[kind], text);
		assert_true(strlen(text) < sizeof(text));
		name = disassemble_name(&insn, kinds[kind]);
		ZydisDecoderInit(&decoder, modes[kind], widths[kind]);
		if (!name ||
		    !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, sizeof(bytes), &other)))
			continue;
		theirs = ZydisMnemonicGetString(other.mnemonic);
		if (strcmp(name, theirs))
			fail_msg("%s, not %s: %02x %02x %02x %02x in %u-bit code", name, theirs, bytes[0],
				 bytes[1], bytes[2], bytes[3], kinds[kind]);
		named++;
	}
	assert_true(named > 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_have_their_text),
		cmocka_unit_test(names_are_those_of_another_disassembler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
