/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens at each exit. */
#ifndef ARCH_X86_GUEST_EXITS_H
#define ARCH_X86_GUEST_EXITS_H

#include "arch/x86/guest/vcpu.h"

/* Handles vcpu->exit. */
void exit_dispatch(struct vcpu *vcpu);

#endif
