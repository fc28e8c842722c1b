/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of version strings; see text.h. */
#include "boot/text.h"
#include "lib/types.h"

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
		for (i = 0; i < ARRAY_SIZE(separators); i++) {
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
