/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter against Unicorn: random instructions, made of every opcode that both know, with random prefixes, operands, registers
 * and flags, in chains that go on with what the last one left. After each one registers, defined flags, segment
 * registers, IP and all that was written are the same; where Unicorn raises an exception, so do we.
 *
 * What Unicorn 2 does otherwise: EIP of 16-bit code may be the linear address when it stops; a hook on memory spoils some results, so there is none; it looks at no segment limit (test_interpret.c does), keeps memory that is not there; its
 * 16-bit mode knows no descriptor; LOCK in front of what takes none, and
 * groups 1a and 11 with a number that is none, are #UD here alone; of an exception it may say nothing but that IP stays.
 */
#include "tests/unit/interpret_world.h"

#include <stdlib.h>

#include "tests/unit/unicorn.h"

#define CHAIN 24u
#define CHAINS 12000u
#define REP_MAX 20u

static u8 theirs[MEM_END] ALIGNED(PAGE_SIZE);
static u32 code_bits;

/* --- instructions ------------------------------------------------------------------------------ */

static const u8 opcodes[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
	0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c,
	0x2d, 0x2f, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3f, 0x40, 0x43,
	0x44, 0x47, 0x48, 0x4b, 0x4c, 0x4f, 0x50, 0x53, 0x54, 0x55, 0x57, 0x58, 0x5b, 0x5c, 0x5d, 0x5f, 0x60, 0x61,
	0x68, 0x69, 0x6a, 0x6b, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d,
	0x7e, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
	0x90, 0x91, 0x93, 0x94, 0x97, 0x98, 0x99, 0x9a, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
	0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb3, 0xb4, 0xb7, 0xb8, 0xbb, 0xbc, 0xbf,
	0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4,
	0xd5, 0xd6, 0xd7, 0xe0, 0xe1, 0xe2, 0xe3, 0xe8, 0xe9, 0xea, 0xeb, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb,
	0xfc, 0xfd, 0xfe, 0xff, 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x62,
};
static const u8 wide_opcodes[] = {
	0x0d, 0x18, 0x1f, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d,
	0x4e, 0x4f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e,
	0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
	0xa0, 0xa1, 0xa3, 0xa4, 0xa5, 0xa8, 0xa9, 0xab, 0xac, 0xad, 0xaf, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5,
	0xb6, 0xb7, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0, 0xc1, 0xc7, 0xc8, 0xc9, 0xcb, 0xcc, 0xcd, 0xcf,
};

static bool is_string(const struct insn *insn)
{
	u8 op = insn->opcode;

	return insn->map == 0 && ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf));
}

/* What Unicorn gets wrong or does not have, and what would lead out of this world. */
static bool is_left_out(const struct insn *insn)
{
	u8 op = insn->opcode, reg = insn->reg & 7;

	if (insn->encoding != INSN_LEGACY || insn->map > 1)
		return true;
	/* A prefix makes another instruction of it, or Unicorn takes it for one. */
	if (insn->prefix && !is_string(insn))
		return true;
	/* A branch into itself, which it translates before it stops. */
	if (insn->imm_len && (s64)insn->imm < 0 && (s64)insn->imm >= -(s64)INSN_MAX)
		return true;
	/* It adds a negative number. */
	if (insn->map == 0 && (op == 0xc2 || op == 0xca) && insn->imm >> 15)
		return true;
	/* LOCK NEG sets flags of another result. */
	if (insn->lock && insn->map == 0 && (op == 0xf6 || op == 0xf7) && reg == 3)
		return true;
	/* LOCK CMP ends the program. */
	if (insn->lock && insn->map == 0 && ((op >= 0x38 && op <= 0x3b) || (op >= 0x80 && op <= 0x83 && reg == 7)))
		return true;
	/* The other number of TEST is undefined to it. */
	if (insn->map == 0 && (op == 0xf6 || op == 0xf7) && reg == 1)
		return true;
	/* Unicorn has no PREFETCHW of a register; what is not allowed to be one may end the program. */
	if (!insn->has_mem &&
	    (insn->lock || (insn->map == 0 && (op == 0x8d || (op == 0xff && (reg == 3 || reg == 5)))) ||
	     (insn->map == 1 && (op == 0x18 || op == 0xb2 || op == 0xb4 || op == 0xb5 || op == 0xc7))))
		return true;
	if (insn->map == 1 && op == 0x0d && !insn->has_mem)
		return true;
	/* In protected mode: tables of descriptors, which test_interpret.c has. */
	if (code_bits == 32 && insn->map == 0 &&
	    (op == 0x07 || op == 0x17 || op == 0x1f || op == 0x8e || op == 0xc4 || op == 0xc5 || op == 0x9a ||
	     op == 0xea || op == 0xca || op == 0xcb || op == 0xcf || (op == 0xff && (reg == 3 || reg == 5))))
		return true;
	if (code_bits == 32 && insn->map == 1 && (op == 0xa1 || op == 0xa9 || op == 0xb2 || op == 0xb4 || op == 0xb5))
		return true;
	return false;
}

