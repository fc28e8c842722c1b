/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structure offsets for the assembly files. Compiled to assembly, never linked
 * for its code: each line "# ->NAME number" becomes a %define in
 * asm_offsets.inc.
 */
#include "arch/x86/cpuid_bits.h"
#include "arch/x86/execute.h"
#include "arch/x86/guest/vcpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/startup.h"
#include "arch/x86/trap_frame.h"

#define DEFINE(name, value) asm volatile("# ->" #name " %0" : : "i"((u64)(value)))
#define OFFSET(name, type, member) DEFINE(name, offsetof(type, member))

void asm_offsets(void);

void asm_offsets(void)
{
	OFFSET(VCPU_RAX, struct vcpu, gpr[GPR_RAX]);
	OFFSET(VCPU_RBX, struct vcpu, gpr[GPR_RBX]);
	OFFSET(VCPU_RCX, struct vcpu, gpr[GPR_RCX]);
	OFFSET(VCPU_RDX, struct vcpu, gpr[GPR_RDX]);
	OFFSET(VCPU_RSI, struct vcpu, gpr[GPR_RSI]);
	OFFSET(VCPU_RDI, struct vcpu, gpr[GPR_RDI]);
	OFFSET(VCPU_RBP, struct vcpu, gpr[GPR_RBP]);
	OFFSET(VCPU_R8, struct vcpu, gpr[GPR_R8]);
	OFFSET(VCPU_R9, struct vcpu, gpr[GPR_R9]);
	OFFSET(VCPU_R10, struct vcpu, gpr[GPR_R10]);
	OFFSET(VCPU_R11, struct vcpu, gpr[GPR_R11]);
	OFFSET(VCPU_R12, struct vcpu, gpr[GPR_R12]);
	OFFSET(VCPU_R13, struct vcpu, gpr[GPR_R13]);
	OFFSET(VCPU_R14, struct vcpu, gpr[GPR_R14]);
	OFFSET(VCPU_R15, struct vcpu, gpr[GPR_R15]);
	OFFSET(VCPU_CONTROL, struct vcpu, control);
	OFFSET(VCPU_HOST, struct vcpu, host);
	OFFSET(VCPU_FAST_PATH, struct vcpu, fast_path);
	OFFSET(EXECUTE_GPR, struct execute, gpr);
	OFFSET(EXECUTE_FLAGS, struct execute, flags);
	OFFSET(EXECUTE_AT, struct execute, at);
	DEFINE(EXECUTE_NO_FAULT, EXECUTE_NO_FAULT);
	OFFSET(STACKS_MAIN, struct cpu_stacks, main);
	DEFINE(STACK_MAIN_SIZE, STACK_MAIN_SIZE);
	DEFINE(TRAP_FRAME_GPRS, offsetof(struct trap_frame, vector));
	OFFSET(TRAP_FRAME_VECTOR, struct trap_frame, vector);
	OFFSET(TRAP_FRAME_RIP, struct trap_frame, rip);
	OFFSET(TRAP_FRAME_RFLAGS, struct trap_frame, rflags);
	OFFSET(TRAP_FRAME_RSP, struct trap_frame, rsp);
	DEFINE(VEC_SX, VEC_SX);
	OFFSET(PERCPU_INTERRUPT, struct percpu, interrupt);
	DEFINE(ISR_TAKEN_BYTES, ISR_TAKEN_BYTES);
	DEFINE(RFLAGS_IF, RFLAGS_IF);
	OFFSET(STARTUP_NEXT, struct startup, next);
	OFFSET(STARTUP_CLOSED, struct startup, closed);
	OFFSET(STARTUP_CR3, struct startup, cr3);
	OFFSET(STARTUP_CODE32, struct startup, code32);
	OFFSET(STARTUP_CODE64, struct startup, code64);
	OFFSET(STARTUP_INTERRUPTS, struct startup, interrupts);
	DEFINE(STARTUP_STACK, PAGE_SIZE);
	OFFSET(STARTUP_GDT_POINTER, struct startup, gdt_pointer);
	OFFSET(STARTUP_ENTRY, struct startup, entry);
	DEFINE(STARTUP_BYTES, sizeof(struct startup));
	DEFINE(SEL_DATA, SEL_DATA);
	DEFINE(CR0_PE, CR0_PE);
	DEFINE(CR0_WP, CR0_WP);
	DEFINE(CR0_NW, CR0_NW);
	DEFINE(CR0_CD, CR0_CD);
	DEFINE(CR0_PG, CR0_PG);
	DEFINE(CR4_PAE, CR4_PAE);
	DEFINE(CPUID_LEAF_EXT1, CPUID_LEAF_EXT1);
	DEFINE(CPUIDE1_EDX_NX, CPUIDE1_EDX_NX);
	DEFINE(MSR_MISC_ENABLE, MSR_MISC_ENABLE);
	DEFINE(MISC_ENABLE_XD_DISABLE, MISC_ENABLE_XD_DISABLE);
	DEFINE(MSR_EFER, MSR_EFER);
	DEFINE(EFER_LME, EFER_LME);
	DEFINE(EFER_NXE, EFER_NXE);
}
