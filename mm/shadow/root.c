/* SPDX-License-Identifier: BSD-2-Clause */
/* Roots; see mm/shadow/root.h. */
#include "mm/shadow/root.h"

#include "lib/string.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/page.h"
#include "mm/shadow/sync.h"
#include "mm/shadow/tlb.h"

/*
 * Operating systems share the upper half among all address spaces: link what the
 * root before this one had, where the guest's entries say the same, instead of
 * waiting for a fault at each entry.
 */
static void link_upper_half(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page], *like = &s->pages[mmu->last_root];
	const u64 *table;

	/* Of a foreign table nothing is read but what a walk needs (S16). */
	if (like->state != PAGE_TABLE || like->role.word != sp->role.word || mmu->last_root == page ||
	    sp->flags & PAGE_FOREIGN)
		return;
	sync_refresh(mmu, mmu->last_root); /* before what is below it is linked here (S7) */
	table = gpt_table(&mmu->gpt, sp->gfn);
	for_each_live(like, i) {
		u64 spte = page_table(s, mmu->last_root)[i];
		u32 child = link_target(s, spte);

		if (i < ENTRIES / 2 || !child ||
		    !link_unchanged(s, sp->role, i, spte, __atomic_load_n(&table[i], __ATOMIC_RELAXED)))
			continue;
		page_link(s, page, i, child, false);
		s->pages[child].flags |= PAGE_USED;
	}
}

static void root_pin(struct shadow_mmu *mmu, u32 slot, gfn_t gfn, union role role)
{
	struct shadow *s = mmu->s;
	bool made;
	u32 page;

	pages_reserve(s, PAGES_PER_FILL); /* the lists of the root before this one may have taken pages */
	page = page_get(s, gfn, role, &made);
	root_set(mmu, slot, page);
	s->pages[page].pins++;
	page_touch(&s->pages[page]);
	if (!made)
		sync_refresh(mmu, page);
	else if (role.level >= 4 && !role.direct)
		link_upper_half(mmu, page);
	mmu->last_root = page;
}

/* Every walk through a closed table faults, so an empty page that is no one's table will do. */
static void root_pin_table(struct shadow_mmu *mmu, u32 slot, u32 level, bool present, gfn_t gfn)
{
	union role role = role_child(mmu->base_role, level, ACC_ALL, mmu->gpt.mode == GPT_32 ? slot : 0);

	if (!present || !gpt_table(&mmu->gpt, gfn)) {
		gfn = 0;
		role = role_direct(level, 0, MT_WB, 0);
		role.quadrant = 1; /* else it has the name of a page below a large leaf without rights */
	}
	role.cpu = mmu->number & (ROLE_CPUS - 1);
	root_pin(mmu, slot, gfn, role);
}

static void root_pin_quarter(struct shadow_mmu *mmu, u32 i)
{
	const struct gpt_context *ctx = &mmu->gpt;
	union role role;

	switch ((enum gpt_mode)ctx->mode) {
	case GPT_PAE:
		root_pin_table(mmu, i, 2, ctx->pdpte[i] & PTE_P, (ctx->pdpte[i] & PTE_ADDR_MASK) >> PAGE_SHIFT);
		break;
	case GPT_32: root_pin_table(mmu, i, 2, true, (ctx->cr3 & BITS(31, 12)) >> PAGE_SHIFT); break;
	default:
		role = role_child(mmu->base_role, 2, ACC_ALL, 0);
		role.cpu = mmu->number & (ROLE_CPUS - 1);
		root_pin(mmu, i, (gfn_t)i << 18, role);
		break;
	}
}

/*
 * PAE format: the PDPT below 4 GiB points at four pages of level 2: the guest's
 * by the PDPTEs it loaded, the quarters of a 32-bit guest's directory, or direct
 * ones where paging is off. The four are no unit that could own a tag for
 * longer than it is loaded.
 */
static void root_load_pae(struct shadow_mmu *mmu)
{
	u64 *pdpt = phys_to_virt(mmu->low_pdpt);

	for (u32 i = 0; i < 4; i++) {
		root_pin_quarter(mmu, i);
		spte_write(&pdpt[i], page_hpa(mmu->s, mmu->root[i]).v | SPTE_LINK_PDPTE);
	}
	tag_drop(mmu->s, mmu->root[0]);
	links_changed(mmu->s); /* the path cache names a root by its first page */
}

void entry_size_set(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	bool narrow = mmu->gpt.mode == GPT_32;

	if (likely(mmu->gpt.mode == GPT_NONE || narrow == s->narrow))
		return;
	s->narrow = narrow;
	drop_everything(s);
}

void root_load(struct shadow_mmu *mmu)
{
	if (likely(mmu->root[0]))
		return;
	entry_size_set(mmu);
	if (mmu->root_level == 3)
		root_load_pae(mmu);
	else
		root_pin_table(mmu, 0, mmu->root_level, true, (mmu->gpt.cr3 & PTE_ADDR_MASK) >> PAGE_SHIFT);
	tag_assign(mmu, mmu->root[0]);
	entry_make_due(mmu);
	STAT(mmu->s, roots);
}

void drop_everything(struct shadow *s)
{
	invlpg_must_exit(s);
	for (u32 i = 0; i < s->mmu_count; i++) {
		struct shadow_mmu *mmu = s->mmus[i];

		for (u32 slot = 0; slot < 4; slot++)
			if (mmu->root[slot])
				page_zap(s, mmu->root[slot]);
		memset(mmu->root_cache, 0, sizeof(mmu->root_cache));
		mmu->last_root = 0;
	}
	s->generation++;
	links_changed(s);
}

bool root_switch(struct shadow_mmu *mmu, u64 cr3)
{
	struct shadow *s = mmu->s;
	gfn_t gfn = (cr3 & PTE_ADDR_MASK) >> PAGE_SHIFT;
	u32 page = mmu->root_cache[root_slot(gfn)];
	struct shadow_page *sp = &s->pages[page];

	if (sp->gfn != gfn || sp->role.word != mmu->root_role || sp->state != PAGE_TABLE)
		return false;
	sp->pins++;
	page_touch(sp);
	root_set(mmu, 0, page);
	mmu->last_root = page;
	tag_assign(mmu, page);
	entry_make_due(mmu);
	STAT(s, roots);
	return true;
}
