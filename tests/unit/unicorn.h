/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unicorn, for a program that compares with it; included once in a program. Unicorn does not free all
 * that it takes: LeakSanitizer passes over what it took itself, and looks at the rest as ever.
 */
#ifndef TESTS_UNIT_UNICORN_H
#define TESTS_UNIT_UNICORN_H

#include <unicorn/unicorn.h>

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libunicorn\n";
}

#endif
