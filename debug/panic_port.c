/* SPDX-License-Identifier: BSD-2-Clause */
/* See panic_port.h. The guest ends behind the exit, where no lock is held and every other processor can be stopped. */
#include "debug/panic_port.h"

#include "arch/x86/guest/processors.h"
#include "arch/x86/guest/stop.h"
#include "arch/x86/percpu.h"

/* What it can be told of. Of a panic that a crash kernel follows (bit 1) it is not told: that one has its own dump. */
#define PANICKED 0x01u

static bool panicked[PROCESSORS_MAX]; /* each written and read by its processor alone */

void panic_port_access(struct vcpu *vcpu, u16 port, bool in, u8 *byte)
{
	if (in) {
		*byte = PANICKED;
	} else if (*byte & PANICKED) {
		panicked[vcpu->id] = true;
		this_cpu()->looks = true;
	}
}

void panic_port_look(struct vcpu *vcpu)
{
	if (panicked[vcpu->id])
		guest_stop(vcpu, "the guest's kernel has panicked");
}
