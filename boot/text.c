/* SPDX-License-Identifier: BSD-2-Clause */
/* Spans of text, numbers, one-line errors; see text.h. */
#include "boot/text.h"
#include "lib/hex.h"
#include "lib/printf.h"
#include "lib/string.h"

bool text_span_equal(struct text_span span, const char *s)
{
	size_t i;

	for (i = 0; i < span.length; i++)
		if (!s[i] || s[i] != span.at[i])
			return false;
	return s[i] == '\0';
}

char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

bool text_span_equal_any_case(struct text_span span, const char *s)
{
	size_t i;

	for (i = 0; i < span.length; i++)
		if (!s[i] || text_lower(span.at[i]) != text_lower(s[i]))
			return false;
	return s[i] == '\0';
}

bool text_copy(char *to, size_t size, struct text_span from)
{
	size_t n = from.length < size ? from.length : size - 1;

	memcpy(to, from.at, n);
	to[n] = '\0';
	return n == from.length;
}

bool text_append_word(char *to, size_t size, struct text_span from)
{
	size_t used = strlen(to), gap = used && from.length ? 1 : 0;

	if (used + gap + from.length >= size)
		return false;
	if (gap)
		to[used++] = ' ';
	return text_copy(to + used, size - used, from);
}

struct text_span text_trim(struct text_span span)
{
	while (span.length && text_is_blank(span.at[0]))
		span.at++, span.length--;
	while (span.length && text_is_blank(span.at[span.length - 1]))
		span.length--;
	return span;
}

bool text_next_line(struct text_span *text, struct text_span *line)
{
	size_t n = 0;

	if (!text->length)
		return false;
	while (n < text->length && text->at[n] != '\n')
		n++;
	*line = (struct text_span){text->at, n};
	if (n < text->length)
		n++;
	text->at += n;
	text->length -= n;
	if (line->length && line->at[line->length - 1] == '\r')
		line->length--;
	return true;
}

bool text_next_word(struct text_span *text, struct text_span *word)
{
	size_t n = 0;

	*text = text_trim(*text);
	if (!text->length)
		return false;
	while (n < text->length && !text_is_blank(text->at[n]))
		n++;
	*word = (struct text_span){text->at, n};
	text->at += n;
	text->length -= n;
	return true;
}

bool text_parse_u64(struct text_span span, uint64_t *value)
{
	unsigned int base = 10;
	uint64_t v = 0;
	size_t i = 0;

	if (span.length > 2 && span.at[0] == '0' && text_lower(span.at[1]) == 'x') {
		base = 16;
		i = 2;
	}
	if (i == span.length)
		return false;
	for (; i < span.length; i++) {
		unsigned int digit =
			(unsigned int)hex_digit(span.at[i]); /* what is none is above any base */

		if (digit >= base || v > (UINT64_MAX - digit) / base)
			return false;
		v = v * base + digit;
	}
	*value = v;
	return true;
}

/* log2 of the suffix, 0 if c is none. */
static unsigned int suffix_shift(char c)
{
	switch (text_lower(c)) {
	case 'k': return 10;
	case 'm': return 20;
	case 'g': return 30;
	case 't': return 40;
	default: return 0;
	}
}

bool text_parse_size(struct text_span span, uint64_t *bytes)
{
	unsigned int shift = span.length ? suffix_shift(span.at[span.length - 1]) : 0;
	uint64_t v;

	if (shift)
		span.length--;
	if (!text_parse_u64(span, &v) || (shift && v >> (64 - shift)))
		return false;
	*bytes = v << shift;
	return true;
}

bool boot_error_set(struct boot_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return false;
}
