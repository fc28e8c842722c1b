/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow engine: what the rest of the hypervisor calls. docs/shadow-paging.md
 * explains how it works and numbers the invariants that shadow_audit() checks.
 *
 * struct shadow is one per guest (pool, hash, frame tables, the lock);
 * struct shadow_mmu is one per virtual CPU (its paging mode and root).
 *
 * Several CPUs: the lock is taken inside; each function is called on the CPU that the mmu
 * belongs to, while that is outside the guest. docs/several-cpus.md has the rules.
 */
#ifndef MM_SHADOW_H
#define MM_SHADOW_H

#include "lib/types.h"
#include "mm/gpt.h"
#include "mm/region.h"

struct shadow;
struct shadow_mmu;

/* What it begins with: all that is looked at before an entry. */
struct shadow_mmu_head {
	struct shadow *shadow;
	u64 flush_owed; /* rises when an entry went or shrank that this CPU's TLB may hold */
	u64 flush_seen; /* what it was at this CPU's last flush of everything */
	bool entry_due;
	bool inside;       /* the guest runs, or is about to (shadow_enter()) */
	gva_t trapped_gva; /* the page of shadow_recall_trapped(); TRAPPED_NONE: none yet */
};
#define TRAPPED_NONE BIT(63) /* not canonical */

/* Where the guest was at some moment. */
struct shadow_where {
	u64 rip, cr3;
	u64 thread; /* what stands for a thread of the guest's: FS_BASE */
	u64 tsc;
	u32 cpu;
};

/* A translation that was used though the guest's entry had lost it; what the guest should have flushed (SDM vol. 3 section 4.10.4.2). */
struct shadow_stale {
	gva_t gva;
	u64 bytes; /* that the entry translates, from gva */
	gpa_t entry;
	u32 level;
	u64 old, new; /* old: as the shadow had it, that is without the bits that do not matter to it */
	bool global, write, fetch, user;
	bool proved; /* no flush can still be on its way */
	struct shadow_where changed, used;
};
enum shadow_flushes { SHADOW_FLUSHES_UNCHECKED, SHADOW_FLUSHES_CHECKED, SHADOW_FLUSHES_STRICT };

/* What the engine asks of the CPU. Effects hold from the next guest entry on. */
struct shadow_ops {
	/* Forget every translation of one tag; tag 0: of all tags. */
	void (*flush)(void *cpu, u32 tag);
	/* Forget the translations of the page of gva in one tag. */
	void (*flush_page)(void *cpu, u32 tag, gva_t gva);
	/*
	 * Whether INVLPG exits; it does until told otherwise. While it does not, it acts on the
	 * TLB as on any machine: on the tag in use. NULL, or a CPU that cannot: it always exits.
	 */
	void (*trap_invlpg)(void *cpu, bool on);
	/*
	 * To another CPU, which is inside: it leaves the guest, and does so before it executes more than a few of its
	 * instructions. Does not wait. NULL where there is one CPU.
	 */
	void (*kick)(void *cpu);
	/*
	 * Only where flushes are checked: where the guest is, rip and thread of *out, which has the rest; and a line for the log. The
	 * lock is held.
	 */
	void (*where)(void *cpu, struct shadow_where *out);
	void (*stale)(void *cpu, const struct shadow_stale *stale);
	/* The guest's PKRU; called only while its CR4.PKE is set. NULL: 0. */
	u32 (*read_pkru)(void);
};

struct shadow_config {
	hpa_t pool; /* hidden memory for metadata and shadow pages; page aligned */
	u64 pool_bytes;
	u64 shadow_limit; /* bytes of shadow pages at most; 0: all that the pool holds */
	u32 cpus;         /* virtual CPUs at most; 0: one */
	u32 host_phys_bits;
	bool pages_1g; /* the CPU has 1 GiB pages */
	u32 tags;      /* number of TLB tags the CPU has, tag 0 excluded; at least 1 */
	const struct region_map *regions;
	hpa_t ones_page; /* a page of all-ones bytes, mapped read-only for reads of hidden memory */
	enum shadow_flushes flush_check; /* the ops then have where and stale, and no trap_invlpg */
	u64 flush_grace; /* ticks of the TSC behind a CPU's own flush, in which others may still hear of it */
};

/* Guest control state the engine depends on. */
struct shadow_paging {
	u64 cr0, cr3, cr4, efer; /* as the guest wrote them */
	u64 pat;                 /* the guest's IA32_PAT */
	u64 pdpte[4];            /* PAE guests */
	u32 phys_bits;           /* MAXPHYADDR the guest sees */
	bool pages_1g;           /* the guest's CPUID shows 1 GiB pages */
};

