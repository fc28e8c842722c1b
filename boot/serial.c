/* SPDX-License-Identifier: BSD-2-Clause */
/* See serial.h. */
#include "boot/serial.h"
#include "boot/acpi_find.h"
#include "boot/config_table.h"
#include "boot/memory.h"
#include "boot/uart_pci.h"
#include "boot/uart_tables.h"
#include "lib/printf.h"

#include <efipciio.h>

/* ACPI device path node of a PC's serial port; _UID counts from 0 */
#define EISA_PNP0501 0x050141d0u

/* Messages to processors (SDM vol. 3 section 10.11.1): no device's registers. */
#define MESSAGES_BASE 0xfee00000ull
#define MESSAGES_END 0xfef00000ull

/* Configuration mechanism 1: PCI Local Bus Specification 3.0, section 3.2.2.3.2 */
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u

static void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static uint32_t in32(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint32_t config_read(uint32_t where, uint32_t at)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | where << 8 | at);
	return in32(CONFIG_DATA);
}

static void config_write(uint32_t where, uint32_t at, uint32_t value)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | where << 8 | at);
	out32(CONFIG_DATA, value);
}

static const struct pci_config config = {config_read, config_write};

/* --- does the firmware's console go there? ---------------------------------------- */

/* Of a device path whose device is a PCI function: is the UART that function's? */
static bool pci_path_has(EFI_DEVICE_PATH *path, const struct boot_uart *uart)
{
	EFI_GUID pci_guid = EFI_PCI_IO_PROTOCOL_GUID;
	UINTN segment, bus, device, function;
	EFI_PCI_IO_PROTOCOL *pci;
	struct boot_uart found;
	EFI_HANDLE handle;

	return !EFI_ERROR(BS->LocateDevicePath(&pci_guid, &path, &handle)) &&
	       !EFI_ERROR(BS->HandleProtocol(handle, &pci_guid, (void **)&pci)) &&
	       !EFI_ERROR(pci->GetLocation(pci, &segment, &bus, &device, &function)) &&
	       segment == 0 &&
	       uart_of_pci(&config, (uint32_t)(bus << 8 | device << 3 | function), &found) &&
	       found.base == uart->base && found.space == uart->space;
}

/* One device path: an ACPI serial port at these ports, or a PCI function, with a UART node behind it. */
static bool path_has(EFI_DEVICE_PATH *path, const struct boot_uart *uart)
{
	EFI_DEVICE_PATH *node;
	uint64_t port = 0;

	for (node = path; node && !IsDevicePathEndType(node); node = NextDevicePathNode(node)) {
		ACPI_HID_DEVICE_PATH *acpi = (ACPI_HID_DEVICE_PATH *)node;

		if ((UINTN)DevicePathNodeLength(node) < sizeof(*node))
			return false;
		if (DevicePathType(node) == ACPI_DEVICE_PATH &&
		    DevicePathSubType(node) == ACPI_DP && acpi->HID == EISA_PNP0501)
			port = acpi->UID < 4 ? serial_com(acpi->UID).base : 0;
		else if (DevicePathType(node) == MESSAGING_DEVICE_PATH &&
			 DevicePathSubType(node) == MSG_UART_DP)
			return port ? uart->space == BOOT_UART_PORTS && uart->base == port :
				      pci_path_has(path, uart);
	}
	return false;
}

/* The handles that the firmware's console is made of carry this protocol GUID. */
static bool firmware_console_has(const struct boot_uart *uart)
{
	EFI_GUID console_out = {
		0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;
	bool found;

	found = path_has(DevicePathFromHandle(ST->ConsoleOutHandle), uart);
	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &console_out, NULL, &count, &handles)))
		return found;
	for (i = 0; i < count && !found; i++)
		found = path_has(DevicePathFromHandle(handles[i]), uart);
	BS->FreePool(handles);
	return found;
}

/*
 * A driver of the firmware's may still look at the port for keys, though its console
 * is elsewhere, and take every other byte: it is stopped as long as the port is ours.
 */
static void take_from_drivers(const struct boot_uart *uart, bool take)
{
	EFI_GUID serial_io = SERIAL_IO_PROTOCOL;
	EFI_HANDLE *handles = NULL;
	UINTN count = 0, i;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &serial_io, NULL, &count, &handles)))
		return;
	for (i = 0; i < count; i++) {
		if (!path_has(DevicePathFromHandle(handles[i]), uart))
			continue;
		if (take)
			BS->DisconnectController(handles[i], NULL, NULL);
		else
			BS->ConnectController(handles[i], NULL, NULL, TRUE);
	}
	BS->FreePool(handles);
}

