/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory and string functions. Long copies and fills are REP MOVSQ/STOSQ, eight
 * bytes an iteration. DF is clear in the hypervisor (the ABI's rule).
 */
#include "lib/string.h"

/* Or the compiler turns the loops below into calls of the very functions they are. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

/* Below this many bytes the start-up of a REP instruction is not worth it. */
#define REP_MIN 32

static inline void rep_movsq(void **dest, const void **src, size_t quads)
{
	__asm__ volatile("rep movsq" : "+D"(*dest), "+S"(*src), "+c"(quads) : : "memory");
}

static inline void rep_stosq(void **dest, u64 value, size_t quads)
{
	__asm__ volatile("rep stosq" : "+D"(*dest), "+c"(quads) : "a"(value) : "memory");
}

/* From low to high addresses: right unless dest lies inside the source, above its start. */
static void *copy_up(void *dest, const void *src, size_t n)
{
	void *to = dest;
	const void *from = src;

	if (n >= REP_MIN) {
		rep_movsq(&to, &from, n / 8);
		n %= 8;
	}
	for (size_t i = 0; i < n; i++)
		((u8 *)to)[i] = ((const u8 *)from)[i];
	return dest;
}

void *memcpy(void *restrict dest, const void *restrict src, size_t n)
{
	return copy_up(dest, src, n);
}

void *memmove(void *dest, const void *src, size_t n)
{
	u8 *to = dest;
	const u8 *from = src;

	/* Unsigned: a dest below src gives a huge distance. */
	if ((uintptr_t)to - (uintptr_t)from >= n)
		return copy_up(dest, src, n);
	while (n--)
		to[n] = from[n];
	return dest;
}

void *memset(void *dest, int byte, size_t n)
{
	void *to = dest;

	if (n >= REP_MIN) {
		rep_stosq(&to, (u8)byte * 0x0101010101010101ull, n / 8);
		n %= 8;
	}
	for (size_t i = 0; i < n; i++)
		((u8 *)to)[i] = (u8)byte;
	return dest;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

void *memchr(const void *s, int byte, size_t n)
{
	const u8 *x = s;

	for (size_t i = 0; i < n; i++) {
		if (x[i] == (u8)byte)
			return (void *)(uintptr_t)(x + i);
	}
	return NULL;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		u8 x = (u8)a[i], y = (u8)b[i];

		if (x != y)
			return x - y;
		if (!x)
			break;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;

	for (;; s++) {
		if (*s == (char)c)
			last = s;
		if (!*s)
			return (char *)(uintptr_t)last;
	}
}

char *strstr(const char *haystack, const char *needle)
{
	size_t n = strlen(needle);

	for (;; haystack++) {
		if (!strncmp(haystack, needle, n))
			return (char *)(uintptr_t)haystack;
		if (!*haystack)
			return NULL;
	}
}

size_t str_copy(char *dest, const char *src, size_t size)
{
	size_t length = strlen(src);

	if (size) {
		size_t n = MIN(length, size - 1);

		memcpy(dest, src, n);
		dest[n] = '\0';
	}
	return length;
}
