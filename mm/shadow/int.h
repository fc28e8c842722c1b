/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine's own structures, shared by the files here and by nobody
 * else (tests aside). docs/shadow-paging.md has the picture.
 *
 * The pool, one contiguous hidden range:
 *
 *   | struct shadow | mmus | frame words | block words | page records | pages ... |
 *
 * A shadow page is named by its number in the pool (0 is never used), an entry
 * of it by entry_id = page << 9 | index, so 32-bit words serve as references.
 */
#ifndef MM_SHADOW_INT_H
#define MM_SHADOW_INT_H

#include "lib/bits.h"
#include "lib/log.h"
#include "lib/spinlock.h"
#include "lib/x86.h"
#include "mm/gpt.h"
#include "mm/phys.h"
#include "mm/shadow.h"

#define ENTRIES 512u
#define INDEX_BITS 9
#define SHADOW_MAX_MMUS 1u       /* several CPUs are another issue; everything but this is per mmu */

/* --- shadow entries ------------------------------------------------------ */
/* Software bits in positions the hardware ignores (SDM vol. 3 table 4-19). */
#define SPTE_RMAP BIT(10)        /* writable leaf on a RAM frame: it is in that frame's list */
/* Links to lower tables carry all rights: rights live in the leaf (S4). */
#define SPTE_LINK (PTE_P | PTE_W | PTE_U | PTE_A)
#define SPTE_LINK_PDPTE PTE_P

/* --- roles ---------------------------------------------------------------- */
/* Every bit that changes what is made of the same guest entry (S3). */
union role {
	u32 word;
	struct {
		u32 level : 3;       /* of the table: 1..5 */
		u32 direct : 1;      /* no guest table behind it: a splintered leaf, or paging off */
		u32 access : 3;      /* ACC_*: rights of the path above; direct: of every entry */
		u32 mode : 3;        /* enum gpt_mode of the guest table */
		u32 nx : 1;          /* EFER.NXE */
		u32 wp : 1;          /* CR0.WP */
		u32 smep_no_wp : 1;  /* CR4.SMEP and not CR0.WP */
		u32 smap_no_wp : 1;  /* CR4.SMAP and not CR0.WP */
		u32 memtype : 3;     /* direct: enum memtype of every entry */
		u32 key : 4;         /* direct: protection key of every entry */
		u32 quadrant : 2;    /* 32-bit guests: which part of the guest's table this page shadows */
		u32 pse : 1;         /* 32-bit guests: CR4.PSE */
	};
};
_Static_assert(sizeof(union role) == 4, "the role is compared as one word");

/* --- lists of shadow entries ------------------------------------------------
 * A word is 0 (empty), an entry_id, or LIST_CHAIN | number of a node. The two
 * highest bits belong to the owner of the word.
 */
#define LIST_CHAIN BIT(29)
#define LIST_VALUE BITS(29, 0)
#define LIST_NODE_ENTRIES 6u
#define LIST_MAX 1024u           /* longer lists evict a member: bounded work for the guest's worst (S14) */
#define NODES_PER_PAGE 128u

struct list_node {
	u32 next;                /* number of the next node, 0: none */
	u16 total;               /* first node: members of the list */
	u16 used;                /* members in this node */
	u32 entry[LIST_NODE_ENTRIES];
};
_Static_assert(sizeof(struct list_node) * NODES_PER_PAGE == PAGE_SIZE, "nodes fill a page");

/* --- frames of guest RAM ---------------------------------------------------- */
/* One word a frame: the list of writable 4 KiB leaves, and two bits. */
#define FRAME_TRACKED (1u << 31) /* some shadow page shadows this frame as a table */
#define FRAME_UNSYNC (1u << 30)  /* tracked, and the guest may write to it */

/* One a 2 MiB block of guest-physical space: large leaves over it, tables in it. */
struct block {
	u32 leaves;              /* list of writable 2 MiB leaves */
	u32 tracked;             /* frames in it that are tracked */
};

/* --- shadow pages ------------------------------------------------------------ */
enum page_state { PAGE_FREE, PAGE_TABLE, PAGE_NODES };

