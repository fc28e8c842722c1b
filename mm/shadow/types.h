/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine's own structures, used by the files here and by nobody else
 * (tests aside). docs/shadow-paging.md has the picture.
 *
 * The pool, one contiguous hidden range:
 *
 *   | struct shadow | mmus | frame words | block words | page records | pages ... |
 *
 * A shadow page is named by its number in the pool (0 is never used), an entry
 * of it by entry_id = page << 9 | index, so 32-bit words serve as references.
 */
#ifndef MM_SHADOW_TYPES_H
#define MM_SHADOW_TYPES_H

#include "lib/bits.h"
#include "lib/spinlock.h"
#include "lib/x86.h"
#include "mm/gpt.h"
#include "mm/shadow.h"

#define ENTRIES 512u
#define INDEX_BITS 9
#define SHADOW_MAX_MMUS 256u
#define SHADOW_PATS 8u
/* Values of role.cpu. */
#define ROLE_CPUS 32u

/* --- shadow entries ------------------------------------------------------ */
/* Software bits in positions the hardware ignores (SDM vol. 3 table 4-19). */
#define SPTE_RMAP BIT(10) /* writable leaf on a RAM frame: it is in that frame's list */
/* Links to lower tables carry all rights: rights live in the leaf (S4). */
#define SPTE_LINK (PTE_P | PTE_W | PTE_U | PTE_A)
#define SPTE_LINK_PDPTE PTE_P
/* Where a 4 KiB leaf has its memory type; all zero: entry 0 of the PAT, write-back in ours. */
#define PTE_TYPE_4K (PTE_PWT | PTE_PCD | PTE_PAT_4K)
/* What a copied leaf takes from the guest's entry as it is. */
#define COPIED_BITS (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_KEY | PTE_NX | PTE_ADDR_MASK | PTE_TYPE_4K)

/* --- roles ---------------------------------------------------------------- */
/* Every bit that changes what is made of the same guest entry (S3). */
union role {
	u32 word;
	struct {
		u32 level : 3;      /* of the table: 1..5 */
		u32 direct : 1;     /* no guest table behind it: a splintered leaf, or paging off */
		u32 access : 3;     /* ACC_*: rights of the path above; direct: of every entry */
		u32 mode : 3;       /* enum gpt_mode of the guest table */
		u32 nx : 1;         /* EFER.NXE */
		u32 wp : 1;         /* CR0.WP */
		u32 smep_no_wp : 1; /* CR4.SMEP and not CR0.WP */
		u32 smap_no_wp : 1; /* CR4.SMAP and not CR0.WP */
		u32 memtype : 3;    /* direct: enum memtype of every entry */
		u32 key : 4;        /* direct: protection key of every entry */
		u32 quadrant : 2;   /* 32-bit guests: which part of the guest's table this page shadows */
		u32 pse : 1;        /* 32-bit guests: CR4.PSE */
		u32 pat : 3;        /* not direct: which of the guest's PATs its entries go by (struct shadow) */
		u32 cpu : 5;        /* of several: whose roots alone may lead here (struct shadow_mmu); 0: any */
	};
};
_Static_assert(sizeof(union role) == 4, "the role is compared as one word");

/* --- lists of shadow entries ------------------------------------------------
 * A word is 0 (empty), an entry_id, or LIST_CHAIN | number of a node. The two
 * highest bits belong to the owner of the word.
 */
#define LIST_CHAIN BIT(29)
#define LIST_VALUE BITS(29, 0)

/* --- frames of guest RAM ---------------------------------------------------- */
/* One word a frame: the list of writable 4 KiB leaves, and two bits. */
#define FRAME_TRACKED (1u << 31) /* some shadow page shadows this frame as a table */
#define FRAME_UNSYNC (1u << 30)  /* tracked, and the guest may write to it */
#define FRAME_NONE FRAME_UNSYNC  /* alone: the word of no RAM frame, in a gap of the span (mm/region.h) */

