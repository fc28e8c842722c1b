/* SPDX-License-Identifier: BSD-2-Clause */
/* The option "serial": which UART the log goes to. */
#ifndef BOOT_SERIAL_OPTION_H
#define BOOT_SERIAL_OPTION_H

#include "boot/boot_info.h"
#include "boot/text.h"

enum serial_kind {
	SERIAL_AUTO, /* what the ACPI tables name, else COM1 if it answers */
	SERIAL_NONE,
	SERIAL_UART,
	SERIAL_PCI, /* a card, or a UART of the chipset's that is a PCI device */
};

#define SERIAL_PCI_FIRST UINT32_MAX

struct serial_option {
	uint32_t kind; /* enum serial_kind */
	uint32_t pci;  /* SERIAL_PCI: bus << 8 | device << 3 | function, or SERIAL_PCI_FIRST */
	uint32_t baud; /* 0: as the port is set */
	struct boot_uart uart; /* SERIAL_UART */
};

#define SERIAL_OPTION_FORM \
	"serial=auto, none, ttyS0..ttyS3, an I/O port such as 0x3f8, mmio:ADDRESS," \
	" mmio16:ADDRESS, mmio32:ADDRESS, pci or pci:BUS:DEVICE.FUNCTION," \
	" then possibly a comma and a baud rate that divides 115200"

#define SERIAL_COMS 4u

/* COM1 to COM4, Linux's ttyS0 to ttyS3 on a PC; n: 0 to 3. */
struct boot_uart serial_com(uint32_t n);

/* What stands behind "serial=". False: it is none of the above. */
bool serial_option_parse(struct text_span value, struct serial_option *option);

#endif
