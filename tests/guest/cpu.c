/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor apart from paging: CPUID, MSRs, control registers, the
 * instructions of the virtualisation extensions, XSETBV, single steps over
 * instructions that exit, interrupts from the local APIC, ports. What QEMU's
 * bare processor does not check (reserved bits of control registers, among
 * others) is checked under Umbra only.
 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ICR 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

/* The condition first: it fills in what the message shows. */
#define CHECK(condition, name) \
	do { \
		bool holds = (condition); \
		check(holds, name, "line %u: vector %u error %lx rip %lx", (u32)__LINE__, caught.vector, \
		      caught.error, caught.rip); \
	} while (0)

static struct space space;

static bool raises(void (*fn)(void *), void *arg, u32 vector)
{
	return guarded(fn, arg) && caught.vector == vector;
}

/* --- CPUID --- */
extern char user_cpuid[];
asm(".pushsection .user, \"ax\"\n"
    "user_cpuid: mov %edi, %eax; mov %esi, %ecx; cpuid; mov %ebx, %eax; int $0x80\n"
    ".popsection");

/* adversarial: 31 */
static void test_cpuid(void)
{
	static const u32 starts[] = {0, 0x20000000, 0x40000000, 0x80000000, 0x80860000, 0xc0000000, 0xfffffff0};
	u32 leaves = 0;

	for (u32 s = 0; s < ARRAY_SIZE(starts); s++)
		for (u32 leaf = starts[s]; leaf - starts[s] < 0x40 && leaf >= starts[s]; leaf++)
			for (u32 index = 0; index < 4; index++, leaves++)
				cpuid(leaf, index);
	check(leaves > 1000, "CPUID of every leaf answers", " ");
	try_user(user_address(user_cpuid), 0, 0);
	CHECK(caught.vector == VEC_USER_RETURN && (u32)caught.rax == cpuid(0, 0).b, "CPUID works in ring 3");
	if (!under_umbra())
		return;
	try_user(user_address(user_cpuid), 0x40000000, 0);
	CHECK((u32)caught.rax == 0x72626d55, "the hypervisor's leaves are readable in ring 3");
	CHECK(!(cpuid(0x80000001, 0).c & BIT(2)) && !(cpuid(1, 0).c & BIT(5)), "CPUID shows neither SVM nor VMX");
	CHECK(umbra_counter("shadow_walks") > 0, "the counter of walks is read by name");
}

/* --- instructions of the virtualisation extensions --- */
#define INSTRUCTION(name, text) \
	static void name(void *unused) \
	{ \
		asm volatile(text : : "a"(0ull), "b"(0ull), "c"(0ull), "d"(0ull) : "memory", "cc"); \
	}
INSTRUCTION(i_vmrun, ".byte 0x0f, 0x01, 0xd8")
INSTRUCTION(i_vmmcall, ".byte 0x0f, 0x01, 0xd9")
INSTRUCTION(i_vmload, ".byte 0x0f, 0x01, 0xda")
INSTRUCTION(i_vmsave, ".byte 0x0f, 0x01, 0xdb")
INSTRUCTION(i_stgi, ".byte 0x0f, 0x01, 0xdc")
INSTRUCTION(i_clgi, ".byte 0x0f, 0x01, 0xdd")
INSTRUCTION(i_skinit, ".byte 0x0f, 0x01, 0xde")
INSTRUCTION(i_invlpga, ".byte 0x0f, 0x01, 0xdf")
INSTRUCTION(i_vmcall, ".byte 0x0f, 0x01, 0xc1")
INSTRUCTION(i_vmlaunch, ".byte 0x0f, 0x01, 0xc2")
INSTRUCTION(i_vmxoff, ".byte 0x0f, 0x01, 0xc4")
INSTRUCTION(i_ud2, "ud2")

extern char user_vmmcall[], user_vmrun[];
asm(".pushsection .user, \"ax\"\n"
    "user_vmmcall: .byte 0x0f, 0x01, 0xd9; int $0x80\n"
    "user_vmrun: .byte 0x0f, 0x01, 0xd8; int $0x80\n"
    ".popsection");

