/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's control registers and flushes mean for the shadow, and the entry
 * after each: new roles and roots, what is brought up to date, which flushes are due.
 */
#include "mm/shadow.h"

#include "mm/shadow/cache.h"
#include "mm/shadow/cow.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/flushcheck.h"
#include "mm/shadow/root.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"

static enum gpt_mode mode_of(const struct shadow_paging *p)
{
	if (!(p->cr0 & CR0_PG))
		return GPT_NONE;
	if (p->efer & EFER_LMA)
		return p->cr4 & CR4_LA57 ? GPT_5L : GPT_4L;
	return p->cr4 & CR4_PAE ? GPT_PAE : GPT_32;
}

static void context_set(struct shadow_mmu *mmu, const struct shadow_paging *p)
{
	struct gpt_context *ctx = &mmu->gpt;

	ctx->regions = mmu->s->regions;
	ctx->mode = mode_of(p);
	ctx->phys_bits = p->phys_bits;
	ctx->cr3 = p->cr3;
	ctx->wp = p->cr0 & CR0_WP;
	ctx->smep = p->cr4 & CR4_SMEP;
	ctx->smap = p->cr4 & CR4_SMAP;
	ctx->nx = p->efer & EFER_NXE;
	ctx->pse = p->cr4 & CR4_PSE;
	ctx->pke = p->cr4 & CR4_PKE;
	ctx->read_pkru = mmu->ops->read_pkru;
	ctx->pages_1g = p->pages_1g;
	for (u32 i = 0; i < 4; i++)
		ctx->pdpte[i] = p->pdpte[i];
}

/*
 * The number of the PAT, under which its pages go. A guest has two or three (all CPUs shall have the same, SDM vol. 3
 * section 11.12.4); beyond SHADOW_PATS at a time it gets the wrong memory types.
 */
static u32 pat_number(struct shadow *s, u64 pat)
{
	u32 used = 0, i;

	for (i = 0; i < s->pat_count; i++)
		if (s->pats[i] == pat)
			return i;
	if (i == SHADOW_PATS) {
		for (u32 cpu = 0; cpu < s->mmu_count; cpu++)
			used |= 1u << s->mmus[cpu]->base_role.pat;
		i = used == BITS(SHADOW_PATS - 1, 0) ? 0 : bit_lowest(~used);
		drop_everything(s);
	} else {
		s->pat_count++;
	}
	s->pats[i] = pat;
	s->copy_pats &= ~(1u << i);
	if (s->identity && (pat & 7) == MT_WB)
		s->copy_pats |= 1u << i;
	return i;
}

static union role role_of(const struct shadow_mmu *mmu)
{
	const struct gpt_context *ctx = &mmu->gpt;

	if (ctx->mode == GPT_NONE)
		return role_direct(0, ACC_ALL, MT_WB, 0);
	return (union role){
		.access = ACC_ALL,
		.mode = ctx->mode & 7,
		.nx = ctx->nx,
		.wp = ctx->wp,
		.pse = ctx->pse && ctx->mode == GPT_32,
		.smep_no_wp = ctx->smep && !ctx->wp,
		.smap_no_wp = ctx->smap && !ctx->wp,
		.pat = pat_number(mmu->s, mmu->paging.pat) & 7,
	};
}

static u32 copied_role_of(const struct shadow_mmu *mmu)
{
	union role role = role_child(mmu->base_role, 1, ACC_ALL, 0);

	return role_is_copied(mmu, role) ? role.word : 0;
}

static u32 root_role_of(const struct shadow_mmu *mmu)
{
	union role role = role_child(mmu->base_role, mmu->root_level, ACC_ALL, 0);

	role.cpu = mmu->number & (ROLE_CPUS - 1);
	return mmu->root_level == 3 ? 0 : role.word;
}

void shadow_drop_all(struct shadow *s)
{
	engine_lock(s);
	if (unlikely(s->check))
		flushcheck_forget(s);
	drop_everything(s);
	engine_unlock(s);
}

void shadow_set_paging(struct shadow_mmu *mmu, const struct shadow_paging *paging, bool flush)
{
	struct shadow *s = mmu->s;
	bool smep_on = paging->cr4 & ~mmu->paging.cr4 & CR4_SMEP;

	engine_lock(s);
	if (unlikely(s->check) && flush)
		flushcheck_all(mmu, true);
	mmu->paging = *paging;
	context_set(mmu, paging);
	mmu->base_role = role_of(mmu);
	mmu->copied_role = copied_role_of(mmu);
	mmu->sync_role = s->traced ? 0 : mmu->copied_role;
	mmu->root_level = mmu->gpt.mode == GPT_5L ? 5 : mmu->gpt.mode == GPT_4L ? 4 : 3;
	mmu->top_shift = PAGE_SHIFT + INDEX_BITS * (mmu->root_level - 1);
	mmu->root_role = root_role_of(mmu);
	root_release(mmu);
	entry_size_set(mmu);
	if (flush)
		sync_all(mmu);
	/* The one bit that a TLB may keep without an entry that shows it (SDM vol. 3 section 4.10.4.1), under any tag. */
	if (smep_on)
		flush_owe_by(mmu); /* FLUSH: smep */
	engine_unlock(s);
}

/* As sync_ahead(). */
static NOINLINE bool cr3_look(struct shadow_mmu *mmu)
{
	if (mmu->s->check)
		flushcheck_all(mmu, !(mmu->paging.cr4 & CR4_PGE));
	return mmu->s->unsync_count <= AHEAD_TABLES || sync_ahead(mmu);
}