static u64 undefined_by_shift(const struct insn *insn, u32 count, u32 width)
{
	if (!count)
		return 0;
	if ((insn->reg & 7) <= SHIFT_RCR)
		return count == 1 ? 0 : FLAG_OF;
	return FLAG_AF | (count == 1 ? 0 : FLAG_OF) | (count >= width ? FLAG_CF : 0);
}

static u64 undefined_one_byte(const struct insn *insn)
{
	const u64 status = FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF;
	u8 op = insn->opcode, reg = insn->reg & 7, alu = op < 0x40 ? op >> 3 : reg;
	u32 width = op & 1 ? 8 * insn->opsize : 8;

	switch (op) {
	case 0x27:
	case 0x2f: return FLAG_OF;
	case 0x37:
	case 0x3f: return FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF;
	case 0x69:
	case 0x6b: return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
	case 0x84:
	case 0x85:
	case 0xa8:
	case 0xa9: return FLAG_AF;
	case 0xc0:
	case 0xc1: return undefined_by_shift(insn, insn->imm & 31, width);
	case 0xd0:
	case 0xd1: return undefined_by_shift(insn, 1, width);
	case 0xd2:
	case 0xd3: return undefined_by_shift(insn, vcpu.gpr[GPR_RCX] & 31, width);
	case 0xd4:
	case 0xd5: return FLAG_OF | FLAG_AF | FLAG_CF;
	case 0xf6:
	case 0xf7: return reg < 2 ? FLAG_AF : reg < 4 ? 0 : reg < 6 ? status & ~(FLAG_CF | FLAG_OF) : status;
	}
	if (op < 0x40 || (op >= 0x80 && op <= 0x83))
		return alu == ALU_OR || alu == ALU_AND || alu == ALU_XOR ? FLAG_AF : 0;
	return 0;
}

static u64 undefined_flags(const struct insn *insn)
{
	u8 op = insn->opcode;
	u32 count;

	if (insn->map == 0)
		return undefined_one_byte(insn);
	switch (op) {
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
	case 0xba: return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF | FLAG_ZF;
	case 0xa4:
	case 0xac:
	case 0xa5:
	case 0xad:
		count = (op & 1 ? vcpu.gpr[GPR_RCX] : insn->imm) & 31;
		if (count > 8u * insn->opsize)
			return FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF;
		return count ? FLAG_AF | (count == 1 ? 0 : FLAG_OF) : 0;
	case 0xaf: return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
	case 0xbc:
	case 0xbd: return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF | FLAG_CF;
	default: return 0;
	}
}

/* Results that are not defined: SHLD and SHRD by more than 16 bits, BSWAP of 16. */
static bool has_open_result(const struct insn *insn)
{
	u8 op = insn->opcode;

	if (insn->map != 1 || insn->opsize != 2)
		return false;
	if (op >= 0xc8 && op <= 0xcf)
		return true;
	if (op == 0xa4 || op == 0xac)
		return (insn->imm & 31) > 16;
	return (op == 0xa5 || op == 0xad) && (vcpu.gpr[GPR_RCX] & 31) > 16;
}

/* --- states ------------------------------------------------------------------------------------- */

static u64 random_value(void)
{
	switch (host_random_below(5)) {
	case 0: return host_random_below(4);
	case 1: return (u32)(0 - host_random_below(4));
	case 2: return (u16)host_random();
	case 3: return 1u << host_random_below(32);
	default: return (u32)host_random();
	}
}

