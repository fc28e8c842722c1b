/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See smp.h. All others get an INIT first, also those that no table names: a firmware's waiting loop lies in memory
 * that the guest may write. What then waits for a start-up message is started into the start-up page, one
 * after the other where ACPI names them, else all at once; there the exchange of struct startup's `next` lets in one at a time.
 * None is left as it is after an INIT, where on QEMU an NMI has it run the guest's memory: who is not taken halts in the page, and
 * who fails on the way stays where it is, in code of ours. No second INIT is sent to anyone.
 */
#include "arch/x86/smp.h"

#include "arch/x86/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid_bits.h"
#include "arch/x86/idt.h"
#include "arch/x86/kick.h"
#include "arch/x86/lapic.h"
#include "arch/x86/memory.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/startup.h"
#include "lib/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/phys.h"

/* SDM vol. 3 section 8.4.4.1: between INIT and start-up; between two start-up messages, more than the 200 us asked for. */
#define INIT_WAIT_US 10000u
#define REPEAT_US 10000u
/* Where the processors are another system's threads, each waits for its turn there: so many times as long. */
#define COME_UP_US 1000000u
#define PATIENCE_OF_GUESTS 10u
/* Without tables: so long after the last one that came. */
#define SILENCE_US 200000u

/* Page tables: for the start-up page at its own address and the first CPU's stacks; for the stacks of each. */
#define TABLES_AT_FIRST 8u
#define TABLES_PER_CPU 1u

static struct {
	const struct vendor *vendor;
	struct startup *startup;
	hpa_t page;
	struct percpu *next; /* laid out and not taken yet, or NULL */
	u32 count;           /* numbers given to CPUs, the boot CPU's among them */
	bool x2apic;
	void (*run)(struct vcpu *vcpu);
} smp = {.count = 1};

/* --- on the CPU that comes up ----------------------------------------------- */

/* Interrupts are off: an NMI, #SX or a machine check ends a halt. */
static NORETURN void wait_for_kicks(struct percpu *cpu)
{
	struct vcpu *vcpu;

	for (;;) {
		kick_wait();
		__atomic_store_n(&cpu->looks, false, __ATOMIC_SEQ_CST);
		vcpu = __atomic_load_n(&cpu->vcpu, __ATOMIC_ACQUIRE);
		if (vcpu)
			smp.run(vcpu);
	}
}

/* What the start-up page calls, on the CPU's own stack. */
static NORETURN void begin(struct percpu *cpu)
{
	u32 state = CPU_WAITS;

	__atomic_store_n(&cpu->state, CPU_BEGUN, __ATOMIC_RELEASE);
	percpu_load(cpu);
	idt_load();
	memory_enter_cpu();
	lapic_join(smp.x2apic);
	cpu->apic_id = lapic_id();
	__atomic_store_n(&cpu->reachable, true, __ATOMIC_RELEASE); /* a panic elsewhere sends it an NMI */
	if (smp.vendor->cpu_enable())
		state = CPU_FAILED;
	else if (smp.vendor->cpu_listen)
		smp.vendor->cpu_listen();
	__atomic_store_n(&cpu->state, state, __ATOMIC_RELEASE);
	wait_for_kicks(cpu);
}

/* --- on the boot CPU -------------------------------------------------------- */

static u32 come_up_us(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR ? COME_UP_US * PATIENCE_OF_GUESTS : COME_UP_US;
}

static u32 state_of(const struct percpu *cpu)
{
	return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE);
}

/* One turn of a wait; false: the time is over. A panic elsewhere stops us, interrupts being off. */
static bool wait_on(u64 deadline)
{
	if (kick_stop_asked())
		cpu_stop();
	cpu_relax();
	return !clock_passed(deadline);
}

/* Waits until the state is reached; false if it was not in time. */
static bool wait_state(const struct percpu *cpu, u32 state, u64 deadline)
{
	while (state_of(cpu) < state)
		if (!wait_on(deadline))
			return false;
	return true;
}

static struct percpu *lay_out(u32 id)
{
	struct percpu *cpu;

	if (memory_grow_tables(TABLES_PER_CPU))
		return NULL;
	cpu = memory_take(1);
	if (!cpu || memory_map_cpu(id))
		return NULL;
	percpu_init(cpu, id, &PERCPU_STACKS[id]);
	((u64 *)cpu->stack_top)[-1] = (u64)cpu;
	cpu->backend = smp.vendor->cpu_alloc();
	if (!cpu->backend)
		return NULL;
	percpu_publish(cpu);
	return cpu;
}
_Static_assert(sizeof(struct percpu) <= PAGE_SIZE, "lay_out() takes one page");

