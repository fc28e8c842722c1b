/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted output. A conversion is parsed into a struct spec, its text is made
 * (digits from the right, or a string) and then padded; everything goes through
 * put(), which counts what does not fit.
 */
#include "lib/printf.h"
#include "lib/string.h"

struct output {
	char *buf;
	size_t size;
	size_t length; /* of the text so far, also the part that did not fit */
};

struct spec {
	bool left, zero, plus, space, alternate;
	int width;
	int precision; /* -1: none given */
	u32 bytes;     /* size of an integer argument: 1, 2, 4, 8 */
	char conversion;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->buf[out->length] = c;
	out->length++;
}

static void put_n(struct output *out, char c, int n)
{
	while (n-- > 0)
		put(out, c);
}

static void put_text(struct output *out, const char *text, int n)
{
	for (int i = 0; i < n; i++)
		put(out, text[i]);
}

/* A string or character: precision has been applied, only the width is left. */
static void put_padded(struct output *out, const struct spec *spec, const char *text, int n)
{
	if (!spec->left)
		put_n(out, ' ', spec->width - n);
	put_text(out, text, n);
	if (spec->left)
		put_n(out, ' ', spec->width - n);
}

/* The digits of value from the right end of digits[24] (octal needs 22); returns how many. */
static int make_digits(char digits[24], u64 value, u32 base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	int n = 0;

	for (; value; value /= base)
		digits[24 - ++n] = set[value % base];
	return n;
}

static void put_number(struct output *out, const struct spec *spec, const char *prefix, u64 value, u32 base)
{
	char digits[24];
	int n = make_digits(digits, value, base, spec->conversion == 'X');
	int zeros = (spec->precision < 0 ? 1 : spec->precision) - n;
	int prefix_length = (int)strlen(prefix);

	zeros = MAX(zeros, 0);
	if (spec->zero && !spec->left && spec->precision < 0)
		zeros = MAX(zeros, spec->width - prefix_length - n);
	if (!spec->left)
		put_n(out, ' ', spec->width - prefix_length - zeros - n);
	put_text(out, prefix, prefix_length);
	put_n(out, '0', zeros);
	put_text(out, digits + 24 - n, n);
	if (spec->left)
		put_n(out, ' ', spec->width - prefix_length - zeros - n);
}

static void put_signed(struct output *out, const struct spec *spec, s64 value)
{
	const char *sign = value < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";

	put_number(out, spec, sign, value < 0 ? -(u64)value : (u64)value, 10);
}

static void put_hex(struct output *out, const struct spec *spec, u64 value)
{
	const char *prefix = spec->conversion == 'X' ? "0X" : "0x";

	put_number(out, spec, spec->alternate && value ? prefix : "", value, 16);
}

static void put_pointer(struct output *out, const struct spec *spec, const void *p)
{
	struct spec full = *spec;

	full.precision = 16;
	put_number(out, &full, "0x", (u64)(uintptr_t)p, 16);
}

static void put_string(struct output *out, const struct spec *spec, const char *s)
{
	if (!s)
		s = "(null)";
	put_padded(out, spec, s, (int)strnlen(s, spec->precision < 0 ? INT32_MAX : (size_t)spec->precision));
}

static const char *parse_flags(const char *f, struct spec *spec)
{
	for (;; f++) {
		switch (*f) {
		case '-': spec->left = true; break;
		case '0': spec->zero = true; break;
		case '+': spec->plus = true; break;
		case ' ': spec->space = true; break;
		case '#': spec->alternate = true; break;
		default: return f;
		}
	}
}

static const char *parse_number(const char *f, int *n)
{
	for (*n = 0; *f >= '0' && *f <= '9'; f++) {
		if (*n < 100000)
			*n = *n * 10 + (*f - '0');
	}
	return f;
}

static const char *parse_length(const char *f, struct spec *spec)
{
	spec->bytes = 4;
	if (*f == 'h') {
		spec->bytes = f[1] == 'h' ? 1 : 2;
		return f + (f[1] == 'h' ? 2 : 1);
	}
	if (*f == 'l') {
		spec->bytes = 8;
		return f + (f[1] == 'l' ? 2 : 1);
	}
	if (*f == 'z' || *f == 'j' || *f == 't') {
		spec->bytes = 8;
		return f + 1;
	}
	return f;
}

/* Parses what follows a '%', up to and with the conversion character. */
static const char *parse_spec(const char *f, struct spec *spec, va_list *args)
{
	*spec = (struct spec){.precision = -1};
	f = parse_flags(f, spec);
	if (*f == '*') {
		spec->width = va_arg(*args, int);
		f++;
	} else {
		f = parse_number(f, &spec->width);
	}
	if (spec->width < 0) {
		spec->left = true;
		spec->width = -spec->width;
	}
	if (*f == '.') {
		f++;
		if (*f == '*') {
			spec->precision = va_arg(*args, int);
			spec->precision = MAX(spec->precision, -1);
			f++;
		} else {
			f = parse_number(f, &spec->precision);
		}
	}
	f = parse_length(f, spec);
	spec->conversion = *f;
	return *f ? f + 1 : f;
}

static u64 next_unsigned(const struct spec *spec, va_list *args)
{
	if (spec->bytes == 8)
		return va_arg(*args, u64);
	return va_arg(*args, u32) & BITS(spec->bytes * 8 - 1, 0);
}

static s64 next_signed(const struct spec *spec, va_list *args)
{
	u32 shift = 64 - spec->bytes * 8;

	return (s64)(next_unsigned(spec, args) << shift) >> shift;
}

/* Prints one argument. False: the conversion is not known and nothing was printed. */
static bool convert(struct output *out, const struct spec *spec, va_list *args)
{
	char c;

	switch (spec->conversion) {
	case 'd':
	case 'i': put_signed(out, spec, next_signed(spec, args)); return true;
	case 'u': put_number(out, spec, "", next_unsigned(spec, args), 10); return true;
	case 'o': put_number(out, spec, "", next_unsigned(spec, args), 8); return true;
	case 'x':
	case 'X': put_hex(out, spec, next_unsigned(spec, args)); return true;
	case 'p': put_pointer(out, spec, va_arg(*args, void *)); return true;
	case 's': put_string(out, spec, va_arg(*args, const char *)); return true;
	case 'c':
		c = (char)va_arg(*args, int);
		put_padded(out, spec, &c, 1);
		return true;
	case '%': put(out, '%'); return true;
	default: return false;
	}
}

static void format_all(struct output *out, const char *format, va_list *args)
{
	struct spec spec;

	while (*format) {
		const char *start = format;

		if (*format++ != '%') {
			put(out, *start);
			continue;
		}
		format = parse_spec(format, &spec, args);
		if (!convert(out, &spec, args)) {
			put_text(out, start, (int)strlen(start));
			return; /* the arguments that follow cannot be trusted */
		}
	}
}

int vsnprintf(char *buf, size_t size, const char *format, va_list args)
{
	struct output out = {.buf = buf, .size = size};
	va_list copy;

	va_copy(copy, args);
	format_all(&out, format, &copy);
	va_end(copy);
	if (size)
		buf[MIN(out.length, size - 1)] = '\0';
	return (int)out.length;
}

int snprintf(char *buf, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(buf, size, format, args);
	va_end(args);
	return length;
}
