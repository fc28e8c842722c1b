/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The usual fault. Where a walk went and what it read above level 1 is remembered
 * for each 2 MiB range. A fault that finds the guest's upper entries as they were
 * then, and our links leading to the same page, differs from a walk in full by its
 * leaf alone: that is read and judged here. Everything unusual is left to
 * fault_full(), which walks as if nothing were known.
 */
#include "mm/shadow/int.h"

/* Not decided here. Not one of the results that callers see. */
#define QUICK_NO ((enum shadow_result)~0)

/* Goes down our links from the root to level 1; 0: one is missing. */
static u32 path_end(const struct shadow_mmu *mmu, gva_t gva, bool *alone)
{
	struct shadow *s = mmu->s;
	u32 page = mmu->root[0];

	*alone = path_step_alone(&s->pages[page], true);
	for (u32 level = 4; level > 1; level--) {
		u64 spte = page_table(s, page)[level_index(level, gva)];

		if ((spte & (PTE_P | PTE_PS)) != PTE_P)
			return 0;
		page = page_of_link(s, spte);
		*alone = *alone && path_step_alone(&s->pages[page], false);
	}
	return page;
}

static bool hint_names(const struct shadow_mmu *mmu, const struct path_hint *hint)
{
	const struct shadow_page *sp = hint->record;

	return sp->role.word == mmu->plain_role && sp->gfn == (hint->upper[0].entry & PTE_ADDR_MASK) >> PAGE_SHIFT;
}

/* Numbers of pages are used again: a path that ends there, at a page of this name, is one that serves. */
bool hint_renew(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva)
{
	bool alone;

	/* Without a root the key of the lowest 2 MiB is 0, as in a hint that was never taken. */
	if (mmu->root_level != 4 || !mmu->root[0] || path_end(mmu, gva, &alone) != hint->page || !hint_names(mmu, hint))
		return false;
	hint->alone = alone;
	hint->links = mmu->s->link_changes;
	return true;
}

void hint_take(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page)
{
	struct path_hint *hint = hint_of(mmu, gva);
	u64 key = hint_key(mmu, gva);

	if (mmu->root_level != 4 || !mmu->plain_role || mmu->s->pages[page].role.word != mmu->plain_role)
		return;
	if (hint->key != key)
		hint->refused = hint->refused_row = hint->park_pause = 0;
	hint->key = key;
	hint->page = page;
	hint->record = &mmu->s->pages[page];
	hint->sptes = page_table(mmu->s, page);
	hint->table = (u64 *)((uintptr_t)walk->step[1].slot & PAGE_MASK);
	for (u32 i = 0; i < ARRAY_SIZE(hint->upper); i++)
		hint->upper[i] = walk->step[2 + i];
	hint->next = (level_index(1, gva) & ~(PREFETCH_GROUP - 1)) + PREFETCH_GROUP;
	hint->links = 0;
	if (!hint_renew(mmu, hint, gva))
		hint->key = 0;
}

static NOINLINE void prefetch_other(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct derived d;

	entry_derive(mmu, page, index, gpte, 0, &d);
	if (!d.leaf)
		return;
	leaf_install(mmu->s, page, index, d.leaf);
	STAT(mmu->s, prefetches);
}

static NOINLINE void prefetch_writable(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	u64 spte = plain_leaf(mmu, gpte);

	if (unlikely(!spte)) {
		prefetch_other(mmu, page, index, gpte);
		return;
	}
	plain_install(mmu->s, page, index, spte);
	STAT(mmu->s, prefetches);
}

/* Mostly it is a page of a file, mapped read-only: then nothing is to be known of its frame but that it is RAM. */
void prefetch_plain(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	const struct region_main *m = &s->regions->main;

	if ((gpte & (PTE_W | PTE_TYPE_4K)) || (gpte & PTE_ADDR_MASK) - m->base_gpa >= m->bytes) {
		prefetch_writable(mmu, page, index, gpte);
		return;
	}
	live_set(&s->pages[page], index);
	spte_write(&page_table(s, page)[index], gpte & PLAIN_SAME);
	STAT(s, prefetches);
}

