/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checks that a VM entry makes (SDM vol. 3 sections 26.2 and 26.3), done by
 * ourselves on the current VMCS, to say which one an entry that fails breaks.
 * They cover what Umbra uses; controls that it never turns on are reported.
 */
#ifndef VMX_CHECK_H
#define VMX_CHECK_H

#include "vmx/check_report.h"

/* Checks all of it; returns how many checks do not hold, each reported. */
u32 vmx_check(const struct vmx_capability *c, u32 phys_bits, vmx_check_report report, void *arg);

#endif
