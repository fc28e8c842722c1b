/* SPDX-License-Identifier: BSD-2-Clause */
/* Shell patterns; see text.h. */
#include "boot/text.h"

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
