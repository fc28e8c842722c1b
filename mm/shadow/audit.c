/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compares the whole shadow with the guest's tables and with its own books.
 * Each check names the invariant of docs/shadow-paging.md that it stands for.
 */
#include "mm/shadow.h"

#include "mm/shadow/accessors.h"
#include "mm/shadow/cpus.h"
#include "mm/shadow/derive.h"
#include "mm/shadow/flushcheck.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/rmap.h"
#include "mm/shadow/tlb.h"

struct audit {
	struct shadow_mmu *mmu;
	struct shadow *s;
	u32 errors;
};

static void mismatch(struct audit *a, const char *invariant, u32 page, u32 index, const char *what)
{
	static const u32 shown_max = 32;
	const struct shadow_page *sp = &a->s->pages[page];

	if (a->errors++ < shown_max)
		log_error("audit %s: page %u (gfn %#llx role %#x level %u) entry %u = %#llx: %s\n", invariant,
			  page, (unsigned long long)sp->gfn, sp->role.word, sp->role.level, index,
			  (unsigned long long)page_table(a->s, page)[index], what);
}

/* S1: no entry leads to the hypervisor's memory; S5: none writes to a protected table. */
static void audit_leaf_target(struct audit *a, u32 page, u32 index, u64 spte)
{
	struct shadow *s = a->s;
	u32 level = s->pages[page].role.level;
	u64 frames = level_frames(level);
	pfn_t pfn = spte_pfn(level, spte);
	struct region_hit hit;
	gfn_t gfn = pfn;
	bool outside;
	u32 *frame;

	if (pfn == hpa_to_pfn(s->ones_page)) {
		if (spte & PTE_W)
			mismatch(a, "S1", page, index, "the page of all-ones is writable");
		return;
	}
	frame = frame_of_pfn(s, pfn, &gfn);
	region_lookup(s->regions, gfn, &hit);
	outside = hit.kind == REGION_HIDDEN || hit.kind == REGION_TRAPPED || hit.end < gfn + frames ||
		  hit.pfn != pfn;
	if (outside)
		mismatch(a, "S1", page, index, "leaf leads outside the guest's memory");
	if (!!(spte & SPTE_RMAP) != (frame && (spte & PTE_W)))
		mismatch(a, "S5", page, index, "wrong list bit");
	if (!(spte & SPTE_RMAP) || !frame || outside)
		return;
	for (u64 i = 0; i < frames; i++)
		if (level == 1 ? frame_is_protected(frame[i]) : !!(frame[i] & FRAME_TRACKED))
			mismatch(a, "S5", page, index, "writable leaf over a protected table");
	if (!list_has(s, *leaf_list(s, level, pfn), entry_id(page, index)))
		mismatch(a, "S5", page, index, "leaf is not in its frame's list");
}

/*
 * May the shadow's rights stand where the guest's entry allows other ones? Fewer
 * always may: they only fault. With CR0.WP clear the supervisor's face of a
 * read-only user page (S8) is U=0, with W until its frame is protected.
 */
static bool rights_follow(union role role, u32 have, u32 allowed)
{
	if (!role.wp && !(have & ACC_U) && (allowed & ACC_U) && !(allowed & ACC_W))
		return !(have & ACC_X & ~allowed);
	return !(have & ~allowed);
}

/* The supervisor's face of a user page has no key. */
static bool is_face(union role role, u32 have, u32 allowed)
{
	return !role.wp && (allowed & ~have & ACC_U);
}

static bool leaf_follows(union role role, u64 spte, u64 leaf)
{
	u64 free = PTE_W | PTE_U | PTE_NX | SPTE_RMAP;

	if (is_face(role, gpt_entry_access(spte), gpt_entry_access(leaf)))
		free |= PTE_KEY;
	return leaf && !((spte ^ leaf) & ~free) &&
	       rights_follow(role, gpt_entry_access(spte), gpt_entry_access(leaf));
}

