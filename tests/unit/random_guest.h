/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest of the random runs: its tables in every paging format, the entries
 * and addresses it picks, and its window, through which it edits its tables.
 *
 * One set of frames serves all formats. A leaf table, a data page or a 4-level
 * root may be anything in another format, so that shadows of one frame in
 * several formats live side by side when the guest changes its mode:
 *
 *   5 levels  ROOT5 -> ROOT -> UPPER -> MIDDLE -> LOWER -> DATA
 *   4 levels           ROOT -> UPPER -> MIDDLE -> LOWER -> DATA
 *   PAE                         PDPT -> MIDDLE -> LOWER -> DATA
 *   32 bits                           ROOT32 (or PDPT) -> LOWER -> DATA
 */
#ifndef TESTS_RANDOM_GUEST_H
#define TESTS_RANDOM_GUEST_H

#include "lib/bits.h"
#include "tests/unit/oracle.h"

/* Frame numbers of the watched memory: tables first, then data. */
enum {
	FIRST = 16,
	ROOT = FIRST, /* level 4 */
	ROOTS = 3,
	UPPER = ROOT + ROOTS, /* level 3; the last is of the window */
	UPPERS = 3,
	MIDDLE = UPPER + UPPERS, /* level 2; the last is of the window */
	MIDDLES = 4,
	LOWER = MIDDLE + MIDDLES, /* level 1; the last is the window */
	LOWERS = 8,
	WINDOW_TABLE = LOWER + LOWERS - 1,
	ROOT5 = LOWER + LOWERS, /* level 5 */
	ROOT5S = 2,
	ROOT32 = ROOT5 + ROOT5S, /* page directories */
	ROOT32S = 2,
	WINDOW32_TABLE = ROOT32 + ROOT32S,
	PDPT, /* several PDPTs; as a page directory it has the window, too */
	DATA,
	END = DATA + 10,
	WATCHED = END - FIRST,
};

/* What a guest is: the formats it may be in, BIT(enum model_mode). */
#define GUEST_32 BIT(MODEL_32)
#define GUEST_PAE BIT(MODEL_PAE)
#define GUEST_4L BIT(MODEL_4L)
#define GUEST_5L BIT(MODEL_5L)

struct world {
	struct machine *m;
	struct oracle *oracle; /* of the CPU that acts */
	struct oracle oracles[MACHINE_CPUS_MAX];
	struct rng rng;
	u64 seed;
	u32 modes; /* GUEST_* */
	u32 step;
	bool trace;
	bool dma; /* devices write to tables in this run */
	u32 cpus;
	bool between; /* another CPU acts while one waits for the lock */
	u64 between_count;
};

#define TRACE(w, ...) \
	do { \
		if ((w)->trace) { \
			printf("%5u ", (w)->step); \
			printf(__VA_ARGS__); \
			printf("\n"); \
		} \
	} while (0)

/* A place in a table: what it was meant for. */
struct place {
	u64 gpa;
	enum model_mode mode;
	u32 level; /* 3 in PAE: a PDPTE */
	u32 size;  /* of an entry, bytes */
};

static inline u64 frame(u32 number)
{
	return (u64)number << 12;
}
static inline bool mode_is_long(enum model_mode mode)
{
	return mode == MODEL_4L || mode == MODEL_5L;
}

enum model_mode mode_now(const struct world *w);
enum model_mode any_mode(struct world *w); /* one of the guest's */
u32 mode_top(enum model_mode mode);        /* level of the table that CR3 names; PAE: 2 */
u32 mode_entry_bytes(enum model_mode mode);
/* A legal linear address of the mode out of any number. */
u64 mode_address(enum model_mode mode, u64 gva);

u64 window(const struct world *w, u32 number); /* where the guest sees a watched frame */
u64 any_gva(struct world *w);
/* Another address below the same table of that level. */
u64 sibling(struct world *w, u64 gva, u32 level);
struct place any_place(struct world *w); /* mostly of the present format */
u64 any_entry(struct world *w, enum model_mode mode, u32 level);
u64 entry_for(struct world *w, struct place place);
u64 odd_page(struct world *w);
u64 any_cr3(struct world *w); /* for the present format; PAE: it may give #GP */
u64 good_cr3(struct world *w, enum model_mode mode);
/* A table of that level for the present format to link, and where in it an entry is. */
u32 any_table(struct world *w, u32 level);
struct place place_in(struct world *w, u32 table, u32 level);
u64 link_entry(u32 table);

/* Lays out all tables, the lowest ones for the present format. Nobody sees the writes. */
void build_tables(struct world *w);
bool window_works(struct world *w);

/* Frames outside of the watched range that an entry may make a table: odd pages, large ones with PS gone. */
#define ODD_TABLES 9u
extern const u64 odd_tables[ODD_TABLES];

#endif
