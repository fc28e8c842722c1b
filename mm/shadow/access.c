/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own accesses to guest memory, on the guest's behalf: by
 * virtual address, with the checks and the accessed and dirty bits of a real
 * access. A write to a frame that is a protected table releases it first, so
 * that the next sync sees what was written.
 */
#include "mm/shadow/int.h"

#include "lib/string.h"

/* One page's part of an access. */
struct piece {
	u8 *at;              /* NULL: hidden memory */
	gfn_t gfn;
	u32 len;
};

enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access,
				 struct gpt_walk *walk)
{
	return gpt_walk(&mmu->gpt, gva, access, GPT_PEEK, walk);
}

/* The root's entry for an address, in the formats with one root. */
static ALWAYS_INLINE const u64 *top_entry(const struct shadow_mmu *mmu, gva_t gva)
{
	return &mmu->s->pool[(u64)mmu->root[0] * ENTRIES + (gva >> mmu->top_shift) % ENTRIES];
}

/* Fills the hint by a walk down the shadow; NULL if there is no leaf, or it is not of main memory. */
static NOINLINE __attribute__((noclone)) const u8 *code_find(struct shadow_mmu *mmu, gva_t gva, struct code_hint *hint)
{
	const struct shadow *s = mmu->s;
	const struct region_main *m = &s->regions->main;
	u32 page = mmu->root[0], level = mmu->root_level;
	const u64 *leaf;
	u64 spte, at;

	if (level < 4 || !page)
		return NULL;
	for (;; level--) {
		leaf = &s->pool[(u64)page * ENTRIES + level_index(level, gva)];
		spte = *leaf;
		if (!(spte & PTE_P))
			return NULL;
		if (spte_is_leaf(level, spte))
			break;
		page = page_of_link(s, spte);
	}
	at = spte_pfn(level, spte) << PAGE_SHIFT | (gva & (BIT(PAGE_SHIFT + INDEX_BITS * (level - 1)) - 1));
	if (at - m->hpa >= m->bytes)
		return NULL;
	*hint = (struct code_hint){
		.page = gva >> PAGE_SHIFT, .links = s->link_changes, .top = *top_entry(mmu, gva), .leaf = leaf,
		.value = spte, .at = phys_to_virt(hpa(at & PAGE_MASK)),
	};
	return phys_to_virt(hpa(at));
}

/* Without a root, page 0 is looked at: its entries are absent, those in hints are not. */
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva)
{
	u64 top = *top_entry(mmu, gva);
	/* Page-table isolation runs the code of one page under two roots. */
	struct code_hint *hint = &mmu->code[(gva ^ top) >> PAGE_SHIFT & (CODE_HINTS - 1)];
	u32 offset = gva & (PAGE_SIZE - 1);

	if (unlikely(offset > PAGE_SIZE - SHADOW_PEEK_BYTES))
		return NULL;
	if (likely(hint->page == gva >> PAGE_SHIFT && hint->links == mmu->s->link_changes &&
		   hint->top == top && *hint->leaf == hint->value))
		return hint->at + offset;
	return code_find(mmu, gva, hint);
}

static enum gpt_status walk_settled(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access,
				    struct gpt_walk *walk)
{
	enum gpt_status status;
	u32 tries = 64;

	do
		status = gpt_walk(&mmu->gpt, gva, access, GPT_SET_AD, walk);
	while (status == GPT_RETRY && --tries);
	/* Somebody else rewrites the entry without end: leave its bits alone. */
	return status == GPT_RETRY ? gpt_walk(&mmu->gpt, gva, access, GPT_PEEK, walk) : status;
}

static int piece_find(struct shadow_mmu *mmu, gva_t gva, u32 len, struct gpt_access access,
		      struct piece *piece, gva_t *fault_gva, u32 *error)
{
	struct region_hit hit;
	struct gpt_walk walk;

	if (walk_settled(mmu, gva, access, &walk) != GPT_OK) {
		*fault_gva = gva;
		*error = walk.error;
		return -EFAULT;
	}
	region_lookup(mmu->s->regions, walk.gfn, &hit);
	if (hit.kind != REGION_RAM && hit.kind != REGION_HIDDEN)
		return -EIO;
	piece->gfn = walk.gfn;
	piece->len = len;
	piece->at = NULL;
	if (hit.kind == REGION_RAM)
		piece->at = (u8 *)phys_to_virt(pfn_to_hpa(hit.pfn)) + (gva & (PAGE_SIZE - 1));
	return 0;
}

static void release_if_protected(struct shadow_mmu *mmu, gfn_t gfn)
{
	struct shadow *s = mmu->s;
	u32 *frame = frame_of_gfn(s, gfn);

	spin_lock(&s->lock);
	if (frame_is_protected(*frame))
		frame_release(mmu, gfn, frame);
	spin_unlock(&s->lock);
}

static void piece_copy(struct shadow_mmu *mmu, const struct piece *piece, u8 *buf, bool write)
{
	if (!piece->at) {
		mmu->s->stats[write ? SHADOW_STAT_hidden_writes : SHADOW_STAT_hidden_reads]++;
		if (!write)
			memset(buf, 0xff, piece->len);
	} else if (write) {
		release_if_protected(mmu, piece->gfn);
		memcpy(piece->at, buf, piece->len);
	} else {
		memcpy(buf, piece->at, piece->len);
	}
}

/* Both pages are translated before the first byte moves: all or nothing. */
static int access_pages(struct shadow_mmu *mmu, gva_t gva, u8 *buf, u32 len, struct gpt_access access,
			gva_t *fault_gva, u32 *error)
{
	u32 first = (u32)MIN((u64)len, PAGE_SIZE - (gva & (PAGE_SIZE - 1)));
	struct piece pieces[2];
	int err = piece_find(mmu, gva, first, access, &pieces[0], fault_gva, error);

	if (err || len - first > PAGE_SIZE)
		return err ? err : -EINVAL;
	if (len > first) {
		err = piece_find(mmu, gva + first, len - first, access, &pieces[1], fault_gva, error);
		if (err)
			return err;
		piece_copy(mmu, &pieces[1], buf + first, access.write);
	}
	piece_copy(mmu, &pieces[0], buf, access.write);
	return 0;
}

int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len,
		      struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	access.write = false;
	return access_pages(mmu, gva, buf, len, access, fault_gva, error);
}

int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len,
		       struct gpt_access access, gva_t *fault_gva, u32 *error)
{
	access.write = true;
	return access_pages(mmu, gva, (u8 *)(uintptr_t)buf, len, access, fault_gva, error);
}
