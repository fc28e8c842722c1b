/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the walkers (gpt.c, gpt_ept.c) share: formats as const descriptors, and the
 * descent that reads one entry of each level.
 */
#ifndef MM_GPT_FORMAT_H
#define MM_GPT_FORMAT_H

#include "lib/x86.h"
#include "mm/gpt_step.h"
#include "mm/phys.h"
#include "mm/region.h"

/* What distinguishes the formats. */
struct gpt_format {
	u32 top_level;   /* level of the first table in memory */
	u32 index_bits;  /* of gva, at each level */
	u32 leaf_levels; /* BIT(level) where PS makes a large leaf */
	bool narrow;     /* entries of 4 bytes: no NX, large leaves of 4 MiB if CR4.PSE */
	bool keys;       /* protection keys apply */
	bool pdptes;     /* PAE: four registers stand above the tables, and bits 62:52 are reserved */
};

static ALWAYS_INLINE u32 format_shift(const struct gpt_format *f, u32 level)
{
	return PAGE_SHIFT + f->index_bits * (level - 1);
}

/* Of the formats with 8-byte entries, and of the shadow. */
static ALWAYS_INLINE u32 level_shift(u32 level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/* The table's entries, or NULL where the frame is not RAM. */
static ALWAYS_INLINE u64 *table_pointer(const struct region_map *regions, gfn_t gfn)
{
	struct region_hit hit;

	if (likely(region_in_whole(regions, gfn)))
		return phys_to_virt(pfn_to_hpa(gfn));
	region_lookup(regions, gfn, &hit);
	return likely(hit.kind == REGION_RAM) ? phys_to_virt(pfn_to_hpa(hit.pfn)) : NULL;
}

static ALWAYS_INLINE u64 load_slot(const struct gpt_format *f, const void *slot)
{
	return f->narrow ? __atomic_load_n((const u32 *)slot, __ATOMIC_RELAXED) :
			   __atomic_load_n((const u64 *)slot, __ATOMIC_RELAXED);
}

/* Byte offset in the table of the entry for address. */
static ALWAYS_INLINE u64 entry_offset(const struct gpt_format *f, u32 level, u64 address)
{
	u32 size_shift = f->narrow ? 2 : 3;

	return (address >> (format_shift(f, level) - size_shift)) & ((BIT(f->index_bits) - 1) << size_shift);
}

/* What an optimistic descent has seen: AND and OR over the entries of all levels, and the leaf. */
struct descent {
	u64 all, upper, leaf; /* upper: OR above level 1 */
	u32 unread;           /* not 0: stopped there, for the table is not RAM, or not near */
};

/*
 * Reads one entry of each level as if all of them were ordinary: present, no
 * large leaf, nothing reserved. Whether they are is seen from the AND and OR at
 * the end. What an absent entry points to may be anything, but only the guest's
 * RAM is read, so a read too many does no harm. Only what is known as RAM at once,
 * unless anywhere.
 */
static ALWAYS_INLINE void descend(const struct gpt_format *f, const struct region_map *regions, u64 table,
				  u64 address, bool anywhere, struct gpt_step *steps, struct descent *d)
{
	const struct region_main *m = &regions->main;
	u64 base = m->base_gpa, bytes = m->bytes;
	u8 *memory = (u8 *)(uintptr_t)(m->hpa + phys_map_offset);

	d->all = ~0ull;
	d->upper = 0;
#pragma GCC unroll 5
	for (u32 level = f->top_level; level >= 1; level--) {
		struct gpt_step *step = &steps[level];
		u64 entry;
		u8 *slot;

		d->unread = level;
		if (unlikely(table - base >= bytes)) {
			if (region_in_whole(regions, table >> PAGE_SHIFT))
				slot = phys_to_virt(hpa(table));
			else
				slot = anywhere ? (u8 *)table_pointer(regions, table >> PAGE_SHIFT) : NULL;
			if (!slot)
				return;
			slot += entry_offset(f, level, address);
		} else {
			slot = memory + (table - base) + entry_offset(f, level, address);
		}
		step->slot = slot;
		step->entry = entry = load_slot(f, slot);
		d->all &= entry;
		if (level > 1)
			d->upper |= entry;
		d->leaf = entry;
		table = entry & PTE_ADDR_MASK;
	}
	d->unread = 0;
}

enum verdict { GO_ON, LEAF, ABSENT, RESERVED };

/* The entry of a level, wherever its table may be; all-ones and slot NULL where that is not RAM. */
static ALWAYS_INLINE void read_step(const struct gpt_format *f, const struct region_map *regions, u32 level,
				    u64 table, u64 address, struct gpt_step *step)
{
	u8 *at = (u8 *)table_pointer(regions, table >> PAGE_SHIFT);

	step->slot = at ? at + entry_offset(f, level, address) : NULL;
	step->entry = at ? load_slot(f, step->slot) : f->narrow ? ~0u : ~0ull;
}

/* Bits to set in the entries of a path: accessed in all, dirty in the leaf; and how many lacked them. */
struct gpt_marks {
	u64 accessed, dirty;
	u8 a_sets, d_sets;
};
/* False: an entry changed meanwhile. */
bool gpt_mark_path(bool narrow, struct gpt_step *steps, u32 top, u32 leaf, struct gpt_marks *marks);

#endif
