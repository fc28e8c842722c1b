/* SPDX-License-Identifier: BSD-2-Clause */
/* See serial_option.h. */
#include "boot/serial_option.h"
#include "lib/hex.h"
#include "lib/string.h"
#include "lib/uart.h"

#define PORT_MAX (0x10000u - UART_REGISTERS)

struct boot_uart serial_com(uint32_t n)
{
	static const uint16_t ports[SERIAL_COMS] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

	return (struct boot_uart){
		.base = ports[n % SERIAL_COMS], .space = BOOT_UART_PORTS, .stride = 1, .width = 1};
}

/* Takes prefix off the span. */
static bool take(struct text_span *span, const char *prefix)
{
	size_t length = strlen(prefix);

	if (span->length < length || !text_span_equal((struct text_span){span->at, length}, prefix))
		return false;
	*span = (struct text_span){span->at + length, span->length - length};
	return true;
}

/* One hexadecimal number without 0x, up to max, and the separator behind it (0: the end). */
static bool take_hex(struct text_span *span, uint32_t max, char separator, uint32_t *value)
{
	size_t i;

	*value = 0;
	for (i = 0; i < span->length && span->at[i] != separator; i++) {
		int digit = hex_digit(span->at[i]);

		if (digit < 0)
			return false;
		*value = *value << 4 | (uint32_t)digit;
		if (*value > max)
			return false;
	}
	if (!i || (separator && i == span->length))
		return false;
	i += separator != 0;
	*span = (struct text_span){span->at + i, span->length - i};
	return true;
}

/* BUS:DEVICE.FUNCTION as lspci writes it. */
static bool parse_pci(struct text_span where, uint32_t *pci)
{
	uint32_t bus, device, function;

	if (!take_hex(&where, 0xff, ':', &bus) || !take_hex(&where, 0x1f, '.', &device) ||
	    !take_hex(&where, 7, 0, &function))
		return false;
	*pci = bus << 8 | device << 3 | function;
	return true;
}

/* As Linux's earlycon: registers one behind the other in the size of an access. */
static bool parse_memory(struct text_span where, struct boot_uart *uart)
{
	uint32_t width = take(&where, "mmio32:") ? 4 :
			 take(&where, "mmio16:") ? 2 :
			 take(&where, "mmio:")   ? 1 :
						   0;
	uint64_t base;

	if (!width || !text_parse_u64(where, &base) || base == 0 || base % width ||
	    base > DIRECT_MAP_BYTES - UART_REGISTERS * width)
		return false;
	*uart = (struct boot_uart){
		.base = base, .space = BOOT_UART_MEMORY, .stride = width, .width = width};
	return true;
}

static bool parse_port(struct text_span where, struct boot_uart *uart)
{
	struct text_span number = where;
	uint64_t port;

	if (take(&number, "ttyS")) {
		if (number.length != 1 || number.at[0] < '0' || number.at[0] > '3')
			return false;
		*uart = serial_com((uint32_t)(number.at[0] - '0'));
		return true;
	}
	if (!text_parse_u64(where, &port) || port == 0 || port > PORT_MAX)
		return false;
	*uart = serial_com(0);
	uart->base = port;
	return true;
}

static bool parse_where(struct text_span where, struct serial_option *option)
{
	struct text_span pci = where;

	if (text_span_equal(where, "auto") || text_span_equal(where, "none")) {
		option->kind = text_span_equal(where, "auto") ? SERIAL_AUTO : SERIAL_NONE;
		return true;
	}
	option->kind = SERIAL_PCI;
	option->pci = SERIAL_PCI_FIRST;
	if (text_span_equal(where, "pci"))
		return true;
	if (take(&pci, "pci:"))
		return parse_pci(pci, &option->pci);
	option->kind = SERIAL_UART;
	return parse_memory(where, &option->uart) || parse_port(where, &option->uart);
}

static bool parse_baud(struct text_span text, uint32_t *baud)
{
	uint64_t value;

	if (!text_parse_u64(text, &value) || value == 0 || value > UART_CLOCK_BAUD ||
	    UART_CLOCK_BAUD % value != 0 || UART_CLOCK_BAUD / value > 0xffff)
		return false;
	*baud = (uint32_t)value;
	return true;
}

bool serial_option_parse(struct text_span value, struct serial_option *option)
{
	struct text_span where = {value.at, 0}, baud;

	*option = (struct serial_option){0};
	while (where.length < value.length && value.at[where.length] != ',')
		where.length++;
	if (!parse_where(where, option))
		return false;
	if (where.length == value.length)
		return true;
	baud = (struct text_span){where.at + where.length + 1, value.length - where.length - 1};
	return parse_baud(baud, &option->baud);
}
