/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions without a memory operand that the CPU executes as those that have one (emulate_bounce.c): of x87, WAIT, EMMS,
 * XGETBV. None names a general register by ModRM, so that none reaches the hypervisor's stack pointer.
 */
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/interpret_group.h"
#include "arch/x86/vendor.h"
#include "lib/string.h"

#define WAIT 0x9bu
#define ESCAPE 0x0fu

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
		.on = !e->insn.map,
		.control = is_control(&e->insn),
		.cs = cs.selector,
		.rip = e->vcpu->rip,
		.modrm = 0xc0 | (e->insn.reg & 7) << 3 | (e->insn.rm & 7),
	};
}

int interpret_on_cpu(struct emu *e)
{
	struct execute x = {.flags = e->vcpu->rflags, .cr0 = e->vcpu->cr0, .cr4 = e->vcpu->cr4};

	if (e->insn.map)
		x.code[x.len++] = ESCAPE;
	x.code[x.len++] = e->insn.opcode;
	if (e->insn.has_modrm)
		x.code[x.len++] = 0xc0 | (e->insn.reg & 7) << 3 | (e->insn.rm & 7);
	memcpy(x.gpr, e->vcpu->gpr, sizeof(x.gpr));
	set_pointers(e, &x.x87);
	hw_execute(&x);
	/* With CR0.NE=0 the guest learns of a pending exception from its interrupt controller. */
	if (x.faulted && x.vector == VEC_MF && !(e->vcpu->cr0 & CR0_NE))
		return -EFAULT;
	if (x.faulted)
		return interpret_fault(e, x.vector, 0);
	x.gpr[GPR_RSP] = e->vcpu->gpr[GPR_RSP];
	memcpy(e->vcpu->gpr, x.gpr, sizeof(x.gpr));
	e->vcpu->rflags = x.flags;
	return 0;
}

int interpret_x87(struct emu *e)
{
	return e->insn.has_mem ? -ENOSYS : interpret_on_cpu(e);
}
