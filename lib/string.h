/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory and string functions with the names and meaning of ISO C and POSIX,
 * so that calls the compiler makes up find them too.
 *
 * Host builds: libc has the same names, so lib/string.c and lib/printf.c are
 * compiled there with -DNAME=lib_NAME for each of these names (and no other
 * file is; everybody else then calls libc's, which the sanitizers watch):
 *
 *	memcpy memmove memset memcmp memchr
 *	strlen strnlen strcmp strncmp strchr strrchr strstr
 *	vsnprintf snprintf
 *
 * tests/unit/test_lib.c calls the lib_ names.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict dest, const void *restrict src, size_t n);
void *memmove(void *dest, const void *src, size_t n);
void *memset(void *dest, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int byte, size_t n);

size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);

/*
 * Copies src into dest[size], cut short if need be, always terminated (size 0:
 * nothing is written). Returns strlen(src): at least size means it was cut.
 */
size_t str_copy(char *dest, const char *src, size_t size);

#endif
