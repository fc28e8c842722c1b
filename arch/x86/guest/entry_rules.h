/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which segment registers a VM entry takes (SDM vol. 3 section 26.3.1.2): one set of rules, by which it is decided whether the
 * hardware runs a guest or its instructions are interpreted (execution.h), and by which an entry that failed is explained.
 */
#ifndef ARCH_X86_GUEST_ENTRY_RULES_H
#define ARCH_X86_GUEST_ENTRY_RULES_H

#include "arch/x86/guest/vcpu.h"

struct entry_segments {
	bool ia32e, v8086; /* IA-32e mode; RFLAGS.VM */
	struct segment segment[SEG_COUNT];
};

/* A rule that does not hold. subject: "" or the register; both texts are constants. */
typedef void (*entry_report)(void *arg, const char *subject, const char *rule);

/* How many rules do not hold; report: NULL, or called for each. */
u32 entry_rules_check(const struct entry_segments *m, entry_report report, void *arg);

/* "CS" */
const char *entry_segment_name(enum segment_name which);

#endif