#define PAGE_UNSYNC BIT(0)       /* its guest table may have been written since the last sync */
#define PAGE_USED BIT(1)         /* second chance in reclaim */
#define PAGE_RAW BIT(2)          /* free page that was never a table: not known to be zero */
#define PAGE_TYPED BIT(4)        /* it had a 4 KiB leaf that was not write-back */
#define PAGE_LOWER BIT(3)        /* its lower half had a link once */

/*
 * Writes to so many tables of an address space since the last sync, or to the
 * lowest one, look like fork, exit or a large munmap: the rest of its tables is
 * released at once (at most BULK_RELEASE_MAX of them, and BULK_ENTRIES_MAX entries are
 * looked at: tables that share tables have more paths than anyone can walk, S14).
 */
#define BULK_RELEASE_AFTER 2u
#define BULK_RELEASE_MAX 64u
#define BULK_ENTRIES_MAX 8192u

/*
 * After so many INVLPGs that found all upper tables as they were, everything is
 * protected again: else a guest that never loads CR3 pays at each INVLPG.
 */
#define QUIET_REFRESHES_MAX 8u

/* So many tables may be parked together. */
#define PARKED_MAX 3u

/* How often a table may be released for writing with no use in between. */
#define IDLE_WRITES_MAX 3

struct shadow_page {
	gfn_t gfn;               /* frame of the guest table; direct: first frame it covers */
	union role role;
	u32 hash_next;           /* next in the bucket, or next free page */
	u32 parents;             /* list of entries that link to this page */
	u32 unsync_next, unsync_prev;
	u16 live;                /* present entries */
	u8 state;                /* enum page_state */
	u8 flags;
	u8 idle_writes;
	u8 pins;                 /* roots in use */
	u16 tag;                 /* roots: TLB tag, 0: none */
	u32 home;                /* entry through which the guest last wrote to the table, 0: unknown */
	u64 live_map[ENTRIES / 64]; /* which entries are present */
	u32 live_words;          /* BIT(i): live_map[i] is not 0 */
	u8 unused[20];           /* a power of two is found by a shift */
};
_Static_assert(sizeof(struct shadow_page) == 128, "see unused");

struct shadow {
	bool flush_due;          /* some entry went or shrank: flush all tags before the next entry */
	struct spinlock lock;
	const struct region_map *regions;
	u64 *pool;               /* page 0 of the pool pages */
	hpa_t pool_hpa;
	u32 page_count;          /* pages are numbered 1 .. page_count - 1 */
	u32 free_head, free_count;
	u32 clock_hand;
	u32 node_free, node_pages;
	u32 victim_turn;         /* where the next full list gives up a member */
	u64 evictions;           /* members that lists gave up */
	bool invlpg_free;        /* INVLPG does not exit: nothing is unsync but what is parked (S15) */
	u32 parked_count;        /* pages of level 1 that cow.c took out */
	struct { u32 page, link; } parked[PARKED_MAX]; /* link: the entry that linked to it */
	gva_t parked_for;        /* the address that the guest was refused to write to; parked[0] is its page */
	u32 unsync_leaf, unsync_upper; /* heads of the lists of unsync tables, by page number */
	u32 unsync_count;        /* pages in both lists */
	u64 link_changes;        /* links made or dropped, from 1 on */
	u32 release_top;         /* the address space whose tables were last written to: its top page */
	u32 releases;            /* tables of it released by a write since the last sync */
	u32 quiet_refreshes;     /* INVLPGs that re-derived upper tables for nothing, one after another */
	bool identity;           /* gfn == pfn for all RAM */
	bool narrow;             /* the shadows of tables are of a 32-bit guest's */
	bool pages_1g;
	u32 host_phys_bits;
	u32 tags, next_tag;
	u32 *tag_owner;          /* [tag]: page number of the root that has it, 0: none */
	hpa_t low_page, ones_page;
	u32 *frames;             /* [frame index] */
	struct block *blocks;    /* [gfn >> 9] */
	u64 block_count;
	u32 *giga;               /* [gfn >> 18]: list of writable 1 GiB leaves */
	u64 giga_count;
	struct shadow_page *pages;
	u32 *hash;
	u32 hash_mask;
	struct shadow_mmu *mmus[SHADOW_MAX_MMUS];
	u32 mmu_count;
	u64 stats[SHADOW_STAT_COUNT];
};

