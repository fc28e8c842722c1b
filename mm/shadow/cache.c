/* SPDX-License-Identifier: BSD-2-Clause */
/* The path cache and the code cache; see mm/shadow/cache.h. */
#include "mm/shadow/cache.h"

#include "mm/gpt_format.h"
#include "mm/shadow/cpus.h"
#include "mm/shadow/rmap.h"

/* for_each_step() to level 1 of 4, which the compiler unrolls; 0: a link is missing. */
static u32 path_end(const struct shadow_mmu *mmu, gva_t gva, bool *alone)
{
	struct shadow *s = mmu->s;
	u32 page = mmu->root[0];

	*alone = path_step_alone(&s->pages[page], true);
#pragma GCC unroll 3
	for (u32 level = 4; level > 1; level--) {
		page = link_target(s, page_table(s, page)[level_index(level, gva)]);
		if (!page)
			return 0;
		*alone = *alone && path_step_alone(&s->pages[page], false);
	}
	return page;
}

static bool path_names(const struct shadow_mmu *mmu, const struct cached_path *path)
{
	const struct shadow_page *sp = path->record;

	return role_of_any(sp->role) == mmu->copied_role &&
	       sp->gfn == (path->upper[0].entry & PTE_ADDR_MASK) >> PAGE_SHIFT;
}

/* Numbers of pages are used again: a path that ends there, at a page of this name, is one that serves. */
bool path_renew(struct shadow_mmu *mmu, struct cached_path *path, gva_t gva)
{
	bool alone;

	/* Without a root the key of the lowest 2 MiB is 0, as in a slot that was never used. */
	if (mmu->root_level != 4 || !mmu->root[0] || path_end(mmu, gva, &alone) != path->page ||
	    !path_names(mmu, path))
		return false;
	path->alone = alone;
	path->own = !mmu->shares && (alone || path->record->role.cpu == mmu->number);
	path->links = mmu->s->link_changes;
	return true;
}

/* The mapping of a foreign table is gone after the walk. */
static NOINLINE bool walk_is_foreign(const struct shadow_mmu *mmu, const struct gpt_walk *walk)
{
	for (u32 level = walk->leaf_level; level <= walk->top_level; level++)
		if (!frame_of_gfn(mmu->s, gpt_walk_table(walk, level) >> PAGE_SHIFT))
			return true;
	return false;
}

void path_remember(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page)
{
	struct cached_path *path = path_slot(mmu, gva);
	u64 key = path_key(mmu, gva);

	if (mmu->root_level != 4 || !mmu->copied_role || role_of_any(mmu->s->pages[page].role) != mmu->copied_role)
		return;
	if (unlikely(mmu->s->foreign_count) && walk_is_foreign(mmu, walk))
		return;
	if (path->key != key)
		path->refused = path->refused_row = path->detach_pause = path->window_row = 0;
	path->key = key;
	path->page = page;
	path->record = &mmu->s->pages[page];
	path->sptes = page_table(mmu->s, page);
	path->table = (u64 *)((uintptr_t)walk->step[1].slot & PAGE_MASK);
	for (u32 i = 0; i < ARRAY_SIZE(path->upper); i++)
		path->upper[i] = walk->step[2 + i];
	path->next = (level_index(1, gva) & ~(PREFETCH_GROUP - 1)) + PREFETCH_GROUP;
	path->links = 0;
	if (!path_renew(mmu, path, gva))
		path->key = 0;
}

/* --- trapped memory ------------------------------------------------------------- */

void trap_remember(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk)
{
	struct cached_trap *trap = &mmu->trap;

	mmu->trapped_gva = TRAPPED_NONE;
	if (mmu->gpt.mode != GPT_4L || walk->leaf_level != 1 || mmu->gpt.controls & GPT_CONTROLS_KEYS)
		return;
	for (u32 level = 1; level <= 4; level++)
		if (!table_pointer(mmu->gpt.regions, gpt_walk_table(walk, level) >> PAGE_SHIFT))
			return; /* a foreign table: its mapping is gone after the walk */
	for (u32 i = 0; i < ARRAY_SIZE(trap->lower); i++)
		trap->lower[i] = walk->step[1 + i];
	trap->top = walk->step[4].entry;
	trap->page = gpa(walk->gfn << PAGE_SHIFT);
	trap->rights = walk->access;
	trap->controls = mmu->gpt.controls;
	trap->dirty = walk->dirty;
	mmu->trapped_gva = gva & PAGE_MASK;
}

