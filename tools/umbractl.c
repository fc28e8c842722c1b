/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * umbractl: talks to the hypervisor from inside the guest, through its CPUID
 * leaves alone, so it needs no privileges and no driver. A small static
 * program; the test initramfs carries it as /bin/umbractl.
 */
#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LEAF_SIGNATURE 0x40000000u
#define LEAF_INFO 0x40000001u
#define LEAF_COUNTER 0x40000010u
#define LEAF_COUNTER_NAME 0x40000011u
#define NAME_PARTS 4

struct regs { uint32_t a, b, c, d; };

static struct regs cpuid(uint32_t leaf, uint32_t index)
{
	struct regs r;

	__cpuid_count(leaf, index, r.a, r.b, r.c, r.d);
	return r;
}

/* Leaves from 0x40000000 on mean something only if CPUID says "hypervisor" or the signature is ours. */
static bool under_umbra(void)
{
	struct regs r = cpuid(LEAF_SIGNATURE, 0);
	char signature[13] = "";

	memcpy(signature, &r.b, 4);
	memcpy(signature + 4, &r.c, 4);
	memcpy(signature + 8, &r.d, 4);
	return !strcmp(signature, "Umbra Shadow") && r.a >= LEAF_COUNTER_NAME;
}

static uint64_t counter_value(uint32_t index)
{
	struct regs r = cpuid(LEAF_COUNTER, index);

	return (uint64_t)r.d << 32 | r.a;
}

static void counter_name(uint32_t index, char name[NAME_PARTS * 16 + 1])
{
	for (uint32_t part = 0; part < NAME_PARTS; part++) {
		struct regs r = cpuid(LEAF_COUNTER_NAME, index * NAME_PARTS + part);

		memcpy(name + part * 16, &r.a, 4);
		memcpy(name + part * 16 + 4, &r.b, 4);
		memcpy(name + part * 16 + 8, &r.c, 4);
		memcpy(name + part * 16 + 12, &r.d, 4);
	}
	name[NAME_PARTS * 16] = '\0';
}

static void print_stats(bool hide_zeros)
{
	uint32_t count = cpuid(LEAF_INFO, 0).b;

	for (uint32_t i = 0; i < count; i++) {
		char name[NAME_PARTS * 16 + 1];
		uint64_t value = counter_value(i);

		if (hide_zeros && !value)
			continue;
		counter_name(i, name);
		printf("%-48s %20llu\n", name, (unsigned long long)value);
	}
}

static int usage(void)
{
	fputs("usage: umbractl stats [-0]   counters by name (-0: without those that are zero)\n"
	      "       umbractl version      version of the hypervisor's interface\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	bool stats = argc >= 2 && !strcmp(argv[1], "stats");
	bool version = argc == 2 && !strcmp(argv[1], "version");
	bool hide_zeros = stats && argc == 3 && !strcmp(argv[2], "-0");

	if (!version && !(stats && (argc == 2 || hide_zeros)))
		return usage();
	if (!under_umbra()) {
		fputs("umbractl: this machine does not run under Umbra\n", stderr);
		return 1;
	}
	if (version)
		printf("Umbra interface version %u\n", cpuid(LEAF_INFO, 0).a);
	else
		print_stats(hide_zeros);
	return 0;
}
