/* SPDX-License-Identifier: BSD-2-Clause */
/* See uart_pci.h. */
#include "boot/uart_pci.h"
#include "boot/uart_tables.h"
#include "lib/uart.h"

/* Section 6.1 */
enum { PCI_ID = 0x00, PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER = 0x0c, PCI_BAR0 = 0x10 };
#define PCI_NOBODY 0xffffffffu
#define COMMAND_PORTS 1u
#define COMMAND_MEMORY 2u
#define COMMAND_BITS 0xffffu /* the status above them is cleared by ones */
#define HEADER_TYPE(dword) ((dword) >> 16 & 0x7f)
#define HEADER_SEVERAL (1u << 23)

/* Section 6.2.5.1 */
#define BAR_PORTS 1u
#define BAR_64_BITS 4u
#define BAR_TYPE 6u

#define CLASS_SERIAL 0x0700u
#define CLASS_LPSS_1 0x0780u
#define CLASS_LPSS_2 0x1180u
#define VENDOR_INTEL 0x8086u
#define FUNCTIONS_MAX 0x10000u

static uint32_t class_of(const struct pci_config *config, uint32_t where)
{
	return config->read(where, PCI_CLASS) >> 16;
}

static bool is_lpss(const struct pci_config *config, uint32_t where)
{
	uint32_t class = class_of(config, where);

	return (config->read(where, PCI_ID) & 0xffff) == VENDOR_INTEL &&
	       (class == CLASS_LPSS_1 || class == CLASS_LPSS_2);
}

static uint64_t base_of(const struct pci_config *config, uint32_t where, bool *ports)
{
	uint32_t bar = config->read(where, PCI_BAR0);
	uint64_t high = 0;

	*ports = bar & BAR_PORTS;
	if (*ports)
		return bar & ~3u;
	if ((bar & BAR_TYPE) == BAR_64_BITS)
		high = config->read(where, PCI_BAR0 + 4);
	return high << 32 | (bar & ~0xfu);
}

static void decode(const struct pci_config *config, uint32_t where, uint32_t bit)
{
	uint32_t command = config->read(where, PCI_COMMAND) & COMMAND_BITS;

	if (!(command & bit))
		config->write(where, PCI_COMMAND, command | bit);
}

bool uart_of_pci(const struct pci_config *config, uint32_t where, struct boot_uart *uart)
{
	bool lpss, ports;

	if (config->read(where, PCI_ID) == PCI_NOBODY ||
	    HEADER_TYPE(config->read(where, PCI_HEADER)) != 0)
		return false;
	lpss = is_lpss(config, where);
	if (!lpss && class_of(config, where) != CLASS_SERIAL)
		return false;
	*uart = (struct boot_uart){.base = base_of(config, where, &ports)};
	uart->space = ports ? BOOT_UART_PORTS : BOOT_UART_MEMORY;
	uart->stride = uart->width = lpss && !ports ? 4 : 1;
	if (!uart_place_is_good(uart))
		return false;
	decode(config, where, ports ? COMMAND_PORTS : COMMAND_MEMORY);
	return true;
}

bool uart_of_first_card(const struct pci_config *config, uint32_t *where, struct boot_uart *uart)
{
	uint32_t at;

	for (at = 0; at < FUNCTIONS_MAX; at++) {
		if (config->read(at, PCI_ID) == PCI_NOBODY) {
			if (at % 8 == 0)
				at += 7; /* no function 0: no device */
			continue;
		}
		if (class_of(config, at) == CLASS_SERIAL && uart_of_pci(config, at, uart)) {
			*where = at;
			return true;
		}
		if (at % 8 == 0 && !(config->read(at, PCI_HEADER) & HEADER_SEVERAL))
			at += 7;
	}
	return false;
}
