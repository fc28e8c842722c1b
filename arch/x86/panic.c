/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Panic: the hypervisor is broken. Single-shot (a panic inside a panic says
 * where it happened, on serial alone, and stops), takes no locks, stops the other CPUs, prints all it
 * can on serial and screen, and stops.
 */
#include "arch/x86/panic.h"

#include "arch/x86/cpu.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/kick.h"
#include "arch/x86/log.h"
#include "arch/x86/percpu.h"
#include "arch/x86/screen.h"
#include "arch/x86/symbols.h"
#include "arch/x86/vendor.h"
#include "lib/printf.h"
#include "lib/version.h"

#define BACKTRACE_MAX 32
#define MESSAGE_MAX 400

static struct percpu *panicking; /* the CPU that tells */
static u8 depth;

void cpu_stop(void)
{
	cpu_irq_disable();
	for (;;)
		cpu_halt();
}

static void enter_panic(u64 rip)
{
	struct percpu *nobody = NULL;

	percpu_restore();
	if (!__atomic_compare_exchange_n(&panicking, &nobody, this_cpu(), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
	    nobody != this_cpu())
		cpu_stop(); /* another CPU tells what happened to it */
	switch (depth++) {
	case 0:
		log_take_console();
		kick_stop_others();
		return;
	case 1:
		screen_off();
		log_error("\nPANIC inside the panic at %016lx\n", (unsigned long)rip);
		cpu_stop();
	default: cpu_stop();
	}
}

static bool in_stack(u64 address, const u8 *stack, u64 size)
{
	u64 base = (u64)stack;

	return address >= base && address <= base + size - 16;
}

/* A frame pointer is followed only inside one of this CPU's stacks. */
static bool frame_valid(u64 rbp)
{
	const struct cpu_stacks *s = this_cpu()->stacks;

	if (rbp & 7)
		return false;
	return in_stack(rbp, s->main, sizeof(s->main)) || in_stack(rbp, s->nmi, sizeof(s->nmi)) ||
	       in_stack(rbp, s->df, sizeof(s->df)) || in_stack(rbp, s->mc, sizeof(s->mc));
}

static void print_address(u64 address)
{
	char name[80];

	symbols_describe(address, name, sizeof(name));
	log_error("  %016lx %s\n", (unsigned long)address, name);
}

void backtrace(u64 rip, u64 rbp)
{
	log_error("backtrace:\n");
	print_address(rip);
	for (u32 i = 0; i < BACKTRACE_MAX && frame_valid(rbp); i++) {
		const u64 *frame = (const u64 *)rbp;

		if (!frame[1])
			break;
		print_address(frame[1]);
		if (frame[0] <= rbp)
			break;
		rbp = frame[0];
	}
}

static void print_frame(const struct trap_frame *f)
{
#define REG(name) (unsigned long)f->name
	log_error("rip %016lx cs %04lx rflags %08lx\n", REG(rip), REG(cs), REG(rflags));
	log_error("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", REG(rax), REG(rbx), REG(rcx), REG(rdx));
	log_error("rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", REG(rsi), REG(rdi), REG(rbp), REG(rsp));
	log_error("r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", REG(r8), REG(r9), REG(r10), REG(r11));
	log_error("r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", REG(r12), REG(r13), REG(r14), REG(r15));
#undef REG
}

static void print_control_registers(void)
{
	log_error("cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx\n", (unsigned long)read_cr0(),
		  (unsigned long)read_cr2(), (unsigned long)read_cr3(), (unsigned long)read_cr4(),
		  (unsigned long)rdmsr(MSR_EFER));
}

static void print_guest(void)
{
	const struct vcpu *vcpu = this_cpu()->vcpu;
	const struct exit_record *last;

	if (!vcpu || !vcpu->exits)
		return;
	last = vcpu_last_exit(vcpu);
	log_error("guest: rip %016lx cr3 %016lx exits %lu\n", (unsigned long)last->rip, (unsigned long)vcpu->cr3,
		  (unsigned long)vcpu->exits);
	log_error("guest: last exit %s (0x%x) info %lx %lx\n", vcpu->vendor->exit_name(last->raw), last->raw,
		  (unsigned long)last->info1, (unsigned long)last->info2);
	trace_dump(&vcpu->trace, 32);
}

static const char *trap_name(u64 vector)
{
	static const char *const names[TRAP_VECTORS] = {
		[VEC_DE] = "divide error",
		[VEC_DB] = "debug",
		[VEC_NMI] = "NMI",
		[VEC_BP] = "breakpoint",
		[VEC_OF] = "overflow",
		[VEC_BR] = "bound range",
		[VEC_UD] = "invalid opcode",
		[VEC_NM] = "device not available",
		[VEC_DF] = "double fault",
		[VEC_TS] = "invalid TSS",
		[VEC_NP] = "segment not present",
		[VEC_SS] = "stack fault",
		[VEC_GP] = "general protection",
		[VEC_PF] = "page fault",
		[VEC_MF] = "x87 error",
		[VEC_AC] = "alignment check",
		[VEC_MC] = "machine check",
		[VEC_XM] = "SIMD error",
		[VEC_VE] = "virtualization",
		[VEC_CP] = "control protection",
	};

	return vector < TRAP_VECTORS && names[vector] ? names[vector] : "";
}

static NORETURN void finish(u64 rip, u64 rbp)
{
	char id[BUILD_ID_TEXT];

	print_control_registers();
	backtrace(rip, rbp);
	print_guest();
	symbols_build_id(id, sizeof(id));
	log_error("version " VERSION_TEXT ", build id %s\n", id);
	log_error("the hypervisor has stopped; please report the lines above\n");
	cpu_stop();
}

void panic_trap(const struct trap_frame *frame)
{
	enter_panic(frame->rip);
	log_error("PANIC on CPU %u: exception %lu (%s), error code 0x%lx\n", this_cpu()->id,
		  (unsigned long)frame->vector, trap_name(frame->vector), (unsigned long)frame->error);
	print_frame(frame);
	finish(frame->rip, frame->rbp);
}

void panic(const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;

	enter_panic((u64)__builtin_return_address(0));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("PANIC on CPU %u: %s\n", this_cpu()->id, text);
	finish((u64)__builtin_return_address(0), *(u64 *)__builtin_frame_address(0));
}
