/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a page fault. Where a walk went and what it read above level 1 is
 * remembered for each 2 MiB range: a fault that finds the guest's upper entries and our
 * links as they were differs from a whole walk by its leaf alone, and the fast path reads
 * and judges that. The slow path knows nothing: it walks the guest's tables without the
 * lock, then with the lock finds the shadow pages down the path, checks that the guest's
 * entries still read the same, links, and installs the leaf.
 *
 *   guest:   L4 -> L3 -> L2 -> L1 -> frame          (or a large leaf higher up)
 *   shadow:  L4 -> L3 -> L2 -> L1 -> host frame     each found by (gfn, role)
 *                          \-> direct page          below a splintered large leaf
 */
#include "mm/shadow.h"

#include "mm/shadow/cache.h"
#include "mm/shadow/cow.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/flushcheck.h"
#include "mm/shadow/page.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/prefetch.h"
#include "mm/shadow/root.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"
#include "mm/shadow/unsync.h"

/* One fill under way. */
struct fill {
	struct shadow_mmu *mmu;
	gva_t gva;
	struct gpt_access access;
	struct gpt_walk walk;
	struct region_hit hit; /* of walk.gfn; once the leaf is installed, of its neighbours */
	u32 guest_leaf;        /* level of the guest's leaf; paging off: one above the top */
	u32 top;               /* level of the highest shadow page */
	u32 map_level;         /* level of the shadow leaf */
	u32 rights;            /* ACC_* for the leaf */
	u32 memtype, key;
	u32 cpu;                      /* role.cpu of the pages below the root */
	u32 path[GPT_LEVELS_MAX + 1]; /* [level]: page number */
	u32 made;                     /* BIT(level): page was made now */
	u32 unlinked;                 /* BIT(level): its page does not yet link to the one below */
};

/* The gfn at which a level's leaf or table entry containing gfn begins. */
static gfn_t align_gfn(gfn_t gfn, u32 level)
{
	return gfn & ~(level_frames(level) - 1);
}

static void hit_move(struct region_hit *hit, gfn_t from, gfn_t to)
{
	hit->pfn += to - from;
	hit->frame_index += to - from;
}

/* Decides the leaf: rights, type, and the largest level that may hold it. */
static void fill_plan(struct fill *f)
{
	struct shadow_mmu *mmu = f->mmu;
	const struct gpt_walk *w = &f->walk;
	/*
	 * Which face of a read-only user page, with CR0.WP clear (S8). Below a large
	 * leaf the choice is one for all its pages: once the supervisor has written,
	 * its reads and fetches keep to its face, or an instruction that fetches and
	 * writes in one large page would fault for ever.
	 */
	bool supervisor_write = !f->access.user && (f->access.write || (w->leaf_level > 1 && w->dirty));
	u64 gpte = w->step[w->leaf_level].entry;
	u32 access = w->access;

	/* A key that forbids writes under WP is like a clear W. */
	if (unlikely(mmu->gpt.pke) && supervisor_write && gpt_key_needs_wp(&mmu->gpt, gpte))
		access &= ~(u32)ACC_W;
	f->top = top_level(mmu);
	f->cpu = mmu->root_level >= 4 && (s64)f->gva >= 0 ? 0 : mmu->number;
	f->map_level = 1;
	if (mmu->gpt.mode == GPT_NONE) {
		f->guest_leaf = f->top + 1;
		f->rights = ACC_ALL;
		f->memtype = MT_WB;
		f->key = 0;
	} else {
		f->guest_leaf = w->leaf_level;
		f->rights = leaf_access(mmu->base_role, access, w->dirty, supervisor_write);
		f->memtype = leaf_memtype(mmu->paging.pat, w->leaf_level, gpte);
		/* The supervisor's face of a user page has no key (S8). */
		f->key = w->access & ~f->rights & ACC_U ? 0 : leaf_key(gpte);
	}
	for (u32 level = MIN(f->guest_leaf, f->top); level > 1; level--) {
		gfn_t base = align_gfn(w->gfn, level);
		struct region_hit hit = f->hit;

		if (base < hit.first)
			continue;
		hit_move(&hit, w->gfn, base);
		if (leaf_may_be_large(mmu->s, level, base, f->rights & ACC_W, &hit)) {
			f->map_level = level;
			f->hit = hit;
			return;
		}
	}
}

