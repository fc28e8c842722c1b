/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test's report as the loader writes it: line by line. */
#ifndef BOOT_SELFTEST_TEXT_H
#define BOOT_SELFTEST_TEXT_H

#include "boot/selftest_block.h"

/* Appends one line; the report is cut off where it does not fit. */
void selftest_line(struct selftest_block *block, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
