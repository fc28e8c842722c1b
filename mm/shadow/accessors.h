/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of pages, entries, addresses and words by name: one-liners over mm/shadow/types.h. */
#ifndef MM_SHADOW_ACCESSORS_H
#define MM_SHADOW_ACCESSORS_H

#include "lib/log.h"
#include "mm/phys.h"
#include "mm/shadow/types.h"

/*
 * A word with one writer at a time, which others may read meanwhile, by one load: one value or the next. So it needs no atomic
 * operation, which for the compiler would be three instructions.
 */
static inline __attribute__((no_sanitize("thread"))) void counter_add(u64 *counter, u64 n)
{
	*counter += n;
}

/* With the lock. */
#define STAT(s, name) counter_add(&(s)->stats[SHADOW_STAT_##name], 1)
/* Without: each CPU has counters of its own, and shadow_stat() has the sum. */
#define STAT_OF(mmu, name) counter_add(&(mmu)->stats[SHADOW_STAT_##name], 1)

/* The links are not what they were: what was remembered of paths is looked at anew. */
static inline void links_changed(struct shadow *s)
{
	counter_add(&s->link_changes, 1);
}

/* What began at a value of the TSC ends: was it the longest so far? The lock is held. */
static inline void stat_longest(struct shadow *s, u64 begun)
{
	u64 ticks = __builtin_ia32_rdtsc() - begun;

	if (unlikely(ticks > s->stats[SHADOW_STAT_longest]))
		s->stats[SHADOW_STAT_longest] = ticks;
}

static inline u64 *page_table(struct shadow *s, u32 page)
{
	return s->pool + (u64)page * ENTRIES;
}

static inline hpa_t page_hpa(const struct shadow *s, u32 page)
{
	return hpa(s->pool_hpa.v + ((u64)page << PAGE_SHIFT));
}

static inline u32 page_of_link(const struct shadow *s, u64 spte)
{
	return (u32)(((spte & PTE_ADDR_MASK) - s->pool_hpa.v) >> PAGE_SHIFT);
}

static inline u32 entry_id(u32 page, u32 index)
{
	return page << INDEX_BITS | index;
}
static inline u32 entry_page(u32 id)
{
	return id >> INDEX_BITS;
}
static inline u64 *entry_pointer(struct shadow *s, u32 id)
{
	return s->pool + id;
}

static inline bool spte_is_leaf(u32 level, u64 spte)
{
	return level == 1 || (spte & PTE_PS);
}
/* First host frame of a leaf; in a large one the low address bits hold PAT and zeros. */
static inline pfn_t spte_pfn(u32 level, u64 spte)
{
	return (spte & PTE_ADDR_MASK & ~(BIT(PAGE_SHIFT + INDEX_BITS * (level - 1)) - 1)) >> PAGE_SHIFT;
}
static inline u64 level_frames(u32 level)
{
	return 1ull << (INDEX_BITS * (level - 1));
}
static inline u32 level_index(u32 level, gva_t gva)
{
	return (gva >> (PAGE_SHIFT + INDEX_BITS * (level - 1))) & (ENTRIES - 1);
}

/* --- a walk down the shadow ---------------------------------------------------- */
/* The page that an entry above level 1 links to; 0: it is absent or a leaf. */
static ALWAYS_INLINE u32 link_target(const struct shadow *s, u64 spte)
{
	return (spte & (PTE_P | PTE_PS)) == PTE_P ? page_of_link(s, spte) : 0;
}

/* The level of the highest shadow pages, and that for an address; PAE format has four of level 2. */
static ALWAYS_INLINE u32 top_level(const struct shadow_mmu *mmu)
{
	return mmu->root_level == 3 ? 2 : mmu->root_level;
}
/* The root of 4 or 5 levels, for the CPU that it belongs to and without the lock. */
static ALWAYS_INLINE u32 root_now(const struct shadow_mmu *mmu)
{
	return __atomic_load_n(&mmu->root[0], __ATOMIC_RELAXED);
}
static ALWAYS_INLINE u32 top_page(const struct shadow_mmu *mmu, gva_t gva)
{
	return mmu->root[mmu->root_level == 3 ? level_index(3, gva) & 3 : 0];
}

/* The entry for an address in a page on its path; page 0: there is none below. */
struct step {
	u32 level, page, index;
	const u64 *at;
};

