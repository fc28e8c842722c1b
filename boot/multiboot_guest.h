/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multiboot guest. The kernel's file stays in memory as it is; its segments
 * are copied out of it at the handoff, to addresses that the firmware may be
 * using until then. Modules are loaded whole, at page boundaries.
 */
#ifndef BOOT_MULTIBOOT_GUEST_H
#define BOOT_MULTIBOOT_GUEST_H

#include "boot/guest.h"

/* A guest for the entry, of which there is one at a time. Its open() reads the kernel's file. */
struct guest *multiboot_guest(const struct boot_entry *entry);

#endif