enum shadow_result {
	SHADOW_FIXED,   /* run the instruction again; it makes progress */
	SHADOW_INJECT,  /* give #PF to the guest: fault.error, CR2 = gva */
	SHADOW_EMULATE, /* the access goes to trapped or hidden memory: fault.gpa, fault.kind */
	SHADOW_RETRY,   /* something changed meanwhile; run the instruction again */
};

struct shadow_fault {
	u32 error; /* INJECT: error code for the guest */
	gpa_t gpa; /* EMULATE: the address of the first byte */
	u32 kind;  /* EMULATE: enum region_kind */
};

/*
 * Event counters, in the order umbractl prints them. An access to hidden memory that exits counts once for each
 * page it touches; one that reads and writes counts as both.
 */
#define SHADOW_STATS(X) \
	X(walks, "guest page-table walks") \
	X(fills, "leaf entries installed by a fault") \
	X(prefetches, "leaf entries installed ahead") \
	X(a_sets, "accessed bits set in guest entries") \
	X(d_sets, "dirty bits set in guest leaf entries") \
	X(guest_faults, "page faults given to the guest") \
	X(spurious, "faults already resolved") \
	X(unsyncs, "tables made unsync") \
	X(syncs, "tables brought up to date") \
	X(dormants, "unsync tables taken out instead, until they are used") \
	X(sync_changes, "entries changed by a sync") \
	X(detaches, "faults that tables were detached for") \
	X(creates, "shadow pages created") \
	X(reuses, "shadow pages found again") \
	X(zaps, "shadow pages dropped") \
	X(reclaims, "shadow pages reclaimed") \
	X(splinters, "large leaves splintered") \
	X(large_fills, "large leaf entries installed") \
	X(roots, "root switches") \
	X(flushes, "TLB flushes of a tag or of all") \
	X(page_flushes, "TLB flushes of one page") \
	X(kicks, "CPUs taken out of the guest to flush") \
	X(hidden_reads, "reads of hypervisor memory") \
	X(hidden_writes, "writes to hypervisor memory dropped") \
	X(emulations, "accesses emulated") \
	X(longest, "ticks of the TSC that the longest fault or flush took") \
	X(audits, "audits run") \
	X(audit_errors, "audit mismatches") \
	X(stale_changes, "flushcheck=: entries that lost a right or their frame") \
	X(stale_uses, "flushcheck=: uses of such entries before a flush") \
	X(witnessed, "translations compared with the guest's tables") \
	X(witnessed_stale, "of these, older than the guest's tables and not flushed")

#define X(name, text) SHADOW_STAT_##name,
enum shadow_stat { SHADOW_STATS(X) SHADOW_STAT_COUNT };
#undef X

/*
 * Lays out metadata and pool. Memory it is given is owned from now on.
 * Returns the engine (it lives in the pool), or NULL if the pool is too small:
 * the least is SHADOW_POOL_MIN plus 0.2% of the guest's RAM.
 */
#define SHADOW_POOL_MIN (512u << 10)
struct shadow *shadow_create(const struct shadow_config *config);

/* Bytes of pool needed for the metadata of so many RAM frames and a pool size. */
u64 shadow_metadata_bytes(u64 frame_count, u64 pool_bytes);

/*
 * sizeof(struct shadow_mmu) is private; memory comes from the engine's pool. low_pdpt: SHADOW_PDPT_BYTES
 * below 4 GiB, aligned to as much, for the root of PAE format. NULL: there are as many as shadow_config said. From the second on nothing is detached (S15).
 */
#define SHADOW_PDPT_BYTES 32u
struct shadow_mmu *shadow_mmu_create(struct shadow *s, const struct shadow_ops *ops, void *cpu, hpa_t low_pdpt);

/*
 * The guest's control registers changed. Recomputes format, role and root.
 * flush: the change also flushes the guest's TLB (MOV CR3, a change of CR0.PG,
 * CR4.PAE/PGE/PSE/SMEP..., SDM vol. 3 section 4.10.4.1).
 */
void shadow_set_paging(struct shadow_mmu *mmu, const struct shadow_paging *paging, bool flush);

/*
 * MOV CR3 with nothing else changed, in a mode whose tables CR3 alone names (not PAE). Flushes. False: there is more to do
 * for that than one exit has time for; a part is done, nothing has changed, and the guest executes it again (S27).
 */
MUST_CHECK bool shadow_set_cr3(struct shadow_mmu *mmu, u64 cr3);

/* The guest flushed everything (INVPCID, WBINVD-like events, MTRR or PAT changes). */
void shadow_flush_guest(struct shadow_mmu *mmu);

/* The guest executed INVLPG (or INVPCID of one address). Any gva is legal. */
void shadow_invlpg(struct shadow_mmu *mmu, gva_t gva);

/*
 * Whether the engine tells the trace what it does (lib/trace.h): the frequent paths are exchanged for those that do. On any
 * CPU, which may be inside; takes no lock.
 */
