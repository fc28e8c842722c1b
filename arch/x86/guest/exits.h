/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens at each exit, and the two ways in which a guest ends. */
#ifndef ARCH_X86_GUEST_EXITS_H
#define ARCH_X86_GUEST_EXITS_H

#include "arch/x86/guest/guest.h"

/* Handles vcpu->exit; afterwards the guest can be entered again. */
void exit_dispatch(struct vcpu *vcpu);

/* Shutdown by triple fault: the machine resets, as the hardware would. */
NORETURN void guest_shutdown(struct vcpu *vcpu);

#endif
