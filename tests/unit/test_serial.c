/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial port: the option, what ACPI tables and PCI functions say of one, malformed ones among them, and the driver
 * on a model of a UART, on memory with gaps between the registers, and where nothing is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/acpi_find.h"
#include "boot/serial_option.h"
#include "boot/uart_pci.h"
#include "boot/uart_tables.h"
#include "lib/uart.h"

/* --- the option ---------------------------------------------------------------------- */

static struct serial_option option;

static bool parse(const char *text)
{
	return serial_option_parse((struct text_span){text, strlen(text)}, &option);
}

static void assert_uart(const struct boot_uart *u, uint32_t space, uint64_t base, uint32_t stride, uint32_t width)
{
	assert_int_equal(u->space, space);
	assert_int_equal(u->base, base);
	assert_int_equal(u->stride, stride);
	assert_int_equal(u->width, width);
}

static void option_names_ports_memory_and_pci_functions(void **state)
{
	assert_true(parse("auto"));
	assert_int_equal(option.kind, SERIAL_AUTO);
	assert_int_equal(option.baud, 0);
	assert_true(parse("auto,9600"));
	assert_int_equal(option.kind, SERIAL_AUTO);
	assert_int_equal(option.baud, 9600);
	assert_true(parse("none"));
	assert_int_equal(option.kind, SERIAL_NONE);
	assert_true(parse("ttyS3"));
	assert_uart(&option.uart, BOOT_UART_PORTS, 0x2e8, 1, 1);
	assert_true(parse("0xe000,57600"));
	assert_uart(&option.uart, BOOT_UART_PORTS, 0xe000, 1, 1);
	assert_int_equal(option.baud, 57600);
	assert_true(parse("mmio:0xfe030000"));
	assert_uart(&option.uart, BOOT_UART_MEMORY, 0xfe030000, 1, 1);
	assert_true(parse("mmio16:0xfe030000"));
	assert_uart(&option.uart, BOOT_UART_MEMORY, 0xfe030000, 2, 2);
	assert_true(parse("mmio32:0x4017000000,115200"));
	assert_int_equal(option.kind, SERIAL_UART);
	assert_uart(&option.uart, BOOT_UART_MEMORY, 0x4017000000, 4, 4);
	assert_true(parse("pci"));
	assert_int_equal(option.kind, SERIAL_PCI);
	assert_int_equal(option.pci, SERIAL_PCI_FIRST);
	assert_true(parse("pci:03:1e.7,9600"));
	assert_int_equal(option.pci, 0x3 << 8 | 0x1e << 3 | 7);
	assert_int_equal(option.baud, 9600);
}

static void wrong_options_are_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		",9600",
		"ttyS",
		"ttyS4",
		"ttyS00",
		"0",
		"0xfff9",
		"0x10000",
		"mmio:",
		"mmio:0",
		"mmio64:1",
		"mmio32:0x2",
		"mmio16:0x1",
		"mmio:0x7f8000000000",
		"pci:",
		"pci:0",
		"pci:0:1",
		"pci:0:1.",
		"pci:0:20.0",
		"pci:0:1.8",
		"pci:100:1.0",
		"pci:g:1.0",
		"pci:00:1f.0x",
		"pciexpress",
		"automatic",
		"none,",
		"auto,0",
		"pci,7000",
	};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (parse(wrong[i]))
			fail_msg("\"%s\" is taken", wrong[i]);
	}
}

/* --- ACPI tables ------------------------------------------------------------------------ */

#define SPCR_BYTES 80u
#define DBG2_BYTES 128u
#define DEVICE 44u

static uint8_t table[256];
static struct boot_uart uart;

static void put(uint8_t *at, uint64_t value, uint32_t bytes)
{
	for (; bytes--; value >>= 8)
		*at++ = (uint8_t)value;
}

static void put_gas(uint8_t *at, uint8_t space, uint8_t bits, uint8_t access, uint64_t address)
{
	at[0] = space;
	at[1] = bits;
	at[2] = 0;
	at[3] = access;
	put(at + 4, address, 8);
}

