/* SPDX-License-Identifier: BSD-2-Clause */
/* One level of a walk, whatever the format. */
#ifndef MM_GPT_STEP_H
#define MM_GPT_STEP_H

#include "lib/types.h"

/* One level of a walk: what was read, and where. */
struct gpt_step {
	u64 entry;  /* the entry, after A/D were set */
	void *slot; /* where it is in memory; NULL if the table is closed */
};

#endif