static ALWAYS_INLINE void prefetch_plain_group(struct shadow_mmu *mmu, const u64 *table, const u64 *sptes, u32 page,
					       u32 first)
{
	table += first;
	sptes += first;
#pragma GCC unroll 8
	for (u32 i = 0; i < PREFETCH_GROUP; i++) {
		u64 gpte = __atomic_load_n(&table[i], __ATOMIC_RELAXED);

		if (is_wanted(gpte, sptes[i]))
			prefetch_plain(mmu, page, first + i, gpte);
	}
}

/* The guest goes on where the last group ended: further groups, while there is something in them. */
static NOINLINE u32 prefetch_on(struct shadow_mmu *mmu, const struct path_hint *hint, u32 first)
{
	u32 end = MIN(first + PREFETCH_RUN, ENTRIES);

	while (first < end && is_wanted(__atomic_load_n(&hint->table[first], __ATOMIC_RELAXED), hint->sptes[first])) {
		prefetch_plain_group(mmu, hint->table, hint->sptes, hint->page, first);
		first += PREFETCH_GROUP;
	}
	return first;
}

void prefetch_leaves(struct shadow_mmu *mmu, const u64 *table, u32 page, u32 index)
{
	union role role = mmu->s->pages[page].role;
	const u64 *sptes = page_table(mmu->s, page);
	u32 first = index & ~(PREFETCH_GROUP - 1);

	if (role.word == mmu->plain_role) {
		prefetch_plain_group(mmu, table, sptes, page, first);
		return;
	}
	for (u32 i = first; i < first + PREFETCH_GROUP; i++) {
		u64 gpte = guest_entry(mmu, role, table, i);

		if (is_wanted(gpte, sptes[i]))
			prefetch_other(mmu, page, i, gpte);
	}
}

/* The guest's own fault. It will most likely write the entry next. */
static ALWAYS_INLINE enum shadow_result quick_refuse(struct shadow_mmu *mmu, struct shadow *s,
						     struct path_hint *hint, gva_t gva, u64 gpte,
						     struct gpt_access access, struct shadow_fault *fault)
{
	const struct shadow_page *sp = hint->record;

	if ((gpte & PTE_P) && gpt_entry_reserved(&mmu->gpt, GPT_4L, true, 1, gpte))
		return QUICK_NO;
	STAT(s, guest_faults);
	/* With NXE set, which plain leaves imply, I/D is told (SDM vol. 3 section 4.7). PF_P is bit 0 as PTE_P. */
	fault->error = (access.word & (PF_W | PF_U | PF_ID)) | (gpte & PTE_P);
	if (!(sp->flags & PAGE_UNSYNC))
		frame_release(mmu, sp->gfn, frame_of_gfn(s, sp->gfn));
	if ((gpte & PTE_P) && access.write)
		park(mmu, hint, gva);
	return SHADOW_INJECT;
}

