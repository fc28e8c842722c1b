/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Non-maskable interrupts: the I/O APIC turns the timer's line into NMIs, so that
 * they come at any moment: in the guest, in the hypervisor, in the handler, and
 * while the hypervisor is about to deliver something else. Each must be handled
 * once, none inside the handler of another (SDM vol. 3 section 6.7.1).
 */
/* adversarial: 29 */
#include "tests/guest/lib/guest.h"

#define IOAPIC 0xfec00000ull
#define IOAPIC_TIMER 2 /* the pin of the timer's line on PCs */
#define IOAPIC_ENTRY(pin) (0x10 + 2 * (pin))
#define IOAPIC_NMI 0x400u /* delivery mode, edge, not masked */
#define IOAPIC_MASKED 0x10000u
#define APIC_ID 0xfee00020ull
#define APIC_LDR 0xfee000d0ull
#define APIC_SVR 0xfee000f0ull
#define APIC_ICR_LOW 0xfee00300ull
#define APIC_ICR_HIGH 0xfee00310ull
#define ICR_NMI 0x400u
#define ICR_LOGICAL 0x800u
#define ICR_SELF 0x40000u

#define PIT_COMMAND 0x43
#define PIT_COUNTER 0x40
#define PIT_ONE_SHOT 0x30 /* counter 0, both bytes, mode 0 */
#define PIT_STATUS 0xe2   /* read back the status of counter 0 */
#define PIT_OUT 0x80

#define VEC_NMI 2
#define ROUNDS 40
#define PATIENCE 300000 /* turns of a loop */

static struct {
	volatile u32 count, depth, deepest, early;
	volatile bool again; /* the handler shall start another and wait for it */
} nmi;

void nmi_handle(void);
extern char nmi_entry[];
asm(".pushsection .text\n"
    "nmi_entry: push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi\n"
    "push %r8; push %r9; push %r10; push %r11\n"
    "mov %rsp, %rbp; and $-16, %rsp; cld; call nmi_handle; mov %rbp, %rsp\n"
    "pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
    "iretq\n"
    ".popsection");

static u32 read32(u64 at)
{
	return *(volatile u32 *)at;
}
static void write32(u64 at, u32 v)
{
	*(volatile u32 *)at = v;
}

static void ioapic_write(u32 index, u32 v)
{
	write32(IOAPIC, index);
	write32(IOAPIC + 0x10, v);
}

/* The line rises once, after so many 838 ns. */
static void timer_start(u16 ticks)
{
	outb(PIT_COMMAND, PIT_ONE_SHOT);
	outb(PIT_COUNTER, (u8)ticks);
	outb(PIT_COUNTER, (u8)(ticks >> 8));
}

static bool timer_done(void)
{
	outb(PIT_COMMAND, PIT_STATUS);
	return inb(PIT_COUNTER) & PIT_OUT;
}

void nmi_handle(void)
{
	u32 before;

	nmi.depth++;
	nmi.count++;
	nmi.deepest = MAX(nmi.deepest, nmi.depth);
	if (nmi.again) {
		nmi.again = false;
		before = nmi.count;
		timer_start(300);
		while (!timer_done())
			cpuid(0, 0);
		for (u32 i = 0; i < 100; i++)
			cpuid(0, 0);
		nmi.early += nmi.count - before;
	}
	nmi.depth--;
}

static void forbidden(void *unused)
{
	asm volatile("vmcall");
}
static void spin(void)
{
	asm volatile("pause");
}
static void leave(void)
{
	cpuid(0, 0);
}
static void fault(void)
{
	guarded(forbidden, NULL);
}

/* Until the NMI has come, or the timer is through and it still has not. */
static void await(u32 expected, void (*what)(void))
{
	for (u32 i = 0; i < PATIENCE && nmi.count != expected; i++) {
		what();
		if (i == PATIENCE / 2 && !timer_done())
			i = 0; /* an emulator's timer may be late */
	}
}

/* How many of the rounds had their NMI, with what() as the program they interrupt. */
static u32 rounds(void (*what)(void), bool again)
{
	u32 good = 0;

	for (u32 round = 0; round < ROUNDS; round++) {
		u32 expected = nmi.count + 1 + again;

		nmi.again = again;
		timer_start((u16)(200 + 7 * round));
		await(expected, what);
		for (u32 i = 0; i < 50; i++)
			what();
		good += nmi.count == expected;
	}
	return good;
}

/* Whether one NMI comes of a command to this processor. */
static void check_ipi(u32 high, u32 low, const char *name)
{
	u32 before = nmi.count;

	write32(APIC_ICR_HIGH, high);
	write32(APIC_ICR_LOW, low);
	for (u32 i = 0; i < PATIENCE && nmi.count == before; i++)
		spin();
	for (u32 i = 0; i < 50; i++)
		leave();
	check(nmi.count == before + 1, name, "%u came", nmi.count - before);
}

#define ALL(what, again, name) \
	do { \
		u32 good = rounds(what, again); \
		check(good == ROUNDS, name, "%u of %u rounds", good, (u32)ROUNDS); \
	} while (0)

void run_tests(void)
{
	outb(0x21, 0xff); /* the PIC is masked: the line goes to the I/O APIC alone */
	outb(0xa1, 0xff);
	write32(APIC_SVR, 0x1ff);
	timer_start(0xffff); /* the line is low before the pin is opened */
	set_handler(VEC_NMI, nmi_entry);
	write32(APIC_LDR, 0x02000000);
	check_ipi(0, ICR_NMI | ICR_SELF, "an NMI that the program sends itself by shorthand arrives once");
	check_ipi(read32(APIC_ID), ICR_NMI, "an NMI to the own APIC ID arrives once");
	check_ipi(read32(APIC_LDR), ICR_NMI | ICR_LOGICAL, "an NMI to the own logical address arrives once");
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER) + 1, read32(APIC_ID));
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_NMI);

	ALL(spin, false, "an NMI reaches a program that does not exit, once");
	ALL(leave, false, "an NMI reaches a program that exits all the time, once");
	ALL(fault, false, "an NMI reaches a program that faults all the time, once");
	ALL(leave, true, "an NMI that comes in the handler of another is handled after it, once");
	check(nmi.early == 0 && nmi.deepest == 1, "no NMI came inside the handler of another", "%u did", nmi.early);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_MASKED);
	if (under_umbra())
		print("NOTE: %lu exits at an NMI window\n", umbra_counter("exit_window"));
}
