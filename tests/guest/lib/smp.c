/* SPDX-License-Identifier: BSD-2-Clause */
/* See smp.h. */
#include "tests/guest/lib/smp.h"

#define START_FIRST 0x2000ull /* the page must be reached by 16-bit addresses from segment 0 */
#define START_END 0xf000ull
#define MSR_X2APIC 0x800u
#define SVR_ON 0x1ffu

_Static_assert(__builtin_offsetof(struct smp_start, marker_at) == 24 &&
		       __builtin_offsetof(struct smp_start, gpr) == 32 &&
		       __builtin_offsetof(struct smp_start, seen) == 80 &&
		       __builtin_offsetof(struct smp_start, dr) == 116 && sizeof(struct smp_start) == 166,
	       "smp.asm knows it");
_Static_assert(sizeof(struct smp_cpu) < 0x1000, "the rest of the block is stacks");

struct smp_cpu *smp_cpus[256];
u32 smp_count;
u32 smp_first;
struct space smp_space;
struct smp_start *smp_start_page;
u32 smp_start_vector;
bool smp_x2apic;

static smp_handler *handlers[256];
static struct descriptor idt_descriptor;
static u64 next_start = START_FIRST;
extern char smp_code[], smp_code_end[], smp_code32[], smp_code32_end[], smp_nmi_code[], smp_nmi_code_end[],
	smp_stubs[];

NORETURN void smp_main(struct smp_cpu *cpu);
void smp_interrupt(struct smp_frame *frame);
void smp_on_stack(void (*fn)(void), void *top);

struct smp_cpu *smp_self(void)
{
	u64 rsp;

	asm volatile("mov %%rsp, %0" : "=r"(rsp));
	return (struct smp_cpu *)(rsp & ~(SMP_BLOCK - 1));
}

/* --- the local APIC --- */

u32 apic_read(u32 offset)
{
	if (smp_x2apic)
		return (u32)rdmsr(MSR_X2APIC + offset / 16);
	return *(volatile u32 *)(APIC_PAGE + offset);
}

void apic_write(u32 offset, u32 value)
{
	if (smp_x2apic)
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		*(volatile u32 *)(APIC_PAGE + offset) = value;
}

void apic_send(u32 destination, u32 command)
{
	if (smp_x2apic) {
		asm volatile("mfence; lfence" : : : "memory"); /* the MSR does not order what was stored */
		wrmsr(MSR_X2APIC_ICR, (u64)destination << 32 | command);
		return;
	}
	while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
		asm volatile("pause");
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR_LOW, command);
}

/* --- interrupts --- */

static void unexpected(const struct smp_cpu *cpu, const struct smp_frame *f)
{
	check(false, "no interrupt comes that nobody expects", "CPU %u vector %lu error %lx rip %lx cr2 %lx rsp %lx",
	      cpu->id, f->vector, f->error, f->rip, read_cr2(), f->rsp);
	finish();
}

void smp_interrupt(struct smp_frame *frame)
{
	struct smp_cpu *cpu = smp_self();
	u32 vector = (u32)frame->vector;

	cpu->count[vector]++;
	if (vector == VEC_NMI) {
		cpu->depth++;
		cpu->deepest = MAX(cpu->deepest, cpu->depth);
	}
	if (handlers[vector])
		handlers[vector](cpu, frame);
	if (vector == VEC_NMI)
		cpu->depth--;
	if (vector >= 32)
		apic_write(APIC_EOI, 0);
}

static void other_interrupt(struct smp_cpu *cpu, struct smp_frame *frame)
{
	unexpected(cpu, frame);
}

void smp_handle(u32 vector, smp_handler *handler)
{
	handlers[vector] = handler;
	set_handler(vector, smp_stubs + vector * 16);
}

void smp_refuse(u32 vector)
{
	smp_handle(vector, other_interrupt);
}

/* --- layout --- */

static bool is_ram(u64 at)
{
	for (u32 i = 0; i < boot.e820_count; i++) {
		const struct e820_entry *e = &boot.e820[i];

		if (e->type == E820_RAM && e->base <= at && at + PAGE_SIZE <= e->base + e->size)
			return true;
	}
	return false;
}

static struct smp_start *make_start_page(u32 *vector)
{
	struct smp_start *start;
	u64 at = next_start;
	u32 page;

	while (at < START_END && !is_ram(at))
		at += PAGE_SIZE;
	if (at >= START_END) {
		check(false, "there is memory for a start page", " ");
		finish();
	}
	next_start = at + PAGE_SIZE;
	page = (u32)at;
	memset((void *)at, 0, PAGE_SIZE);
	if (option("protected", 0)) {
		memcpy((void *)at, smp_code32, (uintptr_t)smp_code32_end - (uintptr_t)smp_code32);
		memcpy((void *)(at + 1), &page, sizeof(page)); /* the operand of its first instruction */
	} else {
		memcpy((void *)at, smp_code, (uintptr_t)smp_code_end - (uintptr_t)smp_code);
	}
	memcpy((void *)(at + SMP_NMI_OFFSET), smp_nmi_code, (uintptr_t)smp_nmi_code_end - (uintptr_t)smp_nmi_code);
	start = (struct smp_start *)(at + SMP_START_OFFSET);
	start->marker = SMP_MARKER;
	start->marker_at = (u32)(at + SMP_START_OFFSET + __builtin_offsetof(struct smp_start, marker));
	start->cr3_load = (u32)(uintptr_t)smp_space.pml4;
	start->cr4_load = (u32)read_cr4();
	start->gdt_load_limit = sizeof(gdt) - 1;
	start->gdt_load_base = (u32)(uintptr_t)gdt;
	*vector = (u32)(at / PAGE_SIZE);
	return start;
}

