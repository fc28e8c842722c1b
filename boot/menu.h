/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of a boot entry: a countdown, and a menu once a key is pressed. */
#ifndef BOOT_MENU_H
#define BOOT_MENU_H

#include "boot/entry.h"

/*
 * Returns the index of the entry to boot, or count when the user goes back to
 * the firmware. timeout in seconds; 0 boots the default at once. show: the
 * list is there during the countdown.
 */
uint32_t menu_choose(struct boot_entry *const *entries, uint32_t count, uint32_t preset,
		     uint32_t timeout, bool show);

/* Waits for a key, at most that many seconds. */
void menu_pause(uint32_t seconds);

#endif
