/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as the firmware and the bare processor show it: the first part of the self-test's report. */
#ifndef BOOT_SELFTEST_MACHINE_H
#define BOOT_SELFTEST_MACHINE_H

#include "boot/memory.h"
#include "boot/selftest_block.h"

/* Appends the machine's lines, and fills in what the ACPI tables say: root pointer and reset register. */
void selftest_describe_machine(struct selftest_block *block, const struct efi_map *map);

#endif
