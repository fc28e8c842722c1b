/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text between boot/ (UTF-8, as boot entries are) and the firmware: file names
 * are UTF-16, the console shows UCS-2. What is no UTF-8 becomes U+FFFD, byte by
 * byte. Pure functions.
 */
#ifndef BOOT_UTF16_H
#define BOOT_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF16_REPLACEMENT 0xfffdu

/* Takes the next character off the text, which must not be at its end. */
uint32_t utf8_next(const char **text);

/* The same for the screen: U+FFFD for what lies beyond UCS-2. */
uint16_t utf8_next_ucs2(const char **text);

/* A character's bytes, at most four; returns how many. */
unsigned int utf8_put(char to[4], uint32_t c);

/*
 * A path as the firmware wants it: absolute, separated by backslashes. / and \
 * are separators, and several of them together are one. False when it does not
 * fit in size units.
 */
bool utf16_from_path(uint16_t *to, size_t size, const char *path);

/* A file's name in UTF-8; false when it does not fit. */
bool utf16_to_utf8(char *to, size_t size, const uint16_t *name);

#endif