/* A direct page below a splintered leaf may be of fewer rights, too: its name has them. */
static bool link_follows(const struct shadow_page *sp, const struct shadow_page *child, const struct derived *d)
{
	union role like = child->role;

	if (!d->link || child->gfn != d->gfn)
		return false;
	if (is_face(sp->role, child->role.access, d->role.access))
		like.key = d->role.key;
	like.access = d->role.access;
	if (!child->role.direct)
		like = child->role;
	return like.word == d->role.word && rights_follow(sp->role, child->role.access, d->role.access);
}

/* S6: in a table that is in step, every entry follows from the guest's entry. */
static void audit_derived(struct audit *a, u32 page, u32 index, u64 spte)
{
	struct shadow *s = a->s;
	const struct shadow_page *sp = &s->pages[page];
	struct derived d, clean;
	const u64 *table;
	u64 gpte;

	if (sp->role.direct || (sp->flags & PAGE_UNSYNC) || page_is_old(s, sp))
		return;
	table = gpt_table(&a->mmu->gpt, sp->gfn);
	if (!table) /* audit_page() says so */
		return;
	gpte = guest_entry(a->mmu, sp->role, table, index);
	entry_derive(a->mmu, page, index, gpte, spte, &d);
	if (!spte_is_leaf(sp->role.level, spte)) {
		if (!link_follows(sp, &s->pages[page_of_link(s, spte)], &d))
			mismatch(a, "S6", page, index, "link is not what the guest's entry says");
		return;
	}
	/* D may have been set on another path since: the entry as it was while clean. */
	entry_derive(a->mmu, page, index, gpte & ~PTE_D, spte, &clean);
	if (!leaf_follows(sp->role, spte, d.leaf) && !leaf_follows(sp->role, spte, clean.leaf))
		mismatch(a, "S6", page, index, "leaf is not what the guest's entry says");
}

/* A direct page stands for one leaf of the guest: rights and frames follow from its name. */
static void audit_direct(struct audit *a, u32 page, u32 index, u64 spte)
{
	const struct shadow_page *sp = &a->s->pages[page];
	gfn_t want = sp->gfn + index * level_frames(sp->role.level), gfn;
	pfn_t pfn = spte_pfn(sp->role.level, spte);

	if (!sp->role.direct || !spte_is_leaf(sp->role.level, spte) || pfn == hpa_to_pfn(a->s->ones_page))
		return;
	if (!frame_of_pfn(a->s, pfn, &gfn))
		gfn = pfn;
	if (gfn != want)
		mismatch(a, "S4", page, index, "direct leaf of another frame");
	if ((spte & PTE_W) && !(sp->role.access & ACC_W))
		mismatch(a, "S4", page, index, "direct leaf has more rights than its page");
}

/* S4: links carry all rights and agree with the child's list of parents. False: there is no child to look at. */
static bool audit_link(struct audit *a, u32 page, u32 index, u64 spte)
{
	struct shadow *s = a->s;
	u32 child = page_of_link(s, spte);

	if (child == 0 || child >= s->page_count || s->pages[child].state != PAGE_TABLE) {
		mismatch(a, "S4", page, index, "link to no shadow page");
		return false;
	}
	if ((spte & ~PTE_ADDR_MASK) != SPTE_LINK)
		mismatch(a, "S4", page, index, "link without all rights");
	if (s->pages[child].role.level + 1 != s->pages[page].role.level)
		mismatch(a, "S4", page, index, "link to a page of a wrong level");
	if (page_is_old(s, &s->pages[child]) && !page_is_old(s, &s->pages[page]))
		mismatch(a, "S26", page, index, "link to a page that was dropped");
	if (!list_has(s, s->pages[child].parents, entry_id(page, index)))
		mismatch(a, "S4", page, index, "link is not in the child's list");
	return true;
}

/* S16: the page of a foreign table is always unsync. */
static void audit_foreign(struct audit *a, u32 page)
{
	const struct shadow_page *sp = &a->s->pages[page];
	struct region_hit hit;

	region_lookup(a->s->regions, sp->gfn, &hit);
	if (hit.kind != REGION_MMIO)
		mismatch(a, "S16", page, 0, "its table is not foreign");
	if (!(sp->flags & PAGE_UNSYNC) || !(sp->flags & PAGE_TYPED))
		mismatch(a, "S16", page, 0, "a foreign table is taken for one that is protected");
}

