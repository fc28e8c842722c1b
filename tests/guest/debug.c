/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debug exceptions around instructions that exit or are emulated: single steps, data
 * and I/O breakpoints, the resume flag in the frames of faults and behind instructions
 * that are done by the hypervisor, general detect. A trace has for each #DB the place
 * behind the case's first byte and the bits of DR6; each expectation is the manual's
 * (SDM vol. 3 section 17.3) and holds on the bare machine too.
 */
#include "tests/guest/lib/guest.h"

#define APIC 0xfee00000ull
#define FLAG_RF BIT(16)
#define DR6_CLEAR 0xffff0ff0ull
#define DR7_CLEAR 0x400ull
#define DR7_GD BIT(13)
#define TRACE_MAX 32
#define PORT_A20 0x92

static struct space space;
static u32 mem[64] ALIGNED(64);

/* --- the handlers ------------------------------------------------------------- */

u64 debug_rip[TRACE_MAX], debug_dr6[TRACE_MAX];
u32 debug_count, debug_resume; /* resume: RF is set in the frame, for instruction breakpoints */
u64 fault_flags, fault_resume;
extern char debug_entry[], fault_entry[], fault_entry_error[];
asm(".pushsection .text, \"ax\"\n"
    "debug_entry: push %rax; push %rcx; push %rdx\n"
    "mov debug_count(%rip), %ecx; cmp $32, %ecx; jae 1f\n"
    "mov 24(%rsp), %rax; lea debug_rip(%rip), %rdx; mov %rax, (%rdx,%rcx,8)\n"
    "mov %dr6, %rax; lea debug_dr6(%rip), %rdx; mov %rax, (%rdx,%rcx,8)\n"
    "incl debug_count(%rip)\n"
    "1: mov $0xffff0ff0, %eax; mov %rax, %dr6\n"
    "cmpl $0, debug_resume(%rip); je 2f; orl $0x10000, 40(%rsp)\n"
    "2: pop %rdx; pop %rcx; pop %rax; iretq\n"
    /* a fault goes on at fault_resume, with RF clear */
    "fault_entry_error: add $8, %rsp\n"
    "fault_entry: push %rax; mov 24(%rsp), %rax; mov %rax, fault_flags(%rip)\n"
    "mov fault_resume(%rip), %rax; mov %rax, 8(%rsp); andl $~0x10000, 24(%rsp); pop %rax; iretq\n"
    ".popsection");

/* --- traces --------------------------------------------------------------------- */

#define OPERANDS \
	: : "b"(APIC), "S"(mem), "D"(APIC + 0x80) : "memory", "cc", "rax", "rcx", "rdx", "r8", "r9", "r10", "r11"

