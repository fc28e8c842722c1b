/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The emulator for instructions whose memory operand is not plain RAM. The
 * integer instructions that compilers and kernels use on device registers, and those that use the
 * stack, are done by hand; all others that load or store up to 32 bytes are executed by the CPU on a copy
 * (emulate_bounce.h). Every instruction writes memory first and its registers and flags last, so that a
 * fault leaves nothing half done.
 */
#include "arch/x86/guest/emulate.h"

#include "arch/x86/guest/alu.h"
#include "arch/x86/guest/emulate_bits.h"
#include "arch/x86/guest/emulate_bounce.h"
#include "arch/x86/guest/emulate_drop.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/emulate_operand.h"
#include "arch/x86/guest/emulate_stack.h"
#include "arch/x86/guest/emulate_string.h"
#include "arch/x86/guest/inject.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/insn_shape.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/guest/stop.h"
#include "lib/log.h"
#include "lib/printf.h"

/* ADD to CMP with r/m as the destination. */
static NOINLINE int alu_to_rm(struct emu *e, enum alu_op op, u64 operand)
{
	u64 flags = e->vcpu->rflags, value, result;
	int err = op == ALU_CMP ? emu_read_rm(e, &value) : emu_read_rm_to_write(e, &value);

	if (err)
		return err;
	result = alu_binary(op, e->size, value, operand, &flags);
	err = op == ALU_CMP ? 0 : emu_write_rm(e, result);
	if (!err)
		e->vcpu->rflags = flags;
	return err;
}

static NOINLINE int alu_to_reg(struct emu *e, enum alu_op op)
{
	u64 value, result;
	int err = emu_read_rm(e, &value);

	if (err)
		return err;
	result = alu_binary(op, e->size, emu_reg(e, e->insn->reg, e->size), value, &e->vcpu->rflags);
	if (op != ALU_CMP)
		emu_set_reg(e, e->insn->reg, e->size, result);
	return 0;
}

static int test(struct emu *e, u64 operand)
{
	u64 value;
	int err = emu_read_rm(e, &value);

	if (!err)
		alu_binary(ALU_AND, e->size, value, operand, &e->vcpu->rflags);
	return err;
}

static int exchange(struct emu *e)
{
	u64 value;
	int err = emu_read_rm_to_write(e, &value);

	if (!err)
		err = emu_write_rm(e, emu_reg(e, e->insn->reg, e->size));
	if (!err)
		emu_set_reg(e, e->insn->reg, e->size, value);
	return err;
}

static int load(struct emu *e)
{
	u64 value;
	int err = emu_read_rm(e, &value);

	if (!err)
		emu_set_reg(e, e->insn->reg, e->size, value);
	return err;
}

int emu_move(struct emu *e)
{
	return e->insn->opcode & 2 ? load(e) : emu_write_rm(e, emu_reg(e, e->insn->reg, e->size));
}

/* MOVZX, MOVSX, MOVSXD: e->size is the source's. */
static int load_extended(struct emu *e, bool is_signed)
{
	u32 shift = 64 - 8 * e->size;
	u64 value;
	int err = emu_read_rm(e, &value);

	if (err)
		return err;
	if (is_signed)
		value = (s64)(value << shift) >> shift;
	emu_set_reg(e, e->insn->reg, e->insn->opsize, value);
	return 0;
}

/* A register, its bytes swapped, to or from memory. */
static int move_swapped(struct emu *e, bool store)
{
	u32 shift = 64 - 8 * e->size;
	u64 value;
	int err;

	if (store)
		return emu_write_rm(e, __builtin_bswap64(emu_reg(e, e->insn->reg, e->size) << shift));
	err = emu_read_rm(e, &value);
	if (!err)
		emu_set_reg(e, e->insn->reg, e->size, __builtin_bswap64(value << shift));
	return err;
}

/* A1 and its kin: the accumulator and an absolute address. */
static int move_accumulator(struct emu *e, bool store)
{
	u64 value;
	int err;

	if (store)
		return emu_write_rm(e, emu_reg(e, GPR_RAX, e->size));
	err = emu_read_rm(e, &value);
	if (!err)
		emu_set_reg(e, GPR_RAX, e->size, value);
	return err;
}

