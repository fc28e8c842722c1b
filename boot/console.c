/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Screen through ConOut, serial through the UART's registers. While the
 * firmware drives the same UART for its own console, the UART is left alone.
 */
#include "boot/console.h"
#include "boot/uefi.h"
#include "boot/utf16.h"
#include "lib/printf.h"

#define LINE_MAX 512

static struct {
	struct serial_port serial;
	bool firmware_gone;
} console;

void console_set_serial(const struct serial_option *option)
{
	struct boot_uart before = console.serial.where;

	serial_give_back(&console.serial);
	serial_find(option, &console.serial);
	if (CompareMem(&before, &console.serial.where, sizeof(before)) != 0)
		console_print("umbra: serial log: %s\n", console.serial.text);
}

const struct boot_uart *console_serial(void)
{
	return &console.serial.where;
}

const char *console_serial_text(void)
{
	return console.serial.text;
}

bool console_serial_is_ours(void)
{
	return console.serial.uart.read && !console.serial.firmware_uses;
}

void console_end(void)
{
	serial_give_back(&console.serial);
}

void console_init(void)
{
	struct serial_option automatic = {.kind = SERIAL_AUTO};

	BS->SetWatchdogTimer(0, 0, 0, NULL);
	ST->ConOut->SetAttribute(ST->ConOut, EFI_TEXT_ATTR(EFI_LIGHTGRAY, EFI_BLACK));
	ST->ConOut->ClearScreen(ST->ConOut);
	serial_find(&automatic, &console.serial);
}

static void put_on_screen(const char *text)
{
	CHAR16 wide[2 * LINE_MAX + 1];
	UINTN n = 0;

	while (*text) {
		if (*text == '\n')
			wide[n++] = L'\r';
		wide[n++] = utf8_next_ucs2(&text);
	}
	wide[n] = 0;
	ST->ConOut->OutputString(ST->ConOut, wide);
}

static void put_on_serial(const char *text)
{
	for (; *text; text++)
		uart_put_char(&console.serial.uart, *text);
}

void console_print(const char *format, ...)
{
	char line[LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!console.firmware_gone)
		put_on_screen(line);
	if (console.firmware_gone || !console.serial.firmware_uses)
		put_on_serial(line);
}

void console_serial_put(const char *text)
{
	for (; *text; text++)
		uart_put(&console.serial.uart, (uint8_t)*text);
}

int console_serial_get(void)
{
	return uart_get(&console.serial.uart);
}

void console_error(const struct boot_error *error)
{
	console_print("umbra: error: %s\n", error->text);
}

void console_leave_firmware(void)
{
	console.firmware_gone = true;
}
