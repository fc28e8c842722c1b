/* SPDX-License-Identifier: BSD-2-Clause */
/* A shadow engine whose flushes have little time. */
#ifndef TESTS_UNIT_HURRY_H
#define TESTS_UNIT_HURRY_H

#include "mm/shadow/types.h"

/* hurry: 1: a flush has time for no table, 2 and on: for a few, and few may be unsync (S26); 0: as it is. */
static inline void hurry_set(struct shadow *s, u32 hurry)
{
	if (!hurry)
		return;
	s->sync_work = (hurry - 1) * 24;
	s->unsync_max = s->unsync_looks = 32;
}

#endif
