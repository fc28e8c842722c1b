/* SPDX-License-Identifier: BSD-2-Clause */
/* See uart_tables.h. */
#include "boot/uart_tables.h"
#include "boot/bytes.h"
#include "lib/uart.h"

#define PORTS_END 0x10000u

/* SPCR */
enum { SPCR_KIND = 36, SPCR_GAS = 40, SPCR_BYTES = 52 };

/* DBG2: header, then devices, each with its own offsets */
enum { DBG2_OFFSET = 36, DBG2_COUNT = 40, DBG2_BYTES = 44 };
enum {
	DEVICE_LENGTH = 1,
	DEVICE_ADDRESSES = 3,
	DEVICE_TYPE = 12,
	DEVICE_SUBTYPE = 14,
	DEVICE_GAS = 18,
	DEVICE_BYTES = 22
};
#define TYPE_SERIAL 0x8000u

enum {
	KIND_16550 = 0x00,
	KIND_16450 = 0x01,
	KIND_16550_32 = 0x05,
	KIND_16550_GAS = 0x12,
	KIND_LPSS = 0x14
};

/* Generic address structure: ACPI specification section 5.2.3.2 */
enum { GAS_SPACE = 0, GAS_BIT_WIDTH = 1, GAS_ACCESS = 3, GAS_ADDRESS = 4, GAS_BYTES = 12 };
enum { SPACE_MEMORY = 0, SPACE_PORTS = 1 };

bool uart_place_is_good(const struct boot_uart *uart)
{
	uint64_t end = uart->space == BOOT_UART_PORTS ? PORTS_END : DIRECT_MAP_BYTES;

	return uart->base && uart->base % uart->width == 0 && uart->stride >= uart->width &&
	       uart->base <= end - (uint64_t)UART_REGISTERS * uart->stride;
}

/* Bytes of an access by the structure's code: 1 to 4 are 1 to 8 bytes, 0: not said. */
static uint32_t access_of(uint8_t code)
{
	return code >= 1 && code <= 3 ? 1u << (code - 1) : code ? 0 : 1;
}

/* Registers' distance and width in memory. Only kind 0x12 says the distance: it is the register's width. */
static bool shape_of(const uint8_t *gas, uint32_t kind, struct boot_uart *uart)
{
	uint32_t bits = gas[GAS_BIT_WIDTH];

	uart->width = access_of(gas[GAS_ACCESS]);
	if (kind == KIND_LPSS || kind == KIND_16550_32)
		uart->width = 4;
	uart->stride = uart->width;
	if (kind != KIND_16550_GAS)
		return uart->width;
	if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
		return false;
	uart->stride = bits / 8;
	return uart->width;
}

static bool uart_of_gas(const uint8_t *gas, uint32_t kind, struct boot_uart *uart)
{
	if (kind != KIND_16550 && kind != KIND_16450 && kind != KIND_16550_32 &&
	    kind != KIND_16550_GAS && kind != KIND_LPSS)
		return false;
	*uart = (struct boot_uart){.base = bytes_get(gas + GAS_ADDRESS, 8)};
	if (gas[GAS_SPACE] != SPACE_MEMORY && gas[GAS_SPACE] != SPACE_PORTS)
		return false;
	if (!shape_of(gas, kind, uart))
		return false;
	uart->space = BOOT_UART_MEMORY;
	if (gas[GAS_SPACE] == SPACE_PORTS) {
		uart->space = BOOT_UART_PORTS;
		uart->width = 1;
		if (kind != KIND_16550_GAS)
			uart->stride = 1;
	}
	return uart_place_is_good(uart);
}

bool uart_of_spcr(const uint8_t *table, uint32_t length, struct boot_uart *uart)
{
	return length >= SPCR_BYTES && uart_of_gas(table + SPCR_GAS, table[SPCR_KIND], uart);
}

static bool uart_of_device(const uint8_t *device, uint32_t bytes, struct boot_uart *uart)
{
	uint32_t gas = (uint32_t)bytes_get(device + DEVICE_GAS, 2);

	return device[DEVICE_ADDRESSES] && gas >= DEVICE_BYTES && gas + GAS_BYTES <= bytes &&
	       bytes_get(device + DEVICE_TYPE, 2) == TYPE_SERIAL &&
	       uart_of_gas(device + gas, (uint32_t)bytes_get(device + DEVICE_SUBTYPE, 2), uart);
}

bool uart_of_dbg2(const uint8_t *table, uint32_t length, struct boot_uart *uart)
{
	uint32_t at, count, i;

	if (length < DBG2_BYTES)
		return false;
	at = bytes_get_u32(table + DBG2_OFFSET);
	count = bytes_get_u32(table + DBG2_COUNT);
	for (i = 0; i < count; i++) {
		uint32_t bytes;

		if (at < DBG2_BYTES || at > length || length - at < DEVICE_BYTES)
			return false;
		bytes = (uint32_t)bytes_get(table + at + DEVICE_LENGTH, 2);
		if (bytes < DEVICE_BYTES || bytes > length - at)
			return false;
		if (uart_of_device(table + at, bytes, uart))
			return true;
		at += bytes;
	}
	return false;
}