static void audit_page(struct audit *a, u32 page)
{
	struct shadow *s = a->s;
	const struct shadow_page *sp = &s->pages[page];
	u32 live = 0;

	for (u32 i = 0; i < ENTRIES; i++) {
		u64 spte = page_table(s, page)[i];

		if (!(spte & PTE_P)) {
			if (spte)
				mismatch(a, "S4", page, i, "absent entry is not zero");
			continue;
		}
		live++;
		if (spte_is_leaf(sp->role.level, spte))
			audit_leaf_target(a, page, i, spte);
		else if (!audit_link(a, page, i, spte))
			continue;
		audit_derived(a, page, i, spte);
		audit_direct(a, page, i, spte);
	}
	for (u32 word = 0; word < ENTRIES / 64; word++)
		if (!!(sp->live_words & BIT(word)) != !!sp->live_map[word])
			mismatch(a, "S4", page, word * 64, "a word of the map of entries is misjudged");
	if (live != sp->live)
		mismatch(a, "S4", page, 0, "wrong count of entries");
	if (!page_is_old(s, sp) && page_find(s, sp->gfn, sp->role) != page)
		mismatch(a, "S3", page, 0, "two pages of one name, or not found by its name");
	if (!tag_is_owned(s, page))
		mismatch(a, "S13", page, 0, "tag owned by another root");
	if (sp->role.direct)
		return;
	if (sp->flags & PAGE_FOREIGN)
		audit_foreign(a, page);
	else if (!frame_of_gfn(s, sp->gfn) || !(*frame_of_gfn(s, sp->gfn) & FRAME_TRACKED))
		mismatch(a, "S5", page, 0, "its table is not tracked");
	else if (!(sp->flags & PAGE_DORMANT) &&
		 !!(*frame_of_gfn(s, sp->gfn) & FRAME_UNSYNC) != !!(sp->flags & PAGE_UNSYNC))
		mismatch(a, "S6", page, 0, "page and frame disagree on unsync");
}

/* Every list member is an entry that says so, and nothing is counted twice. */
static u64 audit_frames(struct audit *a)
{
	struct shadow *s = a->s;
	u64 members = 0, gaps = 0;

	for (u64 i = 0; i < s->regions->frame_count; i++) {
		members += list_count(s, s->frames[i]);
		gaps += s->frames[i] == FRAME_NONE;
	}
	if (gaps != s->regions->frame_count - s->regions->ram_frames)
		mismatch(a, "S5", 0, 0, "words between RAM regions are wrong");
	for (u64 i = 0; i < s->block_count; i++)
		members += list_count(s, s->blocks[i].leaves);
	for (u64 i = 0; i < s->giga_count; i++)
		members += list_count(s, s->giga[i]);
	return members;
}

static u64 audit_pages(struct audit *a)
{
	struct shadow *s = a->s;
	u64 rmap = 0, free = 0, nodes = 0;

	for (u32 page = 1; page < s->page_count; page++) {
		free += s->pages[page].state == PAGE_FREE;
		nodes += s->pages[page].state == PAGE_NODES;
		if (s->pages[page].state != PAGE_TABLE)
			continue;
		audit_page(a, page);
		for (u32 i = 0; i < ENTRIES; i++) {
			u64 spte = page_table(s, page)[i];

			rmap += (spte & PTE_P) && (spte & SPTE_RMAP) &&
				spte_is_leaf(s->pages[page].role.level, spte);
		}
	}
	if (free != s->free_count || nodes != s->node_pages)
		mismatch(a, "S11", 0, 0, "free pages are miscounted");
	return rmap;
}

/* A cached path that would be believed now leads where the links lead. */
static void audit_path(struct audit *a, const struct cached_path *path)
{
	const struct shadow_mmu *mmu = a->mmu;
	gva_t gva = path->key >> 24 << 21;

	if (!mmu->root[0] || page_is_detached(a->s, path->page) || path->links != a->s->link_changes ||
	    (path->key & BITS(23, 0)) != mmu->root[0])
		return;
	for_each_step(step, mmu, gva)
		if (step.page == path->page)
			return;
	mismatch(a, "path", path->page, 0, "a remembered path does not lead to its page");
}

