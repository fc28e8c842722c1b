/* SPDX-License-Identifier: BSD-2-Clause */
/* See execute.h. The host's tests run this file and execute.asm as they are. */
#include "arch/x86/execute.h"

#include "lib/log.h"
#include "lib/string.h"

#define RET 0xc3u
#define ARITHMETIC_FLAGS (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(7) | BIT(11))

/* The instruction that runs now, for execute_fault(). One at a time: the caller has a lock. */
static u64 running;

void execute_prepare(struct execute *e, u8 *page, struct execute_bounce *bounce)
{
	u8 *data = bounce->bytes + e->align;
	s32 disp = (s32)(s64)(uintptr_t)data;

	BUG_ON((u64)(s64)disp != (u64)(uintptr_t)data);
	if (e->disp_at)
		memcpy(e->code + e->disp_at, &disp, sizeof(disp));
	if (e->rdi_is_data)
		e->gpr[GPR_RDI] = (u64)(uintptr_t)data;
	memcpy(data, e->area ? e->area : e->data, e->area ? EXECUTE_AREA : sizeof(e->data));
	memcpy(page, e->code, e->len);
	page[e->len] = RET;
	e->at = (u64)(uintptr_t)page;
	e->data_at = (u64)(uintptr_t)data;
}

void execute_run(struct execute *e)
{
	u64 flags = e->flags, result;

	e->flags = (flags & ARITHMETIC_FLAGS) | RFLAGS_FIXED;
	running = e->at;
	result = execute_enter(e);
	running = 0;
	e->faulted = result != EXECUTE_NO_FAULT;
	e->vector = (u8)result;
	e->flags = e->faulted ? flags : (flags & ~ARITHMETIC_FLAGS) | (e->flags & ARITHMETIC_FLAGS);
}

void execute_finish(struct execute *e, const struct execute_bounce *bounce)
{
	memcpy(e->area ? e->area : e->data, bounce->bytes + e->align, e->area ? EXECUTE_AREA : sizeof(e->data));
}

bool execute_fault(u8 vector, u64 *rip)
{
	if (!running || *rip != running)
		return false;
	switch (vector) {
	case VEC_DE:
	case VEC_UD:
	case VEC_NM:
	case VEC_GP:
	case VEC_MF:
	case VEC_AC:
	case VEC_XM: *rip = (u64)(uintptr_t)execute_faulted; return true;
	default: return false;
	}
}

/* --- x87 ---------------------------------------------------------------------- */

/* FNSTENV in 64-bit code, SDM vol. 1 figure 8-9. */
struct x87_environment {
	u32 control, status, tag, fip;
	u16 fcs, opcode;
	u32 fdp;
	u32 fds;
};
_Static_assert(sizeof(struct x87_environment) == 28, "SDM vol. 1 section 8.1.10");

/* FXSAVE64, SDM vol. 1 table 10-2. */
struct fxsave_area {
	u8 head[8];
	u64 fip, fdp;
	u8 rest[488];
} ALIGNED(16);
_Static_assert(sizeof(struct fxsave_area) == 512, "SDM vol. 1 section 10.5.1");

/* The pointers with their upper halves, which the environment has no room for. */
static void set_wide_pointers(u64 fip, u64 fdp)
{
	struct fxsave_area area;

	asm volatile("fxsave64 %0" : "=m"(area));
	area.fip = fip;
	area.fdp = fdp;
	asm volatile("fxrstor64 %0" : : "m"(area));
}

/* What FXSAVE64 saved, if it did: AMD's saves pointers only with an exception pending. */
static u64 wide_pointer(u64 saved, u32 pointer)
{
	return (u32)saved == pointer ? saved : pointer;
}

/* All exceptions but #P, which comes after the store (SDM vol. 1 section 8.5). */
#define X87_BEFORE_STORE 0x1fu

/* Bits 10:0: the opcode's lower 3 bits and ModRM. */
static u16 opcode_of(const struct execute *e)
{
	const u8 *opcode = e->disp_at ? &e->code[e->disp_at - 3] : e->code;

	return (opcode[0] & 7) << 8 | opcode[1];
}

/*
 * Only what this instruction has set is changed: some CPUs keep no selectors, or set operand and opcode only with an
 * exception (SDM vol. 1 sections 8.1.8 and 8.1.9); what an earlier instruction has set stays, with its upper halves.
 * AMD's FXRSTOR takes pointers only with an exception pending (APM vol. 2 section 11.4.4), FLDENV always does.
 */
void execute_x87_end(struct execute *e)
{
	struct execute_x87 *x = &e->x87;
	struct fxsave_area area;
	struct x87_environment env;
	u64 fip, fdp;

	if (!x->on || x->control || e->faulted)
		return;
	area.fip = area.fdp = 0;
	asm volatile("fxsave64 %0" : "+m"(area));
	asm volatile("fnstenv %0" : "=m"(env));
	fip = wide_pointer(area.fip, env.fip);
	fdp = wide_pointer(area.fdp, env.fdp);
	x->not_stored = env.status & ~env.control & X87_BEFORE_STORE;
	if (env.fip == (u32)e->at) {
		fip = x->rip;
		if (env.fcs)
			env.fcs = x->cs;
		if (env.opcode == opcode_of(e))
			env.opcode = (env.opcode & 0x700) | x->modrm;
	}
	if (env.fdp == (u32)e->data_at) {
		fdp = x->offset;
		if (env.fds)
			env.fds = x->segment;
	}
	env.fip = (u32)fip;
	env.fdp = (u32)fdp;
	asm volatile("fldenv %0" : : "m"(env));
	if ((fip | fdp) >> 32)
		set_wide_pointers(fip, fdp);
}
