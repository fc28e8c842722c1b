/* SPDX-License-Identifier: BSD-2-Clause */
/* Protecting tables and letting the guest write to them; see mm/shadow/track.h. */
#include "mm/shadow/track.h"

#include "mm/shadow/derive.h"
#include "mm/shadow/entry.h"
#include "mm/shadow/pool.h"
#include "mm/shadow/tlb.h"
#include "mm/shadow/trace.h"

static void drop_all(struct shadow *s, u32 *head)
{
	while (*head & LIST_VALUE)
		page_drop_id(s, list_first(s, *head));
}

/* Writable 4 KiB leaves keep their place but lose the right (and leave the list). */
static u32 strip_writable(struct shadow *s, u32 *frame)
{
	u32 id = 0;

	while (*frame & LIST_VALUE) {
		bool traced = false;
		u64 *spte, old;

		id = list_first(s, *frame);
		spte = entry_pointer(s, id);
		old = *spte;
		list_remove(s, frame, id);
		spte_write(spte, old & ~(PTE_W | SPTE_RMAP));
		traced = flush_owe(s, entry_page(id)); /* FLUSH: protect */
		if (unlikely(traced))
			trace_entry(s, entry_page(id), id & (ENTRIES - 1), old, *spte);
	}
	return id;
}

/*
 * S10: a writable entry that went earlier owes a flush already; it is still to come,
 * and it comes before the guest runs again, on other CPUs before the table is read (S18).
 */
u32 frame_protect(struct shadow *s, gfn_t gfn, u32 *frame)
{
	*frame &= ~FRAME_UNSYNC;
	drop_all(s, &s->blocks[gfn >> 9].leaves);
	drop_all(s, &s->giga[gfn >> 18]);
	return strip_writable(s, frame);
}

u32 track_frame(struct shadow *s, gfn_t gfn, u32 *frame)
{
	if (*frame & FRAME_TRACKED)
		return 0;
	*frame |= FRAME_TRACKED;
	s->blocks[gfn >> 9].tracked++;
	return frame_protect(s, gfn, frame);
}

void untrack_frame(struct shadow *s, gfn_t gfn)
{
	u32 *frame = frame_of_gfn(s, gfn);

	*frame &= ~(FRAME_TRACKED | FRAME_UNSYNC);
	s->blocks[gfn >> 9].tracked--;
}

static u32 *unsync_head(struct shadow *s, u32 page)
{
	const struct shadow_page *sp = &s->pages[page];
	struct shadow_mmu *mmu = s->mmus[sp->unsync_cpu];

	if (unlikely(sp->flags & PAGE_DORMANT))
		return &s->dormant;
	return sp->role.level == 1 ? &mmu->unsync_leaf : &mmu->unsync_upper;
}

static void list_enter(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];
	u32 *head = unsync_head(s, page);

	sp->unsync_prev = 0;
	sp->unsync_next = *head;
	if (*head)
		s->pages[*head].unsync_prev = page;
	*head = page;
}

static void list_leave(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	if (sp->unsync_prev)
		s->pages[sp->unsync_prev].unsync_next = sp->unsync_next;
	else
		*unsync_head(s, page) = sp->unsync_next;
	if (sp->unsync_next)
		s->pages[sp->unsync_next].unsync_prev = sp->unsync_prev;
}

/* About the skip-th page of a list that is no root in use, nor the one given; 0: there is none. */
static u32 unsync_victim(const struct shadow *s, u32 head, u32 skip, u32 page)
{
	u32 victim = 0;

	for (; head && (skip || !victim); head = s->pages[head].unsync_next) {
		if (head != page && !s->pages[head].pins)
			victim = head;
		skip -= !!skip;
	}
	return victim;
}

/* Where too many are unsync one makes room, of any CPU's: another place each time, as list_victim() has it (S14). */
static NOINLINE void unsync_make_room(struct shadow *s, u32 page)
{
	u32 turn = s->victim_turn += 5, victim = 0;

	for (u32 i = 0; i < 2 * s->mmu_count && !victim; i++) {
		const struct shadow_mmu *mmu = s->mmus[(turn + i) / 2 % s->mmu_count];

		victim = unsync_victim(s, (turn + i) % 2 ? mmu->unsync_leaf : mmu->unsync_upper, 1 + turn % 17,
				       page);
	}
	if (victim)
		page_set_dormant(s, victim);
}

/* There are too many, or the trace is told of each. */
static NOINLINE void unsync_look(struct shadow *s, u32 page)
{
	trace_table(TRACE_UNSYNC, &s->pages[page]);
	if (s->unsync_count > s->unsync_max)
		unsync_make_room(s, page);
}

