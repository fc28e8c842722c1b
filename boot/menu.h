/* SPDX-License-Identifier: BSD-2-Clause */
/* The menu on the firmware's console and on a serial port of ours. */
#ifndef BOOT_MENU_H
#define BOOT_MENU_H

#include "boot/menu_model.h"

/*
 * Shows the menu until the user wants to boot an entry (MENU_BOOT) or to go back to
 * the firmware (MENU_LEAVE); menu is as menu_init() made it, with a countdown or
 * a message if there is one. Afterwards the screen is empty.
 */
enum menu_action menu_run(struct menu *menu);

/* Whether a key is pressed or held now. */
bool menu_is_wanted(void);

/* Waits for a key that is pressed from now on. */
void menu_wait_for_key(void);

#endif
