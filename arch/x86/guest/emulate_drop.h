/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores that are not executed on a copy (emulate_bounce.h), but that hidden memory need not take either. */
#ifndef ARCH_X86_GUEST_EMULATE_DROP_H
#define ARCH_X86_GUEST_EMULATE_DROP_H

#include "arch/x86/guest/emulate_operand.h"

/*
 * EVEX, FXSAVE, XSAVE: stores of up to thousands of bytes that change no register or flag, so where all that one may
 * write to is hidden there is nothing to do. 0; -EFAULT; -ENOSYS: another instruction, or part of its operand
 * lies elsewhere.
 */
MUST_CHECK int emu_drop_store(struct emu *e);

#endif
