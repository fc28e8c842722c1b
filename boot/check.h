/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can this machine run Umbra? Facts are read from the CPU by one function and
 * judged by another, so that the judgement is tested on the host.
 */
#ifndef BOOT_CHECK_H
#define BOOT_CHECK_H

#include "boot/text.h"

struct cpu_facts {
	bool svm, vmx;            /* CPUID */
	bool svm_key;             /* CPUID Fn8000_000A_EDX[SVML]: a key could unlock SVM */
	uint64_t vm_cr;           /* MSR C001_0114h, if svm */
	uint64_t feature_control; /* MSR 3Ah, if vmx */
	bool nx;                  /* CPUID: no-execute pages */
};

/*
 * No-execute pages, where the firmware's setup has switched them off on an Intel
 * CPU (IA32_MISC_ENABLE): switched on. Before check_read_cpu(); not in mode bare.
 */
void check_enable_nx(void);

/* CPUID and the two MSRs, each only where CPUID says it exists. */
void check_read_cpu(struct cpu_facts *facts);

/* CPUID: pages of 1 GiB. */
bool check_pages_1g(void);

/*
 * False with one clear line when the CPU cannot run the hypervisor. In mode
 * bare only what the boot loader itself needs is asked for.
 */
bool check_cpu(const struct cpu_facts *facts, bool bare, struct boot_error *error);

/* What the memory must hold. */
struct memory_needs {
	uint64_t pool_bytes;
	uint64_t image_bytes;
	uint64_t guest_bytes; /* kernel, initrds and tables; at least CHECK_GUEST_MIN is asked for */
};

#define CHECK_GUEST_MIN (64ull << 20)

/* False with one clear line when usable bytes of RAM cannot be enough. */
bool check_memory(uint64_t usable, const struct memory_needs *needs, struct boot_error *error);

#endif
