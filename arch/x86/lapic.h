/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC as the hypervisor itself uses it: to wake other processors and to
 * interrupt them. The mode is the one that the firmware left, xAPIC or x2APIC. The guest
 * has the same hardware (arch/x86/guest/apic.h): a command of ours may change what it reads from
 * the upper half of the command register, so there are none while it runs but for a panic.
 */
#ifndef ARCH_X86_LAPIC_H
#define ARCH_X86_LAPIC_H

#include "lib/types.h"

/* Delivery modes of a command, SDM vol. 3 section 10.6.1; a start-up command has the page's number in its low byte. */
#define LAPIC_NMI (4u << 8)
#define LAPIC_INIT (5u << 8)
#define LAPIC_STARTUP (6u << 8)

/* Is it there and on? If not, nothing below may be called. */
bool lapic_present(void);

/* This processor's. */
u32 lapic_id(void);

/* This processor's APIC in the mode that the boot processor's has, so that IDs mean the same. */
void lapic_join(bool x2apic);
bool lapic_is_x2apic(void);

/* Of the interrupt that has just been taken; a spurious one is not in service and needs nothing. */
void lapic_end_interrupt(void);

/* Can a command be sent to it, in the present mode? */
bool lapic_can_name(u32 apic_id);

/* Nothing is sent to an ID that the present mode cannot name: the guest may have left the mode it was found in. */
void lapic_send(u32 apic_id, u32 command);
void lapic_send_others(u32 command);

#endif
