/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See interrupt.h. Meanwhile a second IDT is loaded, whose gates note the vector and return with interrupts off, so that
 * one is taken and no more: a guest's vectors may be those of exceptions, and no exception comes there but a machine check. That is
 * the guest's as it is while the guest runs, delivered like an interrupt of its number. Which of the two it is nobody can tell: the guest
 * may set IA32_MCG_STATUS.MCIP by itself (SDM vol. 3 section 15.3.1.2), and must not stop the hypervisor by that.
 */
#include "arch/x86/interrupt.h"

#include "arch/x86/cpu.h"
#include "arch/x86/idt.h"
#include "arch/x86/kick.h"
#include "arch/x86/percpu.h"

static int taken(const struct percpu *cpu)
{
	idt_load();
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
