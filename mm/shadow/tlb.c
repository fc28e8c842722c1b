/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags, roots that are let go, and detached pages that are given up; see mm/shadow/tlb.h. */
#include "mm/shadow/tlb.h"

#include "mm/shadow/rmap.h"

/* --- which CPUs an entry concerns ------------------------------------------------- */
/* So many links are followed upward from a page, then it is taken for everybody's. */
#define CLIMB_MAX 24u

static u32 cpus_above(const struct shadow *s, u32 page, u32 *budget)
{
	const struct shadow_page *sp = &s->pages[page];
	u32 ids[CLIMB_MAX], count, cpus = 0;

	if (sp->role.cpu)
		return 1u << sp->role.cpu;
	count = list_members(s, sp->parents, ids, CLIMB_MAX);
	if (count > *budget)
		return ~0u;
	*budget -= count;
	for (u32 i = 0; i < count; i++)
		cpus |= cpus_above(s, entry_page(ids[i]), budget);
	return cpus;
}

u32 page_cpus(const struct shadow *s, u32 page)
{
	u32 budget = CLIMB_MAX;

	if (likely(s->only_debt))
		return ~0u;
	/* Mostly one entry leads there, and one to that. */
	while (!s->pages[page].role.cpu && !(s->pages[page].parents & LIST_CHAIN)) {
		page = entry_page(s->pages[page].parents & LIST_VALUE);
		if (!page)
			return 0;
	}
	return cpus_above(s, page, &budget);
}

bool flush_owe_several(struct shadow *s, u32 page)
{
	u32 cpus = page_cpus(s, page);

	for (u32 i = 0; i < s->mmu_count; i++)
		if (cpus >> s->mmus[i]->number & 1)
			flush_owe_by(s->mmus[i]);
	if (unlikely(s->traced))
		return true;
	s->owed_page = page;
	s->owed_links = s->link_changes;
	return false;
}

void invlpg_set_free(struct shadow_mmu *mmu, bool on)
{
	mmu->s->invlpg_free = on ? mmu : NULL;
	mmu->ops->trap_invlpg(mmu->cpu, !on);
}

/* What is detached stays out of every table, and is found again by faults. */
static void detached_forget(struct shadow *s, struct shadow_mmu *mmu)
{
	if (!s->detached_count)
		return;
	s->detached_count = 0;
	if (s->detached_window)
		path_slot(mmu, s->detached_for)->window_row = 0;
	else
		path_slot(mmu, s->detached_for)->detach_pause = DETACH_PAUSE;
	links_changed(s);  /* the path cache still took the pages for linked */
	flush_owe_by(mmu); /* FLUSH: detached */
}

void invlpg_trap_again(struct shadow *s)
{
	struct shadow_mmu *mmu = s->invlpg_free;

	detached_forget(s, mmu);
	invlpg_set_free(mmu, false);
}

void invlpg_must_exit_there(struct shadow *s)
{
	if (!s->invlpg_free)
		return;
	detached_forget(s, s->invlpg_free);
	s->invlpg_free->trap_due = true;
	s->invlpg_free = NULL;
}

void flush_scope_end(struct shadow_mmu *mmu, struct flush_scope scope, gva_t gva)
{
	if (mmu->s->evictions != scope.evictions)
		return;
	if (mmu->flush_seen == scope.count)
		flush_paid(mmu);
	mmu->ops->flush_page(mmu->cpu, mmu->tag, gva);
	STAT(mmu->s, page_flushes);
}

/* --- tags -------------------------------------------------------------------------- */
static u32 *tag_owners(const struct shadow *s, u32 number)
{
	return s->tag_owner + number * (s->tags + 1);
}

void tag_flush(struct shadow_mmu *mmu, u32 tag)
{
	mmu->ops->flush(mmu->cpu, tag); /* FLUSH: tag */
	STAT(mmu->s, flushes);
}

void tag_take(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	u32 tag = s->next_tag[mmu->number];
	u32 *owner = &tag_owners(s, mmu->number)[tag];

	s->next_tag[mmu->number] = tag == s->tags ? 1 : tag + 1;
	if (*owner)
		s->pages[*owner].tag = 0;
	*owner = page;
	s->pages[page].tag = (u16)tag;
	tag_flush(mmu, tag);
}

void tag_drop(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	if (sp->tag) {
		tag_owners(s, sp->role.cpu)[sp->tag] = 0;
		sp->tag = 0;
	}
}

bool tag_is_owned(const struct shadow *s, u32 page)
{
	const struct shadow_page *sp = &s->pages[page];

	return !sp->tag || tag_owners(s, sp->role.cpu)[sp->tag] == page;
}

/* CPUs that have the page as a root load theirs anew before they enter; such a one may be inside, with nothing below the root. */
static void root_leave(struct shadow *s, u32 page)
{
	for (u32 i = 0; s->pages[page].pins && i < s->mmu_count; i++)
		for (u32 slot = 0; slot < 4; slot++)
			if (s->mmus[i]->root[slot] == page) {
				flush_owe_by(s->mmus[i]); /* FLUSH: root */
				root_release(s->mmus[i]);
			}
}

void root_uncache(struct shadow *s, u32 page)
{
	u32 slot = root_slot(s->pages[page].gfn);

	for (u32 i = 0; i < s->mmu_count; i++)
		if (s->mmus[i]->root_cache[slot] == page)
			s->mmus[i]->root_cache[slot] = 0;
}

void root_forget(struct shadow *s, u32 page)
{
	root_leave(s, page);
	tag_drop(s, page);
}