/* One a 2 MiB block of guest-physical space: large leaves over it, tables in it. */
struct block {
	u32 leaves;  /* list of writable 2 MiB leaves */
	u32 tracked; /* frames in it that are tracked */
};

/* --- shadow pages ------------------------------------------------------------ */
enum page_state { PAGE_FREE, PAGE_TABLE, PAGE_NODES };

#define PAGE_UNSYNC BIT(0) /* its guest table may have been written since the last sync */
#define PAGE_USED BIT(1)   /* second chance in reclaim */
#define PAGE_RAW BIT(2)    /* free page that was never a table: not known to be zero */
#define PAGE_TYPED BIT(4)  /* it had a 4 KiB leaf that was not write-back */
#define PAGE_LOWER BIT(3)  /* its lower half had a link once */
#define PAGE_FOREIGN \
	BIT(5) /* its guest table is no RAM: it is always unsync, and nothing of it is remembered (S16) */
#define PAGE_DORMANT BIT(6) /* unsync, and taken out of all tables until it is used again (S26) */

/* So many tables may be detached together. */
#define DETACHED_MAX 3u

struct shadow_page {
	gfn_t gfn; /* frame of the guest table; direct: first frame it covers */
	union role role;
	u32 hash_next;                /* next in the bucket, or next free page */
	u32 parents;                  /* list of entries that link to this page */
	u32 unsync_next, unsync_prev; /* in the list of a CPU, or of dormant pages */
	u16 live;                     /* present entries */
	u8 state;                     /* enum page_state */
	u8 flags;
	u8 idle_writes;
	u16 tag;                    /* roots: TLB tag, 0: none */
	u32 last_writer;            /* entry through which the guest last wrote to the table, 0: unknown */
	u64 live_map[ENTRIES / 64]; /* which entries are present */
	u32 live_words;             /* BIT(i): live_map[i] is not 0 */
	u16 pins;                   /* roots in use */
	u64 freed;                  /* free page: debts then */
	u8 unsync_cpu;              /* unsync: index of the CPU whose list it is in */
	u8 refreshes;               /* unsync: flushes of other CPUs that re-derived it */
	u8 locked;                  /* by a fast path (S25) */
	u8 unused[1];               /* a power of two is found by a shift */
	u32 generation;             /* s->generation when it was made: an older one is found no more */
};
_Static_assert(sizeof(struct shadow_page) == 128, "see unused");
struct shadow_mmu;

/* A CPU says that it is in a fast path (S25), on a line that nobody else writes to. */
struct shadow_reader {
	u8 on;
	u8 unused[63];
};

