/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted output into a buffer: %d %i %u %x %X %o %p %s %c %%, the length
 * modifiers hh h l ll z j t, the flags 0 - + space #, width and precision
 * (numbers or *). No floating point. %p prints 0x and 16 digits. A conversion
 * that is not in this list is copied as it stands, and the rest of the format
 * with it.
 */
#ifndef LIB_PRINTF_H
#define LIB_PRINTF_H

#include "lib/types.h"

/*
 * Writes at most size bytes, always terminated unless size is 0. Returns the
 * length of the whole text without the NUL: at least size means it was cut.
 */
int vsnprintf(char *buf, size_t size, const char *format, va_list args);
int snprintf(char *buf, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
