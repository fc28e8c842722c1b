/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags, roots that are let go, and detached pages that are given up; see mm/shadow/tlb.h. */
#include "mm/shadow/tlb.h"

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
	s->link_changes++; /* the path cache still took the pages for linked */
	s->flush_count++;  /* FLUSH: detached */
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
		mmu->flush_seen = mmu->s->flush_count;
	mmu->ops->flush_page(mmu->cpu, mmu->tag, gva);
	STAT(mmu->s, page_flushes);
}

/* Of several CPUs: who had the tag since all of them flushed everything may be in any TLB. */
#define TAG_STALE (~0u)

/* All tags are used up: from the next entry of each CPU on those without an owner are as new. */
static void tags_renew(struct shadow *s)
{
	for (u32 tag = 1; tag <= s->tags; tag++)
		if (s->tag_owner[tag] == TAG_STALE)
			s->tag_owner[tag] = 0;
	s->flush_count++; /* FLUSH: renew */
}

static u32 tag_next(struct shadow *s)
{
	u32 tag = s->next_tag;

	s->next_tag = tag == s->tags ? 1 : tag + 1;
	if (unlikely(s->mmu_count > 1 && s->next_tag == 1))
		tags_renew(s);
	return tag;
}

/* CPUs that have the page as one of their first so many roots load all anew before they enter. */
static void root_leave(struct shadow *s, u32 page, u32 slots)
{
	for (u32 i = 0; s->pages[page].pins && i < s->mmu_count; i++)
		for (u32 slot = 0; slot < slots; slot++)
			if (s->mmus[i]->root[slot] == page)
				root_release(s->mmus[i]);
}

/* Of several CPUs: a tag that none of the others runs with, if there is one. */
static NOINLINE u32 tag_of_several(struct shadow *s)
{
	u32 tag = tag_next(s), owner;

	for (u32 i = 1; i < s->tags; i++) {
		owner = s->tag_owner[tag];
		if (!owner || owner == TAG_STALE || !s->pages[owner].pins)
			break;
		tag = tag_next(s);
	}
	owner = s->tag_owner[tag];
	if (owner)
		s->flush_count++; /* FLUSH: owner */
	if (owner == TAG_STALE)
		s->tag_owner[tag] = 0;
	else if (owner)
		root_leave(s, owner, 1);
	return tag;
}

void tag_take(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	u32 tag = likely(s->mmu_count == 1) ? tag_next(s) : tag_of_several(s);

	if (s->tag_owner[tag])
		s->pages[s->tag_owner[tag]].tag = 0;
	s->tag_owner[tag] = page;
	s->pages[page].tag = (u16)tag;
	mmu->ops->flush(mmu->cpu, tag); /* FLUSH: tag */
	STAT(s, flushes);
}

void tag_drop(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	if (sp->tag) {
		s->tag_owner[sp->tag] = s->mmu_count > 1 ? TAG_STALE : 0;
		sp->tag = 0;
	}
}

void root_forget(struct shadow *s, u32 page)
{
	if (s->pages[page].pins && s->mmu_count > 1)
		s->flush_count++; /* FLUSH: root */
	root_leave(s, page, 4);
	tag_drop(s, page);
}
