/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See interrupt.h. Meanwhile a second IDT is loaded, whose gates note the vector and return with interrupts off, so that
 * one is taken and no more: a guest's vectors may be those of exceptions, and no exception comes there.
 */
#include "arch/x86/interrupt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/idt.h"
#include "arch/x86/kick.h"
#include "arch/x86/percpu.h"
#include "lib/log.h"

#define MSR_MCG_STATUS 0x17au
#define MCG_STATUS_MCIP BIT(2) /* SDM vol. 3 section 15.3.1.2: a machine check is in progress */

/* Any vector may be a device's, or an APIC's from 16 on. */
static bool is_machine_check(int vector)
{
	u64 status;

	return vector == VEC_MC && !rdmsr_safe(MSR_MCG_STATUS, &status) && status & MCG_STATUS_MCIP;
}

static int taken(const struct percpu *cpu)
{
	idt_load();
	if (unlikely(is_machine_check(cpu->interrupt)))
		panic("machine check");
	return cpu->interrupt;
}

int interrupt_take(void)
{
	struct percpu *cpu = this_cpu();

	cpu->interrupt = NO_INTERRUPT;
	idt_load_taking();
	cpu_irq_window();
	return taken(cpu);
}

int interrupt_wait(void)
{
	struct percpu *cpu = this_cpu();

	cpu->interrupt = NO_INTERRUPT;
	idt_load_taking();
	interrupt_wait_for(&cpu->looks);
	return taken(cpu);
}
