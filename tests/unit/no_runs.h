/* SPDX-License-Identifier: BSD-2-Clause */
/* For a test whose guest's RAM is never accessed in one piece: the shadow engine's functions for that, which nobody calls. */
#ifndef TESTS_UNIT_NO_RUNS_H
#define TESTS_UNIT_NO_RUNS_H

#include "mm/shadow.h"

void shadow_open_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram)
{
	fail();
}

void shadow_close_ram(struct shadow_mmu *mmu)
{
	fail();
}

void shadow_read_ram_slow(const struct shadow_ram *ram, u32 offset, void *buf, u32 len)
{
	fail();
}

#endif