static bool spcr(uint8_t kind, uint8_t space, uint8_t bits, uint8_t access, uint64_t address)
{
	memset(table, 0, sizeof(table));
	table[36] = kind;
	put_gas(table + 40, space, bits, access, address);
	memset(&uart, 0xa5, sizeof(uart));
	return uart_of_spcr(table, SPCR_BYTES, &uart);
}

static void spcr_names_ports_and_memory_of_every_shape(void **state)
{
	assert_true(spcr(0, 1, 8, 0, 0x2f8));
	assert_uart(&uart, BOOT_UART_PORTS, 0x2f8, 1, 1);
	assert_int_equal(uart.baud, 0);
	assert_true(spcr(1, 1, 8, 1, 0x3f8));
	assert_uart(&uart, BOOT_UART_PORTS, 0x3f8, 1, 1);
	assert_true(spcr(0, 1, 32, 3, 0x3f8)); /* seen in firmware: the width of ports means nothing */
	assert_uart(&uart, BOOT_UART_PORTS, 0x3f8, 1, 1);
	assert_true(spcr(0, 0, 8, 0, 0xfe030000));
	assert_uart(&uart, BOOT_UART_MEMORY, 0xfe030000, 1, 1);
	assert_true(spcr(0, 0, 32, 3, 0xfe030000));
	assert_uart(&uart, BOOT_UART_MEMORY, 0xfe030000, 4, 4);
	assert_true(spcr(0x12, 0, 32, 1, 0xfe030000));
	assert_uart(&uart, BOOT_UART_MEMORY, 0xfe030000, 4, 1);
	assert_true(spcr(0x12, 0, 64, 3, 0x4017000000));
	assert_uart(&uart, BOOT_UART_MEMORY, 0x4017000000, 8, 4);
	assert_true(spcr(0x12, 1, 32, 1, 0xe000));
	assert_uart(&uart, BOOT_UART_PORTS, 0xe000, 4, 1);
	assert_true(spcr(0x14, 0, 8, 0, 0xfe032000));
	assert_uart(&uart, BOOT_UART_MEMORY, 0xfe032000, 4, 4);
}

static void spcr_that_names_nothing_usable_is_passed_over(void **state)
{
	assert_false(spcr(0, 1, 8, 1, 0));          /* console redirection is off */
	assert_false(spcr(3, 0, 32, 3, 0x9000000)); /* an ARM PL011 */
	assert_false(spcr(0, 2, 8, 1, 0x3f8));      /* PCI configuration space */
	assert_false(spcr(0, 1, 8, 1, 0x10000));
	assert_false(spcr(0, 1, 8, 1, 0xfffc));
	assert_false(spcr(0x12, 1, 32, 1, 0xfff0));
	assert_false(spcr(0, 0, 8, 4, 0xfe030000)); /* accesses of 8 bytes */
	assert_false(spcr(0, 0, 8, 9, 0xfe030000));
	assert_false(spcr(0x12, 0, 24, 1, 0xfe030000));
	assert_false(spcr(0x12, 0, 8, 3, 0xfe030000)); /* registers over one another */
	assert_false(spcr(0x14, 0, 8, 3, 0xfe030002));
	assert_false(spcr(0, 0, 8, 1, UINT64_MAX));
	assert_false(spcr(0, 0, 8, 1, DIRECT_MAP_BYTES - 7));
	assert_true(spcr(0, 0, 8, 1, DIRECT_MAP_BYTES - 8));
	for (uint32_t length = 0; length < 52; length++) {
		spcr(0, 1, 8, 1, 0x3f8);
		assert_false(uart_of_spcr(table, length, &uart));
	}
	assert_true(uart_of_spcr(table, 52, &uart));
}

