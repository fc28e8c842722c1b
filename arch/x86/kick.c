/* SPDX-License-Identifier: BSD-2-Clause */
/* See kick.h. */
#include "arch/x86/kick.h"

#include "arch/x86/lapic.h"

static u32 ask(struct percpu *cpu, u32 reasons)
{
	return __atomic_fetch_or(&cpu->kicks, reasons, __ATOMIC_SEQ_CST);
}

/* One message for all reasons that were not taken yet: so as many NMIs come that are kicks as were sent. */
void kick_send(struct percpu *cpu, u32 reasons)
{
	if (!ask(cpu, reasons))
		lapic_send(cpu->apic_id, LAPIC_NMI);
}

/* If it was not lost after all, both are one NMI: none is let through in between (GIF). */
void kick_again(void)
{
	struct percpu *cpu = this_cpu();

	if (__atomic_load_n(&cpu->kicks, __ATOMIC_SEQ_CST))
		lapic_send(cpu->apic_id, LAPIC_NMI);
}

void kick_stop_others(void)
{
	bool guest = false;

	for (u32 i = 0; i < PERCPU_MAX; i++) {
		struct percpu *cpu = percpu_of(i);

		if (!cpu || cpu == this_cpu())
			continue;
		ask(cpu, KICK_STOP);
		if (!__atomic_load_n(&cpu->reachable, __ATOMIC_ACQUIRE))
			continue;  /* it halts before long, if it runs at all */
		lapic_join(false); /* the guest may have turned it off */
		if (cpu->stop_by_init)
			guest = true;
		else
			lapic_send(cpu->apic_id, LAPIC_NMI);
	}
	if (guest) /* to all: it may have given its APIC another ID */
		lapic_send_others(LAPIC_INIT);
}

u32 kick_take(void)
{
	return __atomic_exchange_n(&this_cpu()->kicks, 0, __ATOMIC_ACQUIRE);
}

void kick_wait(void)
{
	kick_wait_for(&this_cpu()->looks);
}

bool kick_stop_asked(void)
{
	return __atomic_load_n(&this_cpu()->kicks, __ATOMIC_ACQUIRE) & KICK_STOP;
}
