/* SPDX-License-Identifier: BSD-2-Clause */
/* Which boot entry: loader.conf and the entries of all volumes read, the menu if it is wanted. */
#ifndef BOOT_CHOOSE_H
#define BOOT_CHOOSE_H

#include "boot/entry.h"
#include "boot/file.h"

#define CHOOSE_FOLDER "/loader/entries"

/*
 * Reads them. image is Umbra itself, own the volume that it was started from, whose
 * loader.conf alone counts; both stay in use until choose_end(). Else an EFI
 * error with error set.
 */
EFI_STATUS choose_begin(EFI_HANDLE image, struct boot_volume *own, struct boot_error *error);

/*
 * The entry to be booted, which is not broken, and its volume, opened. failed is NULL or says
 * why the one that was chosen before could not be booted; the menu shows it. Else an EFI
 * error with error set: EFI_ABORTED when the user left the menu.
 */
EFI_STATUS choose(const struct boot_entry **entry, struct boot_volume *volume,
		  const struct boot_error *failed, struct boot_error *error);

/* Whether the menu has been there, to which an error goes back. */
bool choose_has_menu(void);

/* Frees the entries. */
void choose_end(void);

#endif
