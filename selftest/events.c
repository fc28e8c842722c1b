/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts, timers, NMIs and all processors, on the tables of tests/guest/lib/smp.h. */
#include "arch/x86/acpi.h"
#include "selftest/selftest.h"
#include "tests/guest/lib/smp.h"

#define VEC_LOW 0x50u
#define VEC_HIGH 0x61u
#define VEC_TIMER 0x70u
#define VEC_PIC 0x80u
#define VEC_SHOOT 0x90u
#define TIMER_DIVIDE 0x3e0
#define TIMER_CURRENT 0x390
#define DIVIDE_1 0xbu
#define LVT_PERIODIC BIT(17)
#define LVT_MASKED BIT(16)
#define LVT_EXTINT 0x700u
#define PIT_COMMAND 0x43
#define PIT_COUNTER 0x40
#define PIT_RATE 0x34 /* counter 0, both bytes, mode 2 */
#define PIT_1KHZ 1193u
#define NMIS 20u
#define SHOTS 30u
#define CPU_ROUNDS 200u

static struct smp_cpu *self;

static bool comes(u32 vector, u32 count, u64 ms)
{
	return WAIT_MS(self->count[vector] >= count, ms);
}

static void begin(u32 vector, smp_handler *handler)
{
	self = smp_self();
	self->count[vector] = 0;
	smp_handle(vector, handler);
}

/* --- interrupts --- */
static u32 order[4], ordered;

static void in_order(struct smp_cpu *cpu, struct smp_frame *frame)
{
	if (ordered < ARRAY_SIZE(order))
		order[ordered++] = (u32)frame->vector;
}

static void check_interrupts(void)
{
	begin(VEC_LOW, in_order);
	begin(VEC_HIGH, in_order);
	for (u32 i = 1; i <= 50; i++) {
		ordered = 0;
		apic_send(self->id, VEC_LOW | ICR_ASSERT);
		apic_send(self->id, VEC_HIGH | ICR_ASSERT);
		WAIT_MS(apic_read(APIC_IRR + 0x10 * (VEC_LOW / 32)) & BIT(VEC_LOW % 32), 100);
		EXPECT(!ordered, "an interrupt comes with IF clear");
		asm volatile("sti; nop; nop; nop");
		WAIT_MS(ordered == 2, 500);
		asm volatile("cli");
		if (!EXPECT(self->count[VEC_LOW] == i && self->count[VEC_HIGH] == i,
			    "of %u interrupts to itself came %u and %u", i, self->count[VEC_LOW],
			    self->count[VEC_HIGH]) ||
		    !EXPECT(order[0] == VEC_HIGH, "the lower vector comes first"))
			return;
	}
	asm volatile("int %0" : : "i"(VEC_LOW));
	EXPECT(self->count[VEC_LOW] == 51, "INT n does not come");
}

/* --- timers --- */
static void check_tsc(void)
{
	u64 last = clock_now(), measured = 0;

	for (u32 i = 0; i < 10000; i++) {
		u64 now = clock_now();

		if (!EXPECT(now >= last, "it goes back by %lu", last - now))
			return;
		last = now;
	}
	if (!clock_has_pit()) {
		note("%lu MHz, without a PIT to compare", clock_hz() / 1000000);
		return;
	}
	for (u32 i = 0; i < 5; i++) { /* an emulator that waits for its turn is late at times */
		measured = clock_measure();
		if (measured && measured * 10 > 9 * (clock_hz() * 65535 / 1193182) &&
		    measured * 10 < 11 * (clock_hz() * 65535 / 1193182))
			break;
	}
	note("%lu MHz by the PIT", clock_hz() / 1000000);
}

static void check_lapic_timer(void)
{
	u32 ticks;
	u64 since;

	begin(VEC_TIMER, NULL);
	apic_write(TIMER_DIVIDE, DIVIDE_1);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_INITIAL, 0xffffffff);
	since = clock_now();
	WAIT_MS(false, 20);
	ticks = 0xffffffff - apic_read(TIMER_CURRENT);
	if (!EXPECT(ticks, "it does not count"))
		return;
	apic_write(APIC_LVT_TIMER, VEC_TIMER);
	apic_write(APIC_TIMER_INITIAL, ticks); /* 20 ms */
	asm volatile("sti");
	EXPECT(comes(VEC_TIMER, 1, 2000), "one shot does not come in 2 s");
	apic_write(APIC_LVT_TIMER, LVT_PERIODIC | VEC_TIMER);
	apic_write(APIC_TIMER_INITIAL, ticks / 4 + 1);
	EXPECT(comes(VEC_TIMER, 11, 5000), "of 10 periods %u came in 5 s", self->count[VEC_TIMER] - 1);
	for (u32 i = 0; i < 3 && !clock_over(since, 9000); i++)
		asm volatile("sti; hlt"); /* woken by it */
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TIMER_INITIAL, 0);
	asm volatile("nop; cli");
	note("%u kHz", ticks / 20);
}

static void pic_init(void)
{
	static const u8 words[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, VEC_PIC}, {0xa1, VEC_PIC + 8},
				      {0x21, 4},    {0xa1, 2},    {0x21, 1},       {0xa1, 1},
				      {0x21, 0xfe}, {0xa1, 0xff}};

	for (u32 i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i][0], words[i][1]);
}

static void pic_tick(struct smp_cpu *cpu, struct smp_frame *frame)
{
	outb(0x20, 0x20);
}