/* Name of the page one level below: the guest's table, or a direct page under its leaf. */
static ALWAYS_INLINE void fill_child_name(const struct fill *f, u32 level, gfn_t *gfn, union role *role)
{
	const struct gpt_walk *w = &f->walk;

	if (level >= f->guest_leaf) {
		*gfn = gpt_walk_table(w, level) >> PAGE_SHIFT;
		*role = role_child(f->mmu->base_role, level, gpt_access_above(w, level),
				   f->mmu->gpt.mode == GPT_32 ? level_index(2, f->gva) & 1 : 0);
	} else {
		*gfn = align_gfn(w->gfn, level + 1);
		*role = role_direct(level, f->rights, f->memtype, f->key);
	}
	role->cpu = f->cpu & (ROLE_CPUS - 1);
}

static ALWAYS_INLINE bool fill_name_matches(const struct fill *f, u32 level, u32 page)
{
	const struct shadow_page *sp = &f->mmu->s->pages[page];
	union role role;
	gfn_t gfn;

	fill_child_name(f, level, &gfn, &role);
	return sp->gfn == gfn && sp->role.word == role.word;
}

/*
 * Finds or makes every page of the path; links nothing yet. Mostly all links
 * are there and lead to pages of the right names: then f->unlinked stays 0.
 */
static void fill_path(struct fill *f)
{
	struct shadow *s = f->mmu->s;
	u32 page = top_page(f->mmu, f->gva);

	f->path[f->top] = page;
	f->made = f->unlinked = 0;
	for (u32 level = f->top; level > f->map_level; level--) {
		union role role;
		gfn_t gfn;
		bool made;

		page = link_target(s, page_table(s, page)[level_index(level, f->gva)]);
		if (unlikely(!page || !fill_name_matches(f, level - 1, page))) {
			fill_child_name(f, level - 1, &gfn, &role);
			page = page_get(s, gfn, role, &made);
			f->unlinked |= 1u << level;
			f->made |= made ? 1u << (level - 1) : 0;
		}
		page_touch(&s->pages[page]);
		f->path[level - 1] = page;
	}
}

static void fill_link(struct fill *f)
{
	struct shadow *s = f->mmu->s;

	for (u32 level = f->top; level > f->map_level; level--) {
		u32 child = f->path[level - 1], index = level_index(level, f->gva);

		if (!(f->unlinked & 1u << level))
			continue;
		page_drop_entry(s, f->path[level], index);
		if (!(f->made & 1u << (level - 1)) || (s->pages[child].flags & PAGE_DORMANT))
			sync_refresh(f->mmu, child);
		page_link(s, f->path[level], index, child, false);
		if (level == f->guest_leaf)
			STAT(s, splinters);
	}
}

/*
 * Neighbours in a direct page: the same large leaf of the guest, or no paging.
 * leaf->hit is &f->hit, which the leaf just installed no longer needs.
 */
static void prefetch_direct(struct fill *f, u32 page, u32 index, const struct leaf *leaf)
{
	struct shadow *s = f->mmu->s;
	u64 *sptes = page_table(s, page);
	u32 first = index & ~(PREFETCH_GROUP - 1);
	gfn_t base = align_gfn(f->walk.gfn, 1) - index;

	for (u32 i = first; i < first + PREFETCH_GROUP; i++) {
		u64 spte;

		if (sptes[i] & PTE_P)
			continue;
		region_lookup(s->regions, base + i, &f->hit);
		spte = f->hit.kind == REGION_HIDDEN ? 0 : leaf_entry(s, leaf);
		if (!spte)
			continue;
		leaf_install(s, page, i, spte);
		STAT(s, prefetches);
		if (trace_engine_on())
			trace_prefetch(s, page, i, 0);
	}
}

static void fill_prefetch(struct fill *f, u32 page, u32 index, const struct leaf *leaf)
{
	if (f->map_level != 1 || (f->mmu->s->pages[page].flags & PAGE_FOREIGN))
		return;
	if (f->guest_leaf == 1)
		prefetch_leaves(f->mmu, (const u64 *)((uintptr_t)f->walk.step[1].slot & PAGE_MASK), page, index);
	else
		prefetch_direct(f, page, index, leaf);
}

/*
 * Nothing was missing (a fault itself drops the address's TLB entry, SDM vol. 3
 * section 4.10.4.1, so no flush is owed). Either an earlier change already cured it, or the access
 * is an implicit one of the supervisor, for which SMAP ignores AC: hardware does
 * not say so for CPL 0 to 2, but it faults again at once (S9), no entry having gone meanwhile.
 */
