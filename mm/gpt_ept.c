/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk of EPT tables (SDM vol. 3 section 28.3): first as if all entries were ordinary, then level by level. */
#include "mm/gpt_ept.h"

#include "mm/gpt_format.h"

static const struct gpt_format format_ept4 = {
	.top_level = 4,
	.index_bits = 9,
	.leaf_levels = BIT(2) | BIT(3),
};
static const struct gpt_format format_ept5 = {
	.top_level = 5,
	.index_bits = 9,
	.leaf_levels = BIT(2) | BIT(3),
};

#define EPT_RIGHTS (EPT_R | EPT_W | EPT_X)
#define EPT_MEMTYPE(entry) ((entry) >> EPT_MEMTYPE_SHIFT & 7)
#define EPT_UPPER_ZERO BITS(7, 3) /* clear in an entry that leads to a table */

static ALWAYS_INLINE bool ept_memtype_is_legal(u32 memtype)
{
	return memtype != 2 && memtype != 3 && memtype != 7;
}

static ALWAYS_INLINE u64 ept_reserved_address(const struct gpt_ept *ept)
{
	return PTE_ADDR_MASK >> ept->phys_bits << ept->phys_bits;
}

static ALWAYS_INLINE bool ept_is_leaf(const struct gpt_format *f, const struct gpt_ept *ept, u32 level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & EPT_PS) || !(f->leaf_levels & BIT(level)))
		return false;
	return level == 2 ? ept->pages_2m : ept->pages_1g;
}

/* Tables 28-1 to 28-7 and section 28.3.3.1. */
static ALWAYS_INLINE enum verdict ept_judge_entry(const struct gpt_format *f, const struct gpt_ept *ept, u32 level,
						  u64 entry)
{
	u64 execute = ept->mbec ? EPT_X | EPT_XU : EPT_X;

	if (!(entry & (EPT_R | EPT_W | execute)))
		return ABSENT;
	if (!(entry & EPT_R) && ((entry & EPT_W) || !ept->exec_only))
		return RESERVED;
	if (entry & ept_reserved_address(ept))
		return RESERVED;
	if (!ept_is_leaf(f, ept, level, entry))
		return entry & EPT_UPPER_ZERO ? RESERVED : GO_ON;
	if (level > 1 && (entry & BITS(level_shift(level) - 1, PAGE_SHIFT)))
		return RESERVED;
	return ept_memtype_is_legal(EPT_MEMTYPE(entry)) ? LEAF : RESERVED;
}

/* Level by level, as walk_slow(). Gives the level it ended at and the AND of the entries. */
static ALWAYS_INLINE enum verdict ept_walk_slow(const struct gpt_format *f, const struct gpt_ept *ept, u64 gpa,
						u32 unread, struct gpt_step *steps, u32 *level, u64 *all)
{
	u64 table = ept->eptp & PTE_ADDR_MASK;
	enum verdict verdict;

	*all = ~0ull;
	for (*level = f->top_level;; --*level) {
		struct gpt_step *step = &steps[*level];

		if (*level <= unread)
			read_step(f, ept->regions, *level, table, gpa, step);
		if (!step->slot)
			return RESERVED;
		*all &= step->entry;
		verdict = ept_judge_entry(f, ept, *level, step->entry);
		if (verdict != GO_ON)
			return verdict;
		table = step->entry & PTE_ADDR_MASK;
	}
}

static ALWAYS_INLINE enum verdict ept_walk_tables(const struct gpt_format *f, const struct gpt_ept *ept, u64 gpa,
						  struct gpt_step *steps, u32 *level, u64 *all)
{
	struct descent d;

	descend(f, ept->regions, ept->eptp & PTE_ADDR_MASK, gpa, true, steps, &d);
	if (unlikely(d.unread || !(d.all & EPT_R) || (d.upper & EPT_UPPER_ZERO) ||
		     ((d.upper | d.leaf) & ept_reserved_address(ept)) || !ept_memtype_is_legal(EPT_MEMTYPE(d.leaf))))
		return ept_walk_slow(f, ept, gpa, d.unread, steps, level, all);
	*level = 1;
	*all = d.all;
	return LEAF;
}

