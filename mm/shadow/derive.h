/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the guest's entry to the shadow's: what the guest's entry says, turned into
 * what the hardware gets. Used alike by faults, prefetch, sync and audit.
 */
#ifndef MM_SHADOW_DERIVE_H
#define MM_SHADOW_DERIVE_H

#include "mm/shadow/rmap.h"

/* What a leaf shall be made of. */
struct leaf {
	u32 level;   /* of the shadow entry */
	u32 access;  /* ACC_*; W only where the guest could write at once (dirty) */
	u32 memtype; /* enum memtype */
	u32 key;
	bool dirty;                   /* D of the guest's leaf; true where there is none */
	const struct region_hit *hit; /* of its first frame */
};
/* The shadow entry; without W where the frame is protected; 0 for trapped memory. */
u64 leaf_entry(struct shadow *s, const struct leaf *leaf);
/*
 * The guest's rights in terms of hardware whose CR0.WP is always 1; no W while D is clear (S9).
 * copied_leaf() and fault_fast() repeat the rule for the most frequent case.
 * supervisor_write: the leaf is wanted for such a write (S8).
 */
u32 leaf_access(union role role, u32 access, bool dirty, bool supervisor_write);
u32 leaf_memtype(u64 pat, u32 guest_level, u64 gpte);
/* Kept whether keys are on or not: hardware looks at it while the guest's CR4.PKE is set. PAE reserves these bits. */
static inline u32 leaf_key(u64 gpte)
{
	return (gpte >> PTE_KEY_SHIFT) & 0xf;
}
/* May the guest's large leaf stay one leaf of this level? hit: of its first frame. */
bool leaf_may_be_large(const struct shadow *s, u32 level, gfn_t gfn, bool writable, const struct region_hit *hit);
union role role_direct(u32 level, u32 access, u32 memtype, u32 key);

/*
 * The guest's entry behind entry index of a page that is not direct, in 8-byte
 * form. A 32-bit guest's table has 1024 entries of 4 bytes, ours 512 of 8: a
 * page directory (4 GiB) is shadowed by four pages, a page table (4 MiB) by two.
 *
 *   guest PDE i (4 MiB)  ->  shadow PDEs 2i, 2i + 1 (2 MiB each)
 *   guest PTE i          ->  shadow PTE i of the lower or upper page
 */
u64 guest_entry_narrow(const struct shadow_mmu *mmu, union role role, const u64 *table, u32 index);
static ALWAYS_INLINE u64 guest_entry(const struct shadow_mmu *mmu, union role role, const u64 *table, u32 index)
{
	if (unlikely(role.mode == GPT_32))
		return guest_entry_narrow(mmu, role, table, index);
	return __atomic_load_n(&table[index], __ATOMIC_RELAXED);
}

/* What an entry of a guest's table asks for. */
struct derived {
	u64 leaf;  /* the shadow entry if it is a leaf, else 0 */
	bool link; /* it must link to the page of (gfn, role) */
	gfn_t gfn;
	union role role;
};
/*
 * Derives an entry of a page that is not direct from the guest's entry gpte, by
 * rights the guest has without a further fault (A set; W only if D is set).
 * spte: what is there, since a large guest leaf may be either kind.
 */
void entry_derive(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte, u64 spte, struct derived *d);

/*
 * Are the leaves of pages with this role copied: the guest's entry, with little
 * changed? Level 1 of a 64-bit guest, all rights from above, WP and NXE set.
 */
static ALWAYS_INLINE bool role_is_copied(const struct shadow_mmu *mmu, union role role)
{
	return (mmu->s->copy_pats >> role.pat & 1) && role.level == 1 && !role.direct && role.access == ACC_ALL &&
	       role.mode >= GPT_4L && role.wp && role.nx;
}

/* The guest's table behind a page with copied leaves: RAM, since it is tracked, and gfn is pfn. */
static ALWAYS_INLINE u64 *table_of_copied(gfn_t gfn)
{
	return phys_to_virt(hpa(gfn << PAGE_SHIFT));
}

/*
 * The shadow entry that entry_derive() would make in such a page, or 0 for what
 * it must look at itself: A clear, another memory type, no RAM.
 */
static ALWAYS_INLINE u64 copied_leaf(const struct shadow_mmu *mmu, u64 gpte)
{
	u64 spte = gpte & (COPIED_BITS & ~PTE_W);
	u32 word;

	if ((gpte & (PTE_P | PTE_A | PTE_TYPE_4K)) != (PTE_P | PTE_A))
		return 0;
	if (unlikely(!frame_of_copied(mmu->s, gpte, &word)))
		return 0;
	if (!(gpte & PTE_W) || !(gpte & PTE_D) || frame_is_protected(word))
		return spte;
	return spte | PTE_W | SPTE_RMAP;
}

/*
 * Does a link of a page with this role say what the guest's entry says: a table of the
 * same frame, seen with the same rights? Only the usual forms are recognised.
 */
static ALWAYS_INLINE bool link_unchanged(const struct shadow *s, union role role, u32 index, u64 spte, u64 gpte)
{
	const struct shadow_page *child;
	union role want;

	if (role.mode < GPT_4L || !role.nx || (gpte & PTE_PS) || (~gpte & (PTE_P | PTE_A)))
		return false;
	child = &s->pages[page_of_link(s, spte)];
	want = role_child(role, role.level - 1, role.access & gpt_access_of(gpte ^ PTE_NX), 0);
	want.cpu = cpu_below(role, index) & (ROLE_CPUS - 1);
	return child->gfn == (gpte & PTE_ADDR_MASK) >> PAGE_SHIFT && child->role.word == want.word;
}

#endif
