/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Screen through ConOut, serial through the 16550's registers. While the
 * firmware drives the same UART for its own console, the UART is left alone.
 */
#include "boot/console.h"
#include "boot/options.h"
#include "boot/uefi.h"
#include "boot/utf16.h"
#include "lib/printf.h"

#define LINE_MAX 512
#define WAIT_LOOPS 200000

/* 16550 registers and bits */
enum {
	UART_DATA = 0,
	UART_IER = 1,
	UART_FCR = 2,
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_SCRATCH = 7
};
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define FCR_ENABLE_CLEAR 0x07
#define MCR_DTR_RTS 0x03
#define LSR_DATA_READY 0x01
#define LSR_THR_EMPTY 0x20

/* ACPI device path node of a PC's serial port; _UID counts from 0 */
#define EISA_PNP0501 0x050141d0u

static struct {
	uint16_t port;           /* 0: none */
	bool firmware_uses_port; /* ConOut reaches it */
	bool firmware_gone;
} console;

static void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static bool has_uart(uint16_t port)
{
	uint8_t saved = in8(port + UART_SCRATCH);
	bool found;

	out8(port + UART_SCRATCH, 0x5a);
	found = in8(port + UART_SCRATCH) == 0x5a;
	out8(port + UART_SCRATCH, saved);
	return found;
}

static void uart_init(uint16_t port, uint32_t baud)
{
	uint16_t divisor = (uint16_t)(115200 / baud);

	out8(port + UART_IER, 0);
	out8(port + UART_LCR, LCR_DLAB | LCR_8N1);
	out8(port + UART_DATA, (uint8_t)divisor);
	out8(port + UART_IER, (uint8_t)(divisor >> 8));
	out8(port + UART_LCR, LCR_8N1);
	out8(port + UART_FCR, FCR_ENABLE_CLEAR);
	out8(port + UART_MCR, MCR_DTR_RTS);
}

static void uart_put(char c)
{
	int loops;

	for (loops = 0; loops < WAIT_LOOPS; loops++)
		if (in8(console.port + UART_LSR) & LSR_THR_EMPTY)
			break;
	out8(console.port + UART_DATA, (uint8_t)c);
}

static uint16_t port_of_uid(uint32_t uid)
{
	static const uint16_t ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

	return uid < 4 ? ports[uid] : 0;
}

/* One device path: an ACPI serial port of that I/O port with a UART node behind it. */
static bool path_has_port(EFI_DEVICE_PATH *node, uint16_t port)
{
	uint16_t found = 0;

	for (; node && !IsDevicePathEndType(node); node = NextDevicePathNode(node)) {
		ACPI_HID_DEVICE_PATH *acpi = (ACPI_HID_DEVICE_PATH *)node;

		if ((UINTN)DevicePathNodeLength(node) < sizeof(*node))
			return false;
		if (DevicePathType(node) == ACPI_DEVICE_PATH &&
		    DevicePathSubType(node) == ACPI_DP && acpi->HID == EISA_PNP0501)
			found = port_of_uid(acpi->UID);
		else if (DevicePathType(node) == MESSAGING_DEVICE_PATH &&
			 DevicePathSubType(node) == MSG_UART_DP && found == port)
			return true;
	}
	return false;
}

/* The handles that the firmware's console is made of carry this protocol GUID. */
static bool firmware_console_has_port(uint16_t port)
{
	EFI_GUID console_out = {
		0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;
	bool found;

	found = path_has_port(DevicePathFromHandle(ST->ConsoleOutHandle), port);
	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &console_out, NULL, &count, &handles)))
		return found;
	for (i = 0; i < count && !found; i++)
		found = path_has_port(DevicePathFromHandle(handles[i]), port);
	BS->FreePool(handles);
	return found;
}

bool console_serial_is_ours(void)
{
	return console.port && !console.firmware_uses_port;
}

/*
 * A driver of the firmware's may still look at the port for keys, though its console
 * is elsewhere, and take every other byte: it is stopped as long as the port is ours.
 */
static void take_port_from_drivers(uint16_t port, bool take)
{
	EFI_GUID serial_io = SERIAL_IO_PROTOCOL;
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &serial_io, NULL, &count, &handles)))
		return;
	for (i = 0; i < count; i++) {
		if (!path_has_port(DevicePathFromHandle(handles[i]), port))
			continue;
		if (take)
			BS->DisconnectController(handles[i], NULL, NULL);
		else
			BS->ConnectController(handles[i], NULL, NULL, TRUE);
	}
	BS->FreePool(handles);
}

void console_set_serial(uint16_t port, uint32_t baud)
{
	console.port = port && has_uart(port) ? port : 0;
	if (!console.port)
		return;
	console.firmware_uses_port = firmware_console_has_port(port);
	if (console.firmware_uses_port)
		return;
	take_port_from_drivers(port, true);
	uart_init(port, baud);
}

void console_end(void)
{
	if (console_serial_is_ours())
		take_port_from_drivers(console.port, false);
}

void console_init(void)
{
	BS->SetWatchdogTimer(0, 0, 0, NULL);
	ST->ConOut->SetAttribute(ST->ConOut, EFI_TEXT_ATTR(EFI_LIGHTGRAY, EFI_BLACK));
	ST->ConOut->ClearScreen(ST->ConOut);
	console_set_serial(OPTIONS_SERIAL_PORT, OPTIONS_SERIAL_BAUD);
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
	for (; *text; text++) {
		if (*text == '\n')
			uart_put('\r');
		uart_put(*text);
	}
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
	if (console.port && (console.firmware_gone || !console.firmware_uses_port))
		put_on_serial(line);
}

void console_serial_put(const char *text)
{
	for (; *text; text++)
		uart_put(*text);
}

int console_serial_get(void)
{
	/* all bits set: nothing is there */
	uint8_t status = in8(console.port + UART_LSR);

	return status != 0xff && status & LSR_DATA_READY ? in8(console.port + UART_DATA) : -1;
}

void console_error(const struct boot_error *error)
{
	console_print("umbra: error: %s\n", error->text);
}

void console_leave_firmware(void)
{
	console.firmware_gone = true;
}
