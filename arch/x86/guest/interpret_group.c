/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter's end: see interpret_group.h. */
#include "arch/x86/guest/interpret_group.h"

#include "arch/x86/guest/insn.h"
#include "arch/x86/guest/stop.h"

void interpret_stop(struct emu *e, const char *why)
{
	char text[3 * INSN_MAX + 1];

	emu_describe(e, text);
	guest_stop(e->vcpu, "instruction %sat %x:%llx, with CR0 %llx, is not interpreted%s", text,
		   insn_selector(e->vcpu, SEG_CS), (unsigned long long)e->vcpu->rip,
		   (unsigned long long)e->vcpu->cr0, why);
}
