/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the self-test's report; see selftest_text.h. */
#include "boot/selftest_text.h"
#include "lib/printf.h"
#include "lib/string.h"

#define LINE_MAX 512

void selftest_line(struct selftest_block *block, const char *format, ...)
{
	char line[LINE_MAX];
	va_list list;
	size_t n;

	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	n = strlen(line);
	if (n + 1 > SELFTEST_TEXT_MAX - block->length)
		return;
	memcpy(block->text + block->length, line, n);
	block->text[block->length + n] = '\n';
	block->length += (uint32_t)n + 1;
}