/* Something for the next CPU to take is in the start-up page; false: there is no memory or no room for one. */
static bool offer(void)
{
	if (!smp.next && smp.count < PERCPU_MAX)
		smp.next = lay_out(smp.count);
	if (!smp.next)
		return false;
	BUG_ON((u64)(s32)smp.next->stack_top != smp.next->stack_top);
	__atomic_store_n(&smp.startup->next, (u32)smp.next->stack_top, __ATOMIC_RELEASE);
	return true;
}

/* Takes the offer back; false: a CPU has it. */
static bool withdraw(void)
{
	return __atomic_exchange_n(&smp.startup->next, 0, __ATOMIC_ACQ_REL);
}

/* It can be reached: an NMI finds its handler, which finds the reason. */
static bool answers(struct percpu *cpu)
{
	u64 deadline = clock_after(come_up_us());

	kick_send(cpu, KICK_ANSWER);
	while (!__atomic_load_n(&cpu->kicks_taken, __ATOMIC_ACQUIRE))
		if (!wait_on(deadline))
			return false;
	return true;
}

/* A CPU has the offer: it is ours if it comes to its end. What it took is never offered again: it may come late, or run. */
static bool take(u64 deadline)
{
	struct percpu *cpu = smp.next;
	const char *why = NULL;

	smp.next = NULL;
	if (!wait_state(cpu, CPU_WAITS, deadline))
		why = "did not come up in time";
	else if (state_of(cpu) == CPU_FAILED)
		why = "cannot be used";
	else if (!answers(cpu))
		why = "does not answer";
	smp.count++; /* the number is used up */
	if (state_of(cpu) >= CPU_WAITS && cpu->trouble)
		log_warn("processors: CPU %u (APIC ID %u): %s: %s\n", cpu->id, cpu->apic_id, smp.vendor->name,
			 cpu->trouble);
	if (!why)
		return true;
	cpu->given_up = true;
	log_warn("processors: CPU %u (APIC ID %u) %s: it stays off\n", cpu->id, cpu->apic_id, why);
	return false;
}

static u32 startup_command(void)
{
	return LAPIC_STARTUP | (u32)(smp.page.v >> PAGE_SHIFT);
}

/* Starts one that is named by its APIC ID. */
static bool start_one(u32 apic_id)
{
	u64 again = clock_after(REPEAT_US), deadline = clock_after(come_up_us());

	if (!lapic_can_name(apic_id)) {
		log_warn("processors: APIC ID %u cannot be named in xAPIC mode: it stays off\n", apic_id);
		return false;
	}
	if (!offer()) {
		log_warn("processors: no memory for the one with APIC ID %u: it stays off\n", apic_id);
		return false;
	}
	smp.next->apic_id = apic_id; /* until it says so itself */
	lapic_send(apic_id, startup_command());
	if (!wait_state(smp.next, CPU_BEGUN, again)) /* one that has begun passes the second by */
		lapic_send(apic_id, startup_command());
	if (!wait_state(smp.next, CPU_BEGUN, deadline) && withdraw()) {
		log_warn("processors: the one with APIC ID %u did not come up in time: it stays off\n", apic_id);
		return false;
	}
	return take(deadline);
}

static u32 start_listed(const struct acpi_cpus *cpus)
{
	u32 started = 0;

	for (u32 i = 0; i < cpus->count; i++)
		if (cpus->apic_id[i] != percpu_boot.apic_id)
			started += start_one(cpus->apic_id[i]);
	if (cpus->left_off)
		log_warn("processors: %u more than there is room for stay off\n", cpus->left_off);
	return started;
}

/* All at once, where nobody says who there is; each waits in the start-up page for its turn. */
static u32 start_unknown(void)
{
	u64 again = clock_after(REPEAT_US);
	u32 started = 0;

	if (!offer())
		return 0;
	lapic_send_others(startup_command());
	if (!wait_state(smp.next, CPU_BEGUN, again))
		lapic_send_others(startup_command());
	do {
		if (!wait_state(smp.next, CPU_BEGUN, clock_after(SILENCE_US)) && withdraw())
			return started;
		started += take(clock_after(come_up_us()));
	} while (offer());
	return started;
}

