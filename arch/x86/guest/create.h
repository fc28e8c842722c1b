/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's virtual CPU, made from what boot/ hands over. */
#ifndef ARCH_X86_GUEST_CREATE_H
#define ARCH_X86_GUEST_CREATE_H

#include "arch/x86/acpi.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/vendor.h"
#include "boot/boot_info.h"

struct guest_config {
	const struct vendor *vendor;
	struct shadow *shadow;
	const struct boot_guest_state *start;
	const struct acpi_sleep *sleep; /* the machine's sleep registers; copied */
	const char *cpuid_hide;         /* "-pku,-la57" or "" */
	u32 audit_interval;             /* run shadow_audit() every so many exits; 0: never */
	u32 host_phys_bits;
	u32 ticks_per_us; /* of the TSC */
	bool flush_check; /* shadow_config.flush_check is set */
	bool sipi_protected; /* for tests: a start-up message begins in protected mode where the hardware has no real mode */
	bool task_switches_unseen; /* this processor does hardware task switches without an exit */
};

/*
 * On the boot processor, before the shadow engine takes its memory: the guest with its first virtual CPU, and each
 * further one that it may start, on CPU `cpu` of percpu_of(). Memory only: config, which stays where it is, may be filled later.
 * 0 or -errno.
 */
MUST_CHECK int guest_create(struct vcpu *vcpu, const struct guest_config *config, u32 apic_id);
MUST_CHECK int guest_add(const struct vcpu *boot, u32 cpu, u32 apic_id, struct vcpu **out);

/*
 * How many processors the guest may have: wanted, 0 for as many as there can be, unless the vendor has another opinion, of which
 * *why tells, if it is worth a line.
 */
u32 guest_processor_limit(const struct guest_config *config, u32 wanted, const char **why);

/*
 * Makes the first virtual CPU ready to run: neutral state, vendor->vcpu_init(), shadow
 * MMU, MSR, I/O and CR intercepts, registers as config->start says.
 * Returns 0 or -errno (logged).
 */
MUST_CHECK int guest_start(struct vcpu *vcpu);

/* The same for another one, on its processor; its registers are those of an INIT that follows. */
MUST_CHECK int guest_start_other(struct vcpu *vcpu);

#endif
