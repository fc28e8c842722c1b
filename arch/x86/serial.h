/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port of the log, which the boot loader has found (boot/serial.h). The guest may use it too. */
#ifndef ARCH_X86_SERIAL_H
#define ARCH_X86_SERIAL_H

#include "boot/boot_info.h"
#include "lib/types.h"

/* Registers in memory must be in the direct map: the boot loader's page tables have them, and memory_init()'s. */
void serial_init(const struct boot_uart *port);

/* Sends one byte; \n becomes CR LF. Nothing without a port. */
void serial_put(char c);

#endif
