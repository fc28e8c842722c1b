/* SPDX-License-Identifier: BSD-2-Clause */
/* Countdown and menu on the firmware's console; see menu.h. */
#include "boot/menu.h"
#include "boot/console.h"
#include "boot/loader_config.h"
#include "boot/uefi.h"

#define TICKS_PER_SECOND 10000000ull /* of 100 ns, UEFI specification section 7.1 */
#define SCAN_CODE_ESC 0x17

/* Waits for a key for one second; false when none came. */
static bool wait_second_for_key(EFI_INPUT_KEY *key)
{
	EFI_EVENT events[2] = {ST->ConIn->WaitForKey, NULL};
	UINTN which = 1;
	bool got = false;

	if (EFI_ERROR(BS->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[1]))) {
		BS->Stall(1000000);
		return !EFI_ERROR(ST->ConIn->ReadKeyStroke(ST->ConIn, key));
	}
	BS->SetTimer(events[1], TimerRelative, TICKS_PER_SECOND);
	while (!got && !EFI_ERROR(BS->WaitForEvent(2, events, &which)) && which == 0)
		got = !EFI_ERROR(ST->ConIn->ReadKeyStroke(ST->ConIn, key));
	BS->CloseEvent(events[1]);
	return got;
}

static EFI_INPUT_KEY wait_for_key(void)
{
	EFI_INPUT_KEY key = {0, 0};

	while (!wait_second_for_key(&key))
		;
	return key;
}

/* What cannot be booted says why. In no other colour: a terminal may show dark grey as black. */
static void draw_entry(const struct boot_entry *entry, uint32_t i, bool chosen)
{
	const char *why = "";

	if (entry->efi_program)
		why = "  (" ENTRY_EFI_PROGRAM ")";
	else if (entry->broken)
		why = "  (has an error)";
	console_print("%c %u  %s%s\n", chosen ? '>' : ' ', i + 1, entry->title, why);
}

static void draw(struct boot_entry *const *entries, uint32_t count, uint32_t at)
{
	uint32_t i;

	console_print("\n");
	for (i = 0; i < count; i++)
		draw_entry(entries[i], i, i == at);
	console_print("Arrow keys or a number choose, Enter boots, Esc leaves to the firmware.\n");
}

static uint32_t run_menu(struct boot_entry *const *entries, uint32_t count, uint32_t at)
{
	for (;;) {
		EFI_INPUT_KEY key;

		draw(entries, count, at);
		key = wait_for_key();
		if (key.UnicodeChar == L'\r' || key.UnicodeChar == L'\n')
			return at;
		if (key.ScanCode == SCAN_CODE_ESC || key.UnicodeChar == 0x1b ||
		    key.UnicodeChar == L'q')
			return count;
		if (key.ScanCode == SCAN_UP || key.UnicodeChar == L'k')
			at = at ? at - 1 : count - 1;
		else if (key.ScanCode == SCAN_DOWN || key.UnicodeChar == L'j')
			at = at + 1 < count ? at + 1 : 0;
		else if (key.UnicodeChar >= L'1' && key.UnicodeChar <= L'9' &&
			 (uint32_t)(key.UnicodeChar - L'1') < count)
			at = key.UnicodeChar - L'1';
	}
}

uint32_t menu_choose(struct boot_entry *const *entries, uint32_t count, uint32_t preset,
		     uint32_t timeout, bool show)
{
	EFI_INPUT_KEY key;
	uint32_t left;

	if (timeout == LOADER_WAIT_FOREVER)
		return run_menu(entries, count, preset);
	if (show)
		draw(entries, count, preset);
	for (left = timeout; left; left--) {
		console_print("\rumbra: booting \"%s\" in %u s, any key for the menu ",
			      entries[preset]->title, left);
		if (wait_second_for_key(&key)) {
			console_print("\n");
			return run_menu(entries, count, preset);
		}
	}
	if (timeout)
		console_print("\n");
	return preset;
}

void menu_pause(uint32_t seconds)
{
	EFI_INPUT_KEY key;

	while (seconds-- && !wait_second_for_key(&key))
		;
}
