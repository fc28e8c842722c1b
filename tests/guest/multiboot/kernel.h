/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The multiboot test kernels: what their two halves share. They check everything
 * that they were given, print PASS: and FAIL: lines on the first serial port and
 * end the emulator through the debug exit port, like the other test images. Built
 * for 32 and for 64 bits; addresses are physical and below 4 GiB.
 *
 * The command line is "umbra-test ram_mib=N modules=N", then what else holds:
 * forced=1 (loaded over reserved memory), symbols=1 (from an ELF file), screen=1
 * and acpi=1 (the firmware has a 32-bit framebuffer, ACPI tables); module K holds the bytes (K + 7 * i) & 0xff and has the string
 * "module K bytes=N".
 */
#ifndef TESTS_GUEST_MULTIBOOT_KERNEL_H
#define TESTS_GUEST_MULTIBOOT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_RANGES 256
#define MAX_MODULES 16

struct range {
	uint64_t base, end;
};

struct module {
	struct range at;
	const char *string;
};

struct framebuffer {
	uint64_t address;
	uint32_t pitch, width, height;
	uint8_t depth, type, red_position, red_size, green_position, green_size, blue_position, blue_size;
};

/* What either version of the specification tells, collected for the common checks. */
struct given {
	const char *cmdline, *loader;
	uint32_t mem_lower, mem_upper; /* KiB */
	struct range ram[MAX_RANGES];
	uint32_t ram_count;
	bool map_sorted;
	struct module module[MAX_MODULES];
	uint32_t module_count;
	struct framebuffer framebuffer; /* depth 0: none */
	struct range info;              /* the information itself */
	const uint8_t *sections;        /* NULL: none */
	uint32_t section_count, section_bytes;
};
extern struct given given;

/* entry32.asm or entry64.asm calls it: EAX and EBX as the kernel was entered with. */
void kernel_main(uint32_t magic, uint32_t info);

/* Prints PASS: or FAIL: name. Returns ok. */
bool check(bool ok, const char *name);
/* The same for a number that should be another. */
bool check_equal(uint64_t is, uint64_t should_be, const char *name);
/* An entry of the memory map, in its order. */
void add_map_entry(uint64_t base, uint64_t size, uint32_t type);
/* Everything that is the same for both versions; ends the emulator. */
__attribute__((noreturn)) void check_given_and_finish(void);

/* "name=NUMBER" on a line of words, or 0. */
uint32_t number_of(const char *line, const char *name);
bool string_equal(const char *a, const char *b);
bool bytes_equal(const void *a, const void *b, uint32_t n);

static inline const void *at(uint64_t address)
{
	return (const void *)(uintptr_t)address;
}

#endif
