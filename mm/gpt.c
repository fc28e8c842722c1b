/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest page-table walker (SDM vol. 3 chapter 4, APM vol. 2 chapter 5).
 *
 *   gva   | 9 bits | 9 bits | 9 bits | 9 bits |   12 bits   |
 *           level 4  level 3  level 2  level 1    offset
 *
 * Levels are numbered as by the shadow: 1 is the lowest table. Presence is
 * tested before reserved bits, level by level; rights are accumulated on the
 * way and judged once at the end; A and D are written last, and only when the
 * access is allowed.
 */
#include "mm/gpt.h"

#include "lib/x86.h"
#include "mm/phys.h"

/* What distinguishes the formats. */
struct gpt_format {
	u32 top_level;       /* level of the first table in memory */
	u32 index_bits;      /* of gva, at each level */
	u32 leaf_levels;     /* BIT(level) where PS makes a large leaf */
	bool narrow;         /* entries of 4 bytes: no NX, large leaves of 4 MiB if CR4.PSE */
	bool keys;           /* protection keys apply */
	bool wide_reserved;  /* bits 62:52 are reserved (PAE) */
};

static const struct gpt_format format_32 = {
	.top_level = 2, .index_bits = 10, .leaf_levels = BIT(2), .narrow = true,
};
static const struct gpt_format format_pae = {
	.top_level = 2, .index_bits = 9, .leaf_levels = BIT(2), .wide_reserved = true,
};
static const struct gpt_format format_4l = {
	.top_level = 4, .index_bits = 9, .leaf_levels = BIT(2) | BIT(3), .keys = true,
};
static const struct gpt_format format_5l = {
	.top_level = 5, .index_bits = 9, .leaf_levels = BIT(2) | BIT(3), .keys = true,
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

bool gpt_entry_is_leaf(u32 level, u64 entry)
{
	return level == 1 || ((level == 2 || level == 3) && (entry & PTE_PS));
}

u32 gpt_entry_access(u64 entry)
{
	_Static_assert(PTE_W >> 1 == ACC_W && PTE_U >> 1 == ACC_U && PTE_NX >> 61 == ACC_X, "shifted together");
	return gpt_access_of(entry ^ PTE_NX);
}

gfn_t gpt_entry_gfn(u32 level, u64 entry)
{
	u64 frame = entry & PTE_ADDR_MASK;

	if (gpt_entry_is_leaf(level, entry))
		frame &= ~(BIT(level_shift(level)) - 1);
	return frame >> PAGE_SHIFT;
}

/* Bits that must be zero in every entry of a wide format. */
static ALWAYS_INLINE u64 reserved_always(const struct gpt_format *f, const struct gpt_context *ctx, bool nx)
{
	u64 mask = PTE_ADDR_MASK & (~0ull << ctx->phys_bits);

	if (!nx)
		mask |= PTE_NX;
	if (f->wide_reserved)
		mask |= BITS(62, 52);
	return mask;
}

/* Bits that must be zero in an entry with PS set, above level 1. */
static ALWAYS_INLINE u64 reserved_large(const struct gpt_format *f, const struct gpt_context *ctx, u32 level)
{
	if (!(f->leaf_levels & BIT(level)) || (level == 3 && !ctx->pages_1g))
		return PTE_PS;
	return BITS(level_shift(level) - 1, 13);
}

static ALWAYS_INLINE u64 reserved_bits(const struct gpt_format *f, const struct gpt_context *ctx,
				       bool nx, u32 level, u64 entry)
{
	u64 mask = reserved_always(f, ctx, nx);

	if (level > 1 && (entry & PTE_PS))
		mask |= reserved_large(f, ctx, level);
	return entry & mask;
}

/*
 * A large leaf of 4 MiB keeps bits 39:32 of its address in bits 20:13 (PSE-36,
 * SDM vol. 3 table 4-4); those above the address width, and bit 21, are reserved.
 */
static ALWAYS_INLINE u64 reserved_bits_narrow(const struct gpt_context *ctx, u32 level, u64 entry)
{
	u32 width = MIN(ctx->phys_bits, 40u);

	if (level == 1 || !(entry & PTE_PS) || !ctx->pse)
		return 0;
	return entry & BITS(21, width - 19);
}

/* A 4-byte entry as an 8-byte one that says the same; a leaf's 4 MiB begin at its address. */
static ALWAYS_INLINE u64 widen(bool pse, u32 level, u64 entry)
{
	if (level == 1 || !(entry & PTE_PS))
		return entry;
	if (!pse)
		return entry & ~PTE_PS;
	return (entry & (BITS(31, 22) | BITS(12, 0))) | ((entry >> 13) & 0xff) << 32;
}

u64 gpt_widen_entry(const struct gpt_context *ctx, bool pse, u32 level, u32 entry, bool upper_half)
{
	struct gpt_context with_pse = {.phys_bits = ctx->phys_bits, .pse = pse};
	u64 wide = widen(pse, level, entry);

	if (reserved_bits_narrow(&with_pse, level, entry))
		return 0;
	return gpt_entry_is_leaf(level, wide) && level == 2 && upper_half ? wide | BIT(21) : wide;
}

static const struct gpt_format *format_of(enum gpt_mode mode)
{
	switch (mode) {
	case GPT_32:
		return &format_32;
	case GPT_PAE:
		return &format_pae;
	case GPT_5L:
		return &format_5l;
	default:
		return &format_4l;
	}
}

u64 gpt_entry_reserved(const struct gpt_context *ctx, enum gpt_mode mode, bool nx, u32 level, u64 entry)
{
	const struct gpt_format *f = format_of(mode);

	return f->narrow ? 0 : reserved_bits(f, ctx, nx, level, entry);
}

/* The table's entries, or NULL where the frame is not RAM. */
static ALWAYS_INLINE u64 *table_pointer(const struct gpt_context *ctx, gfn_t gfn)
{
	struct region_hit hit;

	region_lookup(ctx->regions, gfn, &hit);
	return likely(hit.kind == REGION_RAM) ? phys_to_virt(pfn_to_hpa(hit.pfn)) : NULL;
}

static ALWAYS_INLINE u64 load_entry(const struct gpt_format *f, const u64 *table, u32 index)
{
	if (unlikely(!table))
		return f->narrow ? ~0u : ~0ull;
	if (f->narrow)
		return __atomic_load_n((const u32 *)table + index, __ATOMIC_RELAXED);
	return __atomic_load_n(&table[index], __ATOMIC_RELAXED);
}

u64 *gpt_table(const struct gpt_context *ctx, gfn_t table)
{
	return table_pointer(ctx, table);
}

u64 gpt_read_entry(const struct gpt_context *ctx, gfn_t table, u32 index)
{
	return load_entry(format_of(ctx->mode), gpt_table(ctx, table), index);
}

/* Protection-key check of a data access to a user page, SDM vol. 3 section 4.6.2. */
static bool key_violation(const struct gpt_context *ctx, u64 leaf, struct gpt_access access)
{
	u32 bits = ctx->pkru >> (2 * ((leaf >> 59) & 0xf));

	if (bits & 1)
		return true;
	return (bits & 2) && access.write && (access.user || ctx->wp);
}

/* SDM vol. 3 section 4.6.1. Returns true if the rights allow the access. */
static ALWAYS_INLINE bool rights_allow(const struct gpt_context *ctx, u32 rights, struct gpt_access access)
{
	bool user_page = rights & ACC_U;

	if (access.user && !user_page)
		return false;
	if (access.fetch)
		return (rights & ACC_X) && (access.user || !user_page || !ctx->smep);
	if (!access.user && user_page && ctx->smap && (access.implicit || !access.ac))
		return false;
	if (access.write && !(rights & ACC_W))
		return !access.user && !ctx->wp;
	return true;
}

/* Sets want in the entry, in its own size, if it still reads as expected; false if it changed. */
static bool mark_entry(bool narrow, void *slot, u64 *expected, u64 want)
{
	u64 old = *expected, updated = old | want;
	u32 old32 = (u32)old;

	*expected = updated;
	if (narrow)
		return __atomic_compare_exchange_n((u32 *)slot, &old32, (u32)updated, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((u64 *)slot, &old, updated, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static NOINLINE enum gpt_status set_accessed_dirty(bool narrow, struct gpt_walk *w, bool write)
{
	for (u32 level = w->top_level; level >= w->leaf_level; level--) {
		struct gpt_step *step = &w->step[level];
		u64 want = PTE_A | (write && level == w->leaf_level ? PTE_D : 0);
		u64 missing = want & ~step->entry;

		if (!missing)
			continue;
		if (!mark_entry(narrow, step->slot, &step->entry, want))
			return GPT_RETRY;
		w->a_sets += !!(missing & PTE_A);
		w->d_sets += !!(missing & PTE_D);
	}
	return GPT_OK;
}

bool gpt_walk_unchanged(const struct gpt_context *ctx, const struct gpt_walk *w)
{
	bool narrow = ctx->mode == GPT_32;

	for (u32 level = w->leaf_level; level && level <= w->top_level; level++) {
		const struct gpt_step *step = &w->step[level];
		u64 now = narrow ? __atomic_load_n((const u32 *)step->slot, __ATOMIC_RELAXED)
				 : __atomic_load_n((const u64 *)step->slot, __ATOMIC_RELAXED);

		if (now != step->entry)
			return false;
	}
	return true;
}

/* Ends a walk that cannot succeed; bits: what the tables add to the error code. */
static NOINLINE enum gpt_status fault(const struct gpt_context *ctx, bool narrow, const struct gpt_access *access,
				      u32 level, u32 bits, struct gpt_walk *w)
{
	bool execute_bit = (ctx->nx && !narrow) || ctx->smep;

	w->last_level = level;
	_Static_assert(sizeof(struct gpt_access) == 4, "one word, with the bits of the error code");
	w->error = bits | (access->word & (PF_W | PF_U | (execute_bit ? PF_ID : 0)));
	return GPT_FAULT;
}

/* Why a walk stops at an entry, as bits of the error code; ~0: it does not stop there for a fault. */
static NOINLINE u32 stop_bits(const struct gpt_format *f, const struct gpt_context *ctx, u32 level, u64 entry)
{
	u64 bad;

	if (!(entry & PTE_P))
		return 0;
	bad = f->narrow ? reserved_bits_narrow(ctx, level, entry) : reserved_bits(f, ctx, ctx->nx, level, entry);
	return bad ? PF_P | PF_RSVD : ~0u;
}

/* The main RAM region, with the way from its addresses to pointers. */
struct ground {
	u64 base, bytes, to_pointer;
};

/* The entries of the table, or NULL where it is not RAM. */
static ALWAYS_INLINE void *step_table(const struct gpt_context *ctx, const struct ground *g, u64 table)
{
	if (likely(table - g->base < g->bytes))
		return (void *)(uintptr_t)(table + g->to_pointer);
	return table_pointer(ctx, table >> PAGE_SHIFT);
}

static ALWAYS_INLINE enum gpt_status walk_tables(const struct gpt_format *f, const struct gpt_context *ctx,
						 u64 table, gva_t gva, const struct gpt_access *access,
						 enum gpt_effects effects, struct gpt_walk *w)
{
	const struct region_main *m = &ctx->regions->main;
	const struct ground g = {m->base_gpa, m->bytes, phys_map_offset + m->hpa - m->base_gpa};
	/* One comparison tells an ordinary entry of a wide format: present, no large leaf, nothing reserved. */
	u64 odd = PTE_P | PTE_PS | (f->narrow ? 0 : reserved_always(f, ctx, ctx->nx));
	u64 all = ~0ull, entry = 0;
	u32 level, bits = 0;

	w->top_level = f->top_level;
#pragma GCC unroll 5
	for (level = f->top_level; level >= 1; level--) {
		struct gpt_step *step = &w->step[level];
		u32 index = (gva >> format_shift(f, level)) & (BIT(f->index_bits) - 1);
		u8 *slot = step_table(ctx, &g, table);

		step->table = table;
		step->above = all;
		step->slot = slot;
		if (unlikely(!slot)) {
			step->entry = f->narrow ? ~0u : ~0ull;
			return fault(ctx, f->narrow, access, level, PF_P | PF_RSVD, w);
		}
		step->slot = slot += index * (f->narrow ? sizeof(u32) : sizeof(u64));
		step->entry = entry = f->narrow ? __atomic_load_n((const u32 *)slot, __ATOMIC_RELAXED)
						: __atomic_load_n((const u64 *)slot, __ATOMIC_RELAXED);
		if (unlikely((entry & (level == 1 ? odd & ~PTE_PS : odd)) != PTE_P)) {
			bits = stop_bits(f, ctx, level, entry);
			if (bits != ~0u)
				return fault(ctx, f->narrow, access, level, bits, w);
			bits = 0;
			if (f->narrow)
				entry = widen(ctx->pse, level, entry);
			if (level > 1 && (entry & PTE_PS))
				break;
		}
		all &= entry ^ PTE_NX;
		if (level == 1)
			break;
		table = entry & PTE_ADDR_MASK;
	}
	if (level > 1)
		all &= entry ^ PTE_NX;
	w->leaf_level = w->last_level = level;
	w->access = gpt_access_of(all);
	if (unlikely(!rights_allow(ctx, w->access, *access)))
		bits = PF_P;
	if (f->keys && unlikely(ctx->pke) && (w->access & ACC_U) && !access->fetch &&
	    key_violation(ctx, entry, *access))
		bits = PF_P | PF_PK;
	if (unlikely(bits))
		return fault(ctx, f->narrow, access, level, bits, w);
	w->gfn = gpt_entry_gfn(level, entry) |
		 ((gva >> PAGE_SHIFT) & (BIT(f->index_bits * (level - 1)) - 1));
	if (effects == GPT_SET_AD && unlikely(!(all & PTE_A) || (access->write && !(entry & PTE_D))) &&
	    set_accessed_dirty(f->narrow, w, access->write) != GPT_OK)
		return GPT_RETRY;
	w->dirty = w->step[level].entry & PTE_D;
	return GPT_OK;
}

/* SDM vol. 3 section 4.3: bits 31:12 of CR3 hold the page directory. */
static NOINLINE enum gpt_status walk_32(const struct gpt_context *ctx, gva_t gva, const struct gpt_access *access,
                                        enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_32, ctx, ctx->cr3 & BITS(31, 12), (u32)gva, access, effects, w);
}

static NOINLINE enum gpt_status walk_4l(const struct gpt_context *ctx, gva_t gva, const struct gpt_access *access,
                                        enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_4l, ctx, ctx->cr3 & PTE_ADDR_MASK, gva, access, effects, w);
}

static NOINLINE enum gpt_status walk_5l(const struct gpt_context *ctx, gva_t gva, const struct gpt_access *access,
                                        enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_5l, ctx, ctx->cr3 & PTE_ADDR_MASK, gva, access, effects, w);
}

/* The four PDPTEs were validated when CR3 was loaded; they have no rights and no A bit. */
static NOINLINE enum gpt_status walk_pae(const struct gpt_context *ctx, gva_t gva, const struct gpt_access *access,
                                         enum gpt_effects effects, struct gpt_walk *w)
{
	u64 pdpte = ctx->pdpte[(gva >> 30) & 3];

	if (!(pdpte & PTE_P)) {
		w->top_level = 3;
		return fault(ctx, false, access, 3, 0, w);
	}
	return walk_tables(&format_pae, ctx, pdpte & PTE_ADDR_MASK, (u32)gva, access, effects, w);
}

/* Paging off: linear addresses are physical addresses of 32 bits (SDM vol. 3 section 4.1.1). */
static enum gpt_status walk_none(gva_t gva, struct gpt_walk *w)
{
	w->gfn = (gva & 0xffffffffu) >> PAGE_SHIFT;
	w->leaf_level = 0;
	w->top_level = w->last_level = 0;
	w->access = ACC_ALL;
	w->dirty = true;
	return GPT_OK;
}

enum gpt_status gpt_walk(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			 enum gpt_effects effects, struct gpt_walk *walk)
{
	walk->a_sets = walk->d_sets = 0;
	switch ((enum gpt_mode)ctx->mode) {
	case GPT_4L:
		return walk_4l(ctx, gva, &access, effects, walk);
	case GPT_5L:
		return walk_5l(ctx, gva, &access, effects, walk);
	case GPT_PAE:
		return walk_pae(ctx, gva, &access, effects, walk);
	case GPT_32:
		return walk_32(ctx, gva, &access, effects, walk);
	case GPT_NONE:
		break;
	}
	return walk_none(gva, walk);
}
