/* SPDX-License-Identifier: BSD-2-Clause */
/* Which boot entry: loader.conf and the entries of all volumes read, the menu if it is wanted. */
#ifndef BOOT_CHOOSE_H
#define BOOT_CHOOSE_H

#include "boot/entry.h"
#include "boot/file.h"

#define CHOOSE_FOLDER "/loader/entries"

/*
 * The entry to be booted, in memory of the loader's; it is not broken. volume is
 * the one that Umbra was started from, whose loader.conf alone counts; afterwards
 * it is the entry's. Else an EFI error with error set: EFI_ABORTED when the user left
 * the menu.
 */
EFI_STATUS choose(const struct boot_entry **entry, struct boot_volume *volume,
		  struct boot_error *error);

#endif