/* S26: nothing leads to a dormant page, and its CR3 is not known. A page of a lower level may have the number of a root that is gone. */
static void audit_dormant(struct audit *a)
{
	const struct shadow *s = a->s;

	for (u32 page = s->dormant; page; page = s->pages[page].unsync_next) {
		const struct shadow_page *sp = &s->pages[page];

		if (sp->state != PAGE_TABLE || !(sp->flags & PAGE_UNSYNC) || !(sp->flags & PAGE_DORMANT))
			mismatch(a, "S26", page, 0, "in the list of dormant pages, and none");
		if ((sp->parents & LIST_VALUE) || sp->pins || sp->tag)
			mismatch(a, "S26", page, 0, "a dormant page is in use");
		for (u32 i = 0; sp->role.level >= 4 && i < s->mmu_count; i++)
			if (s->mmus[i]->root_cache[root_slot(sp->gfn)] == page)
				mismatch(a, "S26", page, 0, "a dormant page is some CR3's");
	}
}

/* S15: while INVLPG does not exit, all unsync pages are detached, and nothing links to those. */
static void audit_detached(struct audit *a)
{
	const struct shadow *s = a->s;
	u32 unsync = 0, upper = 0;

	for (u32 i = 0; i < s->mmu_count; i++) {
		for (u32 page = s->mmus[i]->unsync_leaf; page; page = s->pages[page].unsync_next)
			unsync++;
		for (u32 page = s->mmus[i]->unsync_upper; page; page = s->pages[page].unsync_next)
			upper++;
	}
	unsync += upper;
	if (unsync != s->unsync_count || upper != s->unsync_uppers)
		mismatch(a, "S6", 0, 0, "unsync pages are miscounted");
	if (s->check && (s->invlpg_free || !flushcheck_is_sound(s)))
		mismatch(a, "S28", 0, 0,
			 "INVLPG does not exit, or a record of the flush checker says what cannot be");
	if (s->invlpg_free && unsync != s->detached_count)
		mismatch(a, "S15", s->detached[0].page, 0, "a page is unsync and not detached");
	for (u32 i = 0; i < s->detached_count; i++) {
		const struct shadow_page *sp = &s->pages[s->detached[i].page];

		if (sp->state != PAGE_TABLE || !(sp->flags & PAGE_UNSYNC) || (sp->parents & LIST_VALUE) || sp->pins)
			mismatch(a, "S15", s->detached[i].page, 0, "a detached page is in use");
		if (s->pages[entry_page(s->detached[i].link)].state != PAGE_TABLE || s->pool[s->detached[i].link])
			mismatch(a, "S15", s->detached[i].page, 0, "the link's place is taken");
	}
}

static void audit_root(struct audit *a, u32 page)
{
	const struct shadow_page *sp = &a->s->pages[page];

	if (sp->state != PAGE_TABLE || !sp->pins)
		mismatch(a, "S12", page, 0, "root in use is not pinned");
	if (page_is_old(a->s, sp))
		mismatch(a, "S26", page, 0, "root in use was dropped");
}

u32 shadow_audit(struct shadow_mmu *mmu)
{
	struct audit a = {.mmu = mmu, .s = mmu->s};

	engine_lock(a.s);
	cpus_hold(a.s);
	if (audit_pages(&a) != audit_frames(&a))
		mismatch(&a, "S5", 0, 0, "lists hold other leaves than the tables");
	for (u32 i = 0; i < 4; i++)
		if (mmu->root[i])
			audit_root(&a, mmu->root[i]);
	audit_detached(&a);
	audit_dormant(&a);
	for (u32 i = 0; i < PATH_CACHE_SIZE; i++)
		audit_path(&a, &mmu->paths[i]);
	STAT(a.s, audits);
	counter_add(&a.s->stats[SHADOW_STAT_audit_errors], a.errors);
	engine_unlock(a.s);
	return a.errors;
}
