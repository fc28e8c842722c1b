/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Integer instructions whose operands are registers, or that the emulator leaves to the CPU: those of the one-byte map, and
 * those behind 0F.
 */
#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"

static u64 *flags_of(struct emu *e)
{
	return &e->vcpu->rflags;
}

/* --- one-byte map -------------------------------------------------------------------------- */

/* ADD to CMP of the accumulator and a constant. */
static int accumulator(struct emu *e)
{
	enum alu_op op = e->insn->opcode >> 3;
	u64 result = alu_binary(op, e->size, emu_reg(e, GPR_RAX, e->size), e->insn->imm, flags_of(e));

	if (op != ALU_CMP)
		emu_set_reg(e, GPR_RAX, e->size, result);
	return 0;
}

static int increment(struct emu *e, bool down)
{
	u32 size = e->insn->opsize;
	u64 value = emu_reg(e, e->insn->rm, size);

	emu_set_reg(e, e->insn->rm, size,
		    down ? alu_decrement(size, value, flags_of(e)) : alu_increment(size, value, flags_of(e)));
	return 0;
}

/* 90 is NOP, with F3 PAUSE: of the accumulator with itself. */
static int exchange_accumulator(struct emu *e)
{
	u32 size = e->insn->opsize;
	u64 value = emu_reg(e, e->insn->rm, size);

	if (e->insn->rm == GPR_RAX)
		return 0;
	emu_set_reg(e, e->insn->rm, size, emu_reg(e, GPR_RAX, size));
	emu_set_reg(e, GPR_RAX, size, value);
	return 0;
}

static int address(struct emu *e)
{
	if (!e->insn->has_mem)
		return interpret_undefined(e);
	emu_set_reg(e, e->insn->reg, e->insn->opsize, e->offset);
	return 0;
}

/* CBW, CWDE; CWD, CDQ */
static int convert(struct emu *e, bool to_rdx)
{
	u32 size = e->insn->opsize, from = to_rdx ? size : size / 2, shift = 64 - 8 * from;
	s64 value = (s64)(emu_reg(e, GPR_RAX, from) << shift) >> shift;

	if (to_rdx)
		emu_set_reg(e, GPR_RDX, size, value < 0 ? ~0ull : 0);
	else
		emu_set_reg(e, GPR_RAX, size, (u64)value);
	return 0;
}

#define AH_FLAGS (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF)

static int move_ah(struct emu *e, bool store)
{
	u64 *rax = &e->vcpu->gpr[GPR_RAX], *flags = flags_of(e);

	if (store)
		*flags = (*flags & ~AH_FLAGS) | (*rax >> 8 & AH_FLAGS);
	else
		*rax = (*rax & ~0xff00ull) | ((*flags & AH_FLAGS) | RFLAGS_FIXED) << 8;
	return 0;
}

static int set_flag(struct emu *e, u64 flag, bool on)
{
	*flags_of(e) = on ? *flags_of(e) | flag : *flags_of(e) & ~flag;
	return 0;
}

/* clang-format off */
int interpret_integer(struct emu *e)
{
	const struct insn *insn = e->insn;

	if (insn->opcode < 0x40)
		return accumulator(e);
	switch (insn->opcode) {
	case 0x40 ... 0x4f: return increment(e, insn->opcode & 8);
	case 0x8d: return address(e);
	case 0x90 ... 0x97: return exchange_accumulator(e);
	case 0x98: case 0x99: return convert(e, insn->opcode & 1);
	case 0x9e: case 0x9f: return move_ah(e, !(insn->opcode & 1));
	case 0xa8: case 0xa9: alu_binary(ALU_AND, e->size, emu_reg(e, GPR_RAX, e->size), insn->imm, flags_of(e)); return 0;
	case 0xb0 ... 0xb7: emu_set_reg(e, insn->rm, 1, insn->imm); return 0;
	case 0xb8 ... 0xbf: emu_set_reg(e, insn->rm, insn->opsize, insn->imm); return 0;
	case 0xd6: emu_set_reg(e, GPR_RAX, 1, *flags_of(e) & FLAG_CF ? 0xff : 0); return 0; /* SALC */
	case 0xf5: return set_flag(e, FLAG_CF, !(*flags_of(e) & FLAG_CF));
	case 0xf8: case 0xf9: return set_flag(e, FLAG_CF, insn->opcode & 1);
	case 0xfc: case 0xfd: return set_flag(e, RFLAGS_DF, insn->opcode & 1);
	default: return -ENOSYS;
	}
}
/* clang-format on */

