/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The menu as it is, without a screen: which entries are listed, which one is
 * chosen, what is searched for, what is edited, what is said below. A key goes in,
 * a wish of the user's comes out; menu_view.h draws it. Pure functions.
 */
#ifndef BOOT_MENU_MODEL_H
#define BOOT_MENU_MODEL_H

#include "boot/entry_list.h"
#include "boot/line_edit.h"

#define MENU_MESSAGE_MAX (BOOT_ERROR_MAX + 64)

enum menu_mode {
	MENU_LIST,
	MENU_EDIT_OPTIONS, /* the kernel's command line */
	MENU_EDIT_UMBRA,
	MENU_DETAILS,
};

enum menu_action {
	MENU_STAY,
	MENU_BOOT, /* the entry menu_chosen(), which is not broken */
	MENU_LEAVE,
	MENU_SETUP,
	MENU_REBOOT,
	MENU_POWER_OFF,
};

struct menu {
	struct boot_entry *const *entries;
	uint32_t count;
	enum menu_mode mode;
	bool may_edit;
	uint32_t columns, page; /* of the smallest screen: columns of a text, rows of the list */
	uint32_t shown[ENTRY_LIST_MAX]; /* indices of the entries that match the search */
	uint32_t shown_count;
	uint32_t at;          /* the chosen one of them */
	uint32_t seconds;     /* left until it is booted; 0: the user decides */
	uint32_t details_top; /* the first line of the details that is seen */
	char search[64];
	char text[sizeof(((struct boot_entry *)0)->options)]; /* what is edited */
	struct line_edit edit;
	char message[MENU_MESSAGE_MAX]; /* until the next key */
};

/* preset is the index of the entry chosen first; count > 0. */
void menu_init(struct menu *menu, struct boot_entry *const *entries, uint32_t count, uint32_t preset);

/* A text that is longer ends earlier. */
void menu_say(struct menu *menu, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The chosen entry's index, or count if the search matches none. */
uint32_t menu_chosen(const struct menu *menu);

/* What the user wants; the countdown ends. An entry that cannot be booted is not: its error is said. */
enum menu_action menu_key(struct menu *menu, uint32_t key);

/* One second has passed. */
enum menu_action menu_second(struct menu *menu);

#endif
