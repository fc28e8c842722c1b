/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ISA interrupt as an NMI, by the I/O APIC's entry for it (docs/debugging.md, D5). The page of that I/O APIC exits from then on: the guest
 * finds in the entry what it wrote, and the hardware keeps ours.
 */
#ifndef DEBUG_PIN_H
#define DEBUG_PIN_H

#include "arch/x86/acpi.h"
#include "arch/x86/guest/vcpu.h"

/* Before the shadow engine is made. To the processor with that ID; -errno: its page cannot be trapped, or the ID has no 8 bits. */
MUST_CHECK int pin_open(const struct acpi_pin *pin, u32 apic_id);

bool pin_is_open(void);

/* For each virtual CPU of the guest: the trap. 0 or -ENOSPC. */
MUST_CHECK int pin_init_cpu(struct vcpu *vcpu);

#endif
