/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8 and UTF-16; see utf16.h and the Unicode standard, section 3.9. */
#include "boot/utf16.h"
#include "lib/types.h"

#define LAST_OF_UCS2 0xffffu
#define LAST_OF_UNICODE 0x10ffffu

static bool is_high(uint32_t c)
{
	return c >= 0xd800 && c < 0xdc00;
}

static bool is_low(uint32_t c)
{
	return c >= 0xdc00 && c < 0xe000;
}

/* Bytes behind a leading byte, its bits, and the first character that needs so many. */
static const struct utf8_form {
	uint8_t mask, lead, more;
	uint32_t first;
} forms[] = {
	{0x80, 0x00, 0, 0},
	{0xe0, 0xc0, 1, 0x80},
	{0xf0, 0xe0, 2, 0x800},
	{0xf8, 0xf0, 3, 0x10000},
};

/* Bytes of a character at s by this form; 0: it is none. */
static unsigned int decode(const struct utf8_form *form, const uint8_t *s, uint32_t *c)
{
	unsigned int i;

	if ((s[0] & form->mask) != form->lead)
		return 0;
	*c = s[0] & (uint8_t)~form->mask;
	for (i = 1; i <= form->more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	if (*c < form->first || *c > LAST_OF_UNICODE || is_high(*c) || is_low(*c))
		return 0;
	return i;
}

uint32_t utf8_next(const char **text)
{
	unsigned int i, bytes;
	uint32_t c;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		bytes = decode(&forms[i], (const uint8_t *)*text, &c);
		if (bytes) {
			*text += bytes;
			return c;
		}
	}
	(*text)++;
	return UTF16_REPLACEMENT;
}

uint16_t utf8_next_ucs2(const char **text)
{
	uint32_t c = utf8_next(text);

	return c <= LAST_OF_UCS2 ? (uint16_t)c : UTF16_REPLACEMENT;
}

/* One unit or two; returns how many. */
static unsigned int encode_utf16(uint16_t to[2], uint32_t c)
{
	if (c <= LAST_OF_UCS2) {
		to[0] = (uint16_t)c;
		return 1;
	}
	to[0] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
	to[1] = (uint16_t)(0xdc00 + ((c - 0x10000) & 0x3ff));
	return 2;
}

static bool is_separator(char c)
{
	return c == '/' || c == '\\';
}

bool utf16_from_path(uint16_t *to, size_t size, const char *path)
{
	bool separator = true; /* one is due before the first name */
	uint16_t units[2];
	size_t n = 0;

	while (*path) {
		unsigned int i, count;

		if (is_separator(*path)) {
			separator = true;
			path++;
			continue;
		}
		count = encode_utf16(units, utf8_next(&path));
		if (n + separator + count >= size)
			return false;
		if (separator)
			to[n++] = '\\';
		separator = false;
		for (i = 0; i < count; i++)
			to[n++] = units[i];
	}
	if (!n)
		to[n++] = '\\';
	to[n] = 0;
	return true;
}

unsigned int utf8_put(char to[4], uint32_t c)
{
	unsigned int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3, i;

	for (i = more; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(forms[more].lead | c);
	return more + 1;
}

static uint32_t utf16_next(const uint16_t **name)
{
	uint32_t c = *(*name)++;

	if (is_high(c) && is_low(**name))
		return 0x10000 + ((c - 0xd800) << 10) + (*(*name)++ - 0xdc00u);
	return is_high(c) || is_low(c) ? UTF16_REPLACEMENT : c;
}

bool utf16_to_utf8(char *to, size_t size, const uint16_t *name)
{
	char bytes[4];
	size_t n = 0;

	while (*name) {
		unsigned int count = utf8_put(bytes, utf16_next(&name)), i;

		if (n + count >= size)
			return false;
		for (i = 0; i < count; i++)
			to[n++] = bytes[i];
	}
	to[n] = '\0';
	return true;
}
