/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UART that the firmware names for an operating system's console: the ACPI tables SPCR
 * (Serial Port Console Redirection, revisions 1 to 4) and DBG2 (Debug Port Table 2),
 * Microsoft's specifications. Pure functions over a table whose checksum is right.
 *
 * Taken are the kinds that are a 16550 with other addresses: 0x00 (16550), 0x01 (16450, or 16550
 * of DBGP), 0x05 (16550 in 32 bits), 0x12 (16550 as its address structure says), 0x14 (Intel's LPSS).
 */
#ifndef BOOT_UART_TABLES_H
#define BOOT_UART_TABLES_H

#include <stdbool.h>

#include "boot/boot_info.h"

/* False: the table names no UART of these kinds, or makes no sense. The speed is left as it is. */
bool uart_of_spcr(const uint8_t *table, uint32_t length, struct boot_uart *uart);

/* The same of the first such device in the table. */
bool uart_of_dbg2(const uint8_t *table, uint32_t length, struct boot_uart *uart);

/* Whether a UART may have its registers there: within I/O space, or within what can be mapped. */
bool uart_place_is_good(const struct boot_uart *uart);

#endif
