/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-test's block of memory: what the loader tells the self-test, and the
 * report, which outlives a warm reset in it and is found by the next start. Several
 * copies lie at fixed addresses, since firmware may use any of them in between; the
 * checksum tells whether one is whole.
 */
#ifndef BOOT_SELFTEST_BLOCK_H
#define BOOT_SELFTEST_BLOCK_H

#include "boot/boot_info.h"

#define SELFTEST_MAGIC 0x54534554414d5242ull
#define SELFTEST_VERSION 1u
#define SELFTEST_COPIES_MAX 4
#define SELFTEST_BLOCK_BYTES (64u << 10)
#define SELFTEST_HIDDEN_MAX 4

/* Of the report. A report of a test that did not end names what it was about. */
enum selftest_state { SELFTEST_BEGUN = 1, SELFTEST_DONE };

struct selftest_range {
	uint64_t base, bytes;
};

/* For the self-test; addresses are physical. */
struct selftest_machine {
	struct boot_framebuffer framebuffer;
	uint64_t acpi_rsdp;                /* 0: none */
	uint64_t reset_address;            /* of the FADT's reset register */
	uint32_t reset_space, reset_value; /* space 0: memory, 1: ports; others: no such register */
	struct boot_uart uart;
	uint32_t hidden_count; /* of the hypervisor's memory; 0: there is no hypervisor */
	uint32_t copy_count;
	uint32_t emulated; /* another hypervisor or an emulator is below: everything is slow */
	uint32_t reserved;
	struct selftest_range hidden[SELFTEST_HIDDEN_MAX];
	uint64_t copy[SELFTEST_COPIES_MAX];
};

/* From state on everything is in the checksum, as far as text is written. */
struct selftest_block {
	uint64_t magic;
	uint64_t checksum; /* selftest_checksum() */
	uint32_t state;    /* enum selftest_state */
	uint32_t version;
	uint32_t passed, failed, skipped;
	uint32_t length; /* bytes of text, without a NUL */
	struct selftest_machine machine;
	char text[];
};

#define SELFTEST_TEXT_MAX (SELFTEST_BLOCK_BYTES - (uint32_t)sizeof(struct selftest_block))

/* FNV-1a over what follows it. length must have been checked. */
static inline uint64_t selftest_checksum(const struct selftest_block *block)
{
	const uint8_t *p = (const uint8_t *)&block->state;
	size_t n = offsetof(struct selftest_block, text) - offsetof(struct selftest_block, state) +
		   block->length,
	       i;
	uint64_t sum = 0xcbf29ce484222325ull;

	for (i = 0; i < n; i++)
		sum = (sum ^ p[i]) * 0x100000001b3ull;
	return sum;
}

static inline int selftest_is_whole(const struct selftest_block *block)
{
	return block->magic == SELFTEST_MAGIC && block->version == SELFTEST_VERSION &&
	       block->length <= SELFTEST_TEXT_MAX && block->checksum == selftest_checksum(block);
}

#endif
