/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that the emulator has the CPU execute on a copy of their operand, against the CPU that
 * runs this test: random instances of every row of insn_shape.c, with random general registers, flags, memory, vector
 * and x87 state, unmasked exceptions included. Everything must come out as if the instruction had run
 * where it stands. Then against Unicorn what needs another mode: 32-bit code.
 */
int test_emulate_main(void);
#define main test_emulate_main
#include "tests/unit/test_emulate.c"
#undef main

#include "arch/x86/guest/insn_shape.h"
#include "tests/unit/host_execute.h"

#define OPERAND 0x6000u /* the operand lies in [OPERAND, OPERAND + 64) or ends the page */
#define OPERAND_PAGES 0x2000u

/* --- instances --------------------------------------------------------------------- */

struct sample {
	u8 bytes[INSN_MAX];
	u32 len;
	struct insn insn;
	struct insn_shape shape;
	u8 base; /* register that the address is made of */
	gva_t gva;
};

static void put(struct sample *s, u8 byte)
{
	s->bytes[s->len++] = byte;
}

/* Prefixes, opcode and ModRM in whatever map; v and reg may be any register. */
static void random_bytes(struct sample *s, u8 *modrm_at)
{
	u8 reg = host_random_below(code_bits == 64 ? 16 : 8), map = host_random_below(4), op = host_random();
	u8 v = host_random_below(code_bits == 64 ? 16 : 8), w = host_random_below(2), b = s->base >> 3;

	s->len = 0;
	if (map && host_random_below(2)) {
		put(s, 0xc4);
		put(s, (reg & 8 ? 0 : 0x80) | 0x40 | (b ? 0 : 0x20) | map);
		put(s, w << 7 | ((host_random_below(4) ? ~v : 15) & 15) << 3 | (host_random() & 7));
	} else {
		static const u8 prefixes[] = {0, 0x66, 0xf3, 0xf2};
		u8 prefix = prefixes[host_random_below(4)];

		if (host_random_below(8) == 0)
			put(s, 0x66);
		if (prefix)
			put(s, prefix);
		if (code_bits == 64)
			put(s, 0x40 | w << 3 | (reg & 8 ? 4 : 0) | b);
		if (!map)
			op = host_random_below(2) ? 0xd8 + (op & 7) : op;
		if (map)
			put(s, 0x0f);
		if (map > 1)
			put(s, map == 2 ? 0x38 : 0x3a);
	}
	put(s, op);
	*modrm_at = s->len;
	put(s, (reg & 7) << 3 | (s->base & 7));
}

/* Besides in the address. */
static bool uses(const struct sample *s, u8 reg)
{
	return (s->shape.flags & SHAPE_REG_GPR && s->insn.reg == reg) ||
	       (s->shape.flags & SHAPE_V_GPR && s->insn.v == reg);
}

/* A random instance that the table has, on [base]; MASKMOV's is RDI. rsp_too: RSP may be an operand. */
static void random_sample(struct sample *s, bool rsp_too)
{
	static const u8 bases[] = {GPR_RBX, GPR_RSI, GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R14, GPR_R15};
	u8 modrm_at;

	do {
		s->base = bases[host_random_below(code_bits == 64 ? 9 : 3)];
		random_bytes(s, &modrm_at);
		if (host_random_below(40) == 0)
			s->bytes[modrm_at] |= 0xc0;
		for (u32 i = s->len; i < INSN_MAX; i++)
			s->bytes[i] = host_random();
		if (insn_decode(&s->insn, s->bytes, INSN_MAX, code_bits) ||
		    !insn_shape(&s->insn, code_bits, &s->shape))
			continue;
		if (insn_is_maskmov(&s->insn))
			s->base = GPR_RDI;
		else if (s->insn.base != s->base || s->insn.index != INSN_NO_REG || s->insn.disp ||
			 s->bytes[modrm_at - 1] != s->insn.opcode)
			continue; /* the opcode was an escape or a prefix */
		if (uses(s, s->base) || (!rsp_too && uses(s, GPR_RSP)))
			continue;
		s->len = s->insn.len;
		return;
	} while (true);
}

/* Numbers as they come, and those at which floating point is interesting. */
static void random_lane(u8 *out, u32 bytes)
{
	static const u64 odd[] = {0,
				  1,
				  0x3ff0000000000000ull,
				  0x7ff0000000000000ull,
				  0x7ff8000000000001ull,
				  0x7ff0000000000001ull,
				  0x0008000000000000ull,
				  0x3f8000003f800000ull,
				  0x7f8000007fc00000ull,
				  0x7f80000100000001ull,
				  0x8000000000000000ull,
				  0x43e0000000000000ull,
				  ~0ull};

	for (u32 i = 0; i < bytes; i += 8) {
		u64 value = host_random_below(2) ? host_random() : odd[host_random_below(ARRAY_SIZE(odd))];

		memcpy(out + i, &value, 8);
	}
}

