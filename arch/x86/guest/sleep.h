/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleep states that lose the processor's state and come back to it (S2, S3) would wake up without the
 * hypervisor: they are refused. The guest sees a sleep that ended at once.
 */
#ifndef ARCH_X86_GUEST_SLEEP_H
#define ARCH_X86_GUEST_SLEEP_H

#include "arch/x86/acpi.h"
#include "arch/x86/guest/vcpu.h"

/* Traps the registers; those in memory must be of kind REGION_TRAPPED already. NULL: there are none. 0 or -ENOSPC. */
MUST_CHECK int sleep_init(struct vcpu *vcpu, const struct acpi_sleep *acpi);

#endif
