/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One wrapper per instruction that C cannot express, with honest clobbers and
 * flag outputs. The _safe ones survive a fault of the instruction: the trap
 * handler finds the instruction in the fix-up table (section .extable), sets CF
 * and resumes behind it.
 */
#ifndef ARCH_X86_CPU_H
#define ARCH_X86_CPU_H

#include "arch/x86/cpuid_bits.h"
#include "lib/types.h"
#include "lib/x86.h"

struct cpuid_regs {
	u32 eax, ebx, ecx, edx;
};

static ALWAYS_INLINE struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* MAXPHYADDR, APM vol. 3 section E.4.7 */
static inline u32 cpu_phys_bits(void)
{
	return cpuid(CPUID_LEAF_EXT, 0).eax >= CPUID_LEAF_EXT8 ? cpuid(CPUID_LEAF_EXT8, 0).eax & 0xff : 36;
}

static inline bool cpu_has_pages_1g(void)
{
	return cpuid(CPUID_LEAF_EXT1, 0).edx & CPUIDE1_EDX_PAGES_1G;
}

static ALWAYS_INLINE u64 rdmsr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static ALWAYS_INLINE void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* An entry of the fix-up table: a fault at insn continues at resume with CF set. */
struct extable_entry {
	u64 insn, resume;
};

#define WITH_FIXUP(instruction) \
	"clc\n1:\t" instruction "\n2:\n" \
	"\t.pushsection .extable, \"a\"\n\t.quad 1b, 2b\n\t.popsection\n"

/* 0, or -EIO if the MSR does not exist or refuses the value; then *value is 0. */
static ALWAYS_INLINE int rdmsr_safe(u32 msr, u64 *value)
{
	u32 low, high;
	bool fault;

	asm volatile(WITH_FIXUP("rdmsr") : "=a"(low), "=d"(high), "=@ccc"(fault) : "c"(msr));
	*value = fault ? 0 : (u64)high << 32 | low;
	return fault ? -EIO : 0;
}

static ALWAYS_INLINE int wrmsr_safe(u32 msr, u64 value)
{
	bool fault;

	asm volatile(WITH_FIXUP("wrmsr")
		     : "=@ccc"(fault)
		     : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32))
		     : "memory");
	return fault ? -EIO : 0;
}

/* Needs CR4.OSXSAVE. 0, or -EIO if the CPU refuses the value. */
static ALWAYS_INLINE int xsetbv_safe(u32 index, u64 value)
{
	bool fault;

	asm volatile(WITH_FIXUP("xsetbv")
		     : "=@ccc"(fault)
		     : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
		     : "memory");
	return fault ? -EIO : 0;
}

static ALWAYS_INLINE void xsetbv(u32 index, u64 value)
{
	asm volatile("xsetbv" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static ALWAYS_INLINE u64 xgetbv(u32 index)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

/* Needs CR4.PKE. */
static ALWAYS_INLINE u32 rdpkru(void)
{
	u32 value, zero;

	asm volatile("rdpkru" : "=a"(value), "=d"(zero) : "c"(0));
	return value;
}

static ALWAYS_INLINE u64 rdtsc(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

#define CR_ACCESSORS(n) \
	static ALWAYS_INLINE u64 read_cr##n(void) \
	{ \
		u64 value; \
		asm volatile("mov %%cr" #n ", %0" : "=r"(value)); \
		return value; \
	} \
	static ALWAYS_INLINE void write_cr##n(u64 value) \
	{ \
		asm volatile("mov %0, %%cr" #n : : "r"(value) : "memory"); \
	}
CR_ACCESSORS(0)
CR_ACCESSORS(2)
CR_ACCESSORS(3)
CR_ACCESSORS(4)
CR_ACCESSORS(8)
#undef CR_ACCESSORS

#define DR_ACCESSORS(n) \
	static ALWAYS_INLINE u64 read_dr##n(void) \
	{ \
		u64 value; \
		asm volatile("mov %%dr" #n ", %0" : "=r"(value)); \
		return value; \
	} \
	static ALWAYS_INLINE void write_dr##n(u64 value) \
	{ \
		asm volatile("mov %0, %%dr" #n : : "r"(value)); \
	}
DR_ACCESSORS(0)
DR_ACCESSORS(1)
DR_ACCESSORS(2)
DR_ACCESSORS(3)
DR_ACCESSORS(6)
DR_ACCESSORS(7)
#undef DR_ACCESSORS

static ALWAYS_INLINE u8 in8(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static ALWAYS_INLINE u16 in16(u16 port)
{
	u16 value;

	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static ALWAYS_INLINE u32 in32(u16 port)
{
	u32 value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static ALWAYS_INLINE void out8(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static ALWAYS_INLINE void out16(u16 port, u16 value)
{
	asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static ALWAYS_INLINE void out32(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static ALWAYS_INLINE void invlpg(u64 va)
{
	asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static ALWAYS_INLINE void wbinvd(void)
{
	asm volatile("wbinvd" : : : "memory");
}

/* Every store before is seen by the others before what comes now, even if that is the WRMSR of a command (SDM vol. 3 section 10.12.3). */
static ALWAYS_INLINE void cpu_store_fence(void)
{
	asm volatile("mfence; lfence" : : : "memory");
}

static ALWAYS_INLINE void cpu_relax(void)
{
	asm volatile("pause");
}

/* All interrupts that wait are taken. */
static ALWAYS_INLINE void cpu_irq_window(void)
{
	asm volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
}
static ALWAYS_INLINE void cpu_irq_disable(void)
{
	asm volatile("cli" : : : "memory");
}

static ALWAYS_INLINE void cpu_halt(void)
{
	asm volatile("hlt" : : : "memory");
}

/* The operand of LGDT and LIDT in 64-bit mode. */
struct table_pointer {
	u16 limit;
	u64 base;
} PACKED;

static ALWAYS_INLINE void lgdt(const struct table_pointer *p)
{
	asm volatile("lgdt %0" : : "m"(*p) : "memory");
}

static ALWAYS_INLINE void lidt(const struct table_pointer *p)
{
	asm volatile("lidt %0" : : "m"(*p) : "memory");
}

static ALWAYS_INLINE void ltr(u16 selector)
{
	asm volatile("ltr %0" : : "r"(selector) : "memory");
}

static ALWAYS_INLINE void lldt(u16 selector)
{
	asm volatile("lldt %0" : : "r"(selector) : "memory");
}

#endif
