/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys and full-screen text: the firmware's console, which may go to a screen and a
 * serial line at once, and the serial port beside it where that is ours (console.h).
 */
#ifndef BOOT_TERMINAL_H
#define BOOT_TERMINAL_H

#include "boot/keys.h"
#include "boot/menu_view.h"

#define TERMINAL_FOR_EVER UINT32_MAX
#define TERMINAL_SCREENS 2u

/* The next key; KEY_NONE when none has come in that many milliseconds. */
uint32_t terminal_key(uint32_t milliseconds);

/* Forgets the keys that were pressed before. */
void terminal_drop_keys(void);

/* Clears the screens and prepares a view for each; returns how many, at most TERMINAL_SCREENS. */
uint32_t terminal_begin(struct menu_view views[TERMINAL_SCREENS]);

/* Clears them again for lines of text. */
void terminal_end(void);

#endif
