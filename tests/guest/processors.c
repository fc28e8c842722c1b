/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries to get another processor to run its code: fills the memory below 640 KiB with jumps to code that counts, makes
 * the real-mode vector of NMI count too, and sends INIT, SIPI, NMI and fixed interrupts in every way that a
 * command register and an I/O APIC know. Bare, they all run (options: cpus=N); under the hypervisor none does.
 */
/* adversarial: 35 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
enum { APIC_ID = 0x20, APIC_LDR = 0xd0, APIC_SVR = 0xf0, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310 };
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_PENDING 0x1000u
#define ICR_ALL 0x80000u
#define ICR_OTHERS 0xc0000u
enum { FIXED = 0x000, LOWEST = 0x100, NMI = 0x400, INIT = 0x500, STARTUP = 0x600 };
#define VECTOR 0x40u

#define IOAPIC 0xfec00000ull
#define IOAPIC_TIMER 2 /* the pin of the timer's line on PCs */
#define IOAPIC_ENTRY(pin) (0x10 + 2 * (pin))
#define IOAPIC_MASKED 0x10000u
#define PIT_COMMAND 0x43
#define PIT_COUNTER 0x40
#define PIT_ONE_SHOT 0x30 /* counter 0, both bytes, mode 0 */
#define PIT_STATUS 0xe2   /* read back the status of counter 0 */
#define PIT_OUT 0x80

#define LOW_BASE 0x1000u
#define LOW_END 0xa0000u
#define CODE 0x8000u /* also what a SIPI of 8 starts */
#define STARTED 0x8100u
#define GOT_NMI 0x8102u
#define NMI_CODE 0x8200u
#define IDS 16u /* APIC IDs tried one by one */

static u32 own;

static volatile u32 *apic(u32 offset)
{
	return (volatile u32 *)(APIC + offset);
}

/* Some 50 ms: another processor may need its turn of the emulator. */
static void wait(void)
{
	for (u32 i = 0; i < 60000; i++)
		inb(0x80);
}

static void send(u32 destination, u32 command)
{
	while (*apic(APIC_ICR_LOW) & ICR_PENDING)
		asm volatile("pause");
	*apic(APIC_ICR_HIGH) = destination << 24;
	*apic(APIC_ICR_LOW) = command | ICR_ASSERT;
}

static void put(u64 at, const char *bytes, u32 count)
{
	for (u32 i = 0; i < count; i++)
		((volatile u8 *)at)[i] = (u8)bytes[i];
}
#define PUT(at, bytes) put(at, bytes, sizeof(bytes) - 1)

static u32 counted(u64 at)
{
	return *(volatile u16 *)at;
}

/* RAM below 640 KiB, all of it but what holds the code: a far jump to the code wherever somebody begins. */
static void fill_low_memory(void)
{
	for (u32 i = 0; i < boot.e820_count; i++) {
		const struct e820_entry *e = &boot.e820[i];

		for (u64 at = MAX(e->base, LOW_BASE); e->type == E820_RAM && at < MIN(e->base + e->size, LOW_END);
		     at += 16)
			if (at < CODE || at >= CODE + PAGE_SIZE)
				PUT(at, "\xea\x00\x00\x00\x08\xcc\xcc\xcc\xea\x00\x00\x00\x08\xcc\xcc\xcc");
	}
}

static void lay_out(void)
{
	volatile u64 vectors = 0;

	fill_low_memory();
	PUT(CODE, "\xf0\x2e\xff\x06\x00\x01\xfa\xf4\xeb\xfd"); /* lock inc word [cs:0x100]; cli; hlt; again */
	PUT(NMI_CODE, "\xf0\x2e\xff\x06\x02\x01\xcf");         /* lock inc word [cs:0x102]; iret */
	PUT(STARTED, "\0\0\0\0");
	PUT(vectors + 4 * 2, "\x00\x02\x00\x08"); /* the vector of NMI: 0x800:0x200 */
}

/* Each message to everybody else at once, to each by its ID, and to all logical addresses. */
static void by_command_register(void)
{
	static const u32 commands[] = {INIT, STARTUP | CODE >> 12, STARTUP | CODE >> 12,
				       NMI,  FIXED | VECTOR,       LOWEST | VECTOR};

	for (u32 i = 0; i < ARRAY_SIZE(commands); i++) {
		send(0, commands[i] | ICR_OTHERS);
		wait();
	}
	for (u32 id = 0; id < IDS; id++)
		for (u32 i = 0; id != own && i < ARRAY_SIZE(commands); i++) {
			send(id, commands[i]);
			if (i < 4)
				wait();
		}
	for (u32 i = 0; i < 4; i++) {
		send(0xff & ~(*apic(APIC_LDR) >> 24), commands[i] | ICR_LOGICAL);
		wait();
	}
}

static void ioapic_write(u32 index, u32 v)
{
	*(volatile u32 *)IOAPIC = index;
	*(volatile u32 *)(IOAPIC + 0x10) = v;
}

/* The timer's line rises once: one message of that mode to that processor. */
static void by_pin(u32 id, u32 mode)
{
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_MASKED);
	outb(PIT_COMMAND, PIT_ONE_SHOT);
	outb(PIT_COUNTER, 200);
	outb(PIT_COUNTER, 0);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER) + 1, id << 24);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), mode);
	do
		outb(PIT_COMMAND, PIT_STATUS);
	while (!(inb(PIT_COUNTER) & PIT_OUT));
	wait();
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_MASKED);
}

void run_tests(void)
{
	u32 others = (u32)option("cpus", 1) - 1, started, nmis;

	outb(0x21, 0xff); /* the PIC is masked: the timer's line goes to the I/O APIC alone */
	outb(0xa1, 0xff);
	*apic(APIC_SVR) = 0x1ff;
	*apic(APIC_LDR) = 0x01000000;
	own = *apic(APIC_ID) >> 24;
	lay_out();
	by_command_register();
	started = counted(STARTED);
	nmis = counted(GOT_NMI);
	if (!under_umbra()) {
		check(started >= others && others, "bare, each of the others runs the code that INIT and SIPI start",
		      "%u starts of %u", started, others);
		check(nmis >= others, "bare, each of them gets an NMI", "%u", nmis);
		return;
	}
	check(!started && !nmis, "no other processor runs by a message of the command register",
	      "%u starts, %u NMIs", started, nmis);
	for (u32 id = 0; id <= others; id++)
		if (id != own) {
			by_pin(id, NMI);
			by_pin(id, NMI);
			by_pin(id, FIXED | VECTOR);
		}
	check(!counted(STARTED) && !counted(GOT_NMI), "nor by an NMI or an interrupt through the I/O APIC",
	      "%u starts, %u NMIs", counted(STARTED), counted(GOT_NMI));
	check(umbra_counter("cpu_nmis") == 2 * others, "each of those NMIs found the hypervisor on its processor",
	      "%lu", umbra_counter("cpu_nmis"));
	for (u32 id = 0; id <= others; id++)
		if (id != own)
			by_pin(id, INIT);
	by_command_register();
	check(!counted(STARTED) && !counted(GOT_NMI), "nor after an INIT through the I/O APIC",
	      "%u starts, %u NMIs", counted(STARTED), counted(GOT_NMI));
}