/*
 * Where a page of code lies. The leaf still reads the same and no link changed: the
 * address still leads there, from any root with the same entry for it. So roots that
 * share their upper half share the hints of its code.
 */
#define CODE_HINTS 64u
struct code_hint {
	gva_t page;              /* address >> 12 */
	u64 links;               /* s->link_changes then */
	u64 top;                 /* the root's entry for the address then */
	const u64 *leaf;
	u64 value;               /* of *leaf then */
	const u8 *at;            /* the page's first byte */
	u64 unused[2];           /* a power of two is found by a shift */
};

/*
 * How a walk of a 2 MiB range went, guest's tables and ours: 4 levels, to a page with
 * plain leaves. The guest's upper entries read the same: only the leaf has to be read.
 */
#define PATH_HINTS 64u
struct path_hint {
	u64 key;                 /* gva >> 21, number of the root */
	u64 links;               /* s->link_changes when our links were last seen to lead there */
	u32 page;                /* of level 1 */
	bool alone;              /* no other path leads there */
	struct shadow_page *record; /* of page */
	u64 *sptes;              /* of page */
	u64 *table;              /* the guest's table of level 1 */
	struct gpt_step upper[3]; /* levels 2 to 4 */
	u32 next;                /* entry behind those that the last fault installed */
	u32 refused;             /* entry behind the last one that the guest was refused to write through */
	u32 refused_row;         /* so many of them in a row */
	u32 park_pause;          /* so many refused writes without parking, since the last one was not mended */
	u32 unused[4];           /* a power of two is found by a shift */
};

#define ROOT_HINTS 64u
static ALWAYS_INLINE u32 root_hint(gfn_t gfn) { return (u32)(gfn ^ gfn >> 6) % ROOT_HINTS; }

struct shadow_mmu {
	struct shadow *s;
	bool entry_due;          /* root and tag may not be those that the CPU was told */
	const struct shadow_ops *ops;
	void *cpu;
	struct gpt_context gpt;
	struct shadow_paging paging;
	union role base_role;    /* the bits of the role that control state decides */
	u32 root_level;          /* 4 or 5; 3: PAE format, four pages of level 2 */
	u32 top_shift;           /* where an address has its index into a root of 4 or 5 levels */
	u32 root[4];             /* page numbers, pinned; [0] alone unless PAE; 0: to be made */
	bool plain;              /* guest frames are host frames, and PAT entry 0 is write-back */
	u32 plain_role;          /* of level 1, if such pages have plain leaves now, else 0 */
	u32 root_role;           /* of a root of 4 or 5 levels */
	u32 root_hints[ROOT_HINTS]; /* [frame of CR3]: the root that was last made of it */
	u32 last_root;           /* the last page that was made a root; it may have been dropped since */
	u32 tag;
	/* the last fault that needed no change, to tell implicit accesses (S9) */
	gva_t last_gva;
	u64 last_token;
	struct path_hint hints[PATH_HINTS];
	struct code_hint code[CODE_HINTS];
};

_Static_assert(offsetof(struct shadow, flush_due) == offsetof(struct shadow_head, flush_due), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, s) == offsetof(struct shadow_mmu_head, shadow), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, entry_due) == offsetof(struct shadow_mmu_head, entry_due), "shadow.h");

#define STAT(s, name) ((s)->stats[SHADOW_STAT_##name]++)

/* --- names for parts ---------------------------------------------------------- */
static inline u64 *page_table(struct shadow *s, u32 page)
{
	return s->pool + (u64)page * ENTRIES;
}

static inline hpa_t page_hpa(const struct shadow *s, u32 page)
{
	return hpa(s->pool_hpa.v + ((u64)page << PAGE_SHIFT));
}

static inline u32 page_of_link(const struct shadow *s, u64 spte)
{
	return (u32)(((spte & PTE_ADDR_MASK) - s->pool_hpa.v) >> PAGE_SHIFT);
}

static inline u32 entry_id(u32 page, u32 index) { return page << INDEX_BITS | index; }
static inline u32 entry_page(u32 id) { return id >> INDEX_BITS; }
static inline u64 *entry_pointer(struct shadow *s, u32 id) { return s->pool + id; }

