/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Architectural constants of x86-64 that do not belong to one vendor: control
 * registers, EFER, page-table entries, the #PF error code, vectors, MSRs.
 * Sources: Intel SDM vol. 3 chapters 2 and 4, AMD APM vol. 2 chapters 3 and 5.
 */
#ifndef LIB_X86_H
#define LIB_X86_H

#include "lib/types.h"

/* CR0, SDM vol. 3 section 2.5 */
#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

/* CR3 */
#define CR3_PWT BIT(3)
#define CR3_PCD BIT(4)
#define CR3_PCID_MASK BITS(11, 0)
#define CR3_NO_FLUSH BIT(63)

/* CR4, SDM vol. 3 section 2.5 */
#define CR4_VME BIT(0)
#define CR4_PVI BIT(1)
#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_PCE BIT(8)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_LA57 BIT(12)
#define CR4_VMXE BIT(13)
#define CR4_SMXE BIT(14)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define CR4_CET BIT(23)
#define CR4_PKS BIT(24)

/* IA32_EFER, APM vol. 2 section 3.1.7 */
#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define EFER_SVME BIT(12)
#define EFER_LMSLE BIT(13)
#define EFER_FFXSR BIT(14)
#define EFER_TCE BIT(15)

/* RFLAGS */
#define RFLAGS_FIXED BIT(1)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_IOPL BITS(13, 12)
#define RFLAGS_IOPL_SHIFT 12
#define RFLAGS_NT BIT(14)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)
#define RFLAGS_IOPL BITS(13, 12)
#define RFLAGS_AC BIT(18)
#define RFLAGS_VIF BIT(19)
#define RFLAGS_VIP BIT(20)
#define RFLAGS_DEFINED 0x3f7fd5ull /* what a program may have set: 21:16, 14:6, 4, 2, 0 */

/* DR6: single-step trap, SDM vol. 3 section 17.2.3 */
#define DR6_BREAKPOINTS BITS(3, 0) /* a debug exception replaces them, the other bits it only sets */
#define DR6_BD BIT(13)             /* an access to a debug register, with DR7.GD */
#define DR6_BS BIT(14)
#define DR6_BT BIT(15) /* the new task's T flag */
#define DR6_RESET 0xffff0ff0ull
/* DR7: L0, G0 to L3, G3, SDM vol. 3 section 17.2.4 */
#define DR7_ENABLES BITS(7, 0)
#define DR7_LOCAL (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(8)) /* L0 to L3, LE: a task switch clears them */
#define DR7_GD BIT(13)                                         /* MOV to or from a debug register raises #DB */
#define DR7_RESET 0x400ull

/* Page-table entries, SDM vol. 3 tables 4-14 to 4-20 */
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)     /* levels above 1: a large leaf */
#define PTE_PAT_4K BIT(7) /* level 1 */
#define PTE_G BIT(8)
#define PTE_PAT_LARGE BIT(12)
#define PTE_KEY_SHIFT 59 /* leaves in long mode: protection key */
#define PTE_KEY BITS(62, 59)
#define PTE_NX BIT(63)
#define PTE_ADDR_MASK BITS(51, 12)
/* The four top entries of PAE paging, but for what lies above MAXPHYADDR, SDM vol. 3 table 4-8 */
#define PDPTE_RESERVED (BITS(8, 5) | BITS(2, 1))

/* #PF error code, SDM vol. 3 section 4.7 */
#define PF_P BIT(0)
#define PF_W BIT(1)
#define PF_U BIT(2)
#define PF_RSVD BIT(3)
#define PF_ID BIT(4)
#define PF_PK BIT(5)
#define PF_SS BIT(6)

/* XCR0 state components, SDM vol. 1 section 13.3 */
#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_MPX BITS(4, 3)
#define XCR0_AVX512 BITS(7, 5)
#define XCR0_PKRU BIT(9)
#define XCR0_AMX BITS(18, 17)

/* Exception vectors */
enum {
	VEC_DE = 0,
	VEC_DB = 1,
	VEC_NMI = 2,
	VEC_BP = 3,
	VEC_OF = 4,
	VEC_BR = 5,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_DF = 8,
	VEC_TS = 10,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
	VEC_AC = 17,
	VEC_MC = 18,
	VEC_XM = 19,
	VEC_VE = 20,
	VEC_CP = 21,
	VEC_SX = 30,
};

/* Memory types, SDM vol. 3 section 11.3; the PAT and MTRR encodings. */
enum memtype {
	MT_UC = 0,
	MT_WC = 1,
	MT_WT = 4,
	MT_WP = 5,
	MT_WB = 6,
	MT_UC_MINUS = 7,
};
/* Value of IA32_PAT after reset, SDM vol. 3 section 11.12.4 */
#define PAT_RESET 0x0007040600070406ull
/*
 * The hardware PAT while the guest runs: the reset value with WP and WC in the
 * two highest slots, so that every memory type has an index.
 */
#define PAT_HOST 0x0105040600070406ull

/* General registers by their number in instructions. */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT,
};

/* MSRs */
#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_ADDRESS PTE_ADDR_MASK
#define MSR_FEATURE_CONTROL 0x3a /* SDM vol. 3 section 23.7 */
#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX BIT(2) /* outside SMX */
#define MSR_MTRRCAP 0xfe
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_DEBUGCTL 0x1d9
#define DEBUGCTL_LBR BIT(0)
#define DEBUGCTL_BTF BIT(1)
#define MSR_MTRR_PHYSBASE0 0x200
#define MSR_MTRR_PHYSMASK0 0x201
#define MSR_MTRR_FIX64K_00000 0x250
#define MSR_MTRR_FIX16K_80000 0x258
#define MSR_MTRR_FIX16K_A0000 0x259
#define MSR_MTRR_FIX4K_C0000 0x268 /* to 0x26f */
#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_XD_DISABLE BIT(34) /* no no-execute pages, nor CPUID's bit for them */
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_X2APIC_BASE 0x800
#define MSR_X2APIC_ID 0x802
#define MSR_X2APIC_LDR 0x80d
#define MSR_X2APIC_ICR 0x830
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_SYSCFG 0xc0010010
#define MSR_TOP_MEM 0xc001001a
#define MSR_TOP_MEM2 0xc001001d
#define MSR_VM_CR 0xc0010114 /* APM vol. 2 section 15.30.1 */
#define VM_CR_R_INIT BIT(1)  /* an INIT comes as #SX */
#define VM_CR_DIS_A20M BIT(2)
#define VM_CR_LOCK BIT(3)
#define VM_CR_SVMDIS BIT(4)
#define MSR_VM_HSAVE_PA 0xc0010117

/* Is a linear address sign-extended from bit 47, with CR4.LA57 from bit 56? SDM vol. 1 section 3.3.7.1. */
static ALWAYS_INLINE bool address_is_canonical(u64 address, bool la57)
{
	u32 unused = la57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << unused) >> unused) == address;
}

#endif
