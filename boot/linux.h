/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Linux guest by the 64-bit entry of the Linux x86 boot protocol, or by the
 * 32-bit one where the kernel has no other: opened and checked, loaded into guest
 * RAM (linux.c), its boot_params and tables filled (linux_setup.c).
 *
 * A kernel that is not relocatable is read into a place of its own and copied to
 * its address when the firmware is gone, since that may be using the memory there.
 */
#ifndef BOOT_LINUX_H
#define BOOT_LINUX_H

#include "boot/guest.h"

/* A guest for the entry, of which there is one at a time. */
struct guest *linux_guest(const struct boot_entry *entry);

#endif