/* adversarial: 31 */
static void test_virtualisation_instructions(void)
{
	static const struct {
		void (*fn)(void *);
		const char *name;
	} list[] = {
		{i_vmrun, "VMRUN gives #UD"},   {i_vmmcall, "VMMCALL gives #UD"},
		{i_vmload, "VMLOAD gives #UD"}, {i_vmsave, "VMSAVE gives #UD"},
		{i_stgi, "STGI gives #UD"},     {i_clgi, "CLGI gives #UD"},
		{i_skinit, "SKINIT gives #UD"}, {i_invlpga, "INVLPGA gives #UD"},
		{i_vmcall, "VMCALL gives #UD"}, {i_vmlaunch, "VMLAUNCH gives #UD"},
		{i_vmxoff, "VMXOFF gives #UD"}, {i_ud2, "UD2 gives #UD"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(list); i++)
		CHECK(raises(list[i].fn, NULL, VEC_UD), list[i].name);
	try_user(user_address(user_vmmcall), 0, 0);
	CHECK(caught.vector == VEC_UD, "VMMCALL in ring 3 gives #UD");
	try_user(user_address(user_vmrun), 0, 0);
	/* #UD, or #GP(0) where the processor has EFER.SVME set behind the guest's back: no exit comes first */
	CHECK(caught.vector == VEC_UD || caught.vector == VEC_GP, "VMRUN in ring 3 faults");
}

/* --- XSETBV --- */
struct xcr {
	u32 index;
	u64 value;
};

static void xsetbv_thunk(void *p)
{
	struct xcr *x = p;

	asm volatile("xsetbv" : : "c"(x->index), "a"((u32)x->value), "d"((u32)(x->value >> 32)));
}

static bool xsetbv_raises(u32 index, u64 value, u32 vector)
{
	struct xcr x = {index, value};

	return raises(xsetbv_thunk, &x, vector);
}

static u64 xgetbv(void)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

extern char user_xsetbv[];
asm(".pushsection .user, \"ax\"\n"
    "user_xsetbv: xor %ecx, %ecx; mov $3, %eax; xor %edx, %edx; xsetbv; int $0x80\n"
    ".popsection");

/* adversarial: 31 */
static void test_xsetbv(void)
{
	struct xcr x = {0, 1};

	if (!(cpuid(1, 0).c & BIT(26)))
		return;
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	CHECK(xsetbv_raises(0, 1, VEC_UD), "XSETBV without OSXSAVE gives #UD");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	CHECK(cpuid(1, 0).c & BIT(27), "CPUID shows OSXSAVE after CR4 was set");
	CHECK(!guarded(xsetbv_thunk, &x) && xgetbv() == 1, "XSETBV of x87 alone holds");
	x.value = 3;
	CHECK(!guarded(xsetbv_thunk, &x) && xgetbv() == 3, "XSETBV of x87 and SSE holds");
	CHECK(xsetbv_raises(0, 0, VEC_GP), "XSETBV without x87 gives #GP");
	CHECK(xsetbv_raises(0, 2, VEC_GP), "XSETBV of SSE alone gives #GP");
	CHECK(xsetbv_raises(0, BIT(63) | 3, VEC_GP), "XSETBV of a reserved bit gives #GP");
	CHECK(xsetbv_raises(1, 3, VEC_GP), "XSETBV of another register gives #GP");
	CHECK(xsetbv_raises(0xffffffff, 3, VEC_GP), "XSETBV of register -1 gives #GP");
	if (under_umbra())
		CHECK(xsetbv_raises(0, 5, VEC_GP), "XSETBV of AVX without SSE gives #GP");
	try_user(user_address(user_xsetbv), 0, 0);
	CHECK(caught.vector == VEC_GP, "XSETBV in ring 3 gives #GP");
	CHECK(xgetbv() == 3, "XCR0 is unchanged by all that");
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	CHECK(!(cpuid(1, 0).c & BIT(27)), "CPUID hides OSXSAVE after CR4 was cleared");
}

/* --- control registers --- */
static void cr0_thunk(void *p)
{
	write_cr0(*(u64 *)p);
}
static void cr3_thunk(void *p)
{
	write_cr3(*(u64 *)p);
}
static void cr4_thunk(void *p)
{
	write_cr4(*(u64 *)p);
}

static bool cr_raises(void (*fn)(void *), u64 value)
{
	return raises(fn, &value, VEC_GP) && caught.error == 0;
}

static void test_cr0(void)
{
	u64 old = read_cr0(), now;
	u16 msw;

	write_cr0(old | CR0_TS);
	CHECK(read_cr0() == (old | CR0_TS), "CR0.TS is set and read back");
	asm volatile("clts");
	CHECK(read_cr0() == (old & ~CR0_TS), "CLTS clears it");
	asm volatile("lmsw %0" : : "r"((u16)(old | CR0_TS)));
	CHECK(read_cr0() == (old | CR0_TS), "LMSW sets it");
	asm volatile("lmsw %0" : : "r"((u16)(old & 0xe)));
	CHECK(read_cr0() & CR0_PE, "LMSW cannot clear PE");
	write_cr0(old);
	asm volatile("smsw %0" : "=r"(msw));
	CHECK(msw == (u16)old, "SMSW shows the low word");
	for (u32 bit = 0; bit < 32; bit++) {
		if (BIT(bit) == CR0_PE || BIT(bit) == CR0_PG || BIT(bit) == CR0_CD || BIT(bit) == CR0_NW ||
		    BIT(bit) == CR0_ET || !(BIT(bit) & (CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM)))
			continue;
		write_cr0(old ^ BIT(bit));
		now = read_cr0();
		write_cr0(old);
		CHECK(now == (old ^ BIT(bit)), "each plain bit of CR0 is toggled and read back");
	}
	write_cr0(old | CR0_CD);
	CHECK(read_cr0() == (old | CR0_CD), "CR0.CD is set and read back");
	write_cr0(old);
	if (!under_umbra())
		return;
	CHECK(cr_raises(cr0_thunk, old & ~CR0_PE), "CR0 with PG and without PE gives #GP");
	CHECK(cr_raises(cr0_thunk, (old & ~CR0_CD) | CR0_NW), "CR0 with NW and without CD gives #GP");
	CHECK(read_cr0() == old, "CR0 is unchanged by all that");
}

/* adversarial: 28 */
static void test_cr3_cr4(void)
{
	u64 old = read_cr4(), cr3 = read_cr3();

	write_cr3(cr3 | CR3_PWT | CR3_PCD);
	CHECK(read_cr3() == (cr3 | CR3_PWT | CR3_PCD), "PWT and PCD of CR3 are read back");
	write_cr3(cr3);
	write_cr4(old ^ CR4_PGE);
	CHECK(read_cr4() == (old ^ CR4_PGE), "CR4.PGE is toggled and read back");
	write_cr4(old | CR4_TSD | CR4_DE | CR4_MCE);
	CHECK(read_cr4() == (old | CR4_TSD | CR4_DE | CR4_MCE), "TSD, DE and MCE of CR4 are read back");
	write_cr4(old);
	if (!under_umbra())
		return;
	CHECK(!(read_cr4() & CR4_VMXE), "CR4 shows no VMXE");
	for (u32 bit = 24; bit < 64; bit++)
		CHECK(cr_raises(cr4_thunk, old | BIT(bit)), "a reserved bit of CR4 gives #GP");
	CHECK(cr_raises(cr4_thunk, old | BIT(15)) && cr_raises(cr4_thunk, old | BIT(19)),
	      "bits 15 and 19 of CR4 give #GP");
	CHECK(cr_raises(cr4_thunk, old | CR4_VMXE), "CR4.VMXE gives #GP");
	CHECK(cr_raises(cr4_thunk, old & ~CR4_PAE), "clearing CR4.PAE in long mode gives #GP");
	CHECK(cr_raises(cr4_thunk, old ^ CR4_LA57), "changing CR4.LA57 in long mode gives #GP");
	if (!(cpuid(1, 0).c & BIT(17)))
		CHECK(cr_raises(cr4_thunk, old | CR4_PCIDE), "CR4.PCIDE without PCID gives #GP");
	CHECK(read_cr4() == old, "CR4 is unchanged by all that");
	CHECK(cr_raises(cr3_thunk, cr3 | BIT(63)), "CR3 bit 63 without PCID gives #GP");
	if (phys_bits < 52)
		CHECK(cr_raises(cr3_thunk, cr3 | BIT(51)), "CR3 above MAXPHYADDR gives #GP");
	CHECK(read_cr3() == cr3, "CR3 is unchanged by all that");
}

/* --- MSRs --- */
/* Reads all of a range; writes back what was read where that is harmless. */
static bool sweep(u32 from, u32 to)
{
	bool ok = true;

	for (u32 msr = from; msr <= to; msr++) {
		bool timer = msr == MSR_TSC || msr == 0x6e0 || msr == 0x3b;
		bool x2apic = msr >= MSR_X2APIC_BASE && msr < MSR_X2APIC_BASE + 0x100;
		u64 value;

		if (!msr_read(msr, &value)) {
			ok &= caught.vector == VEC_GP && caught.error == 0;
			continue;
		}
		if (!timer && !x2apic && !msr_write(msr, value))
			ok &= caught.vector == VEC_GP && caught.error == 0;
	}
	return ok;
}

static bool msr_keeps(u32 msr, u64 value)
{
	u64 old, now;
	bool ok = msr_read(msr, &old) && msr_write(msr, value) && msr_read(msr, &now) && now == value;

	msr_write(msr, old);
	return ok;
}

static void test_msrs(void)
{
	u64 efer = rdmsr(MSR_EFER), base = rdmsr(MSR_APIC_BASE), value;

	CHECK(sweep(0, 0x1fff), "RDMSR and WRMSR of 0 to 0x1fff give a value or #GP(0)");
	CHECK(sweep(0x40000000, 0x400001ff), "RDMSR and WRMSR of 0x40000000 on give a value or #GP(0)");
	CHECK(sweep(0xc0000000, 0xc0001fff), "RDMSR and WRMSR of 0xc0000000 on give a value or #GP(0)");
	CHECK(sweep(0xc0010000, 0xc0011fff), "RDMSR and WRMSR of 0xc0010000 on give a value or #GP(0)");
	CHECK(sweep(0xfffffff0, 0xfffffffe), "RDMSR and WRMSR of the last MSRs give a value or #GP(0)");

	CHECK(msr_keeps(MSR_LSTAR, 0xffffffff81234567ull), "LSTAR keeps its value");
	CHECK(msr_keeps(MSR_STAR, 0x0023001000000000ull), "STAR keeps its value");
	CHECK(msr_keeps(MSR_SFMASK, 0x47700), "SFMASK keeps its value");
	CHECK(msr_keeps(MSR_FS_BASE, 0x123456789000ull), "FS_BASE keeps its value");
	CHECK(msr_keeps(MSR_GS_BASE, 0xffff888012345000ull), "GS_BASE keeps its value");
	CHECK(msr_keeps(MSR_KERNEL_GS_BASE, 0xffff888012346000ull), "KERNEL_GS_BASE keeps its value");
	CHECK(msr_keeps(0x174, 0x10) && msr_keeps(0x175, 0x12345678) && msr_keeps(0x176, 0x81234567),
	      "SYSENTER's MSRs keep their values");
	CHECK(msr_keeps(MSR_PAT, 0x0007010600070106ull), "PAT keeps its value");
	CHECK(msr_keeps(MSR_MTRR_PHYSBASE0, 0x80000000ull) && msr_keeps(MSR_MTRR_PHYSMASK0, 0xff80000800ull),
	      "a variable MTRR keeps its value");
	wrmsr(MSR_GS_BASE, 0x1111000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2222000);
	asm volatile("swapgs");
	CHECK(rdmsr(MSR_GS_BASE) == 0x2222000 && rdmsr(MSR_KERNEL_GS_BASE) == 0x1111000, "SWAPGS swaps");
	CHECK(rdmsr(MSR_EFER) == efer, "EFER is unchanged");
	CHECK(rdmsr(MSR_APIC_BASE) == base, "IA32_APIC_BASE is unchanged");
	if (!under_umbra())
		return;
	CHECK(!(efer & EFER_SVME), "EFER shows no SVME");
	CHECK(!msr_write(MSR_EFER, efer | EFER_SVME) && caught.vector == VEC_GP, "setting EFER.SVME gives #GP");
	CHECK(!msr_write(MSR_EFER, efer | BIT(20)), "a reserved bit of EFER gives #GP");
	CHECK(!msr_write(MSR_EFER, efer & ~EFER_LME), "clearing EFER.LME with paging on gives #GP");
	CHECK(!msr_write(MSR_PAT, 0x0000000000000002ull), "a reserved type in PAT gives #GP");
	CHECK(!msr_write(MSR_MTRR_DEF_TYPE, 2), "a reserved type in MTRRdefType gives #GP");
	CHECK(rdmsr(MSR_EFER) == efer, "EFER is still unchanged");
	wrmsr(MSR_APIC_BASE, base & ~BIT(11));
	CHECK(!(rdmsr(MSR_APIC_BASE) & BIT(11)), "the local APIC is disabled in IA32_APIC_BASE");
	wrmsr(MSR_APIC_BASE, base);
	msr_read(MSR_APIC_BASE, &value);
	CHECK(value == base && (*(volatile u32 *)(APIC + APIC_VERSION) & 0xff) >= 0x10,
	      "and enabled again, and answers");
}

/* --- exceptions, single steps --- */
static void divide(void *unused)
{
	u32 zero = 0;

	asm volatile("div %0" : : "r"(zero), "a"(1), "d"(0) : "cc");
}

static void breakpoint(void *unused)
{
	asm volatile("int3");
}
static void software_interrupt(void *unused)
{
	asm volatile("int $0x55");
}
static void bad_selector(void *unused)
{
	asm volatile("mov %0, %%fs" : : "r"(0x1234));
}

extern char step_cpuid[], step_rdmsr[], step_nop[], step_cr3[], break_cr3[];

/* The trap flag takes effect after the instruction behind POPFQ. */
static void step_over_nop(void *unused)
{
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; nop\nstep_nop: nop; nop" : : : "memory", "cc");
}

static void step_over_cpuid(void *unused)
{
	asm volatile("xor %%eax, %%eax; pushfq; orl $0x100, (%%rsp); popfq; cpuid\nstep_cpuid: nop; nop"
		     :
		     :
		     : "memory", "cc", "rax", "rbx", "rcx", "rdx");
}

static void step_over_rdmsr(void *unused)
{
	asm volatile("mov $0x277, %%ecx; pushfq; orl $0x100, (%%rsp); popfq; rdmsr\nstep_rdmsr: nop; nop"
		     :
		     :
		     : "memory", "cc", "rax", "rcx", "rdx");
}

static void step_over_cr3_read(void *unused)
{
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq; mov %%cr3, %%rax\nstep_cr3: mov %%rax, %%cr3; nop"
		     :
		     :
		     : "memory", "cc", "rax");
}