/* --- behind 0F ------------------------------------------------------------------------------- */

static int move_if(struct emu *e)
{
	u64 value;
	int err;

	e->size = e->insn->opsize;
	err = emu_read_rm(e, &value);
	if (!err && alu_condition(e->insn->opcode & 15, *flags_of(e)))
		emu_set_reg(e, e->insn->reg, e->size, value);
	return err;
}

/* SHLD, SHRD; the count is an immediate, or CL. */
static int shift_double(struct emu *e)
{
	u32 count = (u32)(e->insn->opcode & 1 ? e->vcpu->gpr[GPR_RCX] : e->insn->imm) & 31;
	bool right = e->insn->opcode & 8;
	u64 flags = *flags_of(e), value;
	int err;

	e->size = e->insn->opsize;
	err = emu_read_rm_to_write(e, &value);
	if (err)
		return err;
	value = alu_shift_double(right, e->size, value, emu_reg(e, e->insn->reg, e->size), count, &flags);
	err = emu_write_rm(e, value);
	if (!err)
		*flags_of(e) = flags;
	return err;
}

/* TZCNT and LZCNT are BSF and BSR on a CPU that lacks them. */
static bool counts_zeros(struct emu *e)
{
	if (e->insn->prefix != 0xf3)
		return false;
	return e->insn->opcode & 1 ? cpuid_has(e->vcpu, CPUID_LEAF_EXT1, CPUID_ECX, CPUIDE1_ECX_LZCNT) :
				     cpuid_has(e->vcpu, 7, CPUID_EBX, CPUID7_EBX_BMI1);
}

/* BSF, BSR: of zero, the destination stays as it is, on every processor so far. */
static int scan_bits(struct emu *e)
{
	bool reverse = e->insn->opcode & 1, counts = counts_zeros(e);
	u64 flags = *flags_of(e) & ~(FLAG_ZF | (counts ? FLAG_CF : 0)), value;
	u32 width, n;
	int err;

	e->size = e->insn->opsize;
	width = 8 * e->size;
	err = emu_read_rm(e, &value);
	if (err)
		return err;
	n = !value ? width : reverse ? 63 - (u32)__builtin_clzll(value) : (u32)__builtin_ctzll(value);
	if (counts) {
		n = value && reverse ? width - 1 - n : n;
		flags |= (value ? 0 : FLAG_CF) | (n ? 0 : FLAG_ZF);
	} else if (!value) {
		flags |= FLAG_ZF;
	}
	if (value || counts)
		emu_set_reg(e, e->insn->reg, e->size, n);
	*flags_of(e) = flags;
	return 0;
}

static int count_bits(struct emu *e)
{
	u64 flags = *flags_of(e) & ~(FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_CF | FLAG_PF), value;
	u32 n = 0;
	int err;

	if (e->insn->prefix != 0xf3)
		return interpret_undefined(e);
	e->size = e->insn->opsize;
	err = emu_read_rm(e, &value);
	if (err)
		return err;
	for (; value; value &= value - 1)
		n++;
	emu_set_reg(e, e->insn->reg, e->size, n);
	*flags_of(e) = flags | (n ? 0 : FLAG_ZF);
	return 0;
}

/* Of 16 bits it is not defined: 0, as processors have it. */
static int swap_bytes(struct emu *e)
{
	u64 value = emu_reg(e, e->insn->rm, 4);

	emu_set_reg(e, e->insn->rm, e->insn->opsize, e->insn->opsize == 2 ? 0 : __builtin_bswap32((u32)value));
	return 0;
}

/* Fences have a register's ModRM. */
static int fence(struct emu *e)
{
	if (e->insn->has_mem || e->insn->prefix || (e->insn->reg & 7) < 5)
		return -ENOSYS;
	return 0;
}

/* clang-format off */
int interpret_wide(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x0d: case 0x18 ... 0x1f: return 0; /* PREFETCH and what is reserved for its like */
	case 0x40 ... 0x4f: return move_if(e);
	case 0xa4: case 0xa5: case 0xac: case 0xad: return shift_double(e);
	case 0xae: return e->insn->has_mem ? interpret_state(e) : fence(e);
	case 0xb8: return count_bits(e);
	case 0xbc: case 0xbd: return scan_bits(e);
	case 0xc8 ... 0xcf: return swap_bytes(e);
	default: return -ENOSYS;
	}
}
/* clang-format on */
