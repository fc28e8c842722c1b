/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores on hidden memory, by size and place, in the world of test_emulate.c with hidden pages amid the others. Of one that crosses the
 * border the emulator stores what lies outside. One that it does not carry out (EVEX, FXSAVE, XSAVE) is dropped if all of
 * it is hidden, and else stops the guest with its bytes: every EVEX form that Zydis knows, and every form that saves or
 * loads state.
 */
int test_emulate_main(void);
#define main test_emulate_main
#include "tests/unit/test_emulate.c" /* NOLINT(bugprone-suspicious-include): its guest and its helpers */
#undef main

#include <Zydis/Zydis.h>

/* Three pages, so that the largest state fits. */
#define FROM 0x8000u
#define TO 0xb000u
#define FILL 0x11 /* behind the hidden pages, where nothing may arrive */

enum outcome { DONE, EXCEPTION, STOPPED };

static u8 before[MEM_END];

static void hide(gva_t from, gva_t to)
{
	hidden_from = from;
	hidden_to = to;
}

/* The instruction with RBX, RDI and RSP at its operand, size bytes from at on, of which the first hidden byte faults. */
static enum outcome attempt(const u8 *bytes, u32 len, gva_t at)
{
	volatile enum outcome outcome = STOPPED;

	vcpu.gpr[GPR_RBX] = vcpu.gpr[GPR_RDI] = at;
	memset(memory + CODE, 0x90, 0x100);
	memcpy(memory + CODE, bytes, len);
	memcpy(before, memory, sizeof(before));
	vcpu.exit = (struct vcpu_exit){.gva = MAX(at, hidden_from), .error = PF_W | PF_P};
	vcpu.mmio.fault = (struct shadow_fault){.gpa = gpa(vcpu.exit.gva), .kind = REGION_HIDDEN};
	host_panic_expected = true;
	if (!setjmp(host_panic_jump)) {
		emulate_access(&vcpu);
		outcome = vcpu.inject.type == EVENT_EXCEPTION ? EXCEPTION : DONE;
	}
	host_panic_expected = false;
	vcpu.mmio.state = MMIO_NONE;
	return outcome;
}

/* --- what is carried out ------------------------------------------------------------ */

static const struct {
	u8 len, size;
	const char *bytes;
} stores[] = {
	{2, 1, "\x88\x03"},
	{3, 2, "\x66\x89\x03"},
	{2, 4, "\x89\x03"},
	{3, 8, "\x48\x89\x03"},
	{6, 4, "\xc7\x03\x78\x56\x34\x12"},
	{3, 4, "\x0f\xc3\x03"},         /* MOVNTI */
	{4, 8, "\x48\x0f\xc3\x03"},     /* with W */
	{5, 8, "\x48\x0f\x38\xf1\x03"}, /* MOVBE */
	{3, 8, "\x48\x01\x03"},         /* ADD */
	{3, 8, "\x48\x87\x03"},         /* XCHG */
	{5, 8, "\xf0\x48\x0f\xb1\x0b"}, /* LOCK CMPXCHG */
	{3, 8, "\x0f\xc7\x0b"},         /* CMPXCHG8B */
	{4, 8, "\x48\x0f\xc1\x03"},     /* XADD */
	{4, 4, "\x0f\xba\x2b\x05"},     /* BTS */
	{3, 1, "\x0f\x93\x03"},         /* SETAE */
	{1, 1, "\xaa"},                 /* STOSB */
	{2, 8, "\x48\xab"},             /* STOSQ */
	{5, 8, "\x48\x0f\xa4\x03\x04"}, /* SHLD */
	{3, 16, "\x0f\x11\x03"},        /* MOVUPS */
	{4, 16, "\xf3\x0f\x7f\x03"},    /* MOVDQU */
	{3, 8, "\x0f\x17\x03"},         /* MOVHPS */
	{4, 8, "\xf2\x0f\x11\x03"},     /* MOVSD */
	{4, 4, "\x66\x0f\x7e\x03"},     /* MOVD */
	{3, 4, "\x0f\xae\x1b"},         /* STMXCSR */
	{2, 4, "\xd9\x1b"},             /* FSTP */
	{2, 8, "\xdd\x1b"},
	{2, 10, "\xdb\x3b"},
	{2, 10, "\xdf\x33"},             /* FBSTP */
	{2, 8, "\xdf\x3b"},              /* FISTP */
	{2, 2, "\xd9\x3b"},              /* FNSTCW */
	{2, 2, "\xdd\x3b"},              /* FNSTSW */
	{4, 32, "\xc5\xfc\x11\x03"},     /* VMOVUPS */
	{5, 32, "\xc4\xe2\x75\x2e\x03"}, /* VMASKMOVPS */
};

