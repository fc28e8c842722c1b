/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of a terminal to keys; see keys.h. */
#include "boot/keys.h"
#include "boot/utf16.h"
#include "lib/types.h"

#define DEL 0x7f

/* The last byte of ESC [ x and ESC O x. */
static const struct {
	char last;
	uint32_t key;
} by_letter[] = {
	{'A', KEY_UP},     {'B', KEY_DOWN},   {'C', KEY_RIGHT}, {'D', KEY_LEFT},
	{'H', KEY_HOME},   {'F', KEY_END},    {'P', KEY_F1},    {'Q', KEY_F1 + 1},
	{'R', KEY_F1 + 2}, {'S', KEY_F1 + 3}, {'K', KEY_END}, /* of some terminals */
};

/* The number of ESC [ number ~ */
static const struct {
	uint8_t number;
	uint32_t key;
} by_number[] = {
	{1, KEY_HOME},    {2, KEY_INSERT},    {3, KEY_DELETE},   {4, KEY_END},
	{5, KEY_PAGE_UP}, {6, KEY_PAGE_DOWN}, {7, KEY_HOME},     {8, KEY_END},
	{11, KEY_F1},     {12, KEY_F1 + 1},   {13, KEY_F1 + 2},  {14, KEY_F1 + 3},
	{15, KEY_F1 + 4}, {17, KEY_F1 + 5},   {18, KEY_F1 + 6},  {19, KEY_F1 + 7},
	{20, KEY_F1 + 8}, {21, KEY_F1 + 9},   {23, KEY_F1 + 10}, {24, KEY_F1 + 11},
};

bool key_is_text(uint32_t key)
{
	return key >= 0x20 && key < KEY_UP && key != DEL && !(key >= 0x80 && key < 0xa0) &&
	       !(key >= 0xd800 && key < 0xe000);
}

static uint32_t plain(uint8_t byte)
{
	if (byte == '\n')
		return KEY_ENTER;
	return byte == DEL ? (uint32_t)KEY_BACKSPACE : byte;
}

static uint32_t letter_key(char last)
{
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(by_letter); i++)
		if (by_letter[i].last == last)
			return by_letter[i].key;
	return KEY_NONE;
}

/* ESC [ number ~, behind the number possibly a semicolon and modifiers. */
static uint32_t number_key(const struct key_decoder *decoder)
{
	uint32_t number = 0, i;

	for (i = 2; i < decoder->count && decoder->bytes[i] >= '0' && decoder->bytes[i] <= '9'; i++)
		number = number * 10 + (uint32_t)(decoder->bytes[i] - '0');
	for (i = 0; i < ARRAY_SIZE(by_number); i++)
		if (by_number[i].number == number)
			return by_number[i].key;
	return KEY_NONE;
}

static uint32_t more(struct key_decoder *decoder, char byte)
{
	if (decoder->count < sizeof(decoder->bytes))
		decoder->bytes[decoder->count++] = byte;
	return KEY_NONE;
}

/* Behind ESC [ or ESC O: all bytes of a sequence but the last are below 0x40, ECMA-48 section 5.4. */
static uint32_t sequence(struct key_decoder *decoder, char byte)
{
	uint32_t count = decoder->count, key;

	if (count == 1 ? byte == '[' || byte == 'O' :
			 count == 2 && byte == '[' && decoder->bytes[1] == '[')
		return more(decoder, byte);
	if (count > 1 && byte >= 0x20 && byte < 0x40)
		return more(decoder, byte);
	if (count == 1)
		key = byte == KEY_ESC ? KEY_ESC : KEY_NONE;
	else if (count == 3 && decoder->bytes[2] == '[') /* the Linux console's F1 to F5 */
		key = byte >= 'A' && byte <= 'E' ? KEY_F1 + (uint32_t)(byte - 'A') : KEY_NONE;
	else if (byte == '~')
		key = number_key(decoder);
	else
		key = letter_key(byte);
	decoder->count = 0;
	return key;
}

/* Bytes of a character of UTF-8 by its first; 0: it is no first byte. */
static uint32_t utf8_length(uint8_t first)
{
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

static uint32_t character(struct key_decoder *decoder, uint8_t byte)
{
	const char *text = decoder->bytes;
	uint32_t c;

	if ((byte & 0xc0) != 0x80) { /* the one before was cut off */
		decoder->count = 0;
		return key_decode(decoder, byte);
	}
	decoder->bytes[decoder->count++] = (char)byte;
	if (decoder->count < utf8_length((uint8_t)decoder->bytes[0]))
		return KEY_NONE;
	decoder->bytes[decoder->count] = '\0';
	decoder->count = 0;
	c = utf8_next(&text);
	return key_is_text(c) && c != UTF16_REPLACEMENT ? c : KEY_NONE;
}

uint32_t key_decode(struct key_decoder *decoder, uint8_t byte)
{
	if (decoder->count)
		return decoder->bytes[0] == KEY_ESC ? sequence(decoder, (char)byte) :
						      character(decoder, byte);
	if (byte != KEY_ESC && !utf8_length(byte))
		return byte < 0x80 ? plain(byte) : (uint32_t)KEY_NONE;
	decoder->bytes[decoder->count++] = (char)byte;
	return KEY_NONE;
}

uint32_t key_decode_end(struct key_decoder *decoder)
{
	bool esc = decoder->count == 1 && decoder->bytes[0] == KEY_ESC;

	decoder->count = 0;
	return esc ? KEY_ESC : KEY_NONE;
}