/* AL is the index into a table of bytes at DS:rBX. */
static int translate_byte(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;
	enum segment_name segment = e->insn->segment == INSN_NO_REG ? SEG_DS : e->insn->segment;
	u64 offset = insn_truncate(vcpu->gpr[GPR_RBX] + (u8)vcpu->gpr[GPR_RAX], e->insn->addrsize);
	u8 value = 0;
	gva_t gva;
	int err = insn_linear(vcpu, segment, offset, 1, SEGMENT_READ, &gva);

	if (!err)
		err = emulate_read(vcpu, gva, &value, 1);
	if (!err)
		vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & ~0xffull) | value;
	return err;
}

static int store_segment(struct emu *e)
{
	struct segment s;

	if ((e->insn->reg & 7) > SEG_GS)
		return -ENOSYS;
	e->vcpu->vendor->get_segment(e->vcpu, e->insn->reg & 7, &s);
	e->size = sizeof(s.selector);
	return emu_write_rm(e, s.selector);
}

static int shift(struct emu *e, u32 count)
{
	u64 flags = e->vcpu->rflags, value;
	int err = emu_read_rm_to_write(e, &value);

	if (err)
		return err;
	err = emu_write_rm(e, alu_shift(e->insn->reg & 7, e->size, value, count, &flags));
	if (!err)
		e->vcpu->rflags = flags;
	return err;
}

enum unary { UNARY_NOT, UNARY_NEG, UNARY_INC, UNARY_DEC };

static int unary(struct emu *e, enum unary op)
{
	u64 flags = e->vcpu->rflags, value;
	int err = emu_read_rm_to_write(e, &value);

	if (err)
		return err;
	switch (op) {
	case UNARY_NOT: value = ~value; break;
	case UNARY_NEG: value = alu_negate(e->size, value, &flags); break;
	case UNARY_INC: value = alu_increment(e->size, value, &flags); break;
	case UNARY_DEC: value = alu_decrement(e->size, value, &flags); break;
	}
	err = emu_write_rm(e, value);
	if (!err)
		e->vcpu->rflags = flags;
	return err;
}

static int group3(struct emu *e)
{
	switch (e->insn->reg & 7) {
	case 0:
	case 1: return test(e, e->insn->imm);
	case 2: return unary(e, UNARY_NOT);
	case 3: return unary(e, UNARY_NEG);
	default: return -ENOSYS;
	}
}

static int group5(struct emu *e)
{
	switch (e->insn->reg & 7) {
	case 0: return unary(e, UNARY_INC);
	case 1: return unary(e, UNARY_DEC);
	case 2: return e->insn->opcode == 0xff ? emu_call_rm(e) : -ENOSYS;
	case 4: return e->insn->opcode == 0xff ? emu_jump_rm(e) : -ENOSYS;
	case 6: return e->insn->opcode == 0xff ? emu_push_rm(e) : -ENOSYS;
	default: return -ENOSYS;
	}
}

#define RFLAGS_PUSHED (~(RFLAGS_RF | RFLAGS_VM))

int emu_alu(struct emu *e)
{
	u8 op = e->insn->opcode;

	switch (op & 7) {
	case 0:
	case 1: return alu_to_rm(e, op >> 3, emu_reg(e, e->insn->reg, e->size));
	case 2:
	case 3: return alu_to_reg(e, op >> 3);
	default: return -ENOSYS;
	}
}