/* Two devices: one that is no serial port, one that is. */
static void make_dbg2(void)
{
	uint8_t *device = table + DEVICE;

	memset(table, 0, sizeof(table));
	put(table + 36, DEVICE, 4);
	put(table + 40, 2, 4);
	put(device + 1, 34, 2);
	device[3] = 1;
	put(device + 12, 0x8003, 2); /* network */
	put(device + 18, 22, 2);
	put_gas(device + 22, 1, 8, 1, 0x3f8);
	device += 34;
	put(device + 1, 40, 2);
	device[3] = 1;
	put(device + 12, 0x8000, 2);
	put(device + 14, 0, 2);
	put(device + 18, 22, 2);
	put_gas(device + 22, 1, 8, 1, 0x2e8);
}

static void dbg2_names_its_first_serial_port(void **state)
{
	make_dbg2();
	assert_true(uart_of_dbg2(table, DBG2_BYTES, &uart));
	assert_uart(&uart, BOOT_UART_PORTS, 0x2e8, 1, 1);
}

static void malformed_dbg2_is_passed_over(void **state)
{
	static const struct {
		uint32_t at;
		uint64_t value;
		uint32_t bytes;
	} wrong[] = {
		{36, 0, 4},           {36, 0xffffffff, 4},      {36, DBG2_BYTES - 21, 4}, {40, 1, 4},
		{40, 0, 4},           {DEVICE + 1, 0, 2},       {DEVICE + 1, 0xffff, 2},  {DEVICE + 1, 21, 2},
		{DEVICE + 35, 33, 2}, /* the address structure is not within the device */
		{DEVICE + 37, 0, 1},  {DEVICE + 46, 0x8001, 2}, {DEVICE + 48, 0x8000, 2}, {DEVICE + 52, 21, 2},
		{DEVICE + 52, 29, 2}, {DEVICE + 52, 0xffff, 2},
	};

	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		make_dbg2();
		put(table + wrong[i].at, wrong[i].value, wrong[i].bytes);
		if (uart_of_dbg2(table, DBG2_BYTES, &uart))
			fail_msg("case %u is taken", i);
	}
	for (uint32_t length = 0; length < DEVICE + 34 + 34; length++) {
		uint8_t *exact = malloc(length + 1); /* with ASan behind it */

		make_dbg2();
		memcpy(exact, table, length);
		assert_false(uart_of_dbg2(exact, length, &uart));
		free(exact);
	}
}

/* --- where the tables are ------------------------------------------------------------------- */

#define LOW 0x100000u
static uint8_t low[LOW];    /* physical memory from 0 */
#define HIGH 0x240000003ull /* unaligned, above 4 GiB */
static uint8_t high[4096];

static const uint8_t *memory(uint64_t address, uint32_t bytes)
{
	if (address < LOW && bytes <= LOW - address)
		return low + address;
	if (address >= HIGH && address - HIGH < sizeof(high) && bytes <= sizeof(high) - (address - HIGH))
		return high + (address - HIGH);
	return NULL;
}

static void seal(uint8_t *at, uint32_t bytes, uint32_t checksum)
{
	uint8_t sum = 0;

	at[checksum] = 0;
	for (uint32_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + at[i]);
	at[checksum] = (uint8_t)-sum;
}

static void put_root(uint32_t at, uint32_t rsdt, uint64_t xsdt)
{
	memcpy(low + at, "RSD PTR ", 8);
	low[at + 15] = xsdt ? 2 : 0;
	put(low + at + 16, rsdt, 4);
	put(low + at + 20, 36, 4);
	put(low + at + 24, xsdt, 8);
	seal(low + at, 20, 8);
	seal(low + at, 36, 32);
}

static void put_table(uint8_t *at, const char *signature, uint32_t bytes)
{
	memcpy(at, signature, 4);
	put(at + 4, bytes, 4);
	seal(at, bytes, 9);
}

/* A list of one address. */
static void put_list(uint8_t *at, uint32_t entry, uint64_t address)
{
	put(at + 36, address, entry);
	put_table(at, entry == 8 ? "XSDT" : "RSDT", 36 + entry);
}

