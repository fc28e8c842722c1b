/* SPDX-License-Identifier: BSD-2-Clause */
/* See words.h. */
#include "debug/words.h"

#include "lib/hex.h"
#include "lib/string.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool words_split(char *line, struct words *out)
{
	char *p = line;

	*out = (struct words){0};
	for (;;) {
		bool quoted;

		while (is_blank(*p))
			p++;
		if (!*p)
			return true;
		if (out->count == WORDS_MAX)
			return false;
		out->word[out->count++] = p;
		quoted = *p++ == '"';
		while (*p && (quoted ? *p != '"' : !is_blank(*p)))
			p++;
		if (*p)
			*p++ = '\0';
	}
}

static bool hexadecimal(const char *text, u32 length, u64 *value)
{
	if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		text += 2;
		length -= 2;
	}
	*value = 0;
	for (u32 i = 0; i < length; i++) {
		int d = hex_digit(text[i]);

		if (d < 0 || *value >> 60)
			return false;
		*value = *value << 4 | (u64)d;
	}
	return length;
}

bool words_number(const char *text, words_name_fn *name, void *ctx, u64 *value)
{
	bool minus = false;

	*value = 0;
	for (;;) {
		u32 length = 0;
		u64 term;

		while (text[length] && text[length] != '+' && text[length] != '-')
			length++;
		if (!(name && name(ctx, text, length, &term)) && !hexadecimal(text, length, &term))
			return false;
		*value = minus ? *value - term : *value + term;
		if (!text[length])
			return true;
		minus = text[length] == '-';
		text += length + 1;
	}
}

u32 words_bytes(const char *word, u8 *out, u32 size)
{
	u32 count = 0;

	if (*word == '"') {
		while (word[1 + count] && count < size) {
			out[count] = (u8)word[1 + count];
			count++;
		}
		return word[1 + count] ? 0 : count;
	}
	for (; *word; word += 2) {
		int high = hex_digit(word[0]), low = high < 0 ? -1 : hex_digit(word[1]);

		if (low < 0 || count == size)
			return 0;
		out[count++] = (u8)(high << 4 | low);
	}
	return count;
}
