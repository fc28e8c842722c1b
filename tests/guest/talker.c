/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for whoever stops guests: with interrupts off the first processor prints numbered lines with a checksum each, the others
 * count, and nothing of it exits. It ends when somebody has written to `stop`, whose address it says, or after so many lines (options: cpus=N,
 * lines=N), by a triple fault if it is told so (die=1), or by telling QEMU's pvpanic device of a panic (panic=1).
 */
#include "tests/guest/lib/smp.h"

#define LINES 1000000u
#define PANIC_PORT 0x505u

static volatile u64 stop ALIGNED(16);
static volatile u64 beats[SMP_MAX];
static char room[64] ALIGNED(64) = "the monitor reads this";

static u32 checksum(u32 n)
{
	u32 sum = n ^ 0x5bd1e995u;

	for (u32 i = 0; i < 4; i++)
		sum = (sum << 5 | sum >> 27) * 0x9e3779b1u;
	return sum;
}

static void beat(struct smp_cpu *cpu)
{
	while (!stop)
		beats[cpu->id]++;
}

static NOINLINE u32 talk(u32 lines)
{
	u32 n = 0;

	while (!stop && n < lines) {
		print("LINE %u %x\n", n, checksum(n));
		n++;
	}
	return n;
}

static void die(void)
{
	const struct {
		u16 limit;
		u64 base;
	} PACKED none = {0, 0};

	asm volatile("lidt %0; ud2" : : "m"(none));
}

static void run(void)
{
	u32 lines = (u32)option("lines", LINES), said;

	check(smp_count == 1 || smp_start_all(), "the other processors start", "%u", smp_count);
	for (u32 i = 1; i < smp_count; i++)
		smp_call(i, beat, 0);
	print("TALKER: stop %lx beats %lx room %lx talk %lx\n", (u64)(uintptr_t)&stop, (u64)(uintptr_t)beats,
	      (u64)(uintptr_t)room, (u64)(uintptr_t)talk);
	said = talk(lines);
	print("SAID %u %s\n", said, room);
	if (option("die", 0))
		die();
	if (option("panic", 0))
		outb(PANIC_PORT, 1);
	stop = 1;
	for (u32 i = 1; i < smp_count; i++)
		check(smp_join(i) && beats[i], "a processor has counted and stopped", "%u: %lu", i, beats[i]);
	finish();
}

void run_tests(void)
{
	smp_run(run);
}
