/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest page-table walker. Formats are const descriptors (mm/gpt_format.h);
 * everything after the walk works on the neutral struct gpt_walk.
 */
#ifndef MM_GPT_H
#define MM_GPT_H

#include "lib/types.h"
#include "lib/x86.h"
#include "mm/gpt_step.h"
#include "mm/region.h"

enum gpt_mode { GPT_NONE /* paging off */, GPT_32, GPT_PAE, GPT_4L, GPT_5L };

/* Effective rights of a translation or a shadow page. */
#define ACC_W BIT(0)
#define ACC_U BIT(1)
#define ACC_X BIT(2)
#define ACC_ALL (ACC_W | ACC_U | ACC_X)

#define GPT_LEVELS_MAX 5

/*
 * A foreign table lies in memory that the region map has as REGION_MMIO: memory added later, a device's, a ROM.
 * It is mapped while it is looked at (region_map.map_foreign), in one slot for each level of a walk and one for
 * everything else.
 */
#define GPT_SLOT_SINGLE 0u
#define GPT_SLOTS (GPT_LEVELS_MAX + 1)

/* The control state a walk depends on; never part of a format. */
struct gpt_context {
	const struct region_map *regions;
	u32 mode;      /* enum gpt_mode */
	u32 phys_bits; /* MAXPHYADDR that the guest sees */
	u64 cr3;       /* as the guest wrote it */
	u64 pdpte[4];  /* PAE: loaded at CR3 writes (SDM vol. 3 section 4.4.1) */
	union {
		u32 controls;
		struct {
			bool wp : 1, smep : 1, smap : 1; /* bits 2:0 choose the table of rights */
			bool pke : 1, pks : 1;
			bool nx : 1, pse : 1, pages_1g : 1;
		};
	};
	u32 pkru, pkrs;
	u32 (*read_pkru)(void); /* for a PKRU that stays in the CPU; NULL: it is pkru */
};
#define GPT_CONTROLS_RIGHTS BITS(2, 0)
#define GPT_CONTROLS_KEYS BITS(4, 3)

/* One access, as the hardware reports it: W, U and I/D stand where the #PF error code has them. */
struct gpt_access {
	union {
		u32 word;
		struct {
			u32 : 1, write : 1, user : 1, : 1, fetch : 1;
			u32 implicit : 1; /* supervisor access to a descriptor table or TSS: AC is ignored */
			u32 ac : 1;       /* RFLAGS.AC */
		};
	};
};
#define GPT_ACCESS_IMPLICIT BIT(5)
#define GPT_ACCESS_AC BIT(6)
#define GPT_ACCESS_END BIT(7) /* no bit from here on is set, nor bit 0 */

enum gpt_status {
	GPT_OK,
	GPT_FAULT, /* give #PF to the guest; walk.error */
	GPT_RETRY, /* an entry changed while it was being read or marked; walk again */
};

struct gpt_walk {
	/* GPT_OK */
	gfn_t gfn;  /* frame of the 4 KiB page that holds gva */
	u32 access; /* ACC_*: AND over all levels */
	/* GPT_FAULT */
	u32 error; /* the #PF error code */
	/* always */
	u8 top_level; /* level of the first entry read; 0: none */
	union {
		u8 last_level; /* the lowest level read */
		u8 leaf_level; /* GPT_OK: 1: 4 KiB, 2: 2 MiB (4 MiB for GPT_32), 3: 1 GiB; 0: paging off */
	};
	/* GPT_OK */
	u8 a_sets, d_sets; /* entries in which the walk set A, D */
	bool dirty;        /* D of the leaf, after the walk */
	/* always */
	u64 first_table;                          /* gpa of the table of top_level */
	struct gpt_step step[GPT_LEVELS_MAX + 1]; /* [level], from top_level down to last_level */
};

/* gpa of the table that the walk read at a level. */
static ALWAYS_INLINE u64 gpt_walk_table(const struct gpt_walk *walk, u32 level)
{
	return level < walk->top_level ? walk->step[level + 1].entry & PTE_ADDR_MASK : walk->first_table;
}

_Static_assert(PTE_W >> 1 == ACC_W && PTE_U >> 1 == ACC_U && PTE_NX >> 61 == ACC_X, "shifted together");

/* Rights in the AND of entries whose NX was turned over. W and U are bits 1 and 2 of an entry. */
static ALWAYS_INLINE u32 gpt_access_of(u64 all)
{
	return ((u32)(all >> 1) & (ACC_W | ACC_U)) | ((u32)(all >> 61) & ACC_X);
}

/* The same from the AND and the OR of entries as they are. */
static ALWAYS_INLINE u32 gpt_access_of_all(u64 all, u64 any)
{
	return ((u32)(all >> 1) & (ACC_W | ACC_U)) | ((u32)(~any >> 61) & ACC_X);
}

