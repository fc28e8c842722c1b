/* SPDX-License-Identifier: BSD-2-Clause */
/* Strings, globs, versions and a small printf for boot/; see text.h. */
#include "boot/text.h"

size_t text_length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int text_compare(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

bool text_equal(const char *a, const char *b)
{
	return text_compare(a, b) == 0;
}

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

bool text_copy(char *to, size_t size, struct text_span from)
{
	size_t i, n = from.length < size ? from.length : size - 1;

	for (i = 0; i < n; i++)
		to[i] = from.at[i];
	to[n] = '\0';
	return n == from.length;
}

bool text_append_word(char *to, size_t size, struct text_span from)
{
	size_t used = text_length(to), gap = used && from.length ? 1 : 0;

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

static int digit_value(char c)
{
	c = text_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
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
		unsigned int digit = (unsigned int)digit_value(span.at[i]);

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
	case 'k':
		return 10;
	case 'm':
		return 20;
	case 'g':
		return 30;
	case 't':
		return 40;
	default:
		return 0;
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

/*
 * Matches c against the set that starts after '['; *end is set behind its ']'.
 * Without a closing bracket *end is NULL: the '[' then stands for itself.
 */
static bool glob_set(const char *set, char c, const char **end)
{
	bool negated = *set == '!' || *set == '^', found = false;
	const char *p = negated ? set + 1 : set;
	const char *first = p;

	c = text_lower(c);
	for (; *p && (*p != ']' || p == first); p++) {
		char low = text_lower(*p), high = low;

		if (p[1] == '-' && p[2] && p[2] != ']') {
			high = text_lower(p[2]);
			p += 2;
		}
		if (c >= low && c <= high)
			found = true;
	}
	*end = *p ? p + 1 : NULL;
	return found != negated;
}

/* Matches one pattern element other than '*' against c; returns the pattern behind it, or NULL. */
static const char *glob_one(const char *pattern, char c)
{
	const char *end;
	bool in_set;

	if (*pattern == '?')
		return pattern + 1;
	if (*pattern == '[') {
		in_set = glob_set(pattern + 1, c, &end);
		if (end)
			return in_set ? end : NULL;
	}
	if (*pattern == '\\' && pattern[1])
		pattern++;
	return text_lower(*pattern) == text_lower(c) ? pattern + 1 : NULL;
}

bool text_glob(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL, *next;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
			continue;
		}
		next = *pattern ? glob_one(pattern, *name) : NULL;
		if (next) {
			pattern = next;
			name++;
		} else if (star) {
			/* let the last star eat one character more */
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	c = text_lower(c);
	return c >= 'a' && c <= 'z';
}

static bool in_version(char c)
{
	return is_digit(c) || is_alpha(c) || c == '~' || c == '-' || c == '^' || c == '.';
}

/* Compares runs of digits by value, whatever their length; moves both behind their run. */
static int compare_numbers(const char **a, const char **b)
{
	const char *start_a, *start_b;
	int first = 0;

	while (**a == '0')
		(*a)++;
	while (**b == '0')
		(*b)++;
	start_a = *a;
	start_b = *b;
	for (; is_digit(**a) && is_digit(**b); (*a)++, (*b)++)
		if (!first)
			first = (int)**a - (int)**b;
	while (is_digit(**a))
		(*a)++;
	while (is_digit(**b))
		(*b)++;
	if (*a - start_a != *b - start_b)
		return *a - start_a > *b - start_b ? 1 : -1;
	return first;
}

/* Compares runs of letters: capitals before small letters, a shorter run first. */
static int compare_letters(const char **a, const char **b)
{
	while (is_alpha(**a) && is_alpha(**b)) {
		if (**a != **b)
			return (int)**a - (int)**b;
		(*a)++;
		(*b)++;
	}
	return (int)is_alpha(**a) - (int)is_alpha(**b);
}

/*
 * The separators in the order in which the specification looks at them: a
 * string that goes on with one of these while the other does not is the older.
 * Returns 2 when neither has the separator or both have (and it was skipped).
 */
static int compare_separator(const char **a, const char **b, char separator)
{
	bool in_a = **a == separator, in_b = **b == separator;

	if (in_a != in_b)
		return in_a ? -1 : 1;
	if (in_a)
		(*a)++, (*b)++;
	return 2;
}

int text_compare_versions(const char *a, const char *b)
{
	static const char separators[] = {'-', '^', '.'};
	unsigned int i;
	int order;

	for (;;) {
		while (*a && !in_version(*a))
			a++;
		while (*b && !in_version(*b))
			b++;
		order = compare_separator(&a, &b, '~');
		if (order != 2)
			return order;
		if (!*a || !*b)
			return (int)(*a != 0) - (int)(*b != 0);
		for (i = 0; i < sizeof(separators); i++) {
			order = compare_separator(&a, &b, separators[i]);
			if (order != 2)
				return order;
		}
		order = is_digit(*a) || is_digit(*b) ? compare_numbers(&a, &b) :
			compare_letters(&a, &b);
		if (order)
			return order;
	}
}

/* Where text_vformat writes; length counts what fitted. */
struct sink {
	char *to;
	size_t size, length;
};

static void sink_char(struct sink *sink, char c)
{
	if (sink->length + 1 < sink->size)
		sink->to[sink->length++] = c;
}

static void sink_number(struct sink *sink, uint64_t v, unsigned int base, unsigned int width, char pad)
{
	char digits[20];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	for (; width > n; width--)
		sink_char(sink, pad);
	while (n)
		sink_char(sink, digits[--n]);
}

static void sink_string(struct sink *sink, const char *s, size_t limit, unsigned int width)
{
	size_t i;

	for (i = 0; i < limit && s[i]; i++)
		sink_char(sink, s[i]);
	for (; i < width; i++)
		sink_char(sink, ' ');
}

size_t text_vformat(char *to, size_t size, const char *format, va_list args)
{
	struct sink sink = {to, size, 0};

	for (; *format; format++) {
		unsigned int width = 0, longs = 0;
		size_t limit = SIZE_MAX;
		char pad = ' ';

		if (*format != '%') {
			sink_char(&sink, *format);
			continue;
		}
		format++;
		if (*format == '-')
			format++;
		if (*format == '0')
			pad = *format++;
		while (is_digit(*format))
			width = width * 10 + (unsigned int)(*format++ - '0');
		if (format[0] == '.' && format[1] == '*') {
			limit = (size_t)va_arg(args, int);
			format += 2;
		}
		while (*format == 'l')
			longs++, format++;
		if (*format == 's')
			sink_string(&sink, va_arg(args, const char *), limit, width);
		else if (*format == 'c')
			sink_char(&sink, (char)va_arg(args, int));
		else if (*format == 'u' || *format == 'x')
			sink_number(&sink, longs == 0 ? va_arg(args, unsigned int) :
				    longs == 1 ? va_arg(args, unsigned long) :
				    va_arg(args, unsigned long long),
				    *format == 'x' ? 16 : 10, width, pad);
		else if (*format == '%')
			sink_char(&sink, '%');
		else
			break;
	}
	if (size)
		to[sink.length] = '\0';
	return sink.length;
}

size_t text_format(char *to, size_t size, const char *format, ...)
{
	va_list args;
	size_t n;

	va_start(args, format);
	n = text_vformat(to, size, format, args);
	va_end(args);
	return n;
}

bool boot_error_set(struct boot_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_vformat(error->text, sizeof(error->text), format, args);
	va_end(args);
	return false;
}