/* Addresses stay in memory: in real mode they do, but for 32-bit ones; no chain begins with many of those. */
static void random_state(void)
{
	reset_world(code_bits == 32 ? 32 : 0);
	for (u32 r = 0; r < 8; r++)
		vcpu.gpr[r] = host_random_below(3) ? (u16)random_value() : random_value();
	vcpu.gpr[GPR_RSP] = host_random_below(0x10000);
	if (code_bits == 32) {
		for (u32 r = 0; r < 8; r++)
			vcpu.gpr[r] = host_random_below(2) ? host_random_below(MEM_END) : vcpu.gpr[r];
		for (u32 i = 0; i <= SEG_GS; i++)
			segments[i].selector = 0; /* as Unicorn begins */
		vcpu.gpr[GPR_RSP] = 0x40000 + host_random_below(0x40000);
	} else {
		for (u32 i = 0; i <= SEG_GS; i++)
			set_real(i, (u16)(host_random_below(8) ? host_random_below(0x10000) :
								 0xf000 + host_random_below(0x1000)));
	}
	vcpu.rflags |= host_random() & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF | RFLAGS_DF);
}

/* Without the bytes that begin what is_left_out() keeps from Unicorn, for it translates code at the target of a branch. */
static void random_memory(void)
{
	for (u32 at = 0; at < MEM_END; at++) {
		u8 value = (u8)host_random();

		memory[at] = value == 0xff || value == 0xf0 || value == 0x0f || value == 0x8d ? 0x90 : value;
	}
	memcpy(theirs, memory, MEM_END);
}

/* Bytes of an instruction that both know, at most this long. */
static u32 random_instruction(u8 *bytes, struct insn *insn)
{
	static const u8 prefixes[] = {0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64,
				      0x65, 0xf2, 0xf3, 0xf0, 0x66, 0x67, 0xf3};

	for (;;) {
		u32 len = 0;

		while (len < 5 && host_random_below(3) == 0)
			bytes[len++] = prefixes[host_random_below(sizeof(prefixes))];
		if (host_random_below(3) == 0) {
			bytes[len++] = 0x0f;
			bytes[len++] = wide_opcodes[host_random_below(sizeof(wide_opcodes))];
		} else {
			bytes[len++] = opcodes[host_random_below(sizeof(opcodes))];
		}
		while (len < INSN_MAX)
			bytes[len++] = (u8)(host_random_below(4) ? host_random() : host_random_below(3) - 1);
		/* Of F2 and F3 the last one counts, to Unicorn F2. */
		if (memchr(bytes, 0xf2, 5) && memchr(bytes, 0xf3, 5))
			continue;
		if (insn_decode(insn, bytes, INSN_MAX, code_bits) == 0 && !is_left_out(insn))
			return insn->len;
	}
}

/* --- Unicorn -------------------------------------------------------------------------------------- */

static const int uc_gprs[8] = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX,
			       UC_X86_REG_ESP, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};
static const int uc_segments[6] = {UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS,
				   UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS};

static void load_unicorn(uc_engine *uc)
{
	u32 value;

	for (u32 i = 0; i < 6 && code_bits == 16; i++) {
		value = segments[i].selector;
		uc_reg_write(uc, uc_segments[i], &value);
	}
	for (u32 r = 0; r < 8; r++) {
		value = (u32)vcpu.gpr[r];
		uc_reg_write(uc, uc_gprs[r], &value);
	}
	value = (u32)vcpu.rflags;
	uc_reg_write(uc, UC_X86_REG_EFLAGS, &value);
}

static char failed[200];

static void describe(const u8 *bytes, u32 len)
{
	u32 at = (u32)snprintf(failed, sizeof(failed), "%u-bit ", code_bits);

	for (u32 n = 0; n < len; n++)
		at += (u32)snprintf(failed + at, sizeof(failed) - at, "%02x ", bytes[n]);
}

#define COMPARED_FLAGS \
	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF | RFLAGS_DF | RFLAGS_IF | RFLAGS_TF | RFLAGS_NT)

