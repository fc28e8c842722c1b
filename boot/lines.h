/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration files: lines of a key and a value, empty lines, comments behind #. */
#ifndef BOOT_LINES_H
#define BOOT_LINES_H

#include "boot/text.h"

/* A line split into its key and its value; number counts from 1. */
struct key_line {
	struct text_span key, value;
	uint32_t number;
};

/* The file's text, without the UTF-8 byte order mark that some editors begin a file with. */
struct text_span lines_of(const char *text, size_t size);

/* Finds the next line that is neither empty nor a comment; false at the end. */
bool lines_next_key(struct text_span *text, struct key_line *line);

#endif