static void fresh(void)
{
	reset_vcpu(64);
	host_state_reset(&host_guest_state);
	for (u32 r = 0; r < GPR_COUNT; r++)
		vcpu.gpr[r] = 0x1020304050607080ull * (r + 1);
	for (u32 i = 0; i < 16; i++) {
		memset(host_guest_state.xmm[i], 0xa0 + i, 16);
		memset(host_guest_state.ymm_high[i], 0xc0 + i, 16);
	}
	vcpu.cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
	memset(memory + DATA, FILL, DATA_END - DATA);
}

/* CMPXCHG and its like: here they find another value, and store what was there. */
static bool compares(u32 n)
{
	const char *bytes = stores[n].bytes;

	return (bytes[0] == 0x0f && (u8)bytes[1] == 0xc7) || (u8)bytes[0] == 0xf0;
}

/* On plain memory that reads as hidden memory does, and with the pages hidden. True: it changed something. */
static bool same_outside(u32 n, gva_t at)
{
	static u8 plain[MEM_END];
	u64 gpr[GPR_COUNT];

	fresh();
	hide(0, 0);
	memset(memory + FROM, 0xff, TO - FROM);
	assert_int_equal(attempt((const u8 *)stores[n].bytes, stores[n].len, at), DONE);
	memcpy(plain, memory, sizeof(plain));
	memcpy(gpr, vcpu.gpr, sizeof(gpr));
	fresh();
	hide(FROM, TO);
	assert_int_equal(attempt((const u8 *)stores[n].bytes, stores[n].len, at), DONE);
	if (memcmp(memory + DATA, plain + DATA, FROM - DATA) || memcmp(memory + TO, plain + TO, DATA_END - TO))
		fail_msg("store %u at %llx: outside it is not as on plain memory", n, (unsigned long long)at);
	for (u32 i = FROM; i < TO; i++)
		if (memory[i] != FILL)
			fail_msg("store %u at %llx: stored to hidden memory", n, (unsigned long long)at);
	assert_memory_equal(gpr, vcpu.gpr, sizeof(gpr));
	assert_true(hidden_writes >= 1);
	assert_int_equal(vcpu.rip, CODE + stores[n].len);
	return memcmp(memory + DATA, before + DATA, DATA_END - DATA) != 0;
}

/* adversarial: 24 */
static void of_a_store_across_the_border_the_part_outside_arrives(void **state)
{
	u32 changes[ARRAY_SIZE(stores)] = {0};

	for (u32 n = 0; n < ARRAY_SIZE(stores); n++) {
		if (stores[n].size == 32 && !host_has_avx2())
			continue;
		for (u32 back = 0; back < stores[n].size; back++) {
			changes[n] += same_outside(n, FROM - back);
			changes[n] += same_outside(n, TO - 1 - back);
		}
		/* But what is of one byte lies on one side, and the compared value is another. */
		if (!changes[n] != (stores[n].size == 1 || compares(n)))
			fail_msg("store %u: %u changes", n, changes[n]);
	}
	hide(0, 0);
}

/* --- what is dropped whole or not at all -------------------------------------------- */

static void expect(enum outcome got, enum outcome wanted, const u8 *bytes, u32 len, gva_t at)
{
	char text[3 * INSN_MAX + 1] = "";

	for (u32 i = 0; i < len; i++)
		snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
	if (got != wanted)
		fail_msg("%sat %llx: %u, not %u", text, (unsigned long long)at, got, wanted);
	if (memcmp(before, memory, sizeof(before)))
		fail_msg("%sat %llx: memory changed", text, (unsigned long long)at);
	assert_int_equal(vcpu.rip, CODE + (wanted == DONE ? len : 0));
	assert_int_equal(hidden_writes, wanted == DONE);
	if (wanted == STOPPED)
		assert_non_null(strstr(host_panic_message, text));
}

static void check_at(const u8 *bytes, u32 len, gva_t operand, gva_t base, enum outcome wanted)
{
	fresh();
	expect(attempt(bytes, len, base), wanted, bytes, len, operand);
}

