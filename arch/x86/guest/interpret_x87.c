/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions without a memory operand that the CPU executes as those that have one (emulate_bounce.c): of x87, WAIT, EMMS,
 * XGETBV, RDRAND. None is executed with a general register of the guest's choice, so that none reaches the hypervisor's stack pointer.
 */
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

#define WAIT 0x9bu
#define ESCAPE 0x0fu
#define RANDOM 0xc7u

/* FNINIT, FNCLEX, FNSTSW AX and WAIT leave the last instruction's pointers alone. */
static bool is_control(const struct insn *insn)
{
	u8 modrm = 0xc0 | (insn->reg & 7) << 3 | (insn->rm & 7);

	return insn->map || insn->opcode == WAIT || (insn->opcode == 0xdb && modrm >= 0xe0 && modrm < 0xe8) ||
	       (insn->opcode == 0xdf && modrm == 0xe0);
}

static void set_pointers(struct emu *e, struct execute_x87 *x)
{
	struct segment cs;

	e->vcpu->vendor->get_segment(e->vcpu, SEG_CS, &cs);
	*x = (struct execute_x87){
		.on = !e->insn->map,
		.control = is_control(e->insn),
		.cs = cs.selector,
		.rip = e->vcpu->rip,
		.modrm = 0xc0 | (e->insn->reg & 7) << 3 | (e->insn->rm & 7),
	};
}

static int execute(struct emu *e, struct execute *x)
{
	memcpy(x->gpr, e->vcpu->gpr, sizeof(x->gpr));
	x->flags = e->vcpu->rflags;
	x->cr0 = e->vcpu->cr0;
	x->cr4 = e->vcpu->cr4;
	hw_execute(x);
	if (x->faulted) /* #MF with CR0.NE=0, too: docs/hardware.md */
		return interpret_fault(e, x->vector, 0);
	e->vcpu->rflags = x->flags;
	return 0;
}

int interpret_on_cpu(struct emu *e)
{
	struct execute x = {.len = 0};
	int err;

	if (e->insn->map)
		x.code[x.len++] = ESCAPE;
	x.code[x.len++] = e->insn->opcode;
	if (e->insn->has_modrm)
		x.code[x.len++] = 0xc0 | (e->insn->reg & 7) << 3 | (e->insn->rm & 7);
	set_pointers(e, &x.x87);
	err = execute(e, &x);
	if (err)
		return err;
	x.gpr[GPR_RSP] = e->vcpu->gpr[GPR_RSP];
	memcpy(e->vcpu->gpr, x.gpr, sizeof(x.gpr));
	return 0;
}

/* RDRAND, RDSEED: of EAX, whatever register the guest's is. A processor that lacks them says #UD. */
static int random_number(struct emu *e)
{
	struct execute x = {.code = {ESCAPE, e->insn->opcode, (u8)(0xc0 | (e->insn->reg & 7) << 3)}, .len = 3};
	int err;

	if (e->insn->prefix) /* RDPID */
		return interpret_undefined(e);
	err = execute(e, &x);
	if (!err)
		emu_set_reg(e, e->insn->rm, e->insn->opsize, x.gpr[GPR_RAX]);
	return err;
}

int interpret_x87(struct emu *e)
{
	if (e->insn->has_mem)
		return -ENOSYS;
	return e->insn->map && e->insn->opcode == RANDOM ? random_number(e) : interpret_on_cpu(e);
}