static void random_state(struct host_state *s)
{
	host_state_reset(s);
	random_lane(s->xmm[0], sizeof(s->xmm));
	random_lane(s->ymm_high[0], sizeof(s->ymm_high));
	s->mxcsr = (host_random_below(2) ? 0x1f80 : host_random() & 0xffc0) | (host_random() & 0x3f);
	s->fcw = host_random_below(2) ? 0x37f : (host_random() & 0xf3f) | 0x40;
	s->fsw = host_random() & 0x7800; /* TOP */
	s->ftw = host_random();
	s->fip = host_random() >> 17;
	s->fdp = host_random() >> 17;
	for (u32 i = 0; i < 8; i++) {
		static const u16 exponents[] = {0, 1, 0x3fff, 0x4000, 0x403e, 0x7fff, 0xbfff, 0xffff};
		u64 value = host_random() | (host_random_below(4) ? BIT(63) : 0);

		memcpy(s->st[i], &value, 8);
		memcpy(s->st[i] + 8, &exponents[host_random_below(8)], 2);
	}
}

static void place_operand(struct sample *s)
{
	u32 align = host_random_below(3) ? 32 : 1;

	s->gva = OPERAND + host_random_below(64) / align * align;
	if (host_random_below(16) == 0) /* over the end of the page */
		s->gva = OPERAND + 0x1000 - host_random_below(s->shape.size + 1u);
	random_lane(memory + (s->gva & ~7ull), 48);
	vcpu.gpr[s->base] = s->gva;
}

/* --- the comparison with this CPU -------------------------------------------------- */

static u64 page_address(void)
{
	return (u64)(uintptr_t)host_execute_pages();
}

/* The CPU executes the instruction as it stands, on the test's memory. */
static void run_bare(const struct sample *s, struct execute *x, struct host_state *state)
{
	u8 *page = host_execute_pages();

	*x = (struct execute){.flags = vcpu.rflags, .at = page_address()};
	memcpy(x->gpr, vcpu.gpr, sizeof(x->gpr));
	x->gpr[s->base] = (u64)(uintptr_t)(memory + s->gva);
	memcpy(page, s->bytes, s->len);
	page[s->len] = 0xc3;
	host_run(x, state);
	x->gpr[s->base] = s->gva;
}

static void text_of(const struct sample *s, char *out)
{
	int n = sprintf(out, "%u-bit at %llx", code_bits, (unsigned long long)s->gva);

	for (u32 i = 0; i < s->len; i++)
		n += sprintf(out + n, " %02x", s->bytes[i]);
}

/* Where an x87 instruction was: its own place and operand where the CPU says that of the bare run. */
static void expect_pointers(struct host_state *bare, const struct sample *s)
{
	if ((u32)bare->fip == (u32)page_address())
		bare->fip = CODE;
	if ((u32)bare->fdp == (u32)(uintptr_t)(memory + s->gva))
		bare->fdp = s->gva;
}

/* A change of tasks in between may cost the upper halves of the pointers, in either run. */
static struct host_state comparable(const struct host_state *s)
{
	struct host_state c = *s;

	c.fip = (u32)c.fip;
	c.fdp = (u32)c.fdp;
	return c;
}

static u32 compared, faults_seen, by_encoding[2], stores_seen, halves_lost;