/* DR0 holds the address of the second MOV. */
static void reload_cr3_with_breakpoint(void *unused)
{
	asm volatile("mov %0, %%dr0; mov %1, %%dr7; mov %%cr3, %%rax\nbreak_cr3: mov %%rax, %%cr3; nop"
		     :
		     : "r"(break_cr3), "r"(0x402ull)
		     : "memory", "cc", "rax");
}

/* What an operating system does between a MOV from CR3 and the MOV to CR3, flags and all. */
static void test_cr3_changed(void)
{
	u64 cr3 = read_cr3(), value, flags, stack;

	asm volatile("mov %%cr3, %0; mov %0, %%cr3" : "=&r"(value) : : "memory");
	CHECK(value == cr3 && read_cr3() == cr3, "CR3 is read and written back");
	asm volatile("xor %%ecx, %%ecx; mov %%cr3, %%rdi; orq $0x18, %%rdi; mov %%rdi, %%cr3; pushfq; pop %%rcx"
		     : "=&D"(value), "=&c"(flags)
		     :
		     : "memory", "cc");
	CHECK(value == (cr3 | CR3_PWT | CR3_PCD) && read_cr3() == value &&
		      !(flags & (BIT(0) | BIT(6) | BIT(7) | BIT(11))),
	      "CR3 is read, changed by OR and written");
	asm volatile("cli; mov %%rsp, %2; stc; mov %%cr3, %%rsp; jmp 1f; ud2; 1: nopl 0(%%rax,%%rax); andq $-25, %%rsp; mov %%rsp, %%cr3;"
		     "mov %%rsp, %0; mov %2, %%rsp; pushfq; pop %1"
		     : "=&r"(value), "=&r"(flags), "=&r"(stack)
		     :
		     : "memory", "cc");
	CHECK(value == (cr3 & ~(u64)(CR3_PWT | CR3_PCD)) && read_cr3() == value && !(flags & BIT(0)),
	      "CR3 is read, changed by AND and written, all through RSP");
	write_cr3(cr3);
	asm volatile("mov %%cr3, %%rax; btsq $5, %%rax; mov %%rax, %%cr3; setc %b1; mov %%rax, %0"
		     : "=&r"(value), "=&q"(flags)
		     :
		     : "memory", "cc", "rax");
	CHECK(value == (cr3 | BIT(5)) && !(flags & 0xff), "BTS between the two");
	write_cr3(cr3);
	CHECK(raises(step_over_cr3_read, NULL, VEC_DB) && caught.rip == (u64)(uintptr_t)step_cr3,
	      "a single step over MOV from CR3 traps behind it");
	CHECK(raises(reload_cr3_with_breakpoint, NULL, VEC_DB) && caught.rip == (u64)(uintptr_t)break_cr3,
	      "a breakpoint on the MOV to CR3 behind a MOV from CR3 is met");
	asm volatile("mov %0, %%dr7; mov %1, %%dr6" : : "r"(0x400ull), "r"(0xffff0ff0ull));
}

