/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions of the system. Those that exit from a guest that the hardware runs go to the handlers of these exits (exits.h), with
 * the same description of it.
 */
#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/cpuid.h"
#include "arch/x86/guest/debug_move.h"
#include "arch/x86/guest/debug_registers.h"
#include "arch/x86/guest/exits.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/guest/io.h"
#include "arch/x86/guest/known.h"
#include "arch/x86/guest/msr.h"
#include "arch/x86/vendor.h"

#define MSR_TSC_AUX 0xc0000103u
#define TSS32_BUSY 11u
#define COST_HANDLER 20u /* interpret.h */

int interpret_exit(struct emu *e, enum exit_kind kind)
{
	e->vcpu->exit.kind = kind;
	e->vcpu->exit.insn_len = e->insn->len;
	e->done = true;
	e->vcpu->interpreted += COST_HANDLER;
	exit_dispatch(e->vcpu);
	known_forget(e->vcpu);
	return 0;
}

int interpret_check_privilege(struct emu *e)
{
	return e->vcpu->cpl ? interpret_fault(e, VEC_GP, 0) : 0;
}

static int privileged_exit(struct emu *e, enum exit_kind kind)
{
	int err = interpret_check_privilege(e);

	return err ? err : interpret_exit(e, kind);
}

/* --- ports ------------------------------------------------------------------------------------- */

#define IOMAP_AT 0x66u /* in a 32-bit TSS, SDM vol. 3 figure 7-2 */

/* A bit for each port, in the task-state segment; those beyond its limit are not the task's (SDM vol. 1 section 19.5.2). */
static int check_port_map(struct emu *e, u16 port, u32 size)
{
	struct segment buf;
	const struct segment *tr = known_segment(e->vcpu, SEG_TR, &buf);
	u32 where;
	u16 at, bits;
	int err;

	if ((tr->attributes & DESCRIPTOR_TYPE) != TSS32_BUSY || tr->limit < IOMAP_AT + 1)
		return interpret_fault(e, VEC_GP, 0);
	err = system_read(e->vcpu, (u32)(tr->base + IOMAP_AT), &at, sizeof(at));
	if (err)
		return err;
	where = at + port / 8u;
	if (where + 1 > tr->limit)
		return interpret_fault(e, VEC_GP, 0);
	err = system_read(e->vcpu, (u32)(tr->base + where), &bits, sizeof(bits));
	if (!err && bits >> port % 8 & (BIT(size) - 1))
		return interpret_fault(e, VEC_GP, 0);
	return err;
}

static int check_port(struct emu *e, u16 port)
{
	return likely(interpret_has_iopl(e)) ? 0 : check_port_map(e, port, e->size);
}

/* Bit 3: the port is in DX; bit 1: out. */
int interpret_port(struct emu *e)
{
	u16 port = e->insn->opcode & 8 ? (u16)e->vcpu->gpr[GPR_RDX] : (u8)e->insn->imm;
	bool in = !(e->insn->opcode & 2);
	u32 value = (u32)emu_reg(e, GPR_RAX, e->size);
	int err = check_port(e, port);

	if (err)
		return err;
	io_port(e->vcpu, port, e->size, in, &value);
	if (in)
		emu_set_reg(e, GPR_RAX, e->size, value);
	return 0;
}

/* INS, OUTS: one element at a time. */
static int string_port(struct emu *e)
{
	struct vcpu_exit *exit = &e->vcpu->exit;
	int err;

	exit->port = (u16)e->vcpu->gpr[GPR_RDX];
	exit->io_size = (u8)e->size;
	exit->io_in = !(e->insn->opcode & 2);
	exit->io_string = true;
	exit->io_rep = e->insn->prefix;
	err = check_port(e, exit->port);
	return err ? err : interpret_exit(e, EXIT_IO);
}

/* --- MOV to and from control and debug registers -------------------------------------------------- */

static int move_control(struct emu *e, bool write)
{
	struct vcpu_exit *exit = &e->vcpu->exit;
	int err = interpret_check_privilege(e);

	if (err)
		return err;
	if (write && e->insn->reg == 2) {
		e->vcpu->cr2 = (u32)e->vcpu->gpr[e->insn->rm];
		return 0;
	}
	exit->operand_known = true;
	exit->cr = e->insn->reg;
	exit->gpr = e->insn->rm;
	return interpret_exit(e, write ? EXIT_CR_WRITE : EXIT_CR_READ);
}

