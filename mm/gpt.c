/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest page-table walker (SDM vol. 3 chapter 4, APM vol. 2 chapter 5).
 *
 *   gva   | 9 bits | 9 bits | 9 bits | 9 bits |   12 bits   |
 *           level 4  level 3  level 2  level 1    offset
 *
 * Levels are numbered as by the shadow: 1 is the lowest table. What must hold:
 * presence is tested before reserved bits, level by level; rights are judged
 * once at the end, over all levels; A and D are written last, and only when the
 * access is allowed.
 *
 * Nearly all walks find nothing but present tables and a 4 KiB page. So a walk
 * first descends as if that were so, keeps the AND and the OR of the entries,
 * and tests them once at the end. Whatever does not pass is walked again, level
 * by level and to the letter, from the entries that were read.
 */
#include "mm/gpt.h"

#include "mm/gpt_format.h"

static const struct gpt_format format_32 = {
	.top_level = 2,
	.index_bits = 10,
	.leaf_levels = BIT(2),
	.narrow = true,
};
static const struct gpt_format format_pae = {
	.top_level = 2,
	.index_bits = 9,
	.leaf_levels = BIT(2),
	.pdptes = true,
};
static const struct gpt_format format_4l = {
	.top_level = 4,
	.index_bits = 9,
	.leaf_levels = BIT(2) | BIT(3),
	.keys = true,
};
static const struct gpt_format format_5l = {
	.top_level = 5,
	.index_bits = 9,
	.leaf_levels = BIT(2) | BIT(3),
	.keys = true,
};

/* Bits that must be zero in every entry of a wide format. */
static ALWAYS_INLINE u64 reserved_always(const struct gpt_format *f, const struct gpt_context *ctx, bool nx)
{
	u64 mask = PTE_ADDR_MASK >> ctx->phys_bits << ctx->phys_bits;

	if (!nx)
		mask |= PTE_NX;
	if (f->pdptes)
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

static ALWAYS_INLINE u64 reserved_bits(const struct gpt_format *f, const struct gpt_context *ctx, bool nx,
				       u32 level, u64 entry)
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
	case GPT_32: return &format_32;
	case GPT_PAE: return &format_pae;
	case GPT_5L: return &format_5l;
	default: return &format_4l;
	}
}

u64 gpt_entry_reserved_exact(const struct gpt_context *ctx, enum gpt_mode mode, bool nx, u32 level, u64 entry)
{
	const struct gpt_format *f = format_of(mode);

	return f->narrow ? 0 : reserved_bits(f, ctx, nx, level, entry);
}

static ALWAYS_INLINE u64 load_entry(const struct gpt_format *f, const u64 *table, u32 index)
{
	if (unlikely(!table))
		return f->narrow ? ~0u : ~0ull;
	if (f->narrow)
		return __atomic_load_n((const u32 *)table + index, __ATOMIC_RELAXED);
	return __atomic_load_n(&table[index], __ATOMIC_RELAXED);
}

/* Hidden and trapped frames are closed. */
static NOINLINE void *foreign_table(const struct gpt_context *ctx, u32 slot, gfn_t gfn)
{
	struct region_hit hit;

	region_lookup(ctx->regions, gfn, &hit);
	if (hit.kind != REGION_MMIO || !ctx->regions->map_foreign || gfn >> (ctx->phys_bits - PAGE_SHIFT))
		return NULL;
	return ctx->regions->map_foreign(slot, hit.pfn);
}

u64 *gpt_table(const struct gpt_context *ctx, gfn_t table)
{
	u64 *at = table_pointer(ctx->regions, table);

	return likely(at) ? at : foreign_table(ctx, GPT_SLOT_SINGLE, table);
}

u64 gpt_read_entry(const struct gpt_context *ctx, gfn_t table, u32 index)
{
	return load_entry(format_of(ctx->mode), gpt_table(ctx, table), index);
}

/* What PKRU (PKRS for supervisor pages) says of a leaf's key. */
#define KEY_AD BIT(0) /* no data access */
#define KEY_WD BIT(1) /* no write */
static u32 key_bits(const struct gpt_context *ctx, bool user_page, u64 leaf)
{
	u32 all = ctx->pkrs;

	if (user_page)
		all = ctx->read_pkru ? ctx->read_pkru() : ctx->pkru;
	return all >> (2 * ((leaf >> PTE_KEY_SHIFT) & 0xf));
}