void shadow_trace(struct shadow *s, bool on);
/* Other functions that do the same for this CPU, with no more than that to it. */
void shadow_set_ops(struct shadow_mmu *mmu, const struct shadow_ops *ops);

/* Memory types changed under all mappings: drop every shadow page. */
void shadow_drop_all(struct shadow *s);

/*
 * Handles #PF at gva with the hardware's error code; cpl and rflags are the
 * guest's at the fault. Takes the shadow lock. Never fails the guest for lack
 * of memory.
 */
enum shadow_result shadow_handle_fault(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags,
				       struct shadow_fault *fault);

/*
 * Would shadow_handle_fault() answer EMULATE for trapped memory, as it last did for this page? Then *gpa is the address, and
 * the access is counted. False: ask it. Changes nothing and takes no lock, so the CPU may be inside (shadow_enter()).
 */
bool shadow_recall_trapped(struct shadow_mmu *mmu, gva_t gva, u32 error, u32 cpl, u64 rflags, gpa_t *gpa);

/* Is it worth asking that? */
static ALWAYS_INLINE bool shadow_is_trapped_page(const struct shadow_mmu *mmu, gva_t gva)
{
	return gva - ((const struct shadow_mmu_head *)mmu)->trapped_gva < PAGE_SIZE;
}

/* Before every guest entry: is there anything for shadow_prepare_entry() to do? */
static ALWAYS_INLINE bool shadow_entry_due(const struct shadow_mmu *mmu)
{
	const struct shadow_mmu_head *head = (const struct shadow_mmu_head *)mmu;

	return (u32)__atomic_load_n(&head->entry_due, __ATOMIC_RELAXED) |
	       (__atomic_load_n(&head->flush_owed, __ATOMIC_RELAXED) != head->flush_seen);
}

/*
 * Of several CPUs, immediately before a guest entry: false if something is due after all. Whoever wants this CPU out
 * sees that it is inside, or it sees what is due (C1). Behind the exit, before anything else: shadow_leave().
 */
static ALWAYS_INLINE bool shadow_enter(struct shadow_mmu *mmu)
{
	struct shadow_mmu_head *head = (struct shadow_mmu_head *)mmu;

	__atomic_store_n(&head->inside, true, __ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&head->entry_due, __ATOMIC_RELAXED) &&
		   __atomic_load_n(&head->flush_owed, __ATOMIC_SEQ_CST) == head->flush_seen))
		return true;
	__atomic_store_n(&head->inside, false, __ATOMIC_RELEASE);
	return false;
}

static ALWAYS_INLINE void shadow_leave(struct shadow_mmu *mmu)
{
	__atomic_store_n(&((struct shadow_mmu_head *)mmu)->inside, false, __ATOMIC_RELEASE);
}

/*
 * Makes sure that there is a root, issues the flushes that are due. Returns the
 * root's host address and its tag, which hold until it is due again.
 */
hpa_t shadow_prepare_entry(struct shadow_mmu *mmu, u32 *tag);

/* Translates without side effects. Returns GPT_OK or GPT_FAULT. */
enum gpt_status shadow_translate(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, struct gpt_walk *walk);

/*
 * The bytes of code at gva as the CPU sees them through the shadow, for an
 * instruction that has just been executed: a pointer to SHADOW_PEEK_BYTES, good
 * until the next guest entry; NULL where it takes a walk to tell.
 */
#define SHADOW_PEEK_BYTES 4u
const u8 *shadow_peek_code(struct shadow_mmu *mmu, gva_t gva);
/* The same where it is remembered, else NULL: takes no lock, so a CPU may be inside (shadow_enter()). */
const u8 *shadow_recall_code(struct shadow_mmu *mmu, gva_t gva);

/*
 * Copies len bytes from or to guest memory at gva as an access of the given
 * kind would, page by page, A/D included (unless peek). Hidden memory reads
 * all-ones and swallows writes. Returns 0, or -EFAULT with *fault_gva and
 * *error set for #PF; -EIO for trapped memory, and for foreign memory that is closed.
 */
MUST_CHECK int shadow_read_guest(struct shadow_mmu *mmu, gva_t gva, void *buf, u32 len, struct gpt_access access,
				 gva_t *fault_gva, u32 *error);
/*
 * The bytes up to the end of the page, for a fetch, in place: NULL where it faults, and where it is no RAM. Others may write there
 * all the time.
 */
const u8 *shadow_find_code(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access);
MUST_CHECK int shadow_write_guest(struct shadow_mmu *mmu, gva_t gva, const void *buf, u32 len,
				  struct gpt_access access, gva_t *fault_gva, u32 *error);
/*
 * A locked operation's write, of 1, 2, 4 or 8 bytes in one page: if the memory still holds what was expected. 0; -EAGAIN, it does
 * not, and nothing was written; or as above. What crosses a boundary of 8 bytes is not atomic to processors inside the guest.
 */
