/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hypervisor under us counts. Under Umbra: its counters, read through
 * CPUID. Under KVM nothing can be read from inside: a VMMCALL marks the window
 * for the emulator's log. Elsewhere: nothing.
 */
#ifndef TOOLS_BENCH_GUEST_COUNTERS_H
#define TOOLS_BENCH_GUEST_COUNTERS_H

#include <stdint.h>

enum host { HOST_BARE, HOST_UMBRA, HOST_KVM, HOST_OTHER };

#define COUNTERS_MAX 128

struct counters {
	uint64_t value[COUNTERS_MAX];
};

/* Finds out where we run and reads the counters' names. */
enum host counters_init(void);
enum host counters_host(void);

/* The window opens after the first and closes before the second call. */
void counters_open(struct counters *before);
void counters_close(struct counters *after);

/* Prints the differences that are not 0 as members of a JSON object, without our own readings. */
void counters_print(const struct counters *before, const struct counters *after);

#endif
