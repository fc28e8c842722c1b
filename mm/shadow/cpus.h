/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs, which may hold in their TLBs what is gone from the shadow. Each flushes
 * before its next entry (flush_count); here is what cannot wait for that. The lock is held.
 */
#ifndef MM_SHADOW_CPUS_H
#define MM_SHADOW_CPUS_H

#include "mm/shadow/accessors.h"

void cpus_settle_slow(struct shadow *s);
/*
 * What went before this call is in no other CPU's TLB behind it: those that are inside and have not flushed since
 * are taken out, and flush before they enter again (C7, C10). Nothing to do where there is one CPU.
 */
static ALWAYS_INLINE void cpus_settle(struct shadow *s)
{
	if (unlikely(s->mmu_count > 1) && s->settled != s->flush_count)
		cpus_settle_slow(s);
}

/* Until the lock is released no other CPU runs the guest. */
void cpus_hold(struct shadow *s);

#endif