static int clear_task_switched(struct emu *e)
{
	int err = interpret_check_privilege(e);

	if (err)
		return err;
	e->vcpu->exit.operand_known = e->vcpu->exit.clts = true;
	return interpret_exit(e, EXIT_CR_WRITE);
}

static int move_debug(struct emu *e, bool write)
{
	struct vcpu *vcpu = e->vcpu;
	int n, err = interpret_check_privilege(e);

	if (err)
		return err;
	n = debug_move_register(vcpu, e->insn->reg & 7);
	if (n < 0)
		return n;
	if (write) {
		debug_register_write(vcpu, (u32)n, (u32)vcpu->gpr[e->insn->rm]);
		known_forget(vcpu);
	} else {
		emu_set_reg(e, e->insn->rm, 4, debug_register_read(vcpu, (u32)n));
	}
	return 0;
}

/* --- the rest --------------------------------------------------------------------------------------- */

static int set_interrupts(struct emu *e, bool on)
{
	u64 *flags = &e->vcpu->rflags;

	if (!interpret_has_iopl(e))
		return interpret_fault(e, VEC_GP, 0);
	e->shadow = on && !(*flags & RFLAGS_IF);
	*flags = on ? *flags | RFLAGS_IF : *flags & ~RFLAGS_IF;
	return 0;
}

static int halt(struct emu *e)
{
	e->halted = true;
	return interpret_check_privilege(e);
}

int interpret_time_stamp(struct emu *e, bool with_number)
{
	u64 ticks = __builtin_ia32_rdtsc(), number;

	if (e->vcpu->cpl && e->vcpu->cr4 & CR4_TSD)
		return interpret_fault(e, VEC_GP, 0);
	if (with_number) {
		if (!cpuid_has(e->vcpu, CPUID_LEAF_EXT1, CPUID_EDX, CPUIDE1_EDX_RDTSCP) ||
		    msr_guest_read(e->vcpu, MSR_TSC_AUX, &number))
			return interpret_undefined(e);
		emu_set_reg(e, GPR_RCX, 4, number);
	}
	emu_set_reg(e, GPR_RAX, 4, ticks);
	emu_set_reg(e, GPR_RDX, 4, ticks >> 32);
	return 0;
}

/* In real mode there are no privileges to change; in protected mode they begin and end elsewhere than here. */
static int fast_call(struct emu *e)
{
	bool intel = e->insn->opcode >= 0x34;

	if (interpret_is_real(e))
		return intel ? interpret_fault(e, VEC_GP, 0) : interpret_undefined(e);
	return -ENOSYS;
}

/* clang-format off */
static int behind_0f(struct emu *e)
{
	switch (e->insn->opcode) {
	case 0x05: case 0x07: case 0x34: case 0x35: return fast_call(e);
	case 0x06: return clear_task_switched(e);
	case 0x08: case 0x09: return privileged_exit(e, EXIT_INVD); /* WBINVD is what the handler does for either */
	case 0x20: case 0x22: return move_control(e, e->insn->opcode & 2);
	case 0x21: case 0x23: return move_debug(e, e->insn->opcode & 2);
	case 0x30: return privileged_exit(e, EXIT_MSR_WRITE);
	case 0x31: return interpret_time_stamp(e, false);
	case 0x32: return privileged_exit(e, EXIT_MSR_READ);
	case 0x33: return interpret_fault(e, VEC_GP, 0); /* no counter is there */
	case 0xa2: return interpret_exit(e, EXIT_CPUID);
	default: return -ENOSYS;
	}
}

int interpret_system(struct emu *e)
{
	if (e->insn->map == 1)
		return behind_0f(e);
	switch (e->insn->opcode) {
	case 0x6c ... 0x6f: return string_port(e);
	case 0xf4: return halt(e);
	case 0xfa: case 0xfb: return set_interrupts(e, e->insn->opcode & 1);
	default: return -ENOSYS;
	}
}
/* clang-format on */
