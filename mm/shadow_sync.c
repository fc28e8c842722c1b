/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bringing unsync tables up to date. A shadow entry that was made from an older
 * value of the guest's entry is what a TLB may hold until the guest flushes;
 * when it flushes, every such entry is derived again:
 *
 *   rights may shrink or stay; a right to write is never given here (S6)
 *   a changed frame, a changed table, a cleared A: the entry goes
 *   unchanged: left alone
 */
#include "mm/shadow_int.h"

static bool link_matches(const struct shadow *s, u64 spte, const struct derived *d)
{
	const struct shadow_page *child = &s->pages[page_of_link(s, spte)];

	return d->link && child->gfn == d->gfn && child->role.word == d->role.word;
}

static bool leaf_matches(u64 spte, u64 leaf)
{
	if (leaf == spte)
		return true;
	return !(spte & PTE_W) && spte == (leaf & ~(PTE_W | SPTE_RMAP));
}

bool sync_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte)
{
	struct shadow *s = mmu->s;
	u64 spte = page_table(s, page)[index];
	struct derived d;

	entry_derive(mmu, page, index, gpte, spte, &d);
	if (!spte_is_leaf(s->pages[page].role.level, spte)) {
		if (link_matches(s, spte, &d))
			return false;
		page_drop_entry(s, page, index);
	} else {
		if (leaf_matches(spte, d.leaf))
			return false;
		page_drop_entry(s, page, index);
		/* Smaller rights to the same frame: keep what is left of it. */
		if (d.leaf && !((d.leaf ^ spte) & PTE_ADDR_MASK) && !(d.leaf & ~spte & PTE_W))
			leaf_install(s, page, index, d.leaf);
	}
	STAT(s, sync_changes);
	return true;
}

static void sync_page(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	struct shadow_page *sp = &s->pages[page];
	const u64 *sptes = page_table(s, page), *table = gpt_table(&mmu->gpt, sp->gfn);

	for (u32 i = 0, left = sp->live; left && i < ENTRIES; i++) {
		if (!(sptes[i] & PTE_P))
			continue;
		left--;
		sync_entry(mmu, page, i, guest_entry(mmu, sp->role, table, i));
	}
	STAT(s, syncs);
}

static void protect_list(struct shadow *s, u32 page)
{
	for (; page; page = s->pages[page].unsync_next) {
		gfn_t gfn = s->pages[page].gfn;

		frame_protect(s, gfn, frame_of_gfn(s, gfn));
	}
}

/*
 * Order matters (S6): all tables lose their write rights, the flush of those
 * rights is made due, and only then are the tables read. The CPU whose guest
 * flushed is in the hypervisor, so a due flush is as good as a done one.
 */
void sync_all(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;
	u32 page;

	if (!s->unsync_leaf && !s->unsync_upper)
		return;
	protect_list(s, s->unsync_upper);
	protect_list(s, s->unsync_leaf);
	while ((page = s->unsync_upper ? s->unsync_upper : s->unsync_leaf)) {
		unsync_list_remove(s, page);
		sync_page(mmu, page);
		if (!s->pages[page].live && !s->pages[page].pins)
			page_zap(s, page);
	}
}

static void refresh_list(struct shadow_mmu *mmu, u32 page)
{
	for (; page; page = mmu->s->pages[page].unsync_next)
		sync_page(mmu, page);
}

void sync_upper(struct shadow_mmu *mmu)
{
	refresh_list(mmu, mmu->s->unsync_upper);
}

void sync_refresh(struct shadow_mmu *mmu, u32 page)
{
	const struct shadow_page *sp = &mmu->s->pages[page];

	if (sp->role.level > 1) {
		if (!sp->role.direct) {
			sync_upper(mmu);
			refresh_list(mmu, mmu->s->unsync_leaf);
		}
	} else if (sp->flags & PAGE_UNSYNC) {
		sync_page(mmu, page);
	}
}