/* The operand, size bytes of disp beyond RBX, around both borders; step: how it must be aligned. */
static void around_the_borders(const u8 *bytes, u32 len, u32 size, s64 disp, u32 step)
{
	hide(FROM, TO);
	check_at(bytes, len, FROM, FROM - disp, DONE);
	check_at(bytes, len, TO - size, ((TO - size) & -step) - disp, DONE);
	check_at(bytes, len, FROM - step, FROM - step - disp, STOPPED);
	if (size > step)
		check_at(bytes, len, TO - size + step, ((TO - size + step) & -step) - disp, STOPPED);
	hide(FROM, MEM_END);
	if (size > step) {
		check_at(bytes, len, MEM_END - step, MEM_END - step - disp, EXCEPTION);
		assert_int_equal(vcpu.inject.vector, VEC_PF);
		assert_int_equal(vcpu.inject.error, PF_W);
		assert_int_equal(vcpu.cr2, MEM_END);
	}
	hide(0, 0);
}

struct evex_form {
	u8 bytes[INSN_MAX], len;
	bool is_store;
	u32 size;
	s64 disp;
};

/* A store that changes nothing else; false: no such instruction. */
static bool ask_zydis(const ZydisDecoder *decoder, struct evex_form *f)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	bool others = false;

	f->is_store = false;
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, f->bytes, sizeof(f->bytes), &z, ops)))
		return false;
	f->len = z.length;
	for (u32 i = 0; i < z.operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY) {
			others |= (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
			continue;
		}
		others |= op->mem.type != ZYDIS_MEMOP_TYPE_MEM;
		f->is_store = (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			      !(op->actions & ZYDIS_OPERAND_ACTION_MASK_READ);
		f->size = op->size / 8;
		f->disp = op->mem.disp.value;
	}
	f->is_store &= !others;
	return true;
}

static void one_evex_form(const struct evex_form *f, u32 *counted)
{
	++*counted;
	if (f->is_store) {
		around_the_borders(f->bytes, f->len, f->size, f->disp, 1);
		return;
	}
	hide(FROM, TO);
	fresh();
	assert_int_not_equal(attempt(f->bytes, INSN_MAX, FROM + 0x100), DONE);
	assert_int_equal(hidden_writes, 0);
	assert_memory_equal(before, memory, sizeof(before));
	hide(0, 0);
}

/* Opcode, prefix, W, length, on [RBX + 1 unit]; a mask too. */
/* adversarial: 24 */
static void every_evex_store_is_as_long_as_zydis_says(void **state)
{
	static const u8 maps[] = {1, 2, 3, 5, 6};
	u32 stores_seen = 0, others = 0;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (u32 n = 0; n < ARRAY_SIZE(maps) * 256 * 4 * 2 * 3 * 2; n++) {
		u32 map = maps[n / (256 * 48)], op = n / 48 % 256, pp = n % 4, w = n / 4 % 2, l = n / 8 % 3;
		u32 k = n / 24 % 2;
		struct evex_form f = {.bytes = {0x62, 0xf0 | map, w << 7 | 0x7c | pp, l << 5 | 8 | k, op, 0x43, 1}};

		if (!ask_zydis(&decoder, &f))
			continue;
		one_evex_form(&f, f.is_store ? &stores_seen : &others);
	}
	printf("%u stores, %u others\n", stores_seen, others);
	assert_true(stores_seen > 200 && others > 2000);
}

static const struct {
	u8 len;
	const char *bytes;
	u16 size;
	u8 align;
} state_stores[] = {
	{3, "\x0f\xae\x03", 512, 16},   {4, "\x48\x0f\xae\x03", 512, 16}, {3, "\x0f\xae\x23", 0, 64},
	{4, "\x48\x0f\xae\x23", 0, 64}, {3, "\x0f\xae\x33", 0, 64},       {4, "\x48\x0f\xae\x33", 0, 64},
	{3, "\x0f\xc7\x23", 1, 64},     {4, "\x48\x0f\xc7\x23", 1, 64},   {3, "\x0f\xc7\x2b", 1, 64},
	{4, "\x48\x0f\xc7\x2b", 1, 64},
};

