/* SPDX-License-Identifier: BSD-2-Clause */
/* One address by the guest's page tables and by the shadow, level by level. */
#ifndef DEBUG_WALK_H
#define DEBUG_WALK_H

#include "arch/x86/guest/vcpu.h"

#define WALK_LEVELS 5u

struct walk_level {
	bool there; /* the walk read an entry here */
	u64 table;  /* of which table: gpa, in the shadow hpa */
	u64 entry;
};

struct walk_side {
	struct walk_level level[WALK_LEVELS + 1]; /* [1] to [5] */
	bool maps;                                /* all entries are present */
	u64 address;                              /* then: gpa, in the shadow hpa */
	bool writable, user, executable;          /* over all levels */
};

struct walk_pair {
	struct walk_side guest, shadow;
	bool paging;    /* the guest's is on */
	bool ones, ram; /* the shadow has the page of all-ones; the guest's address is RAM */
	u64 expected;   /* hpa of the guest's address */
};

/* In a session. False: there is nothing of that processor. */
bool walk_both(struct vcpu *vcpu, gva_t gva, struct walk_pair *out);

/* NULL: they agree, or the shadow has nothing there (yet). Else what the shadow has that it must not. */
const char *walk_judge(const struct walk_pair *pair);

/* Both with the verdict, on the console. */
void walk_show(struct vcpu *vcpu, gva_t gva);

#endif
