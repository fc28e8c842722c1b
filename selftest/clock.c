/* SPDX-License-Identifier: BSD-2-Clause */
/* The time: the TSC, measured by the PIT's second counter, which has no interrupt; see selftest.h. */
#include "selftest/selftest.h"

#define PIT_HZ 1193182ull
#define PIT_COUNTER2 0x42
#define PIT_COMMAND 0x43
#define COUNTER2_ONE_SHOT 0xb0 /* both bytes, mode 0 */
#define PORT_B 0x61
#define PORT_B_GATE 0x01
#define PORT_B_SPEAKER 0x02
#define PORT_B_OUT 0x20
#define COUNT 65535ull
#define GIVE_UP (20ull << 30) /* ticks in which any PIT would have come to its end */
#define ASSUMED_HZ 2000000000ull
#define CPUID_TSC 0x15

static u64 hz;
static bool has_pit;

u64 clock_now(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

u64 clock_measure(void)
{
	u64 from;
	u8 port_b = inb(PORT_B);

	outb(PORT_B, (u8)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE));
	outb(PIT_COMMAND, COUNTER2_ONE_SHOT);
	outb(PIT_COUNTER2, (u8)COUNT);
	outb(PIT_COUNTER2, (u8)(COUNT >> 8));
	from = clock_now();
	while (!(inb(PORT_B) & PORT_B_OUT))
		if (clock_now() - from > GIVE_UP)
			return 0;
	from = clock_now() - from;
	outb(PORT_B, port_b);
	return from;
}

/* SDM vol. 3 section 18.7.3: the crystal's frequency times a ratio. */
static u64 told_hz(void)
{
	struct cpuid_regs r = {0};

	if (cpuid(0, 0).a >= CPUID_TSC)
		r = cpuid(CPUID_TSC, 0);
	return r.a && r.b && r.c ? (u64)r.c * r.b / r.a : ASSUMED_HZ;
}

void clock_init(void)
{
	u64 ticks = clock_measure();

	has_pit = ticks > COUNT / 64; /* an absent port reads as all-ones: it would be over at once */
	hz = has_pit ? ticks * PIT_HZ / COUNT : told_hz();
}

bool clock_has_pit(void)
{
	return has_pit;
}

u64 clock_hz(void)
{
	return hz;
}

bool clock_over(u64 since, u64 ms)
{
	return clock_now() - since >= hz / 1000 * ms;
}
