/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys and rows through the firmware's console and a serial port; see terminal.h. */
#include "boot/terminal.h"
#include "boot/console.h"
#include "boot/uefi.h"
#include "boot/utf16.h"
#include "lib/printf.h"

/* How often it is looked for a key, and how long a byte of a key waits for the next one. */
#define POLL_MILLISECONDS 10u
#define SEQUENCE_POLLS 50u
#define MILLISECOND 10000ull /* of 100 ns, UEFI specification section 7.1 */
#define SCAN_CODE_ESC 0x17

static struct key_decoder decoder;
static uint32_t polls_without_byte;

/* UEFI specification section 12.3, table of scan codes */
static uint32_t key_of_scan(uint32_t scan)
{
	static const uint32_t keys[] = {KEY_NONE,   KEY_UP,      KEY_DOWN,     KEY_RIGHT,
					KEY_LEFT,   KEY_HOME,    KEY_END,      KEY_INSERT,
					KEY_DELETE, KEY_PAGE_UP, KEY_PAGE_DOWN};

	if (scan < sizeof(keys) / sizeof(keys[0]))
		return keys[scan];
	if (scan >= SCAN_F1 && scan < SCAN_F1 + 12)
		return KEY_F1 + (scan - SCAN_F1);
	return scan == SCAN_CODE_ESC ? KEY_ESC : KEY_NONE;
}

static uint32_t firmware_key(void)
{
	EFI_INPUT_KEY key = {0, 0};

	if (!ST->ConIn || EFI_ERROR(ST->ConIn->ReadKeyStroke(ST->ConIn, &key)))
		return KEY_NONE;
	if (!key.UnicodeChar)
		return key_of_scan(key.ScanCode);
	if (key.UnicodeChar == L'\n')
		return KEY_ENTER;
	return key.UnicodeChar >= 0x20 && !key_is_text(key.UnicodeChar) ? KEY_NONE : key.UnicodeChar;
}

static uint32_t serial_key(void)
{
	uint32_t key = KEY_NONE;
	int byte;

	while (!key && (byte = console_serial_get()) >= 0) {
		key = key_decode(&decoder, (uint8_t)byte);
		polls_without_byte = 0;
	}
	if (!key && ++polls_without_byte >= SEQUENCE_POLLS)
		key = key_decode_end(&decoder);
	return key;
}

static uint32_t any_key(void)
{
	uint32_t key = firmware_key();

	return key || !console_serial_is_ours() ? key : serial_key();
}

/* Until the next look; tick is a timer's event or NULL. */
static void wait(EFI_EVENT tick)
{
	UINTN which;

	if (!tick || EFI_ERROR(BS->WaitForEvent(1, &tick, &which)))
		BS->Stall(1000 * POLL_MILLISECONDS);
}

uint32_t terminal_key(uint32_t milliseconds)
{
	EFI_EVENT tick = NULL;
	uint32_t key, waited = 0;

	if (EFI_ERROR(BS->CreateEvent(EVT_TIMER, 0, NULL, NULL, &tick)))
		tick = NULL;
	else
		BS->SetTimer(tick, TimerPeriodic, POLL_MILLISECONDS * MILLISECOND);
	for (key = any_key(); !key && waited < milliseconds; key = any_key()) {
		wait(tick);
		if (milliseconds != TERMINAL_FOR_EVER)
			waited += POLL_MILLISECONDS;
	}
	if (tick)
		BS->CloseEvent(tick);
	return key;
}

void terminal_drop_keys(void)
{
	uint32_t left = 1024; /* a line that is noise does not keep us */

	while (left-- && any_key())
		;
}

/* --- the firmware's console --- */

static void firmware_row(void *context, uint32_t row, enum view_look look, const char *text)
{
	static const UINTN attributes[] = {
		[LOOK_PLAIN] = EFI_TEXT_ATTR(EFI_LIGHTGRAY, EFI_BLACK),
		[LOOK_BRIGHT] = EFI_TEXT_ATTR(EFI_WHITE, EFI_BLACK),
		[LOOK_CHOSEN] = EFI_TEXT_ATTR(EFI_BLACK, 7 /* light grey */),
	};
	static CHAR16 wide[VIEW_COLUMNS_MAX + 1];
	uint32_t n = 0;

	(void)context;
	while (*text && n < VIEW_COLUMNS_MAX)
		wide[n++] = utf8_next_ucs2(&text);
	wide[n] = 0;
	ST->ConOut->SetCursorPosition(ST->ConOut, 0, row);
	ST->ConOut->SetAttribute(ST->ConOut, attributes[look]);
	ST->ConOut->OutputString(ST->ConOut, wide);
}

static void firmware_cursor(void *context, uint32_t row, uint32_t column)
{
	(void)context;
	ST->ConOut->EnableCursor(ST->ConOut, row != UINT32_MAX);
	if (row != UINT32_MAX)
		ST->ConOut->SetCursorPosition(ST->ConOut, column, row);
}

static void firmware_clear(void)
{
	ST->ConOut->SetAttribute(ST->ConOut, EFI_TEXT_ATTR(EFI_LIGHTGRAY, EFI_BLACK));
	ST->ConOut->ClearScreen(ST->ConOut);
}

static const struct view_surface firmware_surface = {firmware_row, firmware_cursor};

/* --- a terminal on the serial port: ECMA-48 --- */

static void serial_row(void *context, uint32_t row, enum view_look look, const char *text)
{
	static const char *const looks[] = {
		[LOOK_PLAIN] = "0", [LOOK_BRIGHT] = "0;1", [LOOK_CHOSEN] = "0;7"};
	char start[32];

	(void)context;
	snprintf(start, sizeof(start), "\033[%u;1H\033[%sm", row + 1, looks[look]);
	console_serial_put(start);
	console_serial_put(text);
	console_serial_put("\033[0m");
}

static void serial_cursor(void *context, uint32_t row, uint32_t column)
{
	char text[32];

	(void)context;
	if (row == UINT32_MAX)
		snprintf(text, sizeof(text), "\033[?25l");
	else
		snprintf(text, sizeof(text), "\033[%u;%uH\033[?25h", row + 1, column + 1);
	console_serial_put(text);
}

static void serial_clear(void)
{
	console_serial_put("\033[0m\033[2J\033[H");
}

static const struct view_surface serial_surface = {serial_row, serial_cursor};

uint32_t terminal_begin(struct menu_view views[TERMINAL_SCREENS])
{
	UINTN columns = 0, rows = 0;
	uint32_t count = 0;

	if (EFI_ERROR(ST->ConOut->QueryMode(ST->ConOut, (UINTN)ST->ConOut->Mode->Mode, &columns,
					    &rows)))
		columns = rows = 0;
	firmware_clear();
	view_init(&views[count++], &firmware_surface, NULL, (uint32_t)columns, (uint32_t)rows);
	if (console_serial_is_ours()) {
		serial_clear();
		view_init(&views[count++], &serial_surface, NULL, 0, 0);
	}
	return count;
}

void terminal_end(void)
{
	firmware_clear();
	if (console_serial_is_ours()) {
		serial_clear();
		console_serial_put("\033[?25h");
	}
}