static inline bool spte_is_leaf(u32 level, u64 spte) { return level == 1 || (spte & PTE_PS); }
/* First host frame of a leaf; in a large one the low address bits hold PAT and zeros. */
static inline pfn_t spte_pfn(u32 level, u64 spte)
{
	return (spte & PTE_ADDR_MASK & ~(BIT(PAGE_SHIFT + INDEX_BITS * (level - 1)) - 1)) >> PAGE_SHIFT;
}
static inline u64 level_frames(u32 level) { return 1ull << (INDEX_BITS * (level - 1)); }
static inline u32 level_index(u32 level, gva_t gva)
{
	return (gva >> (PAGE_SHIFT + INDEX_BITS * (level - 1))) & (ENTRIES - 1);
}

static inline void live_set(struct shadow_page *sp, u32 index)
{
	sp->live++;
	sp->live_map[index / 64] |= BIT(index % 64);
	sp->live_words |= 1u << index / 64;
}

static inline void live_clear(struct shadow_page *sp, u32 index)
{
	sp->live--;
	sp->live_map[index / 64] &= ~BIT(index % 64);
	if (!sp->live_map[index / 64])
		sp->live_words &= ~(1u << index / 64);
}

/* For each present entry of a page; the body may drop it. Declares index. */
#define for_each_live(sp, index) \
	for (u32 words_ = (sp)->live_words, word_; words_ && (word_ = bit_lowest(words_), true); words_ &= words_ - 1) \
		for (u64 bits_ = (sp)->live_map[word_]; bits_; bits_ &= bits_ - 1) \
			for (u32 index = word_ * 64 + bit_lowest(bits_), once_ = 1; once_; once_ = 0)

static inline void spte_write(u64 *spte, u64 value) { __atomic_store_n(spte, value, __ATOMIC_RELEASE); }

/* --- rmap.c -------------------------------------------------------------- */
void list_add(struct shadow *s, u32 *head, u32 id);
void list_remove(struct shadow *s, u32 *head, u32 id);
u32 list_first(const struct shadow *s, u32 head);      /* 0: empty */
bool list_has(const struct shadow *s, u32 head, u32 id);
u32 list_count(const struct shadow *s, u32 head);

/* --- page.c -------------------------------------------------------------- */
void pages_init(struct shadow *s);
/* Makes sure that so many pages are free, by reclaim. Before a fill or a root, never during a fill. */
void pages_reserve(struct shadow *s, u32 count);
#define PAGES_PER_FILL (GPT_LEVELS_MAX + 3)
u32 page_alloc_raw(struct shadow *s);                  /* 0: none */
/* Finds or makes the page of (gfn, role); *made tells which. Never fails after pages_reserve. */
u32 page_get(struct shadow *s, gfn_t gfn, union role role, bool *made);
u32 page_find(const struct shadow *s, gfn_t gfn, union role role);
u32 page_first_of_gfn(const struct shadow *s, gfn_t gfn); /* any table of this frame; then page_next_of_gfn */
u32 page_next_of_gfn(const struct shadow *s, u32 page, gfn_t gfn);
void page_zap(struct shadow *s, u32 page);
void page_link(struct shadow *s, u32 parent, u32 index, u32 child, bool pdpte);
void page_drop_entry(struct shadow *s, u32 page, u32 index);
void page_drop_id(struct shadow *s, u32 id);

/* --- track.c -------------------------------------------------------------- */
/* The frame word of a host frame that is guest RAM, or NULL. */
u32 *frame_of_pfn(struct shadow *s, pfn_t pfn, gfn_t *gfn);
u32 *frame_of_far_gfn(struct shadow *s, gfn_t gfn);
/* The frame word of a guest frame, NULL if it is not RAM. */
static ALWAYS_INLINE u32 *frame_of_gfn(struct shadow *s, gfn_t gfn)
{
	const struct region_main *m = &s->regions->main;
	u64 offset = (gfn << PAGE_SHIFT) - m->base_gpa;

	if (unlikely(offset >= m->bytes || gfn >> (64 - PAGE_SHIFT)))
		return frame_of_far_gfn(s, gfn);
	return &s->frames[m->frame_index + (offset >> PAGE_SHIFT)];
}
/* The list that a writable RAM leaf of this level on this host frame belongs to. */
u32 *leaf_list(struct shadow *s, u32 level, pfn_t pfn);
/* The first shadow page of a frame came, the last one went. */
u32 track_frame(struct shadow *s, gfn_t gfn); /* as frame_protect() */
void untrack_frame(struct shadow *s, gfn_t gfn);
/* Takes every write right to the frame away. */
/* Returns an entry that had the right, 0 if there was none. */
u32 frame_protect(struct shadow *s, gfn_t gfn, u32 *frame);
/*
 * Lets the guest write to a tracked frame until the next sync, through the entry
 * it last wrote through, or by a fault if that is gone.
 */
