/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking other CPUs out of the guest; see mm/shadow/cpus.h. */
#include "mm/shadow/cpus.h"

#include "lib/spinlock.h"

static NOINLINE void reader_wait(const struct shadow_reader *reader)
{
	struct spin_wait wait = {0};

	while (__atomic_load_n(&reader->on, __ATOMIC_ACQUIRE))
		spin_pause(&wait);
	spin_end(&wait);
}

/* Behind the exchange that took the lock, which on x86 is a full barrier. */
void readers_wait(const struct shadow *s)
{
	const struct shadow_reader *end = s->readers + s->mmu_count;

	for (const struct shadow_reader *reader = s->readers; reader < end; reader++)
		if (unlikely(__atomic_load_n(&reader->on, __ATOMIC_ACQUIRE)))
			reader_wait(reader);
}

void page_lock_contended(struct shadow_page *sp)
{
	struct spin_wait wait = {0};

	while (__atomic_exchange_n(&sp->locked, 1, __ATOMIC_ACQUIRE))
		spin_pause(&wait);
	spin_end(&wait);
}

static bool is_behind(const struct shadow_mmu *mmu)
{
	return __atomic_load_n(&mmu->inside, __ATOMIC_ACQUIRE) && mmu->flush_seen != mmu->flush_owed;
}

void flush_owe_all(struct shadow *s)
{
	for (u32 i = 0; i < s->mmu_count; i++)
		flush_owe_by(s->mmus[i]);
	s->owed_page = 0;
}

/* The fence is the other half of shadow_enter()'s. With the lock held nobody flushes, so who is behind and outside stays there. */
void cpus_settle_slow(struct shadow *s)
{
	struct spin_wait wait = {0};

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (u32 i = 0; i < s->mmu_count; i++) {
		if (!is_behind(s->mmus[i]))
			continue;
		s->mmus[i]->ops->kick(s->mmus[i]->cpu);
		STAT(s, kicks);
	}
	for (u32 i = 0; i < s->mmu_count; i++)
		while (is_behind(s->mmus[i]))
			spin_pause(&wait);
	spin_end(&wait);
	s->settled = s->debts;
}

void cpus_hold(struct shadow *s)
{
	if (s->mmu_count == 1)
		return;
	flush_owe_all(s);
	cpus_settle_slow(s);
}