/* Rights that the entries above a level leave: the role of its table. */
static ALWAYS_INLINE u32 gpt_access_above(const struct gpt_walk *walk, u32 level)
{
	u64 all = ~0ull, any = 0;

#pragma GCC unroll 4
	for (u32 above = level + 1; above <= GPT_LEVELS_MAX; above++) {
		if (above > walk->top_level)
			break;
		all &= walk->step[above].entry;
		any |= walk->step[above].entry;
	}
	return gpt_access_of_all(all, any);
}

/* What a walk may do to the guest's tables. */
enum gpt_effects { GPT_PEEK /* nothing is written */, GPT_SET_AD };

/*
 * Walks gva for one access (SDM vol. 3 sections 4.3 to 4.7). Takes no lock.
 * With GPT_SET_AD, A is set at every level and D in the leaf for a write, by
 * compare-exchange and only when the access is allowed.
 */
enum gpt_status gpt_walk(const struct gpt_context *ctx, gva_t gva, struct gpt_access access,
			 enum gpt_effects effects, struct gpt_walk *walk);

/*
 * SDM vol. 3 section 4.6.1, protection keys aside: may the access be made with these rights
 * (ACC_*, over all levels)? gpt_allowed: a bit for each value of ACC_*, see gpt.c.
 */
extern const u8 gpt_allowed[GPT_ACCESS_END << 2];
static ALWAYS_INLINE bool gpt_rights_allow(const struct gpt_context *ctx, u32 rights, struct gpt_access access)
{
	return gpt_allowed[(access.word << 2) + (ctx->controls & GPT_CONTROLS_RIGHTS)] >> rights & 1;
}

/* Bits in which a step's entry differs from what it reads now; entries of 8 bytes. */
static ALWAYS_INLINE u64 gpt_step_change(const struct gpt_step *step)
{
	return __atomic_load_n((const u64 *)step->slot, __ATOMIC_RELAXED) ^ step->entry;
}

/*
 * With CR0.WP clear, would this key stop the supervisor's writes to the user page
 * of leaf if WP were set, as it is while the guest runs?
 */
bool gpt_key_needs_wp(const struct gpt_context *ctx, u64 leaf);

/* Reads one guest entry; all-ones where the table is closed. */
u64 gpt_read_entry(const struct gpt_context *ctx, gfn_t table, u32 index);

/*
 * True if every entry that a successful walk used still reads the same. Foreign ones may differ: a device is free
 * to, nothing relies on it (S16), and a register that counts must not hold the guest up for ever.
 */
bool gpt_walk_unchanged(const struct gpt_context *ctx, const struct gpt_walk *walk);

/*
 * What one entry of a table at some level says on its own, for those who derive
 * shadow entries without a walk. Formats with 8-byte entries.
 */
static ALWAYS_INLINE bool gpt_entry_is_leaf(u32 level, u64 entry)
{
	return level == 1 || ((level == 2 || level == 3) && (entry & PTE_PS));
}

/* ACC_* of this entry alone. */
static ALWAYS_INLINE u32 gpt_entry_access(u64 entry)
{
	return gpt_access_of_all(entry, entry);
}

/* Frame of the table or of the leaf's first page. */
static ALWAYS_INLINE gfn_t gpt_entry_gfn(u32 level, u64 entry)
{
	u64 frame = entry & PTE_ADDR_MASK;

	if (gpt_entry_is_leaf(level, entry))
		frame &= ~(BIT(PAGE_SHIFT + 9 * (level - 1)) - 1);
	return frame >> PAGE_SHIFT;
}

/* Bits of entry that must be zero but are not (P is assumed). nx: EFER.NXE. */
u64 gpt_entry_reserved_exact(const struct gpt_context *ctx, enum gpt_mode mode, bool nx, u32 level, u64 entry);
static ALWAYS_INLINE u64 gpt_entry_reserved(const struct gpt_context *ctx, enum gpt_mode mode, bool nx, u32 level,
					    u64 entry)
{
	u64 doubtful = BITS(62, 52) | (PTE_ADDR_MASK >> ctx->phys_bits << ctx->phys_bits) | (nx ? 0 : PTE_NX) |
		       (level > 1 ? PTE_PS : 0);

	return likely(!(entry & doubtful)) ? 0 : gpt_entry_reserved_exact(ctx, mode, nx, level, entry);
}
/*
 * A 4-byte entry of a 32-bit guest as the 8-byte entry that says the same, 0 if
 * it has reserved bits. A leaf of 4 MiB is two of 2 MiB: upper_half takes the
 * second one. pse: CR4.PSE.
 */
u64 gpt_widen_entry(const struct gpt_context *ctx, bool pse, u32 level, u32 entry, bool upper_half);
/* The entries of a table; one that is foreign until the next such call. NULL where the frame is hidden or trapped. */
u64 *gpt_table(const struct gpt_context *ctx, gfn_t table);

#endif
