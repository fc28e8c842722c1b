/* SPDX-License-Identifier: BSD-2-Clause */
/* A ticket-free test-and-set lock. Interrupts are always off in the hypervisor. */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include "lib/types.h"

struct spinlock {
	u8 held;
};

#ifdef UMBRA_HOST
/* The scheduler of tests with several CPUs: others go on here. */
extern void (*host_before_lock)(void);
#endif

static inline void spin_lock(struct spinlock *lock)
{
#ifdef UMBRA_HOST
	if (host_before_lock)
		host_before_lock();
#endif
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
