/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions executed on the hardware for the guest; see hw.h. */
#include "arch/x86/guest/hw.h"

#include "arch/x86/guest/vcpu.h"
#include "arch/x86/interrupt.h"
#include "arch/x86/kick.h"
#include "arch/x86/memory.h"
#include "lib/spinlock.h"
#include "mm/phys.h"

#define PORT_RESET 0xcf9
#define PORT_KEYBOARD 0x64
#define KEYBOARD_PULSE_RESET 0xfe

struct cpuid_regs hw_cpuid(u32 leaf, u32 subleaf)
{
	return cpuid(leaf, subleaf);
}
struct trace_ring *hw_trace_here(struct trace_record *record)
{
	const struct percpu *cpu = percpu_of(percpu_id_by_stack());
	struct vcpu *vcpu = cpu ? __atomic_load_n(&cpu->vcpu, __ATOMIC_ACQUIRE) : NULL;

	if (!vcpu)
		return NULL;
	record->rip = vcpu->exits ? vcpu_last_exit(vcpu)->rip : vcpu->rip;
	record->cr3 = vcpu->cr3;
	if (!record->address)
		record->address = record->rip;
	return &vcpu->trace;
}
int hw_msr_read(u32 msr, u64 *value)
{
	return rdmsr_safe(msr, value) ? -EFAULT : 0;
}
int hw_msr_write(u32 msr, u64 value)
{
	return wrmsr_safe(msr, value) ? -EFAULT : 0;
}
void hw_wbinvd(void)
{
	wbinvd();
}
u64 hw_read_cr8(void)
{
	return read_cr8();
}
u64 hw_read_dr(u32 n)
{
	switch (n) {
	case 0: return read_dr0();
	case 1: return read_dr1();
	case 2: return read_dr2();
	case 6: return read_dr6();
	default: return read_dr3();
	}
}
void hw_write_dr(u32 n, u64 value)
{
	switch (n) {
	case 0: write_dr0(value); break;
	case 1: write_dr1(value); break;
	case 2: write_dr2(value); break;
	case 7: write_dr7(value); break;
	default: write_dr3(value); break;
	}
}
u32 hw_read_pkru(void)
{
	return rdpkru();
}

/* The hypervisor itself may run with OSXSAVE off. */
int hw_xsetbv(u32 index, u64 value)
{
	u64 cr4 = read_cr4();
	int err;

	write_cr4(cr4 | CR4_OSXSAVE);
	err = xsetbv_safe(index, value);
	write_cr4(cr4);
	return err ? -EFAULT : 0;
}

u32 hw_in(u16 port, u32 size)
{
	return size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
}

void hw_out(u16 port, u32 size, u32 value)
{
	if (size == 1)
		out8(port, value);
	else if (size == 2)
		out16(port, value);
	else
		out32(port, value);
}

u64 hw_mmio_read(hpa_t at, u32 size)
{
	const volatile void *p = phys_to_virt(at);

	switch (size) {
	case 1: return *(const volatile u8 *)p;
	case 2: return *(const volatile u16 *)p;
	case 4: return *(const volatile u32 *)p;
	default: return *(const volatile u64 *)p;
	}
}

void hw_mmio_write(hpa_t at, u32 size, u64 value)
{
	volatile void *p = phys_to_virt(at);

	switch (size) {
	case 1: *(volatile u8 *)p = (u8)value; break;
	case 2: *(volatile u16 *)p = (u16)value; break;
	case 4: *(volatile u32 *)p = (u32)value; break;
	default: *(volatile u64 *)p = value; break;
	}
}

#define CR0_STATE (CR0_MP | CR0_EM | CR0_TS)
#define CR4_STATE (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE)

/*
 * The page is writable or executable, never both. XCR0 is the guest's all the time; of CR0 and CR4 the bits that
 * let it use vector and x87 state are lent to the CPU, so that #UD and #NM come as in the guest.
 */