static void root_pointer_is_found_where_a_bios_leaves_it(void **state)
{
	memset(low, 0, sizeof(low));
	assert_int_equal(acpi_scan_root(memory), 0);
	put_root(0xf1230, 0x1000, 0);
	assert_int_equal(acpi_scan_root(memory), 0xf1230);
	put(low + 0x40e, 0x9fc0, 2);
	put_root(0x9fff0, 0x1000, 0);
	assert_int_equal(acpi_scan_root(memory), 0x9fff0);
	low[0x9fff0 + 9]++;
	assert_int_equal(acpi_scan_root(memory), 0xf1230);
	put(low + 0x40e, 0xffff, 2); /* no EBDA lies there */
	low[0xf1230]++;
	put_root(0xfffd0, 0, 0);
	assert_int_equal(acpi_scan_root(memory), 0xfffd0);
	memset(low, 0, sizeof(low));
	put_root(0xe0008, 0x1000, 0); /* not at a multiple of 16 */
	assert_int_equal(acpi_scan_root(memory), 0);
}

static void tables_are_found_by_either_list_wherever_they_lie(void **state)
{
	uint32_t length = 0;

	memset(low, 0, sizeof(low));
	put_table(low + 0x3001, "SPCR", 80); /* unaligned */
	put_table(high + 1001, "SPCR", 52);
	put_list(low + 0x1000, 4, 0x3001);
	put_list(high, 8, HIGH + 1001);
	put_root(0xe0000, 0x1000, HIGH);
	assert_ptr_equal(acpi_find_table(memory, 0xe0000, "SPCR", &length), high + 1001);
	assert_int_equal(length, 52);
	assert_null(acpi_find_table(memory, 0xe0000, "DBG2", &length));
	low[0xe0000 + 33]++; /* the longer checksum is wrong: the RSDT */
	assert_ptr_equal(acpi_find_table(memory, 0xe0000, "SPCR", &length), low + 0x3001);
	assert_int_equal(length, 80);
	put_root(0xe0000, 0x1000, 0);
	assert_ptr_equal(acpi_find_table(memory, 0xe0000, "SPCR", &length), low + 0x3001);
	put_root(0xe0000, 0x1000, 0x123456789000); /* no memory there */
	assert_ptr_equal(acpi_find_table(memory, 0xe0000, "SPCR", &length), low + 0x3001);
}

static void broken_tables_are_not_found(void **state)
{
	uint32_t length;

	memset(low, 0, sizeof(low));
	assert_null(acpi_find_table(memory, 0, "SPCR", &length));
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put_root(0xe0000, 0x1000, 0);
	put_list(low + 0x1000, 4, 0x3000);
	put_table(low + 0x3000, "SPCR", 80);
	low[0x3000 + 50]++;
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put(low + 0x3004, 35, 4);
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put(low + 0x3004, 0xffffffff, 4);
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put_table(low + 0x3000, "SPCR", 80);
	put_list(low + 0x1000, 4, 0xfffffff0);
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put_list(low + 0x1000, 4, 0x3000);
	assert_non_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
	put_table(low + 0x1000, "RSDT", 39); /* half an entry */
	assert_null(acpi_find_table(memory, 0xe0000, "SPCR", &length));
}

/* --- PCI ---------------------------------------------------------------------------------- */

static struct function {
	uint32_t where;
	uint32_t dword[6];
} functions[4];
static uint32_t reads;

static uint32_t config_read(uint32_t where, uint32_t at)
{
	reads++;
	assert_true(where < 0x10000 && at % 4 == 0 && at < sizeof(functions[0].dword));
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].dword[0] && functions[i].where == where)
			return functions[i].dword[at / 4];
	return UINT32_MAX;
}

static void config_write(uint32_t where, uint32_t at, uint32_t value)
{
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].dword[0] && functions[i].where == where)
			functions[i].dword[at / 4] = value;
}

static const struct pci_config config = {config_read, config_write};

