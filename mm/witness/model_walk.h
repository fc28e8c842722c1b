/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A naive page walk, written from the manuals alone (SDM vol. 3 sections 4.3 to
 * 4.8, APM vol. 2 chapter 5) and without a look at mm/gpt.c: the tests compare
 * the two, and the runtime oracle (witness.h) judges the shadow by it. It reads
 * memory through a callback, changes nothing and reports what the processor would do.
 */
#ifndef MM_WITNESS_MODEL_WALK_H
#define MM_WITNESS_MODEL_WALK_H

#include "lib/types.h"

enum model_mode { MODEL_OFF, MODEL_32, MODEL_PAE, MODEL_4L, MODEL_5L };

/* Control state; the bits have the manual's names. */
struct model_state {
	enum model_mode mode;
	u32 maxphyaddr;
	u64 cr3;
	u64 pdpte[4];
	bool wp, smep, smap, nxe, pse, pages_1g;
	bool pke, pks;
	u32 pkru, pkrs;
};

struct model_access {
	bool write, fetch, user;
	bool implicit;
	bool ac;
};

/* Reads size (4 or 8) bytes of guest-physical memory; all-ones where nothing is. */
struct model_memory {
	u64 (*read)(void *ctx, u64 address, u32 size);
	void *ctx;
};

struct model_entry {
	u64 address; /* guest-physical */
	u64 value;   /* as read */
	u64 after;   /* with A (and D) as the processor leaves it */
	u32 level;
};

struct model_result {
	bool fault;
	u32 error;
	u64 physical;  /* translation of gva, byte exact; valid if !fault */
	u32 level;     /* of the leaf; 0: paging off */
	bool w, u, x;  /* combined rights of the path read so far */
	u32 pat_index; /* of the leaf */
	u32 key;       /* of the leaf; 4- and 5-level paging with a leaf read */
	u32 count;     /* entries read from memory, top first */
	struct model_entry entries[5];
	u32 size; /* of an entry, bytes */
};

void model_walk(const struct model_state *state, const struct model_memory *memory, u64 gva,
		struct model_access access, struct model_result *result);

/* True where an entry of that level is present with a reserved bit set. */
bool model_reserved(const struct model_state *state, u32 level, u64 entry);

/* True where an entry of that level maps a page. */
bool model_is_leaf(const struct model_state *state, u32 level, u64 entry);

/* The frame address in an entry: of the page for a leaf, else of the next table. */
u64 model_entry_address(const struct model_state *state, u32 level, u64 entry);

/* Bytes mapped by one entry of that level. */
u64 model_page_bytes(const struct model_state *state, u32 level);

/* May a page with these combined rights be accessed so? (SDM vol. 3 section 4.6.1) */
bool model_allowed(const struct model_state *state, bool w, bool u, bool x, struct model_access access);

/*
 * Does protection key number key forbid this access to a user (u) or supervisor
 * page? (SDM vol. 3 section 4.6.2)
 */
bool model_key_forbids(const struct model_state *state, bool u, u32 key, struct model_access access);

#endif