/* clang-format off */
int emu_execute_one_byte(struct emu *e)
{
	const struct insn *insn = e->insn;

	if (insn->opcode < 0x40)
		return emu_alu(e);
	switch (insn->opcode) {
	case 0x50 ... 0x57: return emu_push_value(e, emu_stack_size(e), e->vcpu->gpr[insn->rm]);
	case 0x58 ... 0x5f: return emu_pop_reg(e);
	case 0x63:
		e->size = 4;
		return e->bits == 64 ? load_extended(e, true) : -ENOSYS;
	case 0x68: case 0x6a: return emu_push_value(e, emu_stack_size(e), insn->imm);
	case 0x80 ... 0x83: return alu_to_rm(e, insn->reg & 7, insn->imm);
	case 0x84: case 0x85: return test(e, emu_reg(e, insn->reg, e->size));
	case 0x86: case 0x87: return exchange(e);
	case 0x88 ... 0x8b: return emu_move(e);
	case 0x8c: return store_segment(e);
	case 0x8f: return insn->reg & 7 ? -ENOSYS : emu_pop_rm(e);
	case 0x9c: return emu_push_value(e, emu_stack_size(e), e->vcpu->rflags & RFLAGS_PUSHED);
	case 0xa0 ... 0xa3: return move_accumulator(e, insn->opcode & 2);
	case 0xa4 ... 0xa7: case 0xaa ... 0xaf: return emu_string(e);
	case 0xc0: case 0xc1: return shift(e, insn->imm);
	case 0xc2: case 0xc3: return emu_ret(e);
	case 0xc6: case 0xc7: return insn->reg & 7 ? -ENOSYS : emu_write_rm(e, insn->imm);
	case 0xd0: case 0xd1: return shift(e, 1);
	case 0xd2: case 0xd3: return shift(e, e->vcpu->gpr[GPR_RCX]);
	case 0xc9: return emu_leave(e);
	case 0xd7: return translate_byte(e);
	case 0xe8: return emu_call(e, e->vcpu->rip + insn->len + insn->imm);
	case 0xf6: case 0xf7: return group3(e);
	case 0xfe: case 0xff: return group5(e);
	default: return -ENOSYS;
	}
}

static int execute_two_byte(struct emu *e)
{
	const struct insn *insn = e->insn;

	switch (insn->opcode) {
	case 0x90 ... 0x9f:
		e->size = 1;
		return emu_write_rm(e, alu_condition(insn->opcode & 15, e->vcpu->rflags));
	case 0xa3: case 0xab: case 0xb3: case 0xbb:
		e->size = insn->opsize;
		return emu_bit_test(e);
	case 0xba:
		e->size = insn->opsize;
		return insn->reg & 4 ? emu_bit_test(e) : -ENOSYS;
	case 0xb0: case 0xb1: return emu_cmpxchg(e);
	case 0xb6: case 0xb7: case 0xbe: case 0xbf:
		e->size = insn->opcode & 1 ? 2 : 1;
		return load_extended(e, insn->opcode & 8);
	case 0xc0: case 0xc1: return emu_xadd(e);
	case 0xc3:
		e->size = insn->w ? 8 : 4; /* in 16-bit code too: SDM vol. 2, MOVNTI */
		return insn->has_mem && !insn->prefix ? emu_write_rm(e, emu_reg(e, insn->reg, e->size)) : -ENOSYS;
	case 0xc7: return (insn->reg & 7) == 1 ? emu_cmpxchg_wide(e) : -ENOSYS;
	default: return -ENOSYS;
	}
}
/* clang-format on */

static int execute(struct emu *e)
{
	const struct insn *insn = e->insn;

	if (insn->encoding != INSN_LEGACY)
		return -ENOSYS;
	if (insn->map == 0)
		return emu_execute_one_byte(e);
	if (insn->map == 1)
		return execute_two_byte(e);
	if (insn->map == 2 && (insn->opcode == 0xf0 || insn->opcode == 0xf1) && insn->has_mem && !insn->prefix) {
		e->size = insn->opsize;
		return move_swapped(e, insn->opcode == 0xf1);
	}
	return -ENOSYS;
}

void emu_describe(const struct emu *e, char text[3 * INSN_MAX + 1])
{
	u8 bytes[INSN_MAX];

	text[0] = 0;
	if (insn_read_bytes(e->vcpu, bytes, e->insn->len))
		return;
	for (u32 i = 0; i < e->insn->len; i++)
		snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
}

/*
 * Whatever is not known (more than 32 bytes, state of the system, scattered elements), and no store that hidden memory need not
 * take, ends the guest with a line that says what it was.
 */