/* Sets A and D in the guest's leaf (S9); false if it changed meanwhile. */
static bool quick_mark(struct shadow *s, u64 *slot, u64 gpte, u64 marked)
{
	u64 old = gpte;

	if (!__atomic_compare_exchange_n(slot, &old, marked, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	s->stats[SHADOW_STAT_a_sets] += !!(~gpte & marked & PTE_A);
	s->stats[SHADOW_STAT_d_sets] += !!(~gpte & marked & PTE_D);
	return true;
}

/*
 * As gpt_walk() and fill() would do it. What the upper levels say is known: present,
 * all rights, A set, nothing reserved.
 */
static ALWAYS_INLINE enum shadow_result fault_quick(struct shadow_mmu *mmu, struct shadow *s, gva_t gva,
						    struct gpt_access access, struct shadow_fault *fault)
{
	struct path_hint *hint = hint_of(mmu, gva);
	u32 index = level_index(1, gva), first, id, *frame;
	u64 gpte, marked, spte, *at;
	bool parked;

	if (unlikely(!hint_holds(mmu, hint, gva) || (mmu->gpt.controls & GPT_CONTROLS_KEYS)))
		return QUICK_NO;
	if (unlikely(gpt_step_change(&hint->upper[0]) | gpt_step_change(&hint->upper[1]) |
		     gpt_step_change(&hint->upper[2])))
		return QUICK_NO;
	parked = page_is_parked(s, hint->page);
	if (unlikely(parked))
		unpark(mmu, gva);
	gpte = __atomic_load_n(&hint->table[index], __ATOMIC_RELAXED);
	if (!(gpte & PTE_P) || !gpt_rights_allow(&mmu->gpt, gpt_entry_access(gpte), access))
		return quick_refuse(mmu, s, hint, gva, gpte, access, fault);
	marked = gpte | PTE_A | (access.word & PF_W) << 5; /* a write sets D */
	_Static_assert(PF_W << 5 == PTE_D, "shifted together");
	frame = plain_frame(s, gpte);
	if (unlikely((gpte & PTE_TYPE_4K) || !frame || (access.write && (*frame & FRAME_TRACKED))))
		return QUICK_NO;
	spte = marked & (PLAIN_SAME & ~PTE_W);
	if ((~marked & (PTE_W | PTE_D)) == 0 && !frame_is_protected(*frame))
		spte |= PTE_W | SPTE_RMAP;
	at = &hint->sptes[index];
	if (unlikely(*at == spte))
		return parked ? SHADOW_FIXED : QUICK_NO;
	if (unlikely(marked != gpte && !quick_mark(s, &hint->table[index], gpte, marked)))
		return QUICK_NO;
	hint->record->flags |= PAGE_USED;
	hint->record->idle_writes = 0;
	id = entry_id(hint->page, index);
	if (unlikely((*at & PTE_P) || ((spte & SPTE_RMAP) && (*frame & LIST_VALUE)))) {
		leaf_install(s, hint->page, index, spte);
	} else {
		if (spte & SPTE_RMAP)
			*frame |= id;
		live_set(hint->record, index);
		spte_write(at, spte);
	}
	STAT(s, fills);
	if (unlikely(parked))
		return SHADOW_FIXED;
	first = index & ~(PREFETCH_GROUP - 1);
	prefetch_plain_group(mmu, hint->table, hint->sptes, hint->page, first);
	first += PREFETCH_GROUP;
	hint->next = unlikely(index == hint->next) ? prefetch_on(mmu, hint, first) : first;
	return SHADOW_FIXED;
}

static ALWAYS_INLINE struct gpt_access decode_access(u32 error, u32 cpl, u64 rflags)
{
	return (struct gpt_access){
		/* cpl + 1 has the bit of PF_U for cpl 3: an access that is not the user's is implicit then. */
		.word = (error & (PF_W | PF_U | PF_ID)) | ((cpl + 1) & ~error & PF_U) << 3 |
			(u32)(rflags >> 12 & GPT_ACCESS_AC),
	};
}

enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error,
				       u32 cpl, u64 rflags, struct shadow_fault *fault)
{
	struct gpt_access access = decode_access(error, cpl, rflags);
	struct shadow *s = mmu->s;
	enum shadow_result result;

	_Static_assert(PF_U << 3 == GPT_ACCESS_IMPLICIT && RFLAGS_AC >> 12 == GPT_ACCESS_AC, "shifted together");
	STAT(s, walks);
	spin_lock(&s->lock);
	result = fault_quick(mmu, s, gva, access, fault);
	spin_unlock(&s->lock);
	return likely(result != QUICK_NO) ? result : fault_full(mmu, gva, error, access, fault);
}
