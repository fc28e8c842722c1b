/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor's lines of the self-test's report. */
#ifndef BOOT_SELFTEST_CPU_H
#define BOOT_SELFTEST_CPU_H

#include "boot/selftest_block.h"

/* The processor and its virtualisation as it is bare. */
void selftest_describe_cpu(struct selftest_block *block);

#endif
