/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys as the menu knows them: a character of Unicode, control characters among
 * them, or one of the names below, which lie beyond Unicode. Pure functions: what a
 * terminal on a serial line sends for a key (ECMA-48, and what xterm, the Linux
 * console and the VT220 add) becomes that key.
 */
#ifndef BOOT_KEYS_H
#define BOOT_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_CTRL(letter) ((uint32_t)(letter)-0x60u)

enum {
	KEY_NONE = 0,
	KEY_BACKSPACE = 0x08,
	KEY_ENTER = 0x0d,
	KEY_ESC = 0x1b,
	KEY_UP = 0x110000,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_HOME,
	KEY_END,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_INSERT,
	KEY_DELETE,
	KEY_F1, /* and in their order up to F12 */
	KEY_F12 = KEY_F1 + 11,
};

/* Whether the key is a character that a text can have. */
bool key_is_text(uint32_t key);

/* The bytes of a key that has not come to its end. */
struct key_decoder {
	char bytes[8];
	uint32_t count;
};

/* Takes a byte; KEY_NONE while more belong to the key, and for what is no key. */
uint32_t key_decode(struct key_decoder *decoder, uint8_t byte);

/* No byte came for a while: an ESC that nothing followed is the key Esc. */
uint32_t key_decode_end(struct key_decoder *decoder);

#endif
