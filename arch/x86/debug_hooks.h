/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the hypervisor asks debug/, which stands above it: one pointer, which is NULL unless the boot entry asks for a
 * monitor (docs/debugging.md, D1). Nothing here is looked at on the fast path.
 */
#ifndef ARCH_X86_DEBUG_HOOKS_H
#define ARCH_X86_DEBUG_HOOKS_H

#include "boot/boot_info.h"
#include "lib/types.h"

struct vcpu;

struct debug_hooks {
	/* Of a virtual CPU, on its processor, before it runs: the ports and pages that its guest has not. 0 or -ENOSPC. */
	int (*init_cpu)(struct vcpu *vcpu);
	/* In the handler of NMIs: true, it was the monitor's port, or may have been. Takes no lock. */
	bool (*nmi)(void);
	/* On the slow path behind a kick, with the guest's state in struct vcpu: stops here as long as a session lasts. */
	void (*look)(struct vcpu *vcpu);
	/* An EXIT_TIMER. */
	void (*timer)(struct vcpu *vcpu);
	/* An exception that exits: true, it is not the guest's. */
	bool (*exception)(struct vcpu *vcpu);
	/* While vcpu->stepped: an instruction was executed here, and earns these bits of DR6; what the guest shall have of them. */
	u64 (*emulated)(struct vcpu *vcpu, u64 dr6);
	/* While vcpu->stepped, at the end of an exit: an event may be under way. */
	void (*leaving)(struct vcpu *vcpu);
	/* The guest is at its end; returns if it shall end as without a monitor. shutdown: by a triple fault. */
	void (*died)(struct vcpu *vcpu, const char *why, bool shutdown);
};

/* NULL: off. */
extern const struct debug_hooks *debug_hooks;

/*
 * debug/start.c, called before the guest's processors and the shadow engine are made: opens the port and sets debug_hooks if the
 * options ask for it, with a line in the log.
 */
void debug_start(const struct boot_info *info, struct vcpu *boot);

#endif