static void set_function(u32 i, uint32_t where, uint32_t id, uint32_t class, uint32_t header, uint32_t bar,
			 uint32_t bar1)
{
	functions[i] = (struct function){where, {id, 0xf0000100, class << 16, header, bar, bar1}};
}

static void pci_cards_are_uarts_on_ports_or_in_memory(void **state)
{
	uint32_t where;

	memset(functions, 0, sizeof(functions));
	assert_false(uart_of_first_card(&config, &where, &uart));
	set_function(0, 0x0000, 0x12378086, 0x0600, 0, 0, 0);
	set_function(1, 0x0018, 0x00021b36, 0x0200, 1 << 23, 0, 0);
	set_function(2, 0x001d, 0x00021b36, 0x0700, 0, 0xc001, 0);
	reads = 0;
	assert_true(uart_of_first_card(&config, &where, &uart));
	assert_int_equal(where, 0x1d);
	assert_uart(&uart, BOOT_UART_PORTS, 0xc000, 1, 1);
	assert_int_equal(functions[2].dword[1], 0x101); /* it decodes ports; no status bit was cleared */
	assert_true(reads < 64);
	set_function(2, 0xff00, 0x00021b36, 0x0700, 0, 0xfebf0000, 0);
	assert_true(uart_of_first_card(&config, &where, &uart));
	assert_int_equal(where, 0xff00);
	assert_uart(&uart, BOOT_UART_MEMORY, 0xfebf0000, 1, 1);
	assert_int_equal(functions[2].dword[1], 0x102);
	set_function(2, 0x20, 0x00021b36, 0x0700, 0, 0x0000000c, 0x40); /* 64 bits */
	assert_true(uart_of_pci(&config, 0x20, &uart));
	assert_uart(&uart, BOOT_UART_MEMORY, 0x4000000000, 1, 1);
}

static void uart_of_the_chipset_has_registers_of_32_bits(void **state)
{
	uint32_t where;

	memset(functions, 0, sizeof(functions));
	set_function(0, 0xf0, 0xa1278086, 0x0780, 1 << 23, 0x1170004, 0x40);
	assert_true(uart_of_pci(&config, 0xf0, &uart));
	assert_uart(&uart, BOOT_UART_MEMORY, 0x4001170000, 4, 4);
	assert_false(uart_of_first_card(&config, &where, &uart));
	set_function(0, 0xf0, 0x9d278086, 0x1180, 0, 0xfe030000, 0);
	assert_true(uart_of_pci(&config, 0xf0, &uart));
	set_function(0, 0xf0, 0xa1271022, 0x0780, 0, 0xfe030000, 0); /* another vendor's */
	assert_false(uart_of_pci(&config, 0xf0, &uart));
}

static void pci_functions_that_are_no_uart_are_refused(void **state)
{
	memset(functions, 0, sizeof(functions));
	assert_false(uart_of_pci(&config, 0x20, &uart));
	set_function(0, 0x20, 0x00021b36, 0x0700, 0, 0, 0); /* nobody gave it an address */
	assert_false(uart_of_pci(&config, 0x20, &uart));
	set_function(0, 0x20, 0x00021b36, 0x0700, 0, 1, 0);
	assert_false(uart_of_pci(&config, 0x20, &uart));
	set_function(0, 0x20, 0x00021b36, 0x0700, 0, 0xfffffffd, 0);
	assert_false(uart_of_pci(&config, 0x20, &uart));
	set_function(0, 0x20, 0x00021b36, 0x0702, 0, 0xc001, 0); /* a modem */
	assert_false(uart_of_pci(&config, 0x20, &uart));
	set_function(0, 0x20, 0x00021b36, 0x0700, 1 << 16, 0xc001, 0); /* a bridge's header */
	assert_false(uart_of_pci(&config, 0x20, &uart));
	assert_int_equal(functions[0].dword[1], 0xf0000100);
}

/* --- the driver -------------------------------------------------------------------------------- */

