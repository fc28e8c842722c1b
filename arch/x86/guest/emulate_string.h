/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulation of MOVS, CMPS, STOS, LODS, SCAS, with and without REP. */
#ifndef ARCH_X86_GUEST_EMULATE_STRING_H
#define ARCH_X86_GUEST_EMULATE_STRING_H

#include "arch/x86/guest/emulate_operand.h"

MUST_CHECK int emu_string(struct emu *e);

#endif
