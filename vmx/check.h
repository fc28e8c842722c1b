/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checks that a VM entry makes (SDM vol. 3 sections 26.2 and 26.3), done by
 * ourselves on the current VMCS, to say which one an entry that fails breaks.
 * They cover what Umbra uses; controls that it never turns on are reported.
 */
#ifndef VMX_CHECK_H
#define VMX_CHECK_H

#include "vmx/capability.h"

/* check: what does not hold, with the manual's section. Valid during the call. */
typedef void (*vmx_check_report)(void *arg, const char *check);

/* Checks all of it; returns how many checks do not hold, each reported. */
u32 vmx_check(const struct vmx_capability *c, u32 phys_bits, vmx_check_report report, void *arg);

/* --- for check_guest.c ------------------------------------------------------- */

struct vmx_check {
	const struct vmx_capability *c;
	u32 phys_bits;
	vmx_check_report report;
	void *arg;
	u32 broken;
	u32 word[VMX_CONTROL_WORDS]; /* as the VMCS has them */
};

/* Counts and reports unless it holds. subject: "" or what the check is about ("CS"). */
void vmx_expect(struct vmx_check *k, bool holds, const char *subject, const char *check);
bool vmx_check_canonical(u64 address);
/* No bit above MAXPHYADDR. */
bool vmx_check_physical(const struct vmx_check *k, u64 address);
void vmx_check_guest(struct vmx_check *k);

#endif
