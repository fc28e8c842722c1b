/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking over the other processors before there is a guest: docs/several-cpus.md. */
#ifndef ARCH_X86_SMP_H
#define ARCH_X86_SMP_H

#include "arch/x86/vendor.h"
#include "boot/boot_info.h"

/*
 * Takes every other processor out of the firmware's hands. Each that comes up runs the hypervisor from then on
 * and waits for kicks with SVM or VMX on; each that does not halts in code of ours, and is a line in the log. One whose
 * percpu->vcpu is set later calls run() on it when it is kicked, which returns while there is nothing to run. Before the shadow engine
 * takes its memory; clock_init() and memory_init() have been called, and the vendor runs here.
 */
void smp_take_all(const struct boot_info *info, const struct vendor *vendor, void (*run)(struct vcpu *vcpu));

#endif