MUST_CHECK int shadow_exchange_guest(struct shadow_mmu *mmu, gva_t gva, const void *expected, const void *value,
				     u32 len, struct gpt_access access, gva_t *fault_gva, u32 *error);
/*
 * A frame of RAM where paging is off, found once for many accesses: which frames are RAM, and where, never changes. False: it is
 * none. Reads and writes are as shadow_read_guest()'s and shadow_write_guest()'s.
 */
struct shadow_ram {
	u8 *at;
	u32 *frame; /* the engine's */
	gfn_t gfn;
};
MUST_CHECK bool shadow_find_ram(struct shadow_mmu *mmu, gfn_t gfn, struct shadow_ram *ram);
void shadow_read_ram_slow(const struct shadow_ram *ram, u32 offset, void *buf, u32 len);
void shadow_write_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset, const void *buf, u32 len);
/* The caller's own stores to it, in between, alone: no other function here. */
void shadow_open_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram);
void shadow_close_ram(struct shadow_mmu *mmu);
/* count values of size bytes, 2 or 4, each below the one before, the first one's end at this offset. */
void shadow_push_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 end, const u64 *values, u32 size,
		     u32 count);
/* A locked operation's write there: false, the memory does not hold what was expected, and nothing was written. */
MUST_CHECK bool shadow_exchange_ram(struct shadow_mmu *mmu, const struct shadow_ram *ram, u32 offset,
				    const void *expected, const void *value, u32 len);

/* As one access of the processor's, at whatever alignment; other lengths in pieces. */
static ALWAYS_INLINE void shadow_read_ram(const struct shadow_ram *ram, u32 offset, void *buf, u32 len)
{
	const void *at = ram->at + offset;

	switch (len) {
	case 1: *(u8 *)buf = *(const volatile u8 *)at; return;
	case 2: *(u16_anywhere *)buf = *(const volatile u16_anywhere *)at; return;
	case 4: *(u32_anywhere *)buf = *(const volatile u32_anywhere *)at; return;
	case 8: *(u64_anywhere *)buf = *(const volatile u64_anywhere *)at; return;
	default: shadow_read_ram_slow(ram, offset, buf, len);
	}
}

/*
 * The access to the byte at gva, but nothing is moved: 0 if it is hidden memory, -EIO if it is other memory, -EFAULT with
 * *fault_gva and *error.
 */
MUST_CHECK int shadow_find_hidden(struct shadow_mmu *mmu, gva_t gva, struct gpt_access access, gva_t *fault_gva,
				  u32 *error);
/* Counts a write to hidden memory that nobody carries out. */
void shadow_drop_write(struct shadow_mmu *mmu);

/* Checks every numbered invariant; returns the number of mismatches, each logged. */
u32 shadow_audit(struct shadow_mmu *mmu);

/*
 * What mm/witness/ is told, which judges the shadow from outside: where the hardware's
 * walk begins, and what each table stands for. The lock is held in between.
 */
struct shadow_view {
	struct shadow_mmu *mmu;
	const struct region_map *regions;
	const struct shadow_paging *paging;
	hpa_t root; /* 0: there is none at the moment */
	hpa_t ones_page;
	u32 host_phys_bits;
	bool pages_1g;
};
struct shadow_table {
	gfn_t gfn;   /* frame of the guest's table; direct: the first frame it maps */
	u32 level;   /* 1..5 */
	bool direct; /* it stands for (a part of) a large page, or paging is off */
	bool unsync; /* the guest may have written to its table since it last flushed */
};
void shadow_view_begin(struct shadow_mmu *mmu, struct shadow_view *view);
void shadow_view_end(const struct shadow_view *view);
/* False: no table of the shadow is there. */
bool shadow_view_table(const struct shadow_view *view, hpa_t table, struct shadow_table *out);

/* The pool's pages by what they are, counted with the lock held: for somebody who looks. */
struct shadow_census {
	u32 pages, free, lists;               /* all; free ones; those that hold lists' nodes */
	u32 tables[GPT_LEVELS_MAX + 1];       /* [level]: shadows of the guest's tables */
	u32 direct[GPT_LEVELS_MAX + 1];       /* [level]: of parts of large pages, or with paging off */
	u32 unsync, dormant, foreign, pinned; /* of these */
	u32 entries;                          /* present in them */
};
void shadow_count_pages(struct shadow_mmu *mmu, struct shadow_census *out);

/* The counter's value since start. */
u64 shadow_stat(const struct shadow *s, enum shadow_stat which);
void shadow_stat_add(struct shadow *s, enum shadow_stat which, u64 n);
const char *shadow_stat_name(enum shadow_stat which); /* "walks" */

#endif
