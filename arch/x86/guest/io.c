/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses to trapped ports: done on the hardware in one piece, as the guest asked
 * for it, with the filters of all that it touches before or behind. String forms
 * are done one element at a time; RIP stays on the instruction until the count is
 * used up.
 */
#include "arch/x86/guest/io.h"

#include "arch/x86/guest/breakpoint.h"
#include "arch/x86/guest/emulate_memory.h"
#include "arch/x86/guest/hw.h"
#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/state.h"
#include "arch/x86/vendor.h"

static int add(struct vcpu *vcpu, struct io_trap trap)
{
	struct guest *g = guest_of(vcpu);

	if (g->io_traps == IO_TRAP_MAX)
		return -ENOSPC;
	g->io_trap[g->io_traps++] = trap;
	for (u32 i = 0; i < trap.count; i++)
		vcpu->vendor->set_io_intercept(vcpu, (u16)(trap.first + i), true);
	return 0;
}

int io_trap(struct vcpu *vcpu, u16 first, u16 count, io_filter_fn *filter)
{
	return add(vcpu, (struct io_trap){.first = first, .count = count, .filter = filter});
}

int io_trap_instead(struct vcpu *vcpu, u16 first, u16 count, io_instead_fn *instead)
{
	return add(vcpu, (struct io_trap){.first = first, .count = count, .instead = instead});
}

static bool touches(const struct io_trap *t, const struct io_access *access)
{
	return access->address < t->first + t->count && access->address + access->size > t->first;
}

/* Each filter once, though it has several ports there. */
static void filter_ports(struct vcpu *vcpu, const struct io_access *access, u64 *value)
{
	const struct guest *g = guest_of(vcpu);
	io_filter_fn *last = NULL;

	for (u32 i = 0; i < g->io_traps; i++) {
		const struct io_trap *t = &g->io_trap[i];

		if (!t->filter || t->filter == last || !touches(t, access))
			continue;
		last = t->filter;
		last(vcpu, access, value);
	}
}

static const struct io_trap *find_instead(const struct guest *g, const struct io_access *access)
{
	for (u32 i = 0; i < g->io_traps; i++)
		if (g->io_trap[i].instead && touches(&g->io_trap[i], access))
			return &g->io_trap[i];
	return NULL;
}

static void access_bytes(struct vcpu *vcpu, const struct io_trap *t, const struct io_access *access, u64 *value)
{
	for (u32 i = 0; i < access->size; i++) {
		u16 port = (u16)(access->address + i);
		u8 *byte = (u8 *)value + i;

		if ((u32)port - t->first < t->count)
			t->instead(vcpu, port, access->in, byte);
		else if (access->in)
			*byte = (u8)hw_in(port, 1);
		else
			hw_out(port, 1, *byte);
	}
}

static void access_ports(struct vcpu *vcpu, const struct io_access *access, u64 *value)
{
	const struct io_trap *instead = find_instead(guest_of(vcpu), access);

	if (unlikely(instead)) {
		access_bytes(vcpu, instead, access, value);
		return;
	}
	if (access->in)
		*value = hw_in((u16)access->address, access->size);
	filter_ports(vcpu, access, value);
	if (!access->in)
		hw_out((u16)access->address, access->size, (u32)*value);
}

static void port_access(struct vcpu *vcpu, u32 *value)
{
	const struct vcpu_exit *exit = &vcpu->exit;
	const struct io_access access = {.address = exit->port, .size = exit->io_size, .in = exit->io_in};
	struct spinlock *lock = &guest_of(vcpu)->shared->lock;
	u64 wide = *value;

	spin_lock(lock); /* what a filter knows of a register is in step with it */
	access_ports(vcpu, &access, &wide);
	spin_unlock(lock);
	*value = (u32)wide;
	breakpoint_note_port(vcpu, exit->port, access.size);
}

static void simple(struct vcpu *vcpu)
{
	u64 *rax = &vcpu->gpr[GPR_RAX];
	u32 size = vcpu->exit.io_size, value = insn_truncate(*rax, size);

	port_access(vcpu, &value);
	if (vcpu->exit.io_in) /* 32-bit results clear the upper half */
		*rax = size == 4 ? value : (*rax & ~(BIT(8 * size) - 1)) | insn_truncate(value, size);
	insn_skip(vcpu);
}

static void step_register(u64 *reg, s64 by, u32 addrsize)
{
	u64 next = insn_truncate(*reg + by, addrsize);

	*reg = addrsize == 2 ? (*reg & ~0xffffull) | next : next;
}

/* The memory side of one element; 0, or -EFAULT with an exception queued. */
static int string_element(struct vcpu *vcpu, const struct insn *insn)
{
	bool in = vcpu->exit.io_in;
	u32 size = vcpu->exit.io_size, value = 0;
	enum segment_name segment = in ? SEG_ES : insn_segment(insn);
	u64 *reg = &vcpu->gpr[in ? GPR_RDI : GPR_RSI];
	gva_t gva;
	int err;

	err = insn_linear(vcpu, segment, insn_truncate(*reg, insn->addrsize), size,
			  in ? SEGMENT_WRITE : SEGMENT_READ, &gva);
	if (!err && !in)
		err = emulate_read(vcpu, gva, &value, size);
	else if (!err)
		err = emulate_probe_write(vcpu, gva, size);
	if (err)
		return err;
	port_access(vcpu, &value);
	err = in ? emulate_write(vcpu, gva, &value, size) : 0;
	if (!err)
		step_register(reg, vcpu->rflags & RFLAGS_DF ? -(s64)size : size, insn->addrsize);
	return err;
}

static void string(struct vcpu *vcpu)
{
	u64 *count = &vcpu->gpr[GPR_RCX];
	struct insn insn;

	if (insn_fetch(vcpu, &insn))
		return;
	if (!vcpu->exit.io_rep) {
		if (string_element(vcpu, &insn) == 0)
			insn_advance(vcpu, insn.len);
		return;
	}
	if (insn_truncate(*count, insn.addrsize) && string_element(vcpu, &insn))
		return;
	if (insn_truncate(*count, insn.addrsize))
		step_register(count, -1, insn.addrsize);
	if (insn_truncate(*count, insn.addrsize))
		insn_repeat(vcpu);
	else
		insn_advance(vcpu, insn.len);
}

void io_handle(struct vcpu *vcpu)
{
	if (vcpu->exit.io_string)
		string(vcpu);
	else
		simple(vcpu);
}
