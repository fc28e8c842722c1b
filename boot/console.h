/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on the firmware's console and on the serial port. Where the
 * firmware's console already goes to that port the text is sent once.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "boot/serial.h"

/* Starts with the serial port that is found without options; turns the firmware's watchdog off and clears the screen of the firmware's logo. */
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

/*
 * The serial port by itself, for a menu there: whether it is ours, since there is
 * one and the firmware's console does not go to it; text as it is; the next byte
 * that came, or -1.
 */
bool console_serial_is_ours(void);
void console_serial_put(const char *text);
int console_serial_get(void);

/* Back to the firmware: its drivers may have the port again. */
void console_end(void);

/* The firmware's console is gone: from now on the serial port alone. */
void console_leave_firmware(void);

#endif