bool shadow_set_cr3(struct shadow_mmu *mmu, u64 cr3)
{
	engine_lock(mmu->s);
	if (unlikely(mmu->s->unsync_count >= mmu->s->cr3_looks) && unlikely(!cr3_look(mmu))) {
		engine_unlock(mmu->s);
		return false;
	}
	mmu->paging.cr3 = mmu->gpt.cr3 = cr3;
	root_release(mmu);
	sync_all(mmu);
	if (!root_switch(mmu, cr3) && mmu->root_level >= 4) {
		root_load(mmu);
		mmu->root_cache[root_slot(mmu->s->pages[mmu->root[0]].gfn)] = mmu->root[0];
	}
	engine_unlock(mmu->s);
	return true;
}

void shadow_flush_guest(struct shadow_mmu *mmu)
{
	engine_lock(mmu->s);
	if (unlikely(mmu->s->check))
		flushcheck_all(mmu, true);
	sync_all(mmu);
	engine_unlock(mmu->s);
}

/*
 * Re-derives every entry on the path of gva, until one changes. True: that is a leaf seen
 * through this path alone, so forgetting one page of one tag is enough.
 */
static bool path_sync(struct shadow_mmu *mmu, gva_t gva)
{
	const struct shadow *s = mmu->s;
	bool alone = true;

	for_each_step(step, mmu, gva) {
		const struct shadow_page *sp = &s->pages[step.page];

		alone = alone && (step.level == top_level(mmu) ? sp->pins == 1 : path_step_alone(sp, false));
		if (sp->role.direct || !(*step.at & PTE_P))
			return false;
		if (sync_entry(mmu, step.page, step.index,
			       guest_entry(mmu, sp->role, gpt_table(&mmu->gpt, sp->gfn), step.index)))
			return alone && step.level == 1;
	}
	return false;
}

/* The fast path: upper tables are in step, and a cached path leads to a page of copied leaves. */
static bool invlpg_fast(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct cached_path *path = path_slot(mmu, gva);
	u32 index = level_index(1, gva);
	struct flush_scope scope = flush_scope_begin(mmu);

	if (s->unsync_uppers || !path_holds(mmu, path, gva))
		return false;
	if ((page_table(s, path->page)[index] & PTE_P) &&
	    sync_entry(mmu, path->page, index, __atomic_load_n(&path->table[index], __ATOMIC_RELAXED)) &&
	    path->alone)
		flush_scope_end(mmu, scope, gva); /* FLUSH: path */
	return true;
}

/* An address that 64-bit tables cannot translate. Else the levels' indexes alias it with one that they can. */
static ALWAYS_INLINE bool is_beyond(const struct shadow_mmu *mmu, gva_t gva)
{
	return mmu->gpt.mode >= GPT_4L && !address_is_canonical(gva, mmu->gpt.mode == GPT_5L);
}

/*
 * While pages are detached INVLPG does not exit (cow.h), and this is not reached.
 * SDM vol. 3 section 4.10.4.1: INVLPG also drops every entry of the
 * paging-structure caches, so all unsync upper tables are brought up to date.
 * An address that is not canonical makes it a NOP (SDM vol. 2).
 */
void shadow_invlpg(struct shadow_mmu *mmu, gva_t gva)
{
	struct shadow *s = mmu->s;
	struct flush_scope scope;

	if (mmu->gpt.mode == GPT_NONE || unlikely(is_beyond(mmu, gva)))
		return;
	engine_lock(s);
	invlpg_must_exit(s);
	if (likely(invlpg_fast(mmu, gva))) {
		if (unlikely((s64)gva < 0) && mmu->root_level == 4)
			cow_window(mmu, path_slot(mmu, gva), gva);
		engine_unlock(s);
		return;
	}
	if (unlikely(s->check))
		flushcheck_page(mmu, gva);
	if (s->unsync_uppers)
		sync_upper(mmu);
	scope = flush_scope_begin(mmu);
	if (mmu->root[0] && path_sync(mmu, gva))
		flush_scope_end(mmu, scope, gva); /* FLUSH: page */
	engine_unlock(s);
}

/*
 * Where another CPU drops the root meanwhile (S12), page 0 may be returned, which is a table of nothing. It owes a flush then, so
 * shadow_enter() refuses.
 */
hpa_t shadow_prepare_entry(struct shadow_mmu *mmu, u32 *tag)
{
	struct shadow *s = mmu->s;

	if (unlikely(!root_now(mmu) || __atomic_load_n(&mmu->flush_owed, __ATOMIC_RELAXED) != mmu->flush_seen)) {
		engine_lock(s);
		root_load(mmu);
		if (mmu->flush_owed != mmu->flush_seen) {
			if (unlikely(mmu->trap_due)) {
				mmu->trap_due = false;
				mmu->ops->trap_invlpg(mmu->cpu, true);
			}
			mmu->ops->flush(mmu->cpu, 0); /* FLUSH: due */
			flush_paid(mmu);
			STAT(s, flushes);
		}
		engine_unlock(s);
	}
	__atomic_store_n(&mmu->entry_due, false, __ATOMIC_RELAXED);
	*tag = mmu->tag;
	return mmu->root_level == 3 ? mmu->low_pdpt : page_hpa(s, root_now(mmu));
}
