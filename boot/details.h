/* SPDX-License-Identifier: BSD-2-Clause */
/* A boot entry told in full, line by line, for the menu. Pure functions. */
#ifndef BOOT_DETAILS_H
#define BOOT_DETAILS_H

#include "boot/entry.h"

#define DETAILS_COLUMNS_MIN 32u

/*
 * Line number n, from 0, of all that is known of the entry; a value longer than
 * the line goes on in the next one. columns, at least DETAILS_COLUMNS_MIN, are
 * characters; size bytes hold four for each of them. False behind the last line.
 */
bool details_line(const struct boot_entry *entry, uint32_t n, uint32_t columns, char *line,
		  size_t size);

uint32_t details_count(const struct boot_entry *entry, uint32_t columns);

#endif
