/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags, roots that are let go, and detached pages that are given up; see mm/shadow/tlb.h. */
#include "mm/shadow/tlb.h"

void invlpg_set_free(struct shadow_mmu *mmu, bool on)
{
	mmu->s->invlpg_free = on ? mmu : NULL;
	mmu->ops->trap_invlpg(mmu->cpu, !on);
}

void invlpg_trap_again(struct shadow *s)
{
	struct shadow_mmu *mmu = s->invlpg_free;

	if (s->detached_count) {
		s->detached_count = 0;
		if (s->detached_window)
			path_slot(mmu, s->detached_for)->window_row = 0;
		else
			path_slot(mmu, s->detached_for)->detach_pause = DETACH_PAUSE;
		s->link_changes++;   /* the path cache still took the pages for linked */
		s->flush_due = true; /* FLUSH: detached */
	}
	invlpg_set_free(mmu, false);
}

void flush_scope_end(struct shadow_mmu *mmu, struct flush_scope scope, gva_t gva)
{
	if (mmu->s->evictions != scope.evictions)
		return;
	mmu->s->flush_due = scope.due;
	mmu->ops->flush_page(mmu->cpu, mmu->tag, gva);
	STAT(mmu->s, page_flushes);
}

void tag_take(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	u32 tag = s->next_tag;

	s->next_tag = tag == s->tags ? 1 : tag + 1;
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
		s->tag_owner[sp->tag] = 0;
		sp->tag = 0;
	}
}

void root_forget(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	for (u32 i = 0; sp->pins && i < s->mmu_count; i++)
		for (u32 slot = 0; slot < 4; slot++)
			if (s->mmus[i]->root[slot] == page)
				root_release(s->mmus[i]);
	tag_drop(s, page);
}