/* What the access needs; execution of user-mode addresses has a right of its own with mbec. */
static ALWAYS_INLINE u32 ept_needed(const struct gpt_ept *ept, struct gpt_ept_access a)
{
	u32 needed = (a.read ? EPT_R : 0) | (a.write ? EPT_W : 0);

	if (a.fetch)
		needed |= ept->mbec && a.user ? EPT_XU : EPT_X;
	/* A page walk reads; with A/D on that counts as a write as well, section 28.3.5. */
	if (a.walk)
		needed |= EPT_R | (ept->eptp & EPTP_AD ? EPT_W : 0);
	return needed;
}

static enum gpt_ept_status ept_violation(u32 needed, u32 rights, struct gpt_ept_access a, struct gpt_ept_walk *w)
{
	w->qualification = (needed & EPT_RIGHTS) | (needed & EPT_XU ? EPT_Q_FETCH : 0) |
			   (u64)(rights & EPT_RIGHTS) << 3 | (rights & EPT_XU ? EPT_Q_USER_EXECUTABLE : 0) |
			   (a.linear ? EPT_Q_LINEAR_VALID | (a.walk ? 0 : EPT_Q_FINAL) : 0);
	return EPT_VIOLATION;
}

static ALWAYS_INLINE enum gpt_ept_status walk_ept(const struct gpt_format *f, const struct gpt_ept *ept, u64 gpa,
						  struct gpt_ept_access access, enum gpt_effects effects,
						  struct gpt_ept_walk *w)
{
	u64 all, may = EPT_RIGHTS | (ept->mbec ? EPT_XU : 0);
	u32 needed = ept_needed(ept, access), level;
	struct gpt_step steps[GPT_LEVELS_MAX + 1];
	enum gpt_ept_status status = EPT_OK;
	enum verdict verdict;
	struct gpt_marks marks = {.accessed = EPT_A, .dirty = needed & EPT_W ? EPT_D : 0};

	w->top_level = f->top_level;
	w->last_level = 0;
	w->qualification = 0;
	if (gpa >> (format_shift(f, f->top_level) + f->index_bits))
		return ept_violation(needed, 0, access, w);
	verdict = ept_walk_tables(f, ept, gpa, steps, &level, &all);
	w->last_level = level;
	w->rights = (u32)(all & may);
	if (verdict == RESERVED)
		status = EPT_MISCONFIG;
	else if (verdict == ABSENT || (needed & ~w->rights))
		status = ept_violation(needed, w->rights, access, w);
	else if (effects == GPT_SET_AD && (ept->eptp & EPTP_AD) &&
		 !gpt_mark_path(false, steps, f->top_level, level, &marks))
		status = EPT_RETRY;
	for (u32 i = level; i <= f->top_level; i++)
		w->entry[i] = steps[i].entry;
	if (status != EPT_OK)
		return status;
	w->leaf_level = level;
	w->address = gpt_entry_gfn(level, w->entry[level]) << PAGE_SHIFT | (gpa & (BIT(format_shift(f, level)) - 1));
	w->memtype = EPT_MEMTYPE(w->entry[level]);
	w->ipat = w->entry[level] & EPT_IPAT;
	return EPT_OK;
}

static NOINLINE enum gpt_ept_status walk_ept4(const struct gpt_ept *ept, u64 gpa, struct gpt_ept_access access,
					      enum gpt_effects effects, struct gpt_ept_walk *w)
{
	return walk_ept(&format_ept4, ept, gpa, access, effects, w);
}

static NOINLINE enum gpt_ept_status walk_ept5(const struct gpt_ept *ept, u64 gpa, struct gpt_ept_access access,
					      enum gpt_effects effects, struct gpt_ept_walk *w)
{
	return walk_ept(&format_ept5, ept, gpa, access, effects, w);
}

enum gpt_ept_status gpt_walk_ept(const struct gpt_ept *ept, u64 gpa, struct gpt_ept_access access,
				 enum gpt_effects effects, struct gpt_ept_walk *walk)
{
	if ((ept->eptp >> 3 & 7) == 4)
		return walk_ept5(ept, gpa, access, effects, walk);
	return walk_ept4(ept, gpa, access, effects, walk);
}