/* A UART as the data sheet has it, as far as a driver without interrupts sees it. */
static struct {
	struct uart uart;
	u8 ier, lcr, mcr, fcr, scratch;
	u16 divisor;
	bool has_scratch, stuck;
	u32 sent, polls;
	char line[64];
} model;

static u8 model_read(const struct uart *u, u32 reg)
{
	switch (reg) {
	case UART_LCR: return model.lcr;
	case UART_MCR: return model.mcr;
	case UART_LSR: model.polls++; return model.stuck ? 0 : 0x60;
	case UART_MSR: /* OUT2, OUT1, DTR and RTS come back as DCD, RI, DSR and CTS */
		return model.mcr & 0x10 ?
			       (u8)((model.mcr & 0xc) << 4 | (model.mcr & 1) << 5 | (model.mcr & 2) << 3) :
			       0;
	case UART_SCRATCH: return model.has_scratch ? model.scratch : 0xff;
	default: fail_msg("register %u is read", reg); return 0;
	}
}

static void model_write(const struct uart *u, u32 reg, u8 value)
{
	bool dlab = model.lcr & 0x80;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			model.divisor = (u16)((model.divisor & 0xff00) | value);
		else if (!(model.mcr & 0x10))
			model.line[model.sent++ % sizeof(model.line)] = (char)value;
		break;
	case UART_IER:
		if (dlab)
			model.divisor = (u16)((model.divisor & 0xff) | value << 8);
		else
			model.ier = value;
		break;
	case UART_FCR: model.fcr = value; break;
	case UART_LCR: model.lcr = value; break;
	case UART_MCR: model.mcr = value & 0x1f; break;
	case UART_SCRATCH: model.scratch = value; break;
	default: fail_msg("register %u is written", reg);
	}
}

static void reset_model(void)
{
	memset(&model, 0, sizeof(model));
	model.uart = (struct uart){.read = model_read, .write = model_write};
	model.has_scratch = true;
}

static void a_uart_answers_with_a_scratch_register_or_without(void **state)
{
	reset_model();
	model.scratch = 0x77;
	model.mcr = 0x0b;
	assert_true(uart_answers(&model.uart));
	assert_int_equal(model.scratch, 0x77);
	model.has_scratch = false;
	assert_true(uart_answers(&model.uart));
	assert_int_equal(model.mcr, 0x0b);
}

static u8 nothing_read(const struct uart *u, u32 reg)
{
	return u->base ? 0xff : 0;
}

static void nothing_write(const struct uart *u, u32 reg, u8 value) {}

static void nothing_does_not_answer(void **state)
{
	struct uart absent = {.read = nothing_read, .write = nothing_write};

	assert_false(uart_answers(&absent));
	absent.base = 1;
	assert_false(uart_answers(&absent));
}

static void speed_is_left_unless_it_is_asked_for_or_nobody_set_it(void **state)
{
	reset_model();
	model.lcr = 0x83; /* somebody's, who has just set the divisor */
	model.divisor = 12;
	model.ier = 0x0f;
	uart_start(&model.uart, 0);
	assert_int_equal(model.divisor, 12);
	assert_int_equal(model.lcr, 0x03);
	assert_int_equal(model.ier, 0);
	assert_int_equal(model.fcr, 1); /* nothing that is under way is lost */
	assert_int_equal(model.mcr & 3, 3);
	uart_start(&model.uart, 9600);
	assert_int_equal(model.divisor, 12);
	uart_start(&model.uart, 57600);
	assert_int_equal(model.divisor, 2);
	assert_int_equal(model.lcr, 0x03);
	reset_model();
	model.divisor = 77;
	uart_start(&model.uart, 0);
	assert_int_equal(model.divisor, 1);
	assert_int_equal(model.lcr, 0x03);
	assert_int_equal(model.sent, 0);
}

static void text_is_sent_with_carriage_returns_past_the_divisor_latch(void **state)
{
	reset_model();
	model.lcr = 0x83;
	model.divisor = 3;
	for (const char *p = "ab\n"; *p; p++)
		uart_put_char(&model.uart, *p);
	assert_int_equal(model.sent, 4);
	assert_memory_equal(model.line, "ab\r\n", 4);
	assert_int_equal(model.lcr, 0x83);
	assert_int_equal(model.divisor, 3);
}

