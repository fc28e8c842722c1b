/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that the emulator does not do by hand: the CPU executes them, with the
 * guest's registers, on a copy of the memory operand.
 */
#ifndef ARCH_X86_GUEST_EMULATE_BOUNCE_H
#define ARCH_X86_GUEST_EMULATE_BOUNCE_H

#include "arch/x86/guest/emulate_operand.h"

/* 0, -EFAULT, or -ENOSYS for what insn_shape.h does not list. */
MUST_CHECK int emu_bounce(struct emu *e);

#endif
