/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs, which may hold in their TLBs what is gone from the shadow. Each that owes a flush
 * makes it before its next entry; here is what cannot wait for that. The lock is held.
 */
#ifndef MM_SHADOW_CPUS_H
#define MM_SHADOW_CPUS_H

#include "mm/shadow/accessors.h"

void cpus_settle_slow(struct shadow *s);

/* Each CPU flushes all tags before it enters again. */
void flush_owe_all(struct shadow *s);
/* One does. */
static ALWAYS_INLINE void flush_owe_by(struct shadow_mmu *mmu)
{
	__atomic_store_n(&mmu->flush_owed, mmu->flush_owed + 1, __ATOMIC_RELAXED);
	mmu->s->debts += !mmu->s->only_debt;
}

/* A CPU has paid: it may come to owe anew. */
static ALWAYS_INLINE void flush_paid(struct shadow_mmu *mmu)
{
	mmu->flush_seen = mmu->flush_owed;
	mmu->s->owed_page = 0;
}

/*
 * What went before this call is in no other CPU's TLB behind it: those that are inside and have not flushed since
 * are taken out, and flush before they enter again (C7, C10). Nothing to do where there is one CPU.
 */
static ALWAYS_INLINE void cpus_settle(struct shadow *s)
{
	if (unlikely(s->settled != s->debts))
		cpus_settle_slow(s);
}

/* Until the lock is released no other CPU runs the guest. */
void cpus_hold(struct shadow *s);

#endif
