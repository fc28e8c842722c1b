/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints on linear addresses that the hypervisor has for itself: instruction breakpoints all over its code, data
 * breakpoints all over its data and stacks, with exits of several kinds under each. An exit turns them off (APM
 * vol. 2 section 15.6, SDM vol. 3 section 27.5.1); QEMU's does not, so that there the hypervisor meets
 * them. It must go on in either case. tests/system/run.py gives the addresses: text, data, their ends, and holes,
 * the code that runs at a breakpoint before they are off.
 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
#define DR7_FIXED 0x400ull
#define DR6_CLEAR 0xffff0ff0ull
#define HOLES 2

enum kind { KIND_EXECUTE, KIND_WRITE = 1, KIND_ACCESS = 3 };

static struct space space;
static u64 own ALIGNED(8); /* DR3 watches it: does it still work after the exits? */
volatile u32 watch_count;
extern char watch_entry[];
asm(".pushsection .text, \"ax\"\n"
    "watch_entry: incl watch_count(%rip); push %rax; mov $0xffff0ff0, %eax; mov %rax, %dr6; pop %rax\n"
    "orl $0x10000, 16(%rsp); iretq\n"
    ".popsection");

static struct {
	u64 start, end;
} holes[HOLES];

static bool in_hole(u64 at)
{
	for (u32 i = 0; i < HOLES; i++)
		if (at >= holes[i].start && at < holes[i].end)
			return true;
	return false;
}

/* DR0 to DR2 at three addresses; lengths are 1 byte for code and 8 for data. */
static void set_breakpoints(const u64 at[3], enum kind kind)
{
	u64 one = kind | (kind == KIND_EXECUTE ? 0 : 8), dr7 = DR7_FIXED | 0xaa | (1ull | 8) << 28;

	for (u32 i = 0; i < 3; i++)
		dr7 |= one << (16 + 4 * i);
	asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2" : : "r"(at[0]), "r"(at[1]), "r"(at[2]));
	asm volatile("mov %0, %%dr3" : : "r"(&own));
	asm volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(DR6_CLEAR), "r"(dr7));
}

/* CPUID, an access to the APIC, MOV to CR3, a page fault that the guest sees, INVLPG. */
static bool many_exits(void)
{
	bool ok = cpuid(0x40000000, 0).a >= 0x40000000;
	u64 page = TEST_VA;

	ok &= *(volatile u32 *)(APIC + 0x30) != 0xffffffff;
	write_cr3(read_cr3());
	invlpg(page);
	return ok && !access(A_READ, false, page) && caught.vector == VEC_PF && caught.cr2 == page;
}

/* Returns how often the guest's own breakpoint was off afterwards. */
static u32 sweep(u64 start, u64 end, u64 step, enum kind kind, bool *ok)
{
	u32 off = 0;

	for (u64 at = start; at < end && *ok; at += 3 * step) {
		u64 three[3];
		u32 before;

		for (u32 i = 0; i < 3; i++)
			three[i] = in_hole(at + i * step) ? (u64)(uintptr_t)&own : at + i * step;
		set_breakpoints(three,
				in_hole(at) || in_hole(at + step) || in_hole(at + 2 * step) ? KIND_WRITE : kind);
		*ok = many_exits();
		before = watch_count;
		*(volatile u64 *)&own = at;
		off += watch_count == before;
		asm volatile("mov %0, %%dr7" : : "r"(DR7_FIXED));
	}
	return off;
}

void run_tests(void)
{
	static const char *const names[HOLES][2] = {{"hole0", "hole0_end"}, {"hole1", "hole1_end"}};
	u64 text = option("text", 0), text_end = option("text_end", 0), step = option("step", 3);
	u64 data = option("data", 0), data_end = option("data_end", 0);
	bool ok = true;
	u32 off;

	space = space_new();
	space_load(&space);
	*(volatile u32 *)(APIC + 0xf0) = 0x1ff;
	set_handler(VEC_DB, watch_entry);
	for (u32 i = 0; i < HOLES; i++) {
		holes[i].start = option(names[i][0], 0);
		holes[i].end = option(names[i][1], 0);
	}
	set_breakpoints((u64[3]){text, text, text}, KIND_WRITE);
	*(volatile u64 *)&own = 1;
	check(watch_count == 1, "a data breakpoint works", "%u", watch_count);
	if (!check(text < text_end && data < data_end, "the hypervisor's addresses are given", "%lx %lx", text, data))
		return;
	off = sweep(text, text_end, step, KIND_EXECUTE, &ok);
	check(ok && !off, "instruction breakpoints all over the hypervisor's code change nothing",
	      "exits right: %u; the guest's own breakpoint off %u times", ok, off);
	off = sweep(data, data_end, 8 * ((step + 2) / 5), KIND_ACCESS, &ok);
	check(ok && !off, "data breakpoints all over the hypervisor's data and stacks change nothing",
	      "exits right: %u; the guest's own breakpoint off %u times", ok, off);
}
