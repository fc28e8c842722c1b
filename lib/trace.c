/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See trace.h. Record n is in slot n % count. The writer fills the slot and then counts the record; so while it
 * fills the slot of record n, which is that of n - count, written is n, and a reader takes a record for
 * gone that is count behind.
 */
#include "lib/trace.h"

#include "lib/log.h"

u32 trace_mask;

static trace_here_fn *here;
static struct trace_filter filter = {.cpu = TRACE_ANY_CPU, .last = ~0ull};

void trace_set_here(trace_here_fn *fn)
{
	here = fn;
}

/* Each word by itself: records of the moment may go by a part of the old filter. */
void trace_set_filter(const struct trace_filter *f)
{
	__atomic_store_n(&filter.cpu, f->cpu, __ATOMIC_RELAXED);
	__atomic_store_n(&filter.first, f->first, __ATOMIC_RELAXED);
	__atomic_store_n(&filter.last, f->last, __ATOMIC_RELAXED);
	__atomic_store_n(&filter.cr3, f->cr3, __ATOMIC_RELAXED);
	__atomic_store_n(&filter.kinds, f->kinds & TRACE_ALL, __ATOMIC_RELAXED);
	__atomic_store_n(&trace_mask, here ? f->kinds & TRACE_ALL : 0, __ATOMIC_RELAXED);
}

void trace_get_filter(struct trace_filter *f)
{
	f->kinds = __atomic_load_n(&filter.kinds, __ATOMIC_RELAXED);
	f->cpu = __atomic_load_n(&filter.cpu, __ATOMIC_RELAXED);
	f->first = __atomic_load_n(&filter.first, __ATOMIC_RELAXED);
	f->last = __atomic_load_n(&filter.last, __ATOMIC_RELAXED);
	f->cr3 = __atomic_load_n(&filter.cr3, __ATOMIC_RELAXED);
}

void trace_ring_init(struct trace_ring *ring, struct trace_record *records, u64 count, u32 cpu)
{
	u32 room = 1;

	while (room < BIT(30) && 2ull * room <= count)
		room *= 2;
	*ring = (struct trace_ring){.records = records, .count = records && count ? room : 0, .cpu = cpu};
}

static bool passes(const struct trace_record *r, u32 cpu)
{
	struct trace_filter f;

	trace_get_filter(&f);
	return (f.kinds & 1u << r->kind) && r->address >= f.first && r->address <= f.last &&
	       (!f.cr3 || !((f.cr3 ^ r->cr3) & PAGE_MASK)) && (f.cpu == TRACE_ANY_CPU || f.cpu == cpu);
}

void trace_emit(const struct trace_record *record)
{
	struct trace_record r = *record;
	struct trace_ring *ring = here ? here(&r) : NULL;
	u64 n;

	if (!ring || !ring->count || !passes(&r, ring->cpu))
		return;
	r.time = __builtin_ia32_rdtsc();
	r.cpu = (u8)ring->cpu;
	n = __atomic_load_n(&ring->written, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	ring->records[n & (ring->count - 1)] = r;
	__atomic_store_n(&ring->written, n + 1, __ATOMIC_RELEASE);
}

bool trace_read(const struct trace_ring *ring, u64 n, struct trace_record *out)
{
	u64 written = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);

	if (!ring->count || n >= written || written - n >= ring->count)
		return false;
	*out = ring->records[n & (ring->count - 1)];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&ring->written, __ATOMIC_RELAXED) - n < ring->count;
}

const char *trace_kind_word(u32 kind)
{
#define X(name, word, text) word,
	static const char *const words[] = {TRACE_KINDS(X)};
#undef X

	return kind < TRACE_KIND_COUNT ? words[kind] : "?";
}

void trace_dump(const struct trace_ring *ring, u32 most)
{
	u64 end = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
	u64 first = end - MIN(end, (u64)MIN(most, ring->count));

	if (!ring->count || !end)
		return;
	log_error("trace of CPU %u: the last %llu records of %llu\n", ring->cpu, (unsigned long long)(end - first),
		  (unsigned long long)end);
	for (u64 n = first; n != end; n++) {
		const struct trace_record *r = &ring->records[n & (ring->count - 1)];

		log_error("  %-8s %llx rip %llx cr3 %llx at %llx: %llx -> %llx where %llx level %u detail %u\n",
			  trace_kind_word(r->kind), (unsigned long long)r->time, (unsigned long long)r->rip,
			  (unsigned long long)r->cr3, (unsigned long long)r->address, (unsigned long long)r->old,
			  (unsigned long long)r->new, (unsigned long long)r->where, r->level, r->detail);
	}
}