static void a_stuck_port_is_given_up(void **state)
{
	u32 polls;

	reset_model();
	model.stuck = true;
	for (u32 i = 0; i < 3; i++)
		uart_put(&model.uart, 'x');
	polls = model.polls;
	uart_put(&model.uart, 'x');
	assert_int_equal(model.polls, polls);
	assert_int_equal(model.sent, 0);
}

/* Registers in memory; what lies between them must stay. */
static void check_memory(u32 stride, u32 width)
{
	u8 registers[64 + 8];
	struct uart u;

	memset(registers, 0xcc, sizeof(registers));
	memset(registers + UART_LCR * stride, 0, width);
	memset(registers + UART_MCR * stride, 0, width);
	put(registers + UART_LSR * stride, 0x60, width);
	uart_in_memory(&u, registers, stride, width);
	assert_true(uart_answers(&u));
	uart_start(&u, 9600);
	uart_put(&u, 'U');
	for (u32 i = 0; i < sizeof(registers); i++) {
		u32 reg = i / stride, byte = i % stride;

		if (reg >= UART_REGISTERS || byte >= width || reg == UART_MSR || reg == UART_SCRATCH)
			assert_int_equal(registers[i], 0xcc);
		else if (byte)
			assert_int_equal(registers[i], 0);
	}
	assert_int_equal(registers[UART_DATA], 'U');
	assert_int_equal(registers[UART_LCR * stride], 3);
}

static void registers_in_memory_may_have_gaps_and_any_width(void **state)
{
	check_memory(1, 1);
	check_memory(4, 1);
	check_memory(8, 1);
}

static void registers_of_32_bits_are_accessed_whole(void **state)
{
	u32 registers[UART_REGISTERS] = {[UART_LSR] = 0x60};
	struct uart u;

	uart_in_memory(&u, registers, 4, 4);
	registers[UART_DATA] = 0xdddddddd;
	assert_true(uart_answers(&u));
	uart_start(&u, 0);
	uart_put(&u, 'U');
	assert_int_equal(registers[UART_DATA], 'U');
	assert_int_equal(registers[UART_MCR], 3);
	u.stride = u.width = 2;
	((u16 *)registers)[UART_LSR] = 0x60;
	((u16 *)registers)[UART_DATA] = 0xdddd;
	uart_put(&u, 'V');
	assert_int_equal(((u16 *)registers)[UART_DATA], 'V');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(option_names_ports_memory_and_pci_functions),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(spcr_names_ports_and_memory_of_every_shape),
		cmocka_unit_test(spcr_that_names_nothing_usable_is_passed_over),
		cmocka_unit_test(dbg2_names_its_first_serial_port),
		cmocka_unit_test(malformed_dbg2_is_passed_over),
		cmocka_unit_test(root_pointer_is_found_where_a_bios_leaves_it),
		cmocka_unit_test(tables_are_found_by_either_list_wherever_they_lie),
		cmocka_unit_test(broken_tables_are_not_found),
		cmocka_unit_test(pci_cards_are_uarts_on_ports_or_in_memory),
		cmocka_unit_test(uart_of_the_chipset_has_registers_of_32_bits),
		cmocka_unit_test(pci_functions_that_are_no_uart_are_refused),
		cmocka_unit_test(a_uart_answers_with_a_scratch_register_or_without),
		cmocka_unit_test(nothing_does_not_answer),
		cmocka_unit_test(speed_is_left_unless_it_is_asked_for_or_nobody_set_it),
		cmocka_unit_test(text_is_sent_with_carriage_returns_past_the_divisor_latch),
		cmocka_unit_test(a_stuck_port_is_given_up),
		cmocka_unit_test(registers_in_memory_may_have_gaps_and_any_width),
		cmocka_unit_test(registers_of_32_bits_are_accessed_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