/* Protection keys of user and supervisor pages, SDM vol. 3 section 4.6.2. */
static NOINLINE bool key_forbids(const struct gpt_context *ctx, u64 leaf, u32 rights, struct gpt_access access)
{
	bool user_page = rights & ACC_U;
	u32 bits;

	if (access.fetch || !(user_page ? ctx->pke : ctx->pks))
		return false;
	bits = key_bits(ctx, user_page, leaf);
	return (bits & KEY_AD) || ((bits & KEY_WD) && access.write && (access.user || ctx->wp));
}

bool gpt_key_needs_wp(const struct gpt_context *ctx, u64 leaf)
{
	return ctx->pke && !ctx->wp && ctx->mode >= GPT_4L && (key_bits(ctx, true, leaf) & KEY_WD);
}

/*
 * SDM vol. 3 section 4.6.1 as a table: for each access and control state, a bit
 * for each value of ACC_*. The index is four times the word of gpt_access (its
 * bit 0 is clear) plus the state, WP, SMEP and SMAP as in gpt_context.controls.
 */
#define WITH_W 0xaau /* the values that have ACC_W, and so on */
#define WITH_U 0xccu
#define WITH_X 0xf0u
#define RIGHTS_ALL 0xffu
#define HAS_WP(i) ((i)&1)
#define HAS_SMEP(i) ((i)&2)
#define HAS_SMAP(i) ((i)&4)
#define IS(word, i) ((i) >> 2 & (word))
#define IS_USER(i) IS(PF_U, i)
#define AC_COUNTS(i) (IS(GPT_ACCESS_AC, i) && !IS(GPT_ACCESS_IMPLICIT, i))

#define FETCH_RIGHTS(i) (WITH_X & (!IS_USER(i) && HAS_SMEP(i) ? ~WITH_U : RIGHTS_ALL))
#define DATA_RIGHTS(i) \
	((!IS_USER(i) && HAS_SMAP(i) && !AC_COUNTS(i) ? ~WITH_U : RIGHTS_ALL) & \
	 (IS(PF_W, i) && (IS_USER(i) || HAS_WP(i)) ? WITH_W : RIGHTS_ALL))
#define ALLOWED(i) \
	(RIGHTS_ALL & (IS_USER(i) ? WITH_U : RIGHTS_ALL) & (IS(PF_ID, i) ? FETCH_RIGHTS(i) : DATA_RIGHTS(i)))

#define FOUR(i) ALLOWED(i), ALLOWED((i) + 1), ALLOWED((i) + 2), ALLOWED((i) + 3)
#define SIXTEEN(i) FOUR(i), FOUR((i) + 4), FOUR((i) + 8), FOUR((i) + 12)
#define SIXTY_FOUR(i) SIXTEEN(i), SIXTEEN((i) + 16), SIXTEEN((i) + 32), SIXTEEN((i) + 48)

const u8 gpt_allowed[GPT_ACCESS_END << 2] = {
	SIXTY_FOUR(0),   SIXTY_FOUR(64),  SIXTY_FOUR(128), SIXTY_FOUR(192),
	SIXTY_FOUR(256), SIXTY_FOUR(320), SIXTY_FOUR(384), SIXTY_FOUR(448),
};