static void compare(const struct sample *s, const struct vcpu *before, const struct execute *bare,
		    const struct host_state *bare_state, const u8 *bare_memory)
{
	const struct host_state should_be = comparable(bare_state), is = comparable(&host_guest_state);
	u64 flags = bare->faulted ? before->rflags | RFLAGS_RF : bare->flags; /* for the frame of the fault */
	char text[128];

	text_of(s, text);
	if (bare->faulted != (vcpu.inject.type == EVENT_EXCEPTION) ||
	    (bare->faulted && bare->vector != vcpu.inject.vector))
		fail_msg("%s: exception %u (%u), should be %u (%u)", text, vcpu.inject.vector, vcpu.inject.type,
			 bare->vector, bare->faulted);
	if (vcpu.rip != (bare->faulted ? CODE : CODE + s->len))
		fail_msg("%s: rip %llx", text, (unsigned long long)vcpu.rip);
	for (u32 r = 0; r < GPR_COUNT; r++) {
		u64 should = bare->faulted ? before->gpr[r] : bare->gpr[r];

		if (r != GPR_RSP && vcpu.gpr[r] != should)
			fail_msg("%s: register %u is %llx, should be %llx", text, r,
				 (unsigned long long)vcpu.gpr[r], (unsigned long long)should);
	}
	if (vcpu.rflags != flags)
		fail_msg("%s: flags %llx, should be %llx", text, (unsigned long long)vcpu.rflags,
			 (unsigned long long)flags);
	if (memcmp(memory + OPERAND, bare_memory + OPERAND, OPERAND_PAGES))
		fail_msg("%s: memory differs", text);
	for (u32 i = 0; i < sizeof(*bare_state); i++)
		if (((const u8 *)&should_be)[i] != ((const u8 *)&is)[i])
			fail_msg("%s: byte %u of the vector and x87 state is %02x, should be %02x", text, i,
				 ((const u8 *)&is)[i], ((const u8 *)&should_be)[i]);
	halves_lost += bare_state->fip != host_guest_state.fip || bare_state->fdp != host_guest_state.fdp;
}

/* A state whose pointers any processor saves: AMD's save them only with an exception pending (APM vol. 2 section 11.4.4). */
static void set_pointers(u16 fcw, u16 fsw, u64 fip, u64 fdp)
{
	host_state_reset(&host_guest_state);
	host_guest_state.fcw = fcw;
	host_guest_state.fsw = fsw;
	host_guest_state.fip = fip;
	host_guest_state.fdp = fdp;
}

static void one_sample(void)
{
	static u8 data_before[MEM_END], bare_memory[MEM_END];
	struct host_state bare_state;
	struct sample s = {.len = 0};
	struct execute bare;
	struct vcpu before;

	reset_vcpu(64);
	random_registers();
	random_sample(&s, false); /* the bare run needs a stack */
	place_operand(&s);
	memset(memory + CODE, 0x90, 2 * INSN_MAX);
	memcpy(memory + CODE, s.bytes, s.len);
	random_state(&host_guest_state);
	bare_state = host_guest_state;
	before = vcpu;
	memcpy(data_before + OPERAND, memory + OPERAND, OPERAND_PAGES);
	run_bare(&s, &bare, &bare_state);
	expect_pointers(&bare_state, &s);
	memcpy(bare_memory + OPERAND, memory + OPERAND, OPERAND_PAGES);
	memcpy(memory + OPERAND, data_before + OPERAND, OPERAND_PAGES);
	emulate_once();
	compare(&s, &before, &bare, &bare_state, bare_memory);
	compared++;
	faults_seen += bare.faulted;
	by_encoding[s.insn.encoding]++;
	stores_seen += !bare.faulted && s.shape.flags & SHAPE_STORE;
}

#define SAMPLES 100000u

static void emulation_is_what_this_cpu_does(void **state)
{
	code_bits = 64;
	host_random_seed(42);
	for (u32 n = 0; n < SAMPLES; n++)
		one_sample();
	printf("%u instances, %u VEX, %u stored, %u faulted\n", compared, by_encoding[INSN_VEX], stores_seen,
	       faults_seen);
	assert_true(faults_seen > 100 && faults_seen < SAMPLES / 2 + SAMPLES / 4);
	assert_true(stores_seen > SAMPLES / 50);
	printf("upper halves of x87 pointers lost %u times\n", halves_lost);
	assert_true(halves_lost < SAMPLES / 1000);
	if (!host_has_avx2())
		printf("this CPU has no AVX2: what it has was compared\n");
}

/* --- against Unicorn: general registers, RSP among them, in 64- and 32-bit code ---------- */

/* Not what Unicorn 2.0 lacks or has wrong: VEX, x87 and SSE are compared with the CPU above. */
static bool unicorn_knows(const struct sample *s)
{
	const struct insn *i = &s->insn;

	if (i->encoding != INSN_LEGACY || (i->map == 0 && i->opcode >= 0xd8))
		return i->map == 0 && i->opcode >= 0xf6;
	if (i->map == 1)
		return (i->opcode >= 0x40 && i->opcode < 0x50) ||
		       (i->opcode >= 0xa4 && i->opcode < 0xc0 && i->opcode != 0xae && i->opcode != 0xb8);
	return i->map == 0;
}