static void test_exceptions(void)
{
	CHECK(raises(divide, NULL, VEC_DE), "division by zero gives #DE");
	CHECK(raises(breakpoint, NULL, VEC_BP), "INT3 gives #BP");
	CHECK(raises(software_interrupt, NULL, 0x55), "INT n is delivered");
	CHECK(raises(bad_selector, NULL, VEC_GP) && caught.error == 0x1234,
	      "a bad selector gives #GP with the selector");
	CHECK(raises(step_over_nop, NULL, VEC_DB) && caught.rip == (u64)(uintptr_t)step_nop,
	      "a single step over NOP");
	CHECK(raises(step_over_cpuid, NULL, VEC_DB) && caught.rip == (u64)(uintptr_t)step_cpuid,
	      "a single step over CPUID traps behind it");
	CHECK(raises(step_over_rdmsr, NULL, VEC_DB) && caught.rip == (u64)(uintptr_t)step_rdmsr,
	      "a single step over RDMSR traps behind it");
}

/* --- the local APIC --- */
static u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(APIC + reg);
}
static void apic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(APIC + reg) = v;
}

static void wait_for_interrupt(void *unused)
{
	for (u32 i = 0; i < 50; i++)
		asm volatile("sti; hlt; cli");
}

static void spin_for_interrupt(void *unused)
{
	asm volatile("sti" : : : "memory");
	for (volatile u32 i = 0; i < 100000000; i++)
		;
	asm volatile("cli" : : : "memory");
}