void frame_release(struct shadow_mmu *mmu, gfn_t gfn, u32 *frame);
/* The guest writes to a table: releases the others of its address space with it, where that pays. */
void release_others(struct shadow_mmu *mmu, u32 page);
static inline bool frame_is_protected(u32 frame) { return (frame & (FRAME_TRACKED | FRAME_UNSYNC)) == FRAME_TRACKED; }
/* The entry that may write to the frame again, now that nothing protects it. */
void frame_reopen(struct shadow_mmu *mmu, u32 home, gfn_t gfn);
void unsync_list_add(struct shadow *s, u32 page);
void unsync_list_remove(struct shadow *s, u32 page);

/* --- derive.c ---------------------------------------------------------------- */
/* What a leaf shall be made of. */
struct leaf {
	u32 level;               /* of the shadow entry */
	u32 access;              /* ACC_*; W only where the guest could write at once (dirty) */
	u32 memtype;             /* enum memtype */
	u32 key;
	bool dirty;              /* D of the guest's leaf; true where there is none */
	const struct region_hit *hit; /* of its first frame */
};
/* The shadow entry; without W where the frame is protected; 0 for trapped memory. */
u64 leaf_entry(struct shadow *s, const struct leaf *leaf);
/* Puts a leaf where an entry may be; keeps lists and counts. */
void leaf_install(struct shadow *s, u32 page, u32 index, u64 spte);
/*
 * The guest's rights in terms of hardware whose CR0.WP is always 1.
 * supervisor_write: the leaf is wanted for such a write (S8).
 */
u32 leaf_access(union role role, u32 access, bool dirty, bool supervisor_write);
u32 leaf_memtype(const struct shadow_mmu *mmu, u32 guest_level, u64 gpte);
/* Kept whether keys are on or not: hardware looks at it while the guest's CR4.PKE is set. PAE reserves these bits. */
static inline u32 leaf_key(u64 gpte) { return (gpte >> PTE_KEY_SHIFT) & 0xf; }
/* May the guest's large leaf stay one leaf of this level? hit: of its first frame. */
bool leaf_may_be_large(const struct shadow *s, u32 level, gfn_t gfn, bool writable,
		       const struct region_hit *hit);
/* The name's role of a table below one with role parent. */
static ALWAYS_INLINE union role role_child(union role parent, u32 level, u32 access, u32 quadrant)
{
	parent.level = level & 7;
	parent.access = access & 7;
	parent.quadrant = quadrant & 3;
	return parent;
}
union role role_direct(u32 level, u32 access, u32 memtype, u32 key);

/* What an entry of a guest's table asks for. */
struct derived {
	u64 leaf;                /* the shadow entry if it is a leaf, else 0 */
	bool link;               /* it must link to the page of (gfn, role) */
	gfn_t gfn;
	union role role;
};
/*
 * Derives an entry of a page that is not direct from the guest's entry gpte, by
 * rights the guest has without a further fault (A set; W only if D is set).
 * spte: what is there, since a large guest leaf may be either kind.
 */
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
void entry_derive(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte, u64 spte, struct derived *d);

/* Where a 4 KiB leaf has its memory type; all zero: entry 0 of the PAT, write-back in ours. */
#define PTE_TYPE_4K (PTE_PWT | PTE_PCD | PTE_PAT_4K)
/* What a plain leaf takes from the guest's entry as it is. */
#define PLAIN_SAME (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_KEY | PTE_NX | PTE_ADDR_MASK | PTE_TYPE_4K)

/*
 * Are the leaves of pages with this role plain: the guest's entry, with little
 * changed? Level 1 of a 64-bit guest, all rights from above, WP and NXE set.
 */