static enum shadow_result fill_spurious(struct fill *f, u32 error, struct shadow_fault *fault)
{
	struct shadow_mmu *mmu = f->mmu;
	bool again = mmu->spurious_gva == f->gva && mmu->spurious_fault == mmu->faults - 1 &&
		     mmu->spurious_count == mmu->flush_owed;

	STAT(mmu->s, spurious);
	mmu->spurious_gva = f->gva;
	mmu->spurious_fault = mmu->faults;
	mmu->spurious_count = mmu->flush_owed;
	if (again && (error & PF_P) && mmu->gpt.smap && f->access.ac && !f->access.user && !f->access.fetch &&
	    (f->walk.access & ACC_U)) {
		f->access.implicit = true;
		if (gpt_walk(&mmu->gpt, f->gva, f->access, GPT_PEEK, &f->walk) == GPT_FAULT) {
			fault->error = f->walk.error;
			return SHADOW_INJECT;
		}
	}
	return SHADOW_FIXED;
}

static enum shadow_result fill_install(struct fill *f, u64 before, u32 error, struct shadow_fault *fault)
{
	struct shadow *s = f->mmu->s;
	u32 page = f->path[f->map_level], index = level_index(f->map_level, f->gva);
	struct leaf leaf = {
		.level = f->map_level,
		.access = f->rights,
		.memtype = f->memtype,
		.key = f->key,
		.dirty = f->walk.dirty || f->map_level < f->guest_leaf,
		.hit = &f->hit,
	};
	u64 spte = leaf_entry(s, &leaf);

	if (before == spte && !f->unlinked)
		return fill_spurious(f, error, fault);
	if (page_table(s, page)[index] != spte)
		leaf_install(s, page, index, spte);
	if (f->map_level == 1)
		STAT(s, fills);
	else
		STAT(s, large_fills);
	if (trace_engine_on())
		trace_fill(s, f->gva, page, index, f->guest_leaf > f->top ? 0 : f->walk.step[f->guest_leaf].entry);
	fill_prefetch(f, page, index, &leaf);
	return SHADOW_FIXED;
}

/*
 * The guest writes to a table: let it, and remember the way it came. The lowest page
 * of the path is in use now, so its count of idle writes is 0 and it stays. One above
 * it that the fast path passed by may go: then the next fault makes it again, slowly.
 */
static void fill_unsync(struct fill *f, u32 *frame)
{
	struct shadow *s = f->mmu->s;
	u32 page = page_first_of_gfn(s, f->walk.gfn);

	if (f->map_level == 1 && page)
		s->pages[page].last_writer = entry_id(f->path[1], level_index(1, f->gva));
	if (!frame_is_protected(*frame))
		return;
	frame_unsync(f->mmu, f->walk.gfn, frame);
	page = page_first_of_gfn(s, f->walk.gfn); /* which may have dropped pages */
	if (page)
		unsync_others(f->mmu, page);
}

static enum shadow_result fill(struct fill *f, u32 error, struct shadow_fault *fault)
{
	struct shadow *s = f->mmu->s;
	gfn_t gfn = f->walk.gfn;
	u32 *frame = NULL;
	u64 before;

	root_load(f->mmu);
	pages_reserve(s, PAGES_PER_FILL);
	if (unlikely(s->dormant))
		dormant_look(f->mmu, DORMANT_DROPS);
	if (f->hit.kind == REGION_RAM)
		frame = &s->frames[f->hit.frame_index];
	fill_plan(f);
	fill_path(f);
	before = page_table(s, f->path[f->map_level])[level_index(f->map_level, f->gva)];
	/* The path may just have made this very frame a table: look now, not earlier. */
	if (f->map_level > 1 && (f->rights & ACC_W) &&
	    !leaf_may_be_large(s, f->map_level, align_gfn(gfn, f->map_level), true, &f->hit))
		return SHADOW_RETRY;
	/* A write that the walk allowed has ACC_W: D is set, and with CR0.WP clear leaf_access() gives it. */
	if (frame && f->access.write && (*frame & FRAME_TRACKED))
		fill_unsync(f, frame);
	/* The walk ran without the lock: do the entries still read the same? (S2) */
	if (!gpt_walk_unchanged(&f->mmu->gpt, &f->walk))
		return SHADOW_RETRY;
	/* Where a device wrote a large entry over that of a detached table, the leaf must not take the link's place. */
	if (unlikely(s->detached_count) && f->map_level > 1)
		invlpg_must_exit(s);
	if (unlikely(f->unlinked))
		fill_link(f);
	if (f->map_level == 1 && f->guest_leaf == 1)
		path_remember(f->mmu, f->gva, &f->walk, f->path[1]);
	return fill_install(f, before, error, fault);
}