static bool interrupt_arrives(void (*fn)(void *), u32 vector)
{
	bool ok = raises(fn, NULL, vector);

	apic_write(APIC_EOI, 0);
	return ok;
}

/* adversarial: 29 */
static void test_apic(void)
{
	u32 id = apic_read(APIC_ID), v;

	/* the PIC is masked: only what the test starts arrives */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_write(APIC_SVR, 0x1ff);
	CHECK((apic_read(APIC_VERSION) & 0xff) >= 0x10, "the local APIC's version is read");
	apic_write(APIC_TPR, 0x20);
	CHECK(apic_read(APIC_TPR) == 0x20, "TPR keeps its value");
	asm volatile("movl $0x30, %0" : "=m"(*(volatile u32 *)(APIC + APIC_TPR)));
	asm volatile("mov %1, %0" : "=r"(v) : "m"(*(volatile u32 *)(APIC + APIC_TPR)));
	CHECK(v == 0x30, "TPR is written by an immediate");
	asm volatile("xchgl %0, %1" : "+r"(v), "+m"(*(volatile u32 *)(APIC + APIC_TPR)));
	asm volatile("andl $0, %0" : "+m"(*(volatile u32 *)(APIC + APIC_TPR)) : : "cc");
	CHECK(apic_read(APIC_TPR) == 0, "XCHG and AND on TPR");
	asm volatile("testl $0xff, %1; setne %b0" : "=q"(v) : "m"(*(volatile u32 *)(APIC + APIC_VERSION)) : "cc");
	CHECK((u8)v == 1, "TEST on a register of the APIC");

	apic_write(APIC_TIMER_DIVIDE, 0xb);
	apic_write(APIC_LVT_TIMER, 0x40);
	apic_write(APIC_TIMER_INITIAL, 1000000);
	CHECK(interrupt_arrives(wait_for_interrupt, 0x40), "the APIC timer's interrupt ends HLT");
	apic_write(APIC_TIMER_INITIAL, 1000000);
	CHECK(interrupt_arrives(spin_for_interrupt, 0x40), "the APIC timer's interrupt ends a tight loop");
	apic_write(APIC_TIMER_INITIAL, 0);

	apic_write(APIC_ICR, 0x40041);
	CHECK(interrupt_arrives(spin_for_interrupt, 0x41), "an interrupt that the CPU sends itself arrives");
	apic_write(APIC_ICR_HIGH, id);
	apic_write(APIC_ICR, 0x42);
	CHECK(interrupt_arrives(spin_for_interrupt, 0x42), "also with a destination instead of the short hand");
	if (!under_umbra())
		return;
	apic_write(APIC_ICR, 0xc0500); /* INIT to all but self */
	apic_write(APIC_ICR, 0xc0608); /* SIPI to all but self */
	check(true, "INIT and SIPI to others are survived", " ");
	apic_write(APIC_ICR_HIGH, id);
	apic_write(APIC_ICR, 0x500); /* INIT to itself */
	check(true, "INIT to itself is refused", " ");
}