static ALWAYS_INLINE bool role_is_plain(const struct shadow_mmu *mmu, union role role)
{
	return mmu->plain && role.level == 1 && !role.direct && role.access == ACC_ALL && role.mode >= GPT_4L &&
	       role.wp && role.nx;
}

/* The guest's table behind a page with plain leaves: RAM, since it is tracked, and gfn is pfn. */
static ALWAYS_INLINE u64 *plain_table(gfn_t gfn) { return phys_to_virt(hpa(gfn << PAGE_SHIFT)); }

/* The frame word of a 4 KiB leaf's frame where guest frames are host frames; NULL if it is not RAM. */
static ALWAYS_INLINE u32 *plain_frame(struct shadow *s, u64 entry)
{
	const struct region_main *m = &s->regions->main;
	u64 offset = (entry & PTE_ADDR_MASK) - m->base_gpa;

	if (unlikely(offset >= m->bytes))
		return frame_of_gfn(s, (entry & PTE_ADDR_MASK) >> PAGE_SHIFT);
	return &s->frames[m->frame_index + (offset >> PAGE_SHIFT)];
}

/*
 * The shadow entry that entry_derive() would make in a plain page, or 0 for what
 * it must look at itself: A clear, another memory type, no RAM.
 */
static ALWAYS_INLINE u64 plain_leaf(const struct shadow_mmu *mmu, u64 gpte)
{
	u64 spte = gpte & (PLAIN_SAME & ~PTE_W);
	const u32 *frame;

	if ((gpte & (PTE_P | PTE_A | PTE_TYPE_4K)) != (PTE_P | PTE_A))
		return 0;
	frame = plain_frame(mmu->s, gpte);
	if (unlikely(!frame))
		return 0;
	if (!(gpte & PTE_W) || !(gpte & PTE_D) || frame_is_protected(*frame))
		return spte;
	return spte | PTE_W | SPTE_RMAP;
}

/* list_add(); mostly the list is empty. */
static ALWAYS_INLINE void list_put(struct shadow *s, u32 *head, u32 id)
{
	if (likely(!(*head & LIST_VALUE)))
		*head |= id;
	else
		list_add(s, head, id);
}

/* The list that a leaf with SPTE_RMAP is in. */
static ALWAYS_INLINE u32 *list_of_leaf(struct shadow *s, u32 level, u64 spte)
{
	return likely(level == 1 && s->identity) ? plain_frame(s, spte) : leaf_list(s, level, spte_pfn(level, spte));
}

/* leaf_install() for a plain leaf. */
static ALWAYS_INLINE void plain_install(struct shadow *s, u32 page, u32 index, u64 spte)
{
	u64 *at = &page_table(s, page)[index];

	if (unlikely(*at & PTE_P)) {
		leaf_install(s, page, index, spte);
		return;
	}
	if (spte & SPTE_RMAP)
		list_put(s, plain_frame(s, spte), entry_id(page, index));
	live_set(&s->pages[page], index);
	spte_write(at, spte);
}

/*
 * Does a link of a page with this role say what the guest's entry says: a table of the
 * same frame, seen with the same rights? Only the usual forms are recognised.
 */
static ALWAYS_INLINE bool link_unchanged(const struct shadow *s, union role role, u64 spte, u64 gpte)
{
	const struct shadow_page *child;

	if (role.mode < GPT_4L || !role.nx || (gpte & PTE_PS) || (~gpte & (PTE_P | PTE_A)))
		return false;
	child = &s->pages[page_of_link(s, spte)];
	return child->gfn == (gpte & PTE_ADDR_MASK) >> PAGE_SHIFT &&
	       child->role.word ==
		       role_child(role, role.level - 1, role.access & gpt_access_of(gpte ^ PTE_NX), 0).word;
}

/* --- sync.c ---------------------------------------------------------------- */
/* Protects all unsync tables and re-derives them. */
void sync_tables(struct shadow_mmu *mmu);
/* The guest flushed everything. */
static ALWAYS_INLINE void sync_all(struct shadow_mmu *mmu)
{
	struct shadow *s = mmu->s;

	s->releases = s->release_top = s->quiet_refreshes = 0;
	if (unlikely(s->unsync_count))
		sync_tables(mmu);
}
/*
 * Before a page that existed is linked or becomes a root: re-derives it, and all
 * that may lie below it, without protecting anything (S7).
 */
