/* SPDX-License-Identifier: BSD-2-Clause */
/* The user's EFI drivers, such as for a file system that the firmware cannot read. */
#ifndef BOOT_DRIVERS_H
#define BOOT_DRIVERS_H

#include "boot/file.h"

#define DRIVERS_FOLDER "/EFI/umbra/drivers"

/*
 * Starts each *.efi of that folder, but those whose names end in another
 * architecture's (aa64.efi, ia32.efi and the like), and has the firmware offer them
 * all devices. One that cannot be started costs a line, which is given to tell().
 */
void drivers_start(EFI_HANDLE image, struct boot_volume *volume, void (*tell)(const char *line));

#endif
