/* SPDX-License-Identifier: BSD-2-Clause */
/* What the checks of VM entries share: the CPU that they are for, how a broken one is told. */
#ifndef VMX_CHECK_REPORT_H
#define VMX_CHECK_REPORT_H

#include "lib/x86.h"
#include "vmx/capability.h"

/* check: what does not hold, with the manual's section. Valid during the call. */
typedef void (*vmx_check_report)(void *arg, const char *check);

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

#define VMX_CHECK_TEXT_MAX 160

#define EXPECT(holds, check) vmx_expect(k, holds, "", check)
#define VMX_EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#endif