static void check_pit(void)
{
	if (!clock_has_pit()) {
		skip("this machine has none that counts");
		return;
	}
	begin(VEC_PIC, pic_tick);
	smp_handle(VEC_PIC + 7, NULL); /* spurious */
	pic_init();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	outb(PIT_COMMAND, PIT_RATE);
	outb(PIT_COUNTER, (u8)PIT_1KHZ);
	outb(PIT_COUNTER, (u8)(PIT_1KHZ >> 8));
	asm volatile("sti");
	comes(VEC_PIC, 50, 3000);
	asm volatile("cli");
	outb(0x21, 0xff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	EXPECT(self->count[VEC_PIC] >= 10, "of 3000 interrupts came %u", self->count[VEC_PIC]);
}

/* --- NMIs --- */
static void check_nmi(void)
{
	begin(VEC_NMI, NULL);
	for (u32 i = 1; i <= NMIS; i++) {
		apic_send(self->id, ICR_NMI | ICR_ASSERT);
		if (!EXPECT(comes(VEC_NMI, i, 1000), "of %u to itself came %u", i, self->count[VEC_NMI]))
			return;
	}
	EXPECT(self->count[VEC_NMI] == NMIS && self->deepest == 1, "of %u came %u, %u deep", NMIS,
	       self->count[VEC_NMI], self->deepest);
}

/* --- all processors --- */
static struct acpi_cpus cpus;
static u64 shared[2]; /* pages */
static volatile u32 stop;

static const u8 *map(u64 address, u32 bytes)
{
	return address && address + bytes <= 1ull << 32 ? (const u8 *)address : NULL;
}

static u64 own_va(const struct smp_cpu *cpu)
{
	return TEST_VA + (u64)cpu->id * (4ull << 20);
}

/* A page of this processor's own, moved about; its ticks are the rounds that went well. */
static void work(struct smp_cpu *cpu)
{
	u64 va = own_va(cpu);
	volatile u64 *leaf = (volatile u64 *)cpu->argument;

	for (u32 i = 0; i < CPU_ROUNDS; i++) {
		*leaf = shared[i & 1] | PTE_P | PTE_W;
		invlpg(va);
		if (load(va) != shared[i & 1] || !(*leaf & PTE_A))
			return;
		cpu->ticks++;
	}
}

/* What it reads through the shared page, until it is told to stop. */
static void watch(struct smp_cpu *cpu)
{
	asm volatile("sti");
	while (!stop)
		cpu->ready = load(TEST_VA - PAGE_SIZE);
	asm volatile("cli");
}

static void shot(struct smp_cpu *cpu, struct smp_frame *frame)
{
	invlpg(TEST_VA - PAGE_SIZE);
	cpu->ticks++;
}

static bool shoot(u32 id)
{
	struct smp_cpu *cpu = smp_cpus[id];
	volatile u64 *leaf = space_map(&smp_space, TEST_VA - PAGE_SIZE, shared[0], PTE_P | PTE_W | PTE_A, 1);
	bool good = true;

	stop = 0;
	invlpg(TEST_VA - PAGE_SIZE);
	smp_call(id, watch, 0);
	for (u32 i = 1; i <= SHOTS && good; i++) {
		*leaf = shared[i & 1] | PTE_P | PTE_W | PTE_A;
		apic_send(id, VEC_SHOOT | ICR_ASSERT);
		good = EXPECT(WAIT_MS(cpu->ticks == i, 5000), "processor %u: interrupt %u does not come", id, i) &&
		       EXPECT(WAIT_MS(cpu->ready == shared[i & 1], 5000),
			      "processor %u reads what was mapped before", id);
	}
	stop = 1;
	return EXPECT(smp_join(id), "processor %u does not come back", id) && good;
}

static bool check_processor(u32 id)
{
	struct smp_cpu *cpu;

	smp_add(id);
	cpu = smp_cpus[id];
	if (!EXPECT(smp_restart(id), "processor %u does not start", id))
		return false;
	if (!EXPECT(smp_do(id, work, (u64)space_entry(&smp_space, own_va(cpu), 1)),
		    "processor %u does not come back", id) ||
	    !EXPECT(cpu->ticks == CPU_ROUNDS, "processor %u: wrong in round %lu", id, cpu->ticks) || !shoot(id))
		return false;
	apic_send(id, ICR_NMI | ICR_ASSERT);
	return EXPECT(WAIT_MS(cpu->count[VEC_NMI] == 1, 5000), "processor %u: of 1 NMI came %u", id,
		      cpu->count[VEC_NMI]) &&
	       EXPECT(smp_restart(id), "processor %u does not start a second time", id);
}

static void check_processors(void)
{
	u32 good = 1;

	begin(VEC_NMI, NULL);
	smp_handle(VEC_SHOOT, shot);
	for (u32 i = 0; i < 2; i++) {
		shared[i] = (u64)(uintptr_t)alloc_pages(1);
		store(shared[i], shared[i]);
	}
	if (!block->machine.acpi_rsdp || acpi_find_cpus(map, block->machine.acpi_rsdp, &cpus)) {
		skip("no table names the others");
		return;
	}
	for (u32 i = 0; i < cpus.count && !has_failed(); i++) {
		u32 id = cpus.apic_id[i];

		if (id != self->id && id < 255)
			good += check_processor(id);
	}
	if (good == 1)
		skip("there is one processor, or the hypervisor gives the guest one");
	note("%u processors", good);
}

const struct check_item event_checks[] = {
	{"interrupts", check_interrupts},
	{"timer: TSC", check_tsc},
	{"timer: local APIC", check_lapic_timer},
	{"timer: PIT and PIC", check_pit},
	{"NMIs", check_nmi},
	{"all processors", check_processors},
	{NULL, NULL},
};
