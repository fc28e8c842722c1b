/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of a device: the I/O APIC's pin of the timer (the PIT), whose line rises when the test wants it. */
#ifndef TESTS_GUEST_LIB_PIN_H
#define TESTS_GUEST_LIB_PIN_H

#include "tests/guest/lib/guest.h"

#define PIT_COMMAND 0x43
#define PIT_COUNTER 0x40
#define PIT_ONE_SHOT 0x30 /* counter 0, both bytes, mode 0 */
#define PIT_STATUS 0xe2   /* read back the status of counter 0 */
#define PIT_OUT 0x80
#define IOAPIC 0xfec00000ull
#define IOAPIC_TIMER 2 /* the pin of the timer's line on PCs */
#define IOAPIC_ENTRY(pin) (0x10 + 2 * (pin))
#define IOAPIC_MASKED 0x10000u

static inline void ioapic_write(u32 index, u32 v)
{
	*(volatile u32 *)IOAPIC = index;
	*(volatile u32 *)(IOAPIC + 0x10) = v;
}

/* Low now, high after so many periods of 838 ns. */
static inline void pin_start(u32 ticks)
{
	outb(PIT_COMMAND, PIT_ONE_SHOT);
	outb(PIT_COUNTER, (u8)ticks);
	outb(PIT_COUNTER, (u8)(ticks >> 8));
}

static inline bool pin_is_high(void)
{
	outb(PIT_COMMAND, PIT_STATUS);
	return inb(PIT_COUNTER) & PIT_OUT;
}

static inline void pin_mask(void)
{
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), IOAPIC_MASKED);
}

/* What it sends from now on, edge-triggered: a delivery mode, with a vector, to the processor with that ID. */
static inline void pin_open(u32 id, u32 mode)
{
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER) + 1, id << 24);
	ioapic_write(IOAPIC_ENTRY(IOAPIC_TIMER), mode);
}

/*
 * The line rises once: one message of that mode. False: it may have risen while the pin was masked, and then there was
 * none. The pin stays open, as an emulator under load is late with the line.
 */
static inline bool pin_try(u32 id, u32 mode, u32 ticks)
{
	bool in_time;

	pin_mask();
	pin_start(ticks);
	pin_open(id, mode);
	in_time = !pin_is_high();
	while (!pin_is_high())
		;
	return in_time;
}

#endif
