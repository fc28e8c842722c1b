/* SPDX-License-Identifier: BSD-2-Clause */
/* How shadow entries are made: rights, memory types, large leaves, roles; see mm/shadow/derive.h. */
#include "mm/shadow/derive.h"

/* Index into PAT_HOST of a memory type; PWT is bit 0, PCD bit 1, PAT bit 2. */
static u32 host_pat_index(u32 memtype)
{
	switch (memtype) {
	case MT_WT: return 1;
	case MT_UC_MINUS: return 2;
	case MT_UC: return 3;
	case MT_WP: return 6;
	case MT_WC: return 7;
	default: return 0;
	}
}

static u64 memtype_bits(u32 memtype, u32 level)
{
	u32 pat = host_pat_index(memtype);

	return (pat & 1 ? PTE_PWT : 0) | (pat & 2 ? PTE_PCD : 0) |
	       (pat & 4 ? level == 1 ? PTE_PAT_4K : PTE_PAT_LARGE : 0);
}

/* SDM vol. 3 section 11.12.3: the guest's PAT entry that the leaf selects. */
u32 leaf_memtype(u64 pat, u32 guest_level, u64 gpte)
{
	u64 bit = guest_level == 1 ? PTE_PAT_4K : PTE_PAT_LARGE;
	u32 index = (gpte & PTE_PWT ? 1 : 0) | (gpte & PTE_PCD ? 2 : 0) | (gpte & bit ? 4 : 0);

	return (pat >> (8 * index)) & 7;
}

u32 leaf_access(union role role, u32 access, bool dirty, bool supervisor_write)
{
	if (!role.wp && !(access & ACC_W)) {
		if (!(access & ACC_U)) {
			access |= ACC_W;
		} else if (supervisor_write) {
			access = (access | ACC_W) & ~ACC_U;
			if (role.smep_no_wp)
				access &= ~ACC_X;
		}
	}
	return dirty ? access : access & ~ACC_W;
}

u64 leaf_entry(struct shadow *s, const struct leaf *leaf)
{
	const struct region_hit *hit = leaf->hit;
	u32 memtype = leaf->memtype, access = leaf->access;
	u64 spte = hit->pfn << PAGE_SHIFT;

	if (unlikely(hit->kind == REGION_TRAPPED))
		return 0;
	if (unlikely(hit->kind == REGION_HIDDEN)) {
		spte = s->ones_page.v;
		access &= ~ACC_W;
		memtype = MT_WB;
	}
	if (unlikely(memtype != MT_WB))
		spte |= memtype_bits(memtype, leaf->level);
	if (leaf->level > 1)
		spte |= PTE_PS;
	/* ACC_U is bit 1 and PTE_U bit 2; ACC_X is bit 2, turned over at bit 63. */
	spte |= PTE_P | PTE_A | (leaf->dirty ? PTE_D : 0) | (access & ACC_U) << 1 | (u64)(~access & ACC_X) << 61 |
		(u64)leaf->key << PTE_KEY_SHIFT;
	if (!(access & ACC_W))
		return spte;
	if (hit->kind != REGION_RAM)
		return spte | PTE_W;
	if (leaf->level == 1 && frame_is_protected(s->frames[hit->frame_index]))
		return spte;
	return spte | PTE_W | SPTE_RMAP;
}

bool leaf_may_be_large(const struct shadow *s, u32 level, gfn_t gfn, bool writable, const struct region_hit *hit)
{
	u64 frames = level_frames(level), first = gfn >> 9, blocks = frames >> 9;

	if (hit->kind != REGION_RAM && hit->kind != REGION_MMIO)
		return false;
	if ((level == 3 && !s->pages_1g) || level > 3)
		return false;
	if (hit->first > gfn || hit->end < gfn + frames || (hit->pfn & (frames - 1)))
		return false;
	if (hit->kind == REGION_MMIO || !writable)
		return true;
	for (u64 i = 0; i < blocks; i++)
		if (s->blocks[first + i].tracked)
			return false;
	return true;
}

u64 guest_entry_narrow(const struct shadow_mmu *mmu, union role role, const u64 *table, u32 index)
{
	u32 at = role.level == 1 ? role.quadrant * ENTRIES + index : (role.quadrant * ENTRIES + index) / 2;

	return gpt_widen_entry(&mmu->gpt, role.pse, role.level,
			       __atomic_load_n((const u32 *)table + at, __ATOMIC_RELAXED), index & 1);
}

union role role_direct(u32 level, u32 access, u32 memtype, u32 key)
{
	return (union role){
		.level = level & 7,
		.direct = 1,
		.access = access & 7,
		.memtype = memtype & 7,
		.key = key & 0xf,
	};
}

/* A large guest leaf: one large shadow leaf, or a link to a direct page. */
static void derive_large(struct shadow_mmu *mmu, union role role, u64 spte, const struct leaf *leaf, gfn_t gfn,
			 struct derived *d)
{
	if (!(spte & PTE_P))
		return;
	if (spte & PTE_PS) {
		if (leaf_may_be_large(mmu->s, role.level, gfn, leaf->access & ACC_W, leaf->hit))
			d->leaf = leaf_entry(mmu->s, leaf);
		return;
	}
	d->link = true;
	d->gfn = gfn;
	d->role = role_direct(role.level - 1, leaf->access, leaf->memtype, leaf->key);
	d->role.cpu = role.cpu; /* no root has large leaves */
}

void entry_derive(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte, u64 spte, struct derived *d)
{
	union role role = mmu->s->pages[page].role;
	u32 level = role.level, access = role.access & gpt_entry_access(gpte);
	struct region_hit hit;
	struct leaf leaf;
	gfn_t gfn;

	d->leaf = 0;
	d->link = false;
	if (!(gpte & PTE_P) || !(gpte & PTE_A) || gpt_entry_reserved(&mmu->gpt, role.mode, role.nx, level, gpte))
		return;
	gfn = gpt_entry_gfn(level, gpte);
	if (!gpt_entry_is_leaf(level, gpte)) {
		d->link = true;
		d->gfn = gfn;
		d->role = role_child(role, level - 1, access, role.mode == GPT_32 ? index & 1 : 0);
		d->role.cpu = cpu_below(role, index) & (ROLE_CPUS - 1);
		return;
	}
	region_lookup(mmu->s->regions, gfn, &hit);
	leaf = (struct leaf){
		.level = level,
		.access = leaf_access(role, access, gpte & PTE_D, false),
		.memtype = leaf_memtype(mmu->s->pats[role.pat], level, gpte),
		.key = leaf_key(gpte),
		.dirty = gpte & PTE_D,
		.hit = &hit,
	};
	if (level == 1)
		d->leaf = leaf_entry(mmu->s, &leaf);
	else
		derive_large(mmu, role, spte, &leaf, gfn, d);
}