static ALWAYS_INLINE bool step_find(const struct shadow *s, struct step *step, gva_t gva)
{
	step->index = level_index(step->level, gva);
	step->at = &s->pool[(u64)step->page * ENTRIES + step->index];
	return true;
}

static ALWAYS_INLINE void step_down(const struct shadow *s, struct step *step)
{
	step->page = step->level > 1 ? link_target(s, *step->at) : 0;
	step->level--;
}

/* From the root in use down to a leaf or an absent entry. Declares step. */
#define for_each_step(step, mmu, gva) \
	for (struct step step = {.level = top_level(mmu), .page = top_page(mmu, gva)}; \
	     step.page && step_find((mmu)->s, &step, gva); step_down((mmu)->s, &step))

/* For what no CPU asks for: the guest's tables mean the same to all of them. */
static inline struct shadow_mmu *any_mmu(const struct shadow *s)
{
	return s->mmus[0];
}

/* --- what a page has ------------------------------------------------------------- */
/* A page is of use: reclaim gives it another chance, and writes to its table count from 0 again. */
static ALWAYS_INLINE void page_touch(struct shadow_page *sp)
{
	sp->flags |= PAGE_USED;
	sp->idle_writes = 0;
}

static inline void live_set(struct shadow_page *sp, u32 index)
{
	sp->live++;
	sp->live_map[index / 64] |= BIT(index % 64);
	sp->live_words |= 1u << index / 64;
}

static inline void live_clear(struct shadow_page *sp, u32 index)
{
	sp->live--;
	sp->live_map[index / 64] &= ~BIT(index % 64);
	if (!sp->live_map[index / 64])
		sp->live_words &= ~(1u << index / 64);
}

/* For each present entry of a page; the body may drop it. Declares index. */
#define for_each_live(sp, index) \
	for (u32 words_ = (sp)->live_words, word_; words_ && (word_ = bit_lowest(words_), true); \
	     words_ &= words_ - 1) \
		for (u64 bits_ = (sp)->live_map[word_]; bits_; bits_ &= bits_ - 1) \
			for (u32 index = word_ * 64 + bit_lowest(bits_), once_ = 1; once_; once_ = 0)

static inline void spte_write(u64 *spte, u64 value)
{
	__atomic_store_n(spte, value, __ATOMIC_RELEASE);
}

/* It was made before everything was dropped: nothing leads to it, and nobody finds it by its name. */
static ALWAYS_INLINE bool page_is_old(const struct shadow *s, const struct shadow_page *sp)
{
	return sp->generation != s->generation;
}

/* Its list may change while fast paths run, its two bits only with the lock. */
static ALWAYS_INLINE u32 frame_now(const u32 *frame)
{
	return __atomic_load_n(frame, __ATOMIC_RELAXED);
}

static inline bool frame_is_protected(u32 frame)
{
	return (frame & (FRAME_TRACKED | FRAME_UNSYNC)) == FRAME_TRACKED;
}

/* The name's role of a table below one with role parent. */
static ALWAYS_INLINE union role role_child(union role parent, u32 level, u32 access, u32 quadrant)
{
	parent.level = level & 7;
	parent.access = access & 7;
	parent.quadrant = quadrant & 3;
	return parent;
}

/* With the CPU left out: what is made of the same entry is the same on each. */
static ALWAYS_INLINE u32 role_of_any(union role role)
{
	role.cpu = 0;
	return role.word;
}

/*
 * Of several CPUs each has pages of its own for the upper half of the addresses, where a kernel maps the tables: so a
 * right to write to them is in one CPU's TLB only, and taking it away is that CPU's business. What the lower half
 * leads to is shared. The formats with one root and 4 or 5 levels only; else all below a root is its CPU's.
 */
static ALWAYS_INLINE u32 cpu_below(union role parent, u32 index)
{
	bool top = parent.level == (parent.mode == GPT_5L ? 5 : 4) && parent.mode >= GPT_4L;

	return unlikely(parent.cpu) && top && index < ENTRIES / 2 ? 0 : parent.cpu;
}

static ALWAYS_INLINE u32 root_slot(gfn_t gfn)
{
	return (u32)(gfn ^ gfn >> 9) % ROOT_CACHE_SIZE;
}

static ALWAYS_INLINE struct cached_path *path_slot(struct shadow_mmu *mmu, gva_t gva)
{
	return &mmu->paths[(gva >> 21 ^ mmu->root[0] * 5) % PATH_CACHE_SIZE];
}

#endif
