/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a multiboot kernel is told: the information structure of version 1 with
 * what it points to, or the tags of version 2. Built into one block by a pure
 * function, again for each try to leave the firmware.
 */
#ifndef BOOT_MULTIBOOT_INFO_H
#define BOOT_MULTIBOOT_INFO_H

#include "boot/multiboot_write.h"

/* What the kernel finds in EAX. */
#define MULTIBOOT_MAGIC_1 0x2badb002u
#define MULTIBOOT_MAGIC_2 0x36d76289u

/*
 * Builds the block for address (8-byte aligned, below 4 GiB; out is where it can
 * be written). Returns its size; 0 if it needs more than max bytes.
 */
uint32_t multiboot_info_build(const struct multiboot_inputs *in, uint8_t *out, uint32_t address,
			      uint32_t max);

#endif