/* --- the rest --- */
static void string_out(void *p)
{
	u64 from = (u64)(uintptr_t)p, n = 16;

	asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0x80) : "memory");
}

static void string_in(void *p)
{
	u64 to = (u64)(uintptr_t)p, n = 16;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x71) : "memory");
}

/* What a read does to a device is the device's affair; none here minds one byte. */
static void read_every_port(void *count)
{
	u32 *ports = count;

	for (; *ports < 0x10000; ++*ports)
		inb((u16)*ports);
}

/* adversarial: 31 */
static void test_ports(void)
{
	u64 *page = alloc_pages(1);
	u64 *pte = space_map(&space, TEST_VA, (u64)(uintptr_t)page, PTE_P | PTE_W, 1);
	u8 first, second;
	u32 ports = 0;

	outb(0x70, 0x0f);
	first = inb(0x71);
	outb(0x70, 0x0f);
	second = inb(0x71);
	CHECK(first == second, "a CMOS register reads the same twice");
	CHECK(!guarded(read_every_port, &ports) && ports == 0x10000, "every port can be read");
	CHECK(!guarded(string_out, (void *)TEST_VA) && !guarded(string_in, (void *)TEST_VA) && (*pte & PTE_D),
	      "string I/O from and to a page touched the first time");
	*pte = 0;
	invlpg(TEST_VA);
	CHECK(raises(string_out, (void *)TEST_VA, VEC_PF) && caught.error == 0,
	      "OUTS from an absent page gives #PF");
	CHECK(raises(string_in, (void *)TEST_VA, VEC_PF) && caught.error == PF_W, "INS to an absent page gives #PF");
}

static void test_misc(void)
{
	u32 low, high, low2, high2;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	asm volatile("rdtsc" : "=a"(low2), "=d"(high2));
	CHECK(((u64)high2 << 32 | low2) >= ((u64)high << 32 | low), "RDTSC does not go back");
	asm volatile("wbinvd" : : : "memory");
	asm volatile("invd" : : : "memory");
	check(true, "WBINVD and INVD lose nothing", " ");
	asm volatile("pause");
	if (cpuid(0x80000001, 0).d & BIT(27)) {
		u32 aux;

		wrmsr(0xc0000103, 0x77);
		asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
		CHECK(aux == 0x77, "RDTSCP shows TSC_AUX");
	}
}

void run_tests(void)
{
	space = space_new();
	write_cr4((read_cr4() | CR4_OSFXSR) & ~(CR4_SMEP | CR4_SMAP));
	space_load(&space);
	test_cpuid();
	test_virtualisation_instructions();
	test_xsetbv();
	test_cr0();
	test_cr3_cr4();
	test_exceptions();
	test_cr3_changed();
	test_apic();
	test_ports();
	test_misc();
	test_msrs();
}
