/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys into the menu, the menu onto the screens; see menu.h. */
#include "boot/menu.h"
#include "boot/firmware.h"
#include "boot/terminal.h"
#include "lib/types.h"

/* A held key repeats about ten times a second. */
#define HELD_KEY_MILLISECONDS 150u
#define SECOND 1000u

static void leave_machine(struct menu *menu, enum menu_action how)
{
	struct boot_error error;

	if (how == MENU_SETUP)
		firmware_setup(&error);
	else if (how == MENU_REBOOT)
		firmware_restart(&error);
	else
		firmware_power_off(&error);
	menu_say(menu, "error: %s", error.text);
}

static enum menu_action step(struct menu *menu)
{
	uint32_t key = terminal_key(menu->seconds ? SECOND : TERMINAL_FOR_EVER);

	return key ? menu_key(menu, key) : menu_second(menu);
}

enum menu_action menu_run(struct menu *menu)
{
	static struct menu_view views[TERMINAL_SCREENS];
	enum menu_action action = MENU_STAY;
	uint32_t count = terminal_begin(views), i;

	menu->columns = view_text_columns(&views[0]);
	menu->page = view_list_rows(&views[0]);
	for (i = 1; i < count; i++) {
		menu->columns = MIN(menu->columns, view_text_columns(&views[i]));
		menu->page = MIN(menu->page, view_list_rows(&views[i]));
	}
	while (action != MENU_BOOT && action != MENU_LEAVE) {
		for (i = 0; i < count; i++)
			view_draw(&views[i], menu);
		action = step(menu);
		if (action == MENU_SETUP || action == MENU_REBOOT || action == MENU_POWER_OFF)
			leave_machine(menu, action);
	}
	terminal_end();
	return action;
}

bool menu_is_wanted(void)
{
	return terminal_key(HELD_KEY_MILLISECONDS) != KEY_NONE;
}

void menu_wait_for_key(void)
{
	terminal_drop_keys();
	terminal_key(TERMINAL_FOR_EVER);
}