struct shadow {
	struct spinlock lock;
	struct shadow_reader *readers; /* [index of the CPU]; NULL: there will be one CPU only */
	u64 *only_debt;                /* flush_owed of the only CPU; NULL: there are several */
	u64 *quick_debt;    /* the same; NULL, too: the trace is told of what goes (mm/shadow/trace.h) */
	bool traced;        /* shadow_trace(), which sets this and the five words around it */
	bool faults_locked; /* readers, or traced: a fault does not begin with the fast path of one CPU */
	bool faults_shared; /* there are several CPUs, and their faults take the fast path without the lock */
	u64 leaf_looks;     /* a leaf with one of these bits is looked at where it is installed */
	u32 unsync_looks;   /* so many unsync pages and more are looked at: unsync_max, or fewer */
	u64 debts;          /* of several: how often a CPU came to owe a flush */
	u64 settled;        /* debts that every CPU inside has paid */
	u32 owed_page;      /* the CPUs that an entry of this page concerns all owe a flush; 0: unknown */
	u64 owed_links;     /* link_changes then */
	const struct region_map *regions;
	u64 *pool; /* page 0 of the pool pages */
	hpa_t pool_hpa;
	u32 page_count;           /* pages are numbered 1 .. page_count - 1 */
	u32 free_head, free_tail; /* free pages that were in use */
	u32 raw_head;             /* those that never were */
	u32 free_count;           /* of both */
	u32 clock_hand;
	u32 node_free, node_pages;
	u32 victim_turn;                /* where the next full list gives up a member */
	u64 evictions;                  /* members that lists gave up */
	struct shadow_mmu *invlpg_free; /* whose INVLPG does not exit: nothing is unsync but what is detached (S15) */
	u32 detached_count;             /* pages of level 1 that cow.c took out */
	struct {
		u32 page, link;
	} detached[DETACHED_MAX]; /* link: the entry that linked to it */
	gva_t detached_for; /* the address that the guest was refused to write to, or flushed; detached[0] is its page */
	bool detached_window; /* it flushed it */
	u32 unsync_count;     /* unsync pages in the lists of the CPUs */
	u32 unsync_uppers;    /* those above level 1 among them */
	u32 dormant;          /* head of the list of dormant pages */
	u32 dormant_hand;     /* the one of them to be looked at next, 0: the first */
	u32 sync_work;        /* entries that one flush looks at; pages behind that become dormant */
	u32 unsync_max;       /* of unsync_count; with cr3_looks of them MOV CR3 does something first */
	u32 generation;       /* everything was dropped so often */
	u32 foreign_count;    /* those of foreign tables among them */
	u64 link_changes;     /* links made or dropped, from 1 on */
	u64 sync_changes;     /* entries that syncs changed */
	bool identity;        /* gfn == pfn for all RAM */
	bool narrow;          /* the shadows of tables are of a 32-bit guest's */
	bool pages_1g;
	u32 host_phys_bits;
	u64 pats[SHADOW_PATS]; /* what CPUs have or had in IA32_PAT, by role.pat */
	u32 pat_count;
	u32 copy_pats; /* BIT(role.pat): gfn is pfn and the PAT's entry 0 is write-back */
	u32 numbers; /* values that role.cpu takes: one more than there may be CPUs, ROLE_CPUS at most; 1: one CPU */
	u32 tags;
	u32 next_tag[ROLE_CPUS]; /* [role.cpu] */
	u32 *tag_owner;          /* [role.cpu][tag]: page number of the root that has it, 0: none */
	hpa_t ones_page;
	u32 *frames;      /* [frame index] */
	u32 *span_frames; /* those of the span of regions: [gfn - span_base] */
	gfn_t span_base;
	u64 span_pages;
	struct block *blocks; /* [gfn >> 9] */
	u64 block_count;
	u32 *giga; /* [gfn >> 18]: list of writable 1 GiB leaves */
	u64 giga_count;
	struct shadow_page *pages;
	u32 *hash;
	u32 hash_mask;
	struct shadow_mmu *mmus[SHADOW_MAX_MMUS];
	u32 mmu_count, mmu_limit, cr3_looks;
	u64 stats[SHADOW_STAT_COUNT];
	struct flush_check *check; /* flushcheck.h; NULL: no one checks */
};

/*
 * Where a page of code lies. The leaf still reads the same and no link changed: the
 * address still leads there, from any root with the same entry for it. So roots that
 * share their upper half share what is known of its code.
 */
#define CODE_CACHE_SIZE 64u
struct cached_code {
	gva_t page; /* address >> 12 */
	u64 links;  /* s->link_changes then */
	u64 top;    /* the root's entry for the address then */
	const u64 *leaf;
	u64 value;     /* of *leaf then */
	const u8 *at;  /* the page's first byte */
	u64 unused[2]; /* a power of two is found by a shift */
};

/*
 * How a walk of a 2 MiB range went, guest's tables and ours: 4 levels, to a page with
 * copied leaves. The guest's upper entries read the same: only the leaf has to be read.
 */
#define PATH_CACHE_SIZE 64u
struct cached_path {
	u64 key;                    /* gva >> 21, number of the root */
	u64 links;                  /* s->link_changes when our links were last seen to lead there */
	u32 page;                   /* of level 1 */
	bool alone;                 /* no other path leads there */
	bool own;                   /* none of another CPU does */
	struct shadow_page *record; /* of page */
	u64 *sptes;                 /* of page */
	u64 *table;                 /* the guest's table of level 1 */
	struct gpt_step upper[3];   /* levels 2 to 4 */
	u32 next;                   /* entry behind those that the last fault installed */
	u32 refused;                /* entry behind the last one that the guest was refused to write through */
	u32 refused_row;            /* so many of them in a row */
	u32 detach_pause; /* so many refused writes without detaching, since the last one was not mended */
	u32 window_row;   /* INVLPGs since the pages were last detached for one, or could not be */
	u32 unused[3];    /* a power of two is found by a shift */
};

