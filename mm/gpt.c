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
	return (entry & PTE_W ? ACC_W : 0) | (entry & PTE_U ? ACC_U : 0) |
	       (entry & PTE_NX ? 0 : ACC_X);
}

gfn_t gpt_entry_gfn(u32 level, u64 entry)
{
	u64 frame = entry & PTE_ADDR_MASK;

	if (gpt_entry_is_leaf(level, entry))
		frame &= ~(BIT(level_shift(level)) - 1);
	return frame >> PAGE_SHIFT;
}

static ALWAYS_INLINE u64 reserved_bits(const struct gpt_format *f, const struct gpt_context *ctx,
				       bool nx, u32 level, u64 entry)
{
	u64 mask = ctx->phys_bits < 52 ? BITS(51, ctx->phys_bits) : 0;

	if (!nx)
		mask |= PTE_NX;
	if (f->wide_reserved)
		mask |= BITS(62, 52);
	if (level == 1 || !(entry & PTE_PS))
		return entry & mask;
	if (!(f->leaf_levels & BIT(level)) || (level == 3 && !ctx->pages_1g))
		return entry & (mask | PTE_PS);
	return entry & (mask | BITS(level_shift(level) - 1, 13));
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

/* The last RAM region a walk met: tables mostly lie in the same one. */
struct ram_window {
	gfn_t first, end;
	s64 offset;          /* pfn - gfn */
};

/* The table's entries, or NULL where the frame is not RAM. */
static ALWAYS_INLINE u64 *table_pointer(const struct gpt_context *ctx, struct ram_window *window, gfn_t gfn)
{
	if (unlikely(gfn - window->first >= window->end - window->first)) {
		struct region_hit hit;

		region_lookup(ctx->regions, gfn, &hit);
		if (hit.kind != REGION_RAM)
			return NULL;
		window->first = hit.first;
		window->end = hit.end;
		window->offset = (s64)hit.pfn - (s64)gfn;
	}
	return phys_to_virt(pfn_to_hpa((pfn_t)((s64)gfn + window->offset)));
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
	struct ram_window window = {0};

	return table_pointer(ctx, &window, table);
}

u64 gpt_read_entry(const struct gpt_context *ctx, gfn_t table, u32 index)
{
	return load_entry(format_of(ctx->mode), gpt_table(ctx, table), index);
}

/* W, U and I/D of the error code, which do not depend on the tables. */
static u32 access_error_bits(const struct gpt_context *ctx, bool nx, struct gpt_access access)
{
	return (access.write ? PF_W : 0) | (access.user ? PF_U : 0) |
	       (access.fetch && (nx || ctx->smep) ? PF_ID : 0);
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
static ALWAYS_INLINE bool mark_entry(const struct gpt_format *f, u64 *table, u32 index, u64 *expected, u64 want)
{
	u64 old = *expected, updated = old | want;
	u32 old32 = (u32)old;

	*expected = updated;
	if (f->narrow)
		return __atomic_compare_exchange_n((u32 *)table + index, &old32, (u32)updated, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(&table[index], &old, updated, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE enum gpt_status set_accessed_dirty(const struct gpt_format *f, struct gpt_walk *w,
							u64 *const *tables, bool write)
{
	for (u32 level = w->top_level; level >= w->leaf_level; level--) {
		u64 want = PTE_A | (write && level == w->leaf_level ? PTE_D : 0);
		u64 missing = want & ~w->entry[level];

		if (likely(!missing))
			continue;
		if (!mark_entry(f, tables[level], w->index[level], &w->entry[level], want))
			return GPT_RETRY;
		w->a_sets += !!(missing & PTE_A);
		w->d_sets += !!(missing & PTE_D);
	}
	return GPT_OK;
}

static enum gpt_status fault(struct gpt_walk *w, u32 error)
{
	w->error = error;
	return GPT_FAULT;
}

static ALWAYS_INLINE enum gpt_status walk_tables(const struct gpt_format *f, const struct gpt_context *ctx,
						 u64 top, gva_t gva, struct gpt_access access,
						 enum gpt_effects effects, struct gpt_walk *w)
{
	struct ram_window window = {0};
	u64 *tables[GPT_LEVELS_MAX + 1];
	gfn_t table = top >> PAGE_SHIFT;
	bool nx = ctx->nx && !f->narrow;
	u32 rights = ACC_ALL, level = f->top_level, error = access_error_bits(ctx, nx, access);
	u64 entry;

	w->top_level = level;
	for (;; level--) {
		u32 index = (gva >> format_shift(f, level)) & (BIT(f->index_bits) - 1);
		u64 bad;

		tables[level] = table_pointer(ctx, &window, table);
		entry = load_entry(f, tables[level], index);
		w->table_gfn[level] = table;
		w->index[level] = (u16)index;
		w->entry[level] = entry;
		w->access_at[level] = rights;
		w->last_level = level;
		if (!(entry & PTE_P))
			return fault(w, error);
		bad = f->narrow ? reserved_bits_narrow(ctx, level, entry) : reserved_bits(f, ctx, nx, level, entry);
		if (unlikely(!tables[level] || bad))
			return fault(w, error | PF_P | PF_RSVD);
		if (f->narrow)
			entry = widen(ctx->pse, level, entry);
		rights &= gpt_entry_access(entry);
		if (level == 1 || (entry & PTE_PS))
			break;
		table = (entry & PTE_ADDR_MASK) >> PAGE_SHIFT;
	}
	w->leaf_level = level;
	if (!rights_allow(ctx, rights, access))
		error |= PF_P;
	if (f->keys && ctx->pke && (rights & ACC_U) && !access.fetch && key_violation(ctx, entry, access))
		error |= PF_P | PF_PK;
	if (error & PF_P)
		return fault(w, error);
	w->access = rights;
	w->gfn = gpt_entry_gfn(level, entry) |
		 ((gva >> PAGE_SHIFT) & (BIT(f->index_bits * (level - 1)) - 1));
	if (effects == GPT_SET_AD && set_accessed_dirty(f, w, tables, access.write) != GPT_OK)
		return GPT_RETRY;
	w->dirty = w->entry[level] & PTE_D;
	return GPT_OK;
}

/* SDM vol. 3 section 4.3: bits 31:12 of CR3 hold the page directory. */
static enum gpt_status walk_32(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			       enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_32, ctx, ctx->cr3 & BITS(31, 12), (u32)gva, access, effects, w);
}

static enum gpt_status walk_4l(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			       enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_4l, ctx, ctx->cr3 & PTE_ADDR_MASK, gva, access, effects, w);
}

static enum gpt_status walk_5l(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			       enum gpt_effects effects, struct gpt_walk *w)
{
	return walk_tables(&format_5l, ctx, ctx->cr3 & PTE_ADDR_MASK, gva, access, effects, w);
}

/* The four PDPTEs were validated when CR3 was loaded; they have no rights and no A bit. */
static enum gpt_status walk_pae(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
				enum gpt_effects effects, struct gpt_walk *w)
{
	u64 pdpte = ctx->pdpte[(gva >> 30) & 3];

	if (!(pdpte & PTE_P)) {
		w->top_level = w->last_level = 3;
		return fault(w, access_error_bits(ctx, ctx->nx, access));
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
		return walk_4l(ctx, gva, access, effects, walk);
	case GPT_5L:
		return walk_5l(ctx, gva, access, effects, walk);
	case GPT_PAE:
		return walk_pae(ctx, gva, access, effects, walk);
	case GPT_32:
		return walk_32(ctx, gva, access, effects, walk);
	case GPT_NONE:
		break;
	}
	return walk_none(gva, walk);
}
