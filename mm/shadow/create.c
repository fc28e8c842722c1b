/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Laying out the pool, and the counters.
 *
 * Metadata: 4 bytes a frame of guest RAM, 8 a 2 MiB block, 4 a GiB: 0.1% of RAM;
 * 136 bytes a pool page (its record, two words of hash): 3.3% of the pool, itself 1/64
 * of RAM.
 */
#include "mm/shadow.h"

#include "lib/bits.h"
#include "lib/string.h"
#include "mm/shadow/accessors.h"
#include "mm/shadow/cpus.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/flushcheck.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/root.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"

/* A bump allocator over the pool while it is laid out. */
struct layout {
	u64 at, end; /* hpa */
};

static void *lay(struct layout *l, u64 bytes)
{
	void *p = phys_to_virt(hpa(l->at));

	bytes = ALIGN_UP(bytes, 64ull);
	if (bytes > l->end - l->at)
		return NULL;
	memset(p, 0, bytes);
	l->at += bytes;
	return p;
}

static gfn_t last_ram_gfn(const struct region_map *map)
{
	gfn_t last = 0;

	for (u32 i = 0; i < map->count; i++)
		if (map->regions[i].kind == REGION_RAM)
			last = MAX(last, map->regions[i].base + map->regions[i].pages - 1);
	return last;
}

static bool map_is_identity(const struct region_map *map)
{
	for (u32 i = 0; i < map->count; i++)
		if (map->regions[i].kind == REGION_RAM && map->regions[i].base != map->regions[i].pfn)
			return false;
	return true;
}

u64 shadow_metadata_bytes(u64 frame_count, u64 pool_bytes)
{
	u64 pages = pool_bytes >> PAGE_SHIFT;

	return frame_count * sizeof(u32) + (frame_count >> 9) * (sizeof(struct block) + 1) +
	       pages * (sizeof(struct shadow_page) + 2 * sizeof(u32)) + 8 * PAGE_SIZE;
}

static bool lay_tables(struct shadow *s, struct layout *l, const struct shadow_config *c)
{
	gfn_t last = last_ram_gfn(c->regions);

	s->block_count = (last >> 9) + 1;
	s->giga_count = (last >> 18) + 1;
	s->tag_owner = lay(l, s->numbers * (s->tags + 1) * sizeof(u32));
	for (u32 i = 0; i < s->mmu_limit; i++)
		s->mmus[i] = lay(l, sizeof(struct shadow_mmu));
	if (s->mmu_limit > 1)
		s->readers = lay(l, s->mmu_limit * sizeof(struct shadow_reader));
	s->faults_locked = s->readers;
	s->frames = lay(l, c->regions->frame_count * sizeof(u32));
	s->blocks = lay(l, s->block_count * sizeof(struct block));
	s->giga = lay(l, s->giga_count * sizeof(u32));
	return s->tag_owner && s->mmus[s->mmu_limit - 1] && s->frames && s->blocks && s->giga;
}

static bool lay_check(struct shadow *s, struct layout *l, const struct shadow_config *c)
{
	void *memory;

	if (c->flush_check == SHADOW_FLUSHES_UNCHECKED)
		return true;
	memory = lay(l, flushcheck_bytes());
	if (memory)
		flushcheck_init(s, memory, c);
	return memory;
}

/* The rest: records and hash for as many pages as then fit. Entry numbers have 29 bits. */
static bool lay_pages(struct shadow *s, struct layout *l, const struct shadow_config *c)
{
	u64 each = PAGE_SIZE + sizeof(struct shadow_page) + 2 * sizeof(u32);
	u64 room = (l->end - l->at) / each, limit = 1ull << 20;

	if (c->shadow_limit)
		limit = MIN(limit, c->shadow_limit >> PAGE_SHIFT);
	room = MIN(room, limit);
	if (room < 64)
		return false;
	s->page_count = (u32)room;
	s->hash_mask = (1u << log2_floor(room)) - 1;
	s->pages = lay(l, room * sizeof(struct shadow_page));
	s->hash = lay(l, (s->hash_mask + 1ull) * sizeof(u32));
	l->at = ALIGN_UP(l->at, PAGE_SIZE);
	s->pool_hpa = hpa(l->at);
	s->pool = phys_to_virt(s->pool_hpa);
	while (s->page_count > 64 && l->at + (u64)s->page_count * PAGE_SIZE > l->end)
		s->page_count--;
	return s->pages && s->hash && l->at + (u64)s->page_count * PAGE_SIZE <= l->end;
}

static void mark_gap(void *ctx, u64 first, u64 count)
{
	struct shadow *s = ctx;

	for (u64 i = first; i < first + count; i++)
		s->frames[i] = FRAME_NONE;
}

static void frames_init(struct shadow *s)
{
	const struct region_span *span = &s->regions->span;

	s->span_base = span->base;
	s->span_pages = span->pages;
	s->span_frames = s->frames + span->frame_index;
	region_each_gap(s->regions, mark_gap, s);
}

struct shadow *shadow_create(const struct shadow_config *c)
{
	struct layout l = {c->pool.v, c->pool.v + c->pool_bytes};
	struct shadow *s = lay(&l, sizeof(*s));

