/* SPDX-License-Identifier: BSD-2-Clause */
/* See spinlock.h: what runs only where somebody has to wait. */
#include "lib/spinlock.h"

static struct spin_counts counts;

void spin_end(const struct spin_wait *wait)
{
	u64 ticks;

	if (!wait->pauses)
		return;
	ticks = __builtin_ia32_rdtsc() - wait->begun;
	__atomic_fetch_add(&counts.waits, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts.pauses, wait->pauses, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts.ticks, ticks, __ATOMIC_RELAXED);
	if (ticks > __atomic_load_n(&counts.longest,
				    __ATOMIC_RELAXED)) /* of two at once one may be lost: a figure to read */
		__atomic_store_n(&counts.longest, ticks, __ATOMIC_RELAXED);
}

/* Out of line, also when files are joined: bench-profile tells by the name what is spent here. */
NOINLINE void spin_lock_contended(struct spinlock *lock)
{
	struct spin_wait wait = {0};

	do
		while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
			spin_pause(&wait);
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE));
	spin_end(&wait);
}

struct spin_counts spin_counts(void)
{
	return (struct spin_counts){
		.waits = __atomic_load_n(&counts.waits, __ATOMIC_RELAXED),
		.pauses = __atomic_load_n(&counts.pauses, __ATOMIC_RELAXED),
		.ticks = __atomic_load_n(&counts.ticks, __ATOMIC_RELAXED),
		.longest = __atomic_load_n(&counts.longest, __ATOMIC_RELAXED),
	};
}
