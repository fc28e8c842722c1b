/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime oracle of debug builds: is what the hardware finds in the shadow for an
 * address what the guest's tables say, as the naive walk of mm/witness/model_walk.c
 * reads them? It shares no code with the walker and with what derives entries, and
 * knows of the shadow only what struct shadow_view tells. Release builds have none of it.
 *
 * A translation may be older than the guest's tables as long as the guest has not
 * flushed it. So an entry of a table that the guest may have written to since (unsync)
 * is excused, and what was derived from all other tables on the way still has to hold:
 * their entries, rights, and the memory that may be reached at all.
 */
#ifndef MM_WITNESS_WITNESS_H
#define MM_WITNESS_WITNESS_H

#include "mm/shadow.h"
#include "mm/witness/model_walk.h"

/* The first four are as it should be. */
#define WITNESS_VERDICTS(X) \
	X(ABSENT, "the shadow maps nothing") \
	X(AGREES, "as the guest's tables say") \
	X(STALE, "as the guest's tables said before its last flush") \
	X(UNKNOWN, "the guest's tables lie in device memory") \
	X(NO_TABLE, "the shadow leads to no shadow table") \
	X(RESERVED, "a reserved bit is set in the shadow") \
	X(HIDDEN, "memory that is not the guest's is mapped") \
	X(UNMAPPED, "the guest's tables map nothing") \
	X(TABLE, "the shadow of another table") \
	X(FRAME, "another frame") \
	X(SIZE, "a larger page than the guest's") \
	X(RIGHTS, "more rights than the guest's tables give") \
	X(DIRTY, "writable while the guest's entry is not dirty") \
	X(KEY, "another protection key") \
	X(MEMTYPE, "another memory type")

#define X(name, text) WITNESS_##name,
enum witness_verdict { WITNESS_VERDICTS(X) WITNESS_VERDICT_COUNT };
#undef X

struct witness_report {
	enum witness_verdict verdict;
	gva_t gva;
	bool flushed;
	struct model_state guest_state;
	struct model_result guest, shadow; /* both walks, as of a supervisor's read */
	struct shadow_table tables[5];     /* what shadow.entries lie in */
};

/*
 * Judges the shadow for one address, any address. flushed: the guest flushed it and has not
 * run since, so nothing is excused. Takes the shadow lock; true: the verdict is good.
 */
bool witness_check(struct shadow_mmu *mmu, gva_t gva, bool flushed, struct witness_report *report);

/* Logs both walks as errors. */
void witness_print(const struct witness_report *report);

const char *witness_verdict_text(enum witness_verdict verdict);

#endif