static void compare(uc_engine *uc, u64 undefined, const struct vcpu *before)
{
	u32 value;

	for (u32 r = 0; r < 8; r++) {
		uc_reg_read(uc, uc_gprs[r], &value);
		if (value != (u32)vcpu.gpr[r])
			fail_msg("%s: register %u is %x, should be %x, was %x", failed, r, (u32)vcpu.gpr[r], value,
				 (u32)before->gpr[r]);
	}
	uc_reg_read(uc, UC_X86_REG_EFLAGS, &value);
	if ((value ^ vcpu.rflags) & COMPARED_FLAGS & ~undefined)
		fail_msg("%s: flags %x, should be %x, were %x", failed, (u32)vcpu.rflags, value,
			 (u32)before->rflags);
	uc_reg_read(uc, UC_X86_REG_EIP, &value);
	if (value != vcpu.rip && value != (u32)(vcpu.rip + segments[SEG_CS].base))
		fail_msg("%s: ip %llx, should be %x", failed, (unsigned long long)vcpu.rip, value);
	for (u32 i = 0; i < 6 && code_bits == 16; i++) {
		value = 0;
		uc_reg_read(uc, uc_segments[i], &value);
		if (value != segments[i].selector || segments[i].base != value * 16u)
			fail_msg("%s: segment %u is %x, should be %x", failed, i, segments[i].selector, value);
	}
	for (u32 n = 0; n < MIN(write_count, WRITES_MAX); n++)
		for (u64 at = writes[n].at; at < writes[n].at + writes[n].len && at < MEM_END; at++)
			if (memory[at] != theirs[at])
				fail_msg("%s: byte at %llx is %02x, should be %02x", failed,
					 (unsigned long long)at, memory[at], theirs[at]);
}

/* All of it, now and then: what they wrote elsewhere. */
static void compare_memory(void)
{
	if (memcmp(memory, theirs, MEM_END) == 0)
		return;
	for (u32 at = 0; at < MEM_END; at++)
		if (memory[at] != theirs[at])
			fail_msg("up to %s: byte at %x is %02x, should be %02x", failed, at, memory[at], theirs[at]);
}

static u32 compared, raised;

/* Limits, which Unicorn does not know, and memory that is not there. */
static bool is_ours_alone(const struct insn *insn, const struct vcpu_event *event, uc_err err)
{
	bool undefined = event->type == EVENT_EXCEPTION && event->vector == VEC_UD;

	if (undefined && (insn->lock || (insn->map == 0 &&
					 (insn->opcode == 0x8f || insn->opcode == 0xc6 || insn->opcode == 0xc7))))
		return true;
	if (err == UC_ERR_READ_UNMAPPED || err == UC_ERR_WRITE_UNMAPPED || err == UC_ERR_FETCH_UNMAPPED)
		return true;
	return event->type == EVENT_EXCEPTION && (event->vector == VEC_GP || event->vector == VEC_SS);
}

static bool stays(uc_engine *uc, u32 at, u32 ip)
{
	u32 value;

	uc_reg_read(uc, UC_X86_REG_EIP, &value);
	return value == at || value == ip;
}

/* With what is known from the instruction before, or without. */
static bool goes_on;
static enum interpreted interpret(void)
{
	return goes_on ? interpret_some(&vcpu) : interpret_one(&vcpu);
}

/*
 * Where SP wraps Unicorn's RETF of real mode reads CS beyond 64 KiB, which no processor does, and its ENTER lets the borrow into the upper
 * half of the frame pointer that it pushes, which Bochs does not.
 */
static bool wraps_otherwise(const struct insn *insn, const struct vcpu *before)
{
	u32 sp = (u16)before->gpr[GPR_RSP];

	if (code_bits != 16 || insn->map)
		return false;
	return insn->opcode == 0xc8 ? sp < insn->opsize :
				      (insn->opcode & 0xfe) == 0xca && sp > 0x10000u - 2u * insn->opsize;
}

/* Unicorn gives up on an instruction that writes to itself. */
static bool writes_to_itself(u32 at, u32 len)
{
	for (u32 n = 0; n < MIN(write_count, WRITES_MAX); n++)
		if (writes[n].at < at + len && writes[n].at + writes[n].len > at)
			return true;
	return false;
}

