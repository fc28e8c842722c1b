/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A panic of the guest's kernel is the end of the guest (option panic=watch): the port of QEMU's device pvpanic, which Linux and others write to
 * when an ACPI table names it (tools/acpi/pvpanic.asl; QEMU, docs/specs/pvpanic.txt).
 */
#ifndef DEBUG_PANIC_PORT_H
#define DEBUG_PANIC_PORT_H

#include "arch/x86/guest/vcpu.h"

#define PANIC_PORT 0x505u

/* See io_trap_instead(); with the lock of the guest's filters held. */
void panic_port_access(struct vcpu *vcpu, u16 port, bool in, u8 *byte);

/* On the slow path, with no lock held: does not return if the guest has told of a panic on this processor. */
void panic_port_look(struct vcpu *vcpu);

#endif