/* A case: what makes ready, then the body between its labels. */
#define CASE(name, before, body) \
	extern char name##_begin[], name##_end[]; \
	static void name(void *unused) \
	{ \
		asm volatile(before "\n" #name "_begin: " body "\n" #name "_end: nop" OPERANDS); \
	}
/* The same with TF set from behind its first instruction to its end. */
#define STEPPED(name, before, body) \
	extern char name##_begin[], name##_end[]; \
	static void name(void *unused) \
	{ \
		asm volatile(before "\npushfq; orl $0x100, (%%rsp); popfq\n" #name "_begin: " body "\n" #name \
				    "_end: pushfq; andl $~0x100, (%%rsp); popfq" OPERANDS); \
	}

static void append(char *out, u32 *at, const char *text)
{
	for (; *text; text++)
		out[(*at)++] = *text;
	out[*at] = 0;
}

static void append_hex(char *out, u32 *at, u64 value)
{
	char digit[2] = {0, 0};

	if (value >> 4)
		append_hex(out, at, value >> 4);
	digit[0] = "0123456789abcdef"[value & 15];
	append(out, at, digit);
}

/*
 * QEMU's bare processor does not set RF for faults nor keep it through a repeated instruction, tells
 * of the last access of an instruction only and one instruction too late of a step beside it, and has no
 * general detect. QEMU 10 also steps once more when a repeated instruction is done, meets a breakpoint of its
 * elements behind the last one, and leaves GD on in the handler. Bochs has it all.
 */
static bool is_intel;
static bool narrow; /* Bochs gives up at an APIC access that is wider than a register, or lies between two */
static bool exact(void)
{
	return is_intel || under_umbra();
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

struct debug_setup {
	u64 dr0, dr1, dr7;
};

static void expect(const char *name, void (*fn)(void *), const char *begin, const char *end, struct debug_setup d,
		   const char *expected)
{
	static char text[1024];
	u32 at = 0;

	debug_count = 0;
	text[0] = 0;
	asm volatile("mov %0, %%dr0; mov %1, %%dr1" : : "r"(d.dr0), "r"(d.dr1));
	asm volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(DR6_CLEAR), "r"(d.dr7 | DR7_CLEAR));
	if (guarded(fn, NULL))
		append(text, &at, "fault ");
	asm volatile("mov %0, %%dr7; mov %1, %%dr6" : : "r"(DR7_CLEAR), "r"(DR6_CLEAR));
	for (u32 i = 0; i < debug_count; i++) {
		u64 offset = debug_rip[i] - (u64)(uintptr_t)begin;

		if (offset > (u64)(end - begin))
			continue; /* what turns the trap flag off */
		append(text, &at, at ? " +" : "+");
		append_hex(text, &at, offset);
		append(text, &at, "/");
		append_hex(text, &at, debug_dr6[i] & 0xe00f);
	}
	check(equal(text, expected), name, "\"%s\", not \"%s\"", text, expected);
}
#define EXPECT(text, fn, expected, ...) \
	expect(text, fn, fn##_begin, fn##_end, (struct debug_setup){__VA_ARGS__}, expected)
#define AT(label) .dr0 = (u64)(uintptr_t)(label)

/* --- single steps ------------------------------------------------------------------ */

STEPPED(step_read, "", "mov 0x30(%%rbx), %%eax; mov 0x20(%%rbx), %%eax")
STEPPED(step_write, "", "movl $0x10, 0x80(%%rbx); movl $0, 0x80(%%rbx)")
STEPPED(step_stos, "mov $3, %%ecx; xor %%eax, %%eax", "rep stosl; nop")
STEPPED(step_lods, "mov $0xfee00080, %%esi", "lodsl; nop")
STEPPED(step_push, "", "pushq 0x80(%%rbx); pop %%rax; nop")
STEPPED(step_cpuid, "xor %%eax, %%eax; mov %%rbx, %%r8", "cpuid; mov %%r8, %%rbx; nop")
STEPPED(step_wrmsr, "mov $0x277, %%ecx; rdmsr", "wrmsr; rdmsr; nop")
STEPPED(step_cr3, "mov %%cr3, %%rax", "mov %%rax, %%cr3; mov %%cr3, %%rax; nop")
STEPPED(step_in, "", "in $0x92, %%al; nop; in $0x61, %%al; nop")
STEPPED(step_movss, "mov %%ss, %%r9d", "mov %%r9d, %%ss; mov 0x30(%%rbx), %%eax; nop")

static void test_steps(void)
{
	EXPECT("steps over reads of the local APIC", step_read, "+3/4000 +6/4000");
	EXPECT("steps over writes of the local APIC", step_write, "+a/4000 +14/4000");
	if (exact() && !narrow)
		EXPECT("a repeated store to the local APIC is stepped by elements", step_stos,
		       "+0/4000 +0/4000 +2/4000 +3/4000");
	EXPECT("steps over LODS", step_lods, "+1/4000 +2/4000");
	if (!narrow)
		EXPECT("steps over PUSH from the local APIC", step_push, "+6/4000 +7/4000 +8/4000");
	EXPECT("steps over CPUID", step_cpuid, "+2/4000 +5/4000 +6/4000");
	EXPECT("steps over WRMSR and RDMSR", step_wrmsr, "+2/4000 +4/4000 +5/4000");
	EXPECT("steps over MOV to and from CR3", step_cr3, "+3/4000 +6/4000 +7/4000");
	EXPECT("steps over IN from a port that is filtered and one that is not", step_in,
	       "+2/4000 +3/4000 +5/4000 +6/4000");
	EXPECT("no step between MOV SS and the instruction behind it", step_movss, "+6/4000 +7/4000");
}

/* --- data and I/O breakpoints -------------------------------------------------------- */

#define WATCH_READ_WRITE 0x000f0002ull /* G0, R/W0 both, four bytes */
#define WATCH_WRITE 0x000d0002ull
#define WATCH_PORT 0x00020002ull /* one byte */

CASE(watch_memory, "", "mov (%%rsi), %%eax; nop; mov %%eax, (%%rsi); nop")
CASE(watch_apic, "", "mov 0x80(%%rbx), %%eax; nop; movl $0, 0x80(%%rbx); nop")
CASE(watch_push, "", "pushq 0x80(%%rbx); pop %%rax; nop")
CASE(watch_move, "lea mem(%%rip), %%rdi; mov $0xfee00080, %%esi", "movsl; nop")
CASE(watch_moves, "lea mem(%%rip), %%rdi; mov $0xfee00080, %%esi; mov $4, %%ecx", "rep movsl; nop")
CASE(watch_cmp, "", "cmpl $0, 0x80(%%rbx); nop; andl $0, 0x80(%%rbx); nop")
CASE(watch_smsw, "", "smsw (%%rsi); nop")
CASE(watch_in, "", "in $0x92, %%al; nop; out %%al, $0x92; nop")
CASE(watch_in_other, "", "in $0x61, %%al; nop")
STEPPED(watch_step, "", "nop; mov 0x80(%%rbx), %%eax; nop")

static void test_breakpoints(void)
{
	u64 tpr = APIC + 0x80;

	EXPECT("a data breakpoint on plain memory", watch_memory, "+2/1 +5/1", AT(mem), .dr7 = WATCH_READ_WRITE);
	EXPECT("a data breakpoint on a register of the local APIC", watch_apic, "+6/1 +11/1", AT(tpr),
	       .dr7 = WATCH_READ_WRITE);
	EXPECT("a breakpoint on writes is not met by a read", watch_apic, "+11/1", AT(tpr), .dr7 = WATCH_WRITE);
	EXPECT("a data breakpoint one byte beyond is not met", watch_apic, "", AT(tpr + 4), .dr7 = 0x00030002);
	EXPECT("a data breakpoint on the last byte is met", watch_apic, "+6/1 +11/1", AT(tpr + 3),
	       .dr7 = 0x00030002);
	if (!narrow)
		EXPECT("a data breakpoint on what PUSH reads", watch_push, "+6/1", AT(tpr), .dr7 = WATCH_READ_WRITE);
	EXPECT("a data breakpoint on the memory that MOVS from the local APIC writes", watch_move, "+1/1", AT(mem),
	       .dr7 = WATCH_READ_WRITE);
	if (exact())
		EXPECT("a data breakpoint on both ends of MOVS", watch_move, "+1/3", AT(mem), .dr1 = tpr,
		       .dr7 = WATCH_READ_WRITE | WATCH_READ_WRITE << 4 | 8);
	if (exact() && !narrow)
		EXPECT("a data breakpoint stops REP MOVS behind its element", watch_moves, "+0/1", AT(mem + 2),
		       .dr7 = WATCH_WRITE);
	EXPECT("a breakpoint on writes and instructions that only compare, or write too", watch_cmp, "+f/1",
	       AT(tpr), .dr7 = WATCH_WRITE);
	EXPECT("a data breakpoint on what SMSW writes", watch_smsw, "+3/1", AT(mem), .dr7 = WATCH_WRITE);
	if (exact())
		EXPECT("a data breakpoint and a single step are one exception", watch_step,
		       "+1/4000 +7/4001 +8/4000", AT(tpr), .dr7 = WATCH_READ_WRITE);
	write_cr4(read_cr4() | CR4_DE);
	EXPECT("an I/O breakpoint on a port that is filtered", watch_in, "+2/1 +5/1", AT(PORT_A20),
	       .dr7 = WATCH_PORT);
	EXPECT("an I/O breakpoint on a port that is not", watch_in_other, "+2/1", AT(0x61), .dr7 = WATCH_PORT);
	write_cr4(read_cr4() & ~CR4_DE);
}

/* --- the resume flag -------------------------------------------------------------------- */

CASE(break_cpuid, "xor %%eax, %%eax; mov %%rbx, %%r8", "cpuid; mov %%r8, %%rbx; nop")
CASE(break_apic, "", "mov 0x30(%%rbx), %%eax; nop")
CASE(break_stos, "mov $3, %%ecx; xor %%eax, %%eax", "rep stosl; nop")
CASE(break_cr3, "mov %%cr3, %%rax", "mov %%rax, %%cr3; nop")
CASE(break_wrmsr, "mov $0x277, %%ecx; rdmsr", "wrmsr; nop")
CASE(break_in, "", "in $0x92, %%al; nop")

#define BREAK(text, fn, second, expected) \
	EXPECT(text, fn, expected, AT(fn##_begin), .dr1 = (u64)(uintptr_t)fn##_begin + (second), .dr7 = 0xa)

/* An instruction breakpoint, resumed from with RF, and one on the instruction behind it. */
static void test_resume(void)
{
	debug_resume = 1;
	BREAK("RF ends with CPUID", break_cpuid, 2, "+0/1 +2/2");
	BREAK("RF ends with an access to the local APIC", break_apic, 3, "+0/1 +3/2");
	if (exact() && !narrow)
		BREAK("RF lasts through a repeated instruction and ends with it", break_stos, 2, "+0/1 +2/2");
	BREAK("RF ends with MOV to CR3", break_cr3, 3, "+0/1 +3/2");
	BREAK("RF ends with WRMSR", break_wrmsr, 2, "+0/1 +2/2");
	BREAK("RF ends with IN", break_in, 2, "+0/1 +2/2");
	debug_resume = 0;
}

#define FAULTING(name, text) \
	static void name(void) \
	{ \
		asm volatile("lea 1f(%%rip), %%rax; mov %%rax, fault_resume(%%rip)\n" text "\n1: nop" \
			     : \
			     : "b"(APIC), "S"(APIC + 0x80), "D"(TEST_VA) \
			     : "memory", "cc", "rax", "rcx", "rdx"); \
	}
FAULTING(fault_absent, "mov (%%rdi), %%eax")
FAULTING(fault_absent_write, "movl $0, (%%rdi)")
FAULTING(fault_movs, "mov $0x81234567, %%eax; movsl")
FAULTING(fault_vmcall, "vmcall")
FAULTING(fault_vmmcall, "vmmcall")
FAULTING(fault_xsetbv, "mov $0xffff, %%ecx; xor %%eax, %%eax; xor %%edx, %%edx; xsetbv")
FAULTING(fault_cr4, "mov %%cr4, %%rax; bts $62, %%rax; mov %%rax, %%cr4")
FAULTING(fault_selector, "mov $0x1234, %%eax; mov %%eax, %%ds")

/* raised: it is the hypervisor that raises the fault, not the processor. */
static void check_fault(void (*fn)(void), bool raised, const char *name)
{
	if (!is_intel && !(raised && under_umbra()))
		return;
	fault_flags = 0;
	fn();
	check(fault_flags & FLAG_RF, name, "RFLAGS %lx", fault_flags);
}

static void test_frames(void)
{
	set_handler(VEC_UD, fault_entry);
	set_handler(VEC_GP, fault_entry_error);
	set_handler(VEC_PF, fault_entry_error);
	check_fault(fault_absent, true, "RF is set in the frame of a #PF");
	check_fault(fault_absent_write, true, "RF is set in the frame of a #PF by a write");
	check_fault(fault_movs, true, "RF is set in the frame of a #PF of an emulated instruction");
	check_fault(fault_vmcall, is_intel, "RF is set in the frame of a #UD of VMCALL");
	check_fault(fault_vmmcall, !is_intel, "RF is set in the frame of a #UD of VMMCALL");
	if (read_cr4() & CR4_OSXSAVE)
		check_fault(fault_xsetbv, is_intel, "RF is set in the frame of a #GP of XSETBV");
	check_fault(fault_cr4, true, "RF is set in the frame of a #GP of MOV to CR4");
	check_fault(fault_selector, false, "RF is set in the frame of a #GP without an exit");
}

/* --- general detect ------------------------------------------------------------------------ */

CASE(detect_native, "", "mov %%dr0, %%rax; nop")
STEPPED(detect_step, "", "mov 0x30(%%rbx), %%eax; nop")

static void test_general_detect(void)
{
	if (is_intel)
		EXPECT("MOV from a debug register with GD set", detect_native, "+0/2000", .dr7 = DR7_GD);
	/* the handler reads DR6: GD must be off by then */
	if (exact())
		EXPECT("GD is off in the handler of a step over an emulated access", detect_step,
		       "+3/4000 +4/4000", .dr7 = DR7_GD);
}

void run_tests(void)
{
	is_intel = cpuid(0, 0).c == 0x6c65746e; /* ntel */
	narrow = option("narrow", 0);
	space = space_new();
	write_cr4((read_cr4() | CR4_OSFXSR) & ~(CR4_SMEP | CR4_SMAP));
	if (cpuid(1, 0).c & BIT(26))
		write_cr4(read_cr4() | CR4_OSXSAVE);
	space_load(&space);
	*(volatile u32 *)(APIC + 0xf0) = 0x1ff;
	set_handler(VEC_DB, debug_entry);
	test_steps();
	test_breakpoints();
	test_resume();
	test_general_detect();
	test_frames();
}
