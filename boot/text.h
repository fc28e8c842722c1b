/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for boot/, beyond lib/string.h and lib/printf.h: spans, bounded copies,
 * numbers, patterns (glob.c), versions (version.c), one-line errors. No EFI
 * headers, so that the parsers which use it are compiled for the host tests from
 * the very same files.
 */
#ifndef BOOT_TEXT_H
#define BOOT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_ERROR_MAX 320

/* One line for the user: what is wrong and what to do. */
struct boot_error {
	char text[BOOT_ERROR_MAX];
};

/* A piece of text that is not NUL terminated. */
struct text_span {
	const char *at;
	size_t length;
};

bool text_span_equal(struct text_span span, const char *s);

/* ASCII only, as names on the FAT file system are compared. */
char text_lower(char c);
bool text_is_blank(char c);
bool text_span_equal_any_case(struct text_span span, const char *s);

/* Copies with a terminating NUL; false (and a truncated copy) when it does not fit. */
bool text_copy(char *to, size_t size, struct text_span from);

/* Appends a blank (if to is not empty) and the span; false and unchanged when it does not fit. */
bool text_append_word(char *to, size_t size, struct text_span from);

struct text_span text_trim(struct text_span span);

/* Takes the next line off text (without its line ending, LF or CRLF); false at the end. */
bool text_next_line(struct text_span *text, struct text_span *line);

/* Takes the next blank-separated word off text; false at the end. */
bool text_next_word(struct text_span *text, struct text_span *word);

/*
 * An unsigned number: decimal, or hexadecimal after 0x. False when there is no
 * digit, another character or more than 64 bits.
 */
bool text_parse_u64(struct text_span span, uint64_t *value);

/* A number of bytes with an optional suffix K, M, G or T (powers of 1024, either case). */
bool text_parse_size(struct text_span span, uint64_t *bytes);

/* Shell pattern with * ? and [set], case-insensitive as FAT names are. */
bool text_glob(const char *pattern, const char *name);

/* Orders version strings as the UAPI version format specification does: <0, 0, >0. */
int text_compare_versions(const char *a, const char *b);

/* Writes the error's line; returns false, so that a parser can return it. */
bool boot_error_set(struct boot_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
