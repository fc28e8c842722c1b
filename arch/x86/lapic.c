/* SPDX-License-Identifier: BSD-2-Clause */
/* See lapic.h. Sections are of SDM vol. 3, chapter 10. */
#include "arch/x86/lapic.h"

#include "arch/x86/cpu.h"
#include "lib/x86.h"
#include "mm/phys.h"

/* Registers, table 10-1 */
enum { REG_ID = 0x20, REG_EOI = 0xb0, REG_ISR = 0x100, REG_ICR_LOW = 0x300, REG_ICR_HIGH = 0x310 };
#define ISR_WORDS 8u

/* Section 10.6.1 */
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_OTHERS (3u << 18)
#define XAPIC_ID_SHIFT 24
#define XAPIC_ALL 0xffu /* as a destination */
#define X2APIC_ALL 0xffffffffu
#define PENDING_POLLS 1000000u /* each some 100 ns */

static u64 base(void)
{
	return rdmsr(MSR_APIC_BASE);
}

static volatile u32 *reg(u32 offset)
{
	return (volatile u32 *)((u8 *)phys_to_virt(hpa(base() & APIC_BASE_ADDRESS)) + offset);
}

bool lapic_present(void)
{
	u64 value;

	return cpuid(1, 0).edx & CPUID1_EDX_APIC && !rdmsr_safe(MSR_APIC_BASE, &value) && (value & APIC_BASE_ENABLE);
}

bool lapic_is_x2apic(void)
{
	return base() & APIC_BASE_X2APIC;
}

void lapic_join(bool x2apic)
{
	u64 value = base();

	if (!(value & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, value |= APIC_BASE_ENABLE);
	if (x2apic && !(value & APIC_BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, value | APIC_BASE_X2APIC);
}

static u32 read_reg(u32 offset)
{
	return lapic_is_x2apic() ? (u32)rdmsr(MSR_X2APIC_BASE + offset / 16) : *reg(offset);
}

void lapic_end_interrupt(void)
{
	u32 in_service = 0;

	for (u32 i = 0; i < ISR_WORDS; i++)
		in_service |= read_reg(REG_ISR + 16 * i);
	if (!in_service)
		return;
	if (lapic_is_x2apic())
		wrmsr(MSR_X2APIC_BASE + REG_EOI / 16, 0);
	else
		*reg(REG_EOI) = 0;
}

u32 lapic_id(void)
{
	return lapic_is_x2apic() ? (u32)rdmsr(MSR_X2APIC_ID) : *reg(REG_ID) >> XAPIC_ID_SHIFT;
}

static void wait_sent(void)
{
	for (u32 i = 0; i < PENDING_POLLS && (*reg(REG_ICR_LOW) & ICR_PENDING); i++)
		cpu_relax();
}

static void write_icr(u32 destination, u32 low)
{
	u32 high;

	low |= ICR_ASSERT;
	if (lapic_is_x2apic()) { /* no delivery status there, section 10.12.9; it waits for no store, 10.12.3 */
		cpu_store_fence();
		wrmsr(MSR_X2APIC_ICR, (u64)destination << 32 | low);
		return;
	}
	wait_sent();
	high = *reg(REG_ICR_HIGH);
	*reg(REG_ICR_HIGH) = destination << XAPIC_ID_SHIFT;
	*reg(REG_ICR_LOW) = low;
	wait_sent();
	*reg(REG_ICR_HIGH) = high; /* the guest may be between its two writes (C4) */
}

bool lapic_can_name(u32 apic_id)
{
	return lapic_is_x2apic() ? apic_id != X2APIC_ALL : apic_id < XAPIC_ALL;
}

void lapic_send(u32 apic_id, u32 command)
{
	if (lapic_can_name(apic_id))
		write_icr(apic_id, command);
}

void lapic_send_others(u32 command)
{
	write_icr(0, command | ICR_OTHERS);
}