struct smp_start *smp_park_page(u32 *vector)
{
	struct smp_start *start = make_start_page(vector);

	start->park = 1;
	return start;
}

void smp_add(u32 id)
{
	struct smp_cpu *cpu = alloc_aligned(SMP_BLOCK, SMP_BLOCK);

	cpu->id = id;
	memcpy(cpu->gdt, gdt, sizeof(cpu->gdt));
	cpu->tss.rsp[0] = (u64)(uintptr_t)cpu + SMP_BLOCK;
	cpu->tss.iomap = sizeof(cpu->tss);
	smp_cpus[id] = cpu;
}

/* The descriptor is new each time: LTR marks it busy. */
static void load_tables(struct smp_cpu *cpu)
{
	struct descriptor d = {sizeof(cpu->gdt) - 1, (u64)(uintptr_t)cpu->gdt};

	set_tss_descriptor(cpu->gdt + GDT_TSS, &cpu->tss);
	load_gdt(&d, TSS_SELECTOR);
	asm volatile("lidt %0" : : "m"(idt_descriptor));
}

static void turn_apic_on(void)
{
	apic_write(APIC_SVR, SVR_ON);
	apic_write(APIC_TPR, 0);
}

static void (*first_main)(void);

static void first(void)
{
	load_tables(smp_cpus[smp_first]);
	turn_apic_on();
	first_main();
}

/* guarded() is for one processor alone: here every exception has its handler, or ends the image. */
void smp_run(void (*main)(void))
{
	volatile u16 *nmi_vector = (volatile u16 *)(uintptr_t)(4 * VEC_NMI);

	asm volatile("sidt %0" : "=m"(idt_descriptor));
	asm volatile("" : "+r"(nmi_vector)); /* an address that the compiler takes for one behind NULL */
	smp_count = MIN((u32)option("cpus", 1), SMP_MAX);
	smp_space = space_new();
	space_load(&smp_space);
	smp_start_page = make_start_page(&smp_start_vector);
	nmi_vector[0] = SMP_NMI_OFFSET;
	nmi_vector[1] = (u16)(smp_start_vector << 8);
	for (u32 id = 0; id < smp_count; id++)
		smp_add(smp_first + id);
	for (u32 v = 0; v < 256; v++)
		smp_refuse(v);
	first_main = main;
	smp_on_stack(first, (u8 *)smp_cpus[smp_first] + SMP_STACK_TOP);
}

/* --- on the other processors --- */

static void save_start(struct smp_cpu *cpu)
{
	for (u32 i = 0; i < ARRAY_SIZE(cpu->apic); i++)
		if (i < 0x2f || i > 0x2f) /* LVT CMCI may not be there */
			cpu->apic[i] = smp_x2apic ? 0 : apic_read(16 * i);
	asm volatile("str %0" : "=r"(cpu->tr));
	asm volatile("sldt %0" : "=r"(cpu->ldtr));
}

NORETURN void smp_main(struct smp_cpu *cpu)
{
	save_start(cpu);
	cpu->call = NULL;
	cpu->depth = 0;
	load_tables(cpu);
	turn_apic_on();
	cpu->up++;
	for (;;) {
		while (!cpu->call)
			asm volatile("pause");
		cpu->call(cpu);
		cpu->call = NULL;
		cpu->calls++;
	}
}

/* --- from the first --- */

void smp_init(u32 id)
{
	apic_send(id, ICR_INIT | ICR_ASSERT);
}

void smp_sipi(u32 id, u32 vector)
{
	apic_send(id, ICR_STARTUP | ICR_ASSERT | vector);
}

bool smp_wait_up(u32 id, u32 times)
{
	return SMP_WAIT(smp_cpus[id]->up == times);
}

bool smp_restart(u32 id)
{
	u32 up = smp_cpus[id]->up;

	smp_init(id);
	smp_sipi(id, smp_start_vector);
	return smp_wait_up(id, up + 1);
}

bool smp_start_all(void)
{
	bool all = true;

	for (u32 id = 1; id < smp_count; id++)
		all = smp_restart(id) && all;
	return all;
}

void smp_call(u32 id, void (*call)(struct smp_cpu *cpu), u64 argument)
{
	struct smp_cpu *cpu = smp_cpus[id];

	cpu->argument = argument;
	cpu->ready = cpu->ticks = 0;
	cpu->call = call;
}

bool smp_join(u32 id)
{
	return SMP_WAIT(!smp_cpus[id]->call);
}

bool smp_do(u32 id, void (*call)(struct smp_cpu *cpu), u64 argument)
{
	smp_call(id, call, argument);
	return smp_join(id);
}

#define FENCE_EXITS 50

static void leave(struct smp_cpu *cpu)
{
	for (u32 i = 0; i < FENCE_EXITS; i++)
		cpuid(0, 0);
}

bool smp_fence(u32 id)
{
	if (id)
		return smp_do(id, leave, 0);
	leave(smp_cpus[0]);
	return true;
}

bool smp_fence_all(void)
{
	bool all = true;

	for (u32 id = 0; id < smp_count; id++)
		all = smp_fence(id) && all;
	return all;
}

void smp_barrier_wait(struct smp_barrier *b, u32 processors)
{
	u32 phase = b->phase;

	if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_SEQ_CST) == processors) {
		b->arrived = 0;
		__atomic_add_fetch(&b->phase, 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (b->phase == phase)
		asm volatile("pause" : : : "memory");
}