/* --- the choice --------------------------------------------------------------------- */

/* What a table or an option says may be wrong: memory is never taken for registers. */
static bool may_be_device(const struct boot_uart *uart)
{
	uint64_t page = uart->base & ~(PAGE_BYTES - 1);
	struct boot_error ignored;
	struct firmware_map fw;
	bool ram;

	if (uart->space != BOOT_UART_MEMORY)
		return true;
	if (page >= MESSAGES_BASE && page < MESSAGES_END)
		return false;
	if (!firmware_map_init(&fw, &ignored))
		return false;
	ram = map_ram_from(&fw.map, page) > page;
	memory_free(fw.buffer);
	return !ram;
}

static bool open_port(struct serial_port *port, const struct boot_uart *where)
{
	struct uart *uart = &port->uart;

	if (!may_be_device(where))
		return false;
	if (where->space == BOOT_UART_PORTS)
		uart_on_ports(uart, (uint16_t)where->base, where->stride);
	else
		uart_in_memory(uart, at_address(where->base), where->stride, where->width);
	if (!uart_answers(uart)) {
		uart->read = NULL;
		return false;
	}
	port->where = *where;
	return true;
}

static void describe(struct serial_port *port, const char *source)
{
	const struct boot_uart *where = &port->where;

	if (where->space == BOOT_UART_PORTS)
		snprintf(port->text, sizeof(port->text), "at I/O port 0x%x (%s)",
			 (unsigned int)where->base, source);
	else
		snprintf(port->text, sizeof(port->text), "at 0x%llx, %u bits every %u bytes (%s)",
			 (unsigned long long)where->base, where->width * 8, where->stride, source);
}

static bool find_in_tables(struct serial_port *port)
{
	uint64_t rsdp = config_table_rsdp();
	struct boot_uart where;
	const uint8_t *table;
	uint32_t length;

	table = acpi_find_table(config_table_bytes, rsdp, "SPCR", &length);
	if (table && uart_of_spcr(table, length, &where) && open_port(port, &where)) {
		describe(port, "SPCR");
		return true;
	}
	table = acpi_find_table(config_table_bytes, rsdp, "DBG2", &length);
	if (!table || !uart_of_dbg2(table, length, &where) || !open_port(port, &where))
		return false;
	describe(port, "DBG2");
	return true;
}

static void find_automatically(struct serial_port *port)
{
	struct boot_uart com1 = serial_com(0);

	if (find_in_tables(port))
		return;
	if (open_port(port, &com1))
		describe(port, "COM1");
	else
		snprintf(port->text, sizeof(port->text),
			 "none: no SPCR or DBG2 names one, and COM1 does not answer");
}

static void find_on_pci(struct serial_port *port, uint32_t where)
{
	bool any = where == SERIAL_PCI_FIRST;
	struct boot_uart uart;
	char source[16];

	if (any ? !uart_of_first_card(&config, &where, &uart) : !uart_of_pci(&config, where, &uart)) {
		snprintf(port->text, sizeof(port->text), "none: %s",
			 any ? "there is no PCI serial card" :
			       "that PCI device is no UART that Umbra knows");
		return;
	}
	snprintf(source, sizeof(source), "PCI %02x:%02x.%x", where >> 8, where >> 3 & 31, where & 7);
	if (open_port(port, &uart))
		describe(port, source);
	else
		snprintf(port->text, sizeof(port->text), "none: %s does not answer", source);
}

void serial_find(const struct serial_option *option, struct serial_port *port)
{
	*port = (struct serial_port){.firmware_uses = false};
	switch (option->kind) {
	case SERIAL_AUTO: find_automatically(port); break;
	case SERIAL_PCI: find_on_pci(port, option->pci); break;
	case SERIAL_UART:
		if (open_port(port, &option->uart))
			describe(port, "option");
		else
			snprintf(port->text, sizeof(port->text), "none: at 0x%llx no UART answers",
				 (unsigned long long)option->uart.base);
		break;
	default: snprintf(port->text, sizeof(port->text), "none (option)");
	}
	port->where.baud = option->baud;
	if (port->where.space == BOOT_UART_NONE)
		return;
	port->firmware_uses = firmware_console_has(&port->where);
	if (port->firmware_uses)
		return;
	take_from_drivers(&port->where, true);
	uart_start(&port->uart, option->baud);
}

void serial_give_back(const struct serial_port *port)
{
	if (port->where.space != BOOT_UART_NONE && !port->firmware_uses)
		take_from_drivers(&port->where, false);
}
