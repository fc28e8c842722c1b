/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ways in which a guest ends. */
#ifndef ARCH_X86_GUEST_STOP_H
#define ARCH_X86_GUEST_STOP_H

#include "arch/x86/guest/vcpu.h"

/*
 * The guest did something that the hypervisor can only end: prints the message,
 * the vendor's dump and the last exits, and stops this CPU for ever.
 */
NORETURN void guest_stop(struct vcpu *vcpu, const char *format, ...) PRINTF_LIKE(2, 3);

/* Shutdown by triple fault: the machine resets, as the hardware would. */
NORETURN void guest_shutdown(struct vcpu *vcpu);

#endif
