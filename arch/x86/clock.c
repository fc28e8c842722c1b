/* SPDX-License-Identifier: BSD-2-Clause */
/* See clock.h. The timer is channel 2 of the 8254, which sounds the speaker and interrupts nobody. */
#include "arch/x86/clock.h"

#include "arch/x86/cpu.h"

#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_CHANNEL2_ONE_SHOT 0xb0 /* both bytes, mode 0: the output rises at the end */
#define PIT_HZ 1193182u
#define SPEAKER 0x61
#define SPEAKER_GATE 0x01
#define SPEAKER_SOUND 0x02
#define SPEAKER_OUT 0x20

#define MEASURE_MS 10u
#define GIVE_UP BIT(32)          /* ticks: no timer takes so long */
#define TICKS_PER_US_MOST 10000u /* of a processor at 10 GHz */

static u64 ticks_per_us = TICKS_PER_US_MOST;

void clock_init(void)
{
	u8 before = in8(SPEAKER);
	u32 count = PIT_HZ / 1000 * MEASURE_MS;
	bool low = false; /* the output was seen before its end: there is a timer, and no bus without one */
	u64 start, ticks;
	u8 port;

	out8(SPEAKER, (u8)((before & ~SPEAKER_SOUND) | SPEAKER_GATE));
	out8(PIT_COMMAND, PIT_CHANNEL2_ONE_SHOT);
	start = rdtsc();
	out8(PIT_CHANNEL2, (u8)count);
	out8(PIT_CHANNEL2, (u8)(count >> 8));
	do {
		ticks = rdtsc() - start;
		port = in8(SPEAKER);
		low = low || !(port & SPEAKER_OUT);
	} while (!(low && port & SPEAKER_OUT) && ticks < GIVE_UP);
	out8(SPEAKER, before);
	if (ticks < GIVE_UP) /* too many where somebody else had the processor meanwhile */
		ticks_per_us = MIN(ticks / (MEASURE_MS * 1000) + 1, (u64)TICKS_PER_US_MOST);
}

u32 clock_ticks_per_us(void)
{
	return (u32)ticks_per_us;
}

u64 clock_after(u32 microseconds)
{
	return rdtsc() + microseconds * ticks_per_us;
}

bool clock_passed(u64 time)
{
	return (s64)(rdtsc() - time) >= 0;
}

void clock_wait(u32 microseconds)
{
	u64 end = clock_after(microseconds);

	while (!clock_passed(end))
		cpu_relax();
}