/* Flags that the manual leaves open, by opcode. */
static u64 undefined_flags(const struct insn *i)
{
	u64 all = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;

	if (i->map == 0)
		return (i->opcode | 1) == 0xf7 && (i->reg & 7) >= 6 ? all : all & ~(FLAG_CF | FLAG_OF);
	if (i->opcode == 0xaf)
		return all & ~(FLAG_CF | FLAG_OF);
	if (i->opcode == 0xbc || i->opcode == 0xbd)
		return i->prefix == 0xf3 ? all & ~(FLAG_CF | FLAG_ZF) : all & ~FLAG_ZF;
	return i->opcode < 0xb0 ? FLAG_AF | FLAG_OF : 0;
}

static u32 done_with_unicorn, rsp_used;

static void one_with_unicorn(uc_engine *uc)
{
	struct sample s = {.len = 0};
	struct instance i = {.len = 0};
	struct vcpu before;
	uc_err err;

	do {
		reset_vcpu(code_bits);
		random_registers();
		random_sample(&s, true);
	} while (!unicorn_knows(&s));
	place_operand(&s);
	/* With a count beyond the operand nothing is defined. */
	vcpu.gpr[GPR_RCX] = s.base == GPR_RCX ? s.gva : host_random_below(16);
	if (s.insn.map == 1 && (s.insn.opcode & 0xf7) == 0xa4)
		s.bytes[s.len - 1] = host_random_below(16);
	if ((s.insn.opcode | 1) == 0xbd) /* the destination of a source of 0 is not defined */
		memory[s.gva] |= 1;
	memcpy(i.bytes, s.bytes, s.len);
	i.len = s.len;
	i.undefined = undefined_flags(&s.insn);
	memset(memory + CODE, 0x90, 2 * INSN_MAX);
	memcpy(memory + CODE, s.bytes, s.len);
	host_state_reset(&host_guest_state);
	load_unicorn(uc);
	before = vcpu;
	err = uc_emu_start(uc, CODE, CODE + s.len, 0, 1);
	their_error = err;
	emulate_once();
	if (err == UC_ERR_INSN_INVALID)
		return;
	if (err != UC_ERR_OK) {
		expect_nothing_done(&before, &i);
		return;
	}
	compare_state(uc, &i);
	done_with_unicorn++;
	rsp_used += uses(&s, GPR_RSP);
}

static void general_registers_match_unicorn(void **state)
{
	for (code_bits = 32; code_bits <= 64; code_bits *= 2) {
		uc_engine *uc;

		host_random_seed(code_bits);
		done_with_unicorn = rsp_used = 0;
		assert_int_equal(uc_open(UC_ARCH_X86, code_bits == 64 ? UC_MODE_64 : UC_MODE_32, &uc), UC_ERR_OK);
		assert_int_equal(uc_ctl_set_cpu_model(uc, UC_CPU_X86_HASWELL), UC_ERR_OK);
		assert_int_equal(uc_mem_map(uc, CODE, MEM_END - CODE, UC_PROT_ALL), UC_ERR_OK);
		for (u32 n = 0; n < 10000; n++)
			one_with_unicorn(uc);
		uc_close(uc);
		printf("%u-bit: %u instances, %u of them with ESP or RSP\n", code_bits, done_with_unicorn, rsp_used);
		assert_true(done_with_unicorn > 5000 && rsp_used > 100);
	}
}

/* --- what only we know ----------------------------------------------------------------- */