/* All of a walk but what the access may do. */
static bool trap_holds(const struct shadow_mmu *mmu, const struct cached_trap *trap, gva_t gva)
{
	const struct gpt_context *ctx = &mmu->gpt;
	const u64 *root;

	if (!shadow_is_trapped_page(mmu, gva) || ctx->mode != GPT_4L || ctx->controls != trap->controls)
		return false;
	root = table_pointer(ctx->regions, (ctx->cr3 & PTE_ADDR_MASK) >> PAGE_SHIFT);
	return root && __atomic_load_n(&root[level_index(4, gva)], __ATOMIC_RELAXED) == trap->top &&
	       !(gpt_step_change(&trap->lower[0]) | gpt_step_change(&trap->lower[1]) |
		 gpt_step_change(&trap->lower[2]));
}

bool shadow_recall_trapped(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags, gpa_t *gpa)
{
	struct gpt_access access = access_of_fault(error, cpl, rflags);
	const struct cached_trap *trap = &mmu->trap;

	if (!trap_holds(mmu, trap, gva) || !gpt_rights_allow(&mmu->gpt, trap->rights, access) ||
	    (access.write && !trap->dirty))
		return false;
	counter_add(&mmu->faults, 1);
	STAT_OF(mmu, emulations);
	gpa->v = trap->page.v | (gva & (PAGE_SIZE - 1));
	return true;
}

/* --- code ------------------------------------------------------------------------- */

/* The root's entry for an address, in the formats with one root. */
static ALWAYS_INLINE const u64 *top_entry(const struct shadow_mmu *mmu, gva_t gva)
{
	return &mmu->s->pool[(u64)root_now(mmu) * ENTRIES + (gva >> mmu->top_shift) % ENTRIES];
}

/* Fills the slot from the leaf for gva; NULL if that is not known as RAM at once. */
static const u8 *code_take(const struct shadow_mmu *mmu, gva_t gva, const struct step *leaf, struct cached_code *path)
{
	const struct region_main *m = &mmu->s->regions->main;
	u64 at = spte_pfn(leaf->level, *leaf->at) << PAGE_SHIFT |
		 (gva & (BIT(PAGE_SHIFT + INDEX_BITS * (leaf->level - 1)) - 1));

	if (at - m->hpa >= m->bytes && !region_in_whole(mmu->s->regions, at >> PAGE_SHIFT))
		return NULL;
	*path = (struct cached_code){
		.page = gva >> PAGE_SHIFT,
		.links = mmu->s->link_changes,
		.top = *top_entry(mmu, gva),
		.leaf = leaf->at,
		.value = *leaf->at,
		.at = phys_to_virt(hpa(at & PAGE_MASK)),
	};
	return phys_to_virt(hpa(at));
}

/* Tables are followed with the lock held: another CPU may free them, and what they become is no table. */
static NOINLINE __attribute__((noclone)) const u8 *code_find(struct shadow_mmu *mmu, gva_t gva,
							     struct cached_code *path)
{
	const u8 *found = NULL;

	if (mmu->root_level < 4)
		return NULL;
	engine_lock(mmu->s);
	for_each_step(step, mmu, gva)
		if ((*step.at & PTE_P) && spte_is_leaf(step.level, *step.at)) {
			found = code_take(mmu, gva, &step, path);
			break;
		}
	engine_unlock(mmu->s);
	return found;
}

/*
 * What the code cache says of an address; else NULL and the slot for it, or none: then it takes a walk. Without a root,
 * page 0 is looked at: its entries are absent, those in the cache are not. Other CPUs may change what is looked at: the leaf,
 * which is read last, was the address's while the links were the same.
 */
static ALWAYS_INLINE const u8 *code_recall(struct shadow_mmu *mmu, gva_t gva, struct cached_code **slot)
{
	u64 top = __atomic_load_n(top_entry(mmu, gva), __ATOMIC_RELAXED);
	/* Page-table isolation runs the code of one page under two roots. */
	struct cached_code *path = &mmu->code[(gva ^ top) >> PAGE_SHIFT & (CODE_CACHE_SIZE - 1)];
	u32 offset = gva & (PAGE_SIZE - 1);

	*slot = NULL;
	if (unlikely(offset > PAGE_SIZE - SHADOW_PEEK_BYTES))
		return NULL;
	if (likely(path->page == gva >> PAGE_SHIFT &&
		   path->links == __atomic_load_n(&mmu->s->link_changes, __ATOMIC_ACQUIRE) && path->top == top &&
		   __atomic_load_n(path->leaf, __ATOMIC_RELAXED) == path->value))
		return path->at + offset;
	*slot = path;
	return NULL;
}

const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	struct cached_code *slot;
	const u8 *code = code_recall(mmu, gva, &slot);

	return likely(code || !slot) ? code : code_find(mmu, gva, slot);
}

const u8 *shadow_recall_code(struct shadow_mmu *mmu, gva_t gva)
{
	struct cached_code *slot;

	return code_recall(mmu, gva, &slot);
}
