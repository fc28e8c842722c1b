/* SPDX-License-Identifier: BSD-2-Clause */
/* What the monitor says, page by page where somebody reads it: through two functions, so that tests can stand for the port. */
#ifndef DEBUG_CONSOLE_H
#define DEBUG_CONSOLE_H

#include "lib/log.h"
#include "lib/types.h"

/* put: \n becomes what the terminal wants. get: waits for a byte. */
void console_init(void (*put)(char c), u8 (*get)(void));

/* Lines to a page, 0: it never waits. Returns what it was. */
u32 console_set_page(u32 lines);

/* A command begins. */
void console_begin(void);

/* Nothing more is shown of this command: the reader has had enough. For loops. */
bool console_is_over(void);

void console_printf(const char *format, ...) PRINTF_LIKE(1, 2);
void console_put(char c);

#endif
