/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of rights: bits of page-table entries, control bits and kinds of access in every paging mode. Each case stores a
 * leaf entry and one upper entry, flushes, accesses the page and records vector, error code, CR2, both entries, what was
 * read and where a write went. Cases come in blocks: mode, page size, upper level and control bits. Who judges a case
 * is the image's affair.
 */
#ifndef TESTS_GUEST_LIB_RIGHTS_H
#define TESTS_GUEST_LIB_RIGHTS_H

#include "tests/guest/lib/guest.h"

enum rights_mode { M_32, M_PAE, M_4L, M_COMPAT, M_5L, M_COUNT };
extern const char *const rights_mode_name[M_COUNT];

/* What is probed: a leaf at one level, and an upper entry that varies too (0: none). */
struct rights_shape {
	enum rights_mode mode;
	u32 leaf, upper;
};

/* Control bits of a block. */
#define C_WP BIT(0)
#define C_SMEP BIT(1)
#define C_SMAP BIT(2)
#define C_NXE BIT(3)
#define C_PSE BIT(4)
#define C_ALL 31u

/* One block under way. */
struct rights_block {
	const struct rights_shape *shape;
	u32 number, control;
	u64 cases, hash;           /* hash: the judge's */
	u64 random;                /* of the pair of entries under way */
	u64 last_leaf, last_upper; /* as the last record has them */
	u32 queued;
};

/* Which pairs of entries: those whose hash, modulo sample, is phase. */
extern u64 rights_sample, rights_phase, rights_seed;
extern struct probe_run rights_run; /* of the block under way */
extern bool rights_1g, rights_la57, rights_smep, rights_smap;

/* Judges a case; it may change the record, which a case that goes on with the same entries begins from. */
extern void (*rights_record)(struct rights_block *b, struct probe *p);
/* Whether a block is to be run, and what to do behind it; NULL: all, nothing. */
extern bool (*rights_wanted)(u32 number);
extern void (*rights_done)(const struct rights_block *b);

/* Once, and loads the tables of 64-bit mode. Allocates some 13 MiB. */
void rights_init(void);
bool rights_mode_exists(enum rights_mode mode);
/* All blocks of a mode; returns the number of cases. */
u64 rights_run_mode(enum rights_mode mode);
/* What the tables begin with in that mode: the value of CR3. */
u64 rights_root(enum rights_mode mode);
bool rights_upper_is_pdpte(const struct rights_shape *s);
bool rights_pdpte_is_reserved(const struct rights_block *b, const struct probe *p);
/* A table that is too small for a row of cases: fails the run. */
extern u64 rights_too_small;

#endif
