/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs, which may hold in their TLBs what is gone from the shadow. Each that owes a flush
 * makes it before its next entry; here is what cannot wait for that. The lock is held.
 */
#ifndef MM_SHADOW_CPUS_H
#define MM_SHADOW_CPUS_H

#include "mm/shadow/accessors.h"

/*
 * Fast paths (S25). Such a CPU says so, then looks for the lock, with a full barrier between; who takes the lock looks for
 * such CPUs behind it, and waits. So either it sees this one, or this one sees the lock, and takes the way with the lock.
 */
void readers_wait(const struct shadow *s);

static ALWAYS_INLINE bool reader_begin(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	u8 *on = &s->readers[mmu->index].on;

	spin_point();
	__atomic_store_n(on, 1, __ATOMIC_SEQ_CST);
	if (likely(!spin_is_held(&s->lock)))
		return true;
	__atomic_store_n(on, 0, __ATOMIC_RELEASE);
	return false;
}
static ALWAYS_INLINE void reader_end(struct shadow_mmu *mmu)
{
	__atomic_store_n(&mmu->s->readers[mmu->index].on, 0, __ATOMIC_RELEASE);
}

/* Everything is this CPU's: no other one has the lock or is in a fast path. */
static ALWAYS_INLINE void engine_lock(struct shadow *s)
{
	spin_lock(&s->lock);
	if (unlikely(s->readers))
		readers_wait(s); /* SETTLE: readers */
}
static ALWAYS_INLINE void engine_unlock(struct shadow *s)
{
	spin_unlock(&s->lock);
}

/* Of two fast paths that change one page. Who has it waits for nobody. */
void page_lock_contended(struct shadow_page *sp);
static ALWAYS_INLINE void page_lock(struct shadow_page *sp)
{
	if (unlikely(__atomic_exchange_n(&sp->locked, 1, __ATOMIC_ACQUIRE)))
		page_lock_contended(sp);
}
static ALWAYS_INLINE void page_unlock(struct shadow_page *sp)
{
	__atomic_store_n(&sp->locked, 0, __ATOMIC_RELEASE);
}

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
