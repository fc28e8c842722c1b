/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UARTs that are PCI devices: serial cards (class 07/00) with their registers in BAR 0, on ports or
 * in memory, and those of Intel's chipsets (LPSS: class 07/80 or 11/80), in memory, 32 bits each.
 * Section numbers are of the PCI Local Bus Specification 3.0. Pure functions over a configuration space.
 */
#ifndef BOOT_UART_PCI_H
#define BOOT_UART_PCI_H

#include <stdbool.h>

#include "boot/boot_info.h"

/* Configuration space by 32 bits. where: bus << 8 | device << 3 | function; at: a multiple of 4. */
struct pci_config {
	uint32_t (*read)(uint32_t where, uint32_t at);
	void (*write)(uint32_t where, uint32_t at, uint32_t value);
};

/* The UART of that function, which then answers at its BAR. False: none that is known, or its BAR has no address. */
bool uart_of_pci(const struct pci_config *config, uint32_t where, struct boot_uart *uart);

/* The first serial card by number; LPSS UARTs are not among these, since one cannot tell what they are wired to. */
bool uart_of_first_card(const struct pci_config *config, uint32_t *where, struct boot_uart *uart);

#endif
