/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FXSAVE and FXRSTOR outside 64-bit code (SDM vol. 1 section 10.5): the CPU executes them on an area of the hypervisor's, of which the
 * guest's memory gets, or gives, what there is outside 64-bit code. XMM8 to XMM15 are not, so a load of them keeps what they are.
 */
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/interpret_group.h"
#include "lib/string.h"

#define ALIGNMENT 16u
#define SAVED 288u /* up to XMM7 */
#define PIECE 32u
#define FXSAVE 0u
#define FXRSTOR 1u
#define COST_AREA 40u /* interpret.h */
_Static_assert(SAVED % PIECE == 0 && ALIGNMENT < PIECE, "pieces");

/* FXSAVE or FXRSTOR with the area's address behind ModRM and SIB. */
static int on_cpu(struct emu *e, u32 which, u8 *area)
{
	struct execute x = {
		.code = {0x0f, 0xae, (u8)(which << 3 | 4), 0x25},
		.len = 8,
		.disp_at = 4,
		.area = area,
		.flags = e->vcpu->rflags,
		.cr0 = e->vcpu->cr0,
		.cr4 = e->vcpu->cr4,
	};

	hw_execute(&x);
	return x.faulted ? interpret_fault(e, x.vector, 0) : 0;
}

static int save(struct emu *e, u8 *area)
{
	int err = 0;

	for (u32 at = 0; at < SAVED && !err; at += PIECE)
		err = emulate_probe_write(e->vcpu, e->gva + at, PIECE);
	if (!err)
		err = on_cpu(e, FXSAVE, area);
	for (u32 at = 0; at < SAVED && !err; at += PIECE)
		err = emulate_write(e->vcpu, e->gva + at, area + at, PIECE);
	return err;
}

static int restore(struct emu *e, u8 *area)
{
	int err = on_cpu(e, FXSAVE, area);

	for (u32 at = 0; at < SAVED && !err; at += PIECE)
		err = emulate_read(e->vcpu, e->gva + at, area + at, PIECE);
	return err ? err : on_cpu(e, FXRSTOR, area);
}

int interpret_state(struct emu *e)
{
	u32 which = e->insn->reg & 7;
	u8 area[EXECUTE_AREA] ALIGNED(ALIGNMENT);
	int err;

	if (!e->insn->has_mem || which > FXRSTOR || e->insn->prefix || e->insn->lock)
		return -ENOSYS;
	if (e->vcpu->cr0 & (CR0_EM | CR0_TS))
		return interpret_fault(e, VEC_NM, 0);
	err = emu_locate(e, EXECUTE_AREA, which == FXSAVE ? SEGMENT_WRITE : SEGMENT_READ);
	if (err)
		return err;
	if (e->gva % ALIGNMENT)
		return interpret_fault(e, VEC_GP, 0);
	e->vcpu->interpreted += COST_AREA;
	return which == FXSAVE ? save(e, area) : restore(e, area);
}
