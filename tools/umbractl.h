/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of umbractl share: no library is below them, on x86-64 nor on i386. */
#ifndef TOOLS_UMBRACTL_H
#define TOOLS_UMBRACTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_INFO 0x40000001u
#define LEAF_RELEASE 0x40000002u
#define LEAF_COUNTER 0x40000010u
#define LEAF_COUNTER_NAME 0x40000011u
#define LEAF_LOG 0x40000012u
#define LEAF_LOG_TEXT 0x40000013u
#define LEAF_TRACE 0x40000020u
#define LEAF_TRACE_RECORD 0x40000021u
#define LEAF_TRACE_FILTER 0x40000022u

#define NAME_PARTS 4
#define NAME_BYTES (NAME_PARTS * 16 + 1)
#define CPUS_MAX 256u

#define STDOUT 1
#define STDERR 2

struct regs {
	uint32_t a, b, c, d;
};

struct regs cpuid(uint32_t leaf, uint32_t index);
/* The same with EBX and EDX as further operands. */
struct regs cpuid_with(uint32_t leaf, uint32_t index, uint64_t value);

/* which: 0: of all processors together, n: of the one with number n - 1. */
uint64_t counter_value(uint32_t index, uint32_t which);
void counter_name(uint32_t index, char name[NAME_BYTES]);

/* --- text ------------------------------------------------------------------------- */
size_t length(const char *s);
bool equal(const char *a, const char *b);
void print_to(int fd, const char *s);
void print(const char *s);
bool write_all(const void *data, size_t bytes);
void sleep_ms(uint32_t milliseconds);

/* v / by, which i386 has no instruction for. */
uint64_t divide(uint64_t v, uint32_t by, uint32_t *rest);
/* Decimal, or hexadecimal after 0x, to the end of the text or to an end character, which *end is set to. */
bool parse_number(const char *text, uint64_t *value, const char **end);

/* A line that is put together and then written at once. */
struct line {
	char text[512];
	uint32_t at;
};
void put(struct line *line, const char *s);
void put_number(struct line *line, uint64_t v, uint32_t width); /* decimal, to the right of so many columns */
void put_hex(struct line *line, uint64_t v, uint32_t digits);   /* at least so many */
void put_to_column(struct line *line, uint32_t column);
void put_end(struct line *line); /* writes it with a line feed, and begins anew */

/* --- commands: the program's status ---------------------------------------------------- */
int trace_main(long argc, char **argv);   /* trace ... */
int history_main(long argc, char **argv); /* history ..., who-maps ... */
int stat_main(long argc, char **argv);    /* stat ... */

#endif
