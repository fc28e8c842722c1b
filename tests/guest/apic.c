/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's registers, read and written in every size and at every place: SDM vol. 3 section
 * 10.4.1 leaves all undefined but whole registers, so the runner compares the lines with those
 * of the bare machine.
 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
#define APIC_ID 0x20u
#define APIC_TPR 0x80u
#define APIC_SVR 0xf0u
#define APIC_VERSION 0x30u
#define APIC_ICR 0x300u
#define ICR_SELF 0x40000u

static const u32 sizes[] = {1, 2, 4, 8};

static u64 read_shape(u64 at, u32 size)
{
	switch (size) {
	case 1: return *(volatile u8 *)at;
	case 2: return *(volatile u16 *)at;
	case 4: return *(volatile u32 *)at;
	default: return *(volatile u64 *)at;
	}
}

static void write_shape(u64 at, u32 size, u64 value)
{
	switch (size) {
	case 1: *(volatile u8 *)at = (u8)value; break;
	case 2: *(volatile u16 *)at = (u16)value; break;
	case 4: *(volatile u32 *)at = (u32)value; break;
	default: *(volatile u64 *)at = value; break;
	}
}

/* Where the bare machine lets it be written (AMD's does, QEMU's too), Umbra does not: the runner knows. */
static void write_id(void)
{
	u32 own = (u32)read_shape(APIC + APIC_ID, 4);

	for (u32 s = 0; s < ARRAY_SIZE(sizes); s++)
		for (u32 at = 0; at < 16; at++) {
			write_shape(APIC + APIC_ID + at, sizes[s], 0x0505050505050505ull);
			print("id after %x of %u bytes: %lx\n", APIC_ID + at, sizes[s],
			      read_shape(APIC + APIC_ID, 4));
			write_shape(APIC + APIC_ID, 4, own);
		}
}

void run_tests(void)
{
	static const u32 registers[] = {0x00, 0x20,     APIC_VERSION, APIC_TPR, 0xd0,
					0xe0, APIC_SVR, 0x300,        0x310,    0x320};

	write_shape(APIC + APIC_SVR, 4, 0x1ff);
	write_shape(APIC + APIC_TPR, 4, 0x50);
	write_shape(APIC + 0xd0, 4, 0x02000000);
	write_shape(APIC + APIC_ICR + 0x10, 4, 0);
	write_shape(APIC + APIC_ICR, 4,
		    ICR_SELF | 0xf0); /* it reads as the last command, which was somebody else's; IF is 0 */
	check(read_shape(APIC + APIC_TPR, 4) == 0x50 && read_shape(APIC + APIC_VERSION, 4) != 0,
	      "whole registers are read and written", " ");
	for (u32 r = 0; r < ARRAY_SIZE(registers); r++)
		for (u32 s = 0; s < ARRAY_SIZE(sizes); s++)
			for (u32 at = 0; at < 16; at++)
				print("read %x of %u bytes: %lx\n", registers[r] + at, sizes[s],
				      read_shape(APIC + registers[r] + at, sizes[s]));
	for (u32 s = 0; s < ARRAY_SIZE(sizes); s++)
		for (u32 at = 0; at < 16; at++) {
			write_shape(APIC + APIC_TPR, 4, 0x50);
			write_shape(APIC + APIC_TPR + at, sizes[s], 0x6060606060606060ull);
			print("write %x of %u bytes: TPR %lx\n", APIC_TPR + at, sizes[s],
			      read_shape(APIC + APIC_TPR, 4));
		}
	write_id();
	write_shape(APIC + APIC_TPR, 4, 0);
	check(read_shape(APIC + APIC_TPR, 4) == 0, "whole registers are whole registers after all that", " ");
}
