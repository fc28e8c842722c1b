/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What real hardware could have shown. A processor may use any translation that
 * it could have cached since the last flush of the address, and cached upper
 * entries together with newer lower ones, never the reverse. So the oracle keeps,
 * for each entry of the watched frames, the values it had since the last full
 * flush and when; an access is legal if there is a path from the root through
 * such values, from top to bottom in order of time, not older than the last flush
 * of the address and not across an INVLPG (which empties the caches of upper
 * entries), with A set in each (and D in the leaf for a write), rights that allow
 * the access and the memory that was in fact reached. Each CPU has an oracle: they see the same memory and
 * only their own flushes.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include "tests/unit/machine.h"

#define ORACLE_SPANS 24u
#define ORACLE_SLOTS 2048u
#define ORACLE_INVLPGS 64u
#define ORACLE_ODD 12u

struct oracle_span {
	u64 value;
	u32 from, to;
};

struct oracle_slot {
	u32 number; /* of the 8-byte word in the watched range */
	u32 count;
	struct oracle_span spans[ORACLE_SPANS];
};

struct oracle {
	struct machine *m;
	struct oracle *next; /* of another CPU: it sees the same memory */
	u64 base;            /* watched guest memory: one range, and odd frames after it */
	u32 range;           /* frames of the range */
	u32 frames;          /* all of them */
	u64 odd[ORACLE_ODD]; /* where the odd ones are */
	u64 *copy;           /* its contents as last seen */
	u16 *slot_of;        /* [word]: 1 + index in slots; 0: has not changed */
	struct oracle_slot *slots;
	u32 slot_count;
	u32 now;
	u32 flushed; /* time of the last full flush */
	struct {
		u64 page;
		u32 time;
	} invlpg[ORACLE_INVLPGS];
	u32 invlpg_count;
	bool crowded; /* no room for more history: flush everything soon */
};

/* Watches a range, and some frames of RAM outside of it (odd: their addresses, at most ORACLE_ODD). */
void oracle_init(struct oracle *o, struct machine *m, u64 base, u32 range, const u64 *odd, u32 odd_count);
void oracle_free(struct oracle *o);

/* A new operation begins. */
void oracle_tick(struct oracle *o);

/* The guest flushed everything, or one page. */
void oracle_flushed(struct oracle *o);
void oracle_flushed_page(struct oracle *o, u64 gva);

/*
 * Did the entry at gpa say something else, present, since the address was last flushed? Large pages: since everything was.
 */
bool oracle_had_other(const struct oracle *o, u64 gpa, u64 gva, u64 bytes);

/*
 * Judges one access. before: the naive walk before it. Marks the machine broken
 * if no hardware could have behaved so.
 */
void oracle_judge(struct oracle *o, const struct machine_access *a, const struct model_result *before,
		  const struct machine_result *r);

#endif
