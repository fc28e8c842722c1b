/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logging and assertions. The implementation of log_printf() and panic() is
 * arch/x86/log.c and arch/x86/panic.c on the machine, and a few lines over
 * stdio in the host tests.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Prints one message (the caller ends it with \n) if level is enabled. */
void log_printf(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* The hypervisor is broken: prints everything known and stops. Takes no locks. */
NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);

#define log_error(...) log_printf(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_printf(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_printf(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_printf(LOG_DEBUG, __VA_ARGS__)

/* Our own invariant, always checked. A guest must never be able to reach one. */
#define BUG_ON(cond) \
	do { \
		if (unlikely(cond)) \
			panic("%s:%d: BUG_ON(%s)", __FILE__, __LINE__, #cond); \
	} while (0)

/* Checked in debug builds, compiled always. */
#ifdef UMBRA_DEBUG
#define UMBRA_DEBUG_ENABLED 1
#else
#define UMBRA_DEBUG_ENABLED 0
#endif
#define ASSERT(cond) \
	do { \
		if (UMBRA_DEBUG_ENABLED) \
			BUG_ON(!(cond)); \
	} while (0)

#endif