/* FXSAVE; XSAVE, XSAVEOPT, XSAVEC, XSAVES with areas from the least to that of AMX. */
/* adversarial: 24 */
static void saved_state_is_dropped_if_all_of_it_is_hidden(void **state)
{
	static const u32 areas[][2] = {{576, 576}, {832, 640}, {2696, 2440}, {11008, 10752}};

	for (u32 a = 0; a < ARRAY_SIZE(areas); a++) {
		memcpy(xsave_bytes, areas[a], sizeof(xsave_bytes));
		for (u32 n = 0; n < ARRAY_SIZE(state_stores); n++) {
			const u8 *bytes = (const u8 *)state_stores[n].bytes;
			u32 size = state_stores[n].size, len = state_stores[n].len;

			size = size < 2 ? xsave_bytes[size] : size;
			around_the_borders(bytes, len, size, 0, state_stores[n].align);
			hide(FROM, TO);
			check_at(bytes, len, FROM + 8, FROM + 8, EXCEPTION);
			assert_int_equal(vcpu.inject.vector, VEC_GP);
			hide(0, 0);
		}
	}
	xsave_bytes[0] = xsave_bytes[1] = 0; /* no XSAVE: not dropped either */
	hide(FROM, TO);
	check_at((const u8 *)"\x0f\xae\x23", 3, FROM, FROM, STOPPED);
	hide(0, 0);
	xsave_bytes[0] = xsave_bytes[1] = 832;
}

/* Loads of state; stores that change state besides; addresses that are no ModRM operand; others that store more than a register. */
static void what_is_no_plain_store_stops_the_guest_with_its_bytes(void **state)
{
	static const struct {
		u8 len;
		const char *bytes;
	} forms[] = {
		{3, "\x0f\xae\x0b"},                 /* FXRSTOR */
		{3, "\x0f\xae\x2b"},                 /* XRSTOR */
		{3, "\x0f\xc7\x1b"},                 /* XRSTORS */
		{2, "\xdd\x33"},                     /* FNSAVE */
		{2, "\xdd\x23"},                     /* FRSTOR */
		{2, "\xd9\x33"},                     /* FNSTENV */
		{2, "\xd9\x23"},                     /* FLDENV */
		{3, "\x66\xdd\x33"},                 /* FNSAVE of 94 bytes */
		{3, "\x66\xd9\x33"},                 /* FNSTENV of 14 */
		{5, "\x66\x0f\x38\xf8\x1b"},         /* MOVDIR64B */
		{5, "\xf2\x0f\x38\xf8\x1b"},         /* ENQCMD */
		{5, "\xf3\x0f\x38\xf8\x1b"},         /* ENQCMDS */
		{3, "\x0f\x01\xfc"},                 /* CLZERO */
		{4, "\xf3\x0f\xae\x23"},             /* PTWRITE */
		{3, "\x0f\x01\x03"},                 /* SGDT */
		{3, "\x0f\x01\x0b"},                 /* SIDT */
		{3, "\x0f\x01\x23"},                 /* SMSW */
		{3, "\x0f\x00\x03"},                 /* SLDT */
		{3, "\x0f\x00\x0b"},                 /* STR */
		{7, "\x62\xf2\x7d\x49\xa0\x04\x0b"}, /* VPSCATTERDD */
		{6, "\xc4\xe2\x7a\x4b\x04\x0b"},     /* TILESTORED */
		{5, "\xc4\xe2\x79\xe0\x03"},         /* CMPOXADD */
		{4, "\x0f\x38\xfc\x03"},             /* AADD */
		{4, "\x0f\x38\xf6\x03"},             /* WRSSD */
		{4, "\xc8\x08\x00\x01"},             /* ENTER */
	};

	hide(FROM, TO);
	for (u32 n = 0; n < ARRAY_SIZE(forms); n++)
		check_at((const u8 *)forms[n].bytes, forms[n].len, FROM + 0x100, FROM + 0x100, STOPPED);
	hide(0, 0);
}

/* The segment's limit is for all of it. */
static void a_dropped_store_is_within_its_segment(void **state)
{
	struct segment s = {.limit = FROM + 511, .attributes = 0x93 | SEG_ATTR_DB};

	limited = &s;
	limited_name = SEG_DS;
	hide(FROM, TO);
	for (u32 i = 0; i < 2; i++) {
		fresh();
		reset_vcpu(32);
		expect(attempt((const u8 *)"\x0f\xae\x03", 3, FROM), i ? EXCEPTION : DONE,
		       (const u8 *)"\x0f\xae\x03", 3, FROM);
		if (i)
			assert_int_equal(vcpu.inject.vector, VEC_GP);
		s.limit--;
	}
	limited = NULL;
	hide(0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_store_across_the_border_the_part_outside_arrives),
		cmocka_unit_test(every_evex_store_is_as_long_as_zydis_says),
		cmocka_unit_test(saved_state_is_dropped_if_all_of_it_is_hidden),
		cmocka_unit_test(what_is_no_plain_store_stops_the_guest_with_its_bytes),
		cmocka_unit_test(a_dropped_store_is_within_its_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
