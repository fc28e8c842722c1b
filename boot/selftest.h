/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-test (selftest/) as a guest: its image, its block of memory, and the report of the
 * last one, which is found there after a warm reset.
 */
#ifndef BOOT_SELFTEST_H
#define BOOT_SELFTEST_H

#include "boot/core.h"
#include "boot/entry.h"
#include "boot/file.h"

/* The image, as a file. */
void selftest_open(struct boot_file *file);

/* Claims the block; returns a copy of the entry whose options say where it is, or NULL with error set. */
const struct boot_entry *selftest_prepare(const struct boot_entry *entry, struct boot_error *error);

/* What the self-test is told, and the machine's part of the report, when all of it is known. */
struct selftest_facts {
	const struct hv_memory *hv; /* NULL: there will be no hypervisor */
	const struct boot_framebuffer *framebuffer;
	const struct efi_map *map;
};
void selftest_describe(const struct selftest_facts *facts);

/*
 * The self-test cannot be started: the machine's part of the report and the reason
 * go to \umbra\report-N.txt at once. Nothing happens when the volume is closed already.
 */
void selftest_refused(struct boot_volume *volume, const struct boot_error *why);

/*
 * A report that the last self-test left in memory goes to \umbra\report-N.txt on
 * the volume, or, if that cannot be written to, to the console. Afterwards it is
 * gone from memory. To be called once, before anything is allocated.
 */
void selftest_collect(struct boot_volume *volume);

/* Whether there was such a report: then the self-test is not to be started unasked again. */
bool selftest_has_ended(void);

#endif