static enum shadow_result slow_with_lock(struct fill *f, u32 error, struct shadow_fault *fault)
{
	struct shadow *s = f->mmu->s;
	u64 begun = __builtin_ia32_rdtsc();
	enum shadow_result result;

	if (unlikely(s->invlpg_free) && !s->detached_count)
		invlpg_must_exit(s);
	counter_add(&s->stats[SHADOW_STAT_a_sets], f->walk.a_sets);
	counter_add(&s->stats[SHADOW_STAT_d_sets], f->walk.d_sets);
	region_lookup(s->regions, f->walk.gfn, &f->hit);
	if (f->hit.kind == REGION_TRAPPED || (f->hit.kind == REGION_HIDDEN && f->access.write)) {
		fault->gpa = gpa(f->walk.gfn << PAGE_SHIFT | (f->gva & (PAGE_SIZE - 1)));
		fault->kind = f->hit.kind;
		if (f->hit.kind == REGION_TRAPPED)
			trap_remember(f->mmu, f->gva, &f->walk);
		STAT(s, emulations);
		return SHADOW_EMULATE;
	}
	result = fill(f, error, fault);
	if (unlikely(f->hit.kind == REGION_HIDDEN) && result == SHADOW_FIXED)
		STAT(s, hidden_reads);
	stat_longest(s, begun);
	return result;
}

/* A guest that is given a page fault will most likely write the entry that it stopped at. */
static void unsync_faulting(struct shadow_mmu *mmu, const struct gpt_walk *w)
{
	struct shadow *s = mmu->s;
	gfn_t gfn = gpt_walk_table(w, w->last_level) >> PAGE_SHIFT;
	u32 *frame;

	if ((w->error & PF_RSVD) || mmu->gpt.mode == GPT_PAE)
		return;
	engine_lock(s);
	frame = frame_of_gfn(s, gfn);
	if (frame && frame_is_protected(*frame))
		frame_unsync(mmu, gfn, frame);
	if ((w->error & (PF_P | PF_W)) == (PF_P | PF_W))
		cow_free_invlpg(mmu);
	engine_unlock(s);
}

/* The slow path. Inlined into the fast one it would make that slower. */
static NOINLINE enum shadow_result fault_slow(struct shadow_mmu *mmu, gva_t gva, u32 error,
					      struct gpt_access access, struct shadow_fault *fault)
{
	enum shadow_result result;
	enum gpt_status status;
	struct fill f;

	f.mmu = mmu;
	f.gva = gva;
	f.access = access;
	status = gpt_walk(&mmu->gpt, gva, access, GPT_SET_AD, &f.walk);
	if (trace_engine_on())
		trace_slow_walk(&f.walk, gva, error, status);
	switch (status) {
	case GPT_RETRY: return SHADOW_RETRY;
	case GPT_FAULT:
		STAT_OF(mmu, guest_faults);
		fault->error = f.walk.error;
		unsync_faulting(mmu, &f.walk);
		return SHADOW_INJECT;
	case GPT_OK: break;
	}
	engine_lock(mmu->s);
	result = slow_with_lock(&f, error, fault);
	engine_unlock(mmu->s);
	return result;
}

/* --- the fast path ----------------------------------------------------------- */
/* Not decided here, or not without the lock. Not among the results that callers see. */
#define NOT_FAST ((enum shadow_result) ~0)
#define NEEDS_LOCK ((enum shadow_result) ~1)

/* With NXE set, which copied leaves imply, I/D is told (SDM vol. 3 section 4.7). PF_P is bit 0 as PTE_P. */
static ALWAYS_INLINE void refuse(struct shadow_mmu *mmu, u64 gpte, struct gpt_access access,
				 struct shadow_fault *fault)
{
	STAT_OF(mmu, guest_faults);
	fault->error = (access.word & (PF_W | PF_U | PF_ID)) | (gpte & PTE_P);
}

