/* SPDX-License-Identifier: BSD-2-Clause */
/* What keys do to the menu; see menu_model.h. */
#include "boot/menu_model.h"
#include "boot/details.h"
#include "boot/options.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "lib/types.h"

static const char *text_of(struct boot_entry *entry, enum menu_mode mode, size_t *size)
{
	*size = mode == MENU_EDIT_UMBRA ? sizeof(entry->umbra) : sizeof(entry->options);
	return mode == MENU_EDIT_UMBRA ? entry->umbra : entry->options;
}

void menu_say(struct menu *menu, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(menu->message, sizeof(menu->message), format, args);
	va_end(args);
}

uint32_t menu_chosen(const struct menu *menu)
{
	return menu->shown_count ? menu->shown[menu->at] : menu->count;
}

static struct boot_entry *chosen_entry(const struct menu *menu)
{
	return menu->shown_count ? menu->entries[menu_chosen(menu)] : NULL;
}

/* ASCII letters of either case are the same. */
static bool contains(const char *text, struct text_span word)
{
	size_t i;

	for (; *text; text++) {
		for (i = 0; i < word.length && text_lower(text[i]) == text_lower(word.at[i]); i++)
			;
		if (i == word.length)
			return true;
	}
	return false;
}

static bool is_wanted(const struct boot_entry *entry, const char *search)
{
	struct text_span rest = {search, strlen(search)}, word;

	while (text_next_word(&rest, &word))
		if (!contains(entry->title, word) && !contains(entry->id, word))
			return false;
	return true;
}

/* The list for the search; the chosen entry stays chosen if it is still there. */
static void filter(struct menu *menu, uint32_t chosen)
{
	uint32_t i;

	menu->shown_count = 0;
	menu->at = 0;
	for (i = 0; i < menu->count; i++) {
		if (!is_wanted(menu->entries[i], menu->search))
			continue;
		if (i == chosen)
			menu->at = menu->shown_count;
		menu->shown[menu->shown_count++] = i;
	}
}

void menu_init(struct menu *menu, struct boot_entry *const *entries, uint32_t count, uint32_t preset)
{
	memset(menu, 0, sizeof(*menu));
	menu->entries = entries;
	menu->count = count;
	menu->columns = DETAILS_COLUMNS_MIN;
	menu->page = 1;
	filter(menu, preset);
}

static void search_key(struct menu *menu, uint32_t key)
{
	struct line_edit edit;

	line_edit_init(&edit, menu->search, sizeof(menu->search));
	if (line_edit_key(&edit, key))
		filter(menu, menu_chosen(menu));
}

static bool move_key(struct menu *menu, uint32_t key)
{
	uint32_t last = menu->shown_count ? menu->shown_count - 1 : 0;

	switch (key) {
	case KEY_UP: menu->at = menu->at ? menu->at - 1 : last; break;
	case KEY_DOWN: menu->at = menu->at < last ? menu->at + 1 : 0; break;
	case KEY_PAGE_UP: menu->at -= MIN(menu->at, menu->page); break;
	case KEY_PAGE_DOWN: menu->at += MIN(last - menu->at, menu->page); break;
	case KEY_HOME: menu->at = 0; break;
	case KEY_END: menu->at = last; break;
	default: return false;
	}
	return true;
}

/* Whether it can be booted; if not, why is said. */
static bool is_bootable(struct menu *menu)
{
	const struct boot_entry *entry = chosen_entry(menu);

	if (!entry)
		menu_say(menu, "Nothing matches; Esc clears the search.");
	else if (entry->broken)
		menu_say(menu, "error: %s", entry->error.text);
	return entry && !entry->broken;
}

static void begin_edit(struct menu *menu, enum menu_mode mode)
{
	const char *text;
	size_t size;

	if (!is_bootable(menu))
		return;
	if (!menu->may_edit) {
		menu_say(menu, "Editing is switched off in loader.conf.");
		return;
	}
	text = text_of(chosen_entry(menu), mode, &size);
	memcpy(menu->text, text, strlen(text) + 1);
	line_edit_init(&menu->edit, menu->text, size);
	menu->mode = mode;
}

