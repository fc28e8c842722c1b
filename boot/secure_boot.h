/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Secure Boot (UEFI specification section 32): while it is on, nothing that this image starts has the processor unless the firmware,
 * or shim, has found its signature good. secure_policy.c says what cannot be had then; secure_boot.c asks.
 */
#ifndef BOOT_SECURE_BOOT_H
#define BOOT_SECURE_BOOT_H

#include "boot/entry.h"
#include "boot/options.h"

/* Of an entry and its options, whose files and lines nobody has signed; false: error says what is wrong and what to do. */
bool secure_boot_allows(const struct boot_entry *entry, const struct umbra_options *options,
			struct boot_error *error);

#ifdef _EFI_INCLUDE_
#include "boot/file.h"

/* image: this one, on whose behalf files are verified. Tells the console if Secure Boot is on. */
void secure_boot_begin(EFI_HANDLE image);
bool secure_boot_is_on(void);

/*
 * A kernel or a unified kernel image, the whole file: with Secure Boot it is read into memory, verified there, and all that is read
 * of it from then on is that memory (memory_free_all() gives it back). False: error says so.
 */
bool secure_boot_verify(struct boot_file *file, struct boot_volume *volume, struct boot_error *error);
#endif

#endif
