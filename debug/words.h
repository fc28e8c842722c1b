/* SPDX-License-Identifier: BSD-2-Clause */
/* A command line as words, and words as numbers. */
#ifndef DEBUG_WORDS_H
#define DEBUG_WORDS_H

#include "lib/types.h"

#define WORDS_MAX 24u

/* word[0] to word[count - 1] are in the line, each with a NUL behind it; the others are NULL. */
struct words {
	u32 count;
	const char *word[WORDS_MAX];
};

/* At blanks; a word that begins with " goes to the next one, which is left out, so that it may have blanks. False: there are more than WORDS_MAX. */
bool words_split(char *line, struct words *out);

/* What a name in an expression is worth; false: there is none. */
typedef bool words_name_fn(void *ctx, const char *name, u32 length, u64 *value);

/*
 * Terms with + or - between them, modulo 2^64: a hexadecimal number, with 0x or without, or a name, which comes first if the term could be
 * either. False: it is none of these, or a number has more than 64 bits.
 */
bool words_number(const char *text, words_name_fn *name, void *ctx, u64 *value);

/* "4889e5", or the characters of a word that began with ". How many bytes; 0: it is neither, or there are more than size. */
u32 words_bytes(const char *word, u8 *out, u32 size);

#endif