void sync_refresh(struct shadow_mmu *mmu, u32 page);
/* Re-derives the unsync tables of upper levels without protecting them. */
void sync_upper(struct shadow_mmu *mmu);
/* Re-derives the entries of one page. */
void sync_page(struct shadow_mmu *mmu, u32 page);
/* Re-derives one present entry. Returns true if it changed. */
bool sync_entry(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);

/* --- quick.c --------------------------------------------------------------- */
static ALWAYS_INLINE struct path_hint *hint_of(struct shadow_mmu *mmu, gva_t gva)
{
	return &mmu->hints[(gva >> 21 ^ mmu->root[0] * 5) % PATH_HINTS];
}

static ALWAYS_INLINE u64 hint_key(const struct shadow_mmu *mmu, gva_t gva)
{
	return gva >> 21 << 24 | mmu->root[0];
}

/* The links changed since: does the path still lead to the hint's page? */
bool hint_renew(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva);

/* Does the hint tell the path of gva? Whether the guest's upper entries are the same is not looked at. */
static ALWAYS_INLINE bool hint_holds(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva)
{
	return hint->key == hint_key(mmu, gva) &&
	       (likely(hint->links == mmu->s->link_changes) || hint_renew(mmu, hint, gva));
}

/* Is the page reached by one path of one root only? One parent each, the root one user and none. */
static ALWAYS_INLINE bool path_step_alone(const struct shadow_page *sp, bool root)
{
	return root ? sp->pins == 1 && !(sp->parents & LIST_VALUE) : !sp->pins && !(sp->parents & LIST_CHAIN);
}

/* Remembers a walk that ended at a leaf of 4 KiB, whose path is linked. */
void hint_take(struct shadow_mmu *mmu, gva_t gva, const struct gpt_walk *walk, u32 page);

/* Installs a leaf of a page with plain leaves; gpte: the guest's entry, present and accessed. */
void prefetch_plain(struct shadow_mmu *mmu, u32 page, u32 index, u64 gpte);
/* A neighbour that the guest has accessed, and that is not there yet. */
static ALWAYS_INLINE bool is_wanted(u64 gpte, u64 spte)
{
	return unlikely((gpte & (PTE_P | PTE_A)) == (PTE_P | PTE_A)) && !(spte & PTE_P);
}

/* Installs the neighbours of a leaf that the guest has accessed already; table: the guest's. */
void prefetch_leaves(struct shadow_mmu *mmu, const u64 *table, u32 page, u32 index);

/* --- cow.c ---------------------------------------------------------------- */
/* The guest is refused a write to gva, through a present entry of the hint's page. */
void park(struct shadow_mmu *mmu, struct path_hint *hint, gva_t gva);
/* A fault at gva, in the range of a parked page, which hint_holds() leads to: brings all up to date and links them again. */
void unpark(struct shadow_mmu *mmu, gva_t gva);
/* The guest is refused a write to a present page that no hint leads to. */
void park_nothing(struct shadow_mmu *mmu);
void park_over(struct shadow *s);
/* INVLPG has to exit again, if it does not: anything that what is parked cannot stand. */
static ALWAYS_INLINE void park_end(struct shadow *s)
{
	if (unlikely(s->invlpg_free))
		park_over(s);
}
static ALWAYS_INLINE bool page_is_parked(const struct shadow *s, u32 page)
{
	for (u32 i = 0; i < s->parked_count; i++)
		if (s->parked[i].page == page)
			return true;
	return false;
}

/* --- fault.c --------------------------------------------------------------- */
#define PREFETCH_GROUP 8u
#define PREFETCH_RUN 56u         /* further entries, where faults come in a row */
/* The whole way of a fault. Not to be made part of the usual way: that would be slower. */
NOINLINE enum shadow_result fault_full(struct shadow_mmu *mmu, gva_t gva, u32 error, struct gpt_access access,
				       struct shadow_fault *fault);

/* --- root.c ---------------------------------------------------------------- */
void root_forget(struct shadow *s, u32 page);
void root_load(struct shadow_mmu *mmu);

#endif
