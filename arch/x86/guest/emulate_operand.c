/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers and the r/m operand of an emulated instruction. */
#include "arch/x86/guest/emulate_operand.h"

#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/known.h"

void emu_set_reg(struct emu *e, u8 reg, u32 size, u64 value)
{
	u64 *p = &e->vcpu->gpr[reg], mask = size == 1 ? 0xff : 0xffff;

	if (emu_is_high_byte(e, reg, size)) {
		p = &e->vcpu->gpr[reg - 4];
		*p = (*p & ~0xff00ull) | (value & 0xff) << 8;
	} else if (size >= 4) {
		*p = insn_truncate(value, size);
	} else {
		*p = (*p & ~mask) | (value & mask);
	}
}

int emu_locate(struct emu *e, u32 size, enum segment_access access)
{
	int err;

	if (e->checked == size && (e->checked_for == access || e->checked_for == SEGMENT_WRITE))
		return 0;
	err = insn_linear(e->vcpu, insn_segment(e->insn), e->offset, size, access, &e->gva);
	if (err)
		return err;
	e->checked = size;
	e->checked_for = access;
	return 0;
}

int emu_read_rm_slow(struct emu *e, u64 *value, enum segment_access access)
{
	int err = emu_locate(e, e->size, access);

	if (!err && access == SEGMENT_WRITE)
		err = emulate_probe_write(e->vcpu, e->gva, e->size);
	if (!err)
		err = emulate_read(e->vcpu, e->gva, value, e->size);
	e->loaded = *value;
	return err;
}

int emu_write_rm_slow(struct emu *e, u64 value)
{
	int err = emu_locate(e, e->size, SEGMENT_WRITE);

	if (!err && unlikely(emu_is_locked(e)))
		return emulate_exchange(e->vcpu, e->gva, &e->loaded, &value, e->size);
	return err ? err : emulate_write(e->vcpu, e->gva, &value, e->size);
}