void hw_execute(struct execute *e)
{
	static u8 page[PAGE_SIZE] ALIGNED(PAGE_SIZE);
	static struct execute_bounce bounce;
	static struct spinlock lock;
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	spin_lock(&lock);
	memory_set_executable(page, false); /* another CPU may have had it so, and this one's TLB remember */
	execute_prepare(e, page, &bounce);
	memory_set_executable(page, true);
	write_cr4((cr4 & ~CR4_STATE) | (e->cr4 & CR4_STATE));
	write_cr0((cr0 & ~CR0_STATE) | (e->cr0 & CR0_STATE));
	execute_run(e);
	write_cr4(cr4 | CR4_OSFXSR);
	execute_x87_end(e);
	write_cr0(cr0);
	write_cr4(cr4);
	memory_set_executable(page, false);
	execute_finish(e, &bounce);
	spin_unlock(&lock);
}

static volatile u32 *apic_register(hpa_t page, u32 offset)
{
	return (volatile u32 *)((u8 *)phys_to_virt(page) + (offset & 0xff0));
}

u32 hw_apic_read(hpa_t page, u32 offset)
{
	return *apic_register(page, offset);
}
void hw_apic_write(hpa_t page, u32 offset, u32 value)
{
	*apic_register(page, offset) = value;
}

static void delay(void)
{
	for (u32 i = 0; i < 100000; i++)
		in8(0x80);
}

NORETURN void hw_reset(void)
{
	const struct table_pointer none = {0, 0};

	out8(PORT_RESET, 0x02);
	out8(PORT_RESET, 0x06);
	delay();
	out8(PORT_KEYBOARD, KEYBOARD_PULSE_RESET);
	delay();
	lidt(&none);
	asm volatile("int3");
	hw_stop();
}

NORETURN void hw_stop(void)
{
	for (;;) {
		cpu_irq_disable();
		cpu_halt();
	}
}

bool hw_stop_asked(void)
{
	return kick_stop_asked();
}

void hw_kick(u32 cpu)
{
	kick_send(percpu_of(cpu), KICK_LOOK);
}

void hw_kick_to_flush(u32 cpu)
{
	kick_send(percpu_of(cpu), KICK_FLUSH);
}

bool hw_was_kicked(void)
{
	return __atomic_exchange_n(&this_cpu()->looks, false, __ATOMIC_SEQ_CST);
}

void hw_kick_again(void)
{
	kick_again();
}

/* Lets NMIs in, or no longer; where the vendor has no way they come anyway. */
static void hear(void (*change)(void))
{
	if (change)
		change();
}

void hw_wait(const struct vendor *vendor)
{
	hear(vendor->cpu_listen);
	kick_wait();
	hear(vendor->cpu_deafen);
}

int hw_take_interrupt(void)
{
	return interrupt_take();
}

int hw_wait_interrupt(void)
{
	return interrupt_wait();
}

void hw_drop_interrupts(const struct vendor *vendor)
{
	hear(vendor->cpu_listen);
	cpu_irq_window();
	hear(vendor->cpu_deafen);
}

u64 hw_nmi_count(void)
{
	return this_cpu()->nmi_count;
}

u64 hw_nmis(const struct vendor *vendor)
{
	hear(vendor->cpu_listen);
	hear(vendor->cpu_deafen);
	return this_cpu()->nmi_count;
}

void hw_runs_guest(void)
{
	__atomic_store_n(&this_cpu()->runs_guest, true, __ATOMIC_RELAXED);
}

void hw_stop_others(void)
{
	kick_stop_others();
}

struct hw_cpus hw_cpus(void)
{
	struct hw_cpus sum = {0};

	for (u32 i = 0; i < PERCPU_MAX; i++) {
		const struct percpu *cpu = percpu_of(i);

		if (!cpu)
			continue;
		sum.owned += percpu_is_taken(cpu);
		sum.nmis += percpu_runs_guest(cpu) ? 0 : cpu->nmi_count;
		sum.inits += percpu_runs_guest(cpu) ? 0 : cpu->init_count;
	}
	return sum;
}