void unsync_list_add(struct shadow *s, u32 page, u32 cpu)
{
	struct shadow_page *sp = &s->pages[page];

	sp->unsync_cpu = (u8)cpu;
	sp->refreshes = 0;
	invlpg_must_exit(s);
	s->unsync_count++;
	s->unsync_uppers += sp->role.level > 1;
	sp->flags |= PAGE_UNSYNC;
	list_enter(s, page);
	if (unlikely(s->unsync_count > s->unsync_looks))
		unsync_look(s, page);
}

void unsync_list_remove(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	if (likely(!(sp->flags & PAGE_DORMANT))) {
		invlpg_must_exit(s);
		s->unsync_count--;
		s->unsync_uppers -= sp->role.level > 1;
	} else if (s->dormant_hand == page) {
		s->dormant_hand = sp->unsync_next;
	}
	list_leave(s, page);
	sp->flags &= (u8) ~(PAGE_UNSYNC | PAGE_DORMANT);
}

void page_set_dormant(struct shadow *s, u32 page)
{
	struct shadow_page *sp = &s->pages[page];

	while (sp->parents & LIST_VALUE)
		page_drop_id(s, list_first(s, sp->parents));
	tag_drop(s, page);
	if (sp->role.level >= 4)
		root_uncache(s, page);
	unsync_list_remove(s, page);
	sp->flags |= PAGE_UNSYNC | PAGE_DORMANT;
	sp->flags &= (u8)~PAGE_USED;
	list_enter(s, page);
	STAT(s, dormants);
}

u32 unsync_cpu_of(const struct shadow *s, gfn_t gfn, u32 other)
{
	for (u32 page = page_first_of_gfn(s, gfn); page; page = page_next_of_gfn(s, page, gfn))
		if ((s->pages[page].flags & (PAGE_UNSYNC | PAGE_DORMANT)) == PAGE_UNSYNC)
			return s->pages[page].unsync_cpu;
	return other;
}

/* Where the frame is protected the page is as good as one that was just made. */
void page_wake(struct shadow_mmu *mmu, u32 page)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[page];
	const u32 *frame = sp->flags & PAGE_FOREIGN ? NULL : frame_of_gfn(s, sp->gfn);

	unsync_list_remove(s, page);
	if (!frame || (*frame & FRAME_UNSYNC))
		unsync_list_add(s, page, unsync_cpu_of(s, sp->gfn, mmu->index));
}

/* PAGE_TYPED: a sync must not read it through the direct map. */
void foreign_add(struct shadow *s, u32 page)
{
	s->pages[page].flags |= PAGE_FOREIGN | PAGE_TYPED;
	s->foreign_count++;
	unsync_list_add(s, page, 0);
}

/* Would the entry, which is read-only, be made writable if it were derived now? */
static bool may_write(struct shadow_mmu *mmu, u32 page, u32 index, u64 spte)
{
	const struct shadow_page *sp = &mmu->s->pages[page];
	struct derived d;
	u64 gpte, leaf;

	if (sp->role.direct)
		return sp->role.access & ACC_W;
	if (role_of_any(sp->role) == mmu->copied_role && !(sp->flags & PAGE_TYPED)) {
		leaf = copied_leaf(mmu, __atomic_load_n(&table_of_copied(sp->gfn)[index], __ATOMIC_RELAXED));
		if (leaf)
			return leaf == (spte | PTE_W | SPTE_RMAP);
	}
	gpte = guest_entry(mmu, sp->role, gpt_table(&mmu->gpt, sp->gfn), index);
	entry_derive(mmu, page, index, gpte, spte, &d);
	return d.leaf == (spte | PTE_W | SPTE_RMAP);
}

/*
 * Gives the right to write back to the entry that had it, if that still maps the
 * frame and the guest may write through it without a further fault (S9).
 */
void frame_reopen(struct shadow_mmu *mmu, u32 last_writer, gfn_t gfn)
{
	struct shadow *s = mmu->s;
	const struct shadow_page *sp = &s->pages[entry_page(last_writer)];
	u64 *at = entry_pointer(s, last_writer), spte;
	u32 *head;

	if (!entry_page(last_writer) || sp->state != PAGE_TABLE || sp->role.level != 1 || page_is_old(s, sp))
		return;
	/* Another CPU's would be of no use to this one, and cost a kick when it is taken back. */
	if (unlikely(sp->role.cpu != mmu->number) && sp->role.cpu)
		return;
	spte = *at;
	if ((spte & (PTE_P | PTE_W)) != PTE_P)
		return;
	head = frame_of_gfn(s, gfn);
	if (frame_of_spte(s, spte) != head ||
	    !may_write(mmu, entry_page(last_writer), last_writer & (ENTRIES - 1), spte))
		return;
	list_put(s, head, last_writer);
	spte_write(at, spte | PTE_W | SPTE_RMAP);
	if (trace_engine_on())
		trace_entry(s, entry_page(last_writer), last_writer & (ENTRIES - 1), spte, *at);
}