/*
 * How the last walk to trapped memory went, by 4 levels to a leaf of 4 KiB. The entries read the same, that of the root in
 * whatever root is in use: so does the walk, but for the rights that the access needs.
 */
struct cached_trap {
	u64 top;                  /* the entry of level 4 */
	struct gpt_step lower[3]; /* levels 1 to 3 */
	gpa_t page;
	u32 rights;   /* ACC_* */
	u32 controls; /* of struct gpt_context then */
	bool dirty;   /* D of the leaf */
};

#define ROOT_CACHE_SIZE 512u

struct shadow_mmu {
	struct shadow *s;
	u64 flush_owed; /* rises when an entry went or shrank that this CPU's TLB may hold */
	u64 flush_seen; /* what it was at the last flush of all tags */
	bool entry_due; /* root and tag may not be those that the CPU was told */
	bool inside;
	gva_t trapped_gva; /* of trap: the page; TRAPPED_NONE: there is none yet */
	bool trap_due;     /* INVLPG has to exit from the next entry on, and the CPU was not told */
	u8 index;          /* in s->mmus */
	u8 number;         /* of several: role.cpu of its roots and of what only they lead to */
	bool shares;       /* its number with other CPUs */
	const struct shadow_ops *ops;
	void *cpu;
	u32 unsync_leaf, unsync_upper; /* heads of the lists of tables that it wrote to, by page number */
	u32 unsync_top;                /* the address space whose tables were last written to: its top page */
	u32 unsync_row;                /* tables of it that a write made unsync since the last sync */
	struct gpt_context gpt;
	struct shadow_paging paging;
	union role base_role;            /* the bits of the role that control state decides */
	u32 root_level;                  /* 4 or 5; 3: PAE format, four pages of level 2 */
	u32 top_shift;                   /* where an address has its index into a root of 4 or 5 levels */
	u32 root[4];                     /* page numbers, pinned; [0] alone unless PAE; 0: to be made */
	u32 copied_role;                 /* of level 1 and any CPU, if such pages have copied leaves now, else 0 */
	u32 sync_role;                   /* copied_role; 0: a sync is told to the trace */
	u32 root_role;                   /* of a root of 4 or 5 levels */
	u32 root_cache[ROOT_CACHE_SIZE]; /* [frame of CR3]: the root that was last made of it */
	u32 last_root;                   /* the last page that was made a root; it may have been dropped since */
	u32 tag;
	hpa_t low_pdpt;
	/* the last fault that needed no change, to tell implicit accesses (S9) */
	gva_t spurious_gva;
	u64 spurious_fault;           /* its number */
	u64 spurious_count;           /* flush_owed then */
	u64 faults;                   /* handled so far */
	u32 nodes;                    /* of lists: this CPU's own, strung by next (S25) */
	u64 stats[SHADOW_STAT_COUNT]; /* what this CPU counted without the lock */
	struct cached_trap trap;
	struct cached_path paths[PATH_CACHE_SIZE];
	struct cached_code code[CODE_CACHE_SIZE];
};
_Static_assert(offsetof(struct shadow_mmu, flush_owed) == offsetof(struct shadow_mmu_head, flush_owed), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, flush_seen) == offsetof(struct shadow_mmu_head, flush_seen), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, entry_due) == offsetof(struct shadow_mmu_head, entry_due), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, inside) == offsetof(struct shadow_mmu_head, inside), "shadow.h");
_Static_assert(offsetof(struct shadow_mmu, trapped_gva) == offsetof(struct shadow_mmu_head, trapped_gva),
	       "shadow.h");

#endif
