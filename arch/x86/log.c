/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log. One message is formatted on the stack and then put out under the
 * lock, each line with the prefix "umbra: ".
 */
#include "arch/x86/log.h"

#include "arch/x86/screen.h"
#include "arch/x86/serial.h"
#include "lib/printf.h"
#include "lib/spinlock.h"

#define MESSAGE_MAX 512

enum console { CONSOLE_OURS, CONSOLE_GUESTS, CONSOLE_FATAL };

static struct {
	struct spinlock lock;
	enum log_level level;
	enum console console;
	bool in_line; /* the last byte was not \n */
	u64 written;
	char ring[LOG_RING_SIZE];
} logger;

static const char prefix[] = "umbra: ";

void log_init(enum log_level level)
{
	logger.level = level > LOG_DEBUG ? LOG_DEBUG : level;
}

void log_release_console(void)
{
	logger.console = CONSOLE_GUESTS;
	screen_release();
}

void log_take_console(void)
{
	screen_release();
	logger.console = CONSOLE_FATAL;
}

u64 log_written(void)
{
	return __atomic_load_n(&logger.written, __ATOMIC_ACQUIRE);
}

void log_read(u64 at, char *to, u32 bytes)
{
	u64 written = log_written(), first = written > LOG_RING_SIZE ? written - LOG_RING_SIZE : 0;

	for (u32 i = 0; i < bytes; i++, at++)
		to[i] = at >= first && at < written ? logger.ring[at % LOG_RING_SIZE] : 0;
}

static void put_char(char c, bool serial)
{
	logger.ring[logger.written % LOG_RING_SIZE] = c;
	__atomic_store_n(&logger.written, logger.written + 1, __ATOMIC_RELEASE);
	if (serial)
		serial_put(c);
	if (logger.console != CONSOLE_GUESTS)
		screen_put(c);
}

static void put_text(const char *text, bool serial)
{
	for (; *text; text++) {
		if (!logger.in_line) {
			for (const char *p = prefix; *p; p++)
				put_char(*p, serial);
		}
		put_char(*text, serial);
		logger.in_line = *text != '\n';
	}
}

void log_printf(enum log_level level, const char *format, ...)
{
	bool serial = logger.console != CONSOLE_GUESTS || level == LOG_ERROR;
	bool locked = logger.console != CONSOLE_FATAL;
	char text[MESSAGE_MAX];
	va_list args;

	if (level > logger.level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (locked)
		spin_lock(&logger.lock);
	put_text(text, serial);
	if (locked)
		spin_unlock(&logger.lock);
}