static enum menu_action list_key(struct menu *menu, uint32_t key)
{
	if (move_key(menu, key))
		return MENU_STAY;
	switch (key) {
	case KEY_ENTER: return is_bootable(menu) ? MENU_BOOT : MENU_STAY;
	case KEY_F1 + 1:
	case KEY_CTRL('e'): begin_edit(menu, MENU_EDIT_OPTIONS); break;
	case KEY_F1 + 2:
	case KEY_CTRL('u'): begin_edit(menu, MENU_EDIT_UMBRA); break;
	case KEY_F1 + 3:
	case KEY_CTRL('d'):
		menu->details_top = 0;
		if (chosen_entry(menu))
			menu->mode = MENU_DETAILS;
		break;
	case KEY_F1 + 6:
	case KEY_CTRL('f'): return MENU_SETUP;
	case KEY_F1 + 7:
	case KEY_CTRL('r'): return MENU_REBOOT;
	case KEY_F1 + 8:
	case KEY_CTRL('o'): return MENU_POWER_OFF;
	case KEY_ESC:
		if (!menu->search[0])
			return MENU_LEAVE;
		menu->search[0] = '\0';
		filter(menu, menu_chosen(menu));
		break;
	default:
		if (key_is_text(key) || key == KEY_BACKSPACE || key == KEY_DELETE)
			search_key(menu, key);
	}
	return MENU_STAY;
}

/* The edited line becomes the entry's, unless it is one of Umbra's with a mistake. */
static bool keep_edit(struct menu *menu)
{
	static struct umbra_options options; /* too large for a small stack */
	struct boot_entry *entry = chosen_entry(menu);
	struct boot_error error;

	if (menu->mode == MENU_EDIT_UMBRA) {
		if (!options_parse(&options, menu->text, OPTIONS_CAN_AUDIT, &error)) {
			menu_say(menu, "error: %s", error.text);
			return false;
		}
		memcpy(entry->umbra, menu->text, sizeof(entry->umbra));
	} else {
		entry->options_edited |= strcmp(entry->options, menu->text) != 0;
		memcpy(entry->options, menu->text, sizeof(entry->options));
	}
	menu->mode = MENU_LIST;
	menu_say(menu, "Changed for this start alone; Enter boots.");
	return true;
}

static enum menu_action edit_key(struct menu *menu, uint32_t key)
{
	switch (key) {
	case KEY_ENTER: keep_edit(menu); break;
	case KEY_F1 + 9:
	case KEY_CTRL('x'): return keep_edit(menu) ? MENU_BOOT : MENU_STAY;
	case KEY_ESC: menu->mode = MENU_LIST; break;
	default: line_edit_key(&menu->edit, key);
	}
	return MENU_STAY;
}

static void details_key(struct menu *menu, uint32_t key)
{
	uint32_t lines = details_count(chosen_entry(menu), menu->columns);
	uint32_t last = lines > menu->page ? lines - menu->page : 0, top = menu->details_top;

	switch (key) {
	case KEY_UP: top -= MIN(top, 1u); break;
	case KEY_DOWN: top++; break;
	case KEY_PAGE_UP: top -= MIN(top, menu->page); break;
	case KEY_PAGE_DOWN: top += menu->page; break;
	case KEY_HOME: top = 0; break;
	case KEY_END: top = last; break;
	case KEY_ESC:
	case KEY_ENTER:
	case KEY_BACKSPACE:
	case KEY_F1 + 3:
	case KEY_CTRL('d'): menu->mode = MENU_LIST; break;
	default: break;
	}
	menu->details_top = MIN(top, last);
}

enum menu_action menu_key(struct menu *menu, uint32_t key)
{
	menu->seconds = 0;
	menu->message[0] = '\0';
	switch (menu->mode) {
	case MENU_LIST: return list_key(menu, key);
	case MENU_DETAILS: details_key(menu, key); return MENU_STAY;
	default: return edit_key(menu, key);
	}
}

enum menu_action menu_second(struct menu *menu)
{
	if (!menu->seconds || --menu->seconds)
		return MENU_STAY;
	return is_bootable(menu) ? MENU_BOOT : MENU_STAY;
}
