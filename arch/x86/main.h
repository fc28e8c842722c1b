/* SPDX-License-Identifier: BSD-2-Clause */
/* The C entry of the core. */
#ifndef ARCH_X86_MAIN_H
#define ARCH_X86_MAIN_H

#include "lib/types.h"

/* Called by entry.asm on the boot CPU's stack; boot_info_hpa: struct boot_info. */
NORETURN void core_main(u64 boot_info_hpa);

#endif