static void a_masked_off_element_is_no_access(void **state)
{
	reset_vcpu(64);
	host_state_reset(&host_guest_state);
	vcpu.gpr[GPR_RBX] = MEM_END - 4; /* only the lowest element is there */
	memset(host_guest_state.xmm[1] + 3, 0x80, 1);
	memset(host_guest_state.xmm[0], 0x5a, 16);
	memory[MEM_END - 4] = 0x77;
	run("\xc4\xe2\x71\x2c\x13", 5, HIDDEN, HIDDEN); /* VMASKMOVPS XMM2, XMM1, [RBX] */
	if (vcpu.inject.type == EVENT_EXCEPTION && vcpu.inject.vector == VEC_UD)
		return; /* no AVX here */
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	assert_int_equal(host_guest_state.xmm[2][0], 0x77);
	run("\xc4\xe2\x71\x2e\x03", 5, HIDDEN, HIDDEN); /* VMASKMOVPS [RBX], XMM1, XMM0 */
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
	assert_int_equal(memory[MEM_END - 4], 0x5a);
	host_guest_state.xmm[1][7] = 0x80; /* the next one is not */
	run("\xc4\xe2\x71\x2e\x03", 5, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	assert_int_equal(vcpu.cr2, MEM_END);
}

static void a_store_that_faults_leaves_the_x87_stack(void **state)
{
	struct host_state before;

	reset_vcpu(64);
	host_state_reset(&host_guest_state);
	host_guest_state.ftw = 0x80;
	host_guest_state.fsw = 7 << 11;
	before = host_guest_state;
	vcpu.gpr[GPR_RBX] = MEM_END - 2;
	run("\xd9\x1b", 2, HIDDEN, HIDDEN); /* FSTP [RBX] */
	assert_int_equal(vcpu.inject.vector, VEC_PF);
	assert_int_equal(vcpu.inject.error, PF_W);
	assert_memory_equal(&before, &host_guest_state, sizeof(before));
}

static void lock_and_alignment_are_checked(void **state)
{
	reset_vcpu(64);
	vcpu.gpr[GPR_RBX] = DATA + 1;
	run("\xf0\x0f\xaf\x03", 4, HIDDEN, HIDDEN); /* LOCK IMUL */
	assert_int_equal(vcpu.inject.vector, VEC_UD);
	run("\xf0\x89\x03", 3, HIDDEN, HIDDEN); /* LOCK MOV */
	assert_int_equal(vcpu.inject.vector, VEC_UD);
	vcpu.cr0 |= CR0_AM;
	vcpu.rflags |= RFLAGS_AC;
	run("\x0f\xaf\x03", 3, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.type, EVENT_NONE); /* not in ring 0 */
	vcpu.cpl = 3;
	run("\x0f\xaf\x03", 3, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_AC);
	run("\x8b\x03", 2, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.vector, VEC_AC);
	run("\x8a\x03", 2, HIDDEN, HIDDEN);
	assert_int_equal(vcpu.inject.type, EVENT_NONE);
}

/* FNSTSW and FNSTCW wait for nothing. */
static void what_does_not_wait_stores_with_an_exception_pending(void **state)
{
	static const char *const code[] = {"\xdd\x3b", "\xd9\x3b"};
	static const u16 stored[] = {0x8081, 0x37e};

	for (u32 i = 0; i < ARRAY_SIZE(code); i++) {
		code_bits = 64;
		reset_vcpu(64);
		host_state_reset(&host_guest_state);
		host_guest_state.fcw = 0x37e;  /* #I unmasked */
		host_guest_state.fsw = 0x8081; /* B, ES, IE */
		vcpu.gpr[GPR_RBX] = DATA;
		memset(memory + DATA, 0x55, 2);
		run(code[i], 2, HIDDEN, HIDDEN);
		assert_int_equal(vcpu.inject.type, EVENT_NONE);
		assert_int_equal(memory[DATA] | memory[DATA + 1] << 8, stored[i]);
	}
}

/*
 * FNSTCW and FNSTSW with an exception pending, FLDCW that unmasks one: the pointers stay those of the
 * x87 instruction before, to the last bit, but for a change of tasks in between.
 */
static void control_instructions_leave_the_pointers(void **state)
{
	static const struct {
		const char *code;
		u16 fcw, fsw;
	} cases[] = {{"\xd9\x3b", 0x37e, 0x8081}, {"\xdd\x3b", 0x37e, 0x8081}, {"\xd9\x2b", 0x37f, 1}};
	const u64 fip = 0x7abc00000000 + CODE, fdp = 0x7def00000000 + DATA;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 kept = 0;

		for (u32 n = 0; n < 100; n++) {
			code_bits = 64;
			reset_vcpu(64);
			set_pointers(cases[i].fcw, cases[i].fsw, fip, fdp);
			vcpu.gpr[GPR_RBX] = DATA;
			memory[DATA] = 0x7e;
			memory[DATA + 1] = 0x3;
			run(cases[i].code, 2, HIDDEN, HIDDEN);
			assert_int_equal(vcpu.inject.type, EVENT_NONE);
			assert_int_equal(host_guest_state.fsw & 0x81, 0x81);
			assert_int_equal((u32)host_guest_state.fip, (u32)fip);
			assert_int_equal((u32)host_guest_state.fdp, (u32)fdp);
			kept += host_guest_state.fip == fip && host_guest_state.fdp == fdp;
		}
		assert_true(kept > 90);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_wait_stores_with_an_exception_pending),
		cmocka_unit_test(emulation_is_what_this_cpu_does),
		cmocka_unit_test(general_registers_match_unicorn),
		cmocka_unit_test(a_masked_off_element_is_no_access),
		cmocka_unit_test(a_store_that_faults_leaves_the_x87_stack),
		cmocka_unit_test(lock_and_alignment_are_checked),
		cmocka_unit_test(control_instructions_leave_the_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
