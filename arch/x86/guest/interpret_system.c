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
#include "arch/x86/guest/msr.h"
#include "arch/x86/vendor.h"

#define MSR_TSC_AUX 0xc0000103u

int interpret_exit(struct emu *e, enum exit_kind kind)
{
	e->vcpu->exit.kind = kind;
	e->vcpu->exit.insn_len = e->insn->len;
	e->done = true;
	exit_dispatch(e->vcpu);
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

static bool is_immediate_port(const struct insn *insn)
{
	return insn->opcode >= 0xe4 && insn->opcode <= 0xe7;
}

/* Of each four opcodes, bit 1 is the direction, bit 0 the width. One element of a string at a time. */
static int access_port(struct emu *e, bool string)
{
	struct vcpu_exit *exit = &e->vcpu->exit;

	if (!interpret_has_iopl(e))
		interpret_stop(e, ": the task's permissions for ports");
	exit->port = is_immediate_port(e->insn) ? (u8)e->insn->imm : (u16)e->vcpu->gpr[GPR_RDX];
	exit->io_size = (u8)e->size;
	exit->io_in = !(e->insn->opcode & 2);
	exit->io_string = string;
	exit->io_rep = string && e->insn->prefix;
	return interpret_exit(e, EXIT_IO);
}

/* --- MOV to and from control and debug registers -------------------------------------------------- */

static int move_control(struct emu *e, bool write)
{
	struct vcpu_exit *exit = &e->vcpu->exit;

	exit->operand_known = true;
	exit->cr = e->insn->reg;
	exit->gpr = e->insn->rm;
	if (write && exit->cr == 2) {
		e->vcpu->cr2 = (u32)e->vcpu->gpr[exit->gpr];
		return interpret_check_privilege(e);
	}
	return privileged_exit(e, write ? EXIT_CR_WRITE : EXIT_CR_READ);
}

static int clear_task_switched(struct emu *e)
{
	e->vcpu->exit.operand_known = e->vcpu->exit.clts = true;
	return privileged_exit(e, EXIT_CR_WRITE);
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
	if (write)
		debug_register_write(vcpu, (u32)n, (u32)vcpu->gpr[e->insn->rm]);
	else
		emu_set_reg(e, e->insn->rm, 4, debug_register_read(vcpu, (u32)n));
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
	case 0x6c ... 0x6f: return access_port(e, true);
	case 0xe4 ... 0xe7: case 0xec ... 0xef: return access_port(e, false);
	case 0xf4: return halt(e);
	case 0xfa: case 0xfb: return set_interrupts(e, e->insn->opcode & 1);
	default: return -ENOSYS;
	}
}
/* clang-format on */
