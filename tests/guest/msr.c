/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes patterns to every MSR but those that the image itself stands on, and prints which
 * ones changed and in which bits; the runner knows what that list must be. Bare, registers are
 * only read: what a pattern does there is for nobody to say.
 */
/* adversarial: 31, 36 */
#include "tests/guest/lib/guest.h"

#define TSC_ADJUST 0x3bu
#define MTRR_FIRST 0x200u
#define MTRR_LAST 0x26fu
#define UMBRA_NAME 0x72626d55u /* "Umbr" */

static u32 readable, absent, writable;
static bool faults_are_gp = true;

/* Time, the APIC's page, memory types and EFER are what the image runs on. */
static bool is_environment(u32 msr)
{
	return msr == MSR_TSC || msr == TSC_ADJUST || msr == MSR_APIC_BASE || msr == MSR_PAT || msr == MSR_EFER ||
	       msr == MSR_MTRR_DEF_TYPE || (msr >= MTRR_FIRST && msr <= MTRR_LAST);
}

static bool reads(u32 msr, u64 *value)
{
	if (msr_read(msr, value))
		return true;
	faults_are_gp &= caught.vector == VEC_GP && caught.error == 0;
	return false;
}

static bool writes(u32 msr, u64 value)
{
	if (msr_write(msr, value))
		return true;
	faults_are_gp &= caught.vector == VEC_GP && caught.error == 0;
	return false;
}

/* Bits that one of the patterns changes; the old value is written back. */
static u64 changed_bits(u32 msr)
{
	static const u64 patterns[] = {~0ull, 0, 0x5a5a5a5a5a5a5a5aull, 0x5a5a5a5aull, 0x123456789001ull, 1};
	u64 old, again, now, changed = 0;

	if (!reads(msr, &old)) {
		absent++;
		for (u32 i = 0; i < ARRAY_SIZE(patterns); i++)
			writes(msr, patterns[i]);
		return 0;
	}
	readable++;
	if (!reads(msr, &again) || again != old)
		return 0; /* a counter */
	for (u32 i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (!writes(msr, patterns[i]) || !reads(msr, &now) || now == old)
			continue;
		changed |= now ^ old;
		writes(msr, old);
	}
	writable += changed != 0;
	return changed;
}

/* A line for each run of neighbours that changed in the same bits. */
static void print_run(u32 first, u32 last, u64 bits)
{
	if (bits)
		print("changed %x..%x %lx\n", first, last, bits);
}

static void sweep(u32 from, u32 to)
{
	u32 first = from;
	u64 bits = 0;

	for (u32 msr = from; msr <= to; msr++) {
		u64 now = is_environment(msr) ? 0 : changed_bits(msr);

		if (now == bits)
			continue;
		print_run(first, msr - 1, bits);
		first = msr;
		bits = now;
	}
	print_run(first, to, bits);
}

static void sweep_all(void)
{
	sweep(0, 0x1fff);
	sweep(0x40000000, 0x400001ff);
	sweep(0x4b564d00, 0x4b564dff);
	sweep(0x80000000, 0x800000ff);
	sweep(0xc0000000, 0xc0001fff);
	sweep(0xc0010000, 0xc0011fff);
	sweep(0xfffffff0, 0xfffffffe);
}

void run_tests(void)
{
	struct space space = space_new();
	u64 cr0, cr4, efer = rdmsr(MSR_EFER), base = rdmsr(MSR_APIC_BASE), value;

	space_load(&space);
	cr0 = read_cr0();
	cr4 = read_cr4();
	if (!under_umbra()) {
		for (u32 msr = 0; msr < 0x2000; msr++)
			readable += msr_read(msr, &value);
		check(readable > 0, "registers are read", " ");
		return;
	}
	sweep_all();
	print("%u registers are read, %u are absent, %u were changed\n", readable, absent, writable);
	check(faults_are_gp, "what is refused is refused with #GP(0)", " ");
	check(cpuid(0x40000000, 0).b == UMBRA_NAME, "the hypervisor answers as before", " ");
	check(umbra_counter("exits") > 1000, "and counts", " ");
	check(read_cr0() == cr0 && read_cr4() == cr4 && rdmsr(MSR_EFER) == efer && rdmsr(MSR_APIC_BASE) == base,
	      "control registers, EFER and the APIC's base are unchanged", " ");
}
