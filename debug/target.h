/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stopped guest as a debugger sees it: registers and memory. In a session alone (debug/stop.h); each function does its work on
 * the processor of vcpu, where its VMCS is current, its debug registers are and its shadow MMU may be used. Of a processor
 * that is not stop_is_running() there is nothing: -ESRCH, or 0 bytes.
 */
#ifndef DEBUG_TARGET_H
#define DEBUG_TARGET_H

#include "arch/x86/guest/vcpu.h"

/* The general registers in the order of their encodings first; X(NAME, "name"). */
/* clang-format off */
#define TARGET_REGISTERS(X) \
	X(RAX, "rax") X(RCX, "rcx") X(RDX, "rdx") X(RBX, "rbx") X(RSP, "rsp") X(RBP, "rbp") X(RSI, "rsi") X(RDI, "rdi") \
	X(R8, "r8") X(R9, "r9") X(R10, "r10") X(R11, "r11") X(R12, "r12") X(R13, "r13") X(R14, "r14") X(R15, "r15") \
	X(RIP, "rip") X(RFLAGS, "rflags") \
	X(ES, "es") X(CS, "cs") X(SS, "ss") X(DS, "ds") X(FS, "fs") X(GS, "gs") X(LDTR, "ldtr") X(TR, "tr") \
	X(FS_BASE, "fs_base") X(GS_BASE, "gs_base") X(KERNEL_GS_BASE, "kernel_gs_base") \
	X(CR0, "cr0") X(CR2, "cr2") X(CR3, "cr3") X(CR4, "cr4") X(CR8, "cr8") X(EFER, "efer") \
	X(DR0, "dr0") X(DR1, "dr1") X(DR2, "dr2") X(DR3, "dr3") X(DR6, "dr6") X(DR7, "dr7")
/* clang-format on */

#define X(name, text) TARGET_##name,
enum target_register { TARGET_REGISTERS(X) TARGET_REGISTER_COUNT };
#undef X

struct target_state {
	u64 reg[TARGET_REGISTER_COUNT];
	struct segment segment[SEG_COUNT];
	u32 cpl;
	u32 code_bits; /* 64, 32 or 16: of the code at RIP */
};

/* 0 or -ESRCH. */
MUST_CHECK int target_get(struct vcpu *vcpu, struct target_state *state);

/*
 * General registers, RIP, RFLAGS (bits that are fixed stay; VM stays), FS_BASE, GS_BASE, KERNEL_GS_BASE, CR2, DR0 to DR3, DR6, DR7. -EPERM:
 * any other; -EINVAL: no such value, or a base that is not canonical.
 */
MUST_CHECK int target_set(struct vcpu *vcpu, enum target_register reg, u64 value);

const char *target_register_name(enum target_register reg);
/* -ENOENT: there is none of that name. */
int target_find_register(const char *name, u32 length);

/*
 * Memory by the guest's page tables as they are: present entries alone count, not their rights, and nothing is marked accessed or dirty. How many bytes
 * of the first on could be had. Hidden memory and device memory cannot. What is written to a table is seen by the shadow
 * as the guest's own write is; code that is written needs nothing more.
 */
u32 target_read(struct vcpu *vcpu, gva_t gva, void *buf, u32 len);
u32 target_write(struct vcpu *vcpu, gva_t gva, const void *buf, u32 len);

/* The same by guest-physical address. */
u32 target_read_physical(struct vcpu *vcpu, gpa_t gpa, void *buf, u32 len);
u32 target_write_physical(struct vcpu *vcpu, gpa_t gpa, const void *buf, u32 len);

/* Where the guest's tables lead: 0 and the address, or -EFAULT. */
MUST_CHECK int target_translate(struct vcpu *vcpu, gva_t gva, gpa_t *gpa);

/* RDMSR as the guest would have it; -EFAULT: #GP. */
MUST_CHECK int target_read_msr(struct vcpu *vcpu, u32 msr, u64 *value);

#endif
