/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on the firmware's console and on the serial port. Where the
 * firmware's console already goes to that port the text is sent once.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "boot/serial.h"

/* Starts with the serial port that is found without options; turns the firmware's watchdog off. */
void console_init(void);

/* The boot entry's choice, or again after the ACPI tables have changed; one line where that is another port. */
void console_set_serial(const struct serial_option *option);

/* The port in use, for the core and the self-test; where it is, in words. */
const struct boot_uart *console_serial(void);
const char *console_serial_text(void);

/* As snprintf(), UTF-8; at most a line of 512 bytes. The firmware shows what it has a glyph for. */
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The one line that explains a failure. */
void console_error(const struct boot_error *error);

/* The firmware's console is gone: from now on the serial port alone. */
void console_leave_firmware(void);

#endif
