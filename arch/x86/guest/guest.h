/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The neutral half of a virtual CPU: what arch/x86/main.c calls once the
 * hypervisor stands, and what every exit handler may use.
 */
#ifndef ARCH_X86_GUEST_GUEST_H
#define ARCH_X86_GUEST_GUEST_H

#include "arch/x86/acpi.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/vendor.h"
#include "boot/boot_info.h"

struct guest_config {
	const struct vendor *vendor;
	struct shadow *shadow;
	const struct boot_guest_state *start;
	const struct acpi_sleep *sleep; /* the machine's sleep registers; copied */
	const char *cpuid_hide;       /* "-pku,-la57" or "" */
	u32 audit_interval;           /* run shadow_audit() every so many exits; 0: never */
	u32 host_phys_bits;
	bool task_switches_unseen;    /* this processor does hardware task switches without an exit */
};

/*
 * Makes a ready-to-run virtual CPU: neutral state, vendor->vcpu_init(), shadow
 * MMU, MSR, I/O and CR intercepts, registers as config->start says.
 * Returns 0 or -errno (logged).
 */
MUST_CHECK int guest_create(struct vcpu *vcpu, const struct guest_config *config);

/* Runs the guest for ever. */
NORETURN void guest_run(struct vcpu *vcpu);

/*
 * The guest did something that the hypervisor can only end: prints the message,
 * the vendor's dump and the last exits, and stops this CPU for ever.
 */
NORETURN void guest_stop(struct vcpu *vcpu, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
