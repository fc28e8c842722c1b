/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of vmx_check() that is about guest state. */
#ifndef VMX_CHECK_GUEST_H
#define VMX_CHECK_GUEST_H

#include "vmx/check_report.h"

void vmx_check_guest(struct vmx_check *k);

#endif
