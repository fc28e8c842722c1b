/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What names a serial port: whatever SPCR, DBG2 or the option say, registers that are taken lie where they can be
 * reached. And the TPM's log: its length is within what may be read.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/serial_option.h"
#include "boot/tpm_log.h"
#include "boot/uart_tables.h"
#include "lib/uart.h"
#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

static void check(const struct boot_uart *u)
{
	u64 end = u->space == BOOT_UART_PORTS ? 0x10000 : DIRECT_MAP_BYTES;

	if ((u->space != BOOT_UART_PORTS && u->space != BOOT_UART_MEMORY) || !u->base || u->base > end ||
	    u->base + (u64)(UART_REGISTERS - 1) * u->stride + u->width > end)
		abort();
	if ((u->width != 1 && u->width != 2 && u->width != 4) || u->stride < u->width || u->stride > 8)
		abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct serial_option option;
	struct boot_uart uart;
	u8 *bytes;

	if (!size)
		return 0;
	bytes = malloc(size); /* with ASan behind it */
	memcpy(bytes, data, size);
	if (uart_of_spcr(bytes, (u32)size, &uart))
		check(&uart);
	if (uart_of_dbg2(bytes, (u32)size, &uart))
		check(&uart);
	if (serial_option_parse((struct text_span){(const char *)bytes, size}, &option) && option.kind == SERIAL_UART)
		check(&option.uart);
	for (u32 format = TPM_LOG_1_2; format <= TPM_LOG_2; format++)
		if (tpm_log_bytes(format, bytes, data[0] * 4ull, size) > size)
			abort();
	if (tpm_log_events_bytes(bytes, size, bytes, data[0]) > size)
		abort();
	free(bytes);
	return 0;
}

/* An SPCR, a DBG2 of one device, the first entry of a TPM's log with its algorithms, an option. */
u32 fuzz_seed(u32 n, u8 out[FUZZ_SEED_MAX])
{
	static const u8 spcr[80] = {[40] = 1, [41] = 8, [43] = 1, [44] = 0xf8, [45] = 2};
	static const u8 dbg2[96] = {[36] = 44, [40] = 1, [45] = 40, [47] = 1,    [57] = 0x80,
				    [62] = 22, [66] = 1, [67] = 8,  [70] = 0xe8, [71] = 2};
	static const u8 log[80] = {
		[4] = 3,    [28] = 37,  [32] = 'S', [33] = 'p', [34] = 'e', [35] = 'c', [36] = ' ', [37] = 'I',
		[38] = 'D', [39] = ' ', [40] = 'E', [41] = 'v', [42] = 'e', [43] = 'n', [44] = 't', [45] = '0',
		[46] = '3', [56] = 2,   [60] = 4,   [62] = 20,  [64] = 11,  [66] = 32};
	static const char text[] = "mmio32:0xfe030000,115200";

	switch (n) {
	case 0: memcpy(out, spcr, sizeof(spcr)); return sizeof(spcr);
	case 1: memcpy(out, dbg2, sizeof(dbg2)); return sizeof(dbg2);
	case 2: memcpy(out, log, sizeof(log)); return sizeof(log);
	case 3: memcpy(out, text, sizeof(text) - 1); return sizeof(text) - 1;
	default: return 0;
	}
}
