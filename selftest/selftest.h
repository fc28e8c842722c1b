/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-test: a guest of Umbra's own, inside umbra.efi, that checks on the processor at hand what the hypervisor
 * owes a guest. It is built like the images of tests/guest and on their runtime; what is judged here has no bare
 * machine beside it, so each check knows by itself what must come.
 */
#ifndef SELFTEST_SELFTEST_H
#define SELFTEST_SELFTEST_H

#include "boot/selftest_block.h"
#include "tests/guest/lib/guest.h"

extern struct selftest_block *block;

/* --- checks: the first word that fails or skips one is kept --- */
struct check_item {
	const char *name;
	void (*run)(void);
};
void fail(const char *format, ...) PRINTF_LIKE(1, 2);
void skip(const char *format, ...) PRINTF_LIKE(1, 2);
/* What a check that passes says behind its name. */
void note(const char *format, ...) PRINTF_LIKE(1, 2);
bool has_failed(void);
/* Fails with the text unless ok; returns ok. */
#define EXPECT(ok, ...) ((ok) ? true : (fail(__VA_ARGS__), false))

/* In this order; the last run with the tables of smp.h, the others with the runtime's. */
extern const struct check_item paging_checks[], rights_checks[], system_checks[], event_checks[];

/* --- serial.c: nothing where there is no port --- */
void serial_init(void);
void serial_put(char c);
/* 0: nothing has come. */
char serial_get(void);

/* --- output.c --- */
/* What the loader has written goes to the serial port; then to the screen, when there is one. */
void output_init(void);
void output_replay(void);
/* Into the report alone. */
void output_keep(const char *text);
/* The line that stands for what is under way, on the screen alone. */
void output_progress(const char *name, u32 done, u32 of);
/* The block's copies are made the same, with their checksums. */
void output_seal(enum selftest_state state);

/* --- screen.c: text on the framebuffer; nothing happens without one --- */
void screen_init(const struct boot_framebuffer *fb);
void screen_clear(void);
u32 screen_columns(void), screen_lines(void);
/* A string, cut at its newline or the edge, at that line. */
void screen_line(u32 line, const char *text, u32 colour);
#define COLOUR_TEXT 0xffffffu
#define COLOUR_PASS 0x80ff80u
#define COLOUR_FAIL 0x4040ffu
#define COLOUR_HINT 0xc0c000u

/* --- clock.c --- */
void clock_init(void);
bool clock_has_pit(void);
u64 clock_hz(void); /* of the TSC, measured */
u64 clock_now(void);
bool clock_over(u64 since, u64 ms);
/* Turns until the condition, which is asked once a turn, holds or so many ms are over; whether it holds. */
#define WAIT_MS(condition, ms) \
	({ \
		u64 since_ = clock_now(); \
		bool holds_; \
		while (!(holds_ = (condition)) && !clock_over(since_, ms)) \
			asm volatile("pause" : : : "memory"); \
		holds_; \
	})
/* TSC ticks of a run of the PIT's second counter down from 65535; 0: it does not come to an end. */
u64 clock_measure(void);

/* --- keys.c: the PS/2 controller, and the serial port --- */
char key_read(void); /* 0: none. '\n' stands for Enter, 'r', 'p', ' ' for any other */

/* --- pages.c --- */
/* Shows the report; returns when the user or the time has decided. */
enum decision { DECIDE_REBOOT, DECIDE_POWER_OFF };
enum decision pages_show(void);

/* --- power.c --- */
NORETURN void power_end(enum decision what);

#endif
