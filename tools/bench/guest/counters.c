/* SPDX-License-Identifier: BSD-2-Clause */
/* See counters.h. The leaves are those that tools/umbractl.c reads. */
#include "counters.h"

#include <cpuid.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_INFO 0x40000001u
#define LEAF_COUNTER 0x40000010u
#define LEAF_COUNTER_NAME 0x40000011u
#define NAME_PARTS 4

struct regs {
	uint32_t a, b, c, d;
};

static enum host host;
static unsigned count;
static char names[COUNTERS_MAX][NAME_PARTS * 16 + 1];

static struct regs cpuid(uint32_t leaf, uint32_t index)
{
	struct regs r;

	__cpuid_count(leaf, index, r.a, r.b, r.c, r.d);
	return r;
}

static void read_name(unsigned index)
{
	for (uint32_t part = 0; part < NAME_PARTS; part++) {
		struct regs r = cpuid(LEAF_COUNTER_NAME, index * NAME_PARTS + part);
		uint32_t words[4] = {r.a, r.b, r.c, r.d};

		memcpy(names[index] + part * 16, words, 16);
	}
}

enum host counters_init(void)
{
	struct regs r = cpuid(LEAF_SIGNATURE, 0);
	uint32_t words[3] = {r.b, r.c, r.d};
	char signature[13] = "";

	memcpy(signature, words, 12);
	if (!strcmp(signature, "Umbra Shadow") && r.a >= LEAF_COUNTER_NAME)
		host = HOST_UMBRA;
	else if (!memcmp(signature, "KVMKVMKVM", 9))
		host = HOST_KVM;
	else if (!strcmp(signature, "TCGTCGTCGTCG") || !(cpuid(1, 0).c >> 31))
		host = HOST_BARE; /* QEMU itself */
	else
		host = HOST_OTHER;
	if (host == HOST_UMBRA) {
		count = cpuid(LEAF_INFO, 0).b;
		if (count > COUNTERS_MAX)
			count = COUNTERS_MAX;
		for (unsigned i = 0; i < count; i++)
			read_name(i);
	}
	return host;
}

enum host counters_host(void)
{
	return host;
}

static void read_all(struct counters *c)
{
	for (unsigned i = 0; i < count; i++) {
		struct regs r = cpuid(LEAF_COUNTER, i);

		c->value[i] = (uint64_t)r.d << 32 | r.a;
	}
}

/* An unknown hypercall from user mode: KVM refuses it, the emulator logs the exit. */
static void mark(void)
{
	uint64_t rax = ~0ul;

	if (host == HOST_KVM)
		asm volatile("vmmcall" : "+a"(rax) : : "memory");
}

void counters_open(struct counters *before)
{
	memset(before, 0, sizeof(*before));
	read_all(before);
	mark();
}

void counters_close(struct counters *after)
{
	mark();
	memset(after, 0, sizeof(*after));
	read_all(after);
}

/*
 * Between two readings of one counter lie exactly `count` CPUID exits of ours.
 * They are in the total, which is the first counter, and in the one for CPUID.
 */
void counters_print(const struct counters *before, const struct counters *after)
{
	const char *separator = "";

	for (unsigned i = 0; i < count; i++) {
		uint64_t n = after->value[i] - before->value[i];

		if (i == 0 || !strcmp(names[i], "exit_cpuid"))
			n -= count;
		if (!n)
			continue;
		printf("%s\"%s\":%llu", separator, names[i], (unsigned long long)n);
		separator = ",";
	}
}
