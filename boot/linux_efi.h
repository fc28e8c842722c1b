/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Linux kernel's own EFI stub would have asked the firmware for before it is left, in the form that the
 * stub gives it, so that a kernel started by its 64-bit entry has no less (drivers/firmware/efi/libstub):
 *
 *   random seed of EFI_RNG_PROTOCOL, TPM event log of EFI_TCG2_PROTOCOL    configuration tables
 *   option ROMs of PCI devices                                             setup_data of type SETUP_PCI
 *
 * What the firmware has no protocol for is left out; nothing here is a reason not to start the guest.
 */
#ifndef BOOT_LINUX_EFI_H
#define BOOT_LINUX_EFI_H

#include "boot/uefi.h"

/* Reads the three and installs the tables. Allocates. */
void linux_efi_install(void);

/* The address of the list of setup_data; 0: there is none. */
uint64_t linux_efi_setup_data(void);

/* On the way back to the firmware, before the memory is given back: without these tables, as before. */
void linux_efi_uninstall(void);

#endif