static NORETURN void stop_at_unknown(struct emu *e)
{
	struct vcpu *vcpu = e->vcpu;
	char text[3 * INSN_MAX + 1];

	emu_describe(e, text);
	guest_stop(vcpu, "instruction %sat %llx, on memory at %llx, is not emulated", text,
		   (unsigned long long)vcpu->rip, (unsigned long long)vcpu->mmio.fault.gpa.v);
}

/* Those that may have LOCK, with memory as their destination: SDM vol. 2, LOCK. */
bool emu_takes_lock(const struct insn *insn)
{
	u32 op = insn->opcode, reg = insn->reg & 7;

	if (!insn->has_mem || insn->encoding != INSN_LEGACY || insn->map > 1)
		return false;
	if (insn->map == 0) {
		if (op < 0x38)
			return (op & 7) < 2;
		return (op >= 0x80 && op <= 0x83 && reg != 7) || op == 0x86 || op == 0x87 ||
		       ((op == 0xf6 || op == 0xf7) && (reg == 2 || reg == 3)) || (op >= 0xfe && reg < 2);
	}
	return op == 0xab || op == 0xb3 || op == 0xbb || (op == 0xba && reg > 4) || op == 0xb0 || op == 0xb1 ||
	       op == 0xc0 || op == 0xc1 || (op == 0xc7 && reg == 1);
}

static bool is_undefined(const struct emu *e)
{
	const struct vcpu *vcpu = e->vcpu;

	if (e->insn->lock && !emu_takes_lock(e->insn))
		return true;
	return e->insn->encoding != INSN_LEGACY && (!(vcpu->cr0 & CR0_PE) || vcpu->rflags & RFLAGS_VM);
}

static int cache_hint(struct emu *e)
{
	int err = emu_locate(e, 1, SEGMENT_FLUSH);

	return err ? err : emulate_probe_read(e->vcpu, e->gva, 1);
}

int emu_prepare(struct emu *e)
{
	if (is_undefined(e)) {
		inject_ud(e->vcpu);
		return -EFAULT;
	}
	if (e->insn->has_mem)
		e->offset = insn_effective_offset(e->vcpu, e->insn);
	e->size = emu_operand_size(e->insn);
	return 0;
}

int emu_execute(struct emu *e)
{
	int err = execute(e);

	if (likely(err != -ENOSYS))
		return err;
	err = insn_is_cache_hint(e->insn) ? cache_hint(e) : emu_bounce(e);
	return err == -ENOSYS ? emu_drop_store(e) : err;
}

static int execute_insn(struct emu *e)
{
	int err = emu_prepare(e);

	if (!err)
		err = emu_execute(e);
	if (err == -ENOSYS)
		stop_at_unknown(e);
	return err;
}

/*
 * An event was being delivered when the CPU touched memory that is not RAM: a
 * stack or descriptor table in the hypervisor's memory or in the APIC page.
 * Nothing that returns can come of it: the delivery cannot be completed.
 */
static NORETURN void delivery_failed(struct vcpu *vcpu)
{
	log_error("guest: delivery of vector %u touches emulated memory at %llx\n", vcpu->exit.interrupted.vector,
		  (unsigned long long)vcpu->mmio.fault.gpa.v);
	guest_shutdown(vcpu);
}

static void finish(struct emu *e)
{
	if (e->again)
		insn_repeat(e->vcpu);
	else if (!e->branched)
		insn_advance(e->vcpu, e->insn->len);
}

void emulate_access(struct vcpu *vcpu)
{
	struct insn insn;
	struct emu e = {.vcpu = vcpu, .insn = &insn};

	if (vcpu->exit.interrupted.type != EVENT_NONE)
		delivery_failed(vcpu);
	if (insn_fetch(vcpu, &insn))
		return;
	e.bits = insn_code_bits(vcpu);
	vcpu->mmio.state = MMIO_EMULATED;
	vcpu->mmio.gva = vcpu->exit.gva;
	if (execute_insn(&e) == 0)
		finish(&e);
	vcpu->mmio.state = MMIO_NONE;
}
