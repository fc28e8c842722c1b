/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulation of BT and its kin, CMPXCHG, CMPXCHG8B/16B, XADD. */
#ifndef ARCH_X86_GUEST_EMULATE_BITS_H
#define ARCH_X86_GUEST_EMULATE_BITS_H

#include "arch/x86/guest/emulate_operand.h"

MUST_CHECK int emu_bit_test(struct emu *e);
MUST_CHECK int emu_cmpxchg(struct emu *e);
MUST_CHECK int emu_cmpxchg_wide(struct emu *e);
MUST_CHECK int emu_xadd(struct emu *e);

#endif
