/* SPDX-License-Identifier: BSD-2-Clause */
/* A ticket-free test-and-set lock. Interrupts are always off in the hypervisor. Who waits is counted, for a lock or for another CPU. */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include "lib/types.h"

struct spinlock {
	u8 held;
};

/* Of all CPUs. */
struct spin_counts {
	u64 waits;   /* that were no mere look */
	u64 pauses;  /* turns of their loops */
	u64 ticks;   /* of the TSC */
	u64 longest; /* ticks of one wait */
};
struct spin_counts spin_counts(void);

/* One wait: spin_pause() in each turn of its loop, then spin_end(). */
struct spin_wait {
	u64 pauses, begun;
};

static inline void spin_pause(struct spin_wait *wait)
{
	if (!wait->pauses++)
		wait->begun = __builtin_ia32_rdtsc();
	__builtin_ia32_pause();
}
void spin_end(const struct spin_wait *wait);

#ifdef UMBRA_HOST
/* The scheduler of tests with several CPUs: others go on here. */
extern void (*host_before_lock)(void);
#endif

/* Something is about to be taken from others. */
static inline void spin_point(void)
{
#ifdef UMBRA_HOST
	if (host_before_lock)
		host_before_lock();
#endif
}

void spin_lock_contended(struct spinlock *lock);

static inline void spin_lock(struct spinlock *lock)
{
	spin_point();
	if (__builtin_expect(__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE), 0))
		spin_lock_contended(lock);
}

/* For who has told whoever takes the lock, by a store that is a full barrier, that it is there. */
static inline bool spin_is_held(const struct spinlock *lock)
{
	return __atomic_load_n(&lock->held, __ATOMIC_SEQ_CST);
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
