/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A naive walk of EPT tables, written from the manual alone (SDM vol. 3 section
 * 28.3: translation, misconfigurations, violations, accessed and dirty flags;
 * table 27-7: exit qualification) and without a look at mm/gpt.c.
 */
#ifndef TESTS_MODEL_EPT_H
#define TESTS_MODEL_EPT_H

#include "mm/witness/model_walk.h"

struct model_ept_state {
	u64 eptp;
	u32 maxphyaddr;
	bool execute_only, pages_2m, pages_1g; /* IA32_VMX_EPT_VPID_CAP */
	bool mode_based;                       /* mode-based execute control for EPT */
};

struct model_ept_access {
	bool read, write, fetch;
	bool user;   /* of a user-mode linear address */
	bool paging; /* to an entry of the guest's paging structures, in a walk */
	bool linear; /* it has a guest-linear address */
};

enum model_ept_status { MODEL_EPT_OK, MODEL_EPT_VIOLATION, MODEL_EPT_MISCONFIGURATION };

struct model_ept_result {
	enum model_ept_status status;
	u64 qualification; /* bits 8:0; of a violation */
	u64 physical;
	u32 level;        /* of the leaf */
	bool r, w, x, xu; /* combined rights of the entries read */
	u32 memtype;      /* field 5:3 of the leaf */
	bool ignore_pat;
	u32 count;
	struct model_entry entries[5];
};

void model_ept_walk(const struct model_ept_state *state, const struct model_memory *memory, u64 gpa,
		    struct model_ept_access access, struct model_ept_result *result);

#endif
