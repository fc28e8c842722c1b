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
#include "boot/options.h"

/* The image, as a file. */
void selftest_open(struct boot_file *file);

/*
 * Claims the block and writes the machine's part of the report into it; adds to
 * the entry's options where it is.
 */
bool selftest_prepare(const struct boot_entry **entry, struct boot_error *error);

/* What is known only now: the hypervisor's memory (bare: none of it) and the screen. */
void selftest_describe(const struct hv_memory *hv, bool bare,
		       const struct boot_framebuffer *framebuffer);

/*
 * A report that the last self-test left in memory goes to \umbra\report-N.txt on
 * the volume, or, if that cannot be written to, to the console. Afterwards it is
 * gone from memory. False: there was none. To be called before anything is
 * allocated.
 */
bool selftest_collect(struct boot_volume *volume);

#endif