/* --- the start-up page ------------------------------------------------------ */

#define DESC_CODE32 0x00cf9b000000ffffull /* as in gdt.c, D instead of L */

static u32 offset_of(const u8 *place)
{
	return (u32)((u64)place - (u64)startup_begin);
}

static u32 address_of(const u8 *place)
{
	return (u32)smp.page.v + offset_of(place);
}

static void fill_page(const struct boot_info *info)
{
	u8 *page = phys_to_virt(hpa(info->startup_page));
	struct startup *s = (struct startup *)(page + offset_of(startup_data));

	BUG_ON(offset_of(startup_end) > PAGE_SIZE - STARTUP_FRAME);
	smp.page = hpa(info->startup_page);
	smp.startup = s;
	memcpy(page, startup_begin, offset_of(startup_end));
	*s = (struct startup){
		.cr3 = memory_root(),
		.code32 = {address_of(startup_code32), STARTUP_SEL_CODE32},
		.code64 = {address_of(startup_code64), SEL_CODE},
		.interrupts = {sizeof(s->vectors) - 1,
			       address_of(startup_data) + (u32)offsetof(struct startup, vectors)},
		.vectors[VEC_NMI] = {(u16)offset_of(startup_nmi), (u16)(smp.page.v >> 4)},
		.gdt_pointer = {sizeof(s->gdt) - 1, address_of(startup_data) + (u32)offsetof(struct startup, gdt)},
		.entry = (u64)begin,
	};
	s->gdt[SEL_CODE / 8] = percpu_boot.gdt.entry[SEL_CODE / 8];
	s->gdt[SEL_DATA / 8] = percpu_boot.gdt.entry[SEL_DATA / 8];
	s->gdt[STARTUP_SEL_CODE32 / 8] = DESC_CODE32;
}

/*
 * Who comes from now on halts in the page, which stays hidden, and all that still wait for a start-up message come: those
 * for which there was no memory, and those that no table names. The others do not wait for one and ignore it.
 */
static void close_page(void)
{
	__atomic_store_n(&smp.startup->closed, 1, __ATOMIC_RELEASE);
	lapic_send_others(startup_command());
	clock_wait(REPEAT_US);
	lapic_send_others(startup_command());
}

static void report(u32 started)
{
	char ids[96];
	u32 length = 0;

	for (u32 i = 0; i < smp.count && length < sizeof(ids) - 16; i++) {
		const struct percpu *cpu = percpu_of(i);

		if (!i || (cpu && percpu_is_taken(cpu)))
			length += (u32)snprintf(ids + length, sizeof(ids) - length, " %u", cpu->apic_id);
	}
	log_info("processors: %u taken, APIC IDs%s%s\n", started + 1, ids, length < sizeof(ids) - 16 ? "" : " ...");
}

/* cpus: those that ACPI names, NULL where it is silent. How many were taken. The page is filled. */
static u32 start_others(const struct acpi_cpus *cpus)
{
	u32 started;

	if (cpus && cpus->count < 2)
		return 0;
	if (memory_grow_tables(TABLES_AT_FIRST) || memory_map_startup(smp.page, true)) {
		log_warn("processors: no memory to start the others: they stay off\n");
		return 0;
	}
	started = cpus ? start_listed(cpus) : start_unknown();
	if (memory_map_startup(smp.page, false))
		panic("processors: the start-up page cannot be unmapped");
	return started;
}

void smp_take_all(const struct boot_info *info, const struct vendor *vendor, void (*run)(struct vcpu *vcpu))
{
	static struct acpi_cpus cpus;
	u32 started = 0;
	bool listed = !acpi_find_cpus(memory_of_firmware, info->acpi_rsdp, &cpus);

	if (!lapic_present()) {
		log_warn("processors: the local APIC is off, so others, if there are any, are not taken\n");
		return;
	}
	smp.vendor = vendor;
	smp.run = run;
	smp.x2apic = lapic_is_x2apic();
	lapic_send_others(LAPIC_INIT);
	clock_wait(INIT_WAIT_US);
	if (info->startup_page) {
		fill_page(info);
		started = start_others(listed ? &cpus : NULL);
		close_page();
	} else {
		log_warn("processors: no page below 576 KiB to start others, if there are any: they stay off\n");
	}
	if (!listed || cpus.count > 1)
		report(started);
}
