/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulated machine that drives the shadow engine as the hypervisor would.
 *
 *   access -> TLB model -> walk of the shadow tables, as hardware does it
 *          -> #PF exit -> shadow_handle_fault() -> again, inject or emulate
 *
 * The TLB model never forgets by itself: every translation, and every entry of
 * an upper level that was used on the way, stays under its tag until the engine
 * flushes it, or hardware drops it at a #PF of that address (if it does). It holds several
 * translations of one page, and any of them may be used at any time.
 *
 * Guest-physical space (gpa; the host's address of RAM is gpa + shift):
 *
 *   0        RAM_LOW_END    8 MiB  12 MiB    MACHINE_HIGH ..+4 MiB   ..
 *   |  RAM   |   hidden     | trapped | MMIO |     RAM    | ... MMIO
 *
 * There may be several CPUs: one acts, the others are where they stopped, most of them inside the guest. What
 * is of one CPU comes first in struct machine and is exchanged by machine_use(). A CPU that is kicked while
 * another is in the engine goes on for a few accesses with what it has (machine.kicked), and leaves.
 *
 * Some frames of RAM may be foreign: memory, but MMIO to the region map. The engine reaches
 * them through the slots of mm/gpt.h alone: the direct map has nothing there.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include "mm/shadow.h"
#include "mm/witness/model_walk.h"
#include "tests/unit/rng.h"

#define MACHINE_LOW_END 0x680000ull /* RAM below; in the middle of a 2 MiB block */
#define MACHINE_HIDDEN 0x680000ull
#define MACHINE_HIDDEN_END 0x800000ull /* the pool is above, at MACHINE_POOL */
#define MACHINE_TRAPPED 0x900000ull    /* one page, in the middle of a block of MMIO */
#define MACHINE_SPLIT 0x340000ull /* far: one trapped page, both parts of low RAM are smaller than the high one */
#define MACHINE_HIGH 0xc00000ull  /* RAM again, whole 2 MiB blocks */
#define MACHINE_HIGH_END 0x1000000ull
#define MACHINE_POOL 0x1000000ull /* hidden; at most MACHINE_POOL_MAX bytes */
#define MACHINE_POOL_MAX 0x1000000ull
#define MACHINE_MMIO 0x2000000ull /* everything from here to the top is MMIO */
#define MACHINE_RAM_FRAMES ((MACHINE_LOW_END + MACHINE_HIGH_END - MACHINE_HIGH) >> 12)

#define TLB_MAX 8192u
#define PSC_MAX 8192u
#define PENDING_MAX 4096u
#define MARKS_TRUST 16u

struct machine_config {
	u64 pool_bytes;     /* 0: MACHINE_POOL_MAX */
	u64 shadow_limit;   /* bytes of shadow pages; 0: all */
	u64 shift;          /* hpa - gpa of RAM; 0 or at least 1 GiB */
	u32 host_phys_bits; /* 0: 40 */
	u32 tags;           /* 0: 8 */
	bool no_1g;         /* the CPU has no 1 GiB pages */
	bool far;           /* a trapped page splits the low RAM: the high RAM is the main region */
	bool keeps;         /* a #PF drops nothing from the TLB: rights are looked up again before it instead */
	u64 foreign;        /* BIT(i): frame MACHINE_FOREIGN + i of RAM is foreign; not with shift */
	bool giant;         /* 2 GiB more RAM at 4 GiB, for 1 GiB pages */
	u32 cpus;           /* 0: one */
	u32 numbers;        /* as if role.cpu had so many values, so that several CPUs share one; 0: as it is */
	u32 hurry;          /* see hurry.h */
	bool late;          /* all but the first are made by machine_make_cpu() */
	enum shadow_flushes flush_check;
	u64 seed; /* of the hardware's free choices */
};
#define MACHINE_CPUS_MAX 4u
#define MACHINE_FOREIGN 16u
#define MACHINE_GIANT 0x100000000ull
#define MACHINE_GIANT_END 0x180000000ull

/* One translation in the TLB, or in a shadow walk. */
struct tlb_entry {
	u32 tag;
	u64 gva;   /* first address */
	u64 bytes; /* 4K, 2M, 1G */
	u64 hpa;   /* of the first byte */
	bool w, u, x, dirty;
	bool smep;   /* it was on when the translation was made: SDM vol. 3 section 4.10.4.1 */
	u32 key;     /* protection key */
	u32 memtype; /* enum memtype, by the hardware's PAT */
};

/* An upper-level entry kept by the hardware: where the next table of gva's range is. */
struct psc_entry {
	u32 tag;
	u64 gva, bytes;
	u32 level;    /* of the table it points at */
	u64 table;    /* hpa */
	bool w, u, x; /* rights down to here */
};

enum machine_outcome {
	MACHINE_OK,
	MACHINE_FAULT,    /* #PF for the guest */
	MACHINE_EMULATED, /* went to the emulator: trapped or hidden memory */
	MACHINE_BROKEN,   /* the engine did wrong; machine.failure says what */
};

struct machine_result {
	enum machine_outcome outcome;
	u32 error;   /* FAULT */
	u32 kind;    /* OK, EMULATED: enum region_kind of what was reached */
	u64 gpa;     /* OK (RAM and MMIO), EMULATED: address of the first byte */
	u64 value;   /* read */
	u32 memtype; /* OK */
	bool cached; /* the translation came from the TLB */
	u32 exits;
};

struct machine_access {
	u64 gva;
	struct model_access kind;
	u32 size;  /* 1, 2, 4, 8; within one page */
	u64 value; /* written */
	bool cpl0; /* implicit accesses: at CPL 0, not 3 */
};

struct tlb_flush {
	u32 tag;
	bool page;
	u64 gva;
};

/* What each CPU has. */
#define MACHINE_CPU \
	struct shadow_mmu *mmu; \
	struct shadow_paging paging; \
	bool running; /* the guest runs; false: the next access enters it first */ \
	hpa_t root; \
	u64 pdpte[4]; /* PAE format: as loaded at entry */ \
	u32 tag; \
	u32 pkru; /* the register, always the guest's */ \
	struct tlb_entry *tlb; \
	u32 tlb_count; \
	struct psc_entry *psc; \
	u32 psc_count; \
	struct tlb_flush *pending; \
	u32 pending_count; \
	bool invlpg_traps;        /* INVLPG exits */ \
	u32 repeats;              /* loads of CR3 that were executed again */ \
	bool flushed;             /* exit_gva was flushed since the guest ran */ \
	gva_t exit_gva;           /* what the last exit was about */ \
	u64 instructions, thread; /* where it is, for the flush checker */

struct machine_cpu {
	MACHINE_CPU
};

struct machine {
	MACHINE_CPU      /* of the one that acts */
		u32 cpu; /* its number */
	struct machine_cpu cpus[MACHINE_CPUS_MAX];
	struct machine_config config;
	struct region_map regions;
	struct shadow *shadow;
	struct rng rng;
	/* The CPU that acts now is kicked by another one, which waits for it. */
	void (*kicked)(struct machine *m, void *ctx);
	void (*stale_use)(struct machine *m, const struct shadow_stale *stale);
	bool strict;  /* check at every entry that the TLB is a subset of the shadow */
	bool trace;   /* print every exit */
	bool audit;   /* audit after every exit */
	bool witness; /* the runtime oracle looks at the address of every exit; not with DMA to tables */
	u64 stale;    /* how often the oracle excused an old translation */
	/*
	 * Called after guest memory in [gpa, gpa + bytes) may have changed; by_engine:
	 * A and D bits only are allowed, anywhere. After an exit the engine is believed
	 * when its counters say that it set none, but for one exit in MARKS_TRUST.
	 */
	void (*memory_changed)(struct machine *m, void *ctx, u64 gpa, u64 bytes, bool by_engine);
	void *ctx;
	u64 marks_seen;
	u32 marks_unseen;
	u64 mmio_writes;
	u64 recalls;        /* page faults of which shadow_recall_trapped() knew */
	int foreign_file;   /* the foreign frames, and a page of all-ones behind them */
	u8 *foreign_memory; /* as the guest and devices see it */
	u8 *foreign_slots;  /* as the engine sees it: the whole file for each slot, of which one page is open */
	u8 *foreign_open[GPT_SLOTS];
	u64 foreign_maps; /* so many times the engine asked */
	bool broken;
	char failure[512];
};

struct machine *machine_create(const struct machine_config *config);
void machine_destroy(struct machine *m);

/* Marks the machine broken; the first message stays. */
void machine_fail(struct machine *m, const char *format, ...) PRINTF_LIKE(2, 3);

/* Guest memory past all translation, as DMA sees it, foreign or not; NULL where no memory is. */
void *machine_ram(struct machine *m, u64 gpa);
u64 machine_peek(struct machine *m, u64 gpa); /* 8 bytes; all-ones outside of RAM */
void machine_dma(struct machine *m, u64 gpa, u64 value);

/* From here on the CPU with this number acts. */
void machine_use(struct machine *m, u32 cpu);
/* And it acts from now on. */
void machine_make_cpu(struct machine *m, u32 cpu);
/* It is in the hypervisor now. */
void machine_leave(struct machine *m);
/* An access that causes no exit; false: it would, and was not made. */
bool machine_try(struct machine *m, const struct machine_access *a, struct machine_result *r);

/* One access of the guest. */
struct machine_result machine_access(struct machine *m, struct machine_access a);

/* Shorthands: an 8-byte supervisor (or user) access. */
struct machine_result machine_read(struct machine *m, u64 gva);
struct machine_result machine_write(struct machine *m, u64 gva, u64 value);
struct machine_result machine_fetch(struct machine *m, u64 gva);
struct machine_result machine_user_read(struct machine *m, u64 gva);
struct machine_result machine_user_write(struct machine *m, u64 gva, u64 value);
struct machine_result machine_user_fetch(struct machine *m, u64 gva);

/*
 * An instruction that needs all of these accesses without an exit in between.
 * The result is of the access that did not come through, else of the last.
 */
struct machine_result machine_instruction(struct machine *m, const struct machine_access *list, u32 count);

/* Loads a translation into the TLB ahead of time, if the shadow has one. */
void machine_speculate(struct machine *m, u64 gva);

/* The guest's privileged operations. */
void machine_set_paging(struct machine *m, const struct shadow_paging *paging, bool flush);
/*
 * A write to a register that translation depends on, as the processor does it:
 * LMA follows PG and LME, a PAE guest's four PDPTEs are loaded where the SDM says
 * so (vol. 3 section 4.4.1) and stay as they are otherwise. False: #GP, since a
 * PDPTE has reserved bits; nothing changed then. *flushed: it flushed the TLB too.
 * Whether the combination is legal is the caller's affair.
 */
enum machine_register { MACHINE_CR0, MACHINE_CR3, MACHINE_CR4, MACHINE_EFER };
bool machine_mov(struct machine *m, enum machine_register which, u64 value, bool *flushed);
void machine_load_cr3(struct machine *m, u64 cr3); /* MOV CR3 that must not give #GP */
void machine_invlpg(struct machine *m, u64 gva);
void machine_flush(struct machine *m);    /* INVPCID of all, or the like */
void machine_drop_all(struct machine *m); /* memory types changed */
void machine_reenter(struct machine *m);  /* an exit for nothing */

/* The hardware's view of the shadow now: what a walk would find. False: nothing. */
bool machine_shadow_lookup(struct machine *m, u64 gva, struct tlb_entry *out);

/* Runs shadow_audit(); marks the machine broken on a mismatch. */
void machine_audit(struct machine *m);

/* What the model needs to walk this guest's tables. */
struct model_state machine_model_state(const struct machine *m);
struct model_memory machine_model_memory(struct machine *m);
/* The naive walk of the guest's tables as they are now. A hidden or trapped table counts as reserved. */
struct model_result machine_naive(struct machine *m, u64 gva, struct model_access kind);
bool machine_is_closed(const struct machine *m, u64 gpa);
/* The memory type that the guest asked for in a walk's leaf. */
u32 machine_guest_memtype(const struct machine *m, const struct model_result *r);

/* The paging state of a 64-bit guest with everything on. */
struct shadow_paging machine_long_mode(u64 cr3);

#endif