	if (!s)
		return NULL;
	s->regions = c->regions;
	s->sync_work = SYNC_WORK;
	s->unsync_max = s->unsync_looks = UNSYNC_MAX;
	s->cr3_looks = AHEAD_TABLES + 1;
	s->leaf_looks = PTE_TYPE_4K;
	s->pages_1g = c->pages_1g;
	s->host_phys_bits = c->host_phys_bits;
	s->tags = MIN(MAX(c->tags, 1u), 0xffffu);
	s->mmu_limit = MIN(MAX(c->cpus, 1u), SHADOW_MAX_MMUS);
	s->numbers = s->mmu_limit == 1 ? 1 : MIN(s->mmu_limit + 1, ROLE_CPUS);
	if (s->numbers > 1)
		s->tags = MIN(s->tags, 1023u);
	for (u32 i = 0; i < s->numbers; i++)
		s->next_tag[i] = 1;
	s->ones_page = c->ones_page;
	s->identity = map_is_identity(c->regions);
	memset(phys_to_virt(c->ones_page), 0xff, PAGE_SIZE);
	if (!lay_tables(s, &l, c) || !lay_check(s, &l, c) || !lay_pages(s, &l, c))
		return NULL;
	frames_init(s);
	pages_init(s);
	log_info("shadow: %u pages of 4 KiB, metadata %llu KiB, %u TLB tags\n", s->page_count,
		 (unsigned long long)(s->pool_hpa.v - c->pool.v) >> 10, s->tags);
	return s;
}

/* The last number is of all CPUs for which there is no other. */
static bool number_is_shared(const struct shadow *s, u32 number)
{
	return number + 1 == s->numbers && s->mmu_limit >= s->numbers;
}

/* The only CPU is outside of the guest for what is done here, and from now on each says whether it is. */
static void become_several(struct shadow *s)
{
	struct shadow_mmu *first = s->mmus[0];

	s->only_debt = s->quick_debt = NULL;
	flush_owe_all(s);
	cpus_settle_slow(s);
	invlpg_must_exit_there(s);
	drop_everything(s);
	first->number = 1;
	first->shares = number_is_shared(s, 1);
	if (first->root_role)
		first->root_role |= (union role){.cpu = 1}.word;
}

struct shadow_mmu *shadow_mmu_create(struct shadow *s, const struct shadow_ops *ops, void *cpu, hpa_t low_pdpt)
{
	struct shadow_mmu *mmu;

	engine_lock(s);
	if (s->mmu_count == s->mmu_limit) {
		engine_unlock(s);
		return NULL;
	}
	if (s->mmu_count == 1)
		become_several(s);
	flush_owe_all(s);
	mmu = s->mmus[s->mmu_count];
	memset(phys_to_virt(low_pdpt), 0, SHADOW_PDPT_BYTES);
	*mmu = (struct shadow_mmu){
		.s = s,
		.entry_due = true,
		.trapped_gva = TRAPPED_NONE,
		.ops = ops,
		.cpu = cpu,
		.root_level = 3,
		.gpt = {.regions = s->regions, .mode = GPT_NONE, .phys_bits = s->host_phys_bits},
		.base_role = role_direct(0, ACC_ALL, MT_WB, 0),
		.paging = {.pat = PAT_RESET, .phys_bits = s->host_phys_bits},
		.low_pdpt = low_pdpt,
		.index = (u8)s->mmu_count,
		.number = (u8)(s->mmu_count ? MIN(s->mmu_count + 1, s->numbers - 1) : 0),
		.shares = s->mmu_count && number_is_shared(s, MIN(s->mmu_count + 1, s->numbers - 1)),
	};
	if (!s->mmu_count)
		s->only_debt = &mmu->flush_owed;
	__atomic_store_n(&s->mmu_count, s->mmu_count + 1, __ATOMIC_RELEASE); /* shadow_stat() */
	shadow_trace(s, s->traced);
	if (!s->traced)
		s->quick_debt = s->only_debt;
	engine_unlock(s);
	return mmu;
}

/* A function of its own in every build: bench-profile tells the windows that it measures by it. */
NOINLINE __attribute__((noclone)) u64 shadow_stat(const struct shadow *s, enum shadow_stat which)
{
	u32 cpus = __atomic_load_n(&s->mmu_count, __ATOMIC_ACQUIRE);
	u64 sum;

	if (which >= SHADOW_STAT_COUNT)
		return 0;
	if (which == SHADOW_STAT_sync_changes)
		return __atomic_load_n(&s->sync_changes, __ATOMIC_RELAXED);
	sum = __atomic_load_n(&s->stats[which], __ATOMIC_RELAXED);
	for (u32 i = 0; i < cpus; i++)
		sum += __atomic_load_n(which == SHADOW_STAT_walks ? &s->mmus[i]->faults : &s->mmus[i]->stats[which],
				       __ATOMIC_RELAXED);
	return sum;
}

void shadow_stat_add(struct shadow *s, enum shadow_stat which, u64 n)
{
	__atomic_fetch_add(&s->stats[which], n, __ATOMIC_RELAXED);
}

const char *shadow_stat_name(enum shadow_stat which)
{
	static const char *const names[] = {
#define X(name, text) #name,
		SHADOW_STATS(X)
#undef X
	};

	return which < SHADOW_STAT_COUNT ? names[which] : "";
}