static ALWAYS_INLINE bool leaf_is_reserved(const struct shadow_mmu *mmu, u64 gpte)
{
	return (gpte & PTE_P) && gpt_entry_reserved(&mmu->gpt, GPT_4L, true, 1, gpte);
}

/* The guest's own fault. It will most likely write the entry next. */
static ALWAYS_INLINE enum shadow_result fast_refuse(struct shadow_mmu *mmu, struct shadow *s,
						    struct cached_path *path, gva_t gva, u64 gpte,
						    struct gpt_access access, struct shadow_fault *fault)
{
	const struct shadow_page *sp = path->record;

	if (leaf_is_reserved(mmu, gpte))
		return NOT_FAST;
	refuse(mmu, gpte, access, fault);
	if (!(sp->flags & PAGE_UNSYNC))
		frame_unsync(mmu, sp->gfn, frame_of_gfn(s, sp->gfn));
	if ((gpte & PTE_P) && access.write)
		cow_detach(mmu, path, gva);
	return SHADOW_INJECT;
}

/* Sets A and D in the guest's leaf (S9); false if it changed meanwhile. */
static bool fast_mark(struct shadow_mmu *mmu, u64 *slot, u64 gpte, u64 marked)
{
	u64 old = gpte;

	if (!__atomic_compare_exchange_n(slot, &old, marked, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	counter_add(&mmu->stats[SHADOW_STAT_a_sets], !!(~gpte & marked & PTE_A));
	counter_add(&mmu->stats[SHADOW_STAT_d_sets], !!(~gpte & marked & PTE_D));
	return true;
}

/* Does a whole walk differ from the remembered one by its leaf alone? */
static ALWAYS_INLINE bool path_serves(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva)
{
	return likely(path_holds(mmu, path, gva) && !(mmu->gpt.controls & GPT_CONTROLS_KEYS)) &&
	       likely(!(gpt_step_change(&path->upper[0]) | gpt_step_change(&path->upper[1]) |
			gpt_step_change(&path->upper[2])));
}

/* What an access that the guest's leaf allows makes of it, and of ours. */
struct wanted {
	u64 marked; /* the guest's, with A and D */
	u64 spte;
	u32 *frame; /* of the page */
	u32 word;   /* its frame word */
};

/* As gpt_walk() and fill() would do it. False: it is not the usual case. */
static ALWAYS_INLINE bool leaf_wanted(struct shadow *s, u64 gpte, struct gpt_access access, struct wanted *w)
{
	w->marked = gpte | PTE_A | (access.word & PF_W) << 5; /* a write sets D */
	_Static_assert(PF_W << 5 == PTE_D, "shifted together");
	w->frame = frame_of_copied(s, gpte, &w->word);
	if (unlikely((gpte & PTE_TYPE_4K) || !w->frame || (access.write && (w->word & FRAME_TRACKED))))
		return false;
	w->spte = w->marked & (COPIED_BITS & ~PTE_W);
	if ((~w->marked & (PTE_W | PTE_D)) == 0 && !frame_is_protected(w->word))
		w->spte |= PTE_W | SPTE_RMAP;
	return true;
}

/* What the fast path does behind a leaf. */
static TRACE_COLD void fault_prefetch_traced(struct shadow_mmu *mmu, struct cached_path *path, u32 index)
{
	u32 first = index & ~(PREFETCH_GROUP - 1), end = first + PREFETCH_GROUP;
	bool more = index == path->next;

	if (more)
		end = MIN(end + PREFETCH_RUN, ENTRIES);
	path->next = first + PREFETCH_GROUP;
	for (u32 i = first; i < end; i++) {
		u64 gpte = __atomic_load_n(&path->table[i], __ATOMIC_RELAXED);

		if (i >= path->next) { /* the next group, if its first entry is wanted */
			if (!is_wanted(gpte, path->sptes[i]))
				break;
			path->next = i + PREFETCH_GROUP;
		}
		if (is_wanted(gpte, path->sptes[i]))
			prefetch_traced(mmu, path->page, i, gpte);
	}
}

/* What the upper levels say is known: present, all rights, A set, nothing reserved. With the lock, or one CPU. */
static ALWAYS_INLINE enum shadow_result fault_fast(struct shadow_mmu *mmu, struct shadow *s, gva_t gva,
						   struct gpt_access access, struct shadow_fault *fault,
						   bool traced, u32 error)
{
	struct cached_path *path = path_slot(mmu, gva);
	u32 index = level_index(1, gva), first;
	struct wanted w;
	bool detached;
	u64 gpte, *at;

	if (!path_serves(mmu, path, gva))
		return NOT_FAST;
	detached = page_is_detached(s, path->page);
	if (unlikely(detached))
		cow_reattach(mmu, gva);
	gpte = __atomic_load_n(&path->table[index], __ATOMIC_RELAXED);
	if (!(gpte & PTE_P) || !gpt_rights_allow(&mmu->gpt, gpt_entry_access(gpte), access))
		return fast_refuse(mmu, s, path, gva, gpte, access, fault);
	if (!leaf_wanted(s, gpte, access, &w))
		return NOT_FAST;
	at = &path->sptes[index];
	if (unlikely(*at == w.spte))
		return detached ? SHADOW_FIXED : NOT_FAST;
	if (unlikely(w.marked != gpte && !fast_mark(mmu, &path->table[index], gpte, w.marked)))
		return NOT_FAST;
	if (traced)
		trace_fast_walk(path, gva, error, gpte, w.marked);
	page_touch(path->record);
	if (traced || unlikely((*at & PTE_P) || ((w.spte & SPTE_RMAP) && (w.word & LIST_VALUE)))) {
		leaf_install(s, path->page, index, w.spte);
		if (traced)
			trace_fill(s, gva, path->page, index, w.marked);
	} else {
		if (w.spte & SPTE_RMAP)
			*w.frame = w.word | entry_id(path->page, index);
		live_set(path->record, index);
		spte_write(at, w.spte);
	}
	STAT(s, fills);
	if (unlikely(detached))
		return SHADOW_FIXED;
	first = index & ~(PREFETCH_GROUP - 1);
	if (traced) {
		fault_prefetch_traced(mmu, path, index);
		return SHADOW_FIXED;
	}
	prefetch_group(mmu, path->table, path->sptes, path->page, first, false);
	first += PREFETCH_GROUP;
	path->next = unlikely(index == path->next) ? prefetch_on(mmu, path, first) : first;
	return SHADOW_FIXED;
}

/* While flushes are checked: the slow path alone. The lock is held, and let go meanwhile. */
static TRACE_COLD enum shadow_result fault_checked(struct shadow_mmu *mmu, gva_t gva, u32 error,
						   struct gpt_access access, struct shadow_fault *fault)
{
	bool withhold = flushcheck_fault(mmu, gva, access);
	enum shadow_result result;

	engine_unlock(mmu->s);
	result = fault_slow(mmu, gva, error, access, fault);
	engine_lock(mmu->s);
	flushcheck_done(mmu, gva, withhold);
	return result;
}

/* The same, told to the trace; it installs by the long way, which tells each entry. Or flushes are checked. */
static TRACE_COLD enum shadow_result fault_traced(struct shadow_mmu *mmu, gva_t gva, u32 error,
						  struct gpt_access access, struct shadow_fault *fault)
{
	enum shadow_result result;

	if (mmu->s->check)
		return fault_checked(mmu, gva, error, access, fault);
	result = fault_fast(mmu, mmu->s, gva, access, fault, true, error);
	if (result == SHADOW_INJECT)
		trace_fast_refused(path_slot(mmu, gva), gva, error);
	return result;
}

/* --- the fast path of several CPUs, without the lock (S25) ------------------------ */
/* The page is this CPU's, or locked. */
static ALWAYS_INLINE enum shadow_result install_shared(struct shadow_mmu *mmu, struct cached_path *path, u32 index,
						       u64 gpte, const struct wanted *w)
{
	struct shadow_page *sp = path->record;
	u64 *at = &path->sptes[index], old = *at;
	u32 first = index & ~(PREFETCH_GROUP - 1);

	if (unlikely(old == w->spte))
		return NOT_FAST;
	/* More rights than before need no flush; all else drops the entry. */
	if (unlikely((old & PTE_P) && (old & ~PTE_D) != (w->spte & ~(PTE_W | PTE_D | SPTE_RMAP))))
		return NEEDS_LOCK;
	if (unlikely(w->marked != gpte && !fast_mark(mmu, &path->table[index], gpte, w->marked)))
		return NOT_FAST;
	if ((w->spte & SPTE_RMAP) && !list_claim(mmu, w->frame, entry_id(path->page, index)))
		return NEEDS_LOCK;
	if (unlikely(!(sp->flags & PAGE_USED)))
		__atomic_store_n(&sp->flags, sp->flags | PAGE_USED, __ATOMIC_RELAXED); /* refuse_shared() reads it */
	sp->idle_writes = 0;
	if (likely(!(old & PTE_P)))
		live_set(sp, index);
	spte_write(at, w->spte);
	STAT_OF(mmu, fills);
	prefetch_group(mmu, path->table, path->sptes, path->page, first, true);
	first += PREFETCH_GROUP;
	path->next = unlikely(index == path->next) ? prefetch_on_shared(mmu, path, first) : first;
	return SHADOW_FIXED;
}

/* What the guest may write to already is left as it is. */
static ALWAYS_INLINE enum shadow_result refuse_shared(struct shadow_mmu *mmu, const struct cached_path *path,
						      u64 gpte, struct gpt_access access, struct shadow_fault *fault)
{
	if (leaf_is_reserved(mmu, gpte))
		return NOT_FAST;
	if (!(__atomic_load_n(&path->record->flags, __ATOMIC_RELAXED) & PAGE_UNSYNC))
		return NEEDS_LOCK;
	refuse(mmu, gpte, access, fault);
	return SHADOW_INJECT;
}

/* fault_fast() as a reader. */
static ALWAYS_INLINE enum shadow_result fault_shared(struct shadow_mmu *mmu, struct shadow *s, gva_t gva,
						     struct gpt_access access, struct shadow_fault *fault)
{
	struct cached_path *path = path_slot(mmu, gva);
	u32 index = level_index(1, gva);
	enum shadow_result result;
	struct wanted w;
	u64 gpte;

	if (!path_serves(mmu, path, gva))
		return NOT_FAST;
	gpte = __atomic_load_n(&path->table[index], __ATOMIC_RELAXED);
	if (!(gpte & PTE_P) || !gpt_rights_allow(&mmu->gpt, gpt_entry_access(gpte), access))
		return refuse_shared(mmu, path, gpte, access, fault);
	if (!leaf_wanted(s, gpte, access, &w))
		return NOT_FAST;
	if (unlikely(!path->own))
		page_lock(path->record); /* SETTLE: pagelock */
	result = install_shared(mmu, path, index, gpte, &w);
	if (unlikely(!path->own))
		page_unlock(path->record);
	return result;
}

/* While there is one CPU only, pages may be detached, and the trace is told with the lock held. A function of its own: the other case stays as short as it is. */
static NOINLINE enum shadow_result fault_several(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access,
						 struct shadow_fault *fault)
{
	enum shadow_result result = NEEDS_LOCK;

	if (likely(__atomic_load_n(&mmu->s->faults_shared, __ATOMIC_RELAXED)) && likely(reader_begin(mmu))) {
		result = fault_shared(mmu, mmu->s, gva, access, fault);
		reader_end(mmu);
	}
	return result;
}

/* The fast path of one CPU, with the lock. */
static NOINLINE enum shadow_result fault_locked(struct shadow_mmu *mmu, gva_t gva, u32 error,
						struct gpt_access access, struct shadow_fault *fault)
{
	struct shadow *s = mmu->s;
	enum shadow_result result;

	engine_lock(s);
	if (unlikely(s->traced))
		result = fault_traced(mmu, gva, error, access, fault);
	else
		result = fault_fast(mmu, s, gva, access, fault, false, error);
	if (s->readers)
		nodes_stash(mmu);
	engine_unlock(s);
	return likely(result != NOT_FAST) ? result : fault_slow(mmu, gva, error, access, fault);
}

enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault)
{
	struct gpt_access access = access_of_fault(error, cpl, rflags);
	struct shadow *s = mmu->s;
	enum shadow_result result;

	counter_add(&mmu->faults, 1);
	if (unlikely(s->faults_locked)) {
		result = fault_several(mmu, gva, access, fault);
		if (likely(result < NEEDS_LOCK))
			return result;
		if (result == NOT_FAST)
			return fault_slow(mmu, gva, error, access, fault);
		return fault_locked(mmu, gva, error, access, fault);
	}
	result = fault_fast(mmu, s, gva, access, fault, false, error);
	return likely(result != NOT_FAST) ? result : fault_slow(mmu, gva, error, access, fault);
}
