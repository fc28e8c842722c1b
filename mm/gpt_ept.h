/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EPT: the tables of a guest that is a hypervisor itself, SDM vol. 3 section 28.3.
 * Umbra never gives such tables to the hardware; this walks them for what the guest
 * (or the debugger) asks about them.
 */
#ifndef MM_GPT_EPT_H
#define MM_GPT_EPT_H

#include "mm/gpt.h"

#define EPT_R BIT(0)
#define EPT_W BIT(1)
#define EPT_X BIT(2)        /* mode-based execute control on: of supervisor-mode addresses */
#define EPT_MEMTYPE_SHIFT 3 /* leaf: bits 5:3, values of enum memtype */
#define EPT_IPAT BIT(6)     /* leaf: the guest's PAT is ignored */
#define EPT_PS BIT(7)
#define EPT_A BIT(8)
#define EPT_D BIT(9)
#define EPT_XU BIT(10) /* mode-based execute control on: execution of user-mode addresses */
#define EPTP_AD BIT(6) /* accessed and dirty flags are on */

/* Exit qualification of an EPT violation, SDM vol. 3 table 27-7. Bits 2:0 say what was tried. */
#define EPT_Q_READ BIT(0)
#define EPT_Q_WRITE BIT(1)
#define EPT_Q_FETCH BIT(2)
#define EPT_Q_READABLE BIT(3) /* bits 6:3: what the entries allow together; 0 if one is not present */
#define EPT_Q_WRITABLE BIT(4)
#define EPT_Q_EXECUTABLE BIT(5)
#define EPT_Q_USER_EXECUTABLE BIT(6) /* 0 while mode-based execute control is off (the SDM: undefined) */
#define EPT_Q_LINEAR_VALID BIT(7)
#define EPT_Q_FINAL BIT(8) /* the access was to the translation of the linear address, not to a guest table */

enum gpt_ept_status {
	EPT_OK,
	EPT_VIOLATION, /* walk.qualification */
	EPT_MISCONFIG, /* walk.last_level is where */
	EPT_RETRY,     /* an entry changed while A or D was being set; walk again */
};

/* What an EPT walk depends on. */
struct gpt_ept {
	const struct region_map *regions; /* the space that the tables are in, and that EPT translates to */
	u64 eptp;       /* bits 5:3: levels - 1 (3 or 4); bit 6: A/D; bits 51:12: the top table */
	u32 phys_bits;  /* MAXPHYADDR: address bits from there to 51 are reserved */
	bool exec_only; /* IA32_VMX_EPT_VPID_CAP bit 0: X without R is legal */
	bool pages_2m;  /* bit 16 */
	bool pages_1g;  /* bit 17 */
	bool mbec;      /* "mode-based execute control for EPT" is 1 */
};

/* One access to a guest-physical address. A read-modify-write may set read and write. */
struct gpt_ept_access {
	bool read, write, fetch;
	bool user;   /* mbec, fetch: of a user-mode linear address (U/S of the guest's tables) */
	bool walk;   /* by the guest's page walk, to a guest table's entry: a read, a write too if A/D is on */
	bool linear; /* there is a guest-linear address: bit 7 of the qualification, and 8 unless walk */
};

struct gpt_ept_walk {
	/* EPT_OK */
	u64 address;    /* that gpa translates to, to the byte */
	u32 leaf_level; /* 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
	u32 rights;     /* EPT_R, EPT_W, EPT_X, with mbec EPT_XU: AND over all levels */
	u32 memtype;    /* enum memtype of the leaf: UC, WC, WT, WP or WB */
	bool ipat;
	/* always */
	u32 top_level;                 /* 4 or 5 */
	u32 last_level;                /* the lowest level read; 0: none (gpa is wider than the tables) */
	u64 qualification;             /* EPT_VIOLATION: EPT_Q_* bits 8:0; else 0 */
	u64 entry[GPT_LEVELS_MAX + 1]; /* [level] top_level down to last_level, after A/D were set */
};

/*
 * Walks gpa for one access. Level by level: not present (R, W, X and with mbec
 * XU all clear) is a violation, then a misconfigured entry (section 28.3.3.1) a
 * misconfiguration; rights are judged at the end. A table that is not RAM is a
 * misconfiguration: it reads as all-ones. With A/D on in the EPTP, GPT_SET_AD
 * sets A at every level and D in the leaf for a write, when the access is allowed.
 * A gpa with bits beyond 48 (4 levels) or 57 (5) is a violation with no entry
 * read. Takes no lock.
 */
enum gpt_ept_status gpt_walk_ept(const struct gpt_ept *ept, u64 gpa, struct gpt_ept_access access,
				 enum gpt_effects effects, struct gpt_ept_walk *walk);

#endif