/* One instruction; false: the chain ends. */
static bool one(uc_engine *uc)
{
	u8 bytes[INSN_MAX + 2];
	struct vcpu before;
	struct insn insn;
	u32 len = random_instruction(bytes, &insn), at, until;
	u64 undefined;
	uc_err err;

	vcpu.rip = 0x100 + host_random_below(0xf000);
	at = (u32)(segments[SEG_CS].base + vcpu.rip);
	if (is_string(&insn) && insn.prefix)
		vcpu.gpr[GPR_RCX] = host_random_below(REP_MAX);
	bytes[len] = 0xeb; /* Unicorn translates what is behind it, too: JMP to itself */
	bytes[len + 1] = 0xfe;
	memcpy(memory + at, bytes, len + 2);
	memcpy(theirs + at, bytes, len + 2);
	describe(bytes, len);
	undefined = undefined_flags(&insn);
	if (has_open_result(&insn))
		return true;
	vcpu.rflags &= ~RFLAGS_TF;
	before = vcpu;
	load_unicorn(uc);
	uc_ctl_remove_cache(uc, at, at + INSN_MAX);
	while (interpret() == INTERPRETED && vcpu.rip == before.rip && is_string(&insn))
		;
	if (wraps_otherwise(&insn, &before) || (!is_string(&insn) && writes_to_itself(at, len + 2))) {
		memcpy(theirs, memory, MEM_END);
		write_count = 0;
		return false;
	}
	/* Never without a count, or it forgets all that it has translated. It stops where we did: what lies there it does not translate, for it may give up on it. */
	until = vcpu.inject.type == EVENT_NONE ? (u32)(segments[SEG_CS].base + vcpu.rip) : at + len;
	err = uc_emu_start(uc, at, until, 0, is_string(&insn) && insn.prefix ? 1000 : 1);
	err = err == UC_ERR_OK && stays(uc, at, (u32)before.rip) ? UC_ERR_EXCEPTION : err;
	if (vcpu.inject.type != EVENT_NONE || err != UC_ERR_OK) {
		if (vcpu.inject.type == EVENT_NONE ?
			    vcpu.rip != before.rip && !is_ours_alone(&insn, &vcpu.inject, err) :
			    err == UC_ERR_OK && !is_ours_alone(&insn, &vcpu.inject, err))
			fail_msg("%s: event %u vector %u, Unicorn: %s", failed, vcpu.inject.type,
				 vcpu.inject.vector, uc_strerror(err));
		if (!is_string(&insn) && vcpu.inject.type != EVENT_NONE &&
		    memcmp(vcpu.gpr, before.gpr, sizeof(vcpu.gpr)))
			fail_msg("%s: half done", failed);
		raised++;
		memcpy(theirs, memory, MEM_END); /* those of a fault may differ in what comes before it */
		return false;
	}
	compare(uc, undefined, &before);
	compared++;
	write_count = 0;
	return true;
}

static uc_engine *new_unicorn(void)
{
	uc_engine *uc;

	assert_int_equal(uc_open(UC_ARCH_X86, code_bits == 16 ? UC_MODE_16 : UC_MODE_32, &uc), UC_ERR_OK);
	assert_int_equal(uc_ctl_set_cpu_model(uc, UC_CPU_X86_HASWELL), UC_ERR_OK);
	assert_int_equal(uc_mem_map_ptr(uc, 0, MEM_END, UC_PROT_ALL, theirs), UC_ERR_OK);
	return uc;
}

static void chain(uc_engine *uc)
{
	static u32 chains;

	random_state();
	known_forget(&vcpu);
	chains++;
	goes_on = chains % 4;
	ram_in_place = chains % 8;
	for (u32 i = 0; i < CHAIN; i++)
		if (!one(uc))
			break;
	compare_memory();
}

static void run(u32 bits)
{
	/* Further on Unicorn 2.0.1 ends the program in its translator ("tcg fatal error"). */
	u32 chains = getenv("UMBRA_LONG") ? 8 * CHAINS : CHAINS;
	uc_engine *uc;

	code_bits = bits;
	host_random_seed(bits);
	compared = raised = 0;
	uc = new_unicorn();
	random_memory();
	for (u32 n = 0; n < chains; n++)
		chain(uc);
	printf("%u-bit: %u instructions compared, %u raised\n", bits, compared, raised);
	assert_true(compared > 3 * CHAINS);
	uc_close(uc);
}

static void real_mode_is_as_unicorns(void **state)
{
	run(16);
}
static void protected_mode_is_as_unicorns(void **state)
{
	run(32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_mode_is_as_unicorns),
		cmocka_unit_test(protected_mode_is_as_unicorns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