/* Sets want in the entry, in its own size, if it still reads as expected; false if it changed. */
static bool mark_entry(bool narrow, void *slot, u64 *expected, u64 want)
{
	u64 old = *expected, updated = old | want;
	u32 old32 = (u32)old;

	*expected = updated;
	if (narrow)
		return __atomic_compare_exchange_n((u32 *)slot, &old32, (u32)updated, false, __ATOMIC_ACQ_REL,
						   __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((u64 *)slot, &old, updated, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

bool gpt_mark_path(bool narrow, struct gpt_step *steps, u32 top, u32 leaf, struct gpt_marks *marks)
{
	for (u32 level = top; level >= leaf; level--) {
		u64 want = marks->accessed | (level == leaf ? marks->dirty : 0);
		u64 missing = want & ~steps[level].entry;

		if (!missing)
			continue;
		if (!mark_entry(narrow, steps[level].slot, &steps[level].entry, want))
			return false;
		marks->a_sets += !!(missing & marks->accessed);
		marks->d_sets += !!(missing & marks->dirty);
	}
	return true;
}

static NOINLINE enum gpt_status set_accessed_dirty(bool narrow, enum gpt_effects effects, struct gpt_access access,
						   struct gpt_walk *w)
{
	struct gpt_marks marks = {.accessed = PTE_A, .dirty = access.write ? PTE_D : 0};
	bool done;

	if (effects != GPT_SET_AD)
		return GPT_OK;
	w->dirty |= access.write;
	done = gpt_mark_path(narrow, w->step, w->top_level, w->leaf_level, &marks);
	w->a_sets = marks.a_sets;
	w->d_sets = marks.d_sets;
	return done ? GPT_OK : GPT_RETRY;
}

static NOINLINE bool ram_unchanged(const struct gpt_context *ctx, const struct gpt_walk *w)
{
	const struct gpt_step *step = w->step;

	for (u32 level = w->leaf_level; level && level <= w->top_level; level++) {
		const u32 *narrow = step[level].slot;

		if (!table_pointer(ctx->regions, gpt_walk_table(w, level) >> PAGE_SHIFT))
			continue;
		if (ctx->mode == GPT_32 ? __atomic_load_n(narrow, __ATOMIC_RELAXED) != step[level].entry :
					  !!gpt_step_change(&step[level]))
			return false;
	}
	return true;
}

bool gpt_walk_unchanged(const struct gpt_context *ctx, const struct gpt_walk *w)
{
	const struct gpt_step *step = w->step;

	if (likely(w->leaf_level == 1 && w->top_level == 4) &&
	    likely(!(gpt_step_change(step + 1) | gpt_step_change(step + 2) | gpt_step_change(step + 3) |
		     gpt_step_change(step + 4))))
		return true;
	return ram_unchanged(ctx, w);
}

/*
 * Ends a walk that cannot succeed (the usual #PF never comes here: fast_refuse() in
 * mm/shadow/fault.c); bits: what the tables add to the error code.
 */
static NOINLINE enum gpt_status fault(const struct gpt_context *ctx, u32 level, u32 bits, struct gpt_access access,
				      struct gpt_walk *w)
{
	bool execute_bit = (ctx->nx && ctx->mode != GPT_32) || ctx->smep;

	_Static_assert(sizeof(struct gpt_access) == 4, "one word, with the bits of the error code");
	w->last_level = (u8)level;
	w->error = bits | (access.word & (PF_W | PF_U | (execute_bit ? PF_ID : 0)));
	return GPT_FAULT;
}

static ALWAYS_INLINE enum verdict judge_entry(const struct gpt_format *f, const struct gpt_context *ctx, u32 level,
					      u64 entry)
{
	if (!(entry & PTE_P))
		return ABSENT;
	if (f->narrow ? reserved_bits_narrow(ctx, level, entry) : reserved_bits(f, ctx, ctx->nx, level, entry))
		return RESERVED;
	return level == 1 || ((entry & PTE_PS) && (!f->narrow || ctx->pse)) ? LEAF : GO_ON;
}

/* What a walk is asked for, and where its result goes. */
struct request {
	const struct gpt_context *ctx;
	gva_t gva;
	struct gpt_access access;
	enum gpt_effects effects;
	struct gpt_walk *walk;
};

/* Judges the access, sets A and D. entry: the leaf, widened; all: AND of the entries; rights: ACC_* over all levels. */
static ALWAYS_INLINE enum gpt_status finish(const struct gpt_format *f, const struct request *r, u32 level,
					    u64 entry, u64 all, u32 rights)
{
	const struct gpt_context *ctx = r->ctx;
	struct gpt_walk *w = r->walk;

	w->top_level = (u8)f->top_level;
	w->leaf_level = (u8)level;
	w->a_sets = w->d_sets = 0;
	w->access = rights;
	if (f->keys && unlikely(ctx->controls & GPT_CONTROLS_KEYS) && key_forbids(ctx, entry, rights, r->access))
		return fault(ctx, level, PF_P | PF_PK, r->access, w);
	if (unlikely(!gpt_rights_allow(ctx, rights, r->access)))
		return fault(ctx, level, PF_P, r->access, w);
	w->gfn = gpt_entry_gfn(level, entry) | ((r->gva >> PAGE_SHIFT) & (BIT(f->index_bits * (level - 1)) - 1));
	w->dirty = entry & PTE_D;
	if (unlikely(!(all & PTE_A)))
		return set_accessed_dirty(f->narrow, r->effects, r->access, w);
	if (r->access.write && unlikely(!(entry & PTE_D)))
		return set_accessed_dirty(f->narrow, r->effects, r->access, w);
	return GPT_OK;
}

/* Where the tables in memory begin; 0 in a PAE guest's PDPTE: nowhere. */
static ALWAYS_INLINE u64 first_table(const struct gpt_format *f, const struct gpt_context *ctx, gva_t gva)
{
	if (f->narrow)
		return ctx->cr3 & BITS(31, 12); /* SDM vol. 3 section 4.3 */
	return (f->pdptes ? ctx->pdpte[(gva >> 30) & 3] : ctx->cr3) & PTE_ADDR_MASK;
}

/* The entry of a foreign table: one access of its size. Left closed where that cannot be. */
static NOINLINE void read_foreign(const struct gpt_format *f, const struct gpt_context *ctx, u32 level, u64 table,
				  gva_t gva, struct gpt_step *step)
{
	u8 *at = foreign_table(ctx, level, table >> PAGE_SHIFT);

	if (!at)
		return;
	step->slot = at + entry_offset(f, level, gva);
	step->entry = load_slot(f, step->slot);
}

/* A walk that is not ordinary, level by level; entries above level unread were read already. */
static ALWAYS_INLINE enum gpt_status walk_slow(const struct gpt_format *f, const struct request *r, u32 unread)
{
	const struct gpt_context *ctx = r->ctx;
	struct gpt_walk *w = r->walk;
	u64 table = first_table(f, ctx, r->gva), all = ~0ull, entry;
	u32 level;

	w->top_level = (u8)f->top_level;
	for (level = f->top_level;; level--) {
		enum verdict verdict;

		if (level <= unread)
			read_step(f, ctx->regions, level, table, r->gva, &w->step[level]);
		if (!w->step[level].slot)
			read_foreign(f, ctx, level, table, r->gva, &w->step[level]);
		entry = w->step[level].entry;
		if (!w->step[level].slot)
			return fault(ctx, level, PF_P | PF_RSVD, r->access, w);
		verdict = judge_entry(f, ctx, level, entry);
		if (verdict == ABSENT || verdict == RESERVED)
			return fault(ctx, level, verdict == ABSENT ? 0 : PF_P | PF_RSVD, r->access, w);
		if (f->narrow)
			entry = widen(ctx->pse, level, entry);
		all &= entry ^ PTE_NX;
		if (verdict == LEAF)
			break;
		table = entry & PTE_ADDR_MASK;
	}
	return finish(f, r, level, entry, all, gpt_access_of(all));
}

/* The most frequent fault of all, a page that is not there, needs no second look at the tables. */
static ALWAYS_INLINE bool only_leaf_absent(const struct gpt_format *f, const struct gpt_context *ctx,
					   const struct gpt_step *steps, const struct descent *d)
{
	u64 zero = PTE_PS | (f->narrow ? 0 : reserved_always(f, ctx, ctx->nx)), all = ~d->leaf;

#pragma GCC unroll 5
	for (u32 level = f->top_level; level > 1; level--)
		all &= steps[level].entry;
	return (all & PTE_P) && !(d->upper & zero);
}

/* Out of line, so by value: what is asked for stays in registers until then. */
typedef enum gpt_status slow_walk(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
				  enum gpt_effects effects, struct gpt_walk *w, u32 unread);

static ALWAYS_INLINE enum gpt_status leave_to(slow_walk *walk, const struct request *r, u32 unread)
{
	return walk(r->ctx, r->gva, r->access, r->effects, r->walk, unread);
}

/* anywhere: once more, with tables in any RAM; NULL: this is that walk. */
static ALWAYS_INLINE enum gpt_status walk_tables(const struct gpt_format *f, slow_walk *slow, slow_walk *anywhere,
						 const struct request *r)
{
	const struct gpt_context *ctx = r->ctx;
	struct gpt_walk *w = r->walk;
	u64 table = first_table(f, ctx, r->gva), any;
	struct descent d;

	/* The four PDPTEs were validated when CR3 was loaded; they have no rights and no A bit. */
	if (f->pdptes && !(ctx->pdpte[(r->gva >> 30) & 3] & PTE_P)) {
		w->top_level = 3;
		w->first_table = ctx->cr3 & BITS(31, 5); /* table 4-7: one that is in no page of its own */
		w->step[3] = (struct gpt_step){.entry = ctx->pdpte[(r->gva >> 30) & 3]};
		return fault(ctx, 3, 0, r->access, w);
	}
	w->first_table = table;
	descend(f, ctx->regions, table, r->gva, !anywhere, w->step, &d);
	if (unlikely(d.unread))
		return leave_to(anywhere ? anywhere : slow, r, d.unread);
	if (unlikely(!(d.all & PTE_P) || (d.upper & PTE_PS))) {
		if (!only_leaf_absent(f, ctx, w->step, &d))
			return leave_to(slow, r, 0);
		w->top_level = (u8)f->top_level;
		return fault(ctx, 1, 0, r->access, w);
	}
	any = d.upper | d.leaf;
	if (!f->narrow && unlikely(any & reserved_always(f, ctx, ctx->nx)))
		return leave_to(slow, r, 0);
	return finish(f, r, 1, d.leaf, d.all, gpt_access_of_all(d.all, any));
}

#define REQUEST (&(struct request){.ctx = ctx, .gva = gva, .access = access, .effects = effects, .walk = w})

/* Each format's walk and its slow paths, made of the same two bodies. */
#define FORMAT_WALKS(name) \
	static NOINLINE enum gpt_status slow_##name(const struct gpt_context *ctx, gva_t gva, \
						    struct gpt_access access, enum gpt_effects effects, \
						    struct gpt_walk *w, u32 unread) \
	{ \
		return walk_slow(&format_##name, REQUEST, unread); \
	} \
	static NOINLINE enum gpt_status anywhere_##name(const struct gpt_context *ctx, gva_t gva, \
							struct gpt_access access, enum gpt_effects effects, \
							struct gpt_walk *w, u32 unread) \
	{ \
		return walk_tables(&format_##name, slow_##name, NULL, REQUEST); \
	} \
	static NOINLINE enum gpt_status walk_##name(const struct gpt_context *ctx, gva_t gva, \
						    struct gpt_access access, enum gpt_effects effects, \
						    struct gpt_walk *w) \
	{ \
		return walk_tables(&format_##name, slow_##name, anywhere_##name, REQUEST); \
	}

FORMAT_WALKS(32)
FORMAT_WALKS(pae)
FORMAT_WALKS(4l)
FORMAT_WALKS(5l)

/* Paging off: linear addresses are physical addresses of 32 bits (SDM vol. 3 section 4.1.1). */
static enum gpt_status walk_none(gva_t gva, struct gpt_walk *w)
{
	w->gfn = (gva & 0xffffffffu) >> PAGE_SHIFT;
	w->top_level = w->leaf_level = 0;
	w->a_sets = w->d_sets = 0;
	w->access = ACC_ALL;
	w->dirty = true;
	return GPT_OK;
}

enum gpt_status gpt_walk(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			 enum gpt_effects effects, struct gpt_walk *walk)
{
	switch ((enum gpt_mode)ctx->mode) {
	case GPT_4L: return walk_4l(ctx, gva, access, effects, walk);
	case GPT_5L: return walk_5l(ctx, gva, access, effects, walk);
	case GPT_PAE: return walk_pae(ctx, gva, access, effects, walk);
	case GPT_32: return walk_32(ctx, gva, access, effects, walk);
	case GPT_NONE: break;
	}
	return walk_none(gva, walk);
}
